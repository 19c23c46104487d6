package cts

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Tracker records traces: it is what an application calls. It takes each trace
// through the same steps (policy, redaction, limits, stamp) and delivers it to a
// store. Open one with [Open]; its methods are safe for concurrent use.
type Tracker struct {
	opts     TrackerOptions
	store    Appender
	states   StateStore // nil if the store keeps none
	writer   Writer
	boots    bootState
	attempts openAttempts
	recovery RecoveryReport
	ids      *idSource
	gate     gate
	queue    *queue
	losses   losses
	dropped  dropped
	stats    stats
	work     sync.Pool // of *work

	stop    context.CancelCauseFunc // ends the flusher
	stopped chan struct{}           // closed when it has ended
	closing sync.Once
	closed  error
}

// Receipt says what became of a trace.
type Receipt struct {
	ID       string   // its trace_id
	Position Position // its place in the store; 0 unless Durable
	Durable  bool     // the store has it; false while it is in the queue
	Skipped  bool     // the policy decided not to record it; nothing else is set then
}

// ErrEnded is returned by a second End of the same attempt.
var ErrEnded = errors.New("cts: the attempt has ended already")

// Open starts a Tracker on a store; nil options are the defaults. Only the ability
// to append is needed. In a store that is a [Log] and a [StateStore] too, Open
// looks at what the last boot of this tracker left behind when it was killed:
// attempts without an outcome get the outcome unknown, and a queue that was lost is
// declared in a gap trace; see [RecoveryReport]. Then it records that it started.
//
// The context bounds Open and nothing else.
func Open(ctx context.Context, store Appender, opts *TrackerOptions) (*Tracker, error) {
	if store == nil {
		return nil, errors.New("cts: Open needs a store")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	t := &Tracker{opts: o, store: store, ids: newIDSource(o.Rand), queue: newQueue(o.QueueBytes), stopped: make(chan struct{})}
	t.gate.idle = make(chan struct{})
	t.states, _ = stateStore(store)
	if err := t.begin(ctx); err != nil {
		return nil, fmt.Errorf("cts: opening tracker %q: %w", o.Name, err)
	}
	run, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	t.stop = stop
	go t.flush(run)
	return t, nil
}

// Record records one operation that has happened. It fills in what tr leaves open
// (actor, origin and ids from the context, the time, the options' defaults) and
// assigns the id; tr itself is not changed, nor kept.
//
// With [Durable] delivery a nil error means that the store has the trace. With
// [Queued] delivery it means that the trace is in the queue. Cancelling ctx does
// not cancel the record. Errors: [ErrInvalidTrace], or [ErrTooLarge] with Limits.Reject,
// for what is not taken up at all; [ErrOutcomeUnknown], after which the Tracker goes on
// to settle it by itself, so do not record the operation again; [ErrClosed]. After
// any other error the trace is lost, counted, and becomes part of a gap trace.
func (t *Tracker) Record(ctx context.Context, tr *Trace) (Receipt, error) {
	if !t.gate.enter() {
		return Receipt{}, ErrClosed
	}
	defer t.gate.leave()
	w := t.borrow()
	defer t.release(w)
	if tr == nil {
		tr = &Trace{} // refused for its name
	}
	if keep, err := t.prepare(ctx, w, tr, ordinary); err != nil || !keep {
		return Receipt{Skipped: !keep && err == nil}, err
	}
	t.stats.offered.Add(1)
	if t.opts.Delivery == Queued {
		return t.enqueue(w)
	}
	return t.append(ctx, w)
}

// Flush returns when everything accepted before is stored, a due gap trace
// included, or with the error of ctx when that ends first.
func (t *Tracker) Flush(ctx context.Context) error {
	if !t.gate.enter() {
		return ErrClosed
	}
	defer t.gate.leave()
	return t.queue.drain(ctx, t.stopped)
}

// Close stops the Tracker: it takes no more traces, waits for those under way,
// stores what is queued, and records that it stopped. It does not close the store.
// Attempts that have not ended stay open; the next Open gives them the outcome
// unknown. Close is idempotent; later calls of other methods return [ErrClosed].
//
// When ctx ends before all is stored, the rest is given up and counted in the Status;
// the error says how many traces that are. The number is saved in the store's states,
// for which Close may take a second more, and the next Open declares it in a gap trace.
// A ctx without a deadline is given one, AppendTimeout from now: a store that fails must
// not keep the process from ending.
func (t *Tracker) Close(ctx context.Context) error {
	t.closing.Do(func() { t.closed = t.close(ctx) })
	return t.closed
}

func (t *Tracker) close(ctx context.Context) error {
	t.gate.close()
	if _, ok := ctx.Deadline(); !ok {
		bounded, cancel := context.WithTimeout(ctx, t.opts.AppendTimeout)
		defer cancel()
		ctx = bounded
	}
	var err error
	select {
	case <-t.gate.idle:
		err = t.queue.drain(ctx, t.stopped)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	t.stop(errGivenUp)
	<-t.stopped
	if left, size := t.queue.size(); left > 0 {
		t.losses.add(Gap{Count: int64(left), Exact: true, Bytes: int64(size), From: t.now(), To: t.now()}, reason(errGivenUp))
		t.queue.release(left, size)
	}
	if lost := t.losses.undeclared(); lost.Count > 0 {
		err = errors.Join(err, fmt.Errorf("cts: tracker %q closed with %d traces not stored nor declared", t.opts.Name, lost.Count))
		return errors.Join(err, t.endInDebt(ctx, lost))
	}
	if err != nil {
		return err
	}
	t.dropped.mu.Lock()
	defer t.dropped.mu.Unlock()
	if err := t.declareDropped(ctx); err != nil {
		return err
	}
	return t.end(ctx)
}

// gate lets operations in until it is closed, and tells when the last has left.
type gate struct {
	n      atomic.Int64
	shut   atomic.Bool
	closed sync.Once
	idle   chan struct{} // closed when shut and nobody is inside
}

func (g *gate) enter() bool {
	g.n.Add(1)
	if g.shut.Load() {
		g.leave()
		return false
	}
	return true
}

func (g *gate) leave() {
	if g.n.Add(-1) == 0 && g.shut.Load() {
		g.closed.Do(func() { close(g.idle) })
	}
}

func (g *gate) close() {
	g.shut.Store(true)
	if g.n.Load() == 0 {
		g.closed.Do(func() { close(g.idle) })
	}
}
