package ctshttp

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudtraceservice/cts"
)

type recordKey struct{}

// link is where a context has the record of a request.
type link struct {
	m      *Middleware
	outer  *link   // that of another Middleware around this one
	record *record // nil for a request that is not to be recorded
}

// linkOf returns the link that m put into a context, nil if it has not seen the
// request.
func linkOf(ctx context.Context, m *Middleware) *link {
	l, _ := ctx.Value(recordKey{}).(*link)
	for l != nil && l.m != m {
		l = l.outer
	}
	return l
}

// record is what is known of one request so far. Its places share it.
type record struct {
	m      *Middleware
	start  time.Time
	status atomic.Int32 // final status that was answered, 0 if none was
	body   *bodyCopy

	mu        sync.Mutex // guards the rest
	trace     cts.Trace
	ctx       context.Context // of the innermost place: it knows the actor
	op        *operation      // the route, once known
	words     words           // what it says in the trace
	attempt   *cts.Attempt
	beginning bool   // the attempt is being stored
	refused   error  // why the attempt was stored without what the application added
	entered   bool   // an inner place was reached
	running   int    // inner places that have not returned
	broke     string // why the handler did not return, in words
	crashed   bool   // it panicked, other than to abort the answer
	done      bool   // the record is closed: completed, or refused
}

// Annotate lets change add to the record of the request that ctx belongs to: the
// resource, the actor, ext.changes, ext.authorization, labels, the response, a
// judgement of its own (outcome, rating, code). It reports whether there was a record
// that could still be changed. There is none outside of a Middleware, in a skipped
// request, after a hijack and after the outermost place has returned.
//
// What is added before a guarded request's attempt is begun is part of the attempt;
// the outcome has everything. What change leaves empty is filled in when the request
// ends; a panic is an incident whatever was said before. Where the request came
// through several Middlewares, change is called for the record of each.
//
// Annotate may be called by several goroutines at a time. change must not call
// Annotate nor keep the trace.
func Annotate(ctx context.Context, change func(*cts.Trace)) bool {
	changed := false
	l, _ := ctx.Value(recordKey{}).(*link)
	for ; l != nil; l = l.outer {
		changed = l.record != nil && l.record.annotate(change) || changed
	}
	return changed
}

func (rec *record) annotate(change func(*cts.Trace)) bool {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.done {
		return false
	}
	change(&rec.trace)
	return true
}

// open fills in what is known of a request when it comes, and returns a context in
// which everything that the handler records has its origin and ids too.
func (rec *record) open(ctx context.Context, r *http.Request) context.Context {
	o := &rec.m.opts
	rec.start = o.Clock()
	origin, ids := o.origin(r), o.correlation(r)
	url, redacted := o.resourceURL(r)
	rec.trace = cts.Trace{
		Time: rec.start.UnixMilli(), Type: cts.TypeAPI, ResourceURL: url,
		SourceIP: origin.SourceIP, UserAgent: origin.UserAgent, RequestID: ids.RequestID,
		ReadOnly: cts.BoolOf(readOnly(r.Method)), ContentLength: max(r.ContentLength, 0),
		Ext: cts.Ext{
			W3CTraceID: ids.W3CTraceID, W3CSpanID: ids.W3CSpanID, ClientID: ids.ClientID,
			PeerIP: origin.PeerIP, ForwardedFor: origin.ForwardedFor, Redacted: redacted,
		},
	}
	ctx = cts.WithCorrelation(cts.WithOrigin(ctx, origin), ids)
	rec.ctx = ctx
	return ctx
}

// resourceURL returns path and query as the client sent them, less the secrets.
func (o *Options) resourceURL(r *http.Request) (string, []cts.Mark) {
	sent := r.RequestURI
	if sent == "" { // not from a server
		sent = r.URL.RequestURI()
	}
	url, found := o.Redactor.URL(sent)
	var marks []cts.Mark
	for _, f := range found {
		field := "resource_url"
		if f.Path != "" {
			field += "." + f.Path
		}
		marks = append(marks, cts.Mark{Field: field, Length: f.Length, Hash: f.Hash})
	}
	return url, marks
}

// enter and leave go around an inner place behind an outer one.
func (rec *record) enter() {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.running++
}

func (rec *record) leave() {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.running--
}

// inside notes what an inner place knows.
func (rec *record) inside(r *http.Request, mux *http.ServeMux) {
	route, op := rec.m.routeAhead(mux, r)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.done {
		return
	}
	rec.entered, rec.ctx = true, r.Context()
	rec.named(r, route, op)
}

// ahead notes the route that a request at an outer place will take.
func (rec *record) ahead(r *http.Request, mux *http.ServeMux) {
	route, op := rec.m.routeAhead(mux, r)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.named(r, route, op)
}

// begin stores the attempt, unless that was done. An error closes the record: the
// request is refused, nothing is done that could be recorded. So is a request that was
// answered before it came here, for example after a timeout.
func (rec *record) begin() error {
	rec.mu.Lock()
	if rec.done || rec.attempt != nil {
		defer rec.mu.Unlock()
		if rec.done {
			return errLate
		}
		return nil
	}
	rec.beginning = true
	draft, ctx := rec.trace.Clone(), rec.ctx // a clone: Annotate may go on meanwhile
	rec.mu.Unlock()
	attempt, err := rec.storeAttempt(ctx, draft)
	rec.mu.Lock()
	rec.beginning, rec.attempt = false, attempt
	late := rec.done
	rec.done = late || err != nil
	rec.mu.Unlock()
	if !late {
		return err
	}
	// Answered meanwhile, for example after a timeout: what was left to this
	// goroutine is to store the record.
	if tr := &rec.trace; tr.Ext.Outcome == cts.OutcomeUnknown {
		tr.Ext.Outcome, tr.Message = cts.OutcomeFailure, "answered before the attempt was stored; nothing was done"
	}
	rec.store(&rec.trace)
	return errLate
}

