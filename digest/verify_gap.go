package digest

import (
	"context"
	"fmt"
	"slices"
)

// hole is a time for which digests of a chain are missing.
type hole struct{ from, to Stamp }

// begin finds out what comes before the first digest of a chain that is in the range.
func (v *verifier) begin(ctx context.Context, c *chainState, l *loaded) {
	d := l.digest
	if d.PreviousObject == "" || d.End <= v.from {
		return
	}
	var p *loaded
	if i := slices.IndexFunc(c.doubts, func(q *loaded) bool { return q.at == d.PreviousObject }); i < 0 {
		info, _ := ParseKey(d.PreviousObject)
		p = v.load(ctx, keyed{d.PreviousObject, info})
	}
	switch {
	case p != nil && p.err != nil:
		v.unreadable(p.at, p.err)
		return
	case p != nil && !p.absent && p.key == p.at && (p.doubt == nil || p.digest != nil && l.follows(p)):
		v.foundAll(p.faults)
		if p.doubt != nil {
			v.found(*p.doubt)
		}
		c.follow(newLink(p))
		return
	case p != nil && p.doubt != nil:
		v.dismiss(p, l)
		c.doubts = append(c.doubts, p.slim())
	case p != nil && !p.absent && d.Start <= v.from: // another digest in its place, which was not listed
		v.takeMoved(ctx, p)
	}
	v.beginsWithout(c, l)
}

// beginsWithout reports that what comes before the first digest of a chain is not there.
func (v *verifier) beginsWithout(c *chainState, l *loaded) {
	d := l.digest
	reason := l.at + " comes behind it"
	switch x := d.Extension; {
	case x == nil && len(c.doubts) == 0:
		v.missing(c, Finding{Kind: DigestDeleted, Object: d.PreviousObject, Reason: "it is not there, and " + reason}, d.Start)
	case x == nil:
	case v.From.IsZero():
		v.gap(c, 1, tail{x.Chain, x.Seq, d.PreviousObject, d.Start, reason})
	default:
		v.gap(c, x.Seq-1, tail{x.Chain, x.Seq, d.PreviousObject, d.Start, reason})
	}
}

// back deals with a digest that is not behind the last one.
func (v *verifier) back(ctx context.Context, c *chainState, l *loaded) {
	seq := l.seq()
	if _, ok := c.missing[seq]; ok {
		delete(c.missing, seq)
		if l.key == l.at { // and not one that was moved, which was reported
			v.found(l.finding(TimeBack, "its end time is not between those of the digests around it"))
		}
		v.settleClaim(l)
		v.count(ctx, c, l)
		return
	}
	if i := slices.IndexFunc(c.recent, func(s seen) bool { return s.seq == seq }); i >= 0 && c.recent[i].hash == l.hashes[0] {
		return // it was read before
	}
	v.found(l.finding(DigestForked, fmt.Sprintf("there is another digest %d of the chain", seq)))
}

// tail is the digest behind a gap, which may be known by a head alone.
type tail struct {
	chain    string
	seq      int64
	previous string // key of the digest before it, if known
	start    Stamp  // no digest before it ends later
	reason   string // how its predecessors are known to have been there
}

// gap reports the digests from a place in the chain on that come before another one.
// Those that are there and could not be trusted were reported already.
func (v *verifier) gap(c *chainState, from int64, t tail) {
	taken, loose := map[int64]bool{}, int64(0)
	for _, d := range c.doubts {
		switch seq := d.seq(); {
		case d.at == t.previous:
			taken[t.seq-1] = true
		case seq >= from && seq < t.seq:
			taken[seq] = true
		case d.digest == nil:
			loose++
		}
	}
	var places []int64 // the last first
	for s := t.seq - 1; s >= from && len(places) <= maxMissing; s-- {
		if !taken[s] {
			places = append(places, s)
		}
	}
	if len(places) <= maxMissing {
		places = places[:max(0, int64(len(places))-loose)]
	}
	for i, s := range places {
		f := Finding{Kind: DigestDeleted, Chain: t.chain, Seq: s, Reason: "it is not there, and " + t.reason}
		if s == t.seq-1 {
			f.Object = t.previous
		}
		if i == maxMissing {
			f.Reason = fmt.Sprintf("this one and all from %d on are not there, and %s", from, t.reason)
		}
		v.missing(c, f, t.start)
	}
	start := minStamp
	if c.last != nil {
		start = c.last.digest.End
	}
	if len(c.holes) < maxMissing {
		c.holes = append(c.holes, hole{start, t.start})
	}
}

// missing takes down that a digest, which ended no later than end, is not there.
func (v *verifier) missing(c *chainState, f Finding, end Stamp) {
	if v.expired(end) {
		f.Kind, f.Reason = Expired, "it is not there, and older than the retention"
	}
	if f.Seq > 0 && len(c.missing) < v.MaxFindings {
		c.missing[f.Seq] = f
		return
	}
	v.found(f)
}
