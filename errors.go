package cts

import (
	"errors"
	"fmt"
)

// The errors that callers tell apart, with errors.Is. They come wrapped in what
// happened and where.
var (
	// ErrInvalidTrace: a trace, or text that should be one, is not acceptable.
	// Mend the trace; a retry does not help. The error is a *FieldError or a
	// *ParseError, which say where.
	ErrInvalidTrace = errors.New("cts: invalid trace")

	// ErrTooLarge: one trace is over MaxTraceBytes, one batch over MaxBatchBytes,
	// or one aggregation over MaxGroups. Lower the Limits, send smaller batches, or
	// ask a narrower question.
	ErrTooLarge = errors.New("cts: too large")

	// ErrIDConflict: the id is taken by another trace. Nothing of the batch was
	// stored; the error is a *ConflictError that names the index.
	ErrIDConflict = errors.New("cts: trace id is taken by another trace")

	// ErrOutcomeUnknown: the append was begun and its end was not seen. The traces
	// may be stored or not; appending the same ones again is safe and settles it.
	ErrOutcomeUnknown = errors.New("cts: outcome of the append is unknown; append the same traces again to settle it")

	// ErrStoreFull: there is no room. Free space, raise the store's bound or
	// shorten retention; nothing was evicted to make room.
	ErrStoreFull = errors.New("cts: store is full")

	// ErrLocked: another process writes to the store. Wait for it to end, or
	// open the store for reading only.
	ErrLocked = errors.New("cts: store is locked by another writer")

	// ErrClosed: the store or tracker was closed.
	ErrClosed = errors.New("cts: closed")

	// ErrReadOnly: the store was opened for reading only.
	ErrReadOnly = errors.New("cts: store is open for reading only")

	// ErrBackpressure: the queue is full and the wait ended, or the trace was
	// dropped at once as configured. The loss is counted and becomes part of a
	// gap trace. A server should answer 503 with Retry-After.
	ErrBackpressure = errors.New("cts: recording queue is full")

	// ErrNotSupported: the store can't do this. It is never expressed as an
	// empty answer.
	ErrNotSupported = errors.New("cts: not supported by this store")

	// ErrBadQuery: the query contradicts itself or names something that does
	// not exist.
	ErrBadQuery = errors.New("cts: bad query")

	// ErrBadCursor: the cursor was damaged, or made by another query or store.
	// Begin again without it.
	ErrBadCursor = errors.New("cts: bad cursor")

	// ErrPositionGone: traces right after the position asked for were dropped
	// by retention. The error is a *PositionGoneError, which says where the log
	// begins now.
	ErrPositionGone = errors.New("cts: position is below the oldest retained trace")

	// ErrCorrupt: stored bytes are damaged; the error is a *CorruptionError.
	ErrCorrupt = errors.New("cts: store is damaged")

	// ErrVersion: the data was written by a newer release, which the error
	// names, or by nobody who is known.
	ErrVersion = errors.New("cts: format version is not supported")

	// ErrStateConflict: a named state was saved by somebody else in between.
	ErrStateConflict = errors.New("cts: state was changed by another writer")

	// ErrForeignCheckpoint: the checkpoint belongs to another store. The store
	// was replaced; use a new state name or remove the state.
	ErrForeignCheckpoint = errors.New("cts: checkpoint belongs to another store")

	// ErrConflict: the bucket holds another object under a trace file's name.
	// Names contain the hash of their content, so somebody wrote it by hand.
	ErrConflict = errors.New("cts: bucket holds another object under the name of a trace file")
)

// ConflictError is an [ErrIDConflict] with its place.
type ConflictError struct {
	Index int    // index in the batch
	ID    string // the id
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("cts: trace %d of the batch: id %q is taken by another trace", e.Index, e.ID)
}

// Unwrap returns [ErrIDConflict].
func (e *ConflictError) Unwrap() error { return ErrIDConflict }

// CorruptionError is an [ErrCorrupt] with its place. It never carries bytes of a
// record, which may be personal data.
type CorruptionError struct {
	File        string   // file name within the store
	Offset      int64    // where the damage begins in it
	First, Last Position // the positions that are lost; both 0 when not known
	Err         error    // what is wrong
}

// Error implements error.
func (e *CorruptionError) Error() string {
	if e.First == 0 {
		return fmt.Sprintf("cts: damage in %s at offset %d: %v", e.File, e.Offset, e.Err)
	}
	return fmt.Sprintf("cts: damage in %s at offset %d, traces %d to %d are lost: %v", e.File, e.Offset, e.First, e.Last, e.Err)
}

// Unwrap returns [ErrCorrupt] and the cause.
func (e *CorruptionError) Unwrap() []error { return []error{ErrCorrupt, e.Err} }
