package ctshttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/ctshttp"
)

func TestFailClosed(t *testing.T) {
	for name, failure := range map[string]error{
		"broken": errBroken, "full": cts.ErrStoreFull, "closed": cts.ErrClosed, "unknown": cts.ErrOutcomeUnknown,
	} {
		for _, place := range []string{"outer", "inner", "both"} {
			t.Run(name+" "+place, func(t *testing.T) {
				f := newFixture(t, &ctshttp.Options{RetryAfter: 1500 * time.Millisecond})
				called := false
				h := http.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
				if place != "outer" {
					h = f.Inner(h)
				}
				if place != "inner" {
					h = f.Outer(h)
				}
				f.store.failWith(failure)
				for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "CONNECT", "BREW"} {
					w := serve(h, request(method, "/x"))
					check(t, method+" called", called, false, "status", w.Code, http.StatusServiceUnavailable, "retry", w.Header().Get("Retry-After"), "2")
					if body := w.Body.String(); body == "" || len(body) > 200 {
						t.Errorf("body %q", body)
					}
				}
				st := f.Status()
				check(t, "refused", st.Refused, int64(6), "unrecorded", st.Unrecorded, int64(0), "error", errors.Is(st.LastError, failure), true,
					"failing open", st.FailOpenSince.IsZero(), true)
				f.store.failWith(nil)
				check(t, "after", serve(h, request(http.MethodPost, "/x")).Code, http.StatusOK, "called", called, true)
				f.pair()
			})
		}
	}
}

func TestFailClosedWhenAttemptsAreFull(t *testing.T) {
	f := newFixtureWith(t, nil, &cts.TrackerOptions{MaxAttempts: 1})
	var second *httptest.ResponseRecorder
	var h http.Handler
	h = f.Inner(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/1" {
			second = serve(h, request(http.MethodPost, "/2"))
		}
	}))
	serve(h, request(http.MethodPost, "/1"))
	check(t, "status", second.Code, http.StatusServiceUnavailable, "error", errors.Is(f.Status().LastError, cts.ErrBackpressure), true)
	f.pair()
}

func TestFailClosedWithSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixtureWith(t, nil, &cts.TrackerOptions{AppendTimeout: 3 * time.Second})
		f.store.failBy(func(ctx context.Context, _ []cts.Entry) error { <-ctx.Done(); return ctx.Err() })
		start := time.Now()
		w := serve(f.Outer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("called") })), request(http.MethodPost, "/x"))
		check(t, "status", w.Code, http.StatusServiceUnavailable, "waited", time.Since(start), 3*time.Second)
		f.store.failWith(nil)
		if err := f.tracker.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestFailOpen(t *testing.T) {
	clock := stepClock(time.Millisecond)
	f := newFixture(t, &ctshttp.Options{Clock: clock})
	h := f.Outer(answer(http.StatusTeapot))
	f.store.failWith(errBroken)
	first := clock()
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "TRACE"} {
		w := serve(h, request(method, "/x"))
		check(t, method, w.Code, http.StatusTeapot, "retry", w.Header().Get("Retry-After"), "")
	}
	last := clock()
	st := f.Status()
	check(t, "unrecorded", st.Unrecorded, int64(4), "refused", st.Refused, int64(0), "error", errors.Is(st.LastError, errBroken), true)
	if st.FailOpenSince.Before(first) || st.FailOpenSince.After(last) {
		t.Errorf("since %v, want from %v to %v", st.FailOpenSince, first, last)
	}
	if err := f.Flush(t.Context()); !errors.Is(err, errBroken) {
		t.Errorf("Flush: %v, want that recording still fails", err)
	}
	f.store.failWith(nil)
	serve(h, request(http.MethodGet, "/again"))
	var entered, left *cts.Trace
	for _, tr := range f.all() {
		switch tr.Name {
		case ctshttp.TraceFailOpenEntered:
			entered = tr
		case ctshttp.TraceFailOpenLeft:
			left = tr
		}
	}
	if entered == nil || left == nil {
		t.Fatalf("not recorded: %s", describe(f.all()))
	}
	for _, tr := range []*cts.Trace{entered, left} {
		check(t, "service", tr.ServiceType, "CTS", "type", tr.ResourceType, "tracker", "name", tr.ResourceName, "system",
			"type", tr.Type, cts.TypeSystem, "user", tr.User.IsZero(), true, "source", tr.SourceIP, "", "requests", tr.Ext.Labels["requests"], "4",
			"count in words", strings.Contains(tr.Message, "4 requests"), true)
	}
	check(t, "rating", entered.Rating, cts.RatingIncident, "rating", left.Rating, cts.RatingNormal, "time", entered.Time, st.FailOpenSince.UnixMilli(),
		"order", left.Time > entered.Time, true, "over", f.Status().FailOpenSince.IsZero(), true, "total", f.Status().Unrecorded, int64(4))
	before := len(f.all())
	serve(h, request(http.MethodGet, "/more"))
	check(t, "traces of one more request", len(f.all())-before, 1)
	if err := f.Flush(t.Context()); err != nil || len(f.all())-before != 1 {
		t.Errorf("Flush with nothing to do: %v", err)
	}
}

