package cts

import (
	"errors"
	"fmt"
	"io"
)

// The functions of this file move a Decoder over its text. They check only what
// they need to find the end of a value; the parser of the trace checks the rest.

// peek passes over white space and returns the next byte without taking it.
func (d *Decoder) peek() (byte, error) {
	for {
		c, err := d.look()
		if err != nil {
			return 0, err
		}
		if !isSpace(c) && !(c == 0xEF && d.byteOrderMark()) {
			return c, nil
		}
		d.next()
	}
}

// byteOrderMark passes over all but the last byte of a UTF-8 byte order mark at the
// beginning of the stream.
func (d *Decoder) byteOrderMark() bool {
	if b, err := d.in.Peek(3); d.at.offset != 0 || err != nil || string(b) != "\ufeff" {
		return false
	}
	d.next()
	d.next()
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func (d *Decoder) look() (byte, error) {
	b, err := d.in.Peek(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// next passes over the byte that look returned.
func (d *Decoder) next() byte {
	c, _ := d.in.ReadByte()
	d.at.offset++
	if d.at.column++; c == '\n' {
		d.at.line++
		d.at.column = 1
	}
	return c
}

// take takes the byte that look returned into the text of the trace.
func (d *Decoder) take() {
	c := d.next()
	if len(d.buf) < d.opts.MaxTraceBytes {
		d.buf = append(d.buf, c)
	} else {
		d.over = true
	}
}

// takeSpace takes white space and returns the byte behind it without taking it.
func (d *Decoder) takeSpace() (byte, error) {
	for {
		c, err := d.look()
		if err != nil || !isSpace(c) {
			return c, err
		}
		d.take()
	}
}

// takeValue takes one value.
func (d *Decoder) takeValue() error {
	depth := 0
	for {
		c, err := d.takeSpace()
		if err != nil {
			return d.unexpectedEnd(err)
		}
		switch c {
		case '"':
			err = d.takeString()
		case '{', '[':
			depth++
			d.take()
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return d.fail("expected a value, found %q", c)
			}
			d.take()
		case ',', ':':
			if depth == 0 {
				return d.fail("expected a value, found %q", c)
			}
			d.take()
			continue
		default:
			err = d.takeScalar()
		}
		if err != nil {
			return err
		}
		if depth == 0 {
			return nil
		}
	}
}

func (d *Decoder) takeString() error {
	d.take()
	for {
		d.takeRun()
		c, err := d.look()
		if err != nil {
			return d.unexpectedEnd(err)
		}
		d.take()
		switch c {
		case '"':
			return nil
		case '\\':
			if _, err := d.look(); err != nil {
				return d.unexpectedEnd(err)
			}
			d.take()
		}
	}
}

// takeRun takes what the reader has at hand up to a quote, backslash or line break.
func (d *Decoder) takeRun() {
	b, err := d.in.Peek(d.in.Buffered())
	if err != nil {
		return
	}
	n := 0
	for n < len(b) && b[n] != '"' && b[n] != '\\' && b[n] != '\n' {
		n++
	}
	room := d.opts.MaxTraceBytes - len(d.buf)
	d.over = d.over || n > room
	d.buf = append(d.buf, b[:min(n, room)]...)
	d.at.offset += int64(n)
	d.at.column += n
	_, _ = d.in.Discard(n) // they are there
}

// takeScalar takes a number or word up to what may follow one.
func (d *Decoder) takeScalar() error {
	for {
		c, err := d.look()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return d.unexpectedEnd(err)
		}
		switch c {
		case ',', ':', '}', ']', '{', '[', '"', ' ', '\n', '\t', '\r':
			return nil
		}
		d.take()
	}
}

func (d *Decoder) fail(format string, args ...any) error {
	return &ParseError{Offset: d.at.offset, Line: d.at.line, Column: d.at.column, Reason: fmt.Sprintf(format, args...)}
}

// unexpectedEnd turns the end of the stream into an error with a place.
func (d *Decoder) unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return d.fail("the text ends in the middle of a value")
	}
	return fmt.Errorf("cts: reading traces at offset %d: %w", d.at.offset, err)
}
