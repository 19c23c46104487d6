package filestore

import (
	"slices"
	"sort"

	"github.com/cloudtraceservice/cts"
)

// segmentScan finds the rows of one segment that a query accepts, in the query's order.
// It looks ahead by a bounded number of rows.
type segmentScan struct {
	stretchEvaluator
	planned *planRoom // of plan, rest and list
	plan    node
	rest    node // of the plan, for rows of the list
	newest  bool
	ceiling cts.Position
	lo, hi  uint32 // rows that were not looked at yet are in [lo, hi)
	list    *rowList
	found   []uint32 // rows that pass, in the query's order
	at      int      // in found
	ahead   int      // rows of the list to judge next
	damage  []error  // of rows that could not be judged

	judged, matched int64 // rows, for Explain
}

// How many rows of a list are judged at a time: few at first if few may be wanted.
const (
	firstAhead = 16
	mostAhead  = 1024
)

// begin plans the query for a segment. It returns false if no row can pass. A scan that
// was begun is closed.
func (c *segmentScan) begin(s *sealed, q *cts.Query, scan *cts.Scan) (some bool, err error) {
	c.s, c.newest, c.ceiling, c.ahead = s, q.Order == cts.Newest, scan.Ceiling, firstAhead
	if q.Limit == 0 {
		c.ahead = mostAhead
	}
	if err := s.prepare(); err != nil {
		return false, err
	}
	c.lo, c.hi = s.rowsWithin(q, scan)
	if c.lo >= c.hi || s.info.first > scan.Ceiling {
		return false, nil
	}
	c.planned = borrowPlanRoom()
	if c.plan, err = s.plan(q, c.planned); err != nil || c.plan.op == nodeNone {
		return false, err
	}
	if list := c.candidates(&c.plan); list != nil && list.count < int(c.hi-c.lo)/4 {
		c.list, c.rest = list, c.plan.without(list.of, c.planned)
		list.narrow(c.lo, c.hi)
	}
	return true, nil
}

// close gives up the scan and its memory.
func (c *segmentScan) close() {
	c.stretchEvaluator.close()
	c.found, c.at = nil, 0
	if c.planned != nil {
		c.planned.free()
		c.planned, c.plan, c.rest, c.list = nil, node{}, node{}, nil
	}
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

// judgedNext returns what next will return, if it is a row that was judged already.
func (c *segmentScan) judgedNext() (row uint32, ok bool) {
	if c.at == len(c.found) || len(c.damage) > 0 {
		return 0, false
	}
	return c.found[c.at], true
}

// judgeList judges the next rows of the list.
func (c *segmentScan) judgeList() {
	n := min(c.ahead, c.list.left())
	c.ahead = min(2*c.ahead, mostAhead)
	found := c.list.take(c.judging().rows[:n], c.newest)
	if len(found) == 0 {
		c.hi = c.lo
		return
	}
	c.judged += int64(len(found))
	found = c.sift(&c.rest, found)
	if c.s.info.last > c.ceiling {
		found = slices.DeleteFunc(found, c.beyond)
	}
	c.matched += int64(len(found))
	c.found = found // last: a fault of the mapping leaves no row that was not judged
}

// sift leaves the rows that pass a node. It goes through them once for each condition.
func (c *segmentScan) sift(n *node, rows []uint32) []uint32 {
	switch n.op {
	case nodeAll:
		return rows
	case nodeAnd: // first what needs no text
		for _, texts := range []bool{false, true} {
			for i := range n.kids {
				if n.kids[i].hasText() == texts {
					rows = c.sift(&n.kids[i], rows)
				}
			}
		}
		return rows
	}
	if n.isCode() {
		return n.column.Keep(rows, n.codes.list[0])
	}
	if n.op == nodeOr && !slices.ContainsFunc(n.kids, func(k node) bool { return !k.isCode() }) {
		return n.keepAnyCode(rows)
	}
	kept := rows[:0]
	for _, row := range rows {
		if c.judge(n, row) {
			kept = append(kept, row)
		}
	}
	return kept
}

// beyond reports whether a row lies behind the query's ceiling.
func (c *segmentScan) beyond(row uint32) bool {
	return c.s.info.last > c.ceiling && c.s.position(row) > c.ceiling
}

// judge reports whether a row passes a node. One that can't be judged is damage.
func (c *segmentScan) judge(n *node, row uint32) bool {
	ok, err := c.match(n, row)
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
	c.judged += int64(to - from)
	certain, possible := c.masks(&c.plan, from, to)
	found := possible.appendRows(c.judging().rows[:0], from)
	if c.newest {
		slices.Reverse(found)
	}
	if certain != possible || c.s.info.last > c.ceiling {
		found = slices.DeleteFunc(found, func(row uint32) bool {
			at := row - from
			sure := certain[at>>6]&(1<<(at&63)) != 0
			return c.beyond(row) || !sure && !c.judge(&c.plan, row)
		})
	}
	c.matched += int64(len(found))
	c.found = found // last, as in judgeList
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
