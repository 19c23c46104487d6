package segment

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
)

// Writer collects rows in memory and writes them as a segment. It is for one
// goroutine at a time.
type Writer struct {
	schema    Schema
	opts      Options
	err       error
	columns   []columnWriter
	last      []string // value of each column in the last row
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
	w.columns, w.last = make([]columnWriter, len(schema.Columns)), make([]string, len(schema.Columns))
	seed := maphash.MakeSeed()
	for i, c := range schema.Columns {
		w.columns[i] = columnWriter{values: valueSet{seed: seed}, spare: valueSet{seed: seed}, id: c.ID}
	}
	w.texts = &textWriter{texts: schema.Texts}
	w.Reset(opts)
	return w
}

// Reset makes w a writer as NewWriter does, of the same schema, whatever became of what
// it wrote before. It keeps the memory of that, which is a few times as much as the
// segment had, and, for a segment with the same dictionary, what was made of that.
func (w *Writer) Reset(opts *Options) {
	w.opts, w.err = opts.withDefaults()
	if err := w.schema.validate(); err != nil {
		w.err = err
	}
	for i := range w.columns {
		w.columns[i].reset()
	}
	clear(w.last)
	w.positions, w.times, w.records = w.positions[:0], w.times[:0], w.records[:0]
	w.rawBytes, w.textBytes = 0, 0
	w.texts.reset(w.opts)
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
		if v != w.last[i] || n == 0 {
			w.last[i] = w.columns[i].change(v, n)
		}
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

// Finish writes the segment. The writer can't be used afterwards but for Reset. Nothing
// is written if no rows were added, which is an error that wraps ErrRow.
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
		built, err := c.build(w.opts.ListShare)
		if err != nil {
			return Info{}, err
		}
		infos[i] = built.write(o, i)
		w.opts.yield()
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