func (rec *record) attemptID() string {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.attempt == nil {
		return ""
	}
	return rec.attempt.ID()
}

// broken notes that a handler did not return: it panicked with cause, or ended its
// goroutine if that is nil.
func (rec *record) broken(cause any) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	switch {
	case rec.broke != "": // the innermost place knows best
	case cause == http.ErrAbortHandler: //nolint:errorlint // compared as net/http does
		rec.broke = "the handler aborted the answer"
	case cause == nil:
		rec.broke = "the handler ended its goroutine"
	default:
		rec.broke, rec.crashed = fmt.Sprintf("panic: %T", cause), true
	}
}

// hijacked completes the record of a request whose connection the handler took over.
func (rec *record) hijacked(r *http.Request) {
	rec.answered(http.StatusSwitchingProtocols)
	rec.behind(r)
	rec.mu.Lock()
	if rec.done {
		rec.mu.Unlock()
		return
	}
	rec.named(r, Route{}, nil)
	fill(&rec.trace.Message, "hijacked")
	fill(&rec.trace.Ext.Outcome, cts.OutcomeSuccess)
	rec.close()
}

// behind notes the route that a request took, if that could not be told ahead. r is
// the request as it was passed on.
func (rec *record) behind(r *http.Request) {
	rec.mu.Lock()
	known := rec.done || rec.entered && rec.op != nil && rec.op.pattern != ""
	rec.mu.Unlock()
	if known {
		return
	}
	route, op := rec.m.routeHere(r) // calls the application: without the lock
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if op != nil && !rec.done {
		rec.named(r, route, op)
	}
}

// complete judges how the request ended and stores the record. r is the request as
// the place that completes it passed it on.
func (rec *record) complete(r *http.Request) {
	rec.behind(r)
	rec.mu.Lock()
	guardable := !rec.done && !rec.entered && rec.attempt == nil
	rec.mu.Unlock()
	unguarded := guardable && rec.m.opts.mode(r) == FailClosed
	rec.mu.Lock()
	if rec.done {
		rec.mu.Unlock()
		return
	}
	rec.named(r, Route{}, nil)
	rec.judge(r.Context().Err(), unguarded && !rec.entered && rec.attempt == nil)
	rec.close()
}

// judge fills in the outcome. rec.mu is held.
func (rec *record) judge(ended error, unguarded bool) {
	tr, status := &rec.trace, int(rec.status.Load())
	switch {
	case rec.crashed:
		rec.judgePanic(status)
		return
	case rec.broke != "":
		rec.unknown(rec.broke)
	case rec.running > 0:
		rec.unknown("the answer ended before the handler did")
	case status == 0 && ended != nil:
		rec.unknown("nothing was answered: " + ended.Error())
	case status == 0:
		status = http.StatusOK
		rec.answered(status)
	}
	fill(&tr.Ext.Outcome, outcomeOf(status))
	if unguarded && status/100 == 2 {
		rec.m.stats.unguarded.Add(1)
		fill(&tr.Rating, cts.RatingWarning)
		fill(&tr.Message, "not guarded: the route has no inner place")
	}
	if tr.Ext.Outcome != cts.OutcomeSuccess || status >= http.StatusBadRequest {
		fill(&tr.Rating, cts.RatingWarning)
	}
}

func (rec *record) unknown(why string) {
	fill(&rec.trace.Ext.Outcome, cts.OutcomeUnknown)
	fill(&rec.trace.Message, why)
}

// judgePanic fills in the outcome of a panic. What the client got before counts only
// if it was an error.
func (rec *record) judgePanic(status int) {
	tr, message := &rec.trace, rec.broke
	if status != 0 && status < http.StatusBadRequest {
		message += ", after status " + strconv.Itoa(status)
	}
	if tr.Message != "" {
		message += "; " + tr.Message
	}
	tr.Message = message
	if status < http.StatusBadRequest {
		status = http.StatusInternalServerError
	}
	tr.Code = strconv.Itoa(status)
	tr.Rating, tr.Ext.Outcome = cts.RatingIncident, cts.OutcomeFailure
}

func outcomeOf(status int) cts.Outcome {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return cts.OutcomeDenied
	case status >= http.StatusBadRequest:
		return cts.OutcomeFailure
	}
	return cts.OutcomeSuccess
}

// close closes the record, releases rec.mu, which is held, and stores the trace. A
// closed record's trace is not changed by others. Nothing that goes wrong here
// changes the response.
func (rec *record) close() {
	rec.done = true
	tr, beginning := &rec.trace, rec.beginning
	if status := rec.status.Load(); status != 0 {
		fill(&tr.Code, strconv.Itoa(int(status)))
	}
	fill(&tr.Rating, cts.RatingNormal)
	if tr.TotalTime == 0 {
		tr.TotalTime = max(rec.m.opts.Clock().Sub(rec.start).Milliseconds(), 0)
	}
	rec.body.fill(tr)
	rec.mu.Unlock()
	if !beginning {
		rec.store(tr)
	}
}
