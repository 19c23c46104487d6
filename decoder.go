package cts

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// DecoderOptions adjust a [Decoder]. The zero value has the defaults.
type DecoderOptions struct {
	// MaxTraceBytes is the most bytes that the text of one trace may have; a
	// longer one is reported and passed over. Default: MaxTraceBytes.
	MaxTraceBytes int

	// TrustExt takes an "ext" that has the form of [Ext] as such. It is right
	// for trace files that this module wrote. For anything else an "ext" is what
	// a stranger claims, and goes to [Ext.Foreign]. Default: false.
	TrustExt bool
}

// Decoder reads traces from the JSON that CTS writes, now and in the past, and that
// this module writes: one trace; several, one per line or just one after another;
// arrays, as in trace files; the envelopes {"traces": […]} of the API and {"cts": {…}}
// of FunctionGraph. A stream may mix them. An object that has trace_id, trace_name or
// time before "traces" is a trace and no envelope, whatever it claims to carry.
//
// It accepts times in six spellings (milliseconds; nanoseconds as text;
// "2016/12/08 11:07:28 GMT+08:00", the same with '-', and with the month first;
// RFC 3339), a user that is an object, a string with its JSON or a broken or plain
// string, codes and other texts that are numbers or objects, and trace_status for
// trace_rating.
//
// Memory is bounded by the largest trace, whatever the length of the stream. A
// Decoder is for one goroutine.
type Decoder struct {
	in     *bufio.Reader
	opts   DecoderOptions
	frames []frame
	at     place
	from   place  // of the first byte of buf
	buf    []byte // text of the trace at hand, byte for byte
	over   bool   // the text is longer than allowed and no longer collected
	err    error  // what ended the stream
}

// place is where the next byte stands.
type place struct {
	offset       int64
	line, column int
}

// frame is an array or an envelope that the decoder is inside of.
type frame struct {
	envelope bool
	begun    bool // something in it was read, so that a comma is due
}

// NewDecoder returns a Decoder that reads from r; nil options are the defaults.
func NewDecoder(r io.Reader, opts *DecoderOptions) *Decoder {
	d := &Decoder{in: bufio.NewReaderSize(r, 64<<10), at: place{line: 1, column: 1}}
	if opts != nil {
		d.opts = *opts
	}
	if d.opts.MaxTraceBytes <= 0 {
		d.opts.MaxTraceBytes = MaxTraceBytes
	}
	return d
}

// Next returns the next trace, or [io.EOF] after the last. A [*ParseError] about
// the content of one trace (a time that can't be read, a member that occurs twice)
// leaves the decoder behind that trace; a later call goes on. An error in the JSON
// itself, or of the reader, ends the stream and is returned again by later calls.
func (d *Decoder) Next() (*Trace, error) {
	for d.err == nil {
		found, err := d.step()
		if err != nil {
			d.err = err
			break
		}
		if found {
			return d.parse()
		}
	}
	return nil, d.err
}

// All yields the traces up to the end, and errors about single traces between them.
// An error that ends the stream is the last step.
func (d *Decoder) All() iter.Seq2[*Trace, error] {
	return func(yield func(*Trace, error) bool) {
		for {
			t, err := d.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(t, err) || d.err != nil {
				return
			}
		}
	}
}

var errOversize = errors.New("the text of the trace is too long")

func (d *Decoder) parse() (*Trace, error) {
	start := d.from
	if d.over {
		return nil, &ParseError{
			Offset: start.offset, Line: start.line, Column: start.column,
			Reason: fmt.Sprintf("%v: more than %d bytes", errOversize, d.opts.MaxTraceBytes),
		}
	}
	p := traceParser{scanner: scanner{s: string(d.buf)}, t: new(Trace), tolerant: true, trustExt: d.opts.TrustExt}
	err := p.trace()
	if err == nil {
		return p.t, nil
	}
	var pe *ParseError
	if errors.As(err, &pe) {
		pe.Offset += start.offset
		if pe.Line == 1 {
			pe.Column += start.column - 1
		}
		pe.Line += start.line - 1
	}
	return nil, err
}

