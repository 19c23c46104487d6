package digest

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/cloudtraceservice/cts/obs"
)

// day is one date below a root. It may have two folders, 2026/1/2 and 2026/01/02.
type day struct {
	date    Stamp // midnight
	folders []string
}

const secondsPerDay = 24 * 60 * 60

func midnight(s Stamp) Stamp { return StampOf(s.Time().Truncate(24 * time.Hour)) }

// folders returns the names of the folders directly below a prefix that ends with a
// slash. It lists one object of each.
func folders(ctx context.Context, bucket obs.Client, prefix string) ([]string, error) {
	var names []string
	for after := ""; ; {
		first, err := firstKey(ctx, bucket, prefix, after)
		if err != nil || first == "" {
			return names, err
		}
		name, _, ok := strings.Cut(first[len(prefix):], "/")
		if !ok {
			after = first
			continue
		}
		names = append(names, name)
		after = prefix + name + "0" // the byte behind the slash: everything in the folder is before it
	}
}

func firstKey(ctx context.Context, bucket obs.Client, prefix, after string) (string, error) {
	for o, err := range bucket.List(ctx, prefix, &obs.ListOptions{After: after}) {
		if err != nil {
			return "", fmt.Errorf("listing: %w", err)
		}
		return o.Key, nil
	}
	return "", nil
}

// roots returns what lies above the date folders, such as CloudTraces/eu-de.
func (v *verifier) roots(ctx context.Context) ([]string, error) {
	return bucketRoots(ctx, v.bucket, v.Region)
}

func bucketRoots(ctx context.Context, bucket obs.Client, region string) ([]string, error) {
	if region != "" {
		return []string{keyRoot + "/" + region}, nil
	}
	regions, err := folders(ctx, bucket, keyRoot+"/")
	if err != nil {
		return nil, err
	}
	var roots []string
	for _, region := range regions {
		root := keyRoot + "/" + region
		below, err := folders(ctx, bucket, root+"/")
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(below, isYear) {
			roots = append(roots, root)
		}
		for _, project := range below { // a sub-project may have a folder of its own, and be called like a year
			years, err := folders(ctx, bucket, root+"/"+project+"/")
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(years, isYear) {
				roots = append(roots, root+"/"+project)
			}
		}
	}
	return roots, nil
}

func isYear(name string) bool {
	_, ok := digits(name)
	return ok && len(name) == 4
}

func isShort(name string) bool { return len(name) <= 2 }

// numbered is a folder whose name is a number, of which there may be two: 1 and 01.
type numbered struct {
	number int
	names  []string
}

// numberedFolders returns those below the prefixes from a number on, in order.
func numberedFolders(ctx context.Context, bucket obs.Client, prefixes []string, from int, valid func(name string) bool) ([]numbered, error) {
	byNumber := map[int][]string{}
	for _, prefix := range prefixes {
		names, err := folders(ctx, bucket, prefix)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if n, ok := digits(name); ok && n >= from && valid(name) {
				byNumber[n] = append(byNumber[n], prefix+name+"/")
			}
		}
	}
	var sorted []numbered
	for n, names := range byNumber {
		sorted = append(sorted, numbered{n, names})
	}
	slices.SortFunc(sorted, func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
	return sorted, nil
}

// days yields the dates of a root that have a folder, from a day on, in order. An error
// is yielded once and ends it.
func days(ctx context.Context, bucket obs.Client, root string, from Stamp) iter.Seq2[day, error] {
	first := from.Time()
	return func(yield func(day, error) bool) {
		years, err := numberedFolders(ctx, bucket, []string{root + "/"}, first.Year(), isYear)
		if err != nil {
			yield(day{}, err)
			return
		}
		for _, y := range years {
			fromMonth := 1
			if y.number == first.Year() {
				fromMonth = int(first.Month())
			}
			months, err := numberedFolders(ctx, bucket, y.names, fromMonth, isShort)
			if err != nil {
				yield(day{}, err)
				return
			}
			for _, m := range months {
				if !monthDays(ctx, bucket, y.number, m, from, yield) {
					return
				}
			}
		}
	}
}

// monthDays yields the days of a month. It reports whether to go on.
func monthDays(ctx context.Context, bucket obs.Client, year int, m numbered, from Stamp, yield func(day, error) bool) bool {
	found, err := numberedFolders(ctx, bucket, m.names, 1, isShort)
	if err != nil {
		yield(day{}, err)
		return false
	}
	for _, n := range found {
		t := time.Date(year, time.Month(m.number), n.number, 0, 0, 0, 0, time.UTC)
		if t.Month() != time.Month(m.number) || t.Day() != n.number || StampOf(t) < midnight(from) {
			continue // no date, or before
		}
		if !yield(day{StampOf(t), n.names}, nil) {
			return false
		}
	}
	return true
}

// digestKeys yields the keys of the digests of a day and nothing else, in order of
// end time. It jumps over the trace files.
func digestKeys(ctx context.Context, bucket obs.Client, d day) ([]keyed, error) {
	var found []keyed
	list := func(prefix string) error {
		for o, err := range bucket.List(ctx, prefix, nil) {
			if err != nil {
				return fmt.Errorf("listing: %w", err)
			}
			if info, ok := ParseKey(o.Key); ok && info.Kind == DigestFile {
				found = append(found, keyed{o.Key, info})
				if len(found) > maxDayDigests {
					return tooManyDigests(d)
				}
			}
		}
		return nil
	}
	for _, folder := range d.folders {
		trackers, err := folders(ctx, bucket, folder)
		if err != nil {
			return nil, err
		}
		for _, tracker := range trackers {
			prefix := folder + tracker + "/" + digestFolder + "/"
			if tracker == digestFolder { // as in 2017
				prefix = folder + tracker + "/"
			}
			if err := list(prefix); err != nil {
				return nil, err
			}
		}
	}
	sortKeyed(found)
	return found, nil
}

// keyed is a key and what it says.
type keyed struct {
	key  string
	info KeyInfo
}

// sortKeyed sorts by time, so that the digests of a chain come in their order.
func sortKeyed(keys []keyed) {
	slices.SortFunc(keys, func(a, b keyed) int {
		return cmp.Or(cmp.Compare(a.info.Time, b.info.Time), strings.Compare(a.key, b.key))
	})
}

// chainName returns what the digests of one chain have in common in their keys: the
// first half of its id, or root, tracker and service in genuine digests of CTS.
func (i KeyInfo) chainName() string {
	if i.ID != "" {
		return i.ID
	}
	return i.Root + "/" + i.Tracker + "/" + i.Service
}
