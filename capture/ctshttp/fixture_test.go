package ctshttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/ctshttp"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// store is a store in memory whose appends a test can let fail.
type store struct {
	*memstore.Store
	mu   sync.Mutex
	fail func(ctx context.Context, batch []cts.Entry) error
}

func (s *store) Append(ctx context.Context, batch []cts.Entry) (cts.Appended, error) {
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if fail != nil {
		if err := fail(ctx, batch); err != nil {
			return cts.Appended{}, err
		}
	}
	return s.Store.Append(ctx, batch)
}

// failWith lets appends fail with err, or work again if that is nil.
func (s *store) failWith(err error) {
	s.failBy(nil)
	if err != nil {
		s.failBy(func(context.Context, []cts.Entry) error { return err })
	}
}

func (s *store) failBy(fail func(context.Context, []cts.Entry) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

var errBroken = errors.New("the disk is broken")

// fixture is a Middleware over a store in memory.
type fixture struct {
	*ctshttp.Middleware
	t       testing.TB
	store   *store
	tracker *cts.Tracker
}

func newFixture(t testing.TB, opts *ctshttp.Options) *fixture { return newFixtureWith(t, opts, nil) }

func newFixtureWith(t testing.TB, opts *ctshttp.Options, trackerOpts *cts.TrackerOptions) *fixture {
	t.Helper()
	s := &store{Store: memstore.New(nil)}
	tracker, err := cts.Open(t.Context(), s, trackerOpts)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ctshttp.New(tracker, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.failWith(nil)
		_ = tracker.Close(context.Background()) // attempts may be open on purpose
	})
	return &fixture{Middleware: m, t: t, store: s, tracker: tracker}
}

// all returns every trace that is not the Tracker's own.
func (f *fixture) all() []*cts.Trace {
	f.t.Helper()
	var list []*cts.Trace
	for e, err := range f.store.After(context.Background(), 0) {
		if err != nil {
			f.t.Fatal(err)
		}
		tr, err := e.Decode()
		if err != nil {
			f.t.Fatal(err)
		}
		if !strings.HasPrefix(tr.Name, "tracker") {
			list = append(list, tr)
		}
	}
	return list
}

// one returns the only trace that is there, which has no attempt.
func (f *fixture) one() *cts.Trace {
	f.t.Helper()
	list := f.all()
	if len(list) != 1 || list[0].Ext.Phase != "" {
		f.t.Fatalf("want one trace without an attempt, have %s", describe(list))
	}
	return list[0]
}

// pair returns the attempt and the outcome that are all that is there.
func (f *fixture) pair() (attempt, outcome *cts.Trace) {
	f.t.Helper()
	list := f.all()
	if len(list) != 2 || list[0].Ext.Phase != cts.PhaseAttempt || list[1].Ext.Phase != cts.PhaseOutcome || list[1].Ext.AttemptID != list[0].ID {
		f.t.Fatalf("want an attempt and its outcome, have %s", describe(list))
	}
	return list[0], list[1]
}

func describe(list []*cts.Trace) string {
	var b strings.Builder
	for _, tr := range list {
		b.WriteString("\n\t" + string(tr.AppendJSON(nil)))
	}
	return b.String()
}

// serve passes one request through h.
func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func request(method, target string) *http.Request { return httptest.NewRequest(method, target, nil) }

// answer is a handler that answers with a status.
func answer(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

// authenticate lets requests with a user pass, and refuses the others with 401.
func authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Header.Get("X-User")
		if name == "" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r.WithContext(cts.WithActor(r.Context(), cts.Actor{User: cts.User{Name: name}})))
	})
}

func asUser(r *http.Request, name string) *http.Request {
	r.Header.Set("X-User", name)
	return r
}

// stepClock is a clock that goes on by a step with each look.
func stepClock(step time.Duration) func() time.Time {
	var mu sync.Mutex
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(step)
		return now
	}
}

// check reports the fields of a trace that differ from what is wanted, given as pairs
// of name, have and want.
func check(t testing.TB, triples ...any) {
	t.Helper()
	for i := 0; i+2 < len(triples); i += 3 {
		if triples[i+1] != triples[i+2] {
			t.Errorf("%v = %#v, want %#v", triples[i], triples[i+1], triples[i+2])
		}
	}
}

// write writes what the other end may not read any more.
func write(w io.Writer, s string) { _, _ = io.WriteString(w, s) }

// flush flushes a writer that is a Flusher.
func flush(w http.ResponseWriter) {
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}
