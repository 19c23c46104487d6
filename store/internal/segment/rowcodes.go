package segment

import (
	"encoding/binary"
)

// RowCodes reads the codes of several columns of one row: each from its own place in the
// file, so that none waits for another.
type RowCodes struct {
	rows uint32
	of   []packedCodes
}

// packedCodes is where the codes of a column are; nil if they are the rows.
type packedCodes struct {
	data  []byte
	width uint32
	mask  uint32
}

// NewRowCodes returns a reader of the codes of columns of one segment, none of which is
// Const. They have their Values.
func NewRowCodes(columns []*ColumnReader) RowCodes {
	var c RowCodes
	for _, col := range columns {
		c.rows = uint32(col.rows)
		c.of = append(c.of, packedCodes{data: col.codes, width: uint32(col.width), mask: uint32(mask(col.width))})
	}
	return c
}

// Read writes the codes of a row to dst, in the order of the columns, as many as dst has
// room for. They are 0 beyond the last row.
func (c *RowCodes) Read(dst []uint32, row uint32) {
	if row >= c.rows {
		clear(dst)
		return
	}
	for i := range dst[:min(len(dst), len(c.of))] {
		p := &c.of[i]
		if p.data == nil {
			dst[i] = row
			continue
		}
		bit := uint64(row) * uint64(p.width)
		dst[i] = uint32(binary.LittleEndian.Uint64(p.data[bit>>3:])>>(bit&7)) & p.mask
	}
}

// Keep leaves, of rows, those that have a code. It uses rows.
func (c *ColumnReader) Keep(rows []uint32, code uint32) []uint32 {
	n := 0
	if c.kind != Dict || c.codes == nil {
		for _, row := range rows {
			if c.Code(row) == code {
				rows[n] = row
				n++
			}
		}
		return rows[:n]
	}
	codes, width := c.codes, uint64(c.width)
	m, last := uint32(mask(c.width)), uint64(c.rows-1)
	for _, row := range rows {
		bit := min(uint64(row), last) * width
		rows[n] = row
		if uint32(binary.LittleEndian.Uint64(codes[bit>>3:])>>(bit&7))&m == code {
			n++
		}
	}
	return rows[:n]
}

// maxKeepAny is for how many columns KeepAny has a quick way.
const maxKeepAny = 4

// KeepAny leaves, of rows, those that have the code of any of several columns of one
// segment. It uses rows.
func KeepAny(rows []uint32, columns []*ColumnReader, codes []uint32) []uint32 {
	var room [maxKeepAny]packedCodes
	of := room[:0]
	for _, c := range columns {
		if c.kind != Dict || c.codes == nil || len(columns) > maxKeepAny {
			return keepAny(rows, columns, codes)
		}
		of = append(of, packedCodes{data: c.codes, width: uint32(c.width), mask: uint32(mask(c.width))})
	}
	n := 0
	for _, row := range rows {
		if len(columns) == 0 || row >= uint32(columns[0].rows) {
			continue
		}
		rows[n] = row
		for i := range of {
			p := &of[i]
			bit := uint64(row) * uint64(p.width)
			if uint32(binary.LittleEndian.Uint64(p.data[bit>>3:])>>(bit&7))&p.mask == codes[i] {
				n++
				break
			}
		}
	}
	return rows[:n]
}

func keepAny(rows []uint32, columns []*ColumnReader, codes []uint32) []uint32 {
	n := 0
	for _, row := range rows {
		for i, c := range columns {
			if c.Code(row) == codes[i] {
				rows[n] = row
				n++
				break
			}
		}
	}
	return rows[:n]
}
