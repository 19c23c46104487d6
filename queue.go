package cts

import (
	"context"
	"sync"
)

// queue holds the JSON of traces that are accepted and not yet stored, bounded in
// bytes. Traces of a queued Tracker are in it on their way; besides those, it keeps
// what must not be lost and could not be stored at once: traces of which it is
// unknown whether the store has them, and the outcomes of attempts. For the outcomes
// room is reserved: they are bounded by the number of attempts and never refused.
type queue struct {
	limit int

	mu       sync.Mutex
	chunks   []*chunk // the traces, in order
	reserved []item   // traces with reserved room
	free     []*chunk // memory of former loads, to be used again
	bytes    int      // of everything that is not done, in the current load too
	traces   int
	taken    uint64        // loads that were taken
	done     uint64        // loads that are done
	changed  chan struct{} // closed when room appears or a load is done; nil if nobody waits for that
	closed   bool          // nobody takes any more
	failed   uint64        // the last load of which something was given up, counted as done is
	failure  error         // why

	more chan struct{} // holds a token when there is something to take, soon
	wake chan struct{} // holds a token when it is to be taken at once
}

// load is what the flusher takes at once.
type load struct {
	chunks   []*chunk
	reserved []item
}

// chunk holds the JSON of traces, one behind the other. Chunks are used again and
// again, so that the queue neither grows by copying nor touches new memory.
type chunk struct {
	buf  []byte
	ends []int // where each trace ends in buf
}

// chunkBytes is the size of a chunk. A trace that is larger has one of its own.
const chunkBytes = 256 << 10

// item is one trace on its way to the store.
type item struct {
	json    []byte
	role    role
	attempt *Attempt // that it is the outcome of
}

// role says what a trace is to the accounts.
type role uint8

const (
	offered role = iota // a trace of the application
	ended               // the same, and the outcome of an attempt
)

func newQueue(limit int) *queue {
	return &queue{limit: limit, more: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
}

// put adds a trace if there is room.
func (q *queue) put(json []byte) bool {
	q.mu.Lock()
	if q.bytes+len(json) > q.limit || q.closed {
		q.mu.Unlock()
		return false
	}
	first := len(q.chunks) == 0
	before := q.bytes
	c := q.chunkFor(len(json))
	c.buf = append(c.buf, json...)
	c.ends = append(c.ends, len(c.buf))
	q.bytes += len(json)
	q.traces++
	much := before < q.limit/4 && q.bytes >= q.limit/4
	q.mu.Unlock()
	switch {
	case much:
		q.signal()
	case first:
		select {
		case q.more <- struct{}{}:
		default:
		}
	}
	return true
}

// chunkFor returns the last chunk if it has room, and a new last one otherwise. q.mu
// is held.
func (q *queue) chunkFor(size int) *chunk {
	if n := len(q.chunks); n > 0 {
		if c := q.chunks[n-1]; len(c.buf)+size <= cap(c.buf) {
			return c
		}
	}
	var c *chunk
	if n := len(q.free); n > 0 && size <= chunkBytes {
		c, q.free = q.free[n-1], q.free[:n-1]
	} else {
		c = &chunk{buf: make([]byte, 0, max(size, chunkBytes))}
	}
	q.chunks = append(q.chunks, c)
	return c
}

// putWait adds a trace as soon as there is room, and gives up when ctx ends or
// nobody takes any more.
func (q *queue) putWait(ctx context.Context, json []byte) bool {
	for {
		changed := q.watch()
		if q.put(json) {
			return true
		}
		if q.isShut() {
			return false
		}
		q.signal() // no lingering while somebody waits
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// putReserved adds a trace and keeps its memory. It refuses to go beyond limit, unless
// that is 0, for a trace whose room was reserved.
func (q *queue) putReserved(it item, limit int) bool {
	q.mu.Lock()
	if limit > 0 && q.bytes+len(it.json) > limit {
		q.mu.Unlock()
		return false
	}
	q.reserved = append(q.reserved, it)
	q.bytes += len(it.json)
	q.traces++
	q.mu.Unlock()
	q.signal()
	return true
}

// signal wakes the flusher at once.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// watch returns a channel that is closed at the next change.
func (q *queue) watch() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.change()
}

// change returns the channel of watch. q.mu is held.
func (q *queue) change() <-chan struct{} {
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	return q.changed
}

// take returns everything there is, to be finished with finish.
func (q *queue) take() load {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := load{chunks: q.chunks, reserved: q.reserved}
	q.chunks, q.reserved = nil, nil
	q.taken++
	return l
}

// release makes room: traces of the current load are stored or given up.
func (q *queue) release(traces, bytes int) {
	q.mu.Lock()
	q.traces -= traces
	q.bytes -= bytes
	q.broadcast()
	q.mu.Unlock()
}

// finish ends the load. The error says why some of it was given up. Its memory, at
// most as much as the queue may hold, is used again.
func (q *queue) finish(l load, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range l.chunks {
		if cap(c.buf) == chunkBytes && len(q.free) < q.limit/chunkBytes {
			c.buf, c.ends = c.buf[:0], c.ends[:0]
			q.free = append(q.free, c)
		}
	}
	q.done++
	if err != nil {
		q.failed, q.failure = q.done, err
	}
	q.broadcast()
}

func (q *queue) broadcast() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// shut says that nobody takes any more.
func (q *queue) shut() {
	q.mu.Lock()
	q.closed = true
	q.broadcast()
	q.mu.Unlock()
}

func (q *queue) isShut() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// drain waits until all that is in the queue now is done. It fails when some of that
// was given up, when ctx ends, or with [ErrClosed] when the flusher does.
func (q *queue) drain(ctx context.Context, flusher <-chan struct{}) error {
	q.mu.Lock()
	before, target := q.done, q.taken+1 // also when nothing is queued: a gap may be due
	q.mu.Unlock()
	q.signal()
	for {
		q.mu.Lock()
		done, changed, failed, failure := q.done, q.change(), q.failed, q.failure
		q.mu.Unlock()
		switch {
		case done < target:
		case failed > before:
			return failure
		default:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-flusher:
			return ErrClosed
		}
	}
}

func (q *queue) size() (traces, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.traces, q.bytes
}
