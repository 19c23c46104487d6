package segment

import (
	"bytes"
	"fmt"
	"math/bits"
)

// Kind says how the values of a column are stored.
type Kind uint8

// The kinds of columns.
const (
	Const  Kind = iota // all rows have the same value, code 0
	Dict               // codes are indices in an ascending dictionary of the values
	Unique             // nearly every row has a value of its own: the code of a row is the row
)

// Parts says what of a column is wanted.
type Parts uint8

// The parts of a column. A part that a column doesn't have needs nothing.
const (
	Values Parts = 1 << iota // Code, Codes, AppendValue, Find, FindPrefix
	Lookup                   // Count, Postings, Rows
	Filter                   // MayContain
)

// columnSlot is the place of a column's reader in the segment.
type columnSlot struct{ parts [3]lazy[ColumnReader] }

// ColumnReader reads one column. Methods of parts that were not asked for answer as
// if the part was empty.
type ColumnReader struct {
	kind     Kind
	rows     int
	length   int
	constant string
	width    uint
	codes    []byte
	values   values
	lists    lists
	hashes   []byte
	form     values // of the keys in the filter; it holds no values
	filter   fuse
	filtered bool
	finds    findCache
}

// Column returns a reader of column i of the schema with at least the given parts. A
// part is read and verified when it is first asked for. It is wrong to ask for a
// column that the schema doesn't have.
func (s *Segment) Column(i int, parts Parts) (*ColumnReader, error) {
	if i < 0 || i >= len(s.columns) {
		return nil, fmt.Errorf("segment: column %d of %d", i, len(s.columns))
	}
	// Slot 0 has the values, slot 1 lookup too, slot 2 the filter alone.
	slot := &s.columns[i]
	switch {
	case parts&Lookup != 0:
		return slot.parts[1].get(func() (*ColumnReader, error) { return s.makeColumn(i, Values|Lookup|Filter) })
	case parts == Filter:
		return slot.parts[2].get(func() (*ColumnReader, error) { return s.makeColumn(i, Filter) })
	case parts&Filter != 0:
		return slot.parts[1].get(func() (*ColumnReader, error) { return s.makeColumn(i, Values|Lookup|Filter) })
	}
	return slot.parts[0].get(func() (*ColumnReader, error) { return s.makeColumn(i, Values) })
}

func (s *Segment) makeColumn(i int, parts Parts) (*ColumnReader, error) {
	info := &s.foot.columns[i]
	c := &ColumnReader{kind: info.kind, rows: s.Rows(), length: info.length, constant: info.constant}
	c.width = codeWidth(c.length)
	if c.kind == Const {
		return c, nil
	}
	loads := []struct {
		part Parts
		kind int
		load func(b []byte) bool
	}{
		{Values, sectionValues, c.loadValues},
		{Values, sectionCodes, c.loadCodes},
		{Lookup, sectionPostings, c.loadLists},
		{Lookup, sectionHashes, c.loadHashes},
		{Filter, sectionFilter, c.loadFilter},
	}
	for _, l := range loads {
		if parts&l.part == 0 {
			continue
		}
		b, err := s.section(l.kind, i)
		if err != nil {
			return nil, err
		}
		if !l.load(b) {
			return nil, s.malformed(l.kind, i)
		}
	}
	return c, nil
}

// codeWidth is the number of bits of a code of a dictionary of n values.
func codeWidth(n int) uint { return uint(bits.Len(uint(n - 1))) }

func (c *ColumnReader) loadValues(b []byte) (ok bool) {
	c.values, ok = parseValues(b, c.length, parseFrames)
	return ok && (c.kind == Unique || c.values.flags&emptyBits == 0)
}

func (c *ColumnReader) loadCodes(b []byte) bool {
	if c.kind == Unique {
		return b == nil
	}
	c.codes = b
	return len(b) == packedSize(c.rows, c.width)
}

func (c *ColumnReader) loadLists(b []byte) (ok bool) {
	if b == nil {
		return true
	}
	c.lists, ok = parseLists(b, c.length, c.rows)
	return ok && c.kind == Dict
}

func (c *ColumnReader) loadHashes(b []byte) bool {
	c.hashes = b
	return b == nil || c.kind == Unique && len(b) == packedSize(c.rows, rowBits(c.rows))
}

func (c *ColumnReader) loadFilter(b []byte) bool {
	if b == nil {
		return true
	}
	form, rest, ok := parseKeyForm(b)
	if !ok {
		return false
	}
	c.form = form
	c.filter, c.filtered = parseFuse(rest)
	return c.filtered
}

// Kind returns how the values are stored.
func (c *ColumnReader) Kind() Kind { return c.kind }

// Len returns the number of codes: of values in the dictionary, 1 of Const, rows of
// Unique.
func (c *ColumnReader) Len() int { return c.length }

// Code returns the code of a row, and 0 beyond the last row.
func (c *ColumnReader) Code(row uint32) uint32 {
	switch {
	case int(row) >= c.rows || c.kind == Const:
		return 0
	case c.kind == Unique:
		return row
	}
	return uint32(readBits(c.codes, uint64(row)*uint64(c.width), c.width))
}

// Codes writes the codes of rows from to to-1 to dst, as many as dst and the column
// have, and returns how many there were.
func (c *ColumnReader) Codes(dst []uint32, from, to uint32) int {
	to = min(to, uint32(c.rows))
	if from >= to {
		return 0
	}
	dst = dst[:min(len(dst), int(to-from))]
	switch {
	case c.kind == Const:
		clear(dst)
	case c.kind == Unique:
		for i := range dst {
			dst[i] = from + uint32(i)
		}
	case c.codes != nil:
		unpackBits(dst, c.codes, int(from), c.width)
	}
	return len(dst)
}

