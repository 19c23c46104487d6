package cts

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

// deliver puts the digest that is planned of a chain. If another object lies under its
// name, it is given a later end time, so that sealing goes on; what it met is an alarm. A
// digest that can't be put stays planned, and its chain waits; the error is one of the
// bucket as a whole.
func (r *sealRound) deliver(ctx context.Context, id string) error {
	var err error
	for range maxMoves {
		i := r.chainAt(id)
		if i < 0 || r.state.Chains[i].Planned == nil {
			return fmt.Errorf("%w: state %s has a digest of no chain", ErrVersion, r.opts.StateName)
		}
		s := r.state.Chains[i].Planned
		err = s.Put(ctx, r.bucket)
		if err == nil {
			r.done(i, s)
			return nil
		}
		if !errors.Is(err, digest.ErrConflict) {
			break
		}
		r.met(fmt.Errorf("cts: sealing goes on beside what somebody else put there: %w", err))
		if errors.Is(err, digest.ErrSignatureConflict) { // the digest itself is in the bucket, and has the signature with it
			r.done(i, s)
			return nil
		}
		if err := r.giveWay(ctx, i, s); err != nil {
			return err
		}
	}
	err = fmt.Errorf("cts: sealing: %w", err)
	if ctx.Err() != nil || everywhere(err) || errors.Is(err, obs.ErrFull) {
		return err
	}
	r.failed[id] = true
	r.alarms = append(r.alarms, err)
	return nil
}

// met takes note of what somebody else has put in the way.
func (r *sealRound) met(err error) {
	r.alarms = append(r.alarms, err)
	r.mu.Lock()
	r.status.SealConflicts++
	r.mu.Unlock()
}

// done takes note of a digest that is in the bucket; that is saved with what is saved
// next.
func (r *sealRound) done(i int, s *digest.Sealed) {
	r.setPlanned(i, nil)
	r.mu.Lock()
	r.status.Digests++
	r.mu.Unlock()
	r.seal.opts.Sealed(s.Head())
}

// giveWay plans the digest s with a later end time.
func (r *sealRound) giveWay(ctx context.Context, i int, s *digest.Sealed) error {
	next := *r.state.Chains[i]
	moved, err := next.Later(s, r.seal.opts.Signer, r.layout(&next), s.End+1)
	if err != nil {
		return fmt.Errorf("cts: sealing: %w", err)
	}
	next.Planned = moved
	st := r.state
	st.Chains = slices.Clone(st.Chains)
	st.Chains[i] = &next
	return r.save(ctx, st)
}

// maxMoves is how often one round gives way to somebody else's objects.
const maxMoves = 8
