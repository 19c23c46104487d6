package cts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

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

// maxStuck is how many files of a chain may wait behind a digest that can't be put before
// the tracker is left behind.
const maxStuck = 250

// stuck reports whether a tracker has a chain that must not grow before its digest is put.
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
