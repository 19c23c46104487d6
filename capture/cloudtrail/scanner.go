package cloudtrail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/cloudtraceservice/cts"
)

// maxDepth bounds the nesting of JSON values, and so the stack of the scanner. A
// trace must be able to hold an event one level deeper.
const maxDepth = 128

// chunk is how much is read at a time.
const chunk = 64 << 10

// scanner reads strict JSON (RFC 8259) from a stream, or from a text if in is nil.
// Of the stream it holds one chunk, and what was read since index from, if that is
// not negative; beyond max bytes it stops holding that and notes it in over.
type scanner struct {
	in    io.Reader
	buf   []byte
	i     int   // index in buf of the next byte
	base  int64 // offset of buf[0]
	line  int   // of the next byte, from 1
	bol   int64 // offset at which that line begins
	from  int
	max   int
	depth int
	eof   bool  // the stream has ended
	err   error // what ended it instead
}

// textScanner returns a scanner of the text from index i on.
func textScanner(text []byte, i int) *scanner {
	return &scanner{buf: text, i: i, line: 1, from: -1}
}

func (s *scanner) offset() int64 { return s.base + int64(s.i) }

// place returns where the next byte stands, as the beginning of an error.
func (s *scanner) place() cts.ParseError {
	return cts.ParseError{Offset: s.offset(), Line: s.line, Column: int(s.offset()-s.bol) + 1}
}

func (s *scanner) fail(reason string) error {
	e := s.place()
	e.Reason = reason
	return &e
}

// ended returns the error for a text that ends here, too early.
func (s *scanner) ended() error {
	if s.in == nil || s.eof {
		return s.fail("the text ends in the middle of a value")
	}
	return s.broken()
}

// broken returns the error of the stream with its place.
func (s *scanner) broken() error {
	p := s.place()
	return fmt.Errorf("cloudtrail: reading stopped at line %d, column %d (offset %d): %w", p.Line, p.Column, p.Offset, s.err)
}

