package cts

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// readString reads a JSON string with the scanner.
func readString(text string) (string, error) {
	s := scanner{s: text}
	v, err := s.str()
	if err == nil {
		err = s.end()
	}
	return v, err
}

// Every escape, at every place of a word, gives what encoding/json reads.
func TestScanStringsLikeEncodingJSON(t *testing.T) {
	const plain = "abcdefghi"
	inner := []string{
		``, `\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`, `\u0000`, `\u00e4`, `\u00E4`, `\u2028`, `\ud83d\ude00`,
		`\ud83d`, `\ude00`, `\ud83d\ud83d`, `\ud83dx`, `\ud83d\n`, `\ud83d\u0041`, `\ufffd`, `é`, `中`, `😀`, "\x7f", `<>&/'`,
		"\xff", "\xc3\"", "\xed\xa0\x80", "\xff\\n", `\u`, `\u12`, `\u12g4`, `\x`, `\`, "\n", "\x00", "\x1f", `"`, `"x`, `\n"x`,
	}
	for _, s := range inner {
		for before := range len(plain) + 1 {
			for _, after := range []string{"", plain} {
				text := `"` + plain[:before] + s + after + `"`
				var want string
				wantErr := json.Unmarshal([]byte(text), &want)
				got, err := readString(text)
				if (err == nil) != (wantErr == nil) || got != want && err == nil {
					t.Errorf("%q: got %q, %v; encoding/json reads %q, %v", text, got, err, want, wantErr)
				}
			}
		}
	}
}

// Strings with escapes share one buffer, which must never show in the one before.
func TestScanStringsAreApart(t *testing.T) {
	s := scanner{s: `"\"first\"" "\n" "\\third, the longest of them\\"`}
	var got []string
	for range 3 {
		v, err := s.str()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	if want := "\"first\"|\n|\\third, the longest of them\\"; strings.Join(got, "|") != want {
		t.Errorf("got %q", got)
	}
}

func TestScanNumbers(t *testing.T) {
	for _, text := range []string{
		"0", "-0", "1", "-1", "10", "0.5", "1.25", "1e5", "1E+5", "1e-05", "-0.0e0", "9223372036854775808",
		"", "-", "00", "01", "-01", "1.", ".5", "1.e5", "1e", "1e+", "+1", "0x1", "1_0", "NaN", "Infinity", "--1",
	} {
		s := scanner{s: text}
		got, err := s.number()
		if err == nil {
			err = s.end()
		}
		if want := json.Valid([]byte(text)); (err == nil) != want {
			t.Errorf("%q: got %q, %v; valid is %v", text, got, err, want)
		}
		if err == nil && got != text {
			t.Errorf("%q: got %q", text, got)
		}
	}
}

func TestCompact(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{` [ 1 , 2 ] `, `[1,2]`},
		{"{ \"a\" :\t{ } ,\r\n\"b\":[ ] }", `{"a":{},"b":[]}`},
		{`{"<":"\u003c\/"}`, `{"\u003c":"\u003c/"}`},
		{`"\u00e4"`, `"ä"`},
		{"\"\xff\"", "\"\ufffd\""},
		{`1.50E+10`, `1.50E+10`},
		{`null`, `null`},
		{`{"b":1,"a":2,"b":3}`, `{"b":1,"a":2,"b":3}`}, // what is in a value we do not know is not ours to judge
	} {
		got, err := NewRawJSON([]byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("NewRawJSON(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
		if again, err := NewRawJSON([]byte(got)); err != nil || again != got {
			t.Errorf("NewRawJSON(%q) = %q, %v: not a fixpoint", got, again, err)
		}
	}
	for _, in := range []string{"", " ", "{", "[1", "[1,]", "{\"a\"}", "{\"a\":1,}", "tru", "nul", "'a'", "1 2", "{} x", "[1 2]", "{a:1}"} {
		_, err := NewRawJSON([]byte(in))
		var pe *ParseError
		if !errors.As(err, &pe) {
			t.Errorf("NewRawJSON(%q): error %v, want a *ParseError", in, err)
		}
	}
}

// No text, however deep, may exhaust the stack.
func TestDepthIsBounded(t *testing.T) {
	for _, open := range []string{"[", `{"a":`, `[{"a":`, `{"a":[`} {
		for _, c := range []struct {
			depth int
			ok    bool
		}{{maxDepth, true}, {maxDepth + 2, false}, {1 << 19, false}} {
			n := c.depth / strings.Count(strings.ReplaceAll(open, "{", "["), "[")
			text := strings.Repeat(open, n) + "1"
			if c.ok {
				closing := strings.NewReplacer("[", "]", "{", "}", `"a":`, "").Replace(open)
				if len(closing) == 2 {
					closing = closing[1:] + closing[:1]
				}
				text += strings.Repeat(closing, n)
			}
			_, err := NewRawJSON([]byte(text))
			if (err == nil) != c.ok {
				t.Errorf("%d times %s: error %v", n, open, err)
			}
			if !c.ok && !strings.Contains(err.Error(), "nested deeper than") {
				t.Errorf("%d times %s: error %v does not name the depth", n, open, err)
			}
		}
	}
}
