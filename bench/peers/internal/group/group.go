// Package group commits together what waits together, as an application does above a
// database whose commits cost an fsync each: one goroutine takes everything that
// waits into one transaction, while the next ones gather.
package group

import (
	"context"
	"errors"
	"sync"
)

// ErrClosed means that the Committer was closed.
var ErrClosed = errors.New("group: closed")

// Committer commits values in groups. Its methods may be called at the same time.
type Committer[T any] struct {
	commit func([]T) error
	wake   chan struct{} // something waits, or closed
	ended  chan struct{}

	mu      sync.Mutex
	waiting *batch[T]
	closed  bool
}

type batch[T any] struct {
	values []T
	done   chan struct{}
	err    error // set before done is closed
}

// New starts a Committer. It calls commit with what waits, in the order of arrival,
// never two at a time; commit returns when the values are durable, and doesn't keep
// the slice.
func New[T any](commit func([]T) error) *Committer[T] {
	c := &Committer[T]{commit: commit, wake: make(chan struct{}, 1), ended: make(chan struct{}), waiting: newBatch[T]()}
	go c.run()
	return c
}

func newBatch[T any]() *batch[T] { return &batch[T]{done: make(chan struct{})} }

// Add returns when v was committed, with the error of the whole group. It can't be
// called off once v waits.
func (c *Committer[T]) Add(ctx context.Context, v T) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	b := c.waiting
	b.values = append(b.values, v)
	if len(b.values) == 1 {
		c.wake <- struct{}{} // has room: a batch has one first value, and is taken after its wake
	}
	c.mu.Unlock()
	<-b.done
	return b.err
}

// Close commits what waits and stops the Committer.
func (c *Committer[T]) Close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.wake)
	}
	c.mu.Unlock()
	<-c.ended
}

func (c *Committer[T]) run() {
	defer close(c.ended)
	for range c.wake {
		c.mu.Lock()
		b := c.waiting
		c.waiting = newBatch[T]()
		c.mu.Unlock()
		b.err = c.commit(b.values)
		close(b.done)
	}
}
