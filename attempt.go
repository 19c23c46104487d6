package cts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
)

// Attempt is an operation that has begun and whose outcome is not yet recorded.
type Attempt struct {
	t       *Tracker
	base    Trace // the attempt as it was stored
	skipped bool
	ended   atomic.Bool
}

// Begin records that an operation is about to be tried: a trace with ext.phase
// attempt and outcome pending, which is in the store before Begin returns, whatever
// the Tracker's delivery. Whoever must not act unrecorded acts only after Begin
// returned without an error, and then calls [Attempt.End].
//
// An attempt whose process dies before End is given the outcome unknown by the next
// Open. Begin fails as Record does, and with [ErrBackpressure] when MaxAttempts
// operations are open. A failed attempt is not counted as lost: nothing was done.
// After [ErrOutcomeUnknown] the attempt may be in the store; then it ends as one
// whose process died.
func (t *Tracker) Begin(ctx context.Context, tr *Trace) (*Attempt, error) {
	if !t.gate.enter() {
		return nil, ErrClosed
	}
	defer t.gate.leave()
	w := t.borrow()
	defer t.release(w)
	var draft Trace // of no trace: refused for its name
	if tr != nil {
		draft = *tr
	}
	draft.Ext.Phase, draft.Ext.AttemptID, draft.Ext.Outcome = PhaseAttempt, "", OutcomePending
	keep, err := t.prepare(ctx, w, &draft, attempt)
	if err != nil {
		return nil, err
	}
	a := &Attempt{t: t, base: w.trace, skipped: !keep}
	if !keep {
		return a, nil
	}
	if !t.attempts.add(a, t.opts.MaxAttempts) {
		return nil, fmt.Errorf("%w: %d operations are open", ErrBackpressure, t.opts.MaxAttempts)
	}
	if _, err = t.appendNow(ctx, w); err != nil {
		t.attempts.drop(a, errors.Is(err, ErrOutcomeUnknown))
		return nil, err
	}
	if len(a.base.Ext.Cut) > 0 { // the rest of what was cut is not to be kept with it
		if base, err := ParseTrace(w.json); err == nil {
			a.base = *base
		}
	}
	t.stats.attempts.Add(1)
	return a, nil
}

// ID returns the trace id of the attempt, "" when the policy did not want it.
func (a *Attempt) ID() string {
	if a.skipped {
		return ""
	}
	return a.base.ID
}

// End records the outcome of the operation: a trace of its own, with ext.phase
// outcome and ext.attempt_id. What tr leaves empty is taken from the attempt; tr may
// be nil. Its outcome, if empty, is judged by its code: denied for 401 and 403,
// failure from 400 on, else success.
//
// The outcome of an attempt is not lost because the store refuses it: its room was
// reserved by Begin, and it is kept and tried again until it is stored or the
// Tracker closed. The error then says so, and nothing is left to do. A second End
// is [ErrEnded].
func (a *Attempt) End(ctx context.Context, tr *Trace) (Receipt, error) {
	if a.skipped {
		return Receipt{Skipped: true}, nil
	}
	if !a.t.gate.enter() {
		return Receipt{}, ErrClosed
	}
	defer a.t.gate.leave()
	if a.ended.Swap(true) {
		return Receipt{}, ErrEnded
	}
	var draft Trace
	if tr != nil {
		draft = *tr
	}
	draft.follow(&a.base)
	return a.t.endAttempt(ctx, a, &draft)
}

func (t *Tracker) endAttempt(ctx context.Context, a *Attempt, draft *Trace) (Receipt, error) {
	w := t.borrow()
	defer t.release(w)
	_, err := t.prepare(ctx, w, draft, outcome)
	if err != nil {
		// The caller's outcome can't be recorded; that there was one can, and how it
		// ended. Nothing else of the caller's is in it, the context included.
		broken := draft.bare()
		broken.Message = "the outcome given was not valid: " + err.Error()
		broken.follow(&a.base)
		if _, again := t.prepare(context.Background(), w, &broken, outcome); again != nil {
			a.ended.Store(false)
			return Receipt{}, errors.Join(err, again)
		}
	}
	t.stats.offered.Add(1)
	receipt := Receipt{ID: w.trace.ID}
	if t.opts.Delivery == Queued {
		t.reserve(w, a)
		return receipt, err
	}
	at, failed := t.appendNow(ctx, w)
	if failed != nil {
		t.reserve(w, a)
		return receipt, errors.Join(err, fmt.Errorf("cts: the outcome is kept and will be stored later: %w", failed))
	}
	t.attempts.remove(a)
	t.stats.stored.Add(1)
	receipt.Position, receipt.Durable = at, true
	return receipt, err
}

// bare returns a trace with nothing of t but how the operation ended.
func (t *Trace) bare() Trace {
	var b Trace
	if len(t.Code) <= 20 {
		b.Code = t.Code
	}
	switch t.Rating {
	case RatingNormal, RatingWarning, RatingIncident:
		b.Rating = t.Rating
	}
	switch t.Ext.Outcome {
	case OutcomeSuccess, OutcomeFailure, OutcomeDenied:
		b.Ext.Outcome = t.Ext.Outcome
	default:
		b.Ext.Outcome = OutcomeUnknown
	}
	return b
}

