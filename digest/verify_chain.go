package digest

import (
	"context"
	"fmt"
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

// seen is the hash of a digest.
type seen struct {
	seq  int64
	hash string
}

const (
	maxRecent  = 1024 // more than the 744 digests that a writer makes up at once
	maxDoubts  = 16
	maxMissing = 1000 // findings for one run of missing digests, which may have any length
)

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
		v.ledger.mentionAll(l)
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

func (v *verifier) foundAll(findings []Finding) {
	for _, f := range findings {
		v.found(f)
	}
}
