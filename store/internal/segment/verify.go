package segment

import (
	"bytes"
	"slices"
)

// Verify reads everything and compares it with everything else: checksums, the order
// of rows, dictionaries, postings and filters against the values, every text. It
// reports each damage with its offset in the file and the range of positions that it
// may touch.
func (s *Segment) Verify(report func(offset int64, first, last uint64, err error)) {
	v := verifier{s: s, report: report}
	v.sections()
	if v.found {
		// What follows would find the same again. Texts have checksums of their own,
		// by which the damage can be told block by block.
		v.texts(nil)
		return
	}
	order, err := s.Order()
	if err != nil {
		v.damaged(err)
	} else {
		v.order(order)
	}
	for i := range s.columns {
		v.column(i)
	}
	v.texts(order)
}

type verifier struct {
	s      *Segment
	report func(offset int64, first, last uint64, err error)
	found  bool
}

// damaged reports an error that may touch all rows.
func (v *verifier) damaged(err error) {
	v.at(v.s.foot.info.FirstPosition, v.s.foot.info.LastPosition, err)
}

func (v *verifier) at(first, last uint64, err error) {
	v.found = true
	offset := int64(0)
	if d, ok := err.(*Damage); ok { //nolint:errorlint // Only this package makes them, unwrapped.
		offset = d.Offset
	}
	v.report(offset, first, last, err)
}

// wrong reports that a section contradicts another one.
func (v *verifier) wrong(kind, column int, reason string) {
	i := v.s.lookup(kind, column)
	if i < 0 {
		v.damaged(v.s.damage(headerSize, 1, reason))
		return
	}
	e := &v.s.foot.sections[i]
	v.damaged(v.s.damage(e.offset, max(1, e.length), reason+": "+e.name()))
}

// sections checks the checksums, and the zeros between sections.
func (v *verifier) sections() {
	s := v.s
	last := int64(headerSize)
	gap := func(to int64) {
		for at := last; at < to; at++ {
			if s.data[at] != 0 {
				v.damaged(s.damage(at, to-at, "the space between sections is not zero"))
				return
			}
		}
	}
	seen := map[[2]int]bool{}
	for i := range s.foot.sections {
		e := &s.foot.sections[i]
		gap(e.offset)
		last = e.offset + e.length
		if _, ok := sectionNames[e.kind]; !ok || seen[[2]int{e.kind, e.column}] {
			v.damaged(s.damage(e.offset, max(1, e.length), "a section that must not be there: "+e.name()))
		}
		seen[[2]int{e.kind, e.column}] = true
		if e.hasSums() {
			_ = s.verifySection(e, v.damaged)
		}
	}
	gap(s.footerOffset())
}

// footerOffset returns where the footer begins: behind the last section, aligned.
func (s *Segment) footerOffset() int64 {
	last := int64(headerSize)
	if n := len(s.foot.sections); n > 0 {
		e := &s.foot.sections[n-1]
		last = e.offset + e.length
	}
	return (last + alignment - 1) / alignment * alignment
}

func (v *verifier) order(o *Order) {
	info := &v.s.foot.info
	last := uint32(info.Rows - 1)
	minRecord, maxRecord := o.Record(0), o.Record(0)
	for row := range last + 1 {
		ordinal := o.Ordinal(row)
		if o.Row(ordinal) != row || uint64(ordinal) != uint64(row)+o.ordinalOf.value(int(row)) {
			v.wrong(sectionOrdinals, 0, "rows and ordinals contradict each other")
			return
		}
		minRecord, maxRecord = min(minRecord, o.Record(row)), max(maxRecord, o.Record(row))
		if row == 0 {
			continue
		}
		if a, b := o.Time(row-1), o.Time(row); a > b || a == b && o.Ordinal(row-1) >= ordinal {
			v.wrong(sectionTimes, 0, "rows are not in order of time and position")
			return
		}
		if o.PositionAt(row-1) >= o.PositionAt(row) {
			v.wrong(sectionPositions, 0, "positions do not ascend")
			return
		}
	}
	if o.Time(0) != info.MinTime || o.Time(last) != info.MaxTime || o.PositionAt(last) != info.LastPosition ||
		minRecord != info.MinRecord || maxRecord != info.MaxRecord {
		v.wrong(sectionTimes, 0, "the footer has other totals")
	}
}

func (v *verifier) column(i int) {
	c, err := v.s.Column(i, Values|Lookup|Filter)
	if err != nil {
		v.damaged(err)
		return
	}
	schema := v.s.foot.info.Schema.Columns[i]
	find := schema.Find || schema.ID
	switch c.kind {
	case Dict:
		if find && c.lists.data == nil {
			v.wrong(sectionPostings, i, "no postings")
			return
		}
		v.dict(c, i)
	case Unique:
		if find && c.hashes == nil {
			v.wrong(sectionHashes, i, "no hash index")
			return
		}
		v.unique(c, i)
	}
}

