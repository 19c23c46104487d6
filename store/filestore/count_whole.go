package filestore

import (
	"context"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

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

// countWhole counts by what the segment knows of its values.
func (c *counter) countWhole(g *cts.Groups) error {
	if len(c.keys) == 0 {
		return g.Add(cts.Group{Count: int64(c.s.info.rows), First: c.s.info.minTime, Last: c.s.info.maxTime})
	}
	col := c.keys[0].columns[0]
	c.cells = make([]cell, col.Len())
	used := make([]uint32, 0, col.Len())
	for code := range uint32(col.Len()) {
		if n := col.Count(code); n > 0 {
			c.cells[code].count = int64(n)
			used = append(used, code)
		}
	}
	used = c.prune(used)
	var unlisted []uint32
	for _, code := range used {
		if rows, ok := col.Postings(code); ok && rows.Len() > 0 {
			c.cells[code].first, c.cells[code].last = int64(rows.At(0)), int64(rows.At(rows.Len()-1))
		} else {
			unlisted = append(unlisted, code)
		}
	}
	c.ends(col, unlisted)
	c.used = used // last: what a fault of the mapping ends counts nothing
	return nil
}

// ends finds the first and last rows of values that are too frequent to be listed.
func (c *counter) ends(col *segment.ColumnReader, codes []uint32) {
	missing := make([]bool, col.Len())
	for _, code := range codes {
		missing[code] = true
	}
	left := len(codes)
	for row := uint32(0); left > 0 && int(row) < c.s.info.rows; row++ {
		if code := col.Code(row); missing[code] {
			missing[code], c.cells[code].first = false, int64(row)
			left--
		}
	}
	for _, code := range codes {
		missing[code] = true
	}
	left = len(codes)
	for row := uint32(c.s.info.rows); left > 0 && row > 0; row-- {
		if code := col.Code(row - 1); missing[code] {
			missing[code], c.cells[code].last = false, int64(row-1)
			left--
		}
	}
}
