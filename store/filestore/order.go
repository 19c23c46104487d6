package filestore

import (
	"cmp"
	"slices"
	"sort"
	"sync"

	"github.com/cloudtraceservice/cts"
)

// order keeps the traces in the order (time, position), as runs of ordinals each of
// which is sorted. Only queries need it, so only they extend it: what came since
// the last one becomes a run, and runs of similar length are merged, so that all
// queries together sort each trace about as often as its number has digits.
type order struct {
	mu    sync.Mutex
	epoch uint64 // of the views whose ordinals these are
	runs  [][]uint32
	done  int // ordinals in runs
}

// view returns the view that load returns, and runs over exactly its traces, or of
// a few more if other queries were faster. The runs don't change any more.
func (o *order) view(load func() *view) (*view, [][]uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := load()
	if v.epoch != o.epoch {
		o.epoch, o.runs, o.done = v.epoch, nil, 0
	}
	if v.count > o.done {
		o.extend(v)
	}
	return v, slices.Clone(o.runs)
}

func (o *order) extend(v *view) {
	run := make([]uint32, 0, v.count-o.done)
	for i := o.done; i < v.count; i++ {
		run = append(run, uint32(i))
	}
	o.done = v.count
	byTime := func(a, b uint32) int { return v.compare(a, b) }
	if !slices.IsSortedFunc(run, byTime) {
		slices.SortFunc(run, byTime)
	}
	for len(o.runs) > 0 {
		last := o.runs[len(o.runs)-1]
		inOrder := v.compare(last[len(last)-1], run[0]) < 0
		if !inOrder && len(last) > 2*len(run) {
			break
		}
		o.runs = o.runs[:len(o.runs)-1]
		if inOrder {
			run = append(last, run...) // queries see no more of last than they saw
			continue
		}
		run = v.merge(last, run)
	}
	o.runs = append(o.runs, run)
}

// compare compares two traces by (time, position).
func (v *view) compare(a, b uint32) int {
	return cmp.Or(cmp.Compare(v.at(int(a)).time, v.at(int(b)).time), cmp.Compare(a, b))
}

func (v *view) merge(a, b []uint32) []uint32 {
	merged := make([]uint32, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if v.compare(a[0], b[0]) < 0 {
			merged, a = append(merged, a[0]), a[1:]
		} else {
			merged, b = append(merged, b[0]), b[1:]
		}
	}
	return append(append(merged, a...), b...)
}

// within narrows the runs to the times that a run of the query can yield. It goes by
// time alone; [cts.Scan.Includes] decides among traces of the cursor's millisecond.
func (v *view) within(runs [][]uint32, q cts.Query, scan *cts.Scan) [][]uint32 {
	from, to := q.From, q.To
	if q.ByRecordTime {
		from, to = 0, 0
	}
	if time, _, resumed := scan.Start(); resumed {
		if q.Order == cts.Oldest {
			from = max(from, time)
		} else if to == 0 || to > time {
			to = time + 1
		}
	}
	var narrow [][]uint32
	for _, run := range runs {
		first := func(time int64) int {
			return sort.Search(len(run), func(i int) bool { return v.at(int(run[i])).time >= time })
		}
		low, high := 0, len(run)
		if from != 0 {
			low = first(from)
		}
		if to != 0 {
			high = max(low, first(to))
		}
		if low < high {
			narrow = append(narrow, run[low:high])
		}
	}
	return narrow
}

// merging yields the elements of several runs in one order.
type merging struct {
	view   *view
	runs   [][]uint32
	newest bool
}

// next returns the next ordinal.
func (m *merging) next() (int, bool) {
	best := -1
	var ordinal uint32
	for i, run := range m.runs {
		head := run[0]
		if m.newest {
			head = run[len(run)-1]
		}
		if best < 0 || (m.view.compare(head, ordinal) < 0) != m.newest {
			best, ordinal = i, head
		}
	}
	if best < 0 {
		return 0, false
	}
	run := m.runs[best]
	if m.newest {
		run = run[:len(run)-1]
	} else {
		run = run[1:]
	}
	m.runs[best] = run
	if len(run) == 0 {
		m.runs = slices.Delete(m.runs, best, best+1)
	}
	return int(ordinal), true
}