// TestFailOpenIsToldOnce: when the store fails again between the two traces the first
// is not written twice, and what failed meanwhile is counted.
func TestFailOpenIsToldOnce(t *testing.T) {
	f := newFixture(t, nil)
	h := f.Outer(answer(http.StatusOK))
	f.store.failWith(errBroken)
	serve(h, request(http.MethodGet, "/1"))
	f.store.failBy(func(_ context.Context, batch []cts.Entry) error {
		if strings.Contains(string(batch[len(batch)-1].JSON), ctshttp.TraceFailOpenLeft) {
			return errBroken
		}
		return nil
	})
	serve(h, request(http.MethodGet, "/2"))
	check(t, "still open", f.Status().FailOpenSince.IsZero(), false)
	f.store.failWith(errBroken)
	serve(h, request(http.MethodGet, "/3"))
	f.store.failWith(nil)
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, tr := range f.all() {
		count[tr.Name]++
		if tr.Name == ctshttp.TraceFailOpenLeft {
			check(t, "requests", tr.Ext.Labels["requests"], "2")
		}
	}
	check(t, "entered", count[ctshttp.TraceFailOpenEntered], 1, "left", count[ctshttp.TraceFailOpenLeft], 1, "closed", f.Status().FailOpenSince.IsZero(), true)
}

func TestFailOpenWithFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixtureWith(t, nil, &cts.TrackerOptions{Delivery: cts.Queued, WhenFull: cts.Drop, QueueBytes: cts.MaxTraceBytes, Limits: cts.Limits{Body: 1 << 20}})
		f.store.failWith(errBroken)
		big := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ctshttp.Annotate(r.Context(), func(tr *cts.Trace) { tr.Response = strings.Repeat("x", 600<<10) })
		})
		h := f.Outer(big)
		for range 3 {
			check(t, "status", serve(h, request(http.MethodGet, "/x")).Code, http.StatusOK)
		}
		st := f.Status()
		check(t, "unrecorded", st.Unrecorded > 0, true, "error", errors.Is(st.LastError, cts.ErrBackpressure), true)
		f.store.failWith(nil)
		if err := f.tracker.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if err := f.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if err := f.tracker.Close(t.Context()); err != nil {
			t.Error(err)
		}
		check(t, "told", strings.Contains(describe(f.all()), ctshttp.TraceFailOpenLeft), true)
	})
}

func TestModeIsChosenPerRequest(t *testing.T) {
	f := newFixture(t, &ctshttp.Options{Mode: func(r *http.Request) ctshttp.Mode {
		switch r.Header.Get("Mode") {
		case "open":
			return ctshttp.FailOpen
		case "closed":
			return ctshttp.FailClosed
		}
		return ctshttp.ByMethod
	}})
	f.store.failWith(errBroken)
	h := f.Outer(f.Inner(answer(http.StatusOK)))
	for _, c := range []struct {
		method, mode string
		want         int
	}{{"POST", "open", 200}, {"GET", "closed", 503}, {"GET", "", 200}, {"POST", "", 503}} {
		r := request(c.method, "/x")
		r.Header.Set("Mode", c.mode)
		check(t, c.method+" "+c.mode, serve(h, r).Code, c.want)
	}
}

