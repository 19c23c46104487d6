package ctshttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/ctshttp"
)

func withBody(limit int) *ctshttp.Options { return &ctshttp.Options{RequestBody: limit} }

// mixed is a server's handler with many ways to end, by path.
func mixed(f *fixture) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, f.Inner(h)) }
	handle("/ok/{id}", func(w http.ResponseWriter, r *http.Request) {
		ctshttp.Annotate(r.Context(), func(tr *cts.Trace) { tr.Ext.Changes = append(tr.Ext.Changes, cts.Change{Field: "f"}) })
		write(w, "ok")
	})
	handle("/fail/{id}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	handle("/panic/{id}", func(http.ResponseWriter, *http.Request) { panic("x") })
	handle("/abort/{id}", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	handle("/stream/{id}", func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			write(w, "x")
			flush(w)
		}
	})
	mux.Handle("/forgotten/{id}", answer(http.StatusOK))
	return f.Outer(authenticate(mux))
}

// TestExactlyOneRecord: 200 clients at a time, every way to end, and each request has
// one record, no more and no less.
func TestExactlyOneRecord(t *testing.T) {
	var made atomic.Int64
	f := newFixture(t, &ctshttp.Options{NewRequestID: func(*http.Request) string { return fmt.Sprint(made.Add(1)) }})
	server := newServer(t, mixed(f), false)
	requests := 0
	var wg sync.WaitGroup
	for i := range 200 {
		path := []string{"/ok/1", "/fail/1", "/panic/1", "/abort/1", "/stream/1", "/forgotten/1", "/nowhere/1"}[i%7]
		method := []string{"GET", "POST", "DELETE", "BREW"}[rand.N(4)]
		requests++
		wg.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			req.Close = true // net/http repeats some requests when a kept connection ends
			if i%5 != 0 {
				asUser(req, "ann")
			}
			resp, err := server.Client().Do(req)
			if err != nil { // panic and abort
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		})
	}
	wg.Wait()
	server.Close()
	records, attempts := map[string]int{}, map[string]bool{}
	for _, tr := range f.all() {
		if tr.Ext.Phase == cts.PhaseAttempt {
			attempts[tr.ID] = true
			continue
		}
		records[tr.RequestID]++
		if tr.Ext.Phase == cts.PhaseOutcome {
			if !attempts[tr.Ext.AttemptID] {
				t.Errorf("an outcome without its attempt, or a second one: %s", tr.AppendJSON(nil))
			}
			delete(attempts, tr.Ext.AttemptID)
		}
	}
	for id, n := range records {
		if n != 1 {
			t.Errorf("request %s has %d records", id, n)
		}
	}
	check(t, "records", len(records), int(made.Load()), "requests", int(made.Load()) >= requests, true, "open attempts", len(attempts), 0)
}

// TestAccountsUnderFailure: with a store that fails now and then every request is
// recorded, refused, or counted as unrecorded, and the outages that were told of have
// all of those.
func TestAccountsUnderFailure(t *testing.T) {
	f := newFixture(t, nil)
	var appends atomic.Int64
	f.store.failBy(func(context.Context, []cts.Entry) error {
		if appends.Add(1)/10%2 == 1 {
			return errBroken
		}
		return nil
	})
	h := f.Outer(f.Inner(answer(http.StatusNoContent)))
	var refused, served atomic.Int64
	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, request([]string{"GET", "POST"}[i%2], "/x"))
			if w.Code == http.StatusServiceUnavailable {
				refused.Add(1)
			} else {
				served.Add(1)
			}
		})
	}
	wg.Wait()
	f.store.failWith(nil)
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.tracker.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	recorded, told, entered := int64(0), int64(0), 0
	for _, tr := range f.all() {
		switch {
		case tr.Name == ctshttp.TraceFailOpenLeft:
			var n int64
			if _, err := fmt.Sscan(tr.Ext.Labels["requests"], &n); err != nil {
				t.Fatal(err)
			}
			told += n
			entered--
		case tr.Name == ctshttp.TraceFailOpenEntered:
			entered++
		case tr.ServiceType != "CTS" && tr.Ext.Phase != cts.PhaseAttempt:
			recorded++
		}
	}
	st := f.Status()
	check(t, "refused", st.Refused, refused.Load(), "served", recorded+st.Unrecorded, served.Load(), "told", told, st.Unrecorded,
		"entered and not left", entered, 0, "over", st.FailOpenSince.IsZero(), true)
	if st.Refused == 0 || st.Unrecorded == 0 || !errors.Is(st.LastError, errBroken) {
		t.Errorf("the store did not fail: %+v", st)
	}
}
