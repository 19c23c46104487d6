package segment

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// From these numbers of rows on a column is looked at to see whether its values are
// nearly all different. Fewer say little: of 2,000 users 800 occur in 1,000 rows.
const (
	uniqueFrom   = 1 << 15
	uniqueFromID = 1 << 10
)

// Writer collects rows in memory and writes them as a segment. It is for one
// goroutine at a time.
type Writer struct {
	schema    Schema
	opts      Options
	err       error
	columns   []columnWriter
	texts     *textWriter
	positions []uint64
	times     []int64
	records   []int64
	rawBytes  int64
	textBytes int64
}

// NewWriter returns a writer of rows of a schema. Options may be nil. Faults of
// either are reported by the first Add and by Finish.
func NewWriter(schema Schema, opts *Options) *Writer {
	w := &Writer{schema: Schema{Columns: slices.Clone(schema.Columns), Texts: schema.Texts}}
	w.opts, w.err = opts.withDefaults()
	if err := schema.validate(); err != nil {
		w.err = err
	}
	w.columns = make([]columnWriter, len(schema.Columns))
	for i, c := range schema.Columns {
		w.columns[i].uniqueFrom = uniqueFrom
		if c.ID {
			w.columns[i].uniqueFrom = uniqueFromID
		}
	}
	w.texts = &textWriter{opts: w.opts, texts: schema.Texts, words: wordWriter{prints: w.opts.WordBits}}
	return w
}

// Rows returns the number of rows added.
func (w *Writer) Rows() int { return len(w.positions) }

// Add adds a row. It keeps nothing of the row's memory. A row that can't be stored is
// not added, and its error wraps ErrRow; other errors end the writing.
func (w *Writer) Add(r *Row) error {
	if w.err != nil {
		return w.err
	}
	if err := w.check(r); err != nil {
		return err
	}
	if w.schema.Texts > 0 {
		if w.err = w.texts.add(r.Texts); w.err != nil {
			return w.err
		}
	}
	n := len(w.positions)
	for i, v := range r.Values {
		w.columns[i].add(v, n)
		w.rawBytes += int64(len(v))
	}
	for _, s := range r.Texts {
		w.textBytes += int64(len(s))
	}
	w.positions = append(w.positions, r.Position)
	w.times = append(w.times, r.Time)
	w.records = append(w.records, r.Record)
	return nil
}

func (w *Writer) check(r *Row) error {
	n := len(w.positions)
	switch {
	case n == MaxRows:
		return fmt.Errorf("a segment of more than %d rows: %w", MaxRows, ErrRow)
	case n > 0 && r.Position <= w.positions[n-1]:
		return fmt.Errorf("position %d behind %d: %w", r.Position, w.positions[n-1], ErrRow)
	case len(r.Values) != len(w.schema.Columns) || len(r.Texts) != w.schema.Texts:
		return fmt.Errorf("a row of %d values and %d texts: %w", len(r.Values), len(r.Texts), ErrRow)
	}
	for i, v := range r.Values {
		if len(v) > MaxValue {
			return fmt.Errorf("a value of %d bytes in column %d: %w", len(v), i, ErrRow)
		}
	}
	size := 0
	for _, s := range r.Texts {
		size += len(s)
	}
	if size > MaxText {
		return fmt.Errorf("texts of %d bytes: %w", size, ErrRow)
	}
	return nil
}

// Finish writes the segment. The writer can't be used afterwards. Nothing is written
// if no rows were added, which is an error that wraps ErrRow.
func (w *Writer) Finish(out io.Writer) (Info, error) {
	if w.err != nil {
		return Info{}, w.err
	}
	n := len(w.positions)
	if n == 0 {
		return Info{}, fmt.Errorf("a segment of no rows: %w", ErrRow)
	}
	w.err = fmt.Errorf("the segment is finished: %w", ErrRow)
	info := Info{Schema: w.schema, Rows: n, RawBytes: w.rawBytes + w.textBytes, TextBytes: w.textBytes}
	o := newOutput(out)
	if err := w.writeTexts(o); err != nil {
		return Info{}, err
	}
	ordinalOf, rowOf := w.order()
	ordinal := func(row int) int { return row }
	if ordinalOf != nil {
		ordinal = func(row int) int { return int(ordinalOf[row]) }
	}
	d := orderData{
		rowOf: rowOf, ordinalOf: ordinalOf,
		times:     func(row int) int64 { return w.times[ordinal(row)] },
		records:   func(row int) int64 { return w.records[ordinal(row)] },
		positions: func(i int) uint64 { return w.positions[i] },
	}
	d.write(o, &info)
	infos := make([]columnInfo, len(w.columns))
	for i := range w.columns {
		c := w.columns[i].data(w.schema.Columns[i], n, ordinalOf)
		infos[i] = c.write(o, i, w.opts.ListShare)
		w.columns[i] = columnWriter{}
	}
	return o.finish(info, infos)
}

func (w *Writer) writeTexts(o *output) error {
	if w.schema.Texts == 0 {
		return nil
	}
	list, err := w.texts.finish()
	if err != nil {
		return err
	}
	o.section(sectionTextBlocks, 0, list.data)
	list.data = nil
	list.writeDirectory(o)
	w.texts.words.write(o)
	return o.err
}

