package cts

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/cloudtraceservice/cts/obs"
)

// This file is how trackers that are behind get the rest of their traces into the bucket,
// in cycles of their own.

// catchUp delivers what trackers that are behind have in the store: of each as long as it
// gets through, or with most, so many cycles. Those that failed are left alone for MaxAge,
// unless all are wanted. Their failures hold up nobody, and are returned joined.
func (d *Dumper) catchUp(ctx context.Context, all bool, most int) error {
	var failures []error
	for _, b := range slices.Clone(d.state.Behind) {
		now := d.opts.Clock()
		if at, failed := d.behindTried[b.Tracker]; failed && !all && now.Sub(at) < d.opts.MaxAge {
			continue
		}
		for n := 0; n < most; n++ {
			more, err := d.catchUpOne(ctx, b.Tracker)
			if !d.begun || ctx.Err() != nil {
				return errors.Join(append(failures, err)...)
			}
			if err != nil {
				d.behindTried[b.Tracker] = now
				d.behindAgain(b.Tracker, err)
				failures = append(failures, fmt.Errorf("cts: tracker %.64q is behind: %w", b.Tracker, err))
			}
			if err != nil || !more {
				break
			}
		}
	}
	return errors.Join(failures...)
}

// behindAgain takes note of why a tracker is still behind; it is saved with what is saved
// next.
func (d *Dumper) behindAgain(tracker string, err error) {
	if i := d.state.behindOf(tracker); i >= 0 {
		d.state.Behind = slices.Clone(d.state.Behind)
		d.state.Behind[i].tell(err)
	}
}

// errUnsealed: what is delivered of a tracker can't be sealed.
var errUnsealed = errors.New("too many of its files wait to be sealed")

// catchUpOne does one cycle of a tracker that is behind, and reports whether it still is.
func (d *Dumper) catchUpOne(ctx context.Context, tracker string) (more bool, err error) {
	if d.stuck(tracker) {
		return true, fmt.Errorf("%w: %w", errUnsealed, obs.ErrDenied)
	}
	if err := d.sealRoom(ctx); err != nil {
		return true, err
	}
	b := d.state.Behind[d.state.behindOf(tracker)]
	if b.To == 0 {
		if err := d.retryOf(ctx, tracker); err != nil {
			return true, err
		}
	}
	w, err := d.behindWindow(ctx, &b)
	if err != nil {
		return true, err
	}
	defer w.drop()
	if w.traces == 0 {
		return d.caughtUp(ctx, b, w, nil, d.state.Quarantine)
	}
	p := &plan{To: b.To, Time: b.Time, Level: b.Level, from: b.Position, region: b.Region}
	jobs := make([]*job, 0, len(w.files))
	for _, f := range w.sorted() {
		planned := d.plan(p, w, f)
		planned.Key = d.key(p, planned, b.Prefix)
		jobs = append(jobs, &job{planned: planned, file: f})
	}
	if b != d.state.Behind[d.state.behindOf(tracker)] {
		if err := d.saveBehind(ctx, b, nil, d.state.Quarantine); err != nil {
			return true, err
		}
	}
	if err := w.pack.wait(); err != nil {
		return true, err
	}
	refused, err := d.putBehind(ctx, p, &b, jobs)
	if err != nil {
		return true, err
	}
	return d.caughtUp(ctx, b, w, slices.DeleteFunc(jobs, func(j *job) bool { return j.err != nil }), d.quarantineAlso(p, refused))
}

// maxRetriesOf bounds the files of a tracker in the quarantine that fail again before the
// tracker is left behind for longer.
const maxRetriesOf = 3

// retryOf tries the files of a tracker in the quarantine. It returns an error if so many
// are left that there are to be no more.
func (d *Dumper) retryOf(ctx context.Context, tracker string) error {
	left, failed := 0, 0
	var last, err error
	for _, q := range slices.Clone(d.state.Quarantine) {
		if q.Tracker != tracker {
			continue
		}
		err = nil
		if failed < maxRetriesOf {
			if err = d.retryOne(ctx, q); err == nil {
				continue
			}
			failed, last = failed+1, err
		}
		if left++; !d.begun || ctx.Err() != nil {
			return err
		}
	}
	if left >= maxOwnQuarantined {
		return last
	}
	return nil
}

