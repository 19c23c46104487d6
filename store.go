package cts

import (
	"context"
	"fmt"
	"iter"
	"strings"
)

// Limits that every store keeps.
const (
	MaxBatchBytes = 16 << 20 // the JSON of one batch
	MaxStateBytes = 4 << 20  // one named state
)

// Position is the place of a trace in a store. The first trace has 1; 0 is the
// place before it. Positions are assigned when a batch is committed, in the order
// of its traces, and never move.
type Position uint64

// Entry is a trace on its way into a store or out of it.
//
// On the way in, Trace or JSON is set, or both. JSON must then be what
// [Trace.AppendJSON] writes for the trace; a store may rely on it. Position is
// ignored.
//
// On the way out, Position is set, and Trace by Query and JSON by After; the other one
// may be nil. [Entry.Decode] gives the trace and [Entry.AppendJSON] the stored JSON
// whichever is set. A trace whose stored JSON is not what AppendJSON writes for it has
// JSON set also by Query, unless heads only are asked for. What Trace and JSON point to
// is valid until the next step of the iterator and is not to be changed; [Entry.Clone]
// keeps it.
type Entry struct {
	Position Position
	Trace    *Trace
	JSON     []byte

	// Route may be set by After, by a store that knows it without parsing the JSON. It
	// says what the JSON says, and is valid as long.
	Route *Route

	scan *Scan // the query that yielded it, for Cursor
}

// Route is what decides on the trace file of a trace.
type Route struct {
	TrackerName string
	ServiceType string
	RecordTime  int64
}

// Decode returns the trace in memory of its own.
func (e Entry) Decode() (*Trace, error) {
	if e.Trace != nil {
		return e.Trace.Clone(), nil
	}
	return ParseTrace(e.JSON)
}

// AppendJSON appends the JSON of the trace to dst, byte for byte as it is stored, and
// returns the extended slice. For an entry of a query for heads that is the JSON of
// what is left of the trace.
func (e Entry) AppendJSON(dst []byte) []byte {
	if e.JSON == nil && e.Trace != nil {
		return e.Trace.AppendJSON(dst)
	}
	return append(dst, e.JSON...)
}

// Clone returns an entry whose memory is its own.
func (e Entry) Clone() Entry {
	if e.Trace != nil {
		e.Trace = e.Trace.Clone()
	}
	e.JSON = append([]byte(nil), e.JSON...)
	if e.Route != nil {
		e.Route = &Route{strings.Clone(e.Route.TrackerName), strings.Clone(e.Route.ServiceType), e.Route.RecordTime}
	}
	return e
}

// withoutBodies returns e as [Query.HeadsOnly] asks for.
func (e Entry) withoutBodies() Entry {
	t := *e.Trace
	t.head()
	e.Trace, e.JSON = &t, nil
	return e
}

// Cursor returns a text from which another run of the same query goes on right
// behind this trace, see [Query.Resume]. It is "" for an entry that no Query yielded.
func (e Entry) Cursor() string {
	if e.scan == nil || e.Trace == nil {
		return ""
	}
	return e.scan.cursor(e.Trace.Time, e.Position)
}

// Appended says what an append did.
type Appended struct {
	First, Last Position // lowest and highest position of the batch's traces, those already there included
	Existing    int      // how many were there already
}

// Appender takes traces in.
//
// Append stores one batch: all of it or nothing, in its order, at most
// [MaxBatchBytes] of JSON in traces of at most [MaxTraceBytes]; over that it is
// [ErrTooLarge]. An empty batch does nothing. It returns when the batch is as
// durable as the store was opened to make it.
//
// A trace whose id is stored already changes nothing and counts as Existing if it
// is the same trace ([Trace.AppendContent]); if it is another, the batch fails with
// a [*ConflictError] and nothing of it is stored, so that an id can't be used to
// hide a later action. Both hold for the ids retained now, and inside one batch.
//
// A context that ends before the batch is admitted stores nothing, and the error
// is the context's. After that, an append that can't be seen to its end fails with
// [ErrOutcomeUnknown]; a retry with the same ids is safe. Other errors:
// [ErrInvalidTrace], [ErrStoreFull], [ErrReadOnly], [ErrClosed].
//
// Append never changes the caller's memory nor keeps it after it returned. It may
// be called by any number of goroutines at a time.
type Appender interface {
	// Append stores one batch.
	Append(ctx context.Context, batch []Entry) (Appended, error)
}

