package filestore

import (
	"context"
	"slices"
	"sort"
	"sync"

	"github.com/cloudtraceservice/cts"
)

// counter counts rows of one segment.
type counter struct {
	segmentScan
	q     *cts.Query
	a     cts.Aggregation
	keys  []groupColumn
	cells []cell
	used  []uint32   // cells that are not empty
	alone bool       // nothing else is counted
	parts *gathering // of which this counts one; nil if it counts all rows

	bucket int64 // that the cells are of
}

// gathering puts the cells together that parts of one segment have counted.
type gathering struct {
	mu   sync.Mutex
	left int // parts that have not ended
	sum  *counter
}

// cell is the count of one combination of codes. Rows come in the order of time, so
// first and last are rows, unless the query's clock is record_time.
type cell struct{ count, first, last int64 }

// maxCells is the most combinations of codes that are counted in an array.
const maxCells = 1 << 18

// sparseCells is how many cells there are for each row of a list when it is better
// counted without them.
const sparseCells = 16

// newCounter plans the counting of a segment; nil if nothing of it can pass.
func newCounter(s *sealed, q *cts.Query, a cts.Aggregation, scan *cts.Scan) (c *counter, err error) {
	n := &counter{q: q, a: a}
	defer func() {
		if c == nil {
			n.close()
		}
	}()
	err = s.guarded(func() error {
		if some, err := n.begin(s, q, scan); err != nil || !some {
			return err
		}
		for _, f := range a.By {
			k, err := s.groupColumn(f)
			if err != nil {
				return err
			}
			n.keys = append(n.keys, k)
		}
		c = n
		return nil
	})
	return c, err
}

// split returns counters for parts of the rows.
func (c *counter) split(rows uint32) []*counter {
	if c.list != nil || c.answered() || c.hi-c.lo <= rows {
		return []*counter{c}
	}
	var parts []*counter
	for lo := c.lo; lo < c.hi; lo += rows {
		part := *c
		part.lo, part.hi = lo, min(c.hi, lo+rows)
		part.keys, part.room, part.texts, part.planned = slices.Clone(c.keys), nil, nil, nil
		parts = append(parts, &part)
	}
	if c.a.Every == 0 && c.size() > 0 {
		g := &gathering{left: len(parts), sum: c}
		for _, part := range parts {
			part.parts = g
		}
	}
	return parts
}

// answered reports whether the counts that the segment has of each value are the answer.
func (c *counter) answered() bool {
	return c.plan.op == nodeAll && c.lo == 0 && int(c.hi) == c.s.info.rows && c.s.info.last <= c.ceiling &&
		!c.q.ByRecordTime && c.a.Every == 0 && (len(c.keys) == 0 || len(c.keys) == 1 && c.keys[0].counted())
}

// countInto counts the rows and adds them to g. Damage is noted there.
func (c *counter) countInto(ctx context.Context, g *cts.Groups) error {
	err := c.s.guarded(func() error { return c.count(ctx, g) })
	if err != nil && !g.Damaged(err) {
		return err
	}
	err = c.s.guarded(func() error { return c.deliver(g) })
	c.cells, c.used = nil, nil
	if err != nil && g.Damaged(err) {
		return nil
	}
	return err
}