// dict compares dictionary, codes and postings.
func (v *verifier) dict(c *ColumnReader, i int) {
	var last, value []byte
	for code := range uint32(c.length) {
		value = c.AppendValue(value[:0], code)
		if code > 0 && bytes.Compare(last, value) >= 0 {
			v.wrong(sectionValues, i, "values do not ascend")
			return
		}
		if !c.MayContain(string(value)) {
			v.wrong(sectionFilter, i, "a value is missing")
			return
		}
		last = append(last[:0], value...)
	}
	rows := make([][]uint32, c.length)
	for row := range uint32(c.rows) {
		code := c.Code(row)
		if int(code) >= c.length {
			v.wrong(sectionCodes, i, "a code beyond the dictionary")
			return
		}
		rows[code] = append(rows[code], row)
	}
	for code, want := range rows {
		if len(want) == 0 {
			v.wrong(sectionCodes, i, "a value that no row has")
			return
		}
		if n := c.Count(uint32(code)); n != -1 && n != len(want) {
			v.wrong(sectionPostings, i, "wrong number of rows")
			return
		}
		p, ok := c.Postings(uint32(code))
		got := make([]uint32, p.Len())
		p.Read(got, 0)
		if ok && !slices.Equal(got, want) {
			v.wrong(sectionPostings, i, "wrong rows")
			return
		}
	}
}

// unique compares the hash index and the filter with the values.
func (v *verifier) unique(c *ColumnReader, i int) {
	var value []byte
	seen := make([]bool, c.rows)
	last := uint32(0)
	for k := range c.rows {
		if c.filtered {
			value = c.AppendValue(value[:0], uint32(k))
			if !c.MayContain(string(value)) {
				v.wrong(sectionFilter, i, "a value is missing")
				return
			}
		}
		if c.hashes == nil {
			continue
		}
		width := rowBits(c.rows)
		row := uint32(readBits(c.hashes, uint64(k)*uint64(width), width))
		if int(row) >= c.rows || seen[row] {
			v.wrong(sectionHashes, i, "not every row stands in it once")
			return
		}
		seen[row] = true
		key := c.values.keyBytes(int(row))
		order := c.compareHash(key, hash(key), max(0, k-1))
		if k > 0 && (order < 0 || order == 0 && row < last) {
			v.wrong(sectionHashes, i, "not in order")
			return
		}
		last = row
	}
}

// texts reads every block. Order may be nil.
func (v *verifier) texts(order *Order) {
	t, err := v.s.Texts()
	if err != nil {
		v.damaged(err)
		return
	}
	w, err := v.s.Words()
	if err != nil {
		v.damaged(err)
		w = nil
	}
	if order == nil {
		// Without damage there the positions can be told.
		order, _ = v.s.Order()
	}
	var r TextReader
	total, complete := int64(0), true
	for block := range t.blocks {
		first, last := v.s.foot.info.FirstPosition, v.s.foot.info.LastPosition
		from, to := t.Range(block)
		if from >= to {
			v.wrong(sectionTextRows, 0, "a block without rows")
			return
		}
		if order != nil {
			first, last = order.PositionAt(from), order.PositionAt(to-1)
		}
		if err := t.Open(block, &r); err != nil {
			v.at(first, last, err)
			complete = false
			continue
		}
		total += int64(len(r.Bytes()))
		if w != nil && !w.has(block, &r) {
			v.wrong(sectionWords, 0, "a word is missing")
			w = nil
		}
	}
	if complete && total != v.s.foot.info.TextBytes {
		v.wrong(sectionTextBlocks, 0, "the footer has another total")
	}
	if t.texts > 0 && int64(t.ends.value(t.blocks)) != int64(len(t.data)) {
		v.wrong(sectionTextOffsets, 0, "blocks end elsewhere than the section")
	}
}

// has says whether the filter has the words of a block.
func (w *Words) has(block int, r *TextReader) bool {
	group := 0
	for group+1 < len(w.groups) && w.groups[group+1].block <= block {
		group++
	}
	g := &w.groups[group]
	first, _ := w.Range(group)
	i := min(block-first, len(blockSet{})*64-1)
	ok := true
	seen := map[uint64]struct{}{} // words, which occur again and again in one block
	find := func(key uint64, known byte) {
		if g.flags&known != 0 {
			set := g.blocks(key)
			ok = ok && set[i/64]>>(i%64)&1 != 0
		}
	}
	for i := range len(r.index) - 1 {
		text := bytesView(r.buf[r.index[i]:r.index[i+1]])
		eachWord(text, func(from, to int) {
			key := wordKey(text[from:to])
			if _, again := seen[key]; again {
				return
			}
			seen[key] = struct{}{}
			find(key, knowsWords)
			eachGram(text[from:to], func(key uint64) { find(key, knowsGrams) })
		})
	}
	return ok
}
