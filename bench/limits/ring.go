package limits

import (
	"context"
	"sync/atomic"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
)

// ringBytes is more than the caches of a processor hold.
const ringBytes = 64 << 20

// Ring is the limit of recording: the JSON of a trace, as it is, is copied to a place
// of its own in a buffer.
type Ring struct {
	buffer []byte
	at     atomic.Uint64
}

var _ contest.Recorder = (*Ring)(nil)

// NewRing returns one.
func NewRing() *Ring {
	r := &Ring{buffer: make([]byte, ringBytes)}
	for i := 0; i < len(r.buffer); i += 4 << 10 {
		r.buffer[i] = 1 // so that the memory is there
	}
	return r
}

// Info implements [contest.Contestant].
func (r *Ring) Info() contest.Info {
	return contest.Info{Name: Name, Version: "none", Setup: "the JSON of the trace, made before, is copied to a place of its own in a buffer of 64 MiB; one atomic addition"}
}

// RecordText copies a text.
func (r *Ring) RecordText(text []byte) error {
	n := uint64(len(text))
	if end := r.at.Add(n) % ringBytes; end >= n {
		copy(r.buffer[end-n:end], text)
	}
	return nil
}

// Record implements [contest.Recorder].
func (r *Ring) Record(_ context.Context, t *cts.Trace) error {
	return r.RecordText(t.AppendJSON(nil))
}

// Flush implements [contest.Recorder].
func (r *Ring) Flush(context.Context) error { return nil }

// Close implements [contest.Contestant].
func (r *Ring) Close() error { return nil }