// TestOutcomeThatCannotBeStored: the response is not changed, and the outcome is
// stored once that is possible.
func TestOutcomeThatCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixtureWith(t, nil, nil)
		h := f.Outer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			f.store.failWith(errBroken)
			w.WriteHeader(http.StatusCreated)
		}))
		w := serve(h, request(http.MethodPost, "/x"))
		check(t, "status", w.Code, http.StatusCreated, "unrecorded", f.Status().Unrecorded, int64(0), "refused", f.Status().Refused, int64(0),
			"error", errors.Is(f.Status().LastError, errBroken), true)
		f.store.failWith(nil)
		if err := f.tracker.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, outcome := f.pair()
		check(t, "code", outcome.Code, "201")
	})
}

func TestCancelledClientsAreRecorded(t *testing.T) {
	for _, delivery := range []cts.Delivery{cts.Durable, cts.Queued} {
		f := newFixtureWith(t, nil, &cts.TrackerOptions{Delivery: delivery})
		ctx, cancel := context.WithCancel(t.Context())
		h := f.Outer(f.Inner(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			cancel()
		})))
		serve(h, request(http.MethodPost, "/x").WithContext(ctx))
		if err := f.tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, outcome := f.pair()
		check(t, "code", outcome.Code, "202", "outcome", outcome.Ext.Outcome, cts.OutcomeSuccess)

		ctx, cancel = context.WithCancel(t.Context())
		cancel() // gone before it came
		serve(h, request(http.MethodGet, "/x").WithContext(ctx))
		if err := f.tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(t, "traces", len(f.all()), 3)
	}
}

// TestInvalidAdditions: what an application or client adds can't make a request go
// unrecorded.
func TestInvalidAdditions(t *testing.T) {
	bad := func(tr *cts.Trace) { tr.Unknown = `"not json`; tr.Time = 5; tr.Name = "x" }
	for _, method := range []string{"GET", "POST"} {
		f := newFixture(t, nil)
		early := func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctshttp.Annotate(r.Context(), bad)
				next.ServeHTTP(w, r.WithContext(cts.WithActor(r.Context(), cts.Actor{User: cts.User{Name: "ann"}, Role: "ops"})))
			})
		}
		mux := http.NewServeMux()
		mux.Handle("/servers/{id}", f.Inner(answer(http.StatusAccepted)))
		w := serve(f.Outer(early(mux)), request(method, "/servers/s1"))
		check(t, "status", w.Code, http.StatusAccepted, "unrecorded", f.Status().Unrecorded, int64(0))
		list := f.all()
		tr := list[len(list)-1]
		check(t, "id", tr.ResourceID, "s1", "request id", tr.RequestID, w.Header().Get("X-Request-Id"))
		if method == "GET" {
			check(t, "traces", len(list), 1, "user", tr.User.Name, "ann", "role", tr.Ext.Role, "ops", "code", tr.Code, "202", "name", tr.Name, "showServer")
		}
	}
}

func TestLimitsThatReject(t *testing.T) {
	f := newFixtureWith(t, nil, &cts.TrackerOptions{Limits: cts.Limits{Reject: true, Text: 300, Items: 4}})
	r := request(http.MethodPost, "/x?q="+strings.Repeat("q", 6<<10))
	r.Header.Set("User-Agent", strings.Repeat("u", 2<<10))
	r.Header.Set("X-Forwarded-For", strings.Repeat("1.2.3.4,", 20))
	check(t, "status", serve(f.Outer(answer(http.StatusOK)), r).Code, http.StatusOK)
	list := f.all()
	check(t, "traces", len(list), 2, "phase", list[1].Ext.Phase, cts.PhaseOutcome)
}