// order returns the rows in order of time and position, and the inverse; nil if that
// is the order in which they were added.
func (w *Writer) order() (ordinalOf, rowOf []uint32) {
	if slices.IsSorted(w.times) {
		return nil, nil
	}
	ordinalOf = make([]uint32, len(w.times))
	for i := range ordinalOf {
		ordinalOf[i] = uint32(i)
	}
	slices.SortFunc(ordinalOf, func(a, b uint32) int {
		if c := cmp.Compare(w.times[a], w.times[b]); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	})
	return ordinalOf, inverse(ordinalOf)
}

// inverse returns the inverse of a permutation.
func inverse(p []uint32) []uint32 {
	q := make([]uint32, len(p))
	for i, v := range p {
		q[v] = uint32(i)
	}
	return q
}

// columnWriter collects the values of one column: as codes, and once they are seen to
// be nearly all different, as they are.
type columnWriter struct {
	uniqueFrom int
	last       string
	lastCode   uint32
	dict       map[string]uint32
	values     []string
	codes      []uint32 // of each ordinal; nil as long as there is one value
	listed     bool     // arena and ends are used instead
	arena      []byte
	ends       []uint64
}

// add adds the value of ordinal n.
func (c *columnWriter) add(v string, n int) {
	if c.listed {
		c.arena = append(c.arena, v...)
		c.ends = append(c.ends, uint64(len(c.arena)))
		return
	}
	if n > 0 && v == c.last {
		if c.codes != nil {
			c.codes = append(c.codes, c.lastCode)
		}
		return
	}
	if n == 0 {
		c.last = strings.Clone(v)
		c.dict, c.values = map[string]uint32{c.last: 0}, []string{c.last}
		return
	}
	if c.codes == nil {
		c.codes = make([]uint32, n, 2*n+64)
	}
	code, ok := c.dict[v]
	if !ok {
		code = uint32(len(c.values))
		v = strings.Clone(v)
		c.dict[v] = code
		c.values = append(c.values, v)
	}
	c.last, c.lastCode = c.values[code], code
	c.codes = append(c.codes, code)
	if n+1 >= c.uniqueFrom && (n+1)&n == 0 && len(c.values) > (n+1)/2 {
		c.list()
	}
}

// list turns codes into a list of values.
func (c *columnWriter) list() {
	c.listed = true
	c.ends = make([]uint64, 0, 2*len(c.codes))
	for _, code := range c.codes {
		c.arena = append(c.arena, c.values[code]...)
		c.ends = append(c.ends, uint64(len(c.arena)))
	}
	c.dict, c.values, c.codes = nil, nil, nil
}

// unlist turns a list of values back into codes.
func (c *columnWriter) unlist() {
	c.dict, c.codes = map[string]uint32{}, make([]uint32, len(c.ends))
	from := uint64(0)
	for i, end := range c.ends {
		v := c.arena[from:end]
		from = end
		code, ok := c.dict[string(v)]
		if !ok {
			code = uint32(len(c.values))
			c.values = append(c.values, string(v))
			c.dict[c.values[code]] = code
		}
		c.codes[i] = code
	}
}

// mostlyDistinct estimates whether a list has more different values than half of its
// length, by those of one of 16 hashes.
func mostlyDistinct(list valueList) bool {
	n := list.Len()
	shift := uint(4)
	if n < 1<<12 {
		shift = 0
	}
	seen := make(map[uint64]bool, n>>shift)
	var buf []byte
	for i := range n {
		buf = list.Append(buf[:0], i)
		if h := hash(buf); h>>8&mask(shift) == 0 {
			seen[h] = true
		}
	}
	return len(seen)<<shift > n/2
}

// data returns the column of n rows. The codes are no longer the writer's.
func (c *columnWriter) data(schema Column, n int, ordinalOf []uint32) columnData {
	if !c.listed && c.codes == nil {
		return columnData{schema: schema, kind: Const, constant: c.last}
	}
	if !c.listed && n < uniqueFrom && len(c.values) > n/2+1 {
		c.list()
	}
	if c.listed {
		list := &arenaList{c.arena, c.ends, ordinalOf}
		if mostlyDistinct(list) {
			return columnData{schema: schema, kind: Unique, values: list}
		}
		c.unlist()
	}
	order := make([]uint32, len(c.values))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return strings.Compare(c.values[a], c.values[b]) })
	values := make(stringList, len(order))
	for i, code := range order {
		values[i] = c.values[code]
	}
	rank := inverse(order)
	codes := make([]uint32, n)
	for row := range codes {
		ordinal := uint32(row)
		if ordinalOf != nil {
			ordinal = ordinalOf[row]
		}
		codes[row] = rank[c.codes[ordinal]]
	}
	return columnData{schema: schema, kind: Dict, values: values, codes: codes}
}

// arenaList is a valueList of values that were added one behind the other.
type arenaList struct {
	arena     []byte
	ends      []uint64
	ordinalOf []uint32
}

// Len returns the number of values.
func (l *arenaList) Len() int { return len(l.ends) }

// Append appends the value of a row.
func (l *arenaList) Append(dst []byte, row int) []byte {
	if l.ordinalOf != nil {
		row = int(l.ordinalOf[row])
	}
	from := uint64(0)
	if row > 0 {
		from = l.ends[row-1]
	}
	return append(dst, l.arena[from:l.ends[row]]...)
}
