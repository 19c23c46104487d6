package digest

import (
	"context"
	"fmt"
)

// lookAgain lists the trace files of a root once more, where there were too many that no
// digest mentions to remember them. Everything else is known by now, so that each file is
// settled as it is listed: it is mentioned by a digest of its day or of the next, which are
// read once more, or it is one of the late ones.
func (v *verifier) lookAgain(ctx context.Context, m *moves, root string) error {
	var last *dayMentions
	for d, err := range days(ctx, v.bucket, root, v.from) {
		if err != nil {
			return err
		}
		if d.date >= v.to && (last == nil || d.date != last.date+secondsPerDay) {
			break
		}
		mentions, err := v.mentionsOf(ctx, d)
		if err != nil {
			return err
		}
		if last != nil {
			if err := v.settleDay(ctx, m, last, mentions); err != nil {
				return err
			}
		}
		last = mentions
		if d.date >= v.to {
			return nil
		}
	}
	if last == nil {
		return nil
	}
	return v.settleDay(ctx, m, last, nil)
}

// dayMentions are the files that the digests of a day mention.
type dayMentions struct {
	day
	files map[keyHash]struct{}
}

func (d *dayMentions) has(key keyHash) bool {
	if d == nil {
		return false
	}
	_, ok := d.files[key]
	return ok
}

// mentionsOf reads the digests of a day once more.
func (v *verifier) mentionsOf(ctx context.Context, d day) (*dayMentions, error) {
	digests, err := digestKeys(ctx, v.bucket, d)
	if err != nil {
		return nil, err
	}
	m := &dayMentions{d, map[keyHash]struct{}{}}
	for l := range v.loadAll(ctx, digests) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if l.err != nil {
			return nil, fmt.Errorf("reading %s once more: %w", l.at, l.err)
		}
		if !l.plain() || l.digest.End <= v.from {
			continue
		}
		for _, f := range l.digest.Files {
			m.files[hashKey(f.Object)] = struct{}{}
		}
	}
	return m, nil
}

// settleDay settles the files of a day that neither its digests nor those of the next day
// mention, nor late ones.
func (v *verifier) settleDay(ctx context.Context, m *moves, d, next *dayMentions) error {
	if next != nil && next.date != d.date+secondsPerDay {
		next = nil
	}
	for _, folder := range d.folders {
		for o, err := range v.bucket.List(ctx, folder, nil) {
			if err != nil {
				return fmt.Errorf("listing: %w", err)
			}
			info, ok := ParseKey(o.Key)
			f, ok := v.listedAs(o, info, ok, d.date)
			if !ok {
				continue
			}
			key := hashKey(o.Key)
			if _, late := v.ledger.late[key]; late || d.has(key) || next.has(key) {
				continue
			}
			if err := v.settleFile(ctx, m, o.Key, f); err != nil {
				return err
			}
		}
	}
	return nil
}
