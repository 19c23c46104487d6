package filestore

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// traceReader makes traces of rows. What their texts point to is memory that nobody
// changes later; only the Trace itself is used again.
type traceReader struct {
	*readPlan
	s     *sealed
	texts *segment.TextReader // borrowed when the first text is read
	trace *cts.Trace
	begun bool   // trace has what is the same in all rows, and else nothing but what codes say
	bytes []byte // the texts of the last rows, which share it
	room  int    // size of the next piece of memory for texts
	json  []byte
	route cts.Route
	traceRoom
}

// traceRoom is the memory of a reader that can be used for the next one.
type traceRoom struct {
	row   []byte   // the texts of one row, until their length is known
	codes []uint32 // of the row that trace has
	next  []uint32 // room for those of the next row
	fresh []freshValue
}

// kept returns what of the room is worth keeping.
func (r *traceReader) kept() traceRoom {
	room := r.traceRoom
	clear(room.fresh[:cap(room.fresh)])
	if cap(room.row) > maxRoom {
		room.row = nil
	}
	return room
}

// readPlan is what there is to read of a row in a segment. It is made once.
type readPlan struct {
	blank    cts.Trace // what is the same in all rows
	reading  []reading
	rowCodes segment.RowCodes      // of reading
	rest     *segment.ColumnReader // nil if there is no rest in the whole segment
	parts    []part                // of the JSON of a row

	tracker, service *reading // nil if it is the same in all rows, as in blank
}

// reading is a column that has different values in the segment.
type reading struct {
	known []atomic.Pointer[string] // the values that were read before, by code; nil if there are too many to keep
	column
	values *segment.ColumnReader
	kept   atomic.Int64 // bytes that known and parts keep
}

// freshValue is a value of the row that is being read, which ends at this place of bytes.
type freshValue struct {
	of  *column
	end int
}

// maxKnown is the most values that a column may have for those to be kept that were read,
// and maxKept the most bytes that are kept of it.
const (
	maxKnown  = 1 << 12
	maxKept   = 128 << 10
	keptExtra = 40 // bytes of keeping a text, beside it
)

// knownValue returns a value of a column if it is kept.
func (r *reading) knownValue(code uint32) (string, bool) {
	if int(code) >= len(r.known) {
		return "", false // too many, or bytes made to deceive
	}
	if v := r.known[code].Load(); v != nil {
		return *v, true
	}
	if r.kept.Load() >= maxKept {
		return "", false
	}
	v := string(r.values.AppendValue(nil, code))
	return v, keep(&r.known[code], v, &r.kept)
}

// keep keeps a text if it is not too long to do so.
func keep(at *atomic.Pointer[string], v string, kept *atomic.Int64) bool {
	if len(v) > maxKept/64 {
		return false
	}
	kept.Add(int64(len(v)) + keptExtra)
	at.Store(&v)
	return true
}

// Texts of several rows share a piece of memory: of a few rows if few are read, and of
// little enough that one text which the caller keeps does not hold on to much.
const (
	firstRoom = 1 << 10
	mostRoom  = 8 << 10
	rowRoom   = 512 // that is there before a row is read
)

// textReaders holds the memory for reading texts of runs that are over. Nothing that a
// run yields points into it.
var textReaders = sync.Pool{New: func() any { return new(segment.TextReader) }}

func borrowTexts() *segment.TextReader {
	r, _ := textReaders.Get().(*segment.TextReader)
	return r
}

// close gives up the reader. What it read last stays as it is.
func (r *traceReader) close() {
	returnTexts(r.texts)
	r.texts = nil
}

// returnTexts takes back what borrowTexts gave.
func returnTexts(r *segment.TextReader) {
	if r != nil && r.Forget() <= maxRoom {
		textReaders.Put(r)
	}
}

func newTraceReader(s *sealed) (*traceReader, error) {
	r := new(traceReader)
	if err := r.begin(s); err != nil {
		return nil, err
	}
	return r, nil
}