// reserve puts an outcome into the room that Begin reserved for it. When the queue
// is full besides, it is kept without its bodies, so that the reserved room stays
// small.
func (t *Tracker) reserve(w *work, a *Attempt) {
	it := item{bytes.Clone(w.json), ended, a}
	if len(it.json) > reservedBytes {
		if t.queue.putReserved(it, t.opts.QueueBytes) {
			return
		}
		tr := &w.trace
		small := cutter{Limits: Limits{Text: 128, Message: 128}.smallest(), key: t.opts.HashKey, marks: slices.Clone(tr.Ext.Cut)}
		small.apply(tr)
		it.json = tr.AppendJSON(nil)
	}
	t.queue.putReserved(it, 0)
}

// reservedBytes is what an outcome may have that is kept in full even though the
// queue is full.
const reservedBytes = 4 << 10

// smallest returns limits without room for bodies, lists and unknown members.
func (l Limits) smallest() Limits {
	l.Body, l.Items, l.Unknown = 0, 0, 0
	return l
}

// follow makes t the outcome of the attempt base, and takes from it what t leaves
// empty.
func (t *Trace) follow(base *Trace) {
	t.Ext.Phase, t.Ext.AttemptID = PhaseOutcome, base.ID
	if t.Ext.Outcome == "" || t.Ext.Outcome == OutcomePending {
		t.Ext.Outcome = outcomeOf(t.Code)
	}
	t.Time = max(t.Time, base.Time)
	for _, name := range inherited {
		fill(t.textField(name), *base.textField(name))
	}
	for _, name := range inheritedExt {
		fill(t.Ext.textField(name), *base.Ext.textField(name))
	}
	if t.User.IsZero() {
		t.User = base.User
	}
	if t.ReadOnly == Unset {
		t.ReadOnly = base.ReadOnly
	}
	if t.Ext.Impersonator == (Principal{}) {
		t.Ext.Impersonator = base.Ext.Impersonator
	}
	t.Ext.ForwardedFor = inherit(t.Ext.ForwardedFor, base.Ext.ForwardedFor)
	t.Ext.Authorization = inherit(t.Ext.Authorization, base.Ext.Authorization)
	t.Ext.Resources = inherit(t.Ext.Resources, base.Ext.Resources)
	t.Ext.Changes = inherit(t.Ext.Changes, base.Ext.Changes)
	t.Ext.Cut = inherit(t.Ext.Cut, base.Ext.Cut)
	t.Ext.Redacted = inherit(t.Ext.Redacted, base.Ext.Redacted)
	if t.Ext.Labels == nil {
		t.Ext.Labels = base.Ext.Labels
	}
	if t.Unknown == "" {
		t.Unknown = base.Unknown
	}
	t.ContentLength = max(t.ContentLength, base.ContentLength)
}

func inherit[T any](own, base []T) []T {
	if own == nil {
		return base
	}
	return own
}

var (
	inherited = []string{
		"trace_name", "trace_type", "event_type", "service_type", "resource_type", "resource_name", "resource_id",
		"resource_url", "resource_account_id", "source_ip", "user_agent", "request", "api_version", "request_id",
		"operation_id", "location_info", "endpoint", "project_id", "domain_id", "enterprise_project_id",
	}
	inheritedExt = []string{"role", "session_id", "w3c_trace_id", "w3c_span_id", "client_id", "peer_ip"}
)

// outcomeOf judges an outcome by the code of the operation.
func outcomeOf(code string) Outcome {
	switch n, err := strconv.Atoi(code); {
	case err != nil:
		return OutcomeSuccess
	case n == 401 || n == 403:
		return OutcomeDenied
	case n >= 400:
		return OutcomeFailure
	}
	return OutcomeSuccess
}

// openAttempts are the attempts of this boot whose outcome is not stored. From them
// comes the low mark: a position before which every attempt has ended, from which
// the next Open has to read.
type openAttempts struct {
	mu    sync.Mutex
	open  map[*Attempt]Position // not above the attempt's own position
	lost  Position              // not above the first attempt that Begin gave up and the store may have; 0 if there is none
	last  Position              // the highest position known to be stored
	next  Position              // when last has reached it, the low mark is looked at
	stale bool                  // it is to be looked at
}

// add takes a slot for an attempt that is about to be stored: its position will be
// above all that are stored now.
func (o *openAttempts) add(a *Attempt, limit int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.open) >= limit {
		return false
	}
	if o.open == nil {
		o.open = map[*Attempt]Position{}
	}
	o.open[a] = o.last + 1
	return true
}

func (o *openAttempts) remove(a *Attempt) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.open, a)
}

// drop gives back the slot of an attempt that Begin gave up. If the store may have it
// all the same, the low mark stays before it, for the next Open to find it.
func (o *openAttempts) drop(a *Attempt, maybeStored bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if at := o.open[a]; maybeStored && (o.lost == 0 || at < o.lost) {
		o.lost = at
	}
	delete(o.open, a)
}

// reached notes a stored position, and reports whether the low mark has fallen so far
// behind it that it is time to look at it.
func (o *openAttempts) reached(at Position) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = max(o.last, at)
	if o.last < o.next {
		return false
	}
	o.next = o.last + lowMarkStep/8 // looks at long-lived attempts are not to become many
	o.stale = true
	return true
}

// low returns the low mark as it could be now, and whether an attempt holds it back.
func (o *openAttempts) low() (mark Position, held bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	mark = o.last + 1
	if o.lost != 0 {
		mark = min(mark, o.lost)
	}
	for _, at := range o.open {
		mark = min(mark, at)
	}
	return mark, len(o.open) > 0 || o.lost != 0
}

func (o *openAttempts) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.open)
}

// due reports whether the low mark is to be looked at, once each time.
func (o *openAttempts) due() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	due := o.stale
	o.stale = false
	return due
}

func (o *openAttempts) saved(mark Position) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next = mark + lowMarkStep
}
