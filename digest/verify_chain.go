package digest

import (
	"context"
	"fmt"
	"slices"
)

// chainState is what Verify knows of a chain while it walks along it. It holds the last
// digest and not the others.
type chainState struct {
	name    string
	folder  KeyInfo // of one of its digests
	report  ChainReport
	first   *link
	last    *link
	newest  *Digest           // trusted, in the range or behind it
	recent  []seen            // of the newest digests, in order
	missing map[int64]Finding // places that no digest was seen for
	holes   []hole
	pauses  []hole // between an ending digest and the next one, in genuine digests of CTS
	spans   []spanSeen
	doubts  []*loaded // behind last, not trusted unless the next one vouches for them; slim
	late    []Finding // that the signature object of the newest digest was not there yet
	covered bool      // it was followed to the end of the time range
}

// link is what the next digest must go on from. Its digest is slim.
type link struct {
	*loaded
	seq, next int64 // 0 in genuine digests of CTS
}

// seen is the hash of a digest.
type seen struct {
	seq  int64
	hash string
}

// hole is a time for which digests of a chain are missing.
type hole struct{ from, to Stamp }

const (
	maxRecent  = 1024 // more than the 744 digests that a writer makes up at once
	maxDoubts  = 16
	maxMissing = 1000 // findings for one run of missing digests, which may have any length
)

func newLink(l *loaded) *link {
	l = l.slim()
	if x := l.digest.Extension; x != nil {
		return &link{l, x.Seq, x.First + x.Count}
	}
	return &link{l, 0, 0}
}

// chain returns the state of the chain that a digest with this key is in.
func (v *verifier) chain(info KeyInfo) *chainState {
	name := info.chainName()
	c := v.chains[name]
	if c == nil {
		c = &chainState{name: name, folder: info, missing: map[int64]Finding{}}
		v.chains[name] = c
	}
	return c
}

// take takes the next digest of a chain.
func (v *verifier) take(ctx context.Context, c *chainState, l *loaded) {
	switch {
	case l.absent:
		return // removed since it was listed; its successor or a head will tell
	case l.err != nil:
		if ctx.Err() == nil {
			v.unreadable(l.at, l.err)
		}
	case l.key != l.at && !v.takeMoved(ctx, l):
		return
	}
	v.foundAll(c.late)
	c.late = nil
	if l.doubt == nil && len(l.faults) == 1 && l.faults[0].Kind == SignatureMissing {
		c.late = l.faults
	} else {
		v.foundAll(l.faults)
	}
	if l.err != nil || l.doubt != nil {
		if c.doubts = append(c.doubts, l.slim()); len(c.doubts) > maxDoubts {
			v.dismiss(c.doubts[0], nil)
			c.doubts = c.doubts[1:]
		}
		return
	}
	v.vouch(ctx, c, l)
	v.advance(ctx, c, l)
}

// takeMoved reports a digest that does not lie where it says. It returns whether the digest
// may stand in for the one there.
func (v *verifier) takeMoved(ctx context.Context, l *loaded) bool {
	if l.doubt != nil {
		v.found(*l.doubt)
		return false
	}
	_, err := v.bucket.Head(ctx, l.key)
	if isAbsent(err) {
		v.found(l.finding(DigestMoved, "it was moved or renamed: it is the digest "+l.key))
		return true
	}
	if err != nil {
		v.unreadable(l.key, err)
		return false
	}
	v.found(l.finding(DigestMoved, "it is a copy of the digest "+l.key))
	return false
}

