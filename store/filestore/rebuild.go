package filestore

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// traceReader makes traces of rows. The traces are made of memory that nobody changes
// later; only the Trace itself is used again.
type traceReader struct {
	*readPlan
	s      *sealed
	texts  *segment.TextReader
	trace  cts.Trace
	begun  bool // trace has what is the same in all rows, and nothing but what the next row overwrites
	json   []byte
	bytes  []byte
	fields []filled
}

// readPlan is what there is to read of a row in a segment. It is made once.
type readPlan struct {
	fixed   []fixed
	reading []reading
	rest    *segment.ColumnReader // nil if there is no rest in the whole segment
}

// reading is a column that has different values in the segment.
type reading struct {
	column *segment.ColumnReader
	set    func(t *cts.Trace, v string)
	known  []atomic.Pointer[string] // the values that were read before, by code; nil if there are too many to keep
}

// maxKnown is the most values of a column that are kept once they are read, and
// maxKnownValue the most bytes of one.
const (
	maxKnown      = 1 << 12
	maxKnownValue = 64
)

// knownValue returns a value of a column that keeps them.
func (r *reading) knownValue(code uint32) string {
	if int(code) >= len(r.known) {
		return "" // bytes made to deceive
	}
	if v := r.known[code].Load(); v != nil {
		return *v
	}
	v := string(r.column.AppendValue(nil, code))
	if len(v) <= maxKnownValue {
		r.known[code].Store(&v)
	}
	return v
}

// fixed is a column that has one value in the whole segment, which is not "".
type fixed struct {
	value string
	set   func(t *cts.Trace, v string)
}

// filled is a value of the row that is being read, which ends at this place of bytes.
type filled struct {
	set func(t *cts.Trace, v string)
	end int
}

// Room that is enough for most traces.
const (
	firstJSON   = 2 << 10
	firstValues = 512
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
	if err := s.prepare(); err != nil {
		return nil, err
	}
	p := s.reading.Load()
	if p == nil {
		var err error
		if p, err = newReadPlan(s); err != nil {
			return nil, err
		}
		s.reading.Store(p)
	}
	return &traceReader{
		readPlan: p, s: s, texts: borrowTexts(), json: make([]byte, 0, firstJSON), bytes: make([]byte, 0, firstValues),
		fields: make([]filled, 0, len(p.reading)),
	}, nil
}

func newReadPlan(s *sealed) (*readPlan, error) {
	p := new(readPlan)
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
			p.fixed = append(p.fixed, fixed{constant, layout.columns[i].set})
		default:
			r := reading{column: c, set: layout.columns[i].set}
			if c.Kind() == segment.Dict && c.Len() <= maxKnown {
				r.known = make([]atomic.Pointer[string], c.Len())
			}
			p.reading = append(p.reading, r)
		}
	}
	return p, nil
}

// read returns the trace of a row with its JSON, which are valid until the next call.
// The trace is without its bodies if heads only are asked for.
func (r *traceReader) read(row uint32, heads bool) (*cts.Trace, []byte, error) {
	rest := restNone
	if r.rest != nil {
		r.bytes = r.rest.AppendValue(r.bytes[:0], r.rest.Code(row))
		rest = string(r.bytes)
	}
	var texts [][]byte
	if !heads || rest != restNone {
		var err error
		if texts, err = r.s.bodies(row, r.texts); err != nil {
			return nil, nil, err
		}
	}
	if rest == restRaw {
		return r.raw(row, string(texts[textRest]), heads)
	}
	r.head(row)
	t := &r.trace
	if rest == restJSON {
		left, err := cts.ParseTrace(texts[textRest])
		if err != nil {
			return nil, nil, r.s.lostRow(row, errNotTrace) // the cause may quote the record
		}
		addRest(t, left)
		r.begun = false
	}
	if !heads {
		t.Request, t.Response, t.Message = bodies(texts)
	}
	r.json = t.AppendJSON(r.json[:0])
	return t, r.json, nil
}

// bodies returns the texts that heads are without, in one piece of memory.
func bodies(texts [][]byte) (request, response, message string) {
	a, b := len(texts[textRequest]), len(texts[textResponse])
	all := make([]byte, 0, a+b+len(texts[textMessage]))
	all = append(append(append(all, texts[textRequest]...), texts[textResponse]...), texts[textMessage]...)
	s := view0(all) // nobody writes to it any more
	return s[:a], s[a : a+b], s[a+b:]
}

// head fills the trace from the columns.
func (r *traceReader) head(row uint32) {
	if !r.begun {
		r.trace, r.begun = cts.Trace{}, true
		for i := range r.fixed {
			r.fixed[i].set(&r.trace, r.fixed[i].value)
		}
	}
	r.trace.Time, r.trace.RecordTime = r.s.time(row), r.s.record(row)
	r.bytes, r.fields = r.bytes[:0], r.fields[:0]
	for i := range r.reading {
		c := &r.reading[i]
		code := c.column.Code(row)
		if c.known != nil {
			c.set(&r.trace, c.knownValue(code))
			continue
		}
		r.bytes = c.column.AppendValue(r.bytes, code)
		r.fields = append(r.fields, filled{c.set, len(r.bytes)})
	}
	values, start := string(r.bytes), 0
	for _, f := range r.fields {
		f.set(&r.trace, values[start:f.end])
		start = f.end
	}
}

// raw returns a trace that is kept as its JSON.
func (r *traceReader) raw(row uint32, json string, heads bool) (*cts.Trace, []byte, error) {
	t, err := cts.ParseTrace([]byte(json))
	if err != nil {
		return nil, nil, r.s.lostRow(row, errNotTrace)
	}
	r.trace, r.begun = *t, false
	if heads {
		r.trace.Request, r.trace.Response, r.trace.Message = "", "", ""
		r.json = r.trace.AppendJSON(r.json[:0])
		return &r.trace, r.json, nil
	}
	return &r.trace, []byte(json), nil
}

// lostRow returns the error for a row that can't be read.
func (s *sealed) lostRow(row uint32, err error) *cts.CorruptionError {
	pos := s.position(row)
	return s.lost(pos, pos, fmt.Errorf("a trace can't be read: %w", err))
}
