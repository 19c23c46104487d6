package segment

import (
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Merge writes one segment that holds the rows of several, which must be given in
// order of their positions and must not overlap. Columns are matched by name; what a
// segment doesn't have is "" in its rows. A column is one to find values in, or an ID,
// if the last segment that has it says so. Texts are copied as they are compressed.
// Options may be nil; those about texts have no effect. Memory is in proportion to the
// number of rows and to the values of one column for each worker, not to the texts; with
// more workers than one, columns that are made wait for those before. The error is a *Damage if a segment is damaged; what was written until then is no segment.
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
	infos, err := m.writeColumns(o)
	if err != nil {
		return Info{}, err
	}
	return o.finish(m.info, infos)
}

// fewRows is up to how many rows columns that are made may wait in memory for those before.
const fewRows = 1 << 21

// writeColumns writes all columns, in their order. As many as there are workers are made
// at a time.
func (m *merger) writeColumns(o *output) ([]columnInfo, error) {
	columns := m.info.Schema.Columns
	infos := make([]columnInfo, len(columns))
	results := make([]chan func() (*builtColumn, error), len(columns))
	var workers sync.WaitGroup
	var ended atomic.Bool // those that have not begun need not
	defer func() {
		ended.Store(true)
		workers.Wait()
	}()
	turns := make(chan struct{}, m.opts.Workers)
	start := func(i int) {
		results[i] = make(chan func() (*builtColumn, error), 1)
		workers.Go(func() {
			turns <- struct{}{}
			if !ended.Load() {
				results[i] <- m.build(columns[i])
			}
			<-turns
		})
	}
	ahead := m.opts.Workers
	if ahead > 1 && m.info.Rows <= fewRows {
		ahead *= 8 // one that takes long does not keep the others from being made
	}
	for i := range min(ahead, len(columns)) {
		start(i)
	}
	for i := range columns {
		built, err := (<-results[i])()
		if err != nil {
			return nil, err
		}
		if next := i + ahead; next < len(columns) {
			start(next)
		}
		infos[i] = built.write(o, i)
		if o.err != nil {
			return nil, o.err
		}
	}
	return infos, nil
}

// build makes a column, and returns what tells how that went. A fault of the memory that
// is read, of a file that is mapped, becomes one of the goroutine that asks for that.
func (m *merger) build(schema Column) (result func() (*builtColumn, error)) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			result = func() (*builtColumn, error) { panic(fault) } //nolint:forbidigo // it was one already
		}
	}()
	var built *builtColumn
	data, err := m.column(schema)
	if err == nil {
		m.opts.yield()
		built, err = data.build(m.opts.ListShare)
	}
	m.opts.yield()
	return func() (*builtColumn, error) { return built, err }
}

// merger is one merge. Rows of all segments are counted through, "global", in order of
// the segments.
type merger struct {
	opts   Options
	segs   []*Segment
	orders []orderCursor
	bases  []int // global number of the first row of each segment, and of the end
	info   Info
	source []uint32 // global row of each row; nil if they are the same
	near   []uint32 // segment of each global row that is a multiple of nearRows
}

const nearRows = 256

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
		m.orders = append(m.orders, newOrderCursor(o))
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
	for s, g := 0, 0; g < m.info.Rows; g += nearRows {
		for g >= m.bases[s+1] {
			s++
		}
		m.near = append(m.near, uint32(s))
	}
	m.mergeTimes()
	return m.info.Schema.validate()
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
	s := int(m.near[global/nearRows])
	for global >= m.bases[s+1] {
		s++
	}
	return s
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
	case unique > m.info.Rows/2:
		var list valueList = &mergedList{m, readers}
		distinct := list
		if keys := newMergedKeys(m, readers); keys != nil {
			list, distinct = keys, keyList{keys}
		}
		if mostlyDistinct(distinct) {
			return &columnData{schema: schema, kind: Unique, values: list}, nil
		}
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
