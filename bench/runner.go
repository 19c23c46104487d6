package main

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/cloudtraceservice/cts/bench/child"
	"github.com/cloudtraceservice/cts/bench/limits"
	"github.com/cloudtraceservice/cts/bench/ours"
	"github.com/cloudtraceservice/cts/bench/report"
)

// runner is a contestant that takes part in a stage.
type runner struct {
	name string
	dir  string
	p    *child.Process
	down bool // it failed, and is left out from then on
}

// start starts a contestant in a new folder. It returns nil for one that is missing,
// which is noted.
func (b *bench) start(ctx context.Context, role, name string, w child.Workload, output bool) (*runner, error) {
	dir, err := b.folder(name)
	if err != nil {
		return nil, err
	}
	setup := child.Setup{Role: role, Name: name, Dir: dir, Workload: w}
	if output {
		setup.Output = filepath.Join(b.work, filepath.Base(dir)+".out")
	}
	return b.startIn(ctx, setup)
}

// startIn starts a contestant in the folder of the setup.
func (b *bench) startIn(ctx context.Context, setup child.Setup) (*runner, error) {
	p, err := child.Start(ctx, setup, b.patience)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, child.ErrMissing) && setup.Name != ours.Name && setup.Name != limits.Name:
		b.say("%s is missing: %v", setup.Name, err)
		b.report.NotThere(report.Missing{Role: setup.Role, Name: setup.Name, Reason: err.Error()})
		return nil, os.RemoveAll(setup.Dir)
	case err != nil:
		return nil, err
	}
	i := p.Opened.Info
	b.report.TookPart(report.Contestant{Role: setup.Role, Name: setup.Name, Version: i.Version, Setup: i.Setup})
	return &runner{name: setup.Name, dir: setup.Dir, p: p}, nil
}

// failed notes that a contestant failed, and leaves it out.
func (b *bench) failed(ctx context.Context, r *runner, what string, err error) {
	if ctx.Err() != nil {
		return // not its fault
	}
	r.down = true
	b.say("%s failed: %s: %v", r.name, what, err)
	b.report.Fail("%s failed at %s: %v", r.name, what, err)
}

// stop ends contestants and removes what they kept.
func (b *bench) stop(all ...*runner) error {
	var errs []error
	for _, r := range all {
		if r.p != nil {
			if err := r.p.Close(); err != nil && !r.down {
				b.report.Fail("%s failed at closing: %v", r.name, err)
			}
		}
		errs = append(errs, os.RemoveAll(r.dir))
	}
	return errors.Join(errs...)
}

// isOurs reports whether the name is one of this project.
func isOurs(name string) bool {
	switch name {
	case ours.Name, oursFile, oursFileRedacted, oursMemory, oursMemoryRedacted:
		return true
	}
	return false
}

// chosen reports whether a contestant takes part at all.
func (b *bench) chosen(name string) bool {
	return isOurs(name) || name == limits.Name || b.takesPart(name)
}

// turns returns the contestants in another order for each repetition, so that none
// always follows the same one, and leaves a moment before each for what the one before
// still does in the background. Contestants that are down are left out.
func (b *bench) turns(all []*runner, repetition int) iter.Seq[*runner] {
	const moment = 5 * time.Millisecond
	order := rand.New(rand.NewPCG(b.seed, uint64(repetition))).Perm(len(all)) //nolint:gosec // reproducible by design
	return func(yield func(*runner) bool) {
		for _, i := range order {
			if all[i].down {
				continue
			}
			time.Sleep(moment)
			if !yield(all[i]) {
				return
			}
		}
	}
}

// figures collects what the contestants got in one row, a value for each repetition.
type figures map[string][]float64

func (f figures) add(name string, v float64) { f[name] = append(f[name], v) }

// row makes a row of the medians. Of several names of this project, us is the one that
// the row is about.
func (f figures) row(r report.Row, us string) *report.Row {
	r.Peers, r.Spreads = map[string]float64{}, map[string]float64{}
	for name, values := range f {
		if len(values) == 0 {
			continue
		}
		m := report.Median(values)
		key := name
		switch {
		case name == us:
			r.Ours, key = &m, ""
		case name == limits.Name:
			r.Limit = &m
		case isOurs(name):
			continue
		default:
			r.Peers[name] = m
		}
		if s, ok := report.Spread(values); ok {
			r.Spreads[key] = s
		}
	}
	return &r
}