// Reader answers questions.
//
// Query yields the traces that [Query.Match] accepts, in the query's order, from
// its cursor on, at most Limit of them. It sees every trace whose Append returned
// before Query was called, and none that was appended after the first step. An
// error is yielded once, as the last step, except for a [*CorruptionError]: the
// caller may go on past it. [ErrBadQuery] and [ErrBadCursor] come as the first
// step; what a store can't answer is [ErrNotSupported], never an empty answer.
//
// The iterator may be left at any step, run more than once, and run by several
// goroutines at a time. It stops with the context's error when the context ends.
type Reader interface {
	// Query yields the traces that q accepts.
	Query(ctx context.Context, q Query) iter.Seq2[Entry, error]
}

// Log gives the traces back in the order in which they were stored.
//
// After yields every trace behind pos once, in order of position, up to what is
// synced when it is called, whatever the sync level of the store: a position that
// After has shown is never given to another trace. Positions that were visible
// have no lower one appearing later. If traces right behind pos were dropped by
// retention, it yields a [*PositionGoneError] and nothing else; a pos behind the last trace yields nothing. Damage is yielded
// as a [*CorruptionError] that names the lost positions, and the caller may go on.
//
// A store that can't promise this order does not implement Log.
type Log interface {
	// After yields every trace behind pos.
	After(ctx context.Context, pos Position) iter.Seq2[Entry, error]
}

// Store keeps traces. Package store/storetest checks an implementation against
// everything that these comments promise.
//
// ID is a UUID made when the store was created; it never changes. Close waits for
// appends under way, is idempotent, and makes all later calls fail with
// [ErrClosed]. All methods are safe for concurrent use.
type Store interface {
	Appender
	Reader
	Log

	// ID returns the store's UUID.
	ID() string

	// Close waits for appends under way and closes the store.
	Close() error
}

// StateStore keeps small named states beside the traces: plans, checkpoints, open
// boots. It is an optional ability of a [Store].
//
// LoadState returns the state and its generation; a state that was never saved is
// nil with generation 0. SaveState replaces the state if its generation is still
// the one given, durably and at once, and returns the new one; otherwise it fails
// with [ErrStateConflict]. A name has 1 to 200 of the characters a-z, 0-9, '.', '-'
// and '_' and does not begin with '.', see [CheckStateName]; a state is at most
// [MaxStateBytes].
type StateStore interface {
	// LoadState returns a state and its generation.
	LoadState(ctx context.Context, name string) (data []byte, generation uint64, err error)

	// SaveState replaces a state whose generation is still the one given.
	SaveState(ctx context.Context, name string, data []byte, generation uint64) (uint64, error)
}

// Verifier is the optional ability of a [Store] to read everything it holds and
// check it.
//
// Verify returns what it found; damage is part of the report and not an error.
// Appends and queries go on meanwhile.
type Verifier interface {
	// Verify reads and checks everything.
	Verify(ctx context.Context) (VerifyReport, error)
}

// VerifyReport is what [Verifier] found.
type VerifyReport struct {
	Traces  int64              // readable traces
	Bytes   int64              // bytes that were read
	Damaged []*CorruptionError // every damaged place, in order of position
}

// OK reports whether nothing was damaged.
func (r VerifyReport) OK() bool { return len(r.Damaged) == 0 }

// CheckStateName reports whether a [StateStore] takes the name.
func CheckStateName(name string) error {
	ok := name != "" && len(name) <= 200 && name[0] != '.'
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_')
	}
	if !ok {
		return fmt.Errorf("cts: state name %q: want 1 to 200 of a-z, 0-9, '.', '-', '_', not beginning with '.'", name)
	}
	return nil
}

// stateStore finds the ability to keep states, in x or in what it wraps.
func stateStore(x any) (StateStore, bool) { return ability[StateStore](x) }

// ability finds an optional interface in x, or in what x wraps if it has a method
// Unwrap() any. It is the one place where optional abilities are looked for.
func ability[T any](x any) (T, bool) {
	for x != nil {
		if t, ok := x.(T); ok {
			return t, true
		}
		w, ok := x.(interface{ Unwrap() any })
		if !ok {
			break
		}
		x = w.Unwrap()
	}
	var none T
	return none, false
}
