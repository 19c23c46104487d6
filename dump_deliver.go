package cts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/cloudtraceservice/cts/obs"
)

// maxAttempts bounds the keys that are tried for one file, because others were taken.
// Nobody can know them before they are used.
const maxAttempts = 8

// delivery is the cycle whose files are being put. The goroutines that put them look at
// nothing but the jobs.
type delivery struct {
	window   *window
	jobs     []*job
	failures []error // of before
	done     chan struct{}
}

// job is one file to put and verify.
type job struct {
	planned plannedFile
	file    *traceFile
	stored  storedFile
	err     error
}

// launch starts to put and verify the files of the plan, as far as they are in the
// window and were not verified before.
func (d *Dumper) launch(ctx context.Context, w *window, failures []error) {
	f := &delivery{window: w, failures: failures, done: make(chan struct{})}
	for _, planned := range d.state.Plan.Files {
		file := w.files[planned.group()]
		if _, ok := d.verified[planned.Key]; file != nil && !ok {
			f.jobs = append(f.jobs, &job{planned: planned, file: file})
		}
	}
	d.flying = f
	d.mu.Lock()
	d.observe()
	d.mu.Unlock()
	if d.opts.Workers == 1 {
		d.work(ctx, f)
		return
	}
	go d.work(ctx, f)
}

// work does the jobs. A file that fails does not keep the others back, unless it is
// because of the bucket as a whole.
func (d *Dumper) work(ctx context.Context, f *delivery) {
	defer close(f.done)
	if err := f.window.pack.wait(); err != nil {
		for _, j := range f.jobs {
			j.err = err
		}
		return
	}
	var over atomic.Bool
	do := func(j *job) {
		if j.err = ctx.Err(); j.err == nil && over.Load() {
			j.err = errPutOff
		}
		if j.err != nil {
			return
		}
		j.stored, j.err = d.put(ctx, j.planned, j.file)
		if everywhere(j.err) {
			over.Store(true)
		}
	}
	if d.opts.Workers == 1 {
		for _, j := range f.jobs {
			do(j)
		}
		return
	}
	var group errgroup.Group
	group.SetLimit(d.opts.Workers)
	for _, j := range f.jobs {
		group.Go(func() error {
			do(j)
			return nil
		})
	}
	_ = group.Wait() // each job has its own error
}

// everywhere reports whether a failure is one of the bucket as a whole, so that no other
// object fares better.
func everywhere(err error) bool {
	return errors.Is(err, obs.ErrThrottled) || errors.Is(err, obs.ErrNoBucket) || errors.Is(err, obs.ErrArrears)
}

// errPutOff is the error of a file that was not tried because the bucket wants no more.
var errPutOff = errors.New("cts: put off until the bucket takes more")

// finish waits for the delivery under way, if there is one, and completes its cycle:
// when all files are verified, the checkpoint moves. Files whose key is taken are put
// under another; those that are refused for good are set aside.
func (d *Dumper) finish(ctx context.Context) error {
	for d.flying != nil {
		f := d.flying
		<-f.done
		d.flying = nil
		failures, conflicts, refused := d.settle(ctx, f)
		if err := d.replan(ctx, f.window, conflicts, refused); err != nil {
			f.window.drop()
			return errors.Join(append(failures, err)...)
		}
		switch {
		case len(conflicts) > 0:
			d.launch(ctx, f.window, f.failures) // all that is not verified, so that those that failed are tried once more
		case len(failures) > 0:
			if len(f.failures) == 0 { // else it is read again, to be revised again
				d.undelivered = f.window
			}
			return errors.Join(failures...)
		default:
			return d.complete(ctx, f.window)
		}
	}
	return nil
}

// settle sorts the jobs of a delivery by what became of them.
func (d *Dumper) settle(ctx context.Context, f *delivery) (failures []error, conflicts, refused []*job) {
	failures = slices.Clone(f.failures)
	for _, j := range f.jobs {
		switch {
		case j.err == nil:
			d.verified[j.planned.Key] = j.stored
			d.progress++
			d.unread(j.stored)
			if event := d.opts.Events.FileDumped; event != nil {
				event(j.planned.info(j.stored.size))
			}
		case errors.Is(j.err, errPutOff):
			continue
		case errors.Is(j.err, ErrConflict) && j.planned.Attempt < maxAttempts:
			conflicts = append(conflicts, j)
			continue
		case permanent(j.err) || d.alone(ctx, j):
			refused = append(refused, j)
			continue
		}
		if j.err != nil {
			failures = append(failures, fmt.Errorf("cts: trace file %s: %w", j.planned.Key, j.err))
		}
	}
	return failures, conflicts, refused
}