// AppendValue appends the value of a code, and nothing if there is no such code.
func (c *ColumnReader) AppendValue(dst []byte, code uint32) []byte {
	if c.kind == Const {
		return append(dst, c.constant...)
	}
	return c.values.append(dst, int(code))
}

// Find returns the code of a value of a column that isn't Unique. It keeps the answers of
// a few values that are asked for again and again.
func (c *ColumnReader) Find(value string) (code uint32, ok bool) {
	switch c.kind {
	case Const:
		return 0, value == c.constant
	case Dict:
		if c.length > fewValues {
			return c.finds.get(value, c.values.find)
		}
		i, ok := c.values.find(value)
		return uint32(i), ok
	}
	return 0, false
}

// FindPrefix returns the codes from to to-1 whose values begin with a prefix, of a
// column that isn't Unique. It allocates a few bytes.
func (c *ColumnReader) FindPrefix(prefix string) (from, to uint32) {
	switch {
	case c.kind == Const:
		if len(c.constant) >= len(prefix) && c.constant[:len(prefix)] == prefix {
			return 0, 1
		}
	case c.kind == Dict:
		f, t := c.values.prefixRange(prefix)
		return uint32(f), uint32(t)
	}
	return 0, 0
}

// Count returns how many rows have the value of a code, and -1 if that isn't known
// because the column isn't one to find values in. It is 1 for Unique.
func (c *ColumnReader) Count(code uint32) int {
	switch {
	case int(code) >= c.length:
		return 0
	case c.kind == Const:
		return c.rows
	case c.kind == Unique:
		return 1
	case c.lists.data == nil:
		return -1
	}
	_, n, _ := c.lists.list(code)
	return n
}

// Postings returns the rows that have the value of a code. It is false if they are
// not listed, because they are so many that reading Codes is as quick, or because the
// column is not one to find values in.
func (c *ColumnReader) Postings(code uint32) (Postings, bool) {
	switch {
	case int(code) >= c.length:
		return Postings{}, true
	case c.kind == Unique:
		return Postings{form: formSingle, n: 1, base: code, last: uint32(c.rows - 1)}, true
	case c.kind == Const || c.lists.data == nil:
		return Postings{}, false
	}
	p, _, ok := c.lists.list(code)
	return p, ok
}

// Rows returns the rows that have a value, by whatever the column has to find them.
// It is false if the column must be scanned for them.
func (c *ColumnReader) Rows(value string) (Postings, bool) {
	if c.kind != Unique {
		code, ok := c.Find(value)
		if !ok {
			return Postings{}, true
		}
		return c.Postings(code)
	}
	if c.hashes == nil {
		return Postings{}, false
	}
	if c.filtered && !c.MayContain(value) {
		return Postings{}, true
	}
	var buf [64]byte
	key, ok := c.values.keyOf(buf[:0], value)
	if !ok {
		return Postings{}, true
	}
	from, to := c.searchHashes(key)
	bits := rowBits(c.rows)
	return Postings{data: c.hashes, form: formPacked, n: to - from, bit: uint64(from) * uint64(bits), rowBits: uint8(bits), last: uint32(c.rows - 1)}, true
}

// MayContain is false if no row has the value. It is true if the column has no filter.
func (c *ColumnReader) MayContain(value string) bool {
	if c.kind == Const {
		return value == c.constant
	}
	if !c.filtered {
		return true
	}
	var buf [64]byte
	key, ok := c.form.keyOf(buf[:0], value)
	return ok && c.filter.has(hash(key))
}

// searchHashes returns the range of the hash index whose rows have a key. Rows stand
// there in order of hash, key and row.
func (c *ColumnReader) searchHashes(key []byte) (from, to int) {
	h := hash(key)
	from = c.lowerHash(key, h)
	for to = from; to < c.rows; to++ {
		if to-from == 8 {
			return from, c.upperHash(key, h, to)
		}
		if c.compareHash(key, h, to) != 0 {
			break
		}
	}
	return from, to
}

// compareHash compares a key with that of an entry of the hash index.
func (c *ColumnReader) compareHash(key []byte, h uint64, i int) int {
	width := rowBits(c.rows)
	k := c.values.keyBytes(int(readBits(c.hashes, uint64(i)*uint64(width), width)))
	switch kh := hash(k); {
	case h < kh:
		return -1
	case h > kh:
		return 1
	}
	return bytes.Compare(key, k)
}

// lowerHash returns the first entry that is not less than a key. Hashes are spread
// evenly, so that the search begins close to where the entry must be.
func (c *ColumnReader) lowerHash(key []byte, h uint64) int {
	lo, hi := 0, c.rows
	guess, _ := bits.Mul64(h, uint64(c.rows))
	at, step := int(guess), 1+int(rootOf(c.rows))
	for lo < hi {
		if c.compareHash(key, h, at) > 0 {
			lo = at + 1
			at += step
		} else {
			hi = at
			at -= step
		}
		step *= 2
		if at < lo || at >= hi {
			break
		}
	}
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if c.compareHash(key, h, mid) > 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

func (c *ColumnReader) upperHash(key []byte, h uint64, lo int) int {
	hi := c.rows
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if c.compareHash(key, h, mid) >= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// rootOf returns about half of the square root of n: as far as an entry usually is
// from its place if hashes were spread perfectly.
func rootOf(n int) uint { return 1 << (uint(bits.Len(uint(n))) / 2) / 2 }
