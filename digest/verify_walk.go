package digest

import (
	"context"
	"fmt"
	"strings"
)

// walkRoot reads the digests below a root day by day. Behind the time range it goes on
// while there are chains that may go on within it, or files in it that a later digest may
// mention.
func (v *verifier) walkRoot(ctx context.Context, root string) error {
	for d, err := range days(ctx, v.bucket, root, v.from) {
		if err != nil {
			return err
		}
		var digests []keyed
		switch {
		case d.date < v.to:
			digests, err = v.listDay(ctx, d)
		case v.done(root):
			return nil
		default:
			digests, err = digestKeys(ctx, v.bucket, d)
		}
		if err != nil {
			return err
		}
		if err := v.readDay(ctx, digests); err != nil {
			return err
		}
		v.ledger.forget(d.date)
	}
	return nil
}

// done reports whether nothing behind the time range can matter.
func (v *verifier) done(root string) bool {
	if v.ledger.waits() {
		return false
	}
	for _, c := range v.chains {
		if c.folder.Root == root && !c.covered && !c.report.Ended {
			return false
		}
	}
	return true
}

// listDay lists everything of a day. Trace files go to the ledger; the keys of digests
// are returned in the order of their times.
func (v *verifier) listDay(ctx context.Context, d day) ([]keyed, error) {
	var digests []keyed
	last := "" // digest: its signature object is the next object that is listed
	for _, folder := range d.folders {
		for o, err := range v.bucket.List(ctx, folder, nil) {
			if err != nil {
				return nil, fmt.Errorf("listing: %w", err)
			}
			info, ok := ParseKey(o.Key)
			switch {
			case ok && info.Kind == DigestFile:
				digests = append(digests, keyed{o.Key, info})
				last = o.Key
				if len(digests) > maxDayDigests {
					return nil, tooManyDigests(d)
				}
			case ok && info.Kind == SignatureFile && info.Time > v.from && info.Time < v.to:
				if of := strings.TrimSuffix(o.Key, SignatureSuffix); of != last {
					v.orphan(ctx, o.Key, of)
				}
			default:
				if f, ok := v.listedAs(o, info, ok, d.date); ok {
					v.ledger.list(o.Key, f)
				}
			}
		}
	}
	sortKeyed(digests)
	return digests, nil
}

// maxDayDigests is how many digests of one day and root are read: those of 10,000 chains.
const maxDayDigests = 250_000

func tooManyDigests(d day) error {
	return fmt.Errorf("%w: there are more than %d digests in %s: no writers make that many, look who put them there", ErrTooLarge, maxDayDigests, d.folders[0])
}

// orphan reports a signature object whose digest was not listed. No writer puts one
// before its digest, and nothing else has a use for it.
func (v *verifier) orphan(ctx context.Context, key, of string) {
	info, _ := ParseKey(key)
	f := Finding{Kind: SignatureAdded, Object: key, Chain: info.ID, Reason: "it is the signature object of a digest that is not there: that one was deleted or moved, or this one added"}
	switch _, err := v.bucket.Head(ctx, of); {
	case err == nil: // put since
		return
	case !isAbsent(err):
		if ctx.Err() == nil {
			v.unreadable(of, err)
		}
		return
	case v.expired(info.Time):
		f.Kind, f.Reason = Expired, "its digest is not there, and older than the retention"
	}
	v.found(f)
}

// readDay takes the digests of a day into account: those that end in the range, and the
// first of each chain that ends behind it. The others behind it are only asked for the
// files that are still without a digest.
func (v *verifier) readDay(ctx context.Context, digests []keyed) error {
	var in, behind []keyed
	passed := map[string]bool{}
	for _, k := range digests {
		if k.info.Time <= v.from {
			continue
		}
		name := k.info.chainName()
		c := v.chains[name]
		if passed[name] || c != nil && c.covered {
			behind = append(behind, k)
			continue
		}
		in = append(in, k)
		passed[name] = k.info.Time >= v.to
	}
	for l := range v.loadAll(ctx, in) {
		v.takeFrom(ctx, l)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if !v.ledger.waits() {
		return nil
	}
	for l := range v.loadAll(ctx, behind) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.digest != nil && l.doubt == nil && l.err == nil {
			v.chain(l.origin()).saw(l.slim().digest)
			v.ledger.mentionAll(l)
		}
	}
	return nil
}

// maxStrangers is how many chains are followed of which no digest could be trusted yet.
// Whoever writes to the bucket can make up any number.
const maxStrangers = 10_000

// takeFrom takes a digest that was listed.
func (v *verifier) takeFrom(ctx context.Context, l *loaded) {
	info := l.origin()
	if l.doubt != nil && v.chains[info.chainName()] == nil {
		if v.strangers >= maxStrangers {
			v.foundAll(l.faults)
			v.dismiss(l, nil)
			return
		}
		v.strangers++
	}
	v.take(ctx, v.chain(info), l)
}

// origin returns what the key of the digest says: its own key if that can be trusted.
func (l *loaded) origin() KeyInfo {
	if l.key != l.at && l.doubt == nil {
		if info, ok := ParseKey(l.key); ok {
			return info
		}
	}
	return l.info
}
