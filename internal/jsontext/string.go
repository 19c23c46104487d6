// Package jsontext writes JSON strings fast, and reads those that it wrote.
package jsontext

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf8"
)

const (
	ones  = 0x0101010101010101
	low7  = 0x7f * ones
	highs = 0x80 * ones
)

// special has the high bit set in exactly the bytes of w that can't stand in a
// JSON string as they are: control characters, '"', '\\', '<', '>', '&' and
// everything beyond ASCII.
//
// Each sum below sets the high bit of the bytes that pass its test and carries
// nothing into the next byte, for the bytes have seven bits.
func special(w uint64) uint64 {
	v := w & low7
	printable := v + 0x60*ones
	notQuoteOrAmp := (v | 0x04*ones) ^ '&'*ones + low7 // '"' differs from '&' in bit 2 only
	notAngle := (v | 0x02*ones) ^ '>'*ones + low7      // '<' differs from '>' in bit 1 only
	notBackslash := v ^ '\\'*ones + low7
	return (^(printable & notQuoteOrAmp & notAngle & notBackslash) | w) & highs
}

func load64(s string, i int) uint64 {
	s = s[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// escapes holds what each ASCII character becomes in a JSON string, the first byte
// lowest, and in the highest byte how many bytes that is.
var escapes = func() (table [utf8.RuneSelf]uint64) {
	const hex = "0123456789abcdef"
	for c := range table {
		text := string(rune(c))
		switch short := strings.IndexByte("\"\\\b\f\n\r\t", byte(c)); {
		case short >= 0:
			text = "\\" + `"\bfnrt`[short:short+1]
		case c < ' ' || c == '<' || c == '>' || c == '&':
			text = `\u00` + hex[c>>4:c>>4+1] + hex[c&15:c&15+1]
		}
		for i := range len(text) {
			table[c] |= uint64(text[i]) << (8 * i)
		}
		table[c] |= uint64(len(text)) << 56
	}
	return table
}()

// slack is the room that AppendString keeps beyond the bytes it still has to copy:
// eight bytes may become six each, and it stores eight at a time.
const slack = 8*6 + 8

// AppendString appends s as a JSON string and returns the extended slice. It writes what
// encoding/json writes: HTML characters are escaped, and invalid UTF-8 becomes \ufffd.
// It allocates nothing but room in dst, and nothing at all when dst has some 100 bytes
// more than the string needs. What the capacity of dst holds behind the result may be
// overwritten.
//
// It copies eight bytes at a time, whatever they are, and moves up those from a
// quote or backslash on: JSON text inside a JSON string, which is what requests and
// responses are, has one every few bytes.
func AppendString(dst []byte, s string) []byte {
	n := len(dst) + 1
	if cap(dst) < n+len(s)+slack {
		dst = grow(dst, 1+len(s)+len(s)/4+slack)
	}
	dst = dst[:cap(dst)]
	dst[n-1] = '"'
	i := 0
	for len(s)-i >= 8 {
		w := load64(s, i)
		binary.LittleEndian.PutUint64(dst[n:n+8], w)
		m := special(w)
		if m == 0 {
			n += 8
			i += 8
			continue
		}
		if others(w, m) {
			dst, n, i = appendEscaped(dst, n, s, i)
			continue
		}
		for ; m != 0; m &= m - 1 {
			shift := uint(bits.TrailingZeros64(m)) &^ 7 & 63
			at := n + int(shift>>3)
			dst[at] = '\\'
			binary.LittleEndian.PutUint64(dst[at+1:at+9], w>>shift)
			n++
		}
		n += 8
		i += 8
		dst = room(dst, n, len(s)-i)
	}
	for i < len(s) {
		if c := s[i]; c < utf8.RuneSelf {
			e := escapes[c]
			binary.LittleEndian.PutUint64(dst[n:n+8], e)
			n += int(e >> 56)
			i++
			continue
		}
		dst, n, i = appendEscaped(dst, n, s, i)
	}
	return append(dst[:n], '"')
}

// others reports whether the bytes of w marked in m are not all '"' or '\\'.
func others(w, m uint64) bool {
	notQuote := (w & low7) ^ '"'*ones + low7
	notBackslash := (w & low7) ^ '\\'*ones + low7
	return (notQuote&notBackslash|w)&m != 0
}

// appendEscaped puts at least one character of s from i into dst at n.
func appendEscaped(dst []byte, n int, s string, i int) (_ []byte, _, _ int) {
	if c := s[i]; c < utf8.RuneSelf {
		e := escapes[c]
		binary.LittleEndian.PutUint64(dst[n:n+8], e)
		n += int(e >> 56)
		i++
	} else {
		r, size := utf8.DecodeRuneInString(s[i:])
		n += putRune(dst[n:], r, size)
		i += size
	}
	return room(dst, n, len(s)-i), n, i
}

// room returns dst with room for left bytes and slack behind its first n.
func room(dst []byte, n, left int) []byte {
	if len(dst)-n < left+slack {
		dst = grow(dst[:n], left+left/4+slack)
		dst = dst[:cap(dst)]
	}
	return dst
}

// grow makes room for n more bytes.
func grow(dst []byte, n int) []byte {
	bigger := make([]byte, len(dst), max(len(dst)+n, 2*cap(dst)))
	copy(bigger, dst)
	return bigger
}

// putRune puts a character beyond ASCII, of the given size in the text, into dst and
// returns how many bytes it takes.
func putRune(dst []byte, r rune, size int) int {
	switch {
	case r == utf8.RuneError && size == 1:
		return copy(dst, `\ufffd`)
	case r == '\u2028':
		return copy(dst, `\u2028`)
	case r == '\u2029':
		return copy(dst, `\u2029`)
	}
	return utf8.EncodeRune(dst, r)
}
