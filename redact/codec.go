package redact

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// codec is a way in which one text is written inside another. Broken escapes are
// plain bytes; no input is an error.
type codec uint8

const (
	codecNone    codec = iota
	codecJSON          // the inside of a JSON string, RFC 8259 section 7
	codecPercent       // the key or value of a form, with "+" for space
)

var formEscapes = strings.NewReplacer(`"`, "%22", `\`, "%5C", "%", "%25", "+", "%2B", " ", "+")

// special is where the next escape begins in t[i:], or len(t).
func (c codec) special(t string, i int) int {
	if c == codecJSON {
		if n := strings.IndexByte(t[i:], '\\'); n >= 0 {
			return i + n
		}
		return len(t)
	}
	for i < len(t) && t[i] != '%' && t[i] != '+' {
		i++
	}
	return i
}

// escape decodes what begins at t[0]: its size there, and the rune it stands for
// or, if isByte, the byte.
func (c codec) escape(t string) (size int, r rune, isByte bool) {
	if c == codecPercent {
		if t[0] == '+' {
			return 1, ' ', true
		}
		if len(t) >= 3 {
			if v, ok := hexValue(t[1:3]); ok {
				return 3, v, true
			}
		}
		return 1, '%', true
	}
	if len(t) < 2 {
		return 1, '\\', true
	}
	switch t[1] {
	case '"', '\\', '/':
		return 2, rune(t[1]), true
	case 'b':
		return 2, '\b', true
	case 'f':
		return 2, '\f', true
	case 'n':
		return 2, '\n', true
	case 'r':
		return 2, '\r', true
	case 't':
		return 2, '\t', true
	case 'u':
		return escapeUnicode(t)
	}
	return 1, '\\', true
}

func escapeUnicode(t string) (size int, r rune, isByte bool) {
	r, ok := hexAt(t)
	if !ok {
		return 1, '\\', true
	}
	if utf16.IsSurrogate(r) {
		if low, ok := hexAt(t[6:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return 12, pair, false
			}
		}
		r = utf8.RuneError
	}
	return 6, r, false
}

// hexAt reads \uXXXX at the begin of t.
func hexAt(t string) (rune, bool) {
	if len(t) < 6 || t[0] != '\\' || t[1] != 'u' {
		return 0, false
	}
	return hexValue(t[2:6])
}

func hexValue(s string) (rune, bool) {
	var v rune
	for i := range len(s) {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		v = v<<4 | rune(c)
	}
	return v, true
}

// decode appends what t stands for.
func (c codec) decode(dst []byte, t string) []byte {
	for i := 0; i < len(t); {
		next := c.special(t, i)
		dst = append(dst, t[i:next]...)
		if i = next; i == len(t) {
			break
		}
		size, r, isByte := c.escape(t[i:])
		if isByte {
			dst = append(dst, byte(r))
		} else {
			dst = utf8.AppendRune(dst, r)
		}
		i += size
	}
	return dst
}

// relocate brings spans, in order, from the decoded form of t to where they stand
// in the level that t is part of, at off.
func (c codec) relocate(spans []span, t string, off int) {
	raw, decoded := 0, 0
	// advance goes on to the decoded position, or to the end of the escape it is in.
	advance := func(to int, outwards bool) int {
		for decoded < to {
			next := c.special(t, raw)
			if plain := min(next-raw, to-decoded); plain > 0 {
				raw, decoded = raw+plain, decoded+plain
				continue
			}
			size, r, isByte := c.escape(t[raw:])
			width := 1
			if !isByte {
				width = utf8.RuneLen(r)
			}
			if decoded+width > to && !outwards {
				return raw
			}
			raw, decoded = raw+size, decoded+width
		}
		return raw
	}
	for i := range spans {
		sp := &spans[i]
		sp.start = off + advance(sp.start, false)
		sp.end = off + advance(sp.end, true)
		sp.repl = c.encode(sp.repl)
	}
}

// encode writes a mask inside a text of this codec. Masks hold asterisks, digits,
// hyphens, spaces, quotes and, from a level above, backslashes and percent escapes.
func (c codec) encode(repl string) string {
	if !strings.ContainsAny(repl, `"\ %+`) {
		return repl
	}
	if c == codecPercent {
		return formEscapes.Replace(repl)
	}
	return strings.ReplaceAll(strings.ReplaceAll(repl, `\`, `\\`), `"`, `\"`)
}
