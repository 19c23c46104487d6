package cts

import (
	"context"
	"errors"
	"fmt"
)

// This file is what a Dumper has to do with retention: it holds traces that are not
// dumped yet, and passes over those that are gone.

// readAgain reads the traces up to a position into the window again, or as many of them as
// it takes. What is gone is reported.
func (d *Dumper) readAgain(ctx context.Context, w *window, to Position, lost func(first, last Position)) error {
	from := w.to
	for again := true; again; {
		again = false
		for e, err := range d.source.After(ctx, from) {
			if oldest, gone := goneAbove(from, err); gone {
				lost(from+1, min(oldest-1, to))
				from, again = oldest-1, oldest <= to
				break
			}
			if err != nil {
				if d.damaged(err) {
					continue
				}
				return fmt.Errorf("cts: reading an interrupted cycle again: %w", err)
			}
			if e.Position > to {
				break
			}
			fits, err := w.take(e)
			if errors.Is(err, errPlanned) {
				return err
			} else if err != nil {
				d.damaged(err)
			}
			if !fits {
				return nil
			}
			from = e.Position
			if !w.again && w.full(&d.opts) {
				return nil
			}
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
	d.report(l)
}

// report reports a loss.
func (d *Dumper) report(l Loss) {
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
	if err := d.finish(ctx); err != nil {
		return err
	}
	w := d.next
	if w == nil { // given up with the state
		return nil
	}
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
	d.beside(d.hold(ctx))
	return nil
}

// needed returns up to where the log is needed no more: everything up to it is in the
// bucket, and sealed if that is wanted.
func (d *Dumper) needed() Position {
	pos := d.state.Position
	for _, q := range d.state.Quarantine {
		pos = min(pos, q.From)
	}
	for _, b := range d.state.Behind {
		pos = min(pos, b.Position)
	}
	if d.seal != nil {
		_, _, sealed := d.seal.unsealed(&d.state)
		pos = min(pos, sealed)
	}
	return pos
}

// hold tells the source, if it wants to know, up to where it is needed no more. It
// follows the checkpoint: what is held is never less than what is missing in the bucket.
func (d *Dumper) hold(ctx context.Context) error {
	pos := d.needed()
	if d.consumers == nil || d.held && d.heldAt == pos {
		return nil
	}
	err := d.consumers.SetConsumer(ctx, d.opts.StateName, pos)
	switch {
	case errors.Is(err, ErrReadOnly), errors.Is(err, ErrNotSupported):
		d.consumers = nil // who writes there knows of no dumper here
	case err != nil:
		return fmt.Errorf("cts: registering consumer %s: %w", d.opts.StateName, err)
	}
	d.held, d.heldAt = true, pos
	return nil
}
