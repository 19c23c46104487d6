package filestore

import (
	"context"
	"errors"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// Explain runs a query and tells what it touched, see [cts.Explainer]. Its parts are the
// segments.
func (s *Store) Explain(ctx context.Context, q cts.Query) (cts.Explanation, error) {
	begin := s.opts.Clock()
	done, err := s.look(ctx)
	if err != nil {
		return cts.Explanation{}, err
	}
	defer done()
	v, runs := s.order.view(s.view.Load)
	scan, err := q.Scan(s.ID(), v.last)
	if err != nil {
		return cts.Explanation{}, err
	}
	t := touched{told: cts.Explanation{Parts: len(v.segments)}}
	for _, hole := range v.holes {
		if hole.First <= scan.Ceiling {
			t.told.Damaged++
		}
	}
	log := s.logSource(ctx, v, runs, &q, scan)
	m := newSources(ctx, v, &q, scan, log)
	m.touched = &t
	t.told.Passed.Time = len(v.segments) - len(m.pending)
	m.each(func(_ cts.Entry, failed error) bool {
		switch {
		case failed == nil:
			t.told.Matched++
		case errors.Is(failed, cts.ErrCorrupt):
			t.told.Damaged++
		default:
			err = failed
		}
		return true
	})
	t.told.Passed.Unreached = len(m.pending)
	m.close()
	t.log(log)
	t.told.Duration = s.opts.Clock().Sub(begin)
	return t.told, err
}

// touched collects what a run of a query touches. Nil collects nothing.
type touched struct{ told cts.Explanation }

// passed notes a segment in which no row can pass.
func (t *touched) passed(s *sealed, m *sources) {
	if t == nil {
		return
	}
	if s.texts.Load() == nil { // it is damaged
		return
	}
	if lo, hi := s.rowsWithin(m.q, m.scan); lo >= hi || s.info.first > m.scan.Ceiling {
		t.told.Passed.Time++
		return
	}
	t.told.Passed.Values++
}

// segment notes a segment that was searched, before its readers are given up.
func (t *touched) segment(s *segmentSource) {
	if t == nil {
		return
	}
	c := s.scan
	p := cts.PartExplanation{
		Name: segmentName(s.s.info.number), Rows: int64(s.s.info.rows), List: -1, Judged: c.judged, Matched: c.matched,
	}
	if c.list != nil {
		p.List = int64(c.list.count)
		t.told.Lists++
		t.told.Listed += c.judged
	} else {
		t.told.Scanned += c.judged
	}
	for _, r := range []*segment.TextReader{s.reader.texts, c.evaluator.texts} {
		blocks, bytes := r.Loaded()
		p.Blocks, p.Bytes = p.Blocks+blocks, p.Bytes+bytes
	}
	t.told.Opened++
	t.told.Blocks += p.Blocks
	t.told.Bytes += p.Bytes
	if len(t.told.Detail) < cts.MaxExplainedParts {
		t.told.Detail = append(t.told.Detail, p)
	}
}

// log notes what was read of the log.
func (t *touched) log(s source) {
	if l, ok := s.(*logSource); ok {
		t.told.Log, t.told.Marked, t.told.Bytes = l.opened, l.passed, t.told.Bytes+l.bytes
	}
}