// count counts the rows, in cells if it can, and else in g. Damage of rows is noted
// there.
func (c *counter) count(ctx context.Context, g *cts.Groups) error {
	if c.answered() {
		return c.countWhole(g)
	}
	size := c.size()
	if size == 0 || c.list != nil && c.parts == nil && c.list.left() < size/sparseCells {
		return c.countEach(ctx, g)
	}
	c.cells = make([]cell, size)
	if c.passesAll() {
		return c.countAll(ctx)
	}
	for {
		rows, err := c.nextRows()
		if err != nil && g.Damaged(err) {
			continue
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
		for len(rows) > 0 {
			n := len(rows)
			if c.a.Every != 0 {
				if n, err = c.turn(g, rows); err != nil {
					return err
				}
			}
			c.countRows(rows[:n])
			rows = rows[n:]
		}
	}
}

// size returns how many cells the counts need, 0 if that is too many.
func (c *counter) size() int {
	size := 1
	for i := range c.keys {
		if size *= c.keys[i].size(); size > maxCells {
			return 0
		}
	}
	return size
}

// deliver adds the cells to g: those of all parts together, by the part that ends last.
func (c *counter) deliver(g *cts.Groups) error {
	p := c.parts
	if p == nil {
		return c.flush(g)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sum.cells == nil {
		p.sum.cells, p.sum.used = c.cells, c.used
	} else {
		p.sum.join(c)
	}
	if p.left--; p.left > 0 {
		return nil
	}
	defer func() { p.sum.cells, p.sum.used = nil, nil }()
	return p.sum.flush(g)
}

// join adds the cells of another counter of the segment.
func (c *counter) join(other *counter) {
	for _, i := range other.used {
		from, to := &other.cells[i], &c.cells[i]
		if to.count == 0 {
			c.used = append(c.used, i)
			*to = *from
			continue
		}
		to.count += from.count
		to.first, to.last = min(to.first, from.first), max(to.last, from.last)
	}
}

// prune leaves, of cells that are not empty, those that can be among the top ones.
func (c *counter) prune(used []uint32) []uint32 {
	top := c.a.Top
	for i := range c.keys {
		if len(c.keys[i].columns) > 1 {
			return used // several cells may have one value
		}
	}
	if !c.alone || c.a.Every != 0 || top == 0 || top > mostPruned || len(used) <= top {
		return used
	}
	best := make([]int64, 0, top+1) // descending
	for _, i := range used {
		n := c.cells[i].count
		if len(best) == top && n <= best[top-1] {
			continue
		}
		at := sort.Search(len(best), func(k int) bool { return best[k] < n })
		best = slices.Insert(best, at, n)
		best = best[:min(len(best), top)]
	}
	return slices.DeleteFunc(used, func(i uint32) bool { return c.cells[i].count < best[top-1] })
}

// mostPruned is the largest Top for which cells are left out before they become groups.
const mostPruned = 1 << 10

// nextRows returns rows that pass: all of a stretch that were judged together. It
// returns none behind the last.
func (c *counter) nextRows() ([]uint32, error) {
	_, ok, err := c.segmentScan.next()
	if !ok || err != nil {
		return nil, err
	}
	rows := c.found[c.at-1:]
	c.at = len(c.found)
	return rows, nil
}

// turn begins the bucket of the first row, if it is another than the last one's, and
// returns how many rows are in it.
func (c *counter) turn(g *cts.Groups, rows []uint32) (int, error) {
	if start := c.a.Bucket(c.clock(rows[0])); start != c.bucket {
		if err := c.flush(g); err != nil {
			return 0, err
		}
		c.bucket = start
	}
	end := c.bucket + c.a.Every.Milliseconds()
	if c.q.ByRecordTime {
		n := 1
		for n < len(rows) && c.clock(rows[n]) < end && c.clock(rows[n]) >= c.bucket {
			n++
		}
		return n, nil
	}
	return sort.Search(len(rows), func(i int) bool { return c.clock(rows[i]) >= end }), nil
}

// countRows counts rows that pass.
func (c *counter) countRows(rows []uint32) {
	from, n := rows[0], uint32(len(rows))
	if len(c.keys) == 1 && len(c.keys[0].columns) > 0 && n <= stretch512 && rows[n-1]-from == n-1 && !c.q.ByRecordTime {
		c.countStretch(from, from+n)
		return
	}
	for _, row := range rows {
		i := uint32(0)
		for k := range c.keys {
			i = i*uint32(c.keys[k].size()) + c.keys[k].code(row)
		}
		if !c.q.ByRecordTime {
			c.add(i, int64(row))
			continue
		}
		at, n := c.clock(row), &c.cells[i]
		if n.count > 0 {
			first, last := min(n.first, at), max(n.last, at)
			n.first, n.last = first, last
			n.count++
			continue
		}
		c.add(i, at)
	}
}

// countStretch counts the rows [from, to), at most stretch512, by the one key.
func (c *counter) countStretch(from, to uint32) {
	for i, code := range c.keys[0].stretch(c.judging(), from, to) {
		c.add(code, int64(from)+int64(i))
	}
}

// countAll counts all rows that are left by the one key, and judges none.
func (c *counter) countAll(ctx context.Context) error {
	for c.lo < c.hi {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := min(c.hi, c.lo+stretch512)
		c.countStretch(c.lo, to)
		c.judged, c.matched = c.judged+int64(to-c.lo), c.matched+int64(to-c.lo)
		c.lo = to
	}
	return nil
}

// passesAll reports whether all rows that are left are counted by one key of codes.
func (c *counter) passesAll() bool {
	return c.plan.op == nodeAll && c.list == nil && c.s.info.last <= c.ceiling && c.a.Every == 0 && !c.q.ByRecordTime &&
		!c.newest && len(c.keys) == 1 && len(c.keys[0].columns) > 0
}

// add counts one row in a cell, behind all that it has.
func (c *counter) add(i uint32, at int64) {
	n := &c.cells[i]
	if n.count == 0 {
		c.used = append(c.used, i)
		n.first = at
	}
	n.count++
	n.last = at
}

// clock returns the time of a row on the clock of the query.
func (c *counter) clock(row uint32) int64 {
	if c.q.ByRecordTime {
		return c.s.record(row)
	}
	return c.s.time(row)
}

// flush adds the cells to g and empties them.
func (c *counter) flush(g *cts.Groups) error {
	c.used = c.prune(c.used)
	values := make([]string, len(c.keys))
	for _, i := range c.used {
		rest := i
		for k := len(c.keys) - 1; k >= 0; k-- {
			size := uint32(c.keys[k].size())
			values[k] = c.keys[k].value(rest % size)
			rest /= size
		}
		n := &c.cells[i]
		part := cts.Group{Values: values, Start: c.bucket, Count: n.count, First: n.first, Last: n.last}
		if !c.q.ByRecordTime {
			part.First, part.Last = c.s.time(uint32(n.first)), c.s.time(uint32(n.last))
		}
		if err := g.Add(part); err != nil {
			return err
		}
		*n = cell{}
	}
	c.used = c.used[:0]
	return nil
}
