package digest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// settleFiles draws the conclusions from the files that no digest mentions and those that
// are not there.
func (v *verifier) settleFiles(ctx context.Context, roots []string) error {
	m := v.newMoves()
	v.outcome = v.newOutcome()
	for _, key := range slices.Sorted(maps.Keys(v.ledger.files)) {
		if f := v.ledger.files[key]; !f.mentioned {
			if err := v.settleFile(ctx, m, key, f); err != nil {
				return err
			}
		}
	}
	if v.ledger.crowded {
		v.ledger.files = nil
		for _, root := range roots {
			if err := v.lookAgain(ctx, m, root); err != nil {
				return err
			}
		}
	}
	for i, j := range v.absent {
		if !m.done[i] {
			v.found(j.finding(FileDeleted, "it is sealed and not there"))
		}
	}
	return nil
}

// settleFile says what a file is that no digest mentions.
func (v *verifier) settleFile(ctx context.Context, m *moves, key string, f listed) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if from := v.movedFrom(ctx, m, key, f); from >= 0 {
		m.done[from] = true
		v.found(v.absent[from].finding(FileMoved, "it lies under %s", key))
		return nil
	}
	unmentioned, err := v.unmentioned(ctx, key, f)
	if err != nil {
		return err
	}
	v.found(unmentioned)
	return nil
}

// moves finds the places that absent files were moved to.
type moves struct {
	bySize     map[int64][]int // indexes of verifier.absent
	done       map[int]bool    // those that were found
	summarizer *summarizer
	tries      int // how many more files may be read
}

// maxMoveTries is how many files that no digest mentions are read for each absent file, to
// find out whether it is one of them: it might have the size of very many.
const maxMoveTries = 100

func (v *verifier) newMoves() *moves {
	m := &moves{bySize: map[int64][]int{}, done: map[int]bool{}, summarizer: newSummarizer(), tries: maxMoveTries * len(v.absent)}
	for i, j := range v.absent {
		if j.detail != nil {
			m.bySize[j.detail.Size] = append(m.bySize[j.detail.Size], i)
		}
	}
	return m
}

