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
		v, order, err := s.ordered(ctx)
		if err != nil {
			yield(cts.Entry{}, err)
			return
		}
		scan, err := q.Scan(s.id, v.last())
		if err != nil {
			yield(cts.Entry{}, err)
			return
		}
		r := run{q: q, scan: scan}
		candidates := slices.All(v.within(order, q, scan))
		if q.Order == cts.Newest {
			candidates = slices.Backward(v.within(order, q, scan))
		}
		left, skip := q.Limit, q.Skip
		for _, pos := range candidates {
			if err := ctx.Err(); err != nil {
				yield(cts.Entry{}, err)
				return
			}
			e, ok, err := r.entry(pos, v.at(pos))
			if !ok && err == nil {
				continue
			}
			if skip > 0 && err == nil {
				skip--
				continue
			}
			if !yield(e, err) {
				return
			}
			if err == nil {
				if left--; left == 0 {
					return
				}
			}
		}
	}
}

// run is one run of a query.
type run struct {
	q    cts.Query
	scan *cts.Scan
	buf  []byte
}

// entry returns what the run yields for a trace, if it yields it.
func (r *run) entry(pos cts.Position, rec record) (e cts.Entry, ok bool, err error) {
	if !r.scan.Includes(rec.time, pos) || r.q.ByRecordTime && !inRange(r.q, rec.recordTime) {
		return e, false, nil
	}
	t, err := cts.ParseTrace(rec.json)
	if err != nil {
		return e, false, damaged(pos, errUnreadable) // the cause may quote the record
	}
	if !r.q.Match(t) {
		return e, false, nil
	}
	if r.q.Heads {
		t.Request, t.Response, t.Message = "", "", ""
		return r.scan.Entry(pos, t, nil), true, nil
	}
	r.buf = append(r.buf[:0], rec.json...)
	return r.scan.Entry(pos, t, r.buf), true, nil
}

// ordered returns all traces stored now and their positions by (time, position).
// Neither slice changes any more. Only traces that no query saw before are sorted.
func (s *Store) ordered(ctx context.Context) (view, []cts.Position, error) {
	s.orderMu.Lock()
	defer s.orderMu.Unlock()
	v, err := s.snapshot(ctx)
	if err != nil {
		return view{}, nil, err
	}
	if v.dropped > s.orderedAbove {
		kept := make([]cts.Position, 0, len(v.records))
		for _, pos := range s.order {
			if pos > v.dropped {
				kept = append(kept, pos)
			}
		}
		s.order, s.orderedAbove = kept, v.dropped
	}
	fresh := make([]cts.Position, 0, len(v.records)-len(s.order))
	for pos := v.dropped + cts.Position(len(s.order)) + 1; pos <= v.last(); pos++ {
		fresh = append(fresh, pos)
	}
	slices.SortFunc(fresh, func(a, b cts.Position) int {
		return cmp.Or(cmp.Compare(v.at(a).time, v.at(b).time), cmp.Compare(a, b))
	})
	s.order = v.merge(s.order, fresh)
	return v, s.order, nil
}

// merge joins two sorted lists of positions, all of old being lower than all of
// fresh. It leaves the elements of old as they are, since queries read them.
func (v view) merge(old, fresh []cts.Position) []cts.Position {
	if len(fresh) == 0 {
		return old
	}
	if len(old) == 0 || v.at(old[len(old)-1]).time <= v.at(fresh[0]).time {
		return append(old, fresh...)
	}
	merged := make([]cts.Position, 0, len(old)+len(fresh))
	for len(old) > 0 && len(fresh) > 0 {
		if v.at(old[0]).time <= v.at(fresh[0]).time {
			merged, old = append(merged, old[0]), old[1:]
		} else {
			merged, fresh = append(merged, fresh[0]), fresh[1:]
		}
	}
	return append(append(merged, old...), fresh...)
}

// within narrows the order to the times that a run can yield. It goes by time
// alone: [cts.Scan.Includes] decides among traces of the cursor's millisecond.
func (v view) within(order []cts.Position, q cts.Query, scan *cts.Scan) []cts.Position {
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
		return sort.Search(len(order), func(i int) bool { return v.at(order[i]).time >= time })
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
