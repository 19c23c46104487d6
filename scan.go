package cts

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ParseError says what is wrong with a text that should be a trace, and where.
type ParseError struct {
	Offset int64  // bytes before the place
	Line   int    // line of the place, from 1
	Column int    // byte in that line, from 1
	Field  string // JSON name of the member it belongs to, "" outside of any
	Reason string // what is wrong
}

// Error implements error.
func (e *ParseError) Error() string {
	where := fmt.Sprintf("line %d, column %d (offset %d)", e.Line, e.Column, e.Offset)
	if e.Field != "" {
		return fmt.Sprintf("cts: %s: member %q: %s", where, e.Field, e.Reason)
	}
	return fmt.Sprintf("cts: %s: %s", where, e.Reason)
}

// Unwrap makes every ParseError an [ErrInvalidTrace].
func (e *ParseError) Unwrap() error { return ErrInvalidTrace }

// maxDepth bounds the nesting of JSON values, and so the stack of the scanner.
const maxDepth = 256

// scanner reads strict JSON (RFC 8259) from a string. Strings without escapes are
// returned as parts of it, so that a trace is parsed with one allocation for its
// text and few more.
type scanner struct {
	s     string
	i     int
	depth int
	room  []byte // for strings with escapes, one after another
}

func (s *scanner) fail(at int, format string, args ...any) error {
	before := s.s[:min(at, len(s.s))]
	line := strings.Count(before, "\n")
	return &ParseError{
		Offset: int64(at), Line: line + 1, Column: at - strings.LastIndexByte(before, '\n'),
		Reason: fmt.Sprintf(format, args...),
	}
}

// found names the byte at i for an error message.
func (s *scanner) found() string {
	if s.i >= len(s.s) {
		return "end of text"
	}
	r, _ := utf8.DecodeRuneInString(s.s[s.i:])
	return strconv.QuoteRune(r)
}

func (s *scanner) space() {
	for s.i < len(s.s) {
		switch s.s[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.i < len(s.s) {
		return s.s[s.i]
	}
	return 0
}

func (s *scanner) expect(c byte) error {
	if s.peek() != c {
		return s.fail(s.i, "expected %q, found %s", c, s.found())
	}
	s.i++
	return nil
}

// end reports whether nothing but white space is left.
func (s *scanner) end() error {
	if s.space(); s.i < len(s.s) {
		return s.fail(s.i, "unexpected %s after the end", s.found())
	}
	return nil
}

func (s *scanner) enter() error {
	if s.depth++; s.depth > maxDepth {
		return s.fail(s.i, "nested deeper than %d", maxDepth)
	}
	return nil
}

// object reads an object and calls member for each, with the scanner at its value,
// which member must read.
func (s *scanner) object(member func(name string) error) error {
	if err := s.expect('{'); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	if s.peek() == '}' {
		s.i++
		return nil
	}
	for {
		name, err := s.str()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		s.space()
		if err := member(name); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.i++
		case '}':
			s.i++
			return nil
		default:
			return s.fail(s.i, "expected ',' or '}' after a member, found %s", s.found())
		}
	}
}

// array reads an array and calls item for each element, which item must read.
func (s *scanner) array(item func() error) error {
	if err := s.expect('['); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	if s.peek() == ']' {
		s.i++
		return nil
	}
	for {
		s.space()
		if err := item(); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.i++
		case ']':
			s.i++
			return nil
		default:
			return s.fail(s.i, "expected ',' or ']' after an element, found %s", s.found())
		}
	}
}

const (
	ones  = 0x0101010101010101
	low7  = 0x7f * ones
	highs = 0x80 * ones
)

