package memstore

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"sort"

	"github.com/cloudtraceservice/cts"
)

// Query yields the traces that q accepts, see [cts.Reader]. Each run works on what
// was stored when it began and holds no lock while it yields. Every step parses
// the traces that it passes over.
func (s *Store) Query(ctx context.Context, q cts.Query) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) {
		records, order, err := s.ordered(ctx)
		if err != nil {
			yield(cts.Entry{}, err)
			return
		}
		scan, err := q.Scan(s.id, cts.Position(len(records)))
		if err != nil {
			yield(cts.Entry{}, err)
			return
		}
		candidates := slices.All(within(records, order, q, scan))
		if q.Order == cts.Newest {
			candidates = slices.Backward(within(records, order, q, scan))
		}
		var buf []byte
		left := q.Limit
		for _, i := range candidates {
			if err := ctx.Err(); err != nil {
				yield(cts.Entry{}, err)
				return
			}
			r := records[i]
			if !scan.Includes(r.time, position(i)) || q.ByRecordTime && !inRange(q, r.recordTime) {
				continue
			}
			t, err := cts.ParseTrace(r.json)
			if err != nil {
				if !yield(cts.Entry{}, damaged(i, errUnreadable)) {
					return
				}
				continue
			}
			if !q.Match(t) {
				continue
			}
			if buf = append(buf[:0], r.json...); q.Heads {
				t.Request, t.Response, t.Message = "", "", ""
				buf = t.AppendJSON(buf[:0])
			}
			if !yield(scan.Entry(position(i), t, buf), nil) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// After yields every trace behind pos, see [cts.Log]. It holds no lock while it
// yields.
func (s *Store) After(ctx context.Context, pos cts.Position) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) {
		records, err := s.snapshot(ctx)
		if err != nil {
			yield(cts.Entry{}, err)
			return
		}
		var buf []byte
		for i := min(uint64(pos), uint64(len(records))); i < uint64(len(records)); i++ {
			if err := ctx.Err(); err != nil {
				yield(cts.Entry{}, err)
				return
			}
			buf = append(buf[:0], records[i].json...)
			if !yield(cts.Entry{Position: position(int(i)), JSON: buf}, nil) {
				return
			}
		}
	}
}

// ordered returns all traces stored now and their indices by (time, position).
// Neither slice changes any more. Only traces that no query saw before are sorted.
func (s *Store) ordered(ctx context.Context) ([]record, []int, error) {
	s.orderMu.Lock()
	defer s.orderMu.Unlock()
	records, err := s.snapshot(ctx)
	if err != nil {
		return nil, nil, err
	}
	fresh := make([]int, 0, len(records)-len(s.order))
	for i := len(s.order); i < len(records); i++ {
		fresh = append(fresh, i)
	}
	slices.SortFunc(fresh, func(a, b int) int {
		return cmp.Or(cmp.Compare(records[a].time, records[b].time), cmp.Compare(a, b))
	})
	s.order = merge(records, s.order, fresh)
	return records, s.order, nil
}

// merge joins two sorted lists of indices, all of old being lower than all of
// fresh. It leaves the elements of old as they are, since queries read them.
func merge(records []record, old, fresh []int) []int {
	if len(fresh) == 0 {
		return old
	}
	if len(old) == 0 || records[old[len(old)-1]].time <= records[fresh[0]].time {
		return append(old, fresh...)
	}
	merged := make([]int, 0, len(old)+len(fresh))
	for len(old) > 0 && len(fresh) > 0 {
		if records[old[0]].time <= records[fresh[0]].time {
			merged, old = append(merged, old[0]), old[1:]
		} else {
			merged, fresh = append(merged, fresh[0]), fresh[1:]
		}
	}
	return append(append(merged, old...), fresh...)
}

// within narrows the order to the times that a run can yield. It goes by time
// alone: [cts.Scan.Includes] decides among traces of the cursor's millisecond.
func within(records []record, order []int, q cts.Query, scan *cts.Scan) []int {
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
	first := func(time int64) int {
		return sort.Search(len(order), func(i int) bool { return records[order[i]].time >= time })
	}
	low, high := first(from), len(order)
	if to != 0 {
		high = max(low, first(to))
	}
	return order[low:high]
}

// inRange reports whether a time is in the range of q.
func inRange(q cts.Query, time int64) bool {
	return (q.From == 0 || time >= q.From) && (q.To == 0 || time < q.To)
}
