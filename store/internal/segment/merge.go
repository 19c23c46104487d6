package segment

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// Merge writes one segment that holds the rows of several, which must be given in
// order of their positions and must not overlap. Columns are matched by name; what a
// segment doesn't have is "" in its rows. A column is one to find values in, or an ID,
// if the last segment that has it says so. Texts are copied as they are compressed. Options may be nil; those
// about texts have no effect. Memory is in proportion to the number of rows and to the
// values of one column, not to the texts. The error is a *Damage if a segment is
// damaged; what was written until then is no segment.
func Merge(out io.Writer, opts *Options, segs []*Segment) (Info, error) {
	m := merger{segs: segs}
	var err error
	if m.opts, err = opts.withDefaults(); err != nil {
		return Info{}, err
	}
	if err := m.begin(); err != nil {
		return Info{}, err
	}
	o := newOutput(out)
	if err := m.writeTexts(o); err != nil {
		return Info{}, err
	}
	if err := m.writeOrder(o); err != nil {
		return Info{}, err
	}
	infos := make([]columnInfo, len(m.info.Schema.Columns))
	for i, c := range m.info.Schema.Columns {
		d, err := m.column(c)
		if err != nil {
			return Info{}, err
		}
		infos[i] = d.write(o, i, m.opts.ListShare)
	}
	return o.finish(m.info, infos)
}

// merger is one merge. Rows of all segments are counted through, "global", in order of
// the segments.
type merger struct {
	opts   Options
	segs   []*Segment
	orders []*Order
	bases  []int // global number of the first row of each segment, and of the end
	info   Info
	source []uint32 // global row of each row; nil if they are the same
}

func (m *merger) begin() error {
	if len(m.segs) == 0 {
		return fmt.Errorf("a merge of no segments: %w", ErrRow)
	}
	for i, s := range m.segs {
		info := s.Info()
		if i > 0 && info.FirstPosition <= m.segs[i-1].foot.info.LastPosition {
			return fmt.Errorf("a merge of segments that are not in order: %w", ErrRow)
		}
		o, err := s.Order()
		if err != nil {
			return err
		}
		m.orders = append(m.orders, o)
		m.bases = append(m.bases, m.info.Rows)
		m.info.Rows += info.Rows
		m.info.RawBytes += info.RawBytes
		m.info.TextBytes += info.TextBytes
		m.info.Schema.Texts = max(m.info.Schema.Texts, info.Schema.Texts)
		for _, c := range info.Schema.Columns {
			if k := m.info.Schema.Index(c.Name); k >= 0 {
				m.info.Schema.Columns[k] = c
			} else {
				m.info.Schema.Columns = append(m.info.Schema.Columns, c)
			}
		}
	}
	m.bases = append(m.bases, m.info.Rows)
	if m.info.Rows > MaxRows {
		return fmt.Errorf("a merge to %d rows: %w", m.info.Rows, ErrRow)
	}
	m.mergeTimes()
	return m.info.Schema.validate()
}

// mergeTimes finds the order of all rows.
func (m *merger) mergeTimes() {
	apart := true
	for i, s := range m.segs[1:] {
		apart = apart && s.foot.info.MinTime >= m.segs[i].foot.info.MaxTime
	}
	if apart {
		return
	}
	m.source = make([]uint32, 0, m.info.Rows)
	type head struct {
		seg  int
		row  uint32
		time int64
	}
	heads := make([]head, len(m.segs))
	for i, o := range m.orders {
		heads[i] = head{i, 0, o.Time(0)}
	}
	for len(heads) > 0 {
		// The earliest head, and the earliest of the others. Of equal times that of
		// the earlier segment comes first, since its positions are lower.
		first, second := 0, -1
		for i := 1; i < len(heads); i++ {
			switch {
			case heads[i].time < heads[first].time:
				first, second = i, first
			case second < 0 || heads[i].time < heads[second].time:
				second = i
			}
		}
		h := &heads[first]
		rows := uint32(m.bases[h.seg+1] - m.bases[h.seg])
		for {
			m.source = append(m.source, uint32(m.bases[h.seg])+h.row)
			if h.row++; h.row == rows {
				heads = slices.Delete(heads, first, first+1)
				break
			}
			h.time = m.orders[h.seg].Time(h.row)
			if second >= 0 && (h.time > heads[second].time || h.time == heads[second].time && first > second) {
				break
			}
		}
	}
}

// global returns the global row of a row.
func (m *merger) global(row int) int {
	if m.source == nil {
		return row
	}
	return int(m.source[row])
}

// segment returns the segment of a global row.
func (m *merger) segment(global int) int {
	for i := range m.segs {
		if global < m.bases[i+1] {
			return i
		}
	}
	return len(m.segs) - 1
}

func (m *merger) writeOrder(o *output) error {
	ordinalOf := make([]uint32, m.info.Rows)
	identity := true
	for row := range ordinalOf {
		g := m.global(row)
		s := m.segment(g)
		ordinalOf[row] = uint32(m.bases[s]) + m.orders[s].Ordinal(uint32(g-m.bases[s]))
		identity = identity && ordinalOf[row] == uint32(row)
	}
	at := func(row int) (*Order, uint32) {
		g := m.global(row)
		s := m.segment(g)
		return m.orders[s], uint32(g - m.bases[s])
	}
	d := orderData{
		times:   func(row int) int64 { o, r := at(row); return o.Time(r) },
		records: func(row int) int64 { o, r := at(row); return o.Record(r) },
		positions: func(i int) uint64 {
			s := m.segment(i)
			return m.orders[s].PositionAt(uint32(i - m.bases[s]))
		},
	}
	if err := m.checkOrder(&d, ordinalOf); err != nil {
		return err
	}
	if !identity {
		d.ordinalOf, d.rowOf = ordinalOf, inverse(ordinalOf)
	}
	d.write(o, &m.info)
	return nil
}

