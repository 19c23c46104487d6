package ctshttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cloudtraceservice/cts"
)

// Middleware records HTTP requests in a [cts.Tracker]. It has two places, which
// share one record of a request through its context; either may be used alone:
//
//   - [Middleware.Outer] goes around everything and sees each request, also those
//     that authentication refuses or no route takes;
//   - [Middleware.Inner] goes around a handler, behind routing and authentication,
//     and knows the route, the path values and the actor.
//
// However often a request comes through places of one Middleware it is recorded
// once: by one trace, or for a guarded request by an attempt and its outcome.
//
// # Where a request came from
//
// source_ip is the address of the connection's other end, which is ext.peer_ip too.
// If that is in Options.TrustedProxies, the right-most address of X-Forwarded-For
// counts instead, and so on to the left as long as the address found is trusted; an
// entry that is no address ends the search. What the header claims is kept apart in
// ext.forwarded_for, its last 32 entries, at most 64 bytes each. Forwarded (RFC
// 7239) and X-Real-Ip are not looked at. A [cts.Origin] that the context of the
// request has already is taken as it is.
//
// A Middleware is safe for concurrent use. It has no goroutines and needs no Close;
// see [Middleware.Flush].
type Middleware struct {
	tracker *cts.Tracker
	opts    Options
	retry   string // value of Retry-After
	inner   atomic.Bool
	names   names
	open    failOpen
	stats   stats
}

// New returns a Middleware that records in tracker, which the caller closes after
// the last request was served. All faults in opts are reported together.
func New(tracker *cts.Tracker, opts *Options) (*Middleware, error) {
	o, err := opts.withDefaults()
	if tracker == nil {
		err = errors.Join(errors.New("ctshttp: New needs a tracker"), err)
	}
	if err != nil {
		return nil, err
	}
	seconds := (o.RetryAfter + time.Second - 1) / time.Second
	m := &Middleware{tracker: tracker, opts: o, retry: strconv.FormatInt(int64(seconds), 10)}
	m.open.tracker = tracker.Status().Name
	return m, nil
}

// Outer returns a handler that records every request and passes it to next. It is to
// stand before authentication and routing.
//
// Once [Middleware.Inner] was called, inner places begin the attempts of guarded
// requests, and Outer completes the record, unless Options.BeginOutside is set. A
// guarded request that succeeded without having come through an inner place is
// recorded as a warning and counted in [Status.Unguarded]: its route has no inner
// place. Where there are none, Outer begins attempts itself, under the name of the
// route that Options.Route or Options.Mux tells.
func (m *Middleware) Outer(next http.Handler) http.Handler {
	mux := m.opts.Mux
	if mux == nil {
		mux, _ = next.(*http.ServeMux)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.serve(w, r, next, place{outer: true, mux: mux})
	})
}

// Inner returns a handler that records every request and passes it to next. It is to
// stand around the handler of a route, or around an http.ServeMux, whose route it then
// asks for ahead. A guarded request is passed on only when its attempt is stored.
func (m *Middleware) Inner(next http.Handler) http.Handler {
	m.inner.Store(true)
	mux, _ := next.(*http.ServeMux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.serve(w, r, next, place{mux: mux})
	})
}

// place is where in the chain of handlers a request is.
type place struct {
	outer bool
	mux   *http.ServeMux // routes the requests that come through, nil if that is not known
}

// begins reports whether attempts are begun at this place.
func (m *Middleware) begins(p place) bool {
	return !p.outer || m.opts.BeginOutside || !m.inner.Load()
}

// serve passes a request through one place.
func (m *Middleware) serve(w http.ResponseWriter, r *http.Request, next http.Handler, p place) {
	known := linkOf(r.Context(), m)
	if known == nil {
		m.serveFirst(w, r, next, p)
		return
	}
	rec := known.record
	if rec == nil || p.outer {
		next.ServeHTTP(w, r)
		return
	}
	rec.enter()
	defer rec.leave()
	pass := pass{rec: rec, place: p, next: next}
	pass.serve(w, r)
}

// serveFirst is the first place that sees a request: it makes the record and
// completes it.
func (m *Middleware) serveFirst(w http.ResponseWriter, r *http.Request, next http.Handler, p place) {
	l := &link{m: m}
	l.outer, _ = r.Context().Value(recordKey{}).(*link)
	ctx := context.WithValue(r.Context(), recordKey{}, l)
	if m.opts.Skip != nil && m.opts.Skip(r) {
		next.ServeHTTP(w, r.WithContext(ctx))
		return
	}
	rec := &record{m: m}
	l.record = rec
	ctx = rec.open(ctx, r)
	if h := m.opts.ResponseHeader; h != "-" {
		w.Header().Set(h, rec.trace.RequestID)
	}
	pass := pass{rec: rec, place: p, next: next, first: true}
	r = rec.copyBody(r.WithContext(ctx))
	pass.serve(rec.watch(w, r), r)
}

// pass is one request at one place.
type pass struct {
	place
	rec   *record
	next  http.Handler
	first bool // this place completes the record
}

func (p *pass) serve(w http.ResponseWriter, r *http.Request) {
	returned := false
	defer func() {
		if returned {
			return
		}
		cause := recover()
		p.rec.broken(cause)
		p.leave(r)
		if cause != nil {
			panic(cause) //nolint:forbidigo // the handler's own, raised again
		}
	}()
	p.admit(w, r)
	returned = true
	p.leave(r)
}

func (p *pass) leave(r *http.Request) {
	if p.first {
		p.rec.complete(r)
	} else {
		p.rec.behind(r)
	}
}

// admit names the request, begins its attempt if this is the place and the mode for
// it, and calls the handler.
func (p *pass) admit(w http.ResponseWriter, r *http.Request) {
	m, rec := p.rec.m, p.rec
	begins := m.begins(p.place)
	if !p.outer {
		rec.inside(r, p.mux)
	}
	if begins && m.opts.mode(r) == FailClosed {
		if p.outer {
			rec.ahead(r, p.mux)
		}
		if err := rec.begin(); err != nil {
			m.refuse(w, err)
			return
		}
		if h := m.opts.TraceHeader; h != "" {
			if id := rec.attemptID(); id != "" {
				w.Header().Set(h, id)
			}
		}
	}
	p.next.ServeHTTP(w, r)
}

// refuse answers a request that can't be recorded.
func (m *Middleware) refuse(w http.ResponseWriter, err error) {
	m.stats.refuse(err, m.opts.Clock())
	h := w.Header()
	h.Set("Retry-After", m.retry)
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, "The audit trail can't record this request now. Nothing was done. Try again later.\n")
}

var errLate = errors.New("ctshttp: the request was answered before it reached its handler")
