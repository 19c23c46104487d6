package segment

import (
	"encoding/binary"
	"iter"
	"slices"
	"sort"
)

// Salvage yields the rows of a damaged segment that are as they were written, in order
// of position. The row is valid until the next step. A row is left out if any byte that
// it is read from lies in a part whose checksum is wrong: nothing is guessed. Lists,
// hash indexes and filters do not matter, since they follow from the rows. Header and
// footer are intact, or Open had failed.
//
// Try is called for everything that reads the bytes: it calls its argument and returns
// its error, or one of its own if reading faults, as a mapping of a failing disk does.
func (s *Segment) Salvage(try func(read func() error) error) iter.Seq[*Row] {
	return func(yield func(*Row) bool) {
		v := salvage{s: s, try: try, row: Row{
			Values: make([]string, len(s.foot.columns)), Texts: make([]string, s.foot.info.Schema.Texts),
		}}
		if !v.open() {
			return
		}
		last, some := uint64(0), false
		for ordinal := range uint32(s.Rows()) {
			ok := false
			err := try(func() error {
				ok = v.read(ordinal)
				return nil
			})
			if err != nil || !ok || some && v.row.Position <= last {
				continue
			}
			last, some = v.row.Position, true
			if !yield(&v.row) {
				return
			}
		}
	}
}

// salvage reads what is not damaged of a segment.
type salvage struct {
	s   *Segment
	try func(read func() error) error
	bad []stretch // chunks whose checksum is wrong, in order

	times, records, positions placed
	rowOf                     []uint32 // of each ordinal; unknownRow if that is lost
	columns                   []salvagedColumn
	texts                     salvagedTexts
	row                       Row
}

const unknownRow = ^uint32(0)

// stretch is a part of the file.
type stretch struct{ from, to int64 }

// placed is an array and where its section lies in the file.
type placed struct {
	heads
	at  int64
	bad bool // nothing of it can be read
}

// open finds the damaged chunks and what can be read at all.
func (v *salvage) open() bool {
	for i := range v.s.foot.sections {
		if e := &v.s.foot.sections[i]; e.hasSums() {
			v.check(e)
		}
	}
	n := v.s.Rows()
	v.times, v.records, v.positions = v.place(sectionTimes, n), v.place(sectionRecords, n), v.place(sectionPositions, n)
	if err := v.try(func() error { v.findRows(); return nil }); err != nil {
		return false
	}
	v.columns = make([]salvagedColumn, len(v.s.foot.columns))
	ok := false
	err := v.try(func() error {
		ok = v.openTexts()
		for i := range v.columns {
			ok = v.openColumn(i) && ok
		}
		return nil
	})
	return err == nil && ok
}

// check notes the chunks of a section whose checksums are wrong.
func (v *salvage) check(e *section) {
	for c := int64(0); c*chunkSize < e.length; c++ {
		part := stretch{e.offset + c*chunkSize, e.offset + min(e.length, (c+1)*chunkSize)}
		right := false
		err := v.try(func() error {
			right = checksum(v.s.data[part.from:part.to]) == binary.LittleEndian.Uint32(e.sums[c*4:])
			return nil
		})
		if err != nil || !right {
			v.bad = append(v.bad, part) // sections are in order of their offsets
		}
	}
}

// sound reports whether no byte of a part of the file is in a damaged chunk.
func (v *salvage) sound(from, to int64) bool {
	i := sort.Search(len(v.bad), func(i int) bool { return v.bad[i].to > from })
	return i == len(v.bad) || v.bad[i].from >= to
}

// area returns the bytes of a section, which may be damaged, and where they lie.
func (v *salvage) area(kind, column int) (b []byte, at int64, ok bool) {
	i := v.s.lookup(kind, column)
	if i < 0 {
		return nil, 0, false
	}
	e := &v.s.foot.sections[i]
	return v.s.data[e.offset : e.offset+e.length], e.offset, true
}

// looseHeads takes an array of n values apart without a look at what it says.
func looseHeads(section []byte, n int) (heads, bool) {
	size := (n + runRows - 1) / runRows * headSize
	if n < 0 || len(section) < size+slack {
		return heads{}, false
	}
	return heads{n: n, head: section[:size], data: section[size:]}, true
}

// place returns an array that is a section of its own. Without a section all of its
// values are 0.
func (v *salvage) place(kind, n int) placed {
	b, at, ok := v.area(kind, 0)
	if !ok {
		return placed{}
	}
	h, ok := looseHeads(b, n)
	return placed{heads: h, at: at, bad: !ok}
}

// head returns the head of the run in which value i lies, if it is sound.
func (v *salvage) head(p *placed, i int) (bit uint64, width uint, ok bool) {
	b := i / runRows
	at := p.at + int64(b*headSize)
	if p.bad || !v.sound(at, at+headSize) {
		return 0, 0, false
	}
	_, bit, width = p.block(b)
	return bit, width, true
}

