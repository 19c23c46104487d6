package cts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudtraceservice/cts/digest"
)

// cutKind is which chains get a digest.
type cutKind int

const (
	cutDue     cutKind = iota // those of which an interval is over
	cutPending                // and then those with files in no digest, with an end that is now
	cutEnding                 // and then all that are open, as their last
)

// sealDue makes the digests that are due, and puts them. It is called without a plan. A
// list of unsealed files that grows too large is sealed before its time.
func (d *Dumper) sealDue(ctx context.Context) error {
	if d.seal == nil {
		return nil
	}
	if d.state.crowded() {
		return d.sealChains(ctx, cutPending)
	}
	return d.sealChains(ctx, cutDue)
}

// sealRoom returns an error if there is no room in the state for the files of another
// cycle, because what was delivered can't be sealed: the traces then stay in the store.
func (d *Dumper) sealRoom(ctx context.Context) error {
	if d.seal == nil || !d.state.crowded() {
		return nil
	}
	err := d.sealDue(ctx)
	if err != nil && d.state.crowded() {
		return fmt.Errorf("cts: too much is waiting to be sealed: %w", err)
	}
	return nil
}

// maxUnsealed and maxUnsealedBytes bound the files that wait for a digest, and what they
// and the chains take in the state: with the files of one cycle more, and its plan, that
// is below MaxStateBytes.
const (
	maxUnsealed      = 4000
	maxUnsealedBytes = MaxStateBytes / 2
)

// crowded reports whether what waits to be sealed should wait no longer.
func (st *dumpState) crowded() bool {
	files, size := 0, st.chainBytes()
	for _, c := range st.Chains {
		files += len(c.Pending)
		for _, f := range c.Pending {
			size += 400 + len(f.Object)
		}
	}
	if st.Sealed != nil {
		size += 4000 + len(st.Sealed.Bytes)/3*4
	}
	return files >= maxUnsealed || size >= maxUnsealedBytes
}

// chainBytes returns about what the chains take in the state without their files: a name
// may be escaped, which takes six bytes for one.
func (st *dumpState) chainBytes() int {
	size := 0
	for _, c := range st.Chains {
		size += 700 + 6*(len(c.Tracker)+len(c.Service)+len(c.Writer))
		if c.Last != nil {
			size += 500 + len(c.Last.Signature) + 2*len(c.Last.Object)
		}
	}
	return size
}

// sealChains makes and puts digests until none of the kind is left to be made.
func (d *Dumper) sealChains(ctx context.Context, kind cutKind) error {
	round := &sealRound{Dumper: d, kind: kind, now: d.opts.Clock()}
	conflicts, err := round.run(ctx)
	return errors.Join(append(conflicts, err)...)
}

// sealRound is one run over the chains.
type sealRound struct {
	*Dumper
	kind  cutKind
	now   time.Time
	heads []digest.Head // of other writers
	found bool          // heads are what there is
}

// run returns what somebody has to look into, beside the error that ended it.
func (r *sealRound) run(ctx context.Context) (conflicts []error, err error) {
	moved := false
	for {
		if r.state.Sealed != nil {
			alarms, err := r.deliverSealed(ctx)
			conflicts = append(conflicts, alarms...)
			if err != nil {
				return conflicts, err
			}
			moved = true
		}
		st, ok, err := r.cut(ctx)
		if err != nil {
			return conflicts, err
		}
		if !ok && !moved {
			return conflicts, nil
		}
		if err := r.save(ctx, st); err != nil { // the next digest, or that the last one is done
			return conflicts, err
		}
		if !ok {
			return conflicts, r.hold(ctx)
		}
	}
}

// cut returns the state with the next digest in it, and the chain behind that. It
// reports false if none is to be made; the state then says that the last one is done.
func (r *sealRound) cut(ctx context.Context) (st dumpState, ok bool, err error) {
	st = r.state
	st.Sealed = nil
	for i, c := range st.Chains {
		end, ending, due := r.end(c)
		if !due {
			continue
		}
		next := *c
		next.Pending = slices.Clone(c.Pending)
		next.Complete(st.CompleteTo)
		o := &digest.CutOptions{
			End: end, Ending: ending, Signer: r.seal.opts.Signer, Layout: r.layout(c), Bucket: r.seal.opts.BucketName,
			ProjectID: r.seal.opts.ProjectID, Hash: r.seal.opts.Hash, Policy: r.seal.opts.Policy,
		}
		if o.Heads, err = r.others(ctx, c, end); err != nil {
			return st, false, err
		}
		if st.Sealed, err = next.Cut(o); err != nil {
			return st, false, err
		}
		if err := next.Advance(st.Sealed); err != nil {
			return st, false, err
		}
		st.Chains = slices.Clone(st.Chains)
		st.Chains[i] = &next
		return st, true, nil
	}
	return st, false, nil
}

