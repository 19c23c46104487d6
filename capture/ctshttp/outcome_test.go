package ctshttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/ctshttp"
)

func TestOutcomes(t *testing.T) {
	for status, want := range map[int]struct {
		outcome cts.Outcome
		rating  cts.Rating
	}{
		200: {cts.OutcomeSuccess, cts.RatingNormal}, 204: {cts.OutcomeSuccess, cts.RatingNormal},
		302: {cts.OutcomeSuccess, cts.RatingNormal}, 304: {cts.OutcomeSuccess, cts.RatingNormal},
		400: {cts.OutcomeFailure, cts.RatingWarning}, 401: {cts.OutcomeDenied, cts.RatingWarning},
		403: {cts.OutcomeDenied, cts.RatingWarning}, 404: {cts.OutcomeFailure, cts.RatingWarning},
		500: {cts.OutcomeFailure, cts.RatingWarning}, 503: {cts.OutcomeFailure, cts.RatingWarning}, 999: {cts.OutcomeFailure, cts.RatingWarning},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut} {
			f := newFixture(t, nil)
			serve(f.Outer(answer(status)), request(method, "/x"))
			list := f.all()
			tr := list[len(list)-1]
			check(t, "code", tr.Code, fmt.Sprint(status), "outcome", tr.Ext.Outcome, want.outcome, "rating", tr.Rating, want.rating, "message", tr.Message, "")
		}
	}
}

func TestStatusIsTheFirstFinalOne(t *testing.T) {
	for name, c := range map[string]struct {
		handler func(http.ResponseWriter)
		want    string
	}{
		"nothing":     {func(http.ResponseWriter) {}, "200"},
		"write":       {func(w http.ResponseWriter) { write(w, "x"); w.WriteHeader(http.StatusInternalServerError) }, "200"},
		"write bytes": {func(w http.ResponseWriter) { _, _ = w.Write(nil); w.WriteHeader(http.StatusInternalServerError) }, "200"},
		"flush":       {func(w http.ResponseWriter) { flush(w); w.WriteHeader(http.StatusInternalServerError) }, "200"},
		"flush by error": {func(w http.ResponseWriter) {
			_ = http.NewResponseController(w).Flush()
			w.WriteHeader(http.StatusInternalServerError)
		}, "200"},
		"twice": {func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusCreated)
			w.WriteHeader(http.StatusInternalServerError)
		}, "201"},
		"early hints": {func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusProcessing)
			w.WriteHeader(http.StatusNotFound)
		}, "404"},
		"hints only": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusEarlyHints) }, "200"},
		"switching":  {func(w http.ResponseWriter) { w.WriteHeader(http.StatusSwitchingProtocols) }, "101"},
	} {
		f := newFixture(t, nil)
		serve(f.Outer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { c.handler(w) })), request(http.MethodGet, "/x"))
		check(t, name, f.one().Code, c.want)
	}
}

type secretError struct{}

func (secretError) Error() string { return "password hunter2" }