// more reads on, when all of buf was taken, and reports whether there is a byte.
func (s *scanner) more() bool {
	if s.in == nil || s.eof || s.err != nil {
		return false
	}
	if s.from >= 0 && s.i-s.from > s.max {
		s.from = -1
	}
	keep := s.i
	if s.from >= 0 {
		keep = s.from
		s.from = 0
	}
	s.buf = s.buf[:copy(s.buf, s.buf[keep:])]
	s.i -= keep
	s.base += int64(keep)
	if cap(s.buf)-len(s.buf) < chunk/2 {
		bigger := make([]byte, len(s.buf), 2*cap(s.buf)+chunk)
		copy(bigger, s.buf)
		s.buf = bigger
	}
	for range 100 {
		n, err := s.in.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+n]
		switch {
		case err == io.EOF:
			s.eof = true
		case err != nil:
			s.err = err
		}
		if n > 0 || err != nil {
			return n > 0
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// look returns the next byte without taking it, 0 and false at the end.
func (s *scanner) look() (byte, bool) {
	if s.i == len(s.buf) && !s.more() {
		return 0, false
	}
	return s.buf[s.i], true
}

// peek is look behind white space. Only there are line breaks: a string has none.
func (s *scanner) peek() (byte, bool) {
	for {
		c, ok := s.look()
		switch {
		case !ok:
			return 0, false
		case c == '\n':
			s.i++
			s.line++
			s.bol = s.offset()
		case c == ' ', c == '\t', c == '\r':
			s.i++
		default:
			return c, true
		}
	}
}

// value reads any value.
func (s *scanner) value() error {
	c, ok := s.peek()
	switch {
	case !ok:
		return s.ended()
	case c == '{':
		return s.list('}', s.pair)
	case c == '[':
		return s.list(']', s.value)
	case c == '"':
		return s.str()
	case c == '-', c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	}
	return s.fail("expected a value")
}

// list reads an array or object, whose opening bracket is next, and calls each for
// its elements or members, which each must read.
func (s *scanner) list(closing byte, each func() error) error {
	if s.depth++; s.depth > maxDepth {
		return s.fail(fmt.Sprintf("nested deeper than %d", maxDepth))
	}
	s.i++
	for first := true; ; first = false {
		c, ok := s.peek()
		switch {
		case !ok:
			return s.ended()
		case c == closing && first:
			s.i++
			s.depth--
			return nil
		}
		if err := each(); err != nil {
			return err
		}
		if c, ok = s.peek(); !ok {
			return s.ended()
		}
		switch c {
		case closing:
			s.i++
			s.depth--
			return nil
		case ',':
			s.i++
		default:
			return s.fail("expected ',' or '" + string(closing) + "'")
		}
	}
}

// pair reads a member of an object.
func (s *scanner) pair() error {
	if err := s.key(); err != nil {
		return err
	}
	return s.value()
}

// key reads the name of a member and the colon.
func (s *scanner) key() error {
	if c, ok := s.peek(); !ok {
		return s.ended()
	} else if c != '"' {
		return s.fail("expected the name of a member")
	}
	if err := s.str(); err != nil {
		return err
	}
	if c, ok := s.peek(); !ok {
		return s.ended()
	} else if c != ':' {
		return s.fail("expected ':' behind the name of a member")
	}
	s.i++
	return nil
}

// name is key, and returns the name: "" for one that is too long to be held.
func (s *scanner) name() (string, error) {
	if _, ok := s.peek(); !ok {
		return "", s.ended()
	}
	held := s.from >= 0
	if !held {
		s.from = s.i
	}
	at := s.i - s.from
	err := s.key()
	name := ""
	if err == nil && s.from >= 0 {
		raw := s.buf[s.from+at : s.i]
		name = decode(raw[:bytes.LastIndexByte(raw, '"')+1])
	}
	if !held {
		s.from = -1
	}
	return name, err
}

// str reads a string, whose quote is next.
func (s *scanner) str() error {
	s.i++
	for {
		c, ok := s.look()
		switch {
		case !ok:
			return s.ended()
		case c == '"':
			s.i++
			return nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		case c < ' ':
			return s.fail("control character in a string")
		default:
			i := s.i + 1
			for i < len(s.buf) && s.buf[i] >= ' ' && s.buf[i] != '"' && s.buf[i] != '\\' {
				i++
			}
			s.i = i
		}
	}
}

func (s *scanner) escape() error {
	s.i++
	c, ok := s.look()
	switch {
	case !ok:
		return s.ended()
	case bytes.IndexByte([]byte(`"\/bfnrt`), c) >= 0:
		s.i++
		return nil
	case c != 'u':
		return s.fail("bad escape in a string")
	}
	s.i++
	for range 4 {
		c, ok := s.look()
		switch {
		case !ok:
			return s.ended()
		case c >= '0' && c <= '9', c|0x20 >= 'a' && c|0x20 <= 'f':
			s.i++
		default:
			return s.fail("bad escape in a string")
		}
	}
	return nil
}

func (s *scanner) number() error {
	s.take("-")
	if !s.take("0") && !s.digits() {
		return s.malformed()
	}
	if s.take(".") && !s.digits() {
		return s.malformed()
	}
	if s.take("eE") {
		s.take("+-")
		if !s.digits() {
			return s.malformed()
		}
	}
	if c, ok := s.look(); ok && c >= '0' && c <= '9' {
		return s.malformed()
	}
	return nil
}

func (s *scanner) malformed() error {
	if _, ok := s.look(); !ok {
		return s.ended()
	}
	return s.fail("malformed number")
}

// take takes the next byte if it is one of chars.
func (s *scanner) take(chars string) bool {
	c, ok := s.look()
	if !ok || bytes.IndexByte([]byte(chars), c) < 0 {
		return false
	}
	s.i++
	return true
}

func (s *scanner) digits() bool {
	n := 0
	for s.take("0123456789") {
		n++
	}
	return n > 0
}

func (s *scanner) word(word string) error {
	for i := range len(word) {
		c, ok := s.look()
		if !ok {
			return s.ended()
		}
		if c != word[i] {
			return s.fail("expected " + word)
		}
		s.i++
	}
	return nil
}

// decode returns what a JSON string, which is well formed, says. Invalid UTF-8 and
// lone surrogates become U+FFFD.
func decode(raw []byte) string {
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	var v string
	if json.Unmarshal(raw, &v) != nil {
		return ""
	}
	return v
}
