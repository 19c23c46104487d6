package filestore

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/cloudtraceservice/cts"
)

// source yields the traces that a query accepts from one place, in the query's order.
type source interface {
	// head returns time and position of the next trace, and false behind the last.
	// After an error, which is damage, it goes on behind it.
	head() (time int64, pos cts.Position, ok bool, err error)

	// entry returns the trace that head told of, and goes on behind it.
	entry() (cts.Entry, error)

	// skip passes over up to n traces that come before a place in the query's order,
	// or before the end without one, if it can do so faster than one by one.
	skip(n int, until *place) (int, error)

	// close gives up the source. What it returned last stays as it is.
	close()
}

// place is a place in the order of a query.
type place struct {
	time int64
	pos  cts.Position
}

// sources merges the traces of the segments and of the log. A segment is not looked at
// before the query's order has come to its times.
type sources struct {
	ctx     context.Context
	q       *cts.Query
	scan    *cts.Scan
	pending []*sealed // in the order in which they are needed
	active  []activeSource
	touched *touched // nil unless somebody wants to know

	room     [4]activeSource // for active, if it is enough
	segments [8]*sealed      // for pending, if it is enough
}

// activeSource is a source that is looked at.
type activeSource struct {
	source
	head  place // of its next trace
	known bool  // whether head is
}

func newSources(ctx context.Context, v *view, q *cts.Query, scan *cts.Scan, log source) *sources {
	m := &sources{ctx: ctx, q: q, scan: scan}
	m.active, m.pending = m.room[:0], m.segments[:0]
	for _, s := range v.segments {
		lo, hi := q.From, q.To
		least, most := s.info.minTime, s.info.maxTime
		if q.ByRecordTime {
			least, most = s.info.minRecord, s.info.maxRecord
		}
		if (lo == 0 || most >= lo) && (hi == 0 || least < hi) {
			m.pending = append(m.pending, s)
		}
	}
	slices.SortStableFunc(m.pending, func(a, b *sealed) int {
		if q.Order == cts.Newest {
			return cmp.Compare(b.info.maxTime, a.info.maxTime)
		}
		return cmp.Compare(a.info.minTime, b.info.minTime)
	})
	if log != nil {
		m.add(log)
	}
	return m
}

func (m *sources) add(s source) { m.active = append(m.active, activeSource{source: s}) }

// before reports whether a comes before b in the query's order.
func (m *sources) before(a, b place) bool {
	c := cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.pos, b.pos))
	return c < 0 == (m.q.Order == cts.Oldest) && c != 0
}

// next returns the source whose next trace comes first, nil when there is none. An
// error is damage, past which the caller may go on, or the context's.
func (m *sources) next() (source, error) {
	for {
		best, err := m.best()
		if err != nil {
			return nil, err
		}
		if len(m.pending) > 0 && (best < 0 || !m.before(m.active[best].head, m.bound())) {
			s := m.pending[0]
			m.pending = m.pending[1:]
			if err := m.open(s); err != nil {
				return nil, err
			}
			continue
		}
		if best < 0 {
			return nil, nil
		}
		return m.active[best].source, nil
	}
}

// bound returns a place that nothing in the next pending segment comes before.
func (m *sources) bound() place {
	if m.q.Order == cts.Newest {
		return place{m.pending[0].info.maxTime, ^cts.Position(0)}
	}
	return place{m.pending[0].info.minTime, 0}
}

// best returns the index of the active source that comes first, -1 for none.
func (m *sources) best() (int, error) {
	best := -1
	for i := 0; i < len(m.active); i++ {
		a := &m.active[i]
		if !a.known {
			if err := m.ctx.Err(); err != nil {
				return -1, err
			}
			time, pos, ok, err := a.source.head()
			if err != nil {
				return -1, err
			}
			if !ok {
				a.close()
				m.active = slices.Delete(m.active, i, i+1)
				i--
				if best > i {
					best--
				}
				continue
			}
			a.head, a.known = place{time, pos}, true
		}
		if best < 0 || m.before(a.head, m.active[best].head) {
			best = i
		}
	}
	return best, nil
}