// behindWindow reads the cycle of a tracker that is behind: the one under way, or its
// next.
func (d *Dumper) behindWindow(ctx context.Context, b *behind) (*window, error) {
	level, to := b.Level, b.To
	if to == 0 {
		level, to = d.opts.Level, d.state.Position
	}
	w := d.newWindow(b.Position, level)
	w.over, w.tracker = nil, &b.Tracker
	if b.To != 0 {
		w.again = true
		w.settings[b.Tracker] = b.settings()
	}
	if err := d.readAgain(ctx, w, to, d.lost); err != nil {
		w.drop()
		return nil, err
	}
	if b.To == 0 {
		settings := w.settingsOf(b.Tracker)
		b.To, b.Time, b.Level = w.to, d.opts.Clock().UnixMilli(), level
		b.Flat, b.Plain = settings.WithoutServiceFolders, settings.Compression == CompressJSON
		b.Prefix, b.Region = settings.Prefix, d.opts.location()
	}
	return w, nil
}

// putBehind puts the files of a tracker that is behind, each under the first of its keys
// that is not taken. It returns those that are refused for good, and for which there is
// room in the quarantine.
func (d *Dumper) putBehind(ctx context.Context, p *plan, b *behind, jobs []*job) (refused []*job, err error) {
	for next := jobs; len(next) > 0; {
		var group errgroup.Group
		group.SetLimit(d.opts.Workers)
		for _, j := range next {
			group.Go(func() error {
				if j.err = ctx.Err(); j.err == nil {
					j.stored, j.err = d.put(ctx, j.planned, j.file)
				}
				return nil
			})
		}
		_ = group.Wait() // each job has its own error
		next = nil
		for _, j := range jobs {
			switch {
			case j.err == nil || slices.Contains(refused, j):
			case errors.Is(j.err, ErrConflict) && j.planned.Attempt < maxAttempts:
				d.conflict(j.planned.Key)
				j.planned.Attempt++
				j.planned.Key = d.key(p, j.planned, b.Prefix)
				next = append(next, j)
			case permanent(j.err) && d.roomFor(j.planned, len(refused)):
				refused = append(refused, j)
			default:
				return nil, fmt.Errorf("cts: trace file %s: %w", j.planned.Key, j.err)
			}
		}
	}
	return refused, nil
}

// caughtUp moves the checkpoint of a tracker behind a cycle of which all files are
// verified. When it has reached that of the others, the tracker goes with them again.
func (d *Dumper) caughtUp(ctx context.Context, b behind, w *window, jobs []*job, aside []quarantined) (more bool, err error) {
	end := b.To
	if w.traces == 0 && !w.again {
		end = d.state.Position
	}
	b.Position, b.To = end, 0
	if w.traces > 0 {
		b.CompleteTo = max(b.CompleteTo, w.newest-completeSlack.Milliseconds())
	}
	known := len(d.state.Quarantine)
	if err := d.saveBehind(ctx, b, jobs, aside); err != nil {
		return true, err
	}
	for _, q := range d.state.Quarantine[known:] {
		d.alarm(q.Key)
	}
	var dumped []FileInfo
	for _, j := range jobs {
		d.unread(j.stored)
		d.progress++
		info := j.planned.info(j.stored.size)
		dumped = append(dumped, info)
		if event := d.opts.Events.FileDumped; event != nil {
			event(info)
		}
	}
	d.count(w, dumped)
	delete(d.behindTried, b.Tracker)
	d.beside(d.hold(ctx))
	return d.state.behindOf(b.Tracker) >= 0, nil
}

// saveBehind saves the entry of a tracker, or that it is behind no more, with its files in
// the chains and the quarantine.
func (d *Dumper) saveBehind(ctx context.Context, b behind, jobs []*job, aside []quarantined) error {
	st := d.state
	st.Quarantine = aside
	st.Behind = slices.Clone(st.Behind)
	i := st.behindOf(b.Tracker)
	st.Behind[i] = b
	if d.seal != nil {
		for _, j := range jobs {
			j.stored.from, j.stored.at = d.state.Behind[i].Position, d.opts.Clock().UnixMilli()
			d.seal.delivered(&st, j.planned, j.stored)
		}
	}
	caught := b.To == 0 && b.Position >= st.Position
	if caught {
		if st.Behind = slices.Delete(st.Behind, i, i+1); len(st.Behind) == 0 {
			st.Behind = nil
		}
	}
	if err := d.save(ctx, st); err != nil {
		return err
	}
	if caught { // what was read passes over it
		d.giveUpNext()
	}
	return nil
}

// giveUpNext gives up what was read for the next cycle, to read it again.
func (d *Dumper) giveUpNext() {
	d.next.drop()
	d.next, d.anew = nil, true
}
