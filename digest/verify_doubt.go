package digest

import "context"

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
