package digest

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// claim is a head that somebody has seen.
type claim struct {
	Head
	by string // who, for people
	at Stamp  // end of the digest that says so; 0 for a head that was given
}

// claimed compares a head with the digests seen so far, or keeps it for later.
func (v *verifier) claimed(cl claim) {
	if c := v.chains[cl.Chain[:16]]; c != nil && c.last != nil && cl.Seq <= c.last.seq {
		if i := slices.IndexFunc(c.recent, func(s seen) bool { return s.seq == cl.Seq }); i >= 0 {
			v.compareHead(cl, c.recent[i].hash)
			return
		}
		if cl.at != 0 {
			return // far behind; the digests between were checked one after the other
		}
	}
	bySeq := v.wanted[cl.Chain]
	if bySeq == nil {
		bySeq = map[int64]claim{}
		v.wanted[cl.Chain] = bySeq
	}
	old, ok := bySeq[cl.Seq]
	switch {
	case !ok || old.Unchecked && !cl.Unchecked:
		bySeq[cl.Seq] = cl
	case old.SHA256 != cl.SHA256 && !cl.Unchecked:
		v.found(Finding{
			Kind: HeadMismatch, Object: cl.Object, Chain: cl.Chain, Seq: cl.Seq,
			Reason: cl.by + " and " + old.by + " named different digests in this place",
		})
	}
}

// settleClaim compares a digest with a head that was kept.
func (v *verifier) settleClaim(l *loaded) {
	x := l.digest.Extension
	if x == nil {
		return
	}
	cl, ok := v.wanted[x.Chain][x.Seq]
	if !ok {
		return
	}
	v.compareHead(cl, l.hashes[0])
	if delete(v.wanted[x.Chain], x.Seq); len(v.wanted[x.Chain]) == 0 {
		delete(v.wanted, x.Chain)
	}
}

func (v *verifier) compareHead(cl claim, hash string) {
	switch {
	case hash == cl.SHA256:
	case cl.Unchecked:
		v.found(cl.unchecked("it is not the digest"))
	default:
		v.found(Finding{Kind: HeadMismatch, Object: cl.Object, Chain: cl.Chain, Seq: cl.Seq, Reason: "it is not the digest that " + cl.by + " named"})
	}
}

// unchecked returns a note about a head that its writer could not check: it may be junk
// that anybody put into the bucket, so that nothing follows from it.
func (cl claim) unchecked(what string) Finding {
	return Finding{
		Kind: HeadUnchecked, Object: cl.Object, Chain: cl.Chain, Seq: cl.Seq,
		Reason: what + " that " + cl.by + " named without having checked its signature",
	}
}

