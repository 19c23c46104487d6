package jsontext

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"unicode/utf8"
	"unsafe"
)

// Room is memory for reading strings that have escapes. The zero Room is ready to use;
// Free gives its memory back for others.
type Room struct{ b *[]byte }

var rooms = sync.Pool{New: func() any { return new([]byte) }}

// Free gives the memory back.
func (r *Room) Free() {
	if r.b != nil {
		rooms.Put(r.b)
		r.b = nil
	}
}

func (r *Room) bytes(n int) []byte {
	if r.b == nil {
		r.b, _ = rooms.Get().(*[]byte)
	}
	if len(*r.b) < n {
		*r.b = make([]byte, n)
	}
	return *r.b
}

// ReadString reads the string that begins with the quote at i of s, if it is spelled
// exactly as AppendString writes it. It returns its value, which shares the memory of s
// if it has no escapes, and the index behind it; false if there is no such string.
func ReadString(s string, i int, room *Room) (v string, next int, ok bool) {
	if i >= len(s) || s[i] != '"' {
		return "", i, false
	}
	from := i + 1
	at, end := plain(s, from)
	if end {
		return s[from:at], at + 1, true
	}
	b := room.bytes(len(s) - from + slack)
	n, next, ok := readEscaped(b, s, from, at)
	if !ok {
		return "", next, false
	}
	return string(b[:n]), next, true
}

// ReadStringIn is ReadString of a value that is written to b if it has escapes, and then
// shares its memory; used is how many bytes of b it takes. There must be RoomFor as many
// bytes as s has from i on.
func ReadStringIn(b []byte, s string, i int) (v string, used, next int, ok bool) {
	if i >= len(s) || s[i] != '"' {
		return "", 0, i, false
	}
	from := i + 1
	at, end := plain(s, from)
	if end {
		return s[from:at], 0, at + 1, true
	}
	n, next, ok := readEscaped(b, s, from, at)
	if !ok {
		return "", 0, next, false
	}
	return unsafe.String(unsafe.SliceData(b), n), n, next, true
}

// RoomFor returns how much memory ReadStringIn needs for the strings of a text of n bytes,
// one behind the other.
func RoomFor(n int) int { return n + slack }

// plain returns the index of the first byte from i on that is not of a character that
// stands for itself, and whether that is a quote.
func plain(s string, i int) (at int, end bool) {
	for {
		for ; i+8 <= len(s); i += 8 {
			if m := special(load64(s, i)); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
		}
		if i == len(s) {
			return i, false
		}
		switch b := s[i]; {
		case b == '"':
			return i, true
		case b < utf8.RuneSelf && escapes[b]>>56 == 1:
			i++
		case b >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
				return i, false
			}
			i += size
		default:
			return i, false
		}
	}
}

// readEscaped goes on with a string that begins at from and has no plain character at i,
// and puts the n bytes that it stands for into b. They are never more than its spelling.
func readEscaped(b []byte, s string, from, i int) (n, next int, ok bool) {
	n = copy(b, s[from:i])
	for i < len(s) {
		if i+8 <= len(s) {
			w := load64(s, i)
			binary.LittleEndian.PutUint64(b[n:n+8], w)
			m := special(w)
			if m == 0 {
				n += 8
				i += 8
				continue
			}
			skip := bits.TrailingZeros64(m) >> 3
			n += skip
			i += skip
		}
		switch s[i] {
		case '"':
			return n, i + 1, true
		case '\\':
			if i+1 < len(s) && s[i+1] == '"' { // most are
				b[n] = '"'
				n++
				i += 2
				continue
			}
			r, size := escape(s[i:])
			if size == 0 {
				return 0, i, false
			}
			n += utf8.EncodeRune(b[n:], r)
			i += size
		default:
			end, _ := plain(s, i)
			if end == i {
				return 0, i, false
			}
			n += copy(b[n:], s[i:end])
			i = end
		}
	}
	return 0, i, false
}

// escape returns the character that the escape at the beginning of s stands for, and how
// long the escape is; 0 for one that AppendString does not write.
func escape(s string) (r rune, size int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\':
		return rune(s[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	if len(s) < 6 {
		return 0, 0
	}
	switch s[:6] {
	case `\u2028`:
		return '\u2028', 6
	case `\u2029`:
		return '\u2029', 6
	}
	if c := digit(s[4])<<4 | digit(s[5]); s[:4] == `\u00` && c < utf8.RuneSelf {
		if e := escapes[c]; e>>56 == 6 && s[:6] == escapeText(e) {
			return rune(c), 6
		}
	}
	return 0, 0
}

// digit returns the value of a lower-case hexadecimal digit, something beyond ASCII for
// all else.
func digit(c byte) uint {
	switch {
	case '0' <= c && c <= '9':
		return uint(c - '0')
	case 'a' <= c && c <= 'f':
		return uint(c-'a') + 10
	}
	return utf8.RuneSelf
}

// escapeText returns an escape of six bytes of the table.
func escapeText(e uint64) string {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], e)
	return string(b[:6])
}