// vouch lets a trusted digest vouch for those before it whose signatures do not hold: it
// has the hash of its predecessor, that one the next hash, and so on.
func (v *verifier) vouch(ctx context.Context, c *chainState, l *loaded) {
	doubts := c.doubts
	c.doubts = nil
	good := len(doubts)
	for next := l; good > 0; good-- {
		d := doubts[good-1]
		if d.digest == nil || d.err != nil || !next.follows(d) {
			break
		}
		next = d
	}
	for i, d := range doubts[:good] {
		successor := l
		if i+1 < len(doubts) {
			successor = doubts[i+1]
		}
		v.dismiss(d, successor)
	}
	c.doubts = doubts[:good]
	for _, d := range doubts[good:] {
		v.found(*d.doubt)
		again := v.load(ctx, keyed{d.at, d.info}) // the files in it, which were not kept
		switch {
		case again.err != nil:
			v.unreadable(d.at, again.err)
		case again.digest == nil || again.hashes != d.hashes:
			v.found(d.finding(DigestChanged, "it was changed while it was verified"))
		default:
			again.doubt, again.faults = d.doubt, nil
			v.advance(ctx, c, again)
		}
	}
}

// follows reports whether l says that d, with these bytes, is its predecessor.
func (l *loaded) follows(d *loaded) bool {
	return l.digest != nil && l.digest.PreviousObject == d.key && l.digest.PreviousHash == d.hash(l.digest.PreviousHashAlgorithm)
}

// dismiss reports a digest that nothing vouches for. What it says counts for nothing; its
// place in the chain is taken.
func (v *verifier) dismiss(d, successor *loaded) {
	switch {
	case d.err != nil: // was reported
	case successor != nil && successor.digest != nil && successor.doubt == nil && successor.digest.PreviousObject == d.key:
		v.found(d.finding(DigestChanged, "it has other bytes than the next digest says; "+d.doubt.Reason))
		if d.doubt.Kind == KeyUnknown || d.doubt.Kind == KeyInvalid {
			v.found(*d.doubt)
		}
	default:
		v.found(*d.doubt)
	}
}

// advance goes on to a trusted digest.
func (v *verifier) advance(ctx context.Context, c *chainState, l *loaded) {
	d, next := l.digest, newLink(l)
	if c.last == nil {
		v.begin(ctx, c, l)
	}
	switch last := c.last; {
	case last == nil:
	case next.seq > 0 && next.seq <= last.seq:
		v.back(ctx, c, l)
		return
	case next.seq > last.seq+1:
		v.gap(c, last.seq+1, tail{l.digest.Extension.Chain, next.seq, d.PreviousObject, d.Start, l.at + " comes behind it"})
		v.followsRoughly(last, next)
	case next.seq == 0 && d.PreviousObject == "" && last.digest.Ending: // validation was switched on again
		v.resumes(c, last, next)
	case next.seq == 0 && d.PreviousObject != last.key && d.PreviousObject != "":
		v.missing(c, Finding{Kind: DigestDeleted, Object: d.PreviousObject, Reason: "the digest that " + l.at + " goes on from is not there"}, d.Start)
	default:
		v.continues(last, next)
	}
	if c.first == nil && d.End > v.from {
		c.first = next
	}
	c.doubts = nil
	c.follow(next)
	v.settleClaim(l)
	v.count(ctx, c, l)
}

// follow makes a digest the last one.
func (c *chainState) follow(next *link) {
	c.last = next
	c.recent = append(c.recent, seen{next.seq, next.hashes[0]})
	if len(c.recent) > 2*maxRecent {
		c.recent = append(c.recent[:0], c.recent[maxRecent:]...)
	}
	c.saw(next.digest)
}

// saw takes note of a trusted digest, wherever it lies. It keeps it, so that it is to be
// slim.
func (c *chainState) saw(d *Digest) {
	if c.newest == nil || d.End > c.newest.End {
		c.newest = d
	}
	c.spent(d)
}