func load64(s string, i int) uint64 {
	s = s[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// breaks has the high bit set in exactly the bytes of w that end a run of a JSON
// string's plain bytes: '"', '\\' and control characters. See special.
func breaks(w uint64) uint64 {
	v := w & low7
	printable := v + 0x60*ones
	notQuote := v ^ '"'*ones + low7
	notBackslash := v ^ '\\'*ones + low7
	return ^(printable&notQuote&notBackslash | w) & highs
}

// str reads a string. Invalid UTF-8 and lone surrogates become U+FFFD.
func (s *scanner) str() (string, error) {
	if s.peek() != '"' {
		return "", s.fail(s.i, "expected a string, found %s", s.found())
	}
	from := s.i + 1
	i, beyond := from, uint64(0) // beyond: whether something is not ASCII
	for ; i+8 <= len(s.s); i += 8 {
		w := load64(s.s, i)
		beyond |= w
		if m := breaks(w); m != 0 {
			i += bits.TrailingZeros64(m) >> 3
			break
		}
	}
	for ; i < len(s.s); i++ {
		switch c := s.s[i]; {
		case c == '"':
			s.i = i + 1
			return valid(s.s[from:i], beyond&highs == 0), nil
		case c == '\\':
			return s.strEscaped(from, i)
		case c < 0x20:
			return "", s.fail(i, "control character in a string")
		default:
			beyond |= uint64(c)
		}
	}
	return "", s.fail(from-1, "string without an end")
}

// valid returns text with every invalid byte replaced by U+FFFD.
func valid(text string, ascii bool) string {
	if ascii || utf8.ValidString(text) {
		return text
	}
	return string([]rune(text))
}

// strEscaped goes on with a string whose first escape is at i. What it stands for is
// never longer than its spelling.
func (s *scanner) strEscaped(from, i int) (string, error) {
	if most := len(s.s) - from + 8; len(s.room) < most {
		s.room = make([]byte, most)
	}
	b := s.room
	n := copy(b, s.s[from:i])
	for i < len(s.s) {
		if i+8 <= len(s.s) {
			w := load64(s.s, i)
			binary.LittleEndian.PutUint64(b[n:n+8], w)
			m := breaks(w)
			if m == 0 {
				n += 8
				i += 8
				continue
			}
			plain := bits.TrailingZeros64(m) >> 3
			n += plain
			i += plain
		}
		switch c := s.s[i]; {
		case c == '"':
			s.i = i + 1
			return valid(string(b[:n]), false), nil
		case c < 0x20:
			return "", s.fail(i, "control character in a string")
		case c != '\\':
			b[n] = c
			n++
			i++
		default:
			more, next, ok := unescape(b[:n], s.s, i)
			if !ok {
				return "", s.fail(i, "bad escape in a string")
			}
			n, i = len(more), next
		}
	}
	return "", s.fail(from-1, "string without an end")
}

// unescape appends what the escape at i stands for and returns the index behind it.
func unescape(b []byte, s string, i int) ([]byte, int, bool) {
	if i+1 >= len(s) {
		return b, i, false
	}
	switch c := s[i+1]; c {
	case '"', '\\', '/':
		return append(b, c), i + 2, true
	case 'b':
		return append(b, '\b'), i + 2, true
	case 'f':
		return append(b, '\f'), i + 2, true
	case 'n':
		return append(b, '\n'), i + 2, true
	case 'r':
		return append(b, '\r'), i + 2, true
	case 't':
		return append(b, '\t'), i + 2, true
	case 'u':
		r, ok := hex4(s, i+2)
		if !ok {
			return b, i, false
		}
		i += 6
		if utf16.IsSurrogate(r) {
			low, ok := rune(0), false
			if i+1 < len(s) && s[i] == '\\' && s[i+1] == 'u' {
				low, ok = hex4(s, i+2)
			}
			if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
				return utf8.AppendRune(b, pair), i + 6, true
			}
			r = utf8.RuneError
		}
		return utf8.AppendRune(b, r), i, true
	}
	return b, i, false
}

func hex4(s string, i int) (rune, bool) {
	if i+4 > len(s) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[i : i+4]) {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// number reads a JSON number and returns its text.
func (s *scanner) number() (string, error) {
	s.space()
	from := s.i
	digits := func() bool {
		start := s.i
		for s.i < len(s.s) && s.s[s.i] >= '0' && s.s[s.i] <= '9' {
			s.i++
		}
		return s.i > start
	}
	if s.i < len(s.s) && s.s[s.i] == '-' {
		s.i++
	}
	if s.i >= len(s.s) || s.s[s.i] < '0' || s.s[s.i] > '9' {
		return "", s.fail(s.i, "expected a number, found %s", s.found())
	}
	zero := s.s[s.i] == '0'
	whole := s.i
	if digits(); zero && s.i > whole+1 {
		return "", s.fail(from, "malformed number")
	}
	if s.i < len(s.s) && s.s[s.i] == '.' {
		if s.i++; !digits() {
			return "", s.fail(from, "malformed number")
		}
	}
	if s.i < len(s.s) && s.s[s.i]|0x20 == 'e' {
		s.i++
		if s.i < len(s.s) && (s.s[s.i] == '+' || s.s[s.i] == '-') {
			s.i++
		}
		if !digits() {
			return "", s.fail(from, "malformed number")
		}
	}
	return s.s[from:s.i], nil
}

func (s *scanner) word(w string) bool {
	if strings.HasPrefix(s.s[s.i:], w) {
		s.i += len(w)
		return true
	}
	return false
}

// skip reads any value, checking it.
func (s *scanner) skip() error {
	switch c := s.peek(); {
	case c == '{':
		return s.object(func(string) error { return s.skip() })
	case c == '[':
		return s.array(s.skip)
	case c == '"':
		_, err := s.str()
		return err
	case c == '-' || c >= '0' && c <= '9':
		_, err := s.number()
		return err
	case s.word("true"), s.word("false"), s.word("null"):
		return nil
	}
	return s.fail(s.i, "expected a value, found %s", s.found())
}

// compact reads any value and appends it in canonical form.
func (s *scanner) compact(dst []byte) ([]byte, error) {
	switch c := s.peek(); {
	case c == '{':
		dst = append(dst, '{')
		first := true
		err := s.object(func(name string) (err error) {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(appendString(dst, name), ':')
			dst, err = s.compact(dst)
			return err
		})
		return append(dst, '}'), err
	case c == '[':
		dst = append(dst, '[')
		first := true
		err := s.array(func() (err error) {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst, err = s.compact(dst)
			return err
		})
		return append(dst, ']'), err
	case c == '"':
		v, err := s.str()
		return appendString(dst, v), err
	}
	s.space()
	from := s.i
	err := s.skip()
	return append(dst, s.s[from:s.i]...), err
}