// bits reports whether bits of an array are sound.
func (v *salvage) bits(p *placed, from, to uint64) bool {
	data := p.at + int64(len(p.head))
	return to <= uint64(len(p.data))*8 && v.sound(data+int64(from/8), data+int64((to+7)/8))
}

// frame returns value i of frames.
func (v *salvage) frame(p *placed, i int) (uint64, bool) {
	if p.n == 0 {
		return 0, !p.bad
	}
	bit, width, ok := v.head(p, i)
	from := bit + uint64(i%runRows)*uint64(width)
	if !ok || i >= p.n || !v.bits(p, from, from+uint64(width)) {
		return 0, false
	}
	return (&frames{p.heads}).value(i), true
}

// ascending returns value i of a sorted array. It looks at the run up to its end.
func (v *salvage) ascending(p *placed, i int) (uint64, bool) {
	if p.n == 0 {
		return 0, !p.bad
	}
	bit, low, ok := v.head(p, i)
	if !ok || i >= p.n {
		return 0, false
	}
	n := uint64(min(runRows, p.n-i&^(runRows-1)) - 1)
	end := min(bit+n*uint64(low)+3*n, uint64(len(p.data))*8)
	if i%runRows != 0 && (end < bit || !v.bits(p, bit, end)) {
		return 0, false
	}
	return (&sorted{p.heads}).value(i), true
}

// findRows finds the row of each ordinal, which is written down twice.
func (v *salvage) findRows() {
	n := v.s.Rows()
	v.rowOf = make([]uint32, n)
	rows, ordinals := v.place(sectionRows, n), v.place(sectionOrdinals, n)
	for ordinal := range v.rowOf {
		v.rowOf[ordinal] = unknownRow
		if d, ok := v.frame(&rows, ordinal); ok && uint32(ordinal)+uint32(d) < uint32(n) {
			v.rowOf[ordinal] = uint32(ordinal) + uint32(d)
		}
	}
	for row := range uint32(n) {
		d, ok := v.frame(&ordinals, int(row))
		if ordinal := row + uint32(d); ok && ordinal < uint32(n) && v.rowOf[ordinal] == unknownRow {
			v.rowOf[ordinal] = row
		}
	}
}

// read reads the row of an ordinal.
func (v *salvage) read(ordinal uint32) bool {
	row := v.rowOf[ordinal]
	if row == unknownRow {
		return false
	}
	pos, ok := v.ascending(&v.positions, int(ordinal))
	if v.positions.n == 0 {
		pos = uint64(ordinal)
	}
	time, timed := v.ascending(&v.times, int(row))
	record, recorded := v.frame(&v.records, int(row))
	if !ok || !timed || !recorded {
		return false
	}
	info := &v.s.foot.info
	v.row.Position = info.FirstPosition + pos
	v.row.Time = int64(uint64(info.MinTime) + time)
	v.row.Record = v.row.Time + int64(record)
	for i := range v.columns {
		if v.row.Values[i], ok = v.value(&v.columns[i], row); !ok {
			return false
		}
	}
	return v.readTexts(ordinal)
}

// salvagedColumn is a column of which some values may be lost.
type salvagedColumn struct {
	kind     Kind
	constant string
	width    uint
	codes    []byte
	codesAt  int64
	values   values
	offsets  placed
	emptyAt  int64
	dataAt   int64
	last     uint32 // code of text
	text     string
	known    bool // text
	buf      []byte
}

// openColumn reports whether any value of the column can be read.
func (v *salvage) openColumn(i int) bool {
	info := &v.s.foot.columns[i]
	c := &v.columns[i]
	c.kind, c.constant = info.kind, info.constant
	if c.kind == Const {
		return true
	}
	b, at, ok := v.area(sectionValues, i)
	if !ok || len(b) < valuesHeader || !v.sound(at, at+valuesHeader) {
		return false
	}
	prefix := int64(binary.LittleEndian.Uint32(b[4:]))
	if !v.sound(at, at+valuesHeader+prefix) {
		return false
	}
	loose := func(section []byte, n int) (frames, bool) {
		h, ok := looseHeads(section, n)
		return frames{h}, ok
	}
	if c.values, ok = parseValues(b, info.length, loose); !ok {
		return false
	}
	c.emptyAt = at + valuesHeader + prefix
	c.dataAt = at + int64(len(b)-len(c.values.data))
	c.offsets = placed{heads: c.values.offsets.heads, at: c.emptyAt + int64(len(c.values.empty))}
	if c.kind == Unique {
		return true
	}
	c.width = codeWidth(info.length)
	c.codes, c.codesAt, ok = v.area(sectionCodes, i)
	return ok && len(c.codes) == packedSize(v.s.Rows(), c.width)
}