// movedFrom returns which of the absent files lies under a key now, or -1.
func (v *verifier) movedFrom(ctx context.Context, m *moves, key string, f listed) int {
	left := slices.DeleteFunc(slices.Clone(m.bySize[f.size]), func(i int) bool { return m.done[i] })
	if len(left) == 0 || m.tries == 0 {
		return -1
	}
	m.tries--
	j := v.absent[left[0]]
	j.Object = key
	sum, _, err := v.summarize(ctx, m.summarizer, j)
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
	for _, c := range v.outcome.trusted {
		if c.mayHave(info) {
			chains = append(chains, c)
		}
	}
	awaited, overdue := v.awaited(chains, info, f)
	switch {
	case awaited && !overdue:
		return Finding{Kind: FileUnsealed, Object: key, Reason: "the digest for it is not due yet: nothing proves it until then"}, nil
	case v.lostChains == 0 && v.stated(info, f):
		return Finding{Kind: FileUnvalidated, Object: key, Reason: "it was delivered while, as stated, validation was off: nothing proves it"}, nil
	case awaited:
		return Finding{Kind: FileUnproven, Object: key, Reason: "no digest mentions it, and the next one of its tracker is overdue: its writer stopped without sealing it, or it was added; of an older copy, say of when it is (AsOf)"}, nil
	}
	off, err := v.validationWasOff(ctx, chains, info, f)
	if err != nil {
		return Finding{}, err
	}
	switch {
	case off == offPaused || off == offUnproven && len(v.outcome.trusted) == 0:
		return Finding{Kind: FileUnvalidated, Object: key, Reason: "it was delivered while its writer made no digests: nothing proves it"}, nil
	case off == offUnproven:
		return Finding{Kind: FileUnproven, Object: key, Reason: "no digest of that time and tracker is there; if validation was off then, say so (Unvalidated), or it may have been added"}, nil
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

// stated reports whether a file is of a time for which validation is said to have been off.
func (v *verifier) stated(file KeyInfo, f listed) bool {
	return slices.ContainsFunc(v.Unvalidated, func(s Span) bool {
		return (s.Tracker == "" || s.Tracker == file.Tracker) &&
			(s.From.IsZero() || f.time >= StampOf(s.From)) && (s.To.IsZero() || f.time < StampOf(s.To))
	})
}

// mayHave reports whether digests of the chain may mention a file.
func (c *chainState) mayHave(file KeyInfo) bool {
	f := c.folder
	return f.Root == file.Root && (f.Tracker == file.Tracker || f.Tracker == "%") && (f.Service == "" || f.Service == file.Service)
}

// ofTracker reports whether the chain is one of the tracker of a file, whatever its service.
func (c *chainState) ofTracker(file KeyInfo) bool {
	f := c.folder
	return f.Root == file.Root && (f.Tracker == file.Tracker || f.Tracker == "%")
}

// awaited reports whether the next digest of a chain may mention the file, and whether that
// digest is overdue. It may if the file is of the time since about the newest digest of its
// tracker, for then a new writer may have put it, of which there is no digest yet. Or there
// is a chain that goes on, with a newest digest no more than Grace older than the newest of
// the tracker, and the file was put behind that, and has traces that are not in the
// digests yet.
func (v *verifier) awaited(chains []*chainState, file KeyInfo, f listed) (awaited, overdue bool) {
	t := v.tracker(file)
	if !t.open || v.lostChains > 0 || v.odd(file, f) {
		return false, false
	}
	if f.time > t.newest-t.grace && !t.lost {
		return true, v.overdueAt(t.newest, t.interval, t.grace)
	}
	for _, c := range chains {
		d := c.newest
		if d.Ending || d.End+t.grace < t.newest || f.modTime <= d.End-t.grace || c.lostTail() {
			continue
		}
		if x := d.Extension; x != nil && x.CompleteTo > 0 {
			if 1000*int64(f.time+1) <= x.CompleteTo {
				continue
			}
		} else if f.time <= d.End-t.grace {
			continue
		}
		if !v.overdueAt(d.End, c.interval(), t.grace) {
			return true, false
		}
		awaited = true
	}
	return awaited, awaited
}

// odd reports whether no writer delivers such a file: it is from the future, or lies in
// the folder of another day than its name says. Time zones and clocks may differ by a day.
func (v *verifier) odd(file KeyInfo, f listed) bool {
	apart := file.Date - midnight(file.Time)
	return apart < -secondsPerDay || apart > secondsPerDay || f.time > StampOf(v.now)+secondsPerDay
}

// lostTail reports whether digests behind the newest one are known to be missing, or are
// there and can't be trusted.
func (c *chainState) lostTail() bool {
	return len(c.doubts) > 0 || slices.ContainsFunc(c.holes, func(h hole) bool { return h.to > c.newest.End })
}

// offTime says whether a file may come from a writer that made no digests then.
type offTime int

const (
	offNever    offTime = iota // it can't
	offPaused                  // between an ending digest and the next one of that writer: the digests say so
	offUnproven                // nothing tells: before the first digest, behind an ending one, or there are no digests
)

// validationWasOff reports whether a file may come from a writer that made no digests
// then: before the first digest of its tracker, behind an ending digest and before the
// chain that follows it, or because the tracker has no digests at all. A chain that is
// known to be deleted may have had it.
func (v *verifier) validationWasOff(ctx context.Context, chains []*chainState, file KeyInfo, f listed) (offTime, error) {
	if v.lostChains > 0 {
		return offNever, nil
	}
	first, off := maxStamp, offNever
	if len(chains) > 0 && v.outcome.doubts(file) {
		first = minStamp
	}
	for _, c := range chains {
		if at := v.behind(c, chains, f); at != offNever && off != offPaused && !open(chains, c, f.time) {
			off = at
		}
		if c.first == nil || c.first.seq > 1 {
			first = minStamp
		} else {
			first = min(first, c.first.digest.Start)
		}
	}
	if off != offNever {
		return off, nil
	}
	if f.time > first {
		return offNever, nil
	}
	if v.From.IsZero() && v.To.IsZero() {
		return offUnproven, nil
	}
	earlier, err := v.sealedBefore(ctx, file, first)
	if err != nil || earlier {
		return offNever, err
	}
	return offUnproven, nil
}

// behind reports whether a file is of a time for which the chain had ended.
func (v *verifier) behind(c *chainState, chains []*chainState, f listed) offTime {
	if slices.ContainsFunc(c.pauses, func(h hole) bool { return f.time >= h.from-1 && f.time <= h.to }) {
		return offPaused
	}
	if !c.newest.Ending || f.time < c.newest.End-1 {
		return offNever
	}
	switch next := v.nextStart(c, chains); {
	case next == maxStamp:
		return offUnproven
	case f.time <= next:
		return offPaused
	}
	return offNever
}

// open reports whether a chain other than one of them was open at a time, so that it would
// have had the file.
func open(chains []*chainState, but *chainState, at Stamp) bool {
	for _, c := range chains {
		begun := c.first == nil || c.first.digest.Start < at
		paused := slices.ContainsFunc(c.pauses, func(h hole) bool { return at >= h.from-1 && at <= h.to })
		if c != but && begun && !paused && (!c.newest.Ending || at < c.newest.End-1) {
			return true
		}
	}
	return false
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

// openFinding returns the note that a chain has not ended.
func (c *chainState) openFinding() Finding {
	f := Finding{
		Kind: ChainOpen, Object: c.last.at, Chain: c.report.Chain, Seq: c.report.Head.Seq,
		Reason: fmt.Sprintf("the chain goes on: nothing behind %v is proven yet", c.last.digest.End),
	}
	if c.report.Overdue {
		f.Kind = ChainOverdue
		f.Reason = fmt.Sprintf("nothing behind %v is proven, and the next digest is overdue: its writer stopped, its digests were cut off, or this is an older copy", c.last.digest.End)
	}
	return f
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
		if t := v.tracker(c.folder); c.report.Open {
			c.report.Overdue = v.overdueAt(c.newest.End, c.interval(), t.grace)
			v.found(c.openFinding())
		}
		v.report.Chains = append(v.report.Chains, c.report)
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
