package filestore

import (
	"context"
	"runtime"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// Aggregate counts the traces that q accepts, see [cts.Aggregator]. Sealed traces are
// counted from the columns of their segments, on as many processors as there are: by
// the counts that a segment has for each value, if all of it is asked for, and from the
// columns of the rows that q accepts otherwise. Those in the log are read.
func (s *Store) Aggregate(ctx context.Context, q cts.Query, a cts.Aggregation) ([]cts.Group, error) {
	total, err := cts.NewGroups(q, a)
	if err != nil {
		return nil, err
	}
	done, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	q.Order, q.Limit, q.Skip, q.Heads = cts.Oldest, 0, 0, true
	v, runs := s.order.view(s.view.Load)
	scan, err := q.Scan(s.ID(), v.last)
	if err != nil {
		return nil, err
	}
	for _, hole := range v.holes {
		total.Damaged(hole)
	}
	if err := countSegments(ctx, v, &q, a, scan, total); err != nil {
		return nil, err
	}
	if log := s.logSource(ctx, v, runs, &q, scan); log != nil {
		if err := countLog(log, total); err != nil {
			return nil, err
		}
	}
	return total.Result()
}

// countLog counts what a source has, one by one.
func countLog(log source, total *cts.Groups) error {
	for {
		_, _, ok, err := log.head()
		var e cts.Entry
		if ok {
			e, err = log.entry()
		}
		switch {
		case err != nil && total.Damaged(err):
		case err != nil:
			return err
		case !ok:
			return nil
		default:
			if err := total.AddTrace(e.Trace); err != nil {
				return err
			}
		}
	}
}

// countedRows is how many rows one worker counts at a time.
const countedRows = 128 << 10

// countSegments counts the rows of the segments that the query accepts, in parallel.
func countSegments(ctx context.Context, v *view, q *cts.Query, a cts.Aggregation, scan *cts.Scan, total *cts.Groups) error {
	var counters []*counter
	many := false
	for _, s := range newSources(ctx, v, q, scan, nil).pending {
		c, err := newCounter(s, q, a, scan)
		if err != nil && !total.Damaged(err) {
			return err
		}
		if c != nil {
			counters = append(counters, c)
			many = many || !c.small()
		}
	}
	if many {
		return countParallel(ctx, counters, q, a, total)
	}
	for _, c := range counters {
		if err := c.s.guarded(func() error { return c.count(ctx, total) }); err != nil && !total.Damaged(err) {
			return err
		}
	}
	return nil
}

// smallCount is the most rows that one goroutine counts alone.
const smallCount = 4096

// small reports whether there is little to count.
func (c *counter) small() bool {
	return c.whole() || c.list != nil && c.list.to-c.list.from <= smallCount || c.hi-c.lo <= smallCount
}

// countParallel counts on all processors.
func countParallel(ctx context.Context, counters []*counter, q *cts.Query, a cts.Aggregation, total *cts.Groups) error {
	parts := make(chan *counter)
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		defer close(parts)
		for _, c := range counters {
			for part := range c.split(countedRows) {
				select {
				case parts <- part:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return nil
	})
	workers := make([]*cts.Groups, runtime.GOMAXPROCS(0))
	for i := range workers {
		g, err := cts.NewGroups(*q, a)
		if err != nil {
			return err
		}
		workers[i] = g
		work.Go(func() error {
			for part := range parts {
				if err := part.s.guarded(func() error { return part.count(ctx, g) }); err != nil && !g.Damaged(err) {
					return err
				}
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return err
	}
	for _, g := range workers {
		if err := total.Merge(g); err != nil {
			return err
		}
	}
	return nil
}

// counter counts rows of one segment.
type counter struct {
	segmentScan
	q     *cts.Query
	a     cts.Aggregation
	keys  []groupColumn
	cells []cell
	used  []uint32 // cells that are not empty

	bucket int64 // that the cells are of
}

// cell is the count of one combination of codes. Rows come in the order of time, so
// first and last are rows, unless the query's clock is record_time.
type cell struct{ count, first, last int64 }

// maxCells is the most combinations of codes that are counted in an array.
const maxCells = 1 << 18

// newCounter plans the counting of a segment; nil if nothing of it can pass.
func newCounter(s *sealed, q *cts.Query, a cts.Aggregation, scan *cts.Scan) (c *counter, err error) {
	err = s.guarded(func() error {
		found, err := newSegmentScan(s, q, scan)
		if err != nil || found == nil {
			return err
		}
		n := &counter{segmentScan: *found, q: q, a: a}
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

// split yields counters for parts of the rows.
func (c *counter) split(rows uint32) func(yield func(*counter) bool) {
	return func(yield func(*counter) bool) {
		if c.list != nil || c.whole() {
			yield(c)
			return
		}
		for lo := c.lo; lo < c.hi; lo += rows {
			part := *c
			part.lo, part.hi = lo, min(c.hi, lo+rows)
			part.keys = slices.Clone(c.keys)
			if !yield(&part) {
				return
			}
		}
	}
}

// whole reports whether the counts that the segment has of each value are the answer.
func (c *counter) whole() bool {
	return c.plan.op == nodeAll && c.lo == 0 && int(c.hi) == c.s.info.rows && c.s.info.last <= c.ceiling &&
		!c.q.ByRecordTime && c.a.Every == 0 && (len(c.keys) == 0 || len(c.keys) == 1 && c.keys[0].counted())
}

// count adds the rows to g. Damage of rows is noted there.
func (c *counter) count(ctx context.Context, g *cts.Groups) error {
	if c.whole() {
		return c.countWhole(g)
	}
	size := 1
	for i := range c.keys {
		size *= c.keys[i].size()
		if size > maxCells || size == 0 {
			return c.countEach(ctx, g)
		}
	}
	c.cells = make([]cell, size)
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
			return c.flush(g)
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
	if len(c.keys) == 1 && len(c.keys[0].columns) == 1 && rows[n-1]-from == n-1 && !c.q.ByRecordTime {
		codes := c.codes[:c.keys[0].columns[0].Codes(c.codes[:n], from, from+n)]
		for i, code := range codes {
			c.add(code, int64(from)+int64(i))
		}
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

// countEach counts row by row, where there are too many different values for cells.
func (c *counter) countEach(ctx context.Context, g *cts.Groups) error {
	values := make([]string, len(c.keys))
	for {
		row, ok, err := c.segmentScan.next()
		switch {
		case err != nil && g.Damaged(err):
			continue
		case err != nil:
			return err
		case !ok:
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		at := c.clock(row)
		for k := range c.keys {
			values[k] = c.keys[k].valueOf(row)
		}
		if err := g.Add(cts.Group{Values: values, Start: c.a.Bucket(at), Count: 1, First: at, Last: at}); err != nil {
			return err
		}
	}
}

// countWhole adds what the segment knows of its values.
func (c *counter) countWhole(g *cts.Groups) error {
	if len(c.keys) == 0 {
		return g.Add(cts.Group{Count: int64(c.s.info.rows), First: c.s.info.minTime, Last: c.s.info.maxTime})
	}
	col := c.keys[0].columns[0]
	first, last := make([]uint32, col.Len()), make([]uint32, col.Len())
	var unlisted []uint32
	for code := range uint32(col.Len()) {
		if rows, ok := col.Postings(code); ok && rows.Len() > 0 {
			first[code], last[code] = rows.At(0), rows.At(rows.Len()-1)
		} else if col.Count(code) > 0 {
			unlisted = append(unlisted, code)
		}
	}
	c.ends(col, unlisted, first, last)
	for code := range uint32(col.Len()) {
		n := col.Count(code)
		if n == 0 {
			continue
		}
		err := g.Add(cts.Group{
			Values: []string{c.keys[0].value(code)}, Count: int64(n), First: c.s.time(first[code]), Last: c.s.time(last[code]),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ends finds the first and last rows of values that are too frequent to be listed.
func (c *counter) ends(col *segment.ColumnReader, codes []uint32, first, last []uint32) {
	missing := make([]bool, col.Len())
	for _, code := range codes {
		missing[code] = true
	}
	left := len(codes)
	for row := uint32(0); left > 0 && int(row) < c.s.info.rows; row++ {
		if code := col.Code(row); missing[code] {
			missing[code], first[code] = false, row
			left--
		}
	}
	for _, code := range codes {
		missing[code] = true
	}
	left = len(codes)
	for row := uint32(c.s.info.rows); left > 0 && row > 0; row-- {
		if code := col.Code(row - 1); missing[code] {
			missing[code], last[code] = false, row-1
			left--
		}
	}
}

// groupColumn gives the value of a dimension by which traces are grouped.
type groupColumn struct {
	columns []*segment.ColumnReader // the first value that is not empty counts
	label   string                  // the key, if the column is that of labels
	buf     []byte
}

// groupColumns are the columns of dimensions that mean any of several, in the order in
// which one is chosen, see [cts.Field.Value].
var groupColumns = map[cts.Field][]string{
	cts.FieldUser:         {"user.name", "user.user_name", "user.id"},
	cts.FieldImpersonator: {"ext.impersonator.name", "ext.impersonator.id"},
}

func (s *sealed) groupColumn(f cts.Field) (groupColumn, error) {
	var g groupColumn
	indices := layout.fields[f]
	if names, ok := groupColumns[f]; ok {
		indices = nil
		for _, name := range names {
			indices = append(indices, layout.byName[name])
		}
	}
	if key, ok := strings.CutPrefix(string(f), "labels."); ok {
		g.label, indices = key, []int{layout.byName["ext.labels"]}
	}
	for _, i := range indices {
		c, err := s.column(i, segment.Values|segment.Lookup)
		if err != nil {
			return g, err
		}
		if c == nil || c.Kind() == segment.Const && len(c.AppendValue(nil, 0)) == 0 {
			continue
		}
		g.columns = append(g.columns, c)
		if _, empty := c.Find(""); g.label == "" && c.Kind() != segment.Unique && !empty {
			break // every row has a value here
		}
	}
	return g, nil
}

// simple reports whether the codes of one dictionary are the groups.
func (g *groupColumn) simple() bool {
	return len(g.columns) == 0 || g.label == "" && len(g.columns) == 1 && g.columns[0].Kind() != segment.Unique
}

// counted reports whether the segment has the counts of the groups.
func (g *groupColumn) counted() bool {
	return g.simple() && len(g.columns) == 1 && g.columns[0].Count(0) >= 0
}

// size returns how many codes there are, 0 if the groups are not codes.
func (g *groupColumn) size() int {
	switch {
	case !g.simple():
		return 0
	case len(g.columns) == 0:
		return 1
	}
	return g.columns[0].Len()
}

func (g *groupColumn) code(row uint32) uint32 {
	if len(g.columns) == 0 {
		return 0
	}
	return g.columns[0].Code(row)
}

// value returns the value of a code. It is valid until the next call.
func (g *groupColumn) value(code uint32) string {
	if len(g.columns) == 0 {
		return ""
	}
	g.buf = g.columns[0].AppendValue(g.buf[:0], code)
	return view0(g.buf)
}

// valueOf returns the value of a row. It is valid until the next call.
func (g *groupColumn) valueOf(row uint32) string {
	for _, c := range g.columns {
		g.buf = c.AppendValue(g.buf[:0], c.Code(row))
		if g.label != "" {
			return labelOf(view0(g.buf), g.label)
		}
		if len(g.buf) > 0 {
			return view0(g.buf)
		}
	}
	return ""
}