// replan saves the plan with other keys for files whose key was found taken, and
// without those that are set aside, or whose tracker is left behind because there is no
// room to set more aside.
func (d *Dumper) replan(ctx context.Context, w *window, conflicts, refused []*job) error {
	if len(conflicts)+len(refused) == 0 {
		return nil
	}
	st := d.state
	st.Plan = st.Plan.clone()
	aside := d.setAside(&st, refused)
	out := map[string]bool{}
	files := st.Plan.Files[:0]
	for _, f := range st.Plan.Files {
		if st.apart(st.Plan, f.Tracker) {
			out[f.Key] = true
			delete(w.files, f.group())
			continue
		}
		if has(aside, f.Key) {
			continue
		}
		if has(conflicts, f.Key) {
			f.Attempt++
			d.rekey(st.Plan, &f)
		}
		files = append(files, f)
	}
	st.Plan.Files = files
	left := !slices.Equal(st.Behind, d.state.Behind)
	if err := d.save(ctx, st); err != nil {
		return err
	}
	if left {
		d.giveUpNext()
	}
	for _, j := range conflicts {
		if !out[j.planned.Key] {
			d.conflict(j.planned.Key)
		}
	}
	for _, j := range aside {
		delete(w.files, j.planned.group())
		d.alarm(j.planned.Key)
	}
	return d.noRoom(refused)
}

// setAside puts files that were refused into the quarantine of st, and leaves trackers
// behind of which there are too many. It returns those in the quarantine.
func (d *Dumper) setAside(st *dumpState, refused []*job) (aside []*job) {
	p := st.Plan
	for _, j := range refused {
		if d.roomFor(j.planned, len(aside)) {
			aside = append(aside, j)
		} else {
			d.leaveCrowding(st, p, j)
		}
	}
	aside = slices.DeleteFunc(aside, func(j *job) bool { return st.apart(p, j.planned.Tracker) })
	st.Quarantine = slices.Concat(st.Quarantine, d.quarantined(p, aside))
	d.leaveRefused(st, p, aside)
	return aside
}

// noRoom returns the errors of files that were refused and are still in the plan: neither
// they nor their trackers could be set aside.
func (d *Dumper) noRoom(refused []*job) error {
	var errs []error
	for _, j := range refused {
		if slices.ContainsFunc(d.state.Plan.Files, func(f plannedFile) bool { return f.Key == j.planned.Key }) {
			errs = append(errs, fmt.Errorf("cts: trace file %s: %w", j.planned.Key, j.err))
		}
	}
	return errors.Join(errs...)
}

func has(jobs []*job, key string) bool {
	for _, j := range jobs {
		if j.planned.Key == key {
			return true
		}
	}
	return false
}

// conflict raises the alarm about an object under the name of a trace file.
func (d *Dumper) conflict(key string) {
	d.mu.Lock()
	d.status.Conflicts++
	d.mu.Unlock()
	if event := d.opts.Events.Conflict; event != nil {
		event(key)
	}
}

// errUnverified: a cycle was to be completed with a file of which nothing is known.
var errUnverified = errors.New("cts: the file was not verified")

// complete moves the checkpoint behind a cycle of which all files are verified.
func (d *Dumper) complete(ctx context.Context, w *window) error {
	st := d.state
	p := st.Plan
	for _, f := range p.Files {
		stored, ok := d.verified[f.Key]
		if !ok { // never, or else traces would be missing
			return fmt.Errorf("cts: trace file %s: %w", f.Key, errUnverified)
		}
		if d.seal != nil {
			stored.from, stored.at = p.from, d.opts.Clock().UnixMilli()
			d.seal.delivered(&st, f, stored)
		}
	}
	st.Position, st.Plan = p.To, nil
	st.CompleteTo = d.completeTo(&st, w)
	if err := d.save(ctx, st); err != nil {
		return err
	}
	var dumped []FileInfo
	for _, f := range p.Files {
		if stored, ok := d.verified[f.Key]; ok && w.files[f.group()] != nil {
			dumped = append(dumped, f.info(stored.size))
		}
	}
	clear(d.verified)
	d.count(w, dumped)
	clear(d.failingFiles)
	d.recovered()
	d.beside(d.hold(ctx))
	d.sealAfterCycle(ctx)
	d.beside(d.mark(ctx))
	return nil
}

// sealAfterCycle seals what is due, unless that has failed since the dump began: it must
// not hold up the delivery.
func (d *Dumper) sealAfterCycle(ctx context.Context) {
	if d.seal != nil && d.sealErr == nil {
		d.sealErr = d.sealDue(ctx)
	}
}

// count adds the files of a completed cycle to the status.
func (d *Dumper) count(w *window, dumped []FileInfo) {
	now := d.opts.Clock()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range dumped {
		d.status.Files++
		d.status.Traces += int64(f.Traces)
		d.status.Bytes += f.Bytes
		d.status.Stored += f.Stored
	}
	if w != nil {
		d.status.Passed += int64(w.passed)
	}
	d.status.LastDump = now
	d.observe()
}
