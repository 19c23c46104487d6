package digest

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// spanSeen is how many digests of a chain span the same time.
type spanSeen struct {
	span    Stamp
	digests int
}

// maxSpans is how many of the longest spans of a chain are kept apart.
const maxSpans = 8

// spent takes note of how long a digest spans.
func (c *chainState) spent(d *Digest) {
	if d.Start == 0 { // a digest of CTS may lack it
		return
	}
	span := d.End - d.Start
	i, ok := slices.BinarySearchFunc(c.spans, span, func(s spanSeen, span Stamp) int { return cmp.Compare(span, s.span) })
	if !ok {
		c.spans = slices.Insert(c.spans, i, spanSeen{span: span})
	}
	c.spans[i].digests++
	c.spans = c.spans[:min(len(c.spans), maxSpans)]
}

// interval returns the time that a digest of the chain spans: the longest that two of
// them do, for a writer that did not run for long makes a single longer one, or else the
// longest.
func (c *chainState) interval() Stamp {
	for _, s := range c.spans {
		if s.digests > 1 {
			return s.span
		}
	}
	if len(c.spans) > 0 {
		return c.spans[0].span
	}
	return 0
}

// trackerState is what all chains of a tracker come to.
type trackerState struct {
	newest   Stamp // end of the newest digest; minStamp without one
	interval Stamp // the longest of theirs
	grace    Stamp
	open     bool // a chain has not ended
	lost     bool // digests behind the newest one of a chain are missing
}

// outcome is what is known of all chains once the digests were read. There may be very many
// files to be judged by it, and very many chains that somebody has made up.
type outcome struct {
	trusted  []*chainState // that have a digest which can be trusted, in order of their names
	doubtful map[KeyInfo]bool
	trackers map[KeyInfo]trackerState // by root and tracker
}

// maxTrackers is of how many trackers the state is remembered.
const maxTrackers = 10_000

func (v *verifier) newOutcome() *outcome {
	o := &outcome{doubtful: map[KeyInfo]bool{}, trackers: map[KeyInfo]trackerState{}}
	for _, name := range slices.Sorted(maps.Keys(v.chains)) {
		if c := v.chains[name]; c.newest != nil {
			o.trusted = append(o.trusted, c)
		} else {
			o.doubtful[KeyInfo{Root: c.folder.Root, Tracker: c.folder.Tracker, Service: c.folder.Service}] = true
		}
	}
	return o
}

// doubts reports whether a chain of which no digest can be trusted may mention a file.
func (o *outcome) doubts(file KeyInfo) bool {
	for _, s := range file.sealers() {
		if o.doubtful[KeyInfo{Root: file.Root, Tracker: s.tracker, Service: s.service}] {
			return true
		}
	}
	return false
}

// tracker returns the state of the tracker of a file.
func (v *verifier) tracker(file KeyInfo) trackerState {
	key := KeyInfo{Root: file.Root, Tracker: file.Tracker}
	t, ok := v.outcome.trackers[key]
	if !ok {
		t = v.trackerOf(key)
		if len(v.outcome.trackers) < maxTrackers {
			v.outcome.trackers[key] = t
		}
	}
	return t
}

func (v *verifier) trackerOf(file KeyInfo) trackerState {
	t := trackerState{newest: minStamp}
	for _, c := range v.outcome.trusted {
		if !c.ofTracker(file) {
			continue
		}
		t.newest = max(t.newest, c.newest.End)
		t.interval = max(t.interval, c.interval())
		t.open = t.open || !c.newest.Ending
		t.lost = t.lost || c.lostTail()
	}
	t.grace = max(Stamp(v.Grace/time.Second), 2*t.interval)
	return t
}

// overdueAt reports whether a digest is missing by now behind one that ended at end.
func (v *verifier) overdueAt(end, interval, grace Stamp) bool {
	return end < StampOf(v.due)-interval-grace
}
