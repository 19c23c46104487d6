package cts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

// behind is a tracker that the cycles pass over, in the state of a Dumper: its traces
// stay in the store, and it has a checkpoint of its own. While one of its own cycles is
// under way the settings that decide on its files are kept with it; the same traces then
// give the same files, so that no list of them is needed.
type behind struct {
	Tracker    string   `json:"tracker"`
	Position   Position `json:"position"`              // everything of the tracker up to it is in the bucket or in the quarantine
	CompleteTo int64    `json:"complete_to,omitempty"` // see dumpState, for this tracker
	Since      int64    `json:"since"`                 // milliseconds since 1970 UTC
	Detail     string   `json:"detail"`
	Reason     string   `json:"reason"`

	To     Position `json:"to,omitempty"` // of the cycle under way; 0 if there is none
	Time   int64    `json:"time,omitempty"`
	Level  int      `json:"level,omitempty"`
	Flat   bool     `json:"flat,omitempty"`
	Plain  bool     `json:"plain,omitempty"`
	Prefix string   `json:"prefix,omitempty"`
	Region string   `json:"region,omitempty"`
}

const (
	// maxOwnQuarantined is how many files of one tracker are set aside before the tracker
	// as a whole is, so that one can't take the room of all.
	maxOwnQuarantined = 20

	// maxBehind and maxBehindBytes bound the trackers that are behind in the state.
	maxBehind      = 500
	maxBehindBytes = MaxStateBytes / 16

	// maxBehindCycles is how many cycles of a tracker that is behind come between two of
	// the others.
	maxBehindCycles = 4
)

// BehindTracker is a tracker that the cycles of a Dumper pass over because its files, or
// the digests over them, do not get into the bucket while those of others may. Its traces
// are in the store, which keeps them, and are delivered from there when the bucket takes
// them again: it is tried every MaxAge, and by [Dumper.Flush] and
// [Dumper.RetryQuarantined].
type BehindTracker struct {
	Tracker  string    // tracker_name
	Position Position  // everything of it up to here is in the bucket, or in quarantine
	Since    time.Time // when it was left behind
	Detail   string    // what is wrong, one of the Detail words
	Reason   string    // why, the last time
}

// Behind returns the trackers that are behind, the longest first. Before the first cycle
// it returns none.
func (d *Dumper) Behind() []BehindTracker {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.behindTrackers)
}

func (b *behind) public() BehindTracker {
	return BehindTracker{Tracker: b.Tracker, Position: b.Position, Since: time.UnixMilli(b.Since), Detail: b.Detail, Reason: b.Reason}
}

// settings returns what decides on the files of the cycle under way.
func (b *behind) settings() TransferOptions {
	o := plannedFile{Flat: b.Flat, Plain: b.Plain}.settings()
	o.Prefix = b.Prefix
	return o
}

// behindOf returns which entry a tracker has, -1 if it is not behind.
func (st *dumpState) behindOf(tracker string) int {
	return slices.IndexFunc(st.Behind, func(b behind) bool { return b.Tracker == tracker })
}

// passedOver returns the trackers that a window from a position on passes over.
func (st *dumpState) passedOver(from Position) map[string]bool {
	over := map[string]bool{}
	for _, b := range st.Behind {
		if b.Position <= from {
			over[b.Tracker] = true
		}
	}
	return over
}

// leave puts a tracker behind in st. It reports whether there was room.
func (d *Dumper) leave(st *dumpState, b behind, err error) bool {
	if st.behindOf(b.Tracker) >= 0 {
		return true
	}
	size := 6 * len(b.Tracker)
	for _, other := range st.Behind {
		size += 6*len(other.Tracker) + maxReason/2 + 300
	}
	if len(st.Behind) >= maxBehind || size > maxBehindBytes {
		return false
	}
	b.Since, b.CompleteTo = d.opts.Clock().UnixMilli(), st.CompleteTo
	b.tell(err)
	st.Behind = append(slices.Clone(st.Behind), b)
	return true
}

// tell takes note of why a tracker is behind.
func (b *behind) tell(err error) {
	b.Detail, _ = detailOf(err)
	b.Reason = reasonText(err)
	b.Reason = b.Reason[:min(len(b.Reason), maxReason/2)]
}

