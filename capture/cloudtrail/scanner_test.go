package cloudtrail

import (
	"io"
	"strings"
	"testing"
)

// endless yields a text and then one part over and over, n times.
func endless(text, part string, n int) io.Reader {
	readers := []io.Reader{strings.NewReader(text)}
	long := strings.Repeat(part, max(1, (64<<10)/len(part)))
	for range n / max(1, (64<<10)/len(part)) {
		readers = append(readers, strings.NewReader(long))
	}
	return io.MultiReader(readers...)
}

// TestReaderMemory reads 4 MiB of everything that may be long, and looks at what is
// held meanwhile.
func TestReaderMemory(t *testing.T) {
	const size, limit = 4 << 20, 64 << 10
	tests := []struct{ name, text, part string }{
		{"white space", "", " \n"},
		{"event", `{"eventID":"`, "abcdefgh"},
		{"name", `{"`, "abcdefgh"},
		{"number", `[1`, "2"},
		{"member before records", `{"x":["`, `a","`},
		{"member behind records", `{"Records":[],"x":["`, `a","`},
		{"name behind records", `{"Records":[],"`, `abcdefgh`},
		{"not an event", `["`, `a\"`},
		{"events", ``, `{"eventID":"e1","eventTime":"2023-07-10T11:42:20Z","eventName":"A"} `},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := size / len(tt.part)
			if tt.name == "events" {
				n /= 4
			}
			r := NewReader(endless(tt.text, tt.part, n), &Options{MaxEventBytes: limit})
			faults := 0
			for _, err := range r.All() {
				if err != nil {
					faults++
				}
			}
			if faults > 2 { // one about the value, one about the end
				t.Errorf("%d errors", faults)
			}
			if at := r.scan.offset(); at < size/5 {
				t.Fatalf("read ended at %d", at)
			}
			if got := cap(r.scan.buf); got > 4*limit+chunk {
				t.Errorf("%d bytes are held for events of at most %d", got, limit)
			}
		})
	}
}

func TestDecode(t *testing.T) {
	for raw, want := range map[string]string{
		`""`:             "",
		`"a"`:            "a",
		`"\u0041\n\/"`:   "A\n/",
		`"\ud83d\ude00"`: "😀",
		`"\ud83d"`:       "\ufffd",
		"\"\xff\"":       "\ufffd",
	} {
		if got := decode([]byte(raw)); got != want {
			t.Errorf("decode(%s) = %q, want %q", raw, got, want)
		}
	}
}
