package digest

import "fmt"

// link is what the next digest must go on from. Its digest is slim.
type link struct {
	*loaded
	seq, next int64 // 0 in genuine digests of CTS
}

func newLink(l *loaded) *link {
	l = l.slim()
	if x := l.digest.Extension; x != nil {
		return &link{l, x.Seq, x.First + x.Count}
	}
	return &link{l, 0, 0}
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