// leaveRefused puts the trackers behind of which too many files are in the quarantine of
// st: what they have behind the plan p stays in the store.
func (d *Dumper) leaveRefused(st *dumpState, p *plan, refused []*job) {
	for _, j := range refused {
		files := 0
		for _, q := range st.Quarantine {
			if q.Tracker == j.planned.Tracker {
				files++
			}
		}
		if files >= maxOwnQuarantined {
			_ = d.leave(st, behind{Tracker: j.planned.Tracker, Position: p.To}, j.err)
		}
	}
}

// leaveCrowding puts the tracker of a file behind for which there is no room in the
// quarantine, if there is room for that: its part of the plan p, also what is delivered of
// it, becomes a cycle of its own.
func (d *Dumper) leaveCrowding(st *dumpState, p *plan, j *job) {
	f, settings := j.planned, d.settings(j.planned.Tracker)
	if !d.leave(st, behind{Tracker: f.Tracker}, j.err) {
		return
	}
	st.Behind = slices.Clone(st.Behind)
	b := &st.Behind[st.behindOf(f.Tracker)]
	b.Position, b.To, b.Time, b.Level = p.from, p.To, p.Time, p.Level
	b.Flat, b.Plain, b.Prefix, b.Region = f.Flat, f.Plain, settings.Prefix, d.opts.location()
	st.Quarantine = slices.DeleteFunc(slices.Clone(st.Quarantine), func(q quarantined) bool { return q.From == p.from && q.Tracker == f.Tracker })
}

// apart reports whether a tracker is behind with its part of the plan p.
func (st *dumpState) apart(p *plan, tracker string) bool {
	i := st.behindOf(tracker)
	return i >= 0 && st.Behind[i].Position == p.from
}

// othersWait reports whether trackers wait behind the plan that have no file in it.
func (d *Dumper) othersWait(ctx context.Context) bool {
	p := d.state.Plan
	own := map[string]bool{}
	for _, f := range p.Files {
		own[f.Tracker] = true
	}
	w := d.newWindow(p.To, p.Level)
	seen := 0
	for e, err := range d.source.After(ctx, p.To) {
		if seen++; seen > d.opts.MaxTraces || err != nil && !errors.Is(err, ErrCorrupt) {
			return false
		}
		if err != nil {
			continue
		}
		if g, _, err := w.route(e); err == nil && !own[g.tracker] && !w.over[g.tracker] {
			return true
		}
	}
	return false
}

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
	for todo := jobs; len(todo) > 0; {
		var group errgroup.Group
		group.SetLimit(d.opts.Workers)
		for _, j := range todo {
			group.Go(func() error {
				if j.err = ctx.Err(); j.err == nil {
					j.stored, j.err = d.put(ctx, j.planned, j.file)
				}
				return nil
			})
		}
		_ = group.Wait() // each job has its own error
		todo = nil
		for _, j := range jobs {
			switch {
			case j.err == nil || slices.Contains(refused, j):
			case errors.Is(j.err, ErrConflict) && j.planned.Attempt < maxAttempts:
				d.conflict(j.planned.Key)
				j.planned.Attempt++
				j.planned.Key = d.key(p, j.planned, b.Prefix)
				todo = append(todo, j)
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

// maxStuck is how many files of a chain may wait behind a digest that can't be put before
// the tracker is left behind.
const maxStuck = 250

// stuck reports whether a tracker has a chain that must not grow for now.
func (d *Dumper) stuck(tracker string) bool {
	if d.seal == nil {
		return false
	}
	return slices.ContainsFunc(d.state.Chains, func(c *digest.Chain) bool {
		return c.Tracker == tracker && c.Planned != nil && len(c.Pending) >= maxStuck
	})
}

// leaveStuck leaves the trackers behind whose digests do not get into the bucket, before
// what waits for them takes the room of all.
func (d *Dumper) leaveStuck(ctx context.Context) error {
	st := d.state
	for _, c := range st.Chains {
		if d.stuck(c.Tracker) {
			_ = d.leave(&st, behind{Tracker: c.Tracker, Position: st.Position}, fmt.Errorf("%w: %w", errUnsealed, obs.ErrDenied))
		}
	}
	if len(st.Behind) == len(d.state.Behind) {
		return nil
	}
	d.giveUpNext()
	return d.save(ctx, st)
}
