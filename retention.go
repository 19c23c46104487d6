package cts

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Consumers is the optional ability of a [Store] to know who reads its log, so that
// retention keeps what they have not read. The [Dumper] registers itself.
//
// SetConsumer registers a consumer, or moves it: everything up to pos it has passed
// and needs no more. It returns when that is as durable as a state is; a consumer
// calls it behind its own checkpoint, never before. pos may be lower than before,
// which brings nothing back. A name is one that [CheckStateName] accepts.
// RemoveConsumer ends the registration, if there is one. Consumers returns all of
// them; the map is the caller's own.
//
// All three are safe for concurrent use, with Retain too.
type Consumers interface {
	// SetConsumer registers a consumer or moves it to pos.
	SetConsumer(ctx context.Context, name string, pos Position) error

	// RemoveConsumer removes a consumer.
	RemoveConsumer(ctx context.Context, name string) error

	// Consumers returns the position of each consumer.
	Consumers(ctx context.Context) (map[string]Position, error)
}

// Retainer is the optional ability of a [Store] to drop its oldest traces. Without
// such a call no store drops anything. [Tracker.Retain] makes it and declares what
// is lost by it.
//
// Retain drops traces from the front, in order of position, for as long as the next
// ones are too old or the store is too large, see [Retention], and no consumer needs
// them. What is kept is without a hole. A store drops whole units of its own, such
// as batches or segments, so it may keep more than was asked for and never keeps
// less. What was dropped stays dropped when the store is opened again; positions are
// not used again, and the ids of dropped traces are free.
//
// After with a position below the oldest retained trace yields a
// [*PositionGoneError]. Iterators under way go on over what they began with, or pass
// over what is gone in a Query, or end with that error in After and Follow: a log
// never has a hole that nobody is told of. Appends and queries go on meanwhile.
type Retainer interface {
	// Retain drops the oldest traces.
	Retain(ctx context.Context, r Retention) (Retained, error)
}

// Retention says what a store need not keep. The zero Retention keeps everything.
type Retention struct {
	// Before drops what was recorded before, in milliseconds since 1970 UTC. It
	// ends at the first trace whose record_time is not below. 0 is no bound.
	Before int64

	// MaxBytes drops the oldest until at most so many bytes are kept, as the store
	// counts them: the files of a store on disk, the JSON in memory. 0 is no bound.
	MaxBytes int64

	// Force drops also what a consumer has not passed. Default: false, such traces
	// are kept, whatever the bounds say.
	Force bool
}

// Validate reports what is wrong with r. Stores call it.
func (r Retention) Validate() error {
	if r.Before < 0 || r.MaxBytes < 0 {
		return fmt.Errorf("cts: Retention: Before %d and MaxBytes %d must not be negative", r.Before, r.MaxBytes)
	}
	return nil
}

// Retained says what a [Retainer] did.
type Retained struct {
	Traces int64    // dropped
	Bytes  int64    // that they took, as the store counts
	Oldest Position // of the oldest trace now; if none is left, the one that the next trace gets
	HeldBy string   // the consumer for which something is kept that is due; of several the hindmost; "" for none
	Lost   []Loss   // what consumers had not passed, in order of their names; only with Force
}

// Loss is what a consumer of a log will never see.
type Loss struct {
	Consumer    string   // its name
	First, Last Position // the positions, from the first that it had not passed
	Traces      int64    // how many traces they were; at most that many where a [Dumper] reports it
}

// PositionGoneError is an [ErrPositionGone] that says where the log begins now.
type PositionGoneError struct {
	Position Position // that was asked for
	Oldest   Position // of the oldest retained trace; if there is none, the one that the next trace gets
}

// Error implements error.
func (e *PositionGoneError) Error() string {
	return fmt.Sprintf("cts: traces behind position %d were dropped by retention; go on from %d, the oldest retained", e.Position, e.Oldest)
}

// Unwrap returns [ErrPositionGone].
func (e *PositionGoneError) Unwrap() error { return ErrPositionGone }

// goneAbove returns where the log goes on above at, if err is that it is gone there.
func goneAbove(at Position, err error) (oldest Position, ok bool) {
	var gone *PositionGoneError
	if !errors.As(err, &gone) || gone.Oldest <= at+1 {
		return 0, false
	}
	return gone.Oldest, true
}

// Retain has the store drop its oldest traces, see [Retainer]; without that ability
// it is [ErrNotSupported]. Nothing calls it but the application, from a timer of its
// own for instance.
//
// When Force drops what a consumer had not passed, a gap trace declares how many
// traces that are, with the reason "retention". It is stored when Retain returns
// without an error. If it can't be stored, Retain returns that beside what it did,
// and the next Retain, or Close, stores it. These traces do not count as Lost in the
// [Status]: they were stored.
func (t *Tracker) Retain(ctx context.Context, r Retention) (Retained, error) {
	if !t.gate.enter() {
		return Retained{}, ErrClosed
	}
	defer t.gate.leave()
	store, ok := ability[Retainer](t.store)
	if !ok {
		return Retained{}, fmt.Errorf("%w: it drops no traces", ErrNotSupported)
	}
	t.dropped.mu.Lock()
	defer t.dropped.mu.Unlock()
	done, err := store.Retain(ctx, r)
	return done, errors.Join(err, t.noteDropped(done.Lost), t.declareDropped(ctx))
}

// dropped are gap traces of what retention took from consumers.
type dropped struct {
	mu  sync.Mutex
	due []Entry // not known to be stored
}

// noteDropped makes the gap trace of the losses; t.dropped.mu is held.
func (t *Tracker) noteDropped(losses []Loss) error {
	now := t.now()
	gap := Gap{Exact: true, From: now, To: now, Reason: "retention"}
	for _, l := range losses {
		gap.Count = max(gap.Count, l.Traces) // all end at the same trace, so the longest has the others in it
	}
	if gap.Count == 0 {
		return nil
	}
	id, err := t.ids.next(now)
	if err != nil {
		return fmt.Errorf("cts: retention dropped %d traces that consumers had not passed, and no gap trace says so: making a trace id: %w", gap.Count, err)
	}
	tr := t.gapTrace(id, gap, now)
	t.dropped.due = append(t.dropped.due, Entry{Trace: &tr, JSON: tr.AppendJSON(nil)})
	return nil
}

// declareDropped stores the gap traces that are due; t.dropped.mu is held. Their ids
// stay the same, so that another try stores none twice.
func (t *Tracker) declareDropped(ctx context.Context) error {
	if len(t.dropped.due) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.opts.AppendTimeout)
	defer cancel()
	if _, err := t.store.Append(ctx, t.dropped.due); err != nil {
		t.failed(len(t.dropped.due), err)
		return fmt.Errorf("cts: the gap trace of what retention dropped is not stored: %w", err)
	}
	t.dropped.due = nil
	return nil
}
