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
	cutDue     cutKind = iota // those of which an interval is over, which have their first files, or which were left
	cutPending                // and then those with files in no digest, with an end that is now
	cutEnding                 // and then all that are open, as their last
)

// sealDue makes the digests that are due, not too many, and puts them. It is called
// without a plan. A list of unsealed files that grows too large is sealed before its time.
func (d *Dumper) sealDue(ctx context.Context) error {
	if d.seal == nil {
		return nil
	}
	if d.state.crowded() {
		return d.sealChains(ctx, cutPending, maxCuts)
	}
	return d.sealChains(ctx, cutDue, maxCuts)
}

// sealRoom returns an error if there is no room in the state for the files of another
// cycle, because what was delivered can't be sealed: the traces then stay in the store.
func (d *Dumper) sealRoom(ctx context.Context) error {
	if d.seal == nil || !d.state.crowded() {
		return nil
	}
	err := d.sealDue(ctx)
	if err != nil && d.begun {
		err = errors.Join(err, d.leaveStuck(ctx))
	}
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
		if c.Planned != nil {
			size += 4000 + len(c.Planned.Bytes)/3*4
		}
	}
	return size
}

// maxCuts is how many digests one call of sealDue makes before it lets cycles go on: what
// was missed for long is made up bit by bit.
const maxCuts = 64

// sealChains makes and puts digests until none of the kind is left to be made, or as many
// as most are made.
func (d *Dumper) sealChains(ctx context.Context, kind cutKind, most int) error {
	round := &sealRound{Dumper: d, kind: kind, most: most, now: d.opts.Clock(), failed: map[string]bool{}}
	err := round.run(ctx)
	return errors.Join(append(round.alarms, err)...)
}

// sealRound is one run over the chains.
type sealRound struct {
	*Dumper
	kind   cutKind
	most   int // digests that it makes; a crowded state is made room in all the same
	now    time.Time
	heads  []digest.Head // of other writers
	found  bool          // heads are what there is
	cuts   int
	failed map[string]bool // chains by id that are left alone from now on
	alarms []error         // what somebody has to look into, beside the error that ended it
}

// run returns the error that ended it. One of a single chain does not: the others go on.
// Digests are planned in batches, each with one save, and then put; a state from before
// may have one that is put by itself.
func (r *sealRound) run(ctx context.Context) error {
	if r.state.Sealed != nil {
		st := r.state
		if i := r.chainOf(st.Sealed); i >= 0 && st.Chains[i].Planned == nil {
			st.Chains = slices.Clone(st.Chains)
			next := *st.Chains[i]
			next.Planned, st.Sealed = st.Sealed, nil
			st.Chains[i] = &next
			if err := r.save(ctx, st); err != nil {
				return err
			}
		}
	}
	moved, err := r.retryPlanned(ctx)
	for err == nil {
		var batch []string
		if batch, err = r.cut(ctx); err != nil || len(batch) == 0 {
			break
		}
		for _, id := range batch {
			if err = r.deliver(ctx, id); err != nil {
				break
			}
		}
		moved = true
	}
	if !r.begun || ctx.Err() != nil || !moved {
		return err
	}
	st := r.state
	st.Chains = st.withoutEnded()
	if saveErr := r.save(ctx, st); saveErr != nil { // that they are done
		return errors.Join(err, saveErr)
	}
	return errors.Join(err, r.hold(ctx))
}

// maxPlanned bounds the digests that can't be put while others can; maxBatch and
// maxBatchBytes those that are planned with one save.
const (
	maxPlanned    = 64
	maxBatch      = 64
	maxBatchBytes = MaxStateBytes / 16
)

// maxFailed is how many chains may fail before a round gives up: then it is not the chain.
const maxFailed = 80

// maxProbes bounds the digests that fail again in one round.
const maxProbes = 4

// retryPlanned tries the digests again that could not be put, from another one each time,
// for only some are tried. It reports whether one got through.
func (r *sealRound) retryPlanned(ctx context.Context) (through bool, err error) {
	probed, chains := 0, r.state.Chains
	for n := range chains {
		i := (n + r.seal.probes) % len(chains)
		id := chains[i].ID
		if chains[i].Planned == nil {
			continue
		}
		if probed >= maxProbes {
			r.failed[id] = true
			continue
		}
		if err := r.deliver(ctx, id); err != nil {
			return through, err
		}
		if r.failed[id] {
			probed++
			r.seal.probes = i + 1
		} else {
			through = true
		}
	}
	return through, nil
}

// chainOf returns which chain a digest is of, -1 if there is none.
func (r *sealRound) chainOf(s *digest.Sealed) int { return r.chainAt(s.Head().Chain) }

