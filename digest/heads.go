package digest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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
	read   map[string]Head // by key; a zero Head is an object that is no digest of this project
}

// NewHeadFinder returns a HeadFinder for the digests below root, such as
// "CloudTraces/eu-de".
func NewHeadFinder(bucket obs.Client, root string) *HeadFinder {
	return &HeadFinder{bucket: bucket, root: root, read: map[string]Head{}}
}

const (
	maxHeadDays  = 32 // date folders that are looked into
	maxHeadTries = 8  // digests of one chain that are read until one is good
)

// Find returns the newest head of each chain that has a digest with an end between since
// and until and for whose id own reports false; own is given the first 16 digits. At
// most 32 days before until are looked at, and of more than MaxHeads chains those with
// the newest digests returned, in order of their ids.
//
// It lists the digests of these days and no trace files, and reads the newest digest of
// each chain if it is a new one. What is no good digest is passed over: to find that
// is the business of Verify. An error is one of the bucket.
func (f *HeadFinder) Find(ctx context.Context, since, until time.Time, own func(id string) bool) ([]Head, error) {
	first, last := StampOf(since), StampOf(until)
	chains := map[string][]KeyInfo{}
	keys := map[KeyInfo]string{}
	for day := latest(since, until.AddDate(0, 0, 1-maxHeadDays)).UTC().Truncate(24 * time.Hour); !day.After(until); day = day.AddDate(0, 0, 1) {
		err := f.list(ctx, day, func(key string, info KeyInfo) {
			if info.Time >= first && info.Time <= last && !own(info.ID) {
				chains[info.ID] = append(chains[info.ID], info)
				keys[info] = key
			}
		})
		if err != nil {
			return nil, err
		}
	}
	newest := slices.Collect(maps.Values(chains))
	for _, infos := range newest {
		slices.SortFunc(infos, func(a, b KeyInfo) int { return cmp.Compare(b.Time, a.Time) })
	}
	slices.SortFunc(newest, func(a, b []KeyInfo) int {
		return cmp.Or(cmp.Compare(b[0].Time, a[0].Time), strings.Compare(a[0].ID, b[0].ID))
	})
	known := map[string]Head{}
	var heads []Head
	for _, infos := range newest[:min(len(newest), MaxHeads)] {
		for _, info := range infos[:min(len(infos), maxHeadTries)] {
			key := keys[info]
			head, err := f.head(ctx, key, info)
			if err != nil {
				return nil, err
			}
			if known[key] = head; head.Seq > 0 {
				heads = append(heads, head)
				break
			}
		}
	}
	f.read = known
	slices.SortFunc(heads, func(a, b Head) int { return strings.Compare(a.Chain, b.Chain) })
	return heads, nil
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

// head reads a digest, and returns the zero Head if it is none.
func (f *HeadFinder) head(ctx context.Context, key string, info KeyInfo) (Head, error) {
	if head, ok := f.read[key]; ok {
		return head, nil
	}
	body, _, err := f.bucket.Get(ctx, key)
	if errors.Is(err, obs.ErrNotExist) {
		return Head{}, nil
	}
	if err != nil {
		return Head{}, fmt.Errorf("digest: looking for other chains: %w", err)
	}
	defer body.Close() //nolint:errcheck // only read from
	stored, err := io.ReadAll(io.LimitReader(body, MaxBytes+1))
	if err != nil {
		return Head{}, fmt.Errorf("digest: looking for other chains: %w", err)
	}
	d, err := Read(stored)
	if err != nil || d.Extension == nil || d.Object != key || d.Extension.Chain[:16] != info.ID {
		return Head{}, nil // what is no good digest is passed over
	}
	return d.Head(stored), nil
}
