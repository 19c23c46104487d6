package filestore

import (
	"context"
	"sync"

	"github.com/cloudtraceservice/cts"
)

// queue holds the batches that wait for the committer, bounded in bytes. Batches
// are admitted in the order in which they came.
type queue struct {
	limit int64
	wake  chan struct{} // has an element when there may be something to take

	mu      sync.Mutex
	closed  bool
	bytes   int64 // of the batches admitted and not done
	ready   []*batch
	waiting []*admission
}

// admission is a batch that waits for room.
type admission struct {
	batch *batch
	done  chan error // gets nil when the batch was admitted, an error when it never will be
}

func newQueue(limit int64) *queue {
	return &queue{limit: limit, wake: make(chan struct{}, 1)}
}

// put admits a batch, and waits for room if need be. An error means that it was not
// admitted: the context's, or [cts.ErrClosed].
func (q *queue) put(ctx context.Context, b *batch) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return cts.ErrClosed
	}
	if len(q.waiting) == 0 && q.fits(b) {
		q.admit(b)
		q.mu.Unlock()
		return nil
	}
	a := &admission{batch: b, done: make(chan error, 1)}
	q.waiting = append(q.waiting, a)
	q.mu.Unlock()
	select {
	case err := <-a.done:
		return err
	case <-ctx.Done():
	}
	if q.withdraw(a) {
		return ctx.Err()
	}
	return <-a.done
}

// fits reports whether there is room. q.mu is held.
func (q *queue) fits(b *batch) bool { return q.bytes == 0 || q.bytes+b.size <= q.limit }

// admit takes a batch. q.mu is held.
func (q *queue) admit(b *batch) {
	q.bytes += b.size
	q.ready = append(q.ready, b)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// withdraw removes an admission that is still waiting.
func (q *queue) withdraw(a *admission) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range q.waiting {
		if w == a {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			q.refill()
			return true
		}
	}
	return false
}

// refill admits those who wait, as far as there is room. q.mu is held.
func (q *queue) refill() {
	for len(q.waiting) > 0 && q.fits(q.waiting[0].batch) {
		a := q.waiting[0]
		q.waiting[0] = nil
		q.waiting = q.waiting[1:]
		q.admit(a.batch)
		a.done <- nil
	}
}

// take appends to group what waits, no more than limit bytes, but at least one batch if
// asked. It reports whether more may come.
func (q *queue) take(group []*batch, limit int64, one bool) (taken []*batch, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, bytes := 0, int64(0)
	for n < len(q.ready) && (n == 0 && one || bytes+q.ready[n].size <= limit) {
		bytes += q.ready[n].size
		n++
	}
	group = append(group, q.ready[:n]...)
	rest := copy(q.ready, q.ready[n:])
	clear(q.ready[rest:])
	q.ready = q.ready[:rest]
	return group, !q.closed
}

// release gives back the room of batches that are done.
func (q *queue) release(bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= bytes
	if !q.closed {
		q.refill()
	}
}

// close refuses everything from now on. What was admitted stays to be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, a := range q.waiting {
		a.done <- cts.ErrClosed
	}
	q.waiting = nil
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) size() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
