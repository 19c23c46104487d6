package filestore

import (
	"bytes"
	"context"
	"iter"
	"slices"

	"github.com/cloudtraceservice/cts"
)

// Query yields the traces that q accepts, see [cts.Reader]. Each run works on a
// snapshot and neither holds up an append nor is held up by one. Memory is bounded
// by the largest trace.
//
// Positions that Open found to be lost are yielded first, as a
// [*cts.CorruptionError] each: nobody knows whether q would have accepted them. A
// trace that turns out to be damaged when it is read yields one in its place. The
// caller may go on past both.
//
// A query reads every trace of its time range until it has
// its Limit; a condition that a field has a value, at the top level of the query,
// lets it pass over the others without parsing them, and one on
// [cts.FieldTraceID] lets a writer go to the trace at once.
func (s *Store) Query(ctx context.Context, q cts.Query) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) {
		_, done, err := s.look(ctx)
		if err != nil {
			yield(cts.Entry{}, err)
			return
		}
		defer done()
		v, runs := s.order.view(s.view.Load)
		scan, err := q.Scan(s.ID(), v.last)
		if err != nil {
			yield(cts.Entry{}, err)
			return
		}
		for _, hole := range v.holes {
			if hole.First <= scan.Ceiling && !yield(cts.Entry{}, hole) {
				return
			}
		}
		r := run{q: q, scan: scan, view: v, needles: needles(q.Condition)}
		if ordinals, ok := s.byID(v, q.Condition); ok {
			runs = [][]uint32{ordinals}
		}
		r.each(ctx, runs, yield)
	}
}

// byID returns the traces that q can accept, in order, when it asks for ids.
func (s *Store) byID(v *view, c cts.Condition) ([]uint32, bool) {
	var ids []string
	asked := false
	for _, must := range conjuncts(c) {
		if must.Op == cts.OpIn && must.Field == cts.FieldTraceID && !must.Fold && !asked {
			ids, asked = must.Values, true
		}
	}
	if !asked {
		return nil, false
	}
	ordinals := make([]uint32, 0, len(ids))
	for _, id := range ids {
		pos, found, known := s.lookUpID(id)
		if !known {
			return nil, false
		}
		if ordinal, ok := v.find(pos); found && ok {
			ordinals = append(ordinals, uint32(ordinal))
		}
	}
	slices.SortFunc(ordinals, v.compare)
	return slices.Compact(ordinals), true
}

// run is one run of a query.
type run struct {
	q       cts.Query
	scan    *cts.Scan
	view    *view
	needles [][][]byte
	bodies  bodyReader
	head    []byte // JSON without bodies
}

// each yields what the query accepts among the traces of the runs.
func (r *run) each(ctx context.Context, runs [][]uint32, yield func(cts.Entry, error) bool) {
	m := merging{view: r.view, runs: r.view.within(runs, r.q, r.scan), newest: r.q.Order == cts.Newest}
	for left := r.q.Limit; ; {
		ordinal, ok := m.next()
		if !ok {
			return
		}
		if err := ctx.Err(); err != nil {
			yield(cts.Entry{}, err)
			return
		}
		e, ok, err := r.entry(ordinal)
		if !ok && err == nil {
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

// entry returns what the run yields for a trace, if it yields it.
func (r *run) entry(ordinal int) (e cts.Entry, ok bool, err error) {
	at, pos := r.view.at(ordinal), r.view.position(ordinal)
	if !r.scan.Includes(at.time, pos) || r.q.ByRecordTime && !inRange(r.q, at.record) {
		return e, false, nil
	}
	json, err := r.bodies.read(r.view, ordinal)
	if err != nil {
		return e, false, err
	}
	if !holdsAll(json, r.needles) {
		return e, false, nil
	}
	t, err := cts.ParseTrace(json)
	if err != nil {
		return e, false, damage(r.view, ordinal, errNotTrace) // the cause may quote the record
	}
	if !r.q.Match(t) {
		return e, false, nil
	}
	if r.q.Heads {
		t.Request, t.Response, t.Message = "", "", ""
		r.head = t.AppendJSON(r.head[:0])
		json = r.head
	}
	return r.scan.Entry(pos, t, json), true, nil
}

// inRange reports whether a time is in the range of q.
func inRange(q cts.Query, time int64) bool {
	return (q.From == 0 || time >= q.From) && (q.To == 0 || time < q.To)
}

// holdsAll reports whether the JSON contains, of each list, at least one text.
func holdsAll(json []byte, needles [][][]byte) bool {
	for _, anyOf := range needles {
		if !slices.ContainsFunc(anyOf, func(needle []byte) bool { return bytes.Contains(json, needle) }) {
			return false
		}
	}
	return true
}

// After yields every trace behind pos that is synced, see [cts.Log]. Lost positions
// are yielded as a [*cts.CorruptionError] in their place, and the caller may go on.
// It never yields [cts.ErrPositionGone]: this store drops nothing.
func (s *Store) After(ctx context.Context, pos cts.Position) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) {
		v, done, err := s.look(ctx)
		if err != nil {
			yield(cts.Entry{}, err)
			return
		}
		defer done()
		var bodies bodyReader
		at, holes := pos, v.holesBehind(pos)
		for ordinal := v.behind(pos); at < v.synced; ordinal++ {
			if err := ctx.Err(); err != nil {
				yield(cts.Entry{}, err)
				return
			}
			for len(holes) > 0 && (ordinal == v.count || holes[0].First < v.position(ordinal)) {
				if !yield(cts.Entry{}, holes[0]) {
					return
				}
				holes = holes[1:]
			}
			if ordinal == v.count || v.position(ordinal) > v.synced {
				return
			}
			at = v.position(ordinal)
			json, err := bodies.read(v, ordinal)
			if !yield(cts.Entry{Position: at, JSON: json}, err) {
				return
			}
		}
	}
}

// holesBehind returns the lost positions behind pos, the first hole cut down to
// them.
func (v *view) holesBehind(pos cts.Position) []*cts.CorruptionError {
	for i, hole := range v.holes {
		if hole.Last <= pos {
			continue
		}
		holes := slices.Clone(v.holes[i:])
		if hole.First <= pos {
			cut := *hole
			cut.First = pos + 1
			holes[0] = &cut
		}
		return holes
	}
	return nil
}
