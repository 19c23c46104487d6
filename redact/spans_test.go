package redact

import (
	"strings"
	"testing"
)

// scanSpans returns the spans that a scan of s finds.
func scanSpans(r *Redactor, s string, scan func(*scanner)) []span {
	sc := &scanner{r: r}
	sc.src[0] = s
	scan(sc)
	return sc.spans
}

var allScans = map[string]func(*scanner){
	"JSON":  (*scanner).scanJSON,
	"Query": (*scanner).scanQuery,
	"URL":   (*scanner).scanURL,
	"Text":  (*scanner).scanText,
	"Any":   (*scanner).scanAny,
}

// FuzzSpans asserts that spans are in order, do not overlap and lie inside the text,
// and that the output is the input with exactly these places replaced.
func FuzzSpans(f *testing.F) {
	for _, s := range []string{
		`{"password":"x","a":"{\"token\":\"\u00e9\"}"}`, `a=b&password=%41&x=%7B%22pin%22%3A1%7D`,
		`Bearer abcdef12345 4111111111111111 eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln`,
		`["Bearer abc\/def12 4111 1111 1111 1111\n"]`, `x "{\"a\":\"4111111111111111\"}" y`,
	} {
		f.Add(s)
	}
	r, err := New(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, scan := range allScans {
			spans := scanSpans(r, s, scan)
			var want strings.Builder
			pos := 0
			for _, sp := range spans {
				if sp.start < pos || sp.end <= sp.start || sp.end > len(s) {
					t.Fatalf("%s(%q): span [%d, %d) behind %d of %d", name, s, sp.start, sp.end, pos, len(s))
				}
				want.WriteString(s[pos:sp.start] + sp.repl)
				pos = sp.end
			}
			want.WriteString(s[pos:])
			if got, found := r.run(s, scan); got != want.String() || len(found) != len(spans) {
				t.Fatalf("%s(%q) = %q, %d findings; want %q, %d", name, s, got, len(found), want.String(), len(spans))
			}
		}
	})
}

// FuzzCodec asserts that relocate is right: a span of decoded bytes, brought back to
// the encoded text, decodes to the same bytes.
func FuzzCodec(f *testing.F) {
	f.Add(`a\u00e9\ud83d\ude00\n\"x\u12`, uint8(1), uint8(3))
	f.Add(`a+%41%zz%4`, uint8(0), uint8(2))
	f.Fuzz(func(t *testing.T, s string, from, size uint8) {
		for _, c := range []codec{codecJSON, codecPercent} {
			plain := string(c.decode(nil, s))
			start := min(int(from), len(plain))
			end := min(start+int(size), len(plain))
			sp := []span{{start: start, end: end}}
			c.relocate(sp, s, 0)
			if sp[0].start < 0 || sp[0].end > len(s) || sp[0].start > sp[0].end {
				t.Fatalf("codec %d: [%d, %d) of %q is [%d, %d)", c, start, end, s, sp[0].start, sp[0].end)
			}
			if got := string(c.decode(nil, s[sp[0].start:sp[0].end])); !strings.Contains(got, plain[start:end]) {
				t.Fatalf("codec %d: [%d, %d) of %q is %q, which is %q, want %q in it", c, start, end, s, s[sp[0].start:sp[0].end], got, plain[start:end])
			}
		}
	})
}