// begin makes r a reader of a segment.
func (r *traceReader) begin(s *sealed) error {
	if err := s.prepare(); err != nil {
		return err
	}
	p := s.reading.Load()
	if p == nil {
		var err error
		if p, err = newReadPlan(s); err != nil {
			return err
		}
		s.reading.Store(p)
	}
	r.readPlan, r.s, r.room = p, s, firstRoom
	n := len(p.reading)
	r.codes, r.next = slices.Grow(r.codes[:0], n)[:n], slices.Grow(r.next[:0], n)[:n]
	return nil
}

func newReadPlan(s *sealed) (*readPlan, error) {
	p := &readPlan{reading: make([]reading, 0, len(layout.columns))} // as long as it will be: there are pointers to it
	readings := make(map[string]*reading, len(layout.columns))
	var columns []*segment.ColumnReader
	for i := range layout.schema.Columns {
		c, err := s.column(i, segment.Values)
		if err != nil {
			return nil, err
		}
		constant := ""
		if c != nil && c.Kind() == segment.Const {
			constant = string(c.AppendValue(nil, 0))
		}
		switch {
		case c == nil || c.Kind() == segment.Const && constant == "":
		case i == len(layout.columns):
			p.rest = c
		case c.Kind() == segment.Const:
			layout.columns[i].set(&p.blank, constant)
			readings[layout.columns[i].name] = &reading{column: layout.columns[i], values: c}
		default:
			p.reading, columns = append(p.reading, reading{column: layout.columns[i], values: c}), append(columns, c)
			r := &p.reading[len(p.reading)-1]
			if c.Kind() == segment.Dict && c.Len() <= maxKnown {
				r.known = make([]atomic.Pointer[string], c.Len())
			}
			readings[r.name] = r
		}
	}
	p.rowCodes = segment.NewRowCodes(columns)
	p.parts = partsOf(readings)
	p.tracker, p.service = varying(readings["tracker_name"]), varying(readings["service_type"])
	return p, nil
}

// varying returns r, and nil if it is the same in all rows.
func varying(r *reading) *reading {
	if r == nil || r.values.Kind() == segment.Const {
		return nil
	}
	return r
}

// kindOfRest returns which rest a row has.
func (r *traceReader) kindOfRest(row uint32) string {
	if r.rest == nil {
		return restNone
	}
	var room [8]byte
	switch string(r.rest.AppendValue(room[:0], r.rest.Code(row))) {
	case restJSON:
		return restJSON
	case restRaw:
		return restRaw
	}
	return restNone
}

// read returns the trace of a row, without its bodies if heads only are asked for. It is
// valid until the next call. If the stored JSON is not what the trace's AppendJSON
// writes, it is returned too, unless heads are asked for.
func (r *traceReader) read(row uint32, heads bool) (*cts.Trace, []byte, error) {
	return r.readAt(row, r.s.time(row), heads)
}

// readAt is read of a row whose time is known.
func (r *traceReader) readAt(row uint32, time int64, heads bool) (*cts.Trace, []byte, error) {
	if r.trace == nil {
		r.trace = new(cts.Trace)
	}
	rest := r.kindOfRest(row)
	if rest == restRaw {
		return r.raw(row, heads)
	}
	r.head(row, time)
	if heads && rest == restNone {
		return r.trace, nil, nil
	}
	var texts [textCount]uint32
	var err error
	if r.row, texts, err = r.appendTexts(r.row[:0], row); err != nil {
		return nil, nil, err
	}
	t, all := r.trace, r.settle()
	if !heads {
		a, b, c := texts[textRequest], texts[textResponse], texts[textMessage]
		t.Request, t.Response, t.Message = all[:a], all[a:b], all[b:c]
	}
	if rest == restJSON {
		left, err := cts.ParseTrace([]byte(all[texts[textRest-1]:texts[textRest]]))
		if err != nil {
			return nil, nil, r.s.lostRow(row, errNotTrace) // the cause may quote the record
		}
		addRest(t, left)
		r.begun = false
	}
	return t, nil, nil
}