// checkOrder makes sure that what the segments say of their rows can be written.
func (m *merger) checkOrder(d *orderData, ordinalOf []uint32) error {
	wrong := func(row int) error {
		return m.segs[m.segment(m.global(row))].damage(headerSize, 1, "rows are not in order of time and position")
	}
	seen := make([]bool, len(ordinalOf))
	seen[ordinalOf[0]] = true
	for row := 1; row < len(ordinalOf); row++ {
		if seen[ordinalOf[row]] || d.times(row) < d.times(row-1) || d.positions(row) <= d.positions(row-1) {
			return wrong(row)
		}
		seen[ordinalOf[row]] = true
	}
	return nil
}

// column reads a column of all segments.
func (m *merger) column(schema Column) (*columnData, error) {
	readers := make([]*ColumnReader, len(m.segs))
	unique, same := 0, true
	for i, s := range m.segs {
		readers[i] = &ColumnReader{kind: Const, rows: s.Rows(), length: 1}
		if k := s.foot.info.Schema.Index(schema.Name); k >= 0 {
			r, err := s.Column(k, Values)
			if err != nil {
				return nil, err
			}
			readers[i] = r
		}
		if readers[i].kind == Unique {
			unique += s.Rows()
		}
		same = same && readers[i].kind == Const && readers[i].constant == readers[0].constant
	}
	switch {
	case same:
		return &columnData{schema: schema, kind: Const, constant: readers[0].constant}, nil
	case unique > m.info.Rows/2 && mostlyDistinct(&mergedList{m, readers}):
		return &columnData{schema: schema, kind: Unique, values: &mergedList{m, readers}}, nil
	}
	return m.mergeDicts(schema, readers)
}

// mergedList is a valueList of the values of all rows.
type mergedList struct {
	m       *merger
	readers []*ColumnReader
}

// Len returns the number of rows.
func (l *mergedList) Len() int { return l.m.info.Rows }

// Value returns the value of a row in room.
func (l *mergedList) Value(room []byte, row int) []byte {
	g := l.m.global(row)
	s := l.m.segment(g)
	r := l.readers[s]
	return r.AppendValue(room, r.Code(uint32(g-l.m.bases[s])))
}

// dictSource is the dictionary of one segment in a merge.
type dictSource struct {
	reader *ColumnReader
	order  []uint32 // of Unique: its rows in order of their values
	next   int
	value  []byte // at next
	remap  []uint32
}

func newDictSource(r *ColumnReader) *dictSource {
	d := &dictSource{reader: r, remap: make([]uint32, r.Len())}
	if r.kind == Unique {
		d.order = sortedRows(r)
	}
	d.load()
	return d
}

// sortedRows returns the rows of a Unique column in order of their values.
func sortedRows(r *ColumnReader) []uint32 {
	return sortedValues(r.rows, func(room []byte, row int) []byte { return r.AppendValue(room, uint32(row)) })
}

func (d *dictSource) code() uint32 {
	if d.order != nil {
		return d.order[d.next]
	}
	return uint32(d.next)
}

func (d *dictSource) done() bool { return d.next == len(d.remap) }

func (d *dictSource) load() {
	if !d.done() {
		d.value = d.reader.AppendValue(d.value[:0], d.code())
	}
}

// mergeDicts unites the dictionaries and gives each row its new code.
func (m *merger) mergeDicts(schema Column, readers []*ColumnReader) (*columnData, error) {
	sources := make([]*dictSource, len(readers))
	for i, r := range readers {
		sources[i] = newDictSource(r)
	}
	list := &arenaList{}
	var last []byte
	for {
		var least *dictSource
		for _, d := range sources {
			if !d.done() && (least == nil || bytes.Compare(d.value, least.value) < 0) {
				least = d
			}
		}
		if least == nil {
			break
		}
		n := len(list.ends)
		if n == 0 || !bytes.Equal(last, least.value) {
			if n > 0 && bytes.Compare(last, least.value) > 0 {
				return nil, m.segs[slices.Index(sources, least)].damage(headerSize, 1, "a dictionary does not ascend: column "+schema.Name)
			}
			list.arena = append(list.arena, least.value...)
			list.ends = append(list.ends, uint64(len(list.arena)))
			last = append(last[:0], least.value...)
			n++
		}
		least.remap[least.code()] = uint32(n - 1)
		least.next++
		least.load()
	}
	codes, err := m.mergeCodes(sources)
	if err != nil {
		return nil, err
	}
	return &columnData{schema: schema, kind: Dict, values: list, codes: codes}, nil
}

// mergeCodes returns the new codes of all rows.
func (m *merger) mergeCodes(sources []*dictSource) ([]uint32, error) {
	codes := make([]uint32, m.info.Rows)
	for i, d := range sources {
		part := codes[m.bases[i]:m.bases[i+1]]
		d.reader.Codes(part, 0, uint32(len(part)))
		for k, c := range part {
			if int(c) >= len(d.remap) {
				return nil, m.segs[i].damage(headerSize, 1, "a code beyond the dictionary")
			}
			part[k] = d.remap[c]
		}
	}
	if m.source == nil {
		return codes, nil
	}
	out := make([]uint32, len(codes))
	for row, g := range m.source {
		out[row] = codes[g]
	}
	return out, nil
}
