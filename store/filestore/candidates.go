package filestore

import (
	"slices"

	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// rowList is a list of rows, ascending, in which all rows that pass are: one stretch of
// rows, or several that are merged when they are read.
type rowList struct {
	of        *node // that passes exactly these rows; nil if none does
	stretch   rowStretch
	stretches []rowStretch // if there are several; a row may be in more than one
	count     int          // of rows, those in several stretches counted as often
}

// mostStretches is how many stretches are merged. More are sorted.
const mostStretches = 16

// left returns how many rows were not taken yet, or more if they are in several
// stretches.
func (l *rowList) left() int {
	n := l.stretch.to - l.stretch.from
	for i := range l.stretches {
		s := &l.stretches[i]
		n += s.to - s.from + len(s.ahead)
	}
	return n
}

// narrow leaves the rows in [lo, hi).
func (l *rowList) narrow(lo, hi uint32) {
	l.stretch.narrow(lo, hi)
	for i := range l.stretches {
		l.stretches[i].narrow(lo, hi)
	}
}

// take takes the next rows from the end at which the query begins, as many as dst has
// room for, or as there are.
func (l *rowList) take(dst []uint32, newest bool) []uint32 {
	if l.stretches == nil {
		return l.stretch.take(dst, newest)
	}
	n := 0
	for n < len(dst) {
		best, row := -1, uint32(0)
		for i := range l.stretches {
			next, ok := l.stretches[i].peek(newest)
			if ok && (best < 0 || next > row == newest && next != row) {
				best, row = i, next
			}
		}
		if best < 0 {
			break
		}
		for i := range l.stretches {
			l.stretches[i].pass(row, newest)
		}
		dst[n] = row
		n++
	}
	return dst[:n]
}

// rowStretch is a stretch of rows, ascending.
type rowStretch struct {
	postings segment.Postings // if rows is nil
	rows     []uint32
	from, to int      // what is left of it
	ahead    []uint32 // the next rows, which are no longer in from to to, in the order in which they are taken
	room     []uint32 // for ahead
}

func stretchOf(p segment.Postings) rowStretch { return rowStretch{postings: p, to: p.Len()} }

func (s *rowStretch) narrow(lo, hi uint32) {
	if s.rows != nil {
		s.from, _ = slices.BinarySearch(s.rows, lo)
		s.to, _ = slices.BinarySearch(s.rows, hi)
		return
	}
	s.from, s.to = s.postings.Search(lo), s.postings.Search(hi)
}

// take takes up to len(dst) rows from one end.
func (s *rowStretch) take(dst []uint32, newest bool) []uint32 {
	dst = dst[:min(len(dst), s.to-s.from)]
	at := s.from
	if newest {
		s.to -= len(dst)
		at = s.to
	} else {
		s.from += len(dst)
	}
	if s.rows != nil {
		copy(dst, s.rows[at:])
	} else {
		dst = dst[:s.postings.Read(dst, at)]
	}
	if newest {
		slices.Reverse(dst)
	}
	return dst
}

// mergedAhead is how many rows of each stretch are read at a time when several are
// merged.
const mergedAhead = 64

// peek returns the next row.
func (s *rowStretch) peek(newest bool) (uint32, bool) {
	if len(s.ahead) == 0 {
		if s.from == s.to {
			return 0, false
		}
		if s.room == nil {
			s.room = make([]uint32, mergedAhead)
		}
		if s.ahead = s.take(s.room, newest); len(s.ahead) == 0 {
			return 0, false // bytes made to deceive
		}
	}
	return s.ahead[0], true
}

// pass passes over a row, if it is the next one or was passed already.
func (s *rowStretch) pass(row uint32, newest bool) {
	for len(s.ahead) > 0 && (s.ahead[0] == row || s.ahead[0] > row == newest) {
		s.ahead = s.ahead[1:]
	}
}

// appendTo appends all rows of the list to rows, in no order.
func (l *rowList) appendTo(rows []uint32) []uint32 {
	rows = l.stretch.appendTo(rows)
	for i := range l.stretches {
		rows = l.stretches[i].appendTo(rows)
	}
	return rows
}

func (s *rowStretch) appendTo(rows []uint32) []uint32 {
	if s.rows != nil {
		return append(rows, s.rows...)
	}
	n, count := len(rows), s.postings.Len()
	rows = slices.Grow(rows, count)
	return rows[:n+s.postings.Read(rows[n:n+count], 0)]
}

// candidates returns the shortest list in which all rows are that a plan lets pass, nil
// if there is none.
func (c *segmentScan) candidates(n *node) *rowList {
	switch n.op {
	case nodeRows:
		return c.planned.list(rowList{of: n, stretch: rowStretch{rows: n.rows, to: len(n.rows)}, count: len(n.rows)})
	case nodeCodes:
		if n.isCode() {
			if p, ok := n.column.Postings(n.codes.list[0]); ok {
				return c.planned.list(rowList{of: n, stretch: stretchOf(p), count: p.Len()})
			}
			return nil
		}
		return c.joinedCodes(n)
	case nodeAnd:
		var best *rowList
		for i := range n.kids {
			k := &n.kids[i]
			if best != nil && (k.op == nodeCodes && k.codes.rows >= best.count || k.op == nodeText && best.count < fewRows) {
				continue
			}
			if l := c.candidates(k); l != nil && (best == nil || l.count < best.count) {
				best = l
			}
		}
		return best
	case nodeOr:
		return c.joinedKids(n)
	case nodeText:
		return c.holding(n)
	}
	return nil
}

// fewRows are so few that their texts are sooner opened than looked for.
const fewRows = 64

// maxJoined is the most rows that are put together to one list by sorting.
const maxJoined = 1 << 16

// joinedCodes puts the lists of several codes together.
func (c *segmentScan) joinedCodes(n *node) *rowList {
	if len(n.codes.list) > mostStretches && n.codes.rows > maxJoined {
		return nil
	}
	l := rowList{of: n}
	for _, code := range n.codes.list {
		p, ok := n.column.Postings(code)
		if !ok {
			return nil
		}
		l.add(stretchOf(p))
	}
	return l.joined()
}

// joinedKids puts the lists of several nodes together.
func (c *segmentScan) joinedKids(n *node) *rowList {
	l := rowList{of: n}
	for i := range n.kids {
		k := c.candidates(&n.kids[i])
		if k == nil {
			return nil
		}
		if k.of != &n.kids[i] {
			l.of = nil
		}
		if k.stretches == nil {
			l.add(k.stretch)
			continue
		}
		for _, s := range k.stretches {
			l.add(s)
		}
	}
	return l.joined()
}

// add adds a stretch to those that are joined.
func (l *rowList) add(s rowStretch) {
	if n := s.to - s.from; n > 0 {
		l.stretches = append(l.stretches, s)
		l.count += n
	}
}

// joined returns the list in a form in which it can be read. It is nil if there is too
// much in it.
func (l *rowList) joined() *rowList {
	switch {
	case len(l.stretches) == 0:
		l.stretch.rows = []uint32{}
		return l
	case len(l.stretches) == 1:
		l.stretch, l.stretches = l.stretches[0], nil
		return l
	case len(l.stretches) <= mostStretches:
		return l
	case l.count > maxJoined:
		return nil
	}
	rows := l.appendTo(make([]uint32, 0, l.count))
	slices.Sort(rows)
	rows = slices.Compact(rows)
	return &rowList{of: l.of, stretch: rowStretch{rows: rows, to: len(rows)}, count: len(rows)}
}
