package cts

import (
	"context"
	"errors"
	"fmt"
)

// This file is what a Dumper has to do with retention: it holds traces that are not
// dumped yet, and passes over those that are gone.

// readAgain reads the traces of the plan into the window.
func (d *Dumper) readAgain(ctx context.Context, w *window) error {
	from := w.to
	for again := true; again; {
		again = false
		for e, err := range d.source.After(ctx, from) {
			if oldest, gone := goneAbove(from, err); gone {
				d.lost(from+1, min(oldest-1, d.state.Plan.To))
				from, again = oldest-1, oldest <= d.state.Plan.To
				break
			}
			if err != nil {
				if d.damaged(err) {
					continue
				}
				return fmt.Errorf("cts: reading an interrupted cycle again: %w", err)
			}
			if e.Position > d.state.Plan.To {
				break
			}
			if err := w.take(e); err != nil {
				d.damaged(err)
			}
			from = e.Position
		}
	}
	return nil
}

// lost takes note of traces that were gone before they were read. They are met again
// whenever the log is read again from the same checkpoint.
func (d *Dumper) lost(first, last Position) {
	first = max(first, d.lostTo+1)
	if first > last {
		return
	}
	d.lostTo = last
	l := Loss{Consumer: d.opts.StateName, First: first, Last: last, Traces: int64(last - first + 1)}
	d.mu.Lock()
	d.status.Lost += l.Traces
	d.mu.Unlock()
	if f := d.opts.Events.Lost; f != nil {
		f(l)
	}
}

// skip goes on in the log from the oldest retained trace. Unless traces wait for a
// cycle, which moves the checkpoint, it is moved at once.
func (d *Dumper) skip(ctx context.Context, oldest Position) error {
	w := d.next
	d.lost(w.to+1, oldest-1)
	w.to = oldest - 1
	if w.traces > 0 {
		return nil
	}
	st := d.state
	st.Position = w.to
	if err := d.save(ctx, st); err != nil {
		return err
	}
	return d.hold(ctx)
}

// hold tells the source, if it wants to know, what is not dumped yet. It follows
// the checkpoint: what is held is never less than what is missing in the bucket.
func (d *Dumper) hold(ctx context.Context) error {
	if d.consumers == nil || d.held && d.heldAt == d.state.Position {
		return nil
	}
	err := d.consumers.SetConsumer(ctx, d.opts.StateName, d.state.Position)
	switch {
	case errors.Is(err, ErrReadOnly), errors.Is(err, ErrNotSupported):
		d.consumers = nil // who writes there knows of no dumper here
	case err != nil:
		return fmt.Errorf("cts: registering consumer %s: %w", d.opts.StateName, err)
	}
	d.held, d.heldAt = true, d.state.Position
	return nil
}
