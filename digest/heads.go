package digest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cloudtraceservice/cts/obs"
)

// HeadFinder finds the newest digests of other chains in a bucket, which each digest
// mentions: so a chain of which everything is deleted is still known to others. It
// remembers what it has read, and reads each digest once. It is not safe for concurrent
// use.
type HeadFinder struct {
	bucket obs.Client
	root   string
	keys   map[string]*PublicKey // by their ids
	read   map[string]Head       // by key; a zero Head is an object that is no digest of this project
}

// NewHeadFinder returns a HeadFinder for the digests below root, such as
// "CloudTraces/eu-de". The keys are those that writers are known to sign with; nil ones
// are passed over.
func NewHeadFinder(bucket obs.Client, root string, keys ...*PublicKey) *HeadFinder {
	f := &HeadFinder{bucket: bucket, root: root, keys: map[string]*PublicKey{}, read: map[string]Head{}}
	for _, k := range keys {
		if k != nil {
			f.keys[k.ID()] = k
		}
	}
	return f
}

const (
	maxHeadDays  = 32       // date folders that are looked into
	maxHeadTries = 8        // digests of one chain that are read until one is good
	maxHeadReads = 4000     // objects that one Find reads
	maxFindBytes = 64 << 20 // that one Find reads
)

// Find returns the newest head of each chain that has a digest with an end between since
// and until and for whose id own reports false; own is given the first 16 digits. At
// most 32 days before until are looked at, and of more than MaxHeads chains those
// returned of which the signature was checked, and then those with the newest digests, in
// order of their ids.
//
// It lists the digests of these days and no trace files, and reads the newest digest of
// each chain if it is a new one: one whose signature holds under one of the keys if there
// is one among the newest, or else one by a key that is not known, whose head is marked as
// Unchecked. What is no good digest, can't be read, or is signed wrongly is passed over:
// to find that is the business of Verify. One call reads at most 4,000 objects and 64 MiB;
// what is beyond that is left to the next one.
//
// An error is one of listing, [obs.ErrThrottled], or that of the context; a single digest
// that the bucket fails on, or denies, is no error.
func (f *HeadFinder) Find(ctx context.Context, since, until time.Time, own func(id string) bool) ([]Head, error) {
	chains, err := f.chains(ctx, since, until, own)
	if err != nil {
		return nil, err
	}
	r := &headReader{HeadFinder: f, known: map[string]Head{}, reads: maxHeadReads, bytes: maxFindBytes}
	var heads []Head
	for _, digests := range chains {
		head, err := r.newest(ctx, digests[:min(len(digests), maxHeadTries)])
		if err != nil {
			return nil, err
		}
		if head.Seq > 0 {
			heads = append(heads, head)
		}
	}
	f.read = r.known
	return chooseHeads(heads), nil
}

// chains returns the digests of each chain, the newest first; the chains with the newest
// digests are the first.
func (f *HeadFinder) chains(ctx context.Context, since, until time.Time, own func(id string) bool) ([][]keyed, error) {
	first, last := StampOf(since), StampOf(until)
	byID := map[string][]keyed{}
	for day := latest(since, until.AddDate(0, 0, 1-maxHeadDays)).UTC().Truncate(24 * time.Hour); !day.After(until); day = day.AddDate(0, 0, 1) {
		err := f.list(ctx, day, func(key string, info KeyInfo) {
			if info.Time >= first && info.Time <= last && !own(info.ID) {
				byID[info.ID] = append(byID[info.ID], keyed{key, info})
			}
		})
		if err != nil {
			return nil, err
		}
	}
	chains := slices.Collect(maps.Values(byID))
	newest := func(a, b keyed) int {
		return cmp.Or(cmp.Compare(b.info.Time, a.info.Time), strings.Compare(a.key, b.key))
	}
	for _, digests := range chains {
		slices.SortFunc(digests, newest)
	}
	slices.SortFunc(chains, func(a, b []keyed) int { return newest(a[0], b[0]) })
	return chains, nil
}

