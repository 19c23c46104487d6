package filestore

import (
	"slices"
	"sort"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// segmentScan finds the rows of one segment that a query accepts, in the query's order.
// It looks ahead by a bounded number of rows.
type segmentScan struct {
	stretchEvaluator
	plan    node
	newest  bool
	ceiling cts.Position
	lo, hi  uint32 // rows that were not looked at yet are in [lo, hi)
	list    *rowList
	found   []uint32 // rows that pass, in the query's order
	at      int      // in found
	ahead   int      // rows of the list to judge next
	damage  []error  // of rows that could not be judged
}

// newSegmentScan plans the query for a segment. It returns nil if no row can pass.
func newSegmentScan(s *sealed, q *cts.Query, scan *cts.Scan) (*segmentScan, error) {
	c := &segmentScan{newest: q.Order == cts.Newest, ceiling: scan.Ceiling, ahead: 16}
	c.s = s
	if err := s.prepare(); err != nil {
		return nil, err
	}
	c.lo, c.hi = s.rowsWithin(q, scan)
	if c.lo >= c.hi || s.info.first > scan.Ceiling {
		return nil, nil
	}
	var err error
	if c.plan, err = s.plan(q); err != nil || c.plan.op == nodeNone {
		return nil, err
	}
	if list := c.candidates(&c.plan); list != nil && list.count < int(c.hi-c.lo)/4 {
		c.list = list
		list.narrow(c.lo, c.hi)
	}
	return c, nil
}

// rowsWithin returns the rows that the time range and the cursor leave.
func (s *sealed) rowsWithin(q *cts.Query, scan *cts.Scan) (lo, hi uint32) {
	hi = uint32(s.info.rows)
	if !q.ByRecordTime {
		if q.From != 0 {
			lo = uint32(s.searchTime(q.From))
		}
		if q.To != 0 {
			hi = uint32(s.searchTime(q.To))
		}
	}
	time, pos, resumed := scan.Start()
	switch {
	case !resumed:
	case q.Order == cts.Newest:
		hi = min(hi, s.rowAt(time, pos))
	default:
		lo = max(lo, s.rowAt(time, pos+1))
	}
	return lo, hi
}

// rowAt returns the first row that is not before (time, pos).
func (s *sealed) rowAt(time int64, pos cts.Position) uint32 {
	from, to := s.searchTime(time), s.searchTime(time+1)
	return uint32(from + sort.Search(to-from, func(i int) bool {
		return s.position(uint32(from+i)) >= pos
	}))
}

// next returns the next row that passes, and whether there is one.
func (c *segmentScan) next() (row uint32, ok bool, err error) {
	for c.at == len(c.found) && len(c.damage) == 0 {
		c.found, c.at = c.found[:0], 0
		if c.lo >= c.hi {
			return 0, false, nil
		}
		if c.list != nil {
			c.judgeList()
		} else {
			c.judgeStretch()
		}
	}
	if len(c.damage) > 0 {
		err, c.damage = c.damage[0], c.damage[1:]
		return 0, false, err
	}
	c.at++
	return c.found[c.at-1], true, nil
}

// judgeList judges the next rows of the list.
func (c *segmentScan) judgeList() {
	n := min(c.ahead, c.list.to-c.list.from)
	c.ahead = min(2*c.ahead, 1024)
	if n == 0 {
		c.hi = c.lo
	}
	for range n {
		if row := c.list.take(c.newest); !c.beyond(row) && c.judge(row) {
			c.found = append(c.found, row)
		}
	}
}

// beyond reports whether a row lies behind the query's ceiling.
func (c *segmentScan) beyond(row uint32) bool {
	return c.s.info.last > c.ceiling && c.s.position(row) > c.ceiling
}

// judge reports whether a row passes. One that can't be judged is damage.
func (c *segmentScan) judge(row uint32) bool {
	ok, err := c.match(&c.plan, row)
	if err != nil {
		c.damage = append(c.damage, err)
	}
	return ok && err == nil
}

// judgeStretch judges the next stretch of rows.
func (c *segmentScan) judgeStretch() {
	from, to := c.lo, min(c.hi, c.lo+stretch512)
	if c.newest {
		from, to = max(c.lo, c.hi-min(c.hi, stretch512)), c.hi
		c.hi = from
	} else {
		c.lo = to
	}
	certain, possible := c.masks(&c.plan, from, to)
	c.found = possible.appendRows(c.found, from)
	if c.newest {
		slices.Reverse(c.found)
	}
	if certain == possible && c.s.info.last <= c.ceiling {
		return
	}
	c.found = slices.DeleteFunc(c.found, func(row uint32) bool {
		at := row - from
		sure := certain[at>>6]&(1<<(at&63)) != 0
		return c.beyond(row) || !sure && !c.judge(row)
	})
}

// skip passes over up to n rows that pass, as long as they are before the given place
// in the query's order. It returns how many.
func (c *segmentScan) skip(n int, until *place) int {
	if c.plan.op != nodeAll || c.s.info.last > c.ceiling || c.list != nil || c.at < len(c.found) {
		return 0
	}
	lo, hi := c.lo, c.hi
	if until != nil {
		at := c.s.rowAt(until.time, until.pos)
		if c.newest {
			lo = max(lo, min(at, hi))
		} else {
			hi = min(hi, max(at, lo))
		}
	}
	n = min(n, int(hi-lo))
	if c.newest {
		c.hi -= uint32(n)
	} else {
		c.lo += uint32(n)
	}
	return n
}

// rowList is a list of rows, ascending, in which all rows that pass are.
type rowList struct {
	postings segment.Postings // if rows is nil
	rows     []uint32
	count    int
	from, to int // what is left of it
}

func (l *rowList) at(i int) uint32 {
	if l.rows != nil {
		return l.rows[i]
	}
	return l.postings.At(i)
}

// narrow leaves the rows in [lo, hi).
func (l *rowList) narrow(lo, hi uint32) {
	search := l.postings.Search
	if l.rows != nil {
		search = func(row uint32) int { i, _ := slices.BinarySearch(l.rows, row); return i }
	}
	l.from, l.to = search(lo), search(hi)
}

// take takes the next row from the end at which the query begins.
func (l *rowList) take(newest bool) uint32 {
	if newest {
		l.to--
		return l.at(l.to)
	}
	l.from++
	return l.at(l.from - 1)
}

// candidates returns the shortest list in which all rows are that a plan lets pass, nil
// if there is none.
func (c *segmentScan) candidates(n *node) *rowList {
	switch n.op {
	case nodeRows:
		return &rowList{rows: n.rows, count: len(n.rows)}
	case nodeCodes:
		if len(n.codes.list) == 1 {
			if p, ok := n.column.Postings(n.codes.list[0]); ok {
				return &rowList{postings: p, count: p.Len()}
			}
			return nil
		}
		return c.joined(n)
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
		return c.joined(n)
	case nodeText:
		return c.holding(n)
	}
	return nil
}

// fewRows are so few that their texts are sooner opened than looked for.
const fewRows = 64

// maxJoined is the most rows that are put together to one list.
const maxJoined = 1 << 16

// joined puts the lists of several codes or kids together.
func (c *segmentScan) joined(n *node) *rowList {
	var rows []uint32
	add := func(l *rowList) bool {
		if l == nil || len(rows)+l.count > maxJoined {
			return false
		}
		for i := range l.count {
			rows = append(rows, l.at(i))
		}
		return true
	}
	if n.op == nodeCodes {
		if n.codes.rows > maxJoined {
			return nil
		}
		for _, code := range n.codes.list {
			p, ok := n.column.Postings(code)
			if !ok || !add(&rowList{postings: p, count: p.Len()}) {
				return nil
			}
		}
	}
	for i := range n.kids {
		if !add(c.candidates(&n.kids[i])) {
			return nil
		}
	}
	slices.Sort(rows)
	rows = slices.Compact(rows)
	return &rowList{rows: rows, count: len(rows)}
}