// chainAt returns which chain has an id, -1 if none.
func (r *sealRound) chainAt(id string) int {
	return slices.IndexFunc(r.state.Chains, func(c *digest.Chain) bool { return c.ID == id })
}

// setPlanned changes in memory what is planned of a chain.
func (r *sealRound) setPlanned(i int, s *digest.Sealed) {
	r.state.Chains = slices.Clone(r.state.Chains)
	next := *r.state.Chains[i]
	next.Planned = s
	r.state.Chains[i] = &next
}

// cut plans the next digests and saves them. It returns the chains that they are of.
func (r *sealRound) cut(ctx context.Context) (batch []string, err error) {
	st := r.state
	st.Chains = st.withoutEnded()
	planned := 0
	for _, c := range st.Chains {
		if c.Planned != nil {
			planned++
		}
	}
	for size := 0; len(batch) < maxBatch && size < maxBatchBytes; {
		i, end, ending := r.next(st.Chains)
		enough := r.cuts >= r.most && !st.crowded() || len(r.failed) >= maxFailed || planned+len(batch) >= max(maxPlanned, planned+1) || planned > maxPlanned
		if i < 0 || enough {
			break
		}
		next, sealed, err := r.cutChain(ctx, st.Chains[i], end, ending)
		switch {
		case err == nil:
			next.Planned = sealed
			st.Chains[i] = next
			batch = append(batch, next.ID)
			size += len(sealed.Bytes)
			r.cuts++
		case ctx.Err() != nil || errors.Is(err, errHeads):
			return nil, err
		default:
			r.failed[st.Chains[i].ID] = true
			r.alarms = append(r.alarms, fmt.Errorf("cts: sealing: %w", err))
		}
	}
	if len(batch) == 0 {
		return nil, nil
	}
	return batch, r.save(ctx, st)
}

// cutChain returns a chain behind its next digest, and that.
func (r *sealRound) cutChain(ctx context.Context, c *digest.Chain, end digest.Stamp, ending bool) (*digest.Chain, *digest.Sealed, error) {
	next := *c
	next.Pending = slices.Clone(c.Pending)
	next.Complete(r.state.CompleteTo)
	o := &digest.CutOptions{
		End: end, Ending: ending, Signer: r.seal.opts.Signer, Layout: r.layout(c), Bucket: r.seal.opts.BucketName,
		ProjectID: r.seal.opts.ProjectID, Hash: r.seal.opts.Hash, Policy: r.seal.opts.Policy,
	}
	var err error
	if o.Heads, err = r.others(ctx, c, end); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errHeads, err)
	}
	sealed, err := next.Cut(o)
	if err != nil {
		return nil, nil, err
	}
	return &next, sealed, next.Advance(sealed)
}

// errHeads means that the bucket can't be listed, whichever chain it is for.
var errHeads = errors.New("cts: sealing")

// next returns the chain of which a digest is to be made next, or -1: the one whose digest
// ends first, so that all get on alike; where room is needed, the one with the most files.
func (r *sealRound) next(chains []*digest.Chain) (which int, end digest.Stamp, ending bool) {
	which = -1
	crowded := r.state.crowded()
	for i, c := range chains {
		at, last, due := r.end(c)
		if !due || c.Planned != nil || r.failed[c.ID] {
			continue
		}
		better := which < 0 || at < end
		if crowded && which >= 0 {
			better = len(c.Pending) > len(chains[which].Pending)
		}
		if better {
			which, end, ending = i, at, last
		}
	}
	return which, end, ending
}

// end returns where the next digest of the chain ends, whether it is the last, and
// whether it is to be made. The first one of a chain is made at once, so that nobody has
// to wonder for long whose its files are.
func (r *sealRound) end(c *digest.Chain) (end digest.Stamp, ending, due bool) {
	if c.Ended {
		return 0, false, false
	}
	if end, due = c.DueEnd(r.now, r.seal.opts.Interval); due {
		return end, false, true
	}
	ending = r.kind == cutEnding || r.seal.left(c)
	due = ending || len(c.Pending) > 0 && (r.kind == cutPending || c.Last == nil)
	return c.ShortEnd(r.now), ending, due
}

// layout returns where the digests of a chain go.
func (d *Dumper) layout(c *digest.Chain) digest.Layout {
	root := d.seal.rootOf(c)
	l := digest.Layout{
		Root: root, Tracker: escapeSegment(c.Tracker), Prefix: d.settings(c.Tracker).Prefix, Region: strings.TrimPrefix(root, sealRoots),
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
		if own.Last != nil && own.Planned == nil { // and what is not there yet, Verify would miss
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
