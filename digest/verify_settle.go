package digest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// settleFiles draws the conclusions from the files that no digest mentions and those that
// are not there.
func (v *verifier) settleFiles(ctx context.Context) error {
	bySize := map[int64][]int{} // of v.absent
	for i, j := range v.absent {
		if j.detail != nil {
			bySize[j.detail.Size] = append(bySize[j.detail.Size], i)
		}
	}
	moved := map[int]bool{}
	s := newSummarizer()
	for _, key := range slices.Sorted(maps.Keys(v.ledger.files)) {
		f := v.ledger.files[key]
		if f.mentioned {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		from := v.movedFrom(ctx, s, key, bySize[f.size], moved)
		if from >= 0 {
			moved[from] = true
			v.found(v.absent[from].finding(FileMoved, "it lies under %s", key))
			continue
		}
		unmentioned, err := v.unmentioned(ctx, key, f)
		if err != nil {
			return err
		}
		v.found(unmentioned)
	}
	for i, j := range v.absent {
		if !moved[i] {
			v.found(j.finding(FileDeleted, "it is sealed and not there"))
		}
	}
	return nil
}

// movedFrom returns which of the absent files lies under a key now, or -1.
func (v *verifier) movedFrom(ctx context.Context, s *summarizer, key string, candidates []int, moved map[int]bool) int {
	left := slices.DeleteFunc(slices.Clone(candidates), func(i int) bool { return moved[i] })
	if len(left) == 0 {
		return -1
	}
	j := v.absent[left[0]]
	j.Object = key
	sum, _, err := v.summarize(ctx, s, j)
	if err != nil {
		return -1
	}
	hash := fmt.Sprintf("%x", sum.SHA256)
	for _, i := range left {
		if v.absent[i].detail.SHA256 == hash {
			return i
		}
	}
	return -1
}

// unmentioned says what an object is that no digest mentions.
func (v *verifier) unmentioned(ctx context.Context, key string, f listed) (Finding, error) {
	info, ok := ParseKey(key)
	if !ok {
		if strings.HasSuffix(key, ".json") || strings.HasSuffix(key, ".json.gz") {
			return Finding{Kind: FileAdded, Object: key, Reason: "no digest mentions it, and its name is none of a trace file"}, nil
		}
		return Finding{Kind: Foreign, Object: key, Reason: "it is neither a trace file nor a digest"}, nil
	}
	var chains []*chainState
	for _, c := range v.chains {
		if c.newest != nil && c.mayHave(info) {
			chains = append(chains, c)
		}
	}
	if c := v.unsealedBy(chains, f); c != nil {
		return Finding{Kind: FileUnsealed, Object: key, Chain: c.chainID(), Reason: "the digest for it is not due yet: nothing proves it until then"}, nil
	}
	off, err := v.validationWasOff(ctx, chains, info, f)
	if err != nil {
		return Finding{}, err
	}
	if off {
		return Finding{Kind: FileUnvalidated, Object: key, Reason: "it was delivered while its writer made no digests: nothing proves it"}, nil
	}
	reason := "no digest mentions it"
	for _, c := range chains {
		for _, h := range c.holes {
			if f.time >= h.from-secondsPerDay && f.time <= h.to {
				reason = "no digest mentions it that is there and can be trusted"
			}
		}
	}
	return Finding{Kind: FileAdded, Object: key, Reason: reason}, nil
}

// mayHave reports whether digests of the chain may mention a file.
func (c *chainState) mayHave(file KeyInfo) bool {
	f := c.folder
	return f.Root == file.Root && (f.Tracker == file.Tracker || f.Tracker == "%") && (f.Service == "" || f.Service == file.Service)
}

func (c *chainState) chainID() string {
	if x := c.newest.Extension; x != nil {
		return x.Chain
	}
	return c.name
}

// unsealedBy returns a chain whose next digest may mention the file. It must be one that
// goes on: its newest digest is no more than Grace older than the newest of the tracker.
// And the file must have been put behind that newest digest, and have traces that are not
// in the digests yet.
func (v *verifier) unsealedBy(chains []*chainState, f listed) *chainState {
	grace := Stamp(v.Grace / time.Second)
	newest := minStamp
	for _, c := range chains {
		newest = max(newest, c.newest.End)
	}
	for _, c := range chains {
		d := c.newest
		if d.Ending || d.End+grace < newest || f.modTime <= d.End-grace || c.lostTail() {
			continue
		}
		if x := d.Extension; x != nil && x.CompleteTo > 0 {
			if 1000*int64(f.time+1) <= x.CompleteTo {
				continue
			}
		} else if f.time <= d.End-grace {
			continue
		}
		return c
	}
	return nil
}

// lostTail reports whether digests behind the newest one are known to be missing.
func (c *chainState) lostTail() bool {
	return slices.ContainsFunc(c.holes, func(h hole) bool { return h.to > c.newest.End })
}

// validationWasOff reports whether a file may come from a writer that made no digests
// then: before the first digest of its tracker, behind an ending digest and before the
// chain that follows it, or because the tracker has no digests at all.
func (v *verifier) validationWasOff(ctx context.Context, chains []*chainState, file KeyInfo, f listed) (bool, error) {
	first := maxStamp
	for _, c := range v.chains {
		if len(chains) > 0 && c.newest == nil && c.mayHave(file) { // none of its digests can be trusted
			first = minStamp
		}
	}
	for _, c := range chains {
		if c.newest.Ending && f.time >= c.newest.End-1 && f.time <= v.nextStart(c, chains) {
			return true, nil
		}
		if c.first == nil || c.first.seq > 1 {
			first = minStamp
		} else {
			first = min(first, c.first.digest.Start)
		}
	}
	if f.time > first || v.lostChains > 0 {
		return false, nil
	}
	if v.From.IsZero() && v.To.IsZero() {
		return true, nil
	}
	return v.firstInRange(ctx, file, first)
}

// nextStart returns when the writer of an ended chain began the next one.
func (v *verifier) nextStart(ended *chainState, chains []*chainState) Stamp {
	start := maxStamp
	x := ended.newest.Extension
	for _, c := range chains {
		if c.first == nil || c == ended {
			continue
		}
		y := c.first.digest.Extension
		same := x == nil && y == nil || x != nil && y != nil && x.Writer == y.Writer && x.Tracker == y.Tracker && x.Service == y.Service
		if same && c.first.digest.Start >= ended.newest.End {
			start = min(start, c.first.digest.Start)
		}
	}
	return start
}

// firstInRange reports whether there is no digest outside of the time range that might
// mention the file: none before it, or none at all if none was seen.
func (v *verifier) firstInRange(ctx context.Context, file KeyInfo, first Stamp) (bool, error) {
	for d, err := range days(ctx, v.bucket, file.Root, minStamp) {
		if err != nil {
			return false, err
		}
		if d.date > first {
			break
		}
		digests, err := digestKeys(ctx, v.bucket, d)
		if err != nil {
			return false, err
		}
		for _, k := range digests {
			c := chainState{folder: k.info}
			if c.mayHave(file) && k.info.Time < first {
				return false, nil
			}
		}
	}
	return true, nil
}

// settleChains reports what is left of each chain.
func (v *verifier) settleChains(ctx context.Context) {
	writers := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(v.chains)) {
		c := v.chains[name]
		for _, d := range c.doubts {
			v.dismiss(d, nil)
		}
		if c.late != nil && c.last != nil { // a writer puts it right behind the digest: look again
			again := v.load(ctx, keyed{c.last.at, c.last.info})
			if again.hashes != c.last.hashes || again.err != nil {
				again.faults = c.late
			}
			v.foundAll(again.faults)
		}
		for _, seq := range slices.Sorted(maps.Keys(c.missing)) {
			v.found(c.missing[seq])
		}
		if c.report.Digests == 0 {
			continue
		}
		writers[c.report.Writer] = true
		c.report.Open = !c.covered && !c.report.Ended
		v.report.Chains = append(v.report.Chains, c.report)
		if c.report.Open {
			v.found(Finding{
				Kind: ChainOpen, Object: c.last.at, Chain: c.report.Chain, Seq: c.report.Head.Seq,
				Reason: fmt.Sprintf("the chain goes on: nothing behind %v is proven yet", c.last.digest.End),
			})
		}
	}
	for _, w := range v.Writers {
		if !writers[w] {
			v.found(Finding{Kind: WriterMissing, Reason: fmt.Sprintf("the writer %.100q has no digest in the range", w)})
		}
	}
	if len(v.report.Chains) == 0 {
		v.found(Finding{Kind: NothingFound, Reason: "there is no digest in the range that can be trusted: nothing is proven"})
	}
}
