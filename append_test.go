package cts

import (
	"encoding/json"
	"testing"
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

// The marks of a word are exact, whatever stands beside a byte.
func TestMarksOfWords(t *testing.T) {
	for c := range 256 {
		endsRun := c < 0x20 || c == '"' || c == '\\'
		for _, beside := range []uint64{0, 0x01, 0x1f, ' ', '!', '"', '#', '[', '\\', ']', 0x7f, 0x80, 0xff} {
			for at := range 8 {
				w := beside * ones &^ (0xff << (8 * at))
				w |= uint64(c) << (8 * at)
				if got := breaks(w)>>(8*at)&0xff == 0x80; got != endsRun {
					t.Fatalf("breaks(%#016x): byte %d is marked: %v", w, at, got)
				}
				if extra := breaks(w) &^ highs; extra != 0 {
					t.Fatalf("%#016x: marks outside of the high bits: %#x", w, extra)
				}
			}
		}
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add(`{"server":{"name":"a","tags":["b"]}}`)
	f.Add("1234567\xe2\x80\xa8<&>\x00")
	f.Fuzz(func(t *testing.T, s string) {
		got := string(appendString(nil, s))
		if want := `"` + inJSON(t, s) + `"`; got != want {
			t.Fatalf("%q: got %s, want %s", s, got, want)
		}
		sc := scanner{s: got}
		back, err := sc.str()
		if err != nil || back != string([]rune(s)) || sc.i != len(got) {
			t.Fatalf("%q: read back as %q, %v", s, back, err)
		}
	})
}
