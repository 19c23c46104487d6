package filestore

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// errSegment is for traces whose segment is damaged.
var errSegment = errors.New("the segment is damaged")

// sealed is a segment that is open. It is immutable and safe for concurrent use.
type sealed struct {
	segment *segment.Segment
	info    segmentInfo
	mapping *vfs.Mapping
	columns []int // of each column of the layout the index in the segment, -1 if it has none

	order atomic.Pointer[segment.Order] // set by prepare, like texts
	texts atomic.Pointer[segment.Texts]

	reading atomic.Pointer[readPlan] // set by newTraceReader
}

// openSealed maps a segment and checks its header and footer. Damage is a
// [*cts.CorruptionError].
func openSealed(dir directory, info segmentInfo) (*sealed, error) {
	name := segmentName(info.number)
	f, err := dir.fs.OpenFile(dir.path(name), os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, info.damage(0, fmt.Errorf("%w: the file is gone", errSegment))
	}
	if err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	s := &sealed{info: info}
	stat, err := f.Stat()
	if err == nil && stat.Size() != info.bytes {
		err = errors.Join(info.damage(min(stat.Size(), info.bytes), fmt.Errorf("%w: its size is wrong", errSegment)), f.Close())
		return nil, err
	}
	if err == nil {
		s.mapping, err = vfs.Map(f, info.bytes)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("filestore: %s: %w", name, err)
	}
	if s.segment, err = segment.Open(name, s.mapping.Bytes()); err == nil {
		err = s.check()
	}
	if err != nil {
		return nil, errors.Join(s.damaged(err), s.mapping.Close())
	}
	s.nameColumns()
	return s, nil
}

// nameColumns finds the columns of the layout in the segment.
func (s *sealed) nameColumns() {
	s.columns = make([]int, len(layout.schema.Columns))
	schema := s.segment.Info().Schema
	for i, c := range layout.schema.Columns {
		s.columns[i] = schema.Index(c.Name)
	}
}

// check compares the segment with what the manifest says of it.
func (s *sealed) check() error {
	i := s.segment.Info()
	if i.Rows != s.info.rows || i.FirstPosition < uint64(s.info.first) || i.LastPosition > uint64(s.info.last) ||
		i.MinTime != s.info.minTime || i.MaxTime != s.info.maxTime {
		return errors.New("it is not the segment that the manifest names")
	}
	return nil
}

// Close unmaps the segment.
func (s *sealed) Close() error { return s.mapping.Close() }

func (i segmentInfo) damage(offset int64, err error) *cts.CorruptionError {
	return &cts.CorruptionError{File: segmentName(i.number), Offset: offset, First: i.first, Last: i.last, Err: err}
}

// damaged returns the error for damage that takes the whole segment along.
func (s *sealed) damaged(err error) *cts.CorruptionError {
	return s.lost(s.info.first, s.info.last, err)
}

// lost returns the error for damage that takes some of the segment's traces along.
func (s *sealed) lost(first, last cts.Position, err error) *cts.CorruptionError {
	d := s.info.damage(0, fmt.Errorf("%w: %w", errSegment, err))
	d.First, d.Last = first, last
	var where *segment.Damage
	if errors.As(err, &where) {
		d.Offset = where.Offset
	}
	return d
}

// prepare verifies what every way of reading the segment needs. It is called before any
// of the methods that read.
func (s *sealed) prepare() error {
	if s.texts.Load() != nil {
		return nil
	}
	order, err := s.segment.Order()
	if err != nil {
		return s.damaged(err)
	}
	texts, err := s.segment.Texts()
	if err != nil {
		return s.damaged(err)
	}
	s.order.Store(order)
	s.texts.Store(texts)
	return nil
}

// time returns the time of a row, record its record_time, position its position.
func (s *sealed) time(row uint32) int64            { return s.order.Load().Time(row) }
func (s *sealed) record(row uint32) int64          { return s.order.Load().Record(row) }
func (s *sealed) position(row uint32) cts.Position { return cts.Position(s.order.Load().Position(row)) }

// place returns the place of a row in the order of queries.
func (s *sealed) place(row uint32) place {
	o := s.order.Load()
	return place{o.Time(row), cts.Position(o.Position(row))}
}

// searchTime returns the first row whose time is at least t.
func (s *sealed) searchTime(t int64) int { return s.order.Load().SearchTime(t) }

// bodies returns the texts of a row.
func (s *sealed) bodies(row uint32, r *segment.TextReader) ([][]byte, error) {
	texts, err := s.texts.Load().Read(s.order.Load().Ordinal(row), r)
	if err != nil {
		return nil, s.lostRow(row, err)
	}
	if len(texts) < textCount {
		return nil, s.lostRow(row, errTexts)
	}
	return texts, nil
}

var errTexts = errors.New("it has fewer texts than a trace")

// column returns a column of the layout, nil if the segment has none: all of its rows
// have "" then.
func (s *sealed) column(i int, parts segment.Parts) (*segment.ColumnReader, error) {
	at := s.columns[i]
	if at < 0 {
		return nil, nil
	}
	c, err := s.segment.Column(at, parts)
	if err != nil {
		return nil, s.damaged(err)
	}
	return c, nil
}

// find returns the row of the trace with an id. It reads nothing but the ids.
func (s *sealed) find(id string) (row uint32, ok bool, err error) {
	at := layout.byName["trace_id"]
	c, err := s.column(at, segment.Filter)
	if err != nil || c == nil || !c.MayContain(id) {
		return 0, false, err
	}
	if c, err = s.column(at, segment.Values|segment.Lookup); err != nil {
		return 0, false, err
	}
	if rows, ok := c.Rows(id); ok {
		return rows.At(0), rows.Len() > 0, nil
	}
	code, ok := c.Find(id) // so few rows, or so many with one id, that none are listed
	for row = 0; ok && int(row) < s.info.rows; row++ {
		if c.Code(row) == code {
			return row, true, nil
		}
	}
	return 0, false, nil
}

// guarded calls f and turns a fault of the mapping, which is a page that the disk can't
// give or a file that somebody cut, into damage.
func (s *sealed) guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(interface {
				error
				Addr() uintptr
			})
			if !ok {
				panic(r) //nolint:forbidigo // a fault of the code, which is not to be taken for one of the disk
			}
			err = s.damaged(fmt.Errorf("reading it failed: %w", fault))
		}
	}()
	return f()
}