// count takes the digest's content into account, if it lies in the time range.
func (v *verifier) count(ctx context.Context, c *chainState, l *loaded) {
	d := l.digest
	if d.End >= v.to {
		c.covered = true
	}
	if d.End <= v.from || d.Start >= v.to {
		v.ledger.mentionAll(d)
		return
	}
	if v.BucketName != "" && d.Bucket != v.BucketName {
		v.found(l.finding(DigestMoved, fmt.Sprintf("it is of the bucket %.100q", d.Bucket)))
	}
	c.add(l)
	if x := d.Extension; x != nil {
		for _, h := range x.Heads {
			v.claimed(claim{Head: h, by: "digest " + l.at, at: d.End})
		}
	}
	v.progress(Progress{Digests: 1, Pending: int64(len(d.Files))})
	v.checkFiles(ctx, l)
}

// add adds a digest to the report.
func (c *chainState) add(l *loaded) {
	d, r := l.digest, &c.report
	r.Digests++
	r.Files += int64(len(d.Files))
	if r.Digests == 1 || d.Start.Time().Before(r.Start) {
		r.Start = d.Start.Time()
	}
	newest := d.End.Time().After(r.End)
	if newest {
		r.End, r.Ended = d.End.Time(), d.Ending
	}
	x := d.Extension
	if x == nil {
		r.Chain, r.Tracker, r.Service = c.name, c.folder.Tracker, c.folder.Service
		return
	}
	r.Chain, r.Writer, r.Tracker, r.Service = x.Chain, x.Writer, x.Tracker, x.Service
	r.Traces += x.Count
	if newest {
		r.Head = Head{Chain: x.Chain, Seq: x.Seq, SHA256: l.hashes[0], Count: x.First + x.Count - 1, Object: d.Object}
	}
}

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

// continues checks that a digest goes on where the one before it ended.
func (v *verifier) continues(last, next *link) {
	d := next.digest
	if !next.follows(last.loaded) {
		v.found(next.finding(ChainBroken, "it was signed behind another digest than "+last.at))
	} else if d.PreviousSignature != last.signature && last.doubt == nil {
		v.found(next.finding(ChainBroken, "it has another signature of the digest before it than that one itself"))
	}
	if last.digest.Ending {
		v.found(next.finding(ChainBroken, "the digest before it was the last one of the chain"))
	}
	if d.PreviousEnding != last.digest.Ending && d.Extension == nil {
		v.found(next.finding(ChainBroken, "it takes the digest before it for an ending one, or not, wrongly"))
	}
	if d.Start != last.digest.End {
		v.found(next.finding(TimeBack, fmt.Sprintf("it starts at %v, and the digest before it ended at %v", d.Start, last.digest.End)))
	}
	v.counts(last, next, true)
}

// resumes checks a digest of CTS that begins anew behind an ending one.
func (v *verifier) resumes(c *chainState, last, next *link) {
	from, to := last.digest.End, next.digest.Start
	if to < from {
		v.found(next.finding(TimeBack, fmt.Sprintf("it starts at %v, and the digest before it ended at %v", to, from)))
		return
	}
	if len(c.pauses) < maxMissing {
		c.pauses = append(c.pauses, hole{from, to})
	}
}

// followsRoughly checks what can be checked over a gap.
func (v *verifier) followsRoughly(last, next *link) {
	if next.digest.Start <= last.digest.End {
		v.found(next.finding(TimeBack, fmt.Sprintf("it starts at %v, and a digest before it ended at %v", next.digest.Start, last.digest.End)))
	}
	v.counts(last, next, false)
}

// counts checks the ordinals of two digests.
func (v *verifier) counts(last, next *link, adjacent bool) {
	if last.seq == 0 || next.seq == 0 {
		return
	}
	first := next.digest.Extension.First
	switch {
	case first < last.next:
		v.found(next.finding(OrdinalBack, fmt.Sprintf("its first trace has the ordinal %d, and the digest before it went up to %d", first, last.next-1)))
	case first > last.next && adjacent:
		v.found(next.finding(OrdinalGap, fmt.Sprintf("its first trace has the ordinal %d, and the digest before it ended with %d", first, last.next-1)))
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

func (v *verifier) foundAll(findings []Finding) {
	for _, f := range findings {
		v.found(f)
	}
}