// chooseHeads returns at most MaxHeads of the heads, those that were checked before the
// others and otherwise the first ones, in order of their ids.
func chooseHeads(heads []Head) []Head {
	slices.SortStableFunc(heads, func(a, b Head) int { return compareBool(a.Unchecked, b.Unchecked) })
	heads = heads[:min(len(heads), MaxHeads)]
	slices.SortFunc(heads, func(a, b Head) int { return strings.Compare(a.Chain, b.Chain) })
	return heads
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// list calls yield for the digests in the folder of a day. It jumps from tracker to
// tracker, so that trace files are not listed.
func (f *HeadFinder) list(ctx context.Context, day time.Time, yield func(key string, info KeyInfo)) error {
	folder := f.root + day.Format("/2006/01/02/")
	for after := ""; ; {
		first, err := f.first(ctx, folder, after)
		if err != nil || first == "" {
			return err
		}
		tracker, _, ok := strings.Cut(first[len(folder):], "/")
		if !ok { // an object directly in the folder
			after = first
			continue
		}
		for o, err := range f.bucket.List(ctx, folder+tracker+"/"+digestFolder+"/", nil) {
			if err != nil {
				return fmt.Errorf("digest: looking for other chains: %w", err)
			}
			if info, ok := ParseKey(o.Key); ok && info.Kind == DigestFile && info.ID != "" && info.Date == StampOf(info.Time.Time().Truncate(24*time.Hour)) {
				yield(o.Key, info)
			}
		}
		after = folder + tracker + "0" // the byte behind the slash: everything in the folder of the tracker is before it
	}
}

// first returns the first key with the prefix after another string, "" if there is none.
func (f *HeadFinder) first(ctx context.Context, prefix, after string) (string, error) {
	for o, err := range f.bucket.List(ctx, prefix, &obs.ListOptions{After: after}) {
		if err != nil {
			return "", fmt.Errorf("digest: looking for other chains: %w", err)
		}
		return o.Key, nil
	}
	return "", nil
}

// headReader is what one Find reads.
type headReader struct {
	*HeadFinder
	known map[string]Head // what is to be remembered
	reads int             // objects that may still be read
	bytes int64           // and bytes of them
}

// newest returns the head of the first digest that is good, a zero Head if none is. One
// that is checked is better than a newer one that is not.
func (r *headReader) newest(ctx context.Context, digests []keyed) (Head, error) {
	var newest Head
	for _, k := range digests {
		head, err := r.head(ctx, k)
		if err != nil {
			return Head{}, err
		}
		if head.Seq > 0 && !head.Unchecked {
			return head, nil
		}
		if newest.Seq == 0 {
			newest = head
		}
		if newest.Seq > 0 && len(r.keys) == 0 {
			break // none can be checked
		}
	}
	return newest, nil
}

// head returns the head that a digest is, a zero Head if it is none. What could not be
// read is not remembered.
func (r *headReader) head(ctx context.Context, k keyed) (Head, error) {
	if head, ok := r.read[k.key]; ok {
		r.known[k.key] = head
		return head, nil
	}
	stored, object, err := r.get(ctx, k.key, MaxBytes)
	if err != nil {
		return Head{}, lasting(ctx, err)
	}
	head := Head{}
	d, err := Read(stored)
	if err == nil && d.Extension != nil && d.Object == k.key && d.Extension.Chain[:16] == k.info.ID {
		if head, err = r.check(ctx, d, stored, object.Metadata[MetaSignature]); err != nil {
			return Head{}, lasting(ctx, err)
		}
	}
	r.known[k.key] = head
	return head, nil
}

// check returns the head of a digest, marked if its signature can't be checked, and a zero
// Head if it is wrong.
func (r *headReader) check(ctx context.Context, d *Digest, stored []byte, signature string) (Head, error) {
	head := d.Head(stored)
	key := r.keys[d.Extension.KeyID]
	if key == nil {
		head.Unchecked = true
		return head, nil
	}
	if signature != "" && CheckSignature(key, d, stored, signature) == nil {
		return head, nil
	}
	content, _, err := r.get(ctx, d.Object+SignatureSuffix, maxSignature) // a bucket may keep no metadata
	if isAbsent(err) {
		return Head{}, nil
	}
	if err != nil {
		return Head{}, err
	}
	s, err := ParseSignature(content)
	if err != nil || CheckSignature(key, d, stored, s.Signature) != nil {
		return Head{}, nil //nolint:nilerr // to find what is wrong is the business of Verify
	}
	return head, nil
}

// errEnough means that one Find has read what it may.
var errEnough = errors.New("digest: enough was read")

// get reads an object, if there is room for it.
func (r *headReader) get(ctx context.Context, key string, limit int64) ([]byte, obs.Object, error) {
	if r.reads < 1 || r.bytes < 1 {
		return nil, obs.Object{}, errEnough
	}
	room := min(limit, r.bytes)
	content, object, err := getObject(ctx, r.bucket, key, room)
	r.reads--
	r.bytes -= int64(len(content))
	if err == nil && room < limit && int64(len(content)) > room {
		err = errEnough
	}
	return content, object, err
}

// lasting returns the error of one object if it is one of all of them.
func lasting(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, obs.ErrThrottled) {
		return fmt.Errorf("digest: looking for other chains: %w", err)
	}
	return nil
}