// settle returns the texts of row in memory that nobody writes to any more.
func (r *traceReader) settle() string {
	if len(r.row) > mostRoom/2 {
		all := r.row
		r.row = nil
		return view0(all)
	}
	r.reserve(len(r.row))
	start := len(r.bytes)
	r.bytes = append(r.bytes, r.row...)
	return view0(r.bytes[start:])
}

// reserve makes room for more texts behind those that share bytes.
func (r *traceReader) reserve(n int) {
	if cap(r.bytes)-len(r.bytes) < n || cap(r.bytes) > 2*mostRoom {
		r.bytes = make([]byte, 0, max(r.room, n))
		r.room = min(2*r.room, mostRoom)
	}
}

// appendTexts appends the texts of a row to dst, and returns where each ends, counted
// from the first.
func (r *traceReader) appendTexts(dst []byte, row uint32) (_ []byte, ends [textCount]uint32, err error) {
	start := uint32(len(dst))
	if r.texts == nil {
		r.texts = borrowTexts()
	}
	dst, all, err := r.s.texts.Load().Append(dst, r.s.order.Load().Ordinal(row), r.texts)
	switch {
	case err != nil:
		return dst, ends, r.s.lostRow(row, err)
	case len(all) < textCount:
		return dst, ends, r.s.lostRow(row, errTexts)
	}
	for i := range ends {
		ends[i] = all[i] - start
	}
	return dst, ends, nil
}

// head fills the trace from the columns. What the row before had, too, stays: neighbours
// in a trail have most in common.
func (r *traceReader) head(row uint32, time int64) {
	again := r.begun
	if !again {
		*r.trace = r.blank
	}
	r.begun = false // until all is there: reading may fault in between
	t := r.trace
	t.Time, t.RecordTime = time, time+r.s.order.Load().Late(row)
	r.reserve(rowRoom)
	r.rowCodes.Read(r.next, row)
	start := len(r.bytes)
	r.fresh = r.fresh[:0]
	for i, code := range r.next {
		if again && code == r.codes[i] {
			continue
		}
		c := &r.reading[i]
		if v, ok := c.knownValue(code); ok {
			c.put(t, v)
			continue
		}
		r.bytes = c.values.AppendValue(r.bytes, code)
		r.fresh = append(r.fresh, freshValue{&c.column, len(r.bytes)})
	}
	for _, f := range r.fresh {
		f.of.put(t, view0(r.bytes[start:f.end])) // nobody writes to it any more
		start = f.end
	}
	r.codes, r.next, r.begun = r.next, r.codes, true
}

// put sets the column's field of a trace.
func (c *column) put(t *cts.Trace, v string) {
	if c.form == formText {
		*(*string)(unsafe.Add(unsafe.Pointer(t), c.offset)) = v
		return
	}
	c.set(t, v)
}

// raw returns a trace that is kept as its JSON.
func (r *traceReader) raw(row uint32, heads bool) (*cts.Trace, []byte, error) {
	all, texts, err := r.appendTexts(nil, row) // the caller may have it
	if err != nil {
		return nil, nil, err
	}
	json := all[texts[textRest-1]:texts[textRest]]
	t, err := cts.ParseTrace(json)
	if err != nil {
		return nil, nil, r.s.lostRow(row, errNotTrace)
	}
	*r.trace, r.begun = *t, false
	if heads {
		t = r.trace
		t.Request, t.Response, t.Message = "", "", ""
		json = nil
	}
	return r.trace, json, nil
}

// lostRow returns the error for a row that can't be read.
func (s *sealed) lostRow(row uint32, err error) *cts.CorruptionError {
	pos := s.position(row)
	return s.lost(pos, pos, fmt.Errorf("a trace can't be read: %w", err))
}