func (m *sources) open(s *sealed) error {
	c := borrowSource()
	c.s, c.run, c.heads, c.touched = s, m.scan, m.q.Heads, m.touched
	begun := false
	err := s.guarded(func() error {
		some, err := c.scan.begin(s, m.q, m.scan)
		if err != nil || !some {
			m.touched.passed(s, m)
			return err
		}
		if err := c.reader.begin(s); err != nil {
			return err
		}
		begun = true
		return nil
	})
	if begun {
		m.add(c)
	} else {
		c.giveBack()
	}
	return err
}

// close gives up all sources.
func (m *sources) close() {
	for i := range m.active {
		m.active[i].close()
	}
	m.active = nil
}

// take returns the next trace of a source that next returned.
func (m *sources) take(s source) (cts.Entry, error) {
	m.taken(s)
	return s.entry()
}

// taken notes that the next trace of a source is another one now.
func (m *sources) taken(s source) {
	for i := range m.active {
		if m.active[i].source == s {
			m.active[i].known = false
		}
	}
}

// skip passes over the first n traces. It returns over how many, which is fewer behind
// an error or at the end.
func (m *sources) skip(n int) (skipped int, err error) {
	for skipped < n {
		s, err := m.next()
		if s == nil || err != nil {
			return skipped, err
		}
		k, err := s.skip(n-skipped, m.until(s))
		m.taken(s)
		if skipped += k; err != nil {
			return skipped, err
		}
	}
	return skipped, nil
}

// until returns the place up to which a source alone has traces, nil if it is alone to
// the end.
func (m *sources) until(s source) *place {
	var first *place
	take := func(p place) {
		if first == nil || m.before(p, *first) {
			first = &p
		}
	}
	for i := range m.active {
		if m.active[i].source != s {
			take(m.active[i].head)
		}
	}
	if len(m.pending) > 0 {
		take(m.bound())
	}
	return first
}

// segmentSource is the source of a segment.
type segmentSource struct {
	s      *sealed
	scan   segmentScan
	reader traceReader
	run    *cts.Scan
	heads  bool
	row    uint32
	at     place // of row
	ready  bool  // row is the next one

	touched *touched
}

func (s *segmentSource) head() (time int64, pos cts.Position, ok bool, err error) {
	if s.ready {
		return s.at.time, s.at.pos, true, nil
	}
	err = s.s.guarded(func() error {
		row, ok, err := s.scan.next()
		if err == nil && ok {
			s.row, s.at, s.ready = row, s.s.place(row), true
		}
		return err
	})
	return s.at.time, s.at.pos, s.ready, err
}

// entry finds the next row, too, if that was judged already: a row is then guarded once.
func (s *segmentSource) entry() (e cts.Entry, err error) {
	s.ready = false
	err = s.s.guarded(func() error {
		t, json, err := s.reader.readAt(s.row, s.at.time, s.heads)
		if err != nil {
			return err
		}
		e = s.run.Entry(s.at.pos, t, json)
		if row, ok := s.scan.judgedNext(); ok {
			at := s.s.place(row)
			s.scan.at++
			s.row, s.at, s.ready = row, at, true
		}
		return nil
	})
	if e.Trace != nil {
		return e, nil // a fault behind it comes again when head looks there
	}
	return e, err
}

func (s *segmentSource) close() {
	s.touched.segment(s)
	s.giveBack()
}

// segmentSources are sources of segments whose runs are over, kept for the memory that
// they have.
var segmentSources = sync.Pool{New: func() any { return new(segmentSource) }}

func borrowSource() *segmentSource {
	s, _ := segmentSources.Get().(*segmentSource)
	return s
}

// giveBack gives up the source and all that it has.
func (s *segmentSource) giveBack() {
	s.scan.close()
	s.reader.close()
	*s = segmentSource{reader: traceReader{traceRoom: s.reader.kept()}}
	segmentSources.Put(s)
}

func (s *segmentSource) skip(n int, until *place) (skipped int, err error) {
	if s.ready {
		s.ready = false
		skipped, n = 1, n-1
	}
	err = s.s.guarded(func() error {
		skipped += s.scan.skip(n, until)
		return nil
	})
	return skipped, err
}