// step reads up to the end of one trace, and reports true, or into or out of an
// array or envelope.
func (d *Decoder) step() (bool, error) {
	c, err := d.peek()
	if len(d.frames) == 0 {
		if err != nil {
			if errors.Is(err, io.EOF) {
				return false, io.EOF // between values it is the end
			}
			return false, d.unexpectedEnd(err)
		}
		return d.value(c)
	}
	if err != nil {
		return false, d.unexpectedEnd(err)
	}
	f := &d.frames[len(d.frames)-1]
	closing := byte(']')
	if f.envelope {
		closing = '}'
	}
	if c == closing {
		d.next()
		d.frames = d.frames[:len(d.frames)-1]
		return false, nil
	}
	if f.begun {
		if c != ',' {
			return false, d.fail("expected ',' or %q, found %q", closing, c)
		}
		d.next()
		if c, err = d.peek(); err != nil {
			return false, d.unexpectedEnd(err)
		}
	}
	f.begun = true
	if f.envelope {
		return d.envelopeMember()
	}
	return d.value(c)
}

// value reads an array's beginning or an object.
func (d *Decoder) value(c byte) (bool, error) {
	switch c {
	case '[':
		d.next()
		return false, d.push(frame{})
	case '{':
		return d.object()
	}
	return false, d.fail("expected '{' or '[', found %q", c)
}

func (d *Decoder) push(f frame) error {
	d.frames = append(d.frames, f)
	if len(d.frames) > maxDepth {
		return d.fail("nested deeper than %d", maxDepth)
	}
	return nil
}

// object collects the text of one object, unless it turns out to be an envelope.
func (d *Decoder) object() (bool, error) {
	d.from = d.at
	d.buf, d.over = d.buf[:0], false
	d.take()
	trace := false
	for first := true; ; first = false {
		c, err := d.takeSpace()
		if err != nil {
			return false, d.unexpectedEnd(err)
		}
		if c == '}' && first {
			d.take()
			return true, nil
		}
		name, c, err := d.memberName(c)
		if err != nil {
			return false, err
		}
		trace = trace || name == "trace_id" || name == "trace_name" || name == "time"
		if c == '[' && name == "traces" && !trace || c == '{' && name == "cts" && first {
			if err := d.push(frame{envelope: true, begun: true}); err != nil {
				return false, err
			}
			return d.value(c)
		}
		if err := d.takeValue(); err != nil {
			return false, err
		}
		switch c, err = d.takeSpace(); {
		case err != nil:
			return false, d.unexpectedEnd(err)
		case c == '}':
			d.take()
			return true, nil
		case c != ',':
			return false, d.fail("expected ',' or '}' after a member, found %q", c)
		}
		d.take()
	}
}

// envelopeMember reads one further member of an envelope: its list of traces, or
// something else, which is passed over.
func (d *Decoder) envelopeMember() (bool, error) {
	d.from = d.at
	d.buf, d.over = d.buf[:0], false
	c, err := d.takeSpace()
	if err != nil {
		return false, d.unexpectedEnd(err)
	}
	name, c, err := d.memberName(c)
	if err != nil {
		return false, err
	}
	if c == '[' && name == "traces" {
		return d.value(c)
	}
	return false, d.takeValue()
}

// memberName takes a member's name and colon and returns the name and the byte with
// which its value begins.
func (d *Decoder) memberName(c byte) (string, byte, error) {
	if c != '"' {
		return "", 0, d.fail("expected the name of a member, found %q", c)
	}
	from := len(d.buf)
	if err := d.takeValue(); err != nil {
		return "", 0, err
	}
	name := ""
	if !d.over {
		name = strings.Trim(string(d.buf[from:]), `"`)
	}
	c, err := d.takeSpace()
	if err != nil {
		return "", 0, d.unexpectedEnd(err)
	}
	if c != ':' {
		return "", 0, d.fail("expected ':' after the name of a member, found %q", c)
	}
	d.take()
	if c, err = d.takeSpace(); err != nil {
		return "", 0, d.unexpectedEnd(err)
	}
	return name, c, nil
}
