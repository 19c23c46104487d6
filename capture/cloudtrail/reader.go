package cloudtrail

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/cloudtraceservice/cts"
)

// Options adjust a [Reader]. Nil and the zero value have the defaults.
type Options struct {
	// MaxEventBytes is the most bytes that the text of one event may have; a
	// longer one is reported and passed over. CloudTrail's own limit is 256 KiB.
	// Default: 1 MiB.
	MaxEventBytes int
}

// Reader reads events from a CloudTrail log file and maps them to traces.
//
// The text is plain or gzip (RFC 1952, of one or more members), which is told by
// its first two bytes. In it are objects {"Records":[…]}, arrays of events, or just
// events, one per line or one behind the other, compact or indented; they may be
// mixed and arrays may hold objects with Records. An object is one with Records if
// it has such a member and that is an array; its other members are passed over. A
// UTF-8 byte order mark at the beginning is passed over too.
//
// Memory is bounded by the largest event, whatever the length of the file and of
// what stands between the events. A Reader is for one goroutine.
type Reader struct {
	source io.Reader
	scan   scanner
	frames []frame

	err      error // what ended the file
	complete bool  // it ended where it should
}

// frame is an array or an object with Records that the reader is inside of.
type frame struct {
	closing byte // ']' or '}'
	begun   bool // something in it was read, so that a comma is due
}

// NewReader returns a Reader that reads from r, from the first call of Next on; nil
// options are the defaults. It reads ahead.
func NewReader(r io.Reader, opts *Options) *Reader {
	limit := cts.MaxTraceBytes
	if opts != nil && opts.MaxEventBytes > 0 {
		limit = opts.MaxEventBytes
	}
	return &Reader{source: r, scan: scanner{line: 1, from: -1, max: limit}}
}

// Next returns the next event as a trace, or [io.EOF] after the last.
//
// Places in errors are of the text, after decompression. A [*cts.ParseError] about
// one event (see [Map]; too long; not an object) leaves the reader behind that
// event, and a later call goes on. After a [*cts.ParseError] about the JSON itself
// the reader can't know where the next event begins: like an error of the
// underlying reader, which is wrapped, or of the compression, it ends the file and
// later calls return it again. [Reader.Ended] tells the two apart.
func (r *Reader) Next() (*cts.Trace, error) {
	if r.scan.in == nil && r.err == nil {
		r.err = r.open()
	}
	for r.err == nil {
		t, err := r.step()
		if t != nil || err != nil {
			return t, err
		}
	}
	return nil, r.err
}

// All yields the events up to the end of the file, and errors about single events
// between them. An error that ends the file is the last step.
func (r *Reader) All() iter.Seq2[*cts.Trace, error] {
	return func(yield func(*cts.Trace, error) bool) {
		for {
			t, err := r.Next()
			if r.complete || !yield(t, err) || r.err != nil {
				return
			}
		}
	}
}

// Ended reports whether the file has been read to its end, or up to an error behind
// which nothing can be read.
func (r *Reader) Ended() bool { return r.err != nil }

// open finds out what the file is.
func (r *Reader) open() error {
	in := bufio.NewReaderSize(r.source, chunk)
	r.scan.in = in
	if head, _ := in.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			r.scan.err = err
			return r.scan.broken()
		}
		r.scan.in = z
	}
	const mark = "\ufeff"
	n := 0
	for ; n < len(mark); n++ {
		if c, ok := r.scan.look(); !ok || c != mark[n] {
			break
		}
		r.scan.i++
	}
	if n > 0 && n < len(mark) {
		return &cts.ParseError{Line: 1, Column: 1, Reason: "expected a value"}
	}
	return nil
}

// step reads one event, or into or out of an array or an object with Records. An
// error that ends the file is in r.err too.
func (r *Reader) step() (*cts.Trace, error) {
	s := &r.scan
	c, ok := s.peek()
	if len(r.frames) == 0 {
		if !ok {
			return nil, r.end()
		}
		return r.element(c)
	}
	f := &r.frames[len(r.frames)-1]
	switch {
	case !ok:
		return nil, r.stop(s.ended())
	case c == f.closing:
		s.i++
		r.frames = r.frames[:len(r.frames)-1]
		return nil, nil
	case f.begun && c != ',':
		return nil, r.stop(s.fail("expected ',' or '" + string(f.closing) + "'"))
	case f.begun:
		s.i++
		if c, ok = s.peek(); !ok {
			return nil, r.stop(s.ended())
		}
	}
	f.begun = true
	if f.closing == '}' {
		return nil, r.member()
	}
	return r.element(c)
}

func (r *Reader) end() error {
	if r.scan.err != nil {
		return r.stop(r.scan.broken())
	}
	r.complete = true
	return r.stop(io.EOF)
}

func (r *Reader) stop(err error) error {
	r.err = err
	return err
}

// enter goes into the array that is next.
func (r *Reader) enter() error {
	r.scan.i++
	r.frames = append(r.frames, frame{closing: ']'})
	if len(r.frames) > maxDepth {
		return r.stop(r.scan.fail(fmt.Sprintf("nested deeper than %d", maxDepth)))
	}
	return nil
}

// member reads a further member of an object with Records.
func (r *Reader) member() error {
	name, err := r.scan.name()
	if err != nil {
		return r.stop(err)
	}
	if c, _ := r.scan.peek(); c == '[' && name == records {
		return r.enter()
	}
	if err := r.scan.value(); err != nil {
		return r.stop(err)
	}
	return nil
}

const records = "Records"

// element reads what stands where an event should be, beginning with c.
func (r *Reader) element(c byte) (*cts.Trace, error) {
	s := &r.scan
	switch c {
	case '[':
		return nil, r.enter()
	case '{':
		return r.object()
	}
	place := s.place()
	if err := s.value(); err != nil {
		return nil, r.stop(err)
	}
	place.Reason = "an event is an object, and this is none"
	return nil, &place
}

var errRecords = errors.New("the object has Records")

// object reads an event, or an object with Records up to these.
func (r *Reader) object() (*cts.Trace, error) {
	s := &r.scan
	place := s.place()
	s.from = s.i
	err := s.list('}', func() error {
		name, err := s.name()
		if err != nil {
			return err
		}
		if c, _ := s.peek(); c == '[' && name == records {
			return errRecords
		}
		return s.value()
	})
	held, from := s.from >= 0 && s.i-s.from <= s.max, s.from
	s.from = -1
	switch {
	case errors.Is(err, errRecords):
		s.depth--
		r.frames = append(r.frames, frame{closing: '}', begun: true})
		return nil, r.enter()
	case err != nil:
		return nil, r.stop(err)
	case !held:
		place.Reason = fmt.Sprintf("the event has more than %d bytes", s.max)
		return nil, &place
	}
	t, err := Map(s.buf[from:s.i])
	return t, shift(err, place)
}

// shift moves the place of an error in an event to that in the file.
func shift(err error, event cts.ParseError) error {
	var e *cts.ParseError
	if errors.As(err, &e) {
		e.Offset += event.Offset
		if e.Line == 1 {
			e.Column += event.Column - 1
		}
		e.Line += event.Line - 1
	}
	return err
}