func TestPanics(t *testing.T) {
	for name, c := range map[string]struct {
		panics        func(http.ResponseWriter)
		code, message string
		outcome       cts.Outcome
		rating        cts.Rating
	}{
		"string":        {func(http.ResponseWriter) { panic("hunter2") }, "500", "panic: string", cts.OutcomeFailure, cts.RatingIncident},
		"error":         {func(http.ResponseWriter) { panic(secretError{}) }, "500", "panic: ctshttp_test.secretError", cts.OutcomeFailure, cts.RatingIncident},
		"nil":           {func(http.ResponseWriter) { panic(caught(func() {})) }, "500", "panic: *runtime.PanicNilError", cts.OutcomeFailure, cts.RatingIncident},
		"after 200":     {func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK); panic(1) }, "500", "panic: int, after status 200", cts.OutcomeFailure, cts.RatingIncident},
		"after 404":     {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound); panic(1) }, "404", "panic: int", cts.OutcomeFailure, cts.RatingIncident},
		"status 0":      {func(w http.ResponseWriter) { w.WriteHeader(0) }, "500", "panic: string", cts.OutcomeFailure, cts.RatingIncident},
		"abort":         {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, "", "the handler aborted the answer", cts.OutcomeUnknown, cts.RatingWarning},
		"abort midways": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK); panic(http.ErrAbortHandler) }, "200", "the handler aborted the answer", cts.OutcomeUnknown, cts.RatingWarning},
	} {
		for _, place := range []string{"outer", "inner", "both"} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				t.Run(name+" "+place+" "+method, func(t *testing.T) {
					f := newFixture(t, nil)
					h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { c.panics(w) }))
					want := caught(func() { serve(h, request(method, "/x")) })
					if place != "outer" {
						h = f.Inner(h)
					}
					if place != "inner" {
						h = f.Outer(h)
					}
					got := caught(func() { serve(h, request(method, "/x")) })
					if fmt.Sprintf("%T%v", got, got) != fmt.Sprintf("%T%v", want, want) {
						t.Errorf("the panic was %v, want %v", got, want)
					}
					list := f.all()
					tr := list[len(list)-1]
					check(t, "traces", len(list), map[string]int{http.MethodGet: 1, http.MethodPost: 2}[method], "code", tr.Code, c.code,
						"message", tr.Message, c.message, "outcome", tr.Ext.Outcome, c.outcome, "rating", tr.Rating, c.rating)
					if strings.Contains(describe(list), "hunter2") {
						t.Error("the value of the panic was recorded")
					}
				})
			}
		}
	}
}

// caught returns what f panics with.
func caught(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

func TestPanicThatSomebodyRecovers(t *testing.T) {
	f := newFixture(t, nil)
	recovering := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if caught(func() { next.ServeHTTP(w, r) }) == nil {
				return
			}
			http.Error(w, "sorry", http.StatusBadGateway)
		})
	}
	h := f.Outer(recovering(f.Inner(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctshttp.Annotate(r.Context(), func(tr *cts.Trace) {
			tr.Message, tr.Ext.Outcome, tr.Rating, tr.Code = "halfway", cts.OutcomeSuccess, cts.RatingNormal, "0"
		})
		panic(errors.New("boom"))
	}))))
	check(t, "status", serve(h, request(http.MethodPost, "/x")).Code, http.StatusBadGateway)
	_, outcome := f.pair()
	check(t, "code", outcome.Code, "502", "rating", outcome.Rating, cts.RatingIncident, "outcome", outcome.Ext.Outcome, cts.OutcomeFailure,
		"message", outcome.Message, "panic: *errors.errorString; halfway")
}

func TestPanicThatBecomesAnother(t *testing.T) {
	f := newFixture(t, nil)
	wrapping := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if value := caught(func() {
			f.Inner(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("x") })).ServeHTTP(w, r)
		}); value != nil {
			panic(http.ErrAbortHandler)
		}
	})
	if got := caught(func() { serve(f.Outer(wrapping), request(http.MethodGet, "/x")) }); got != any(http.ErrAbortHandler) {
		t.Errorf("the panic was %v", got)
	}
	check(t, "message", f.one().Message, "panic: string", "rating", f.one().Rating, cts.RatingIncident)
}

func TestGoexit(t *testing.T) {
	f := newFixture(t, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		serve(f.Outer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runtime.Goexit() })), request(http.MethodPost, "/x"))
	}()
	<-done
	_, outcome := f.pair()
	check(t, "outcome", outcome.Ext.Outcome, cts.OutcomeUnknown, "message", outcome.Message, "the handler ended its goroutine")
}

