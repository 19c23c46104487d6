package filestore

import (
	"bytes"
	"context"
	"iter"
	"slices"

	"github.com/cloudtraceservice/cts"
)

// Query yields the traces that q accepts, see [cts.Reader]. Each run works on a
// snapshot and neither holds up an append nor is held up by one. Memory is bounded by
// the largest trace and some hundred KiB for each segment that the run is in.
//
// Positions that were found to be lost are yielded first, as a [*cts.CorruptionError]
// each: nobody knows whether q would have accepted them. A trace that turns out to be
// damaged when it is read yields one in its place, a segment whose columns are damaged
// one for all of it. The caller may go on past them.
//
// In sealed segments a query looks at the values that it asks for and at no others:
// each condition on a field is judged once for each different value, rows are found by
// posting lists where those are short, in the order of time, and bodies are opened
// last, or never for [cts.Query.HeadsOnly]. What was not sealed yet is read trace by
// trace.
func (s *Store) Query(ctx context.Context, q cts.Query) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) {
		done, err := s.look(ctx)
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
		m := newSources(ctx, v, &q, scan, s.logSource(ctx, v, runs, &q, scan))
		defer m.close()
		m.each(yield)
	}
}

// each yields the traces of the sources, from the query's skip on and up to its limit.
func (m *sources) each(yield func(cts.Entry, error) bool) {
	for left, skip := m.q.Limit, m.q.Skip; ; {
		if skip > 0 {
			skipped, err := m.skip(skip)
			if skip -= skipped; err != nil {
				if !yield(cts.Entry{}, err) || m.ctx.Err() != nil {
					return
				}
				continue
			}
		}
		s, err := m.next()
		if s == nil && err == nil {
			return
		}
		var e cts.Entry
		if err == nil {
			e, err = m.take(s)
		}
		if !yield(e, err) || m.ctx.Err() != nil && err != nil {
			return
		}
		if err == nil {
			if left--; left == 0 {
				return
			}
		}
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
		found, known := s.lookUpID(v, id)
		if !known {
			return nil, false
		}
		for _, pos := range found {
			if ordinal, ok := v.find(pos); ok {
				ordinals = append(ordinals, uint32(ordinal))
			}
		}
	}
	slices.SortFunc(ordinals, v.compare)
	return slices.Compact(ordinals), true
}

// logSource returns the traces of the log as a source.
func (s *Store) logSource(ctx context.Context, v *view, runs [][]uint32, q *cts.Query, scan *cts.Scan) source {
	if v.count == 0 {
		return nil
	}
	if ordinals, ok := s.byID(v, q.Condition); ok {
		runs = [][]uint32{ordinals}
	}
	return &logSource{
		ctx: ctx, q: q, scan: scan, view: v, test: newMarkTest(&q.Condition), needles: needles(q.Condition), bodies: s.bodies(),
		merging: merging{view: v, runs: v.within(runs, *q, scan), newest: q.Order == cts.Newest},
	}
}

// logSource finds the traces that a query accepts among those of the log, by reading
// them one after the other.
type logSource struct {
	ctx     context.Context
	q       *cts.Query
	scan    *cts.Scan
	view    *view
	test    markTest
	needles [][][]byte
	merging merging
	bodies  bodyReader
	found   cts.Entry
	ready   bool // found is the next one

	passed, opened, bytes int64 // traces that were passed over by their marks, and that were read, for Explain
}

func (r *logSource) head() (time int64, pos cts.Position, ok bool, err error) {
	for !r.ready {
		ordinal, ok := r.merging.next()
		if !ok {
			return 0, 0, false, nil
		}
		if err := r.ctx.Err(); err != nil {
			return 0, 0, false, err
		}
		if r.found, r.ready, err = r.read(ordinal); err != nil {
			return 0, 0, false, err
		}
	}
	return r.found.Trace.Time, r.found.Position, true, nil
}

func (r *logSource) entry() (cts.Entry, error) {
	r.ready = false
	return r.found, nil
}

func (r *logSource) close() {}

func (r *logSource) skip(n int, _ *place) (int, error) {
	if !r.ready || n == 0 {
		return 0, nil
	}
	r.ready = false
	return 1, nil
}

// read returns what the run yields for a trace, if it yields it.
func (r *logSource) read(ordinal int) (e cts.Entry, ok bool, err error) {
	at, pos := r.view.at(ordinal), r.view.position(ordinal)
	if !r.scan.Includes(at.time, pos) || r.q.ByRecordTime && !inRange(r.q, at.record) {
		return e, false, nil
	}
	if marks, place := r.view.marksAt(ordinal); r.test.judge(marks, place) == no {
		r.passed++
		return e, false, nil
	}
	r.opened++
	r.bytes += int64(at.size)
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
	r.view.noteMarks(ordinal, t)
	if !r.q.Match(t) {
		return e, false, nil
	}
	if r.q.Heads {
		t.Request, t.Response, t.Message = "", "", ""
		json = nil
	}
	return r.scan.Entry(pos, t, json), true, nil
}

// inRange reports whether a time is in the range of q.
func inRange(q *cts.Query, time int64) bool {
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