// end returns where the next digest of the chain ends, whether it is the last, and
// whether it is to be made.
func (r *sealRound) end(c *digest.Chain) (end digest.Stamp, ending, due bool) {
	if c.Ended {
		return 0, false, false
	}
	if end, due = c.DueEnd(r.now, r.seal.opts.Interval); due || r.kind == cutDue {
		return end, false, due
	}
	return c.ShortEnd(r.now), r.kind == cutEnding, r.kind == cutEnding || len(c.Pending) > 0
}

// layout returns where the digests of a chain go.
func (d *Dumper) layout(c *digest.Chain) digest.Layout {
	l := digest.Layout{
		Root: d.sealRoot(), Tracker: escapeSegment(c.Tracker), Prefix: d.settings(c.Tracker).Prefix, Region: d.opts.location(),
	}
	if c.Service != "" {
		l.Service = escapeSegment(c.Service)
	}
	return l
}

// others returns the heads that a digest of c mentions: those of the Dumper's own other
// chains, and of other writers. A digest that is made up for a time long past mentions
// none.
func (r *sealRound) others(ctx context.Context, c *digest.Chain, end digest.Stamp) ([]digest.Head, error) {
	if r.now.Sub(end.Time()) >= r.seal.opts.Interval {
		return nil, nil
	}
	if err := r.find(ctx, c); err != nil {
		return nil, err
	}
	heads := slices.Clone(r.heads)
	for _, own := range r.state.Chains {
		if own.Last != nil {
			heads = append(heads, own.Last.Head)
		}
	}
	return heads, nil
}

// find looks once for the newest digests of other writers: those since about the last
// digest of c.
func (r *sealRound) find(ctx context.Context, c *digest.Chain) error {
	if r.found || r.seal.opts.WithoutHeads {
		return nil
	}
	since := c.Start.Time().Add(-2 * r.seal.opts.Interval)
	until := r.now.Add(r.seal.opts.Interval) // their clocks may be ahead
	heads, err := r.seal.finder.Find(ctx, since, until, func(id string) bool {
		return slices.ContainsFunc(r.state.Chains, func(own *digest.Chain) bool { return strings.HasPrefix(own.ID, id) })
	})
	if err != nil && !denied(err) {
		return err
	}
	r.heads, r.found = heads, true
	return nil
}

// maxMoves is how often one round gives way to somebody else's objects.
const maxMoves = 8

// deliverSealed puts the digest that is planned. If another object lies under its name,
// it is given a later end time, so that sealing goes on; what it met is an alarm.
func (r *sealRound) deliverSealed(ctx context.Context) (alarms []error, err error) {
	for range maxMoves {
		s := r.state.Sealed
		err = s.Put(ctx, r.bucket)
		if err == nil {
			r.seal.opts.Sealed(s.Head())
			return alarms, nil
		}
		if !errors.Is(err, digest.ErrConflict) {
			return alarms, fmt.Errorf("cts: sealing: %w", err)
		}
		alarms = append(alarms, fmt.Errorf("cts: sealing goes on beside what somebody else put there: %w", err))
		if errors.Is(err, digest.ErrSignatureConflict) { // the digest itself is in the bucket, and has the signature with it
			r.seal.opts.Sealed(s.Head())
			return alarms, nil
		}
		if err := r.giveWay(ctx, s); err != nil {
			return alarms, err
		}
	}
	return alarms, fmt.Errorf("cts: sealing: %w", err)
}

// giveWay plans the digest s with a later end time.
func (r *sealRound) giveWay(ctx context.Context, s *digest.Sealed) error {
	st := r.state
	st.Chains = slices.Clone(st.Chains)
	i := slices.IndexFunc(st.Chains, func(c *digest.Chain) bool { return c.ID == s.Head().Chain })
	if i < 0 {
		return fmt.Errorf("%w: state %s has a digest of no chain", ErrVersion, r.opts.StateName)
	}
	next := *st.Chains[i]
	moved, err := next.Later(s, r.seal.opts.Signer, r.layout(&next), s.End+1)
	if err != nil {
		return fmt.Errorf("cts: sealing: %w", err)
	}
	st.Chains[i], st.Sealed = &next, moved
	return r.save(ctx, st)
}