// settleHeads finds out about the heads that no digest was seen for.
func (v *verifier) settleHeads(ctx context.Context) error {
	for _, chain := range slices.Sorted(maps.Keys(v.wanted)) {
		bySeq := v.wanted[chain]
		newest := int64(0)
		for seq, cl := range bySeq {
			if !cl.Unchecked {
				newest = max(newest, seq)
			}
		}
		for _, seq := range slices.Sorted(maps.Keys(bySeq)) {
			cl, ok := bySeq[seq]
			if !ok {
				continue // settled by one that was read meanwhile
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if cl.Unchecked {
				v.settleUnchecked(ctx, cl)
			} else {
				v.settleHead(ctx, cl, seq == newest)
			}
		}
	}
	return nil
}

// settleUnchecked deals with a head that its writer could not check. That its digest is
// not there is no sign of anything.
func (v *verifier) settleUnchecked(ctx context.Context, cl claim) {
	c := v.chains[cl.Chain[:16]]
	if c != nil && slices.ContainsFunc(c.doubts, func(d *loaded) bool { return d.hashes[0] == cl.SHA256 }) {
		return // it is there, and what is wrong with it is reported
	}
	if cl.Object == "" {
		v.found(cl.unchecked("nothing tells where the digest is"))
		return
	}
	info, _ := ParseKey(cl.Object)
	l := v.load(ctx, keyed{cl.Object, info})
	switch {
	case l.absent:
		v.found(cl.unchecked("there is no digest"))
	case l.err != nil:
		if ctx.Err() == nil {
			v.unreadable(l.at, l.err)
		}
	case l.hashes[0] != cl.SHA256 || l.doubt != nil:
		v.found(cl.unchecked("there is no trusted digest"))
	default:
		v.settleOutside(ctx, c, cl, l)
	}
}

func (v *verifier) settleHead(ctx context.Context, cl claim, newest bool) {
	c := v.chains[cl.Chain[:16]]
	if c != nil && slices.ContainsFunc(c.doubts, func(d *loaded) bool { return d.hashes[0] == cl.SHA256 || d.at == cl.Object }) {
		if c.last != nil && !c.covered { // it is there, and what is wrong with it was reported
			v.gap(c, c.last.seq+1, tail{cl.Chain, cl.Seq + 1, cl.Object, v.endOf(cl), fmt.Sprintf("%s named digest %d", cl.by, cl.Seq)})
		}
		return
	}
	if cl.Object != "" {
		info, _ := ParseKey(cl.Object)
		l := v.load(ctx, keyed{cl.Object, info})
		if !l.absent {
			v.settleOutside(ctx, c, cl, l)
			return
		}
		if v.expired(info.Time) {
			v.found(Finding{Kind: Expired, Object: cl.Object, Chain: cl.Chain, Seq: cl.Seq, Reason: "it is not there, and older than the retention"})
			return
		}
	}
	switch {
	case c == nil || c.last == nil:
		v.chainAbsent(cl, newest)
	case cl.Seq <= c.last.seq || c.covered:
		v.headAbsent(c, cl)
	default:
		v.gap(c, c.last.seq+1, tail{cl.Chain, cl.Seq + 1, cl.Object, v.endOf(cl), fmt.Sprintf("%s named digest %d", cl.by, cl.Seq)})
	}
}

// endOf returns a time that the digest of a head did not end behind.
func (v *verifier) endOf(cl claim) Stamp {
	if info, ok := ParseKey(cl.Object); ok {
		return info.Time
	}
	if cl.at != 0 {
		return cl.at
	}
	return maxStamp
}

// settleOutside deals with a head whose digest is there, and was not listed: it lies
// outside of the range, or was put since.
func (v *verifier) settleOutside(ctx context.Context, c *chainState, cl claim, l *loaded) {
	switch {
	case l.err != nil:
		v.unreadable(l.at, l.err)
	case l.hashes[0] != cl.SHA256:
		v.found(Finding{Kind: HeadMismatch, Object: cl.Object, Chain: cl.Chain, Seq: cl.Seq, Reason: "it is not the digest that " + cl.by + " named"})
	case l.doubt != nil:
		v.found(*l.doubt)
	case v.Region != "" && l.info.Root != keyRoot+"/"+v.Region:
	case l.digest.End > v.from && l.digest.Start < v.to && l.seq() == cl.Seq && (c == nil || !c.covered):
		v.take(ctx, v.chain(l.origin()), l)
	}
}

// chainAbsent reports a chain that has no digest in the range.
func (v *verifier) chainAbsent(cl claim, newest bool) {
	f := Finding{Object: cl.Object, Chain: cl.Chain, Seq: cl.Seq}
	switch whole := v.From.IsZero() && v.To.IsZero() && v.Region == ""; {
	case cl.Object == "" && !whole:
		f.Kind, f.Reason = HeadUnchecked, "nothing tells where it is, and the chain has no digest in the range: verify the whole bucket"
	case cl.Object == "" && v.expired(v.endOf(cl)):
		f.Kind, f.Reason = Expired, "no digest of the chain is there, and it is older than the retention"
	case !newest:
		return
	default:
		v.lostChains++
		f.Kind, f.Reason = ChainDeleted, fmt.Sprintf("%s named digest %d of this chain, and none of it is there", cl.by, cl.Seq)
	}
	v.found(f)
}

// headAbsent reports a head outside of the range whose digest is not there.
func (v *verifier) headAbsent(c *chainState, cl claim) {
	if _, ok := c.missing[cl.Seq]; ok {
		return
	}
	f := Finding{Object: cl.Object, Chain: cl.Chain, Seq: cl.Seq}
	switch {
	case cl.Object != "":
		f.Kind, f.Reason = DigestDeleted, "it is not there, and "+cl.by+" named it"
	case cl.at != 0:
		return
	case c.first != nil && cl.Seq < c.first.seq && !v.From.IsZero() || c.covered:
		f.Kind, f.Reason = HeadUnchecked, "it lies outside of the time range, and nothing tells where: verify the whole bucket"
	default:
		return // the beginning of the chain is missing, which was reported
	}
	v.found(f)
}
