package jsontext

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// inJSON returns what encoding/json puts between the quotes for s.
func inJSON(tb testing.TB, s string) string {
	tb.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b[1 : len(b)-1])
}

// checkString appends s with every number of plain bytes up to nine before it, and
// none or nine behind it: at every place of a word, and in the bytes after the last.
func checkString(tb testing.TB, s string) {
	tb.Helper()
	const plain = "abcdefghi"
	want := inJSON(tb, s)
	var buf [128]byte
	for before := range len(plain) + 1 {
		for _, after := range []string{"", plain} {
			text := plain[:before] + s + after
			got := AppendString(buf[:0], text)
			if string(got) != `"`+plain[:before]+want+after+`"` {
				tb.Fatalf("%q: got %s, encoding/json writes %s for the middle", text, got, want)
			}
		}
	}
}

func TestAppendStringOfEveryByteAndPair(t *testing.T) {
	checkString(t, "")
	for a := range 256 {
		checkString(t, string([]byte{byte(a)}))
	}
	for pair := range 1 << 16 {
		checkString(t, string([]byte{byte(pair >> 8), byte(pair)}))
	}
}

func TestAppendStringOfEveryRune(t *testing.T) {
	const plain = "abcdefgh"
	for r := rune(0); r <= utf8.MaxRune; r++ {
		text := plain[:r%9] + string(r) + plain[:r%5]
		want := text
		if r < utf8.RuneSelf || r == '\u2028' || r == '\u2029' {
			want = inJSON(t, text)
		}
		if got := string(AppendString(nil, text)); got != `"`+want+`"` {
			t.Fatalf("%U: got %s, want %q", r, got, want)
		}
	}
}

func TestAppendStringOfBrokenRunes(t *testing.T) {
	for _, s := range []string{
		"\xc3", "\xe2\x80", "\xf0\x9f\x98", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\xaf", "\x80\x80\x80", "é\xc3é", "\xe2\x80\"",
	} {
		checkString(t, s)
	}
}

// Texts that become up to six times as long must find room as they grow.
func TestAppendStringGrows(t *testing.T) {
	for _, piece := range []string{"\x01", `"`, "<", "\xff", "\u2028", `a"b\c`, "é<", "plain text "} {
		for n := range 60 {
			s := strings.Repeat(piece, n)
			want := `x"` + inJSON(t, s) + `"`
			for _, room := range []int{0, n, len(want) - 1} {
				if got := string(AppendString(append(make([]byte, 0, 1+room), 'x'), s)); got != want {
					t.Fatalf("%d times %q with room for %d: got %s", n, piece, room, got)
				}
			}
		}
	}
}

// The marks of a word are exact, whatever stands beside a byte.
func TestMarksOfWords(t *testing.T) {
	for c := range 256 {
		needsEscape := c < 0x20 || c >= 0x80 || strings.ContainsRune(`"\<>&`, rune(c))
		for _, beside := range []uint64{0, 0x01, 0x1f, ' ', '!', '"', '#', '[', '\\', ']', 0x7f, 0x80, 0xff} {
			for at := range 8 {
				w := beside * ones &^ (0xff << (8 * at))
				w |= uint64(c) << (8 * at)
				if got := special(w)>>(8*at)&0xff == 0x80; got != needsEscape {
					t.Fatalf("special(%#016x): byte %d is marked: %v", w, at, got)
				}
				if extra := special(w) &^ highs; extra != 0 {
					t.Fatalf("%#016x: marks outside of the high bits: %#x", w, extra)
				}
			}
		}
	}
}