func TestClientGone(t *testing.T) {
	f := newFixture(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	h := f.Outer(f.Inner(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { cancel() })))
	serve(h, request(http.MethodPost, "/x").WithContext(ctx))
	_, outcome := f.pair()
	check(t, "code", outcome.Code, "", "outcome", outcome.Ext.Outcome, cts.OutcomeUnknown, "rating", outcome.Rating, cts.RatingWarning,
		"message", outcome.Message, "nothing was answered: context canceled")
}

func TestAnnotate(t *testing.T) {
	f := newFixture(t, nil)
	auth := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctshttp.Annotate(r.Context(), func(tr *cts.Trace) {
				tr.User.Name = "annotated"
				tr.Ext.Authorization = append(tr.Ext.Authorization, cts.Authorization{Permission: "servers.delete", Granted: true})
			})
			next.ServeHTTP(w, r.WithContext(cts.WithActor(r.Context(), cts.Actor{User: cts.User{Name: "from the context"}, Role: "ops"})))
		})
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				ctshttp.Annotate(r.Context(), func(tr *cts.Trace) {
					tr.Ext.Changes = append(tr.Ext.Changes, cts.Change{Field: fmt.Sprint(i), Old: "a", New: "b"})
				})
			})
		}
		wg.Wait()
		ctshttp.Annotate(r.Context(), func(tr *cts.Trace) {
			tr.ResourceID, tr.ResourceName, tr.Response = "other", "web", `{"password":"hunter2"}`
			tr.Ext.Outcome, tr.Name = cts.OutcomeDenied, "removeServer"
			tr.Ext.Resources = append(tr.Ext.Resources, cts.Resource{Type: "volume", ID: "v1"})
		})
		w.WriteHeader(http.StatusNotFound)
	})
	mux := http.NewServeMux()
	mux.Handle(deletePattern, f.Inner(handler))
	serve(f.Outer(auth(mux)), request(http.MethodDelete, "/v1/p1/servers/s1"))
	attempt, outcome := f.pair()
	check(t, "attempt's user", attempt.User.Name, "annotated", "attempt's id", attempt.ResourceID, "s1", "attempt's permissions", len(attempt.Ext.Authorization), 1,
		"user", outcome.User.Name, "annotated", "role", outcome.Ext.Role, "ops", "id", outcome.ResourceID, "other", "name", outcome.ResourceName, "web",
		"operation", outcome.Name, "removeServer", "changes", len(outcome.Ext.Changes), 8, "permissions", len(outcome.Ext.Authorization), 1,
		"response", outcome.Response, `{"password":"********"}`, "code", outcome.Code, "404", "outcome", outcome.Ext.Outcome, cts.OutcomeDenied,
		"rating", outcome.Rating, cts.RatingWarning, "resources", fmt.Sprint(outcome.Ext.Resources), "[{project p1 } {volume v1 }]")
}

// TestAnnotationsStay: a route that is told later does not write over them.
func TestAnnotationsStay(t *testing.T) {
	own := []cts.Resource{{Type: "volume", ID: "v1"}}
	annotate := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctshttp.Annotate(r.Context(), func(tr *cts.Trace) { tr.Name, tr.ResourceType, tr.Ext.Resources = "ownName", "own", own })
			next.ServeHTTP(w, r)
		})
	}
	for name, h := range map[string]func(*fixture) http.Handler{
		"in front of the inner place": func(f *fixture) http.Handler { return f.Outer(annotate(routes(f.Inner))) },
		"behind the outer place":      func(f *fixture) http.Handler { return f.Outer(routes(annotate)) },
	} {
		f := newFixture(t, nil)
		serve(h(f), request(http.MethodDelete, "/v1/p1/servers/s1"))
		_, outcome := f.pair()
		check(t, name+": name", outcome.Name, "ownName", "type", outcome.ResourceType, "own", "id", outcome.ResourceID, "s1")
		if got := outcome.Ext.Resources; len(got) == 0 || got[len(got)-1] != own[0] {
			t.Errorf("%s: resources %v", name, got)
		}
	}
}

