package digest

import (
	"context"
	"iter"
)

// beginnings knows when the first digest of each tracker and service of a root ended. It
// lists the digests of the bucket from the beginning, each day once, and no farther than
// it must.
type beginnings struct {
	next func() (day, error, bool)
	stop func()
	upTo Stamp // days before this one were listed
	ends map[sealer]Stamp
}

// sealer is what the folders of digests tell of their chain.
type sealer struct{ tracker, service string }

// sealers returns the folders of chains whose digests may mention a file.
func (i KeyInfo) sealers() [4]sealer {
	return [4]sealer{{i.Tracker, ""}, {i.Tracker, i.Service}, {"%", ""}, {"%", i.Service}}
}

// maxSealers bounds the folders that are remembered: anybody can make up any number.
const maxSealers = 100_000

// sealedBefore reports whether there is a digest before a time that might mention the file.
func (v *verifier) sealedBefore(ctx context.Context, file KeyInfo, before Stamp) (bool, error) {
	b := v.earlier[file.Root]
	if b == nil {
		b = &beginnings{ends: map[sealer]Stamp{}, upTo: minStamp}
		b.next, b.stop = iter.Pull2(days(ctx, v.bucket, file.Root, minStamp))
		v.earlier[file.Root] = b
	}
	for !b.has(file, before) {
		if b.upTo > before {
			return false, nil
		}
		d, err, ok := b.next()
		switch {
		case err != nil:
			return false, err
		case !ok:
			b.upTo = maxStamp + 1
			continue
		}
		digests, err := digestKeys(ctx, v.bucket, d)
		if err != nil {
			return false, err
		}
		for _, k := range digests {
			b.add(k.info)
		}
		b.upTo = d.date + 1
	}
	return true, nil
}

// add takes a digest into account; they come in the order of their days.
func (b *beginnings) add(digest KeyInfo) {
	s := sealer{digest.Tracker, digest.Service}
	if end, ok := b.ends[s]; ok && end <= digest.Time || !ok && len(b.ends) == maxSealers {
		return
	}
	b.ends[s] = digest.Time
}

// has reports whether a digest that was seen ended before a time and might mention the file.
func (b *beginnings) has(file KeyInfo, before Stamp) bool {
	for _, s := range file.sealers() {
		if end, ok := b.ends[s]; ok && end < before {
			return true
		}
	}
	return len(b.ends) == maxSealers // there may be one that was not remembered
}

// stopBeginnings ends the lists.
func (v *verifier) stopBeginnings() {
	for _, b := range v.earlier {
		b.stop()
	}
}
