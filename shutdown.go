package cts

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ShutdownOptions are what [Shutdown] ends. Every part may be left out.
type ShutdownOptions struct {
	// Intake stops what makes traces, such as the Shutdown of an http.Server. All are
	// called at the same time, and should return when nothing is recorded any more.
	// Default: none.
	Intake []func(context.Context) error

	// Trackers are closed, which stores what they have queued. Default: none.
	Trackers []*Tracker

	// Dumpers dump what the store has, and are closed, which ends their Run.
	// Default: none.
	Dumpers []*Dumper

	// Seal has the Dumpers with Validation seal what they have delivered, with digests
	// that end now. Without it the next process seals it. Default: false.
	Seal bool

	// Store is closed as the last, whatever happened before. Default: none.
	Store Store
}

// Leftover is what a [Shutdown] has left undone. All of it but Given is in the store,
// and the next process does it.
type Leftover struct {
	Given        int64 // traces that Trackers took up and the store does not have; the next Open declares them in a gap trace
	OpenAttempts int64 // attempts without an outcome; the next Open gives them the outcome unknown
	Undelivered  int64 // traces that are not in the bucket, over all Dumpers
	AtLeast      bool  // there was no time to count all that is undelivered
	Quarantined  int   // trace files that are set aside; their traces count as Undelivered
	Unsealed     int64 // traces in the bucket that no digest covers, of Dumpers with Validation
}

// None reports whether nothing is left.
func (l Leftover) None() bool { return l == Leftover{} }

// countTime is how long Shutdown may take behind its deadline, to count what is left.
const countTime = time.Second

// Shutdown ends everything in the order in which traces move, so that nothing is lost
// that there was time for: it stops the intake, closes the Trackers, dumps, seals, and
// closes the store. It returns what is left when ctx ends, about a second later at most,
// unless a part does not heed its context; and the errors of all parts, joined.
//
// A part that hangs does not use up the time of all: the intake has half of it, the
// Trackers half of what is left then, dumping two thirds of the rest if there is to be
// sealed, and all of it otherwise. Give ctx a deadline, somewhat below the time after
// which the process is killed; without one, a bucket that fails at once is given up at
// once, and one that hangs is waited for.
func Shutdown(ctx context.Context, opts *ShutdownOptions) (Leftover, error) {
	if opts == nil {
		return Leftover{}, nil
	}
	var left Leftover
	var faults []error
	stage := func(name string, part float64, n int, do func(ctx context.Context, i int) error) {
		if err := together(ctx, part, n, do); err != nil {
			faults = append(faults, fmt.Errorf("cts: shutting down %s: %w", name, err))
		}
	}
	o := opts.withoutNil()
	stage("the intake", 0.5, len(o.Intake), func(ctx context.Context, i int) error { return o.Intake[i](ctx) })
	stage("trackers", 0.5, len(o.Trackers), func(ctx context.Context, i int) error { return o.Trackers[i].Close(ctx) })
	part := 1.0
	if o.Seal {
		part = 2.0 / 3
	}
	stage("the dump", part, len(o.Dumpers), func(ctx context.Context, i int) error { return o.Dumpers[i].Flush(ctx) })
	if o.Seal {
		stage("sealing", 1, len(o.Dumpers), func(ctx context.Context, i int) error {
			if o.Dumpers[i].seal == nil {
				return nil
			}
			return o.Dumpers[i].Seal(ctx)
		})
	}
	left.count(ctx, o)
	if o.Store != nil {
		if err := o.Store.Close(); err != nil {
			faults = append(faults, fmt.Errorf("cts: shutting down the store: %w", err))
		}
	}
	return left, errors.Join(faults...)
}

// withoutNil returns the options without parts that are nil.
func (o *ShutdownOptions) withoutNil() ShutdownOptions {
	c := ShutdownOptions{Seal: o.Seal, Store: o.Store}
	for _, f := range o.Intake {
		if f != nil {
			c.Intake = append(c.Intake, f)
		}
	}
	for _, t := range o.Trackers {
		if t != nil {
			c.Trackers = append(c.Trackers, t)
		}
	}
	for _, d := range o.Dumpers {
		if d != nil {
			c.Dumpers = append(c.Dumpers, d)
		}
	}
	return c
}

// together does n things at the same time, in a part of the time that ctx has left, and
// returns their errors.
func together(ctx context.Context, part float64, n int, do func(ctx context.Context, i int) error) error {
	if deadline, ok := ctx.Deadline(); ok {
		left := max(0, time.Until(deadline)) //nolint:forbidigo // a deadline is of the system's clock
		bounded, cancel := context.WithTimeout(ctx, time.Duration(float64(left)*part))
		defer cancel()
		ctx = bounded
	}
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = do(ctx, i) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// count closes the Dumpers and counts what is left.
func (l *Leftover) count(ctx context.Context, o ShutdownOptions) {
	for _, t := range o.Trackers {
		st := t.Status()
		l.Given += st.Lost - st.Declared + st.Queued
		l.OpenAttempts += st.OpenAttempts
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), countTime)
	defer cancel()
	for _, d := range o.Dumpers {
		d.Close()
		n, all := d.backlog(ctx)
		l.Undelivered += n
		l.AtLeast = l.AtLeast || !all
		st := d.Status()
		l.Quarantined += st.Quarantined
		l.Unsealed += st.Unsealed
	}
}

// backlog counts the traces that are not in the bucket, and reports whether it counted
// all. The Dumper is closed.
func (d *Dumper) backlog(ctx context.Context) (n int64, all bool) {
	d.turn <- struct{}{}
	defer func() { <-d.turn }()
	if !d.begun && d.load(ctx) != nil {
		return 0, false
	}
	for _, q := range d.state.Quarantine {
		n += int64(q.Traces)
	}
	behind := map[string]Position{}
	first := d.state.Position
	for _, b := range d.state.Behind {
		behind[b.Tracker] = b.Position
		first = min(first, b.Position)
	}
	w := d.newWindow(first, d.opts.Level)
	waits := func(e Entry) bool {
		if e.Position > d.state.Position {
			return true
		}
		g, _, err := w.route(e)
		pos, ok := behind[g.tracker]
		return err == nil && ok && e.Position > pos
	}
	for from, again := first, true; again; {
		again = false
		for e, err := range d.source.After(ctx, from) {
			if oldest, gone := goneAbove(from, err); gone {
				from, again = oldest-1, true
				break
			}
			switch {
			case err == nil:
				from = e.Position
				if waits(e) {
					n++
				}
			case !errors.Is(err, ErrCorrupt):
				return n, false
			}
		}
	}
	return n, true
}