func TestAnnotateWithoutRecord(t *testing.T) {
	if ctshttp.Annotate(t.Context(), func(*cts.Trace) { t.Error("called") }) {
		t.Error("there is no record")
	}
	f := newFixture(t, nil)
	var ctx context.Context
	serve(f.Outer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ctx = r.Context() })), request(http.MethodGet, "/x"))
	if ctshttp.Annotate(ctx, func(*cts.Trace) { t.Error("called") }) {
		t.Error("the record is closed")
	}
}

// TestHandlerOutlivesItsAnswer: behind http.TimeoutHandler a handler may go on when
// the answer is over. Nobody knows then how it will end.
func TestHandlerOutlivesItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		release, ended := make(chan struct{}), make(chan bool)
		inner := f.Inner(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-release
			w.WriteHeader(http.StatusCreated)
			ended <- ctshttp.Annotate(r.Context(), func(*cts.Trace) {})
		}))
		w := serve(f.Outer(http.TimeoutHandler(inner, time.Second, "late")), request(http.MethodPost, "/x"))
		check(t, "status", w.Code, http.StatusServiceUnavailable)
		close(release)
		check(t, "annotated", <-ended, false)
		if err := f.tracker.Close(t.Context()); err != nil {
			t.Error(err)
		}
		_, outcome := f.pair()
		check(t, "code", outcome.Code, "503", "outcome", outcome.Ext.Outcome, cts.OutcomeUnknown, "message", outcome.Message, "the answer ended before the handler did")
	})
}

// TestHandlerIsNotCalledLate: a guarded request that reaches its handler only when
// it was answered is not let in, and has one record.
func TestHandlerIsNotCalledLate(t *testing.T) {
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, nil)
			release, called, passed := make(chan struct{}), false, make(chan struct{})
			inner := f.Inner(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
			slowAuth := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(passed)
				<-release
				inner.ServeHTTP(w, r)
			})
			serve(f.Outer(http.TimeoutHandler(slowAuth, time.Second, "late")), request(method, "/x"))
			close(release)
			<-passed
			check(t, method+" called", called, method == http.MethodGet, "code", f.one().Code, "503")
			if err := f.tracker.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAnsweredWhileTheAttemptIsStored: the attempt gets its outcome and the handler
// is not called.
func TestAnsweredWhileTheAttemptIsStored(t *testing.T) {
	for _, broken := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, nil)
			release, passed := make(chan struct{}), make(chan struct{})
			inner := f.Inner(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("called") }))
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(passed)
				inner.ServeHTTP(w, r)
			})
			once := true
			f.store.failBy(func(context.Context, []cts.Entry) error {
				if !once {
					return nil
				}
				once = false
				<-release
				if broken {
					return errBroken
				}
				return nil
			})
			serve(f.Outer(http.TimeoutHandler(h, time.Second, "late")), request(http.MethodPost, "/x"))
			check(t, "traces before", len(f.all()), 0)
			close(release)
			<-passed
			var tr *cts.Trace
			if broken {
				tr = f.one()
			} else {
				_, tr = f.pair()
			}
			check(t, "code", tr.Code, "503", "outcome", tr.Ext.Outcome, cts.OutcomeFailure, "refused", f.Status().Refused, int64(1))
			if err := f.tracker.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRecorderKeepsItsAbilities(t *testing.T) {
	f := newFixture(t, nil)
	serve(f.Outer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, ok := w.(http.Hijacker); ok {
			t.Error("a recorder can't be hijacked")
		}
		if _, ok := w.(http.Flusher); !ok {
			t.Error("a recorder can be flushed")
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			t.Fatal("no Unwrap")
		}
		if _, ok := u.Unwrap().(*httptest.ResponseRecorder); !ok {
			t.Errorf("unwrapped %T", u.Unwrap())
		}
	})), request(http.MethodGet, "/x"))
}