// value returns the value of a row.
func (v *salvage) value(c *salvagedColumn, row uint32) (string, bool) {
	if c.kind == Const {
		return c.constant, true
	}
	code := row
	if c.kind == Dict {
		bit := uint64(row) * uint64(c.width)
		if !v.sound(c.codesAt+int64(bit/8), c.codesAt+int64((bit+uint64(c.width)+7)/8)) {
			return "", false
		}
		code = uint32(readBits(c.codes, bit, c.width))
	}
	if c.known && c.last == code {
		return c.text, true
	}
	if int(code) >= c.values.n || !v.stored(c, int(code)) {
		return "", false
	}
	c.buf = c.values.append(c.buf[:0], int(code))
	c.last, c.text, c.known = code, string(c.buf), true
	return c.text, true
}

// stored reports whether what stands for a value is sound.
func (v *salvage) stored(c *salvagedColumn, i int) bool {
	t := &c.values
	if t.flags&emptyFirst != 0 {
		i--
	}
	if i < 0 {
		return true
	}
	if at := c.emptyAt + int64(i>>3); len(t.empty) > 0 && !v.sound(at, at+1) {
		return false
	}
	if len(t.empty) > 0 && t.empty[i>>3]>>(i&7)&1 != 0 {
		return true
	}
	if t.encoding == encodeUUID || t.encoding == encodeHex {
		return v.sound(c.dataAt+int64(i*t.width), c.dataAt+int64((i+1)*t.width))
	}
	if t.encoding == encodeFront {
		i /= frontValues
	}
	from, ok := v.frame(&c.offsets, i)
	to, also := v.frame(&c.offsets, i+1)
	return ok && also && from <= to && to <= uint64(len(t.data)) && v.sound(c.dataAt+int64(from), c.dataAt+int64(to))
}

// salvagedTexts are the texts, of which some blocks may be lost.
type salvagedTexts struct {
	texts  *Texts
	blocks []textBlock // that can be found
	next   int         // in blocks, of the next ordinal
	reader TextReader
}

// textBlock is a block and its ordinals.
type textBlock struct {
	block    int
	from, to uint32
}

// openTexts reports whether any texts can be read.
func (v *salvage) openTexts() bool {
	t := &Texts{seg: v.s, texts: v.s.foot.info.Schema.Texts}
	v.texts.texts = t
	if t.texts == 0 {
		return true
	}
	sources, at, ok := v.area(sectionTextSources, 0)
	if !ok || len(sources) < 4 || !v.sound(at, at+int64(len(sources))) {
		return false
	}
	blocks := binary.LittleEndian.Uint32(sources)
	if blocks == 0 || int64(blocks) > int64(v.s.Rows()) {
		return false
	}
	t.blocks = int(blocks)
	if t.data, t.offset, ok = v.area(sectionTextBlocks, 0); !ok {
		return false
	}
	ends, rows := v.place(sectionTextOffsets, t.blocks+1), v.place(sectionTextRows, t.blocks+1)
	t.ends, t.rows = frames{ends.heads}, frames{rows.heads}
	dictionary := func(index int) ([]byte, error) {
		b, at, ok := v.area(sectionDictionary, index)
		if !ok || !v.sound(at, at+int64(len(b))) {
			b = []byte{} // no dictionary: its blocks are lost, and no others
		}
		return b, nil
	}
	if t.loadSources(sources[4:], dictionary) != nil {
		return false
	}
	for b := range t.blocks {
		from, ok1 := v.frame(&rows, b)
		to, ok2 := v.frame(&rows, b+1)
		_, ok3 := v.frame(&ends, b)
		_, ok4 := v.frame(&ends, b+1)
		if ok1 && ok2 && ok3 && ok4 && from < to && to <= uint64(v.s.Rows()) {
			v.texts.blocks = append(v.texts.blocks, textBlock{b, uint32(from), uint32(to)})
		}
	}
	return slices.IsSortedFunc(v.texts.blocks, func(a, b textBlock) int { return int(a.from) - int(b.from) })
}

// readTexts reads the texts of an ordinal. Ordinals ascend from call to call.
func (v *salvage) readTexts(ordinal uint32) bool {
	x := &v.texts
	if x.texts.texts == 0 {
		return true
	}
	for x.next < len(x.blocks) && x.blocks[x.next].to <= ordinal {
		x.next++
	}
	if x.next == len(x.blocks) || x.blocks[x.next].from > ordinal {
		return false
	}
	texts, err := x.texts.readIn(x.blocks[x.next].block, ordinal, &x.reader)
	if err != nil || len(texts) != len(v.row.Texts) {
		return false
	}
	for i, text := range texts {
		v.row.Texts[i] = string(text)
	}
	return true
}
