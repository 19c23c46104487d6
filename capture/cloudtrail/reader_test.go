package cloudtrail_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/cloudtrail"
)

// numbered returns a small event whose id is n.
func numbered(n int) string {
	return fmt.Sprintf(`{"eventID":"%d","eventTime":"2023-07-10T11:42:20Z","eventName":"A"}`, n)
}

func zipped(t testing.TB, parts ...string) string {
	t.Helper()
	var b bytes.Buffer
	for _, part := range parts {
		z := gzip.NewWriter(&b)
		if _, err := io.WriteString(z, part); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// read returns the ids of all events, "!" for an error about one, and "!!" for an
// error that ended the file.
func read(r *cloudtrail.Reader) (ids []string, faults []error) {
	for tr, err := range r.All() {
		switch {
		case err == nil:
			ids = append(ids, tr.Ext.Source.ID)
			continue
		case r.Ended():
			ids = append(ids, "!!")
		default:
			ids = append(ids, "!")
		}
		faults = append(faults, err)
	}
	return ids, faults
}

func TestReaderForms(t *testing.T) {
	e1, e2, e3 := numbered(1), numbered(2), numbered(3)
	indented := strings.ReplaceAll(strings.ReplaceAll(e1, ",", ",\r\n\t"), ":", " : ")
	indented = strings.ReplaceAll(indented, `11 : 42 : 20`, `11:42:20`)
	tests := []struct{ name, text, want string }{
		{"empty", "", ""},
		{"space", " \n\t\r\n", ""},
		{"one event", e1, "1"},
		{"lines", e1 + "\n" + e2 + "\r\n\n" + e3 + "\n", "1 2 3"},
		{"one behind the other", e1 + e2 + e3, "1 2 3"},
		{"indented", indented + e2, "1 2"},
		{"array", "[" + e1 + "," + e2 + " , " + e3 + "]", "1 2 3"},
		{"empty array", "[]", ""},
		{"arrays", "[" + e1 + "]\n[" + e2 + "][ ]" + e3, "1 2 3"},
		{"array of arrays", "[[" + e1 + "],[]," + e2 + "]", "1 2"},
		{"records", `{"Records":[` + e1 + "," + e2 + "]}", "1 2"},
		{"no records", `{"Records":[]}`, ""},
		{"escaped name", `{"\u0052ecords":[` + e1 + "]}", "1"},
		{"records and more", `{"a":{"Records":[1]},"b":"]","Records":[` + e1 + `],"c":[{"x":1}],"d":null}` + e2, "1 2"},
		{"records twice", `{"Records":[` + e1 + `],"Records":[` + e2 + `],"Records":3}`, "1 2"},
		{"several records", `{"Records":[` + e1 + "]}\n" + `{"Records":[` + e2 + "]}", "1 2"},
		{"array of records", `[{"Records":[` + e1 + "]},{" + `"Records":[` + e2 + "]}," + e3 + "]", "1 2 3"},
		{"byte order mark", "\ufeff" + e1, "1"},
		{"other case", `{"records":[` + e1 + `]}` + e2, "! 2"},
		{"records of no array", `{"Records":{"a":1}}` + e2, "! 2"},
		{"not events", `[1,"a",null,true,-0.5e+3,` + e1 + `,{}]` + e2, "! ! ! ! ! 1 ! 2"},
		{"words", `12 true "x" ` + e1, "! ! ! 1"},
		{"two of one name", `[{"eventID":"1","eventID":"2"},` + e2 + `]`, "! 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, way := range []struct {
				name string
				in   io.Reader
			}{
				{"plain", strings.NewReader(tt.text)},
				{"byte by byte", iotest.OneByteReader(strings.NewReader(tt.text))},
				{"with the end", iotest.DataErrReader(strings.NewReader(tt.text))},
				{"gzip", strings.NewReader(zipped(t, tt.text))},
				{"gzip byte by byte", iotest.OneByteReader(strings.NewReader(zipped(t, tt.text)))},
				{"two members", strings.NewReader(zipped(t, tt.text[:len(tt.text)/2], tt.text[len(tt.text)/2:]))},
			} {
				got, faults := read(cloudtrail.NewReader(way.in, nil))
				if diff := cmp.Diff(strings.Fields(tt.want), got); diff != "" && len(tt.want)+len(got) > 0 {
					t.Errorf("%s: events (-want +got):\n%s%v", way.name, diff, faults)
				}
			}
		})
	}
}

func TestReaderPlaces(t *testing.T) {
	e1 := numbered(1)
	tests := []struct {
		name, text, want string
		line, column     int
		reason           string
	}{
		{"in the first line", `{"Records":[{"eventID":1,"eventTime":"x"},` + e1 + `]}`, "! 1", 1, 38, "RFC 3339"},
		{"in a later line", "[" + e1 + ",\n  {\"eventID\":1,\n \"eventTime\":\"x\"},\n" + e1 + "]", "1 ! 1", 3, 14, "RFC 3339"},
		{"missing member", e1 + "\n  {}\n" + e1, "1 ! 1", 2, 3, "missing"},
		{"not an event", "[\n " + e1 + ",\n  7]", "1 !", 3, 3, "object"},
		{"broken word", "[" + e1 + ",\n {\"a\":nul}," + e1 + "]", "1 !!", 2, 10, "null"},
		{"broken number", e1 + "\n[01]", "1 !!", 2, 3, "number"},
		{"no digits", "[-]", "!!", 1, 3, "number"},
		{"no fraction", "[1.]", "!!", 1, 4, "number"},
		{"no exponent", "[1e+]", "!!", 1, 5, "number"},
		{"no comma", "[" + e1 + "\n" + e1 + "]", "1 !!", 2, 1, "','"},
		{"no value", `{"a":}`, "!!", 1, 6, "value"},
		{"no colon", `{"a" 1}`, "!!", 1, 6, "':'"},
		{"no name", `{1:2}`, "!!", 1, 2, "name"},
		{"no name after a comma", `{"a":1,}`, "!!", 1, 8, "name"},
		{"no element after a comma", "[" + e1 + ",]", "1 !!", 1, 2 + len(e1) + 1, "value"},
		{"wrong bracket", `{"a":[1}}`, "!!", 1, 8, "','"},
		{"wrong bracket behind records", `{"Records":[]]`, "!!", 1, 14, "','"},
		{"broken name behind records", `{"Records":[],x`, "!!", 1, 15, "name"},
		{"broken value behind records", `{"Records":[],"x":x`, "!!", 1, 19, "value"},
		{"control character", "{\"a\":\"\x01\"}", "!!", 1, 7, "control"},
		{"line break in a string", "{\"a\":\"\n\"}", "!!", 1, 7, "control"},
		{"bad escape", `{"a":"\x"}`, "!!", 1, 8, "escape"},
		{"bad unicode escape", `{"a":"\u00g0"}`, "!!", 1, 11, "escape"},
		{"not JSON", "hello", "!!", 1, 1, "value"},
		{"half a byte order mark", "\xef\xbb{}", "!!", 1, 1, "value"},
		{"too deep", strings.Repeat("[", 200), "!!", 1, 130, "deeper"},
		{"event too deep", "[" + e1 + ",{\"a\":" + strings.Repeat("[", 200), "1 !!", 1, 2 + len(e1) + 6 + 127, "deeper"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, in := range []io.Reader{strings.NewReader(tt.text), iotest.OneByteReader(strings.NewReader(zipped(t, tt.text)))} {
				ids, faults := read(cloudtrail.NewReader(in, nil))
				if got := strings.Join(ids, " "); got != tt.want {
					t.Fatalf("events %q, want %q", got, tt.want)
				}
				var pe *cts.ParseError
				if !errors.As(faults[0], &pe) {
					t.Fatalf("error %v, want a *cts.ParseError", faults[0])
				}
				offset := len(strings.Join(strings.SplitAfter(tt.text, "\n")[:tt.line-1], "")) + tt.column - 1
				if pe.Line != tt.line || pe.Column != tt.column || pe.Offset != int64(offset) || !strings.Contains(pe.Reason, tt.reason) {
					t.Errorf("got %v, want line %d, column %d (offset %d), %q", pe, tt.line, tt.column, offset, tt.reason)
				}
			}
		})
	}
}

// TestReaderCut cuts a file at every byte: what is whole is read, and the cut is an
// error unless it is between two events.
func TestReaderCut(t *testing.T) {
	text := "\ufeff" + `{"x":[-1.5e3,true,"\u00e9\\"],"Records":[` + numbered(1) + `,` + numbered(2) + `],"y":{"a":null}}`
	first := strings.Index(text, numbered(1)) + len(numbered(1))
	second := strings.Index(text, numbered(2)) + len(numbered(2))
	for n := 4; n < len(text); n++ {
		ids, faults := read(cloudtrail.NewReader(strings.NewReader(text[:n]), nil))
		want := "!!"
		if n >= first {
			want = "1 !!"
		}
		if n >= second {
			want = "1 2 !!"
		}
		if got := strings.Join(ids, " "); got != want {
			t.Fatalf("cut at %d: events %q, want %q", n, got, want)
		}
		var pe *cts.ParseError
		if !errors.As(faults[len(faults)-1], &pe) || pe.Offset != int64(n) {
			t.Fatalf("cut at %d: error %v, want one at that offset", n, faults)
		}
	}
}

func TestReaderBrokenGzip(t *testing.T) {
	var text strings.Builder
	for n := range 2000 {
		text.WriteString(numbered(n) + "\n")
	}
	whole := zipped(t, text.String())
	for _, n := range []int{2, 9, len(whole) / 2, len(whole) - 1} {
		ids, faults := read(cloudtrail.NewReader(strings.NewReader(whole[:n]), nil))
		if len(faults) != 1 || !errors.Is(faults[0], io.ErrUnexpectedEOF) || ids[len(ids)-1] != "!!" {
			t.Errorf("cut at %d of %d: errors %v, want io.ErrUnexpectedEOF", n, len(whole), faults)
		}
		if len(faults) > 0 && !strings.Contains(faults[0].Error(), "offset") {
			t.Errorf("error %q names no place", faults[0])
		}
		if n == len(whole)-1 && len(ids) != 2001 {
			t.Errorf("cut in the checksum: %d events, want all 2000 before the error", len(ids)-1)
		}
	}
	damaged := []byte(whole)
	damaged[len(damaged)-8] ^= 1
	if _, faults := read(cloudtrail.NewReader(bytes.NewReader(damaged), nil)); len(faults) != 1 || !errors.Is(faults[0], gzip.ErrChecksum) {
		t.Errorf("damaged: errors %v, want gzip.ErrChecksum", faults)
	}
	if _, faults := read(cloudtrail.NewReader(strings.NewReader("\x1f\x8b\x07\x00......"), nil)); len(faults) != 1 || !errors.Is(faults[0], gzip.ErrHeader) {
		t.Errorf("no gzip: errors %v, want gzip.ErrHeader", faults)
	}
}

func TestReaderOfAReaderThatFails(t *testing.T) {
	broken := errors.New("cable pulled")
	for _, text := range []string{"", numbered(1), numbered(1) + "[", `{"Rec`, `{"Records":[` + numbered(1)} {
		r := cloudtrail.NewReader(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)), nil)
		_, faults := read(r)
		if len(faults) != 1 || !errors.Is(faults[0], broken) {
			t.Errorf("%q: errors %v, want the reader's", text, faults)
		}
		if _, err := r.Next(); !errors.Is(err, broken) || !r.Ended() {
			t.Errorf("%q: error of another call is %v, want the reader's again", text, err)
		}
	}
	stuck := cloudtrail.NewReader(stuckReader{}, nil)
	if _, err := stuck.Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v, want io.ErrNoProgress", err)
	}
}

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

func TestReaderEnd(t *testing.T) {
	r := cloudtrail.NewReader(strings.NewReader(numbered(1)), nil)
	if _, err := r.Next(); err != nil || r.Ended() {
		t.Fatalf("error %v, ended %v after the first of one event", err, r.Ended())
	}
	for range 2 {
		if tr, err := r.Next(); tr != nil || err != io.EOF || !r.Ended() { //nolint:errorlint // the contract is io.EOF itself
			t.Fatalf("trace %v, error %v, ended %v, want io.EOF", tr, err, r.Ended())
		}
	}
	for _, err := range r.All() {
		t.Fatalf("All yields something behind the end, with error %v", err)
	}
}

func TestReaderAllMayBeLeft(t *testing.T) {
	r := cloudtrail.NewReader(strings.NewReader(numbered(1)+numbered(2)+numbered(3)), nil)
	for _, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if ids, _ := read(r); !slices.Equal(ids, []string{"2", "3"}) {
		t.Errorf("events %q behind the first, want 2 and 3", ids)
	}
}

func TestReaderLongEvents(t *testing.T) {
	limit := 300 << 10
	sized := func(n, size int) string {
		short := strings.TrimSuffix(numbered(n), "}") + `,"x":"`
		return short + strings.Repeat("x", size-len(short)-2) + `"}`
	}
	long := `{"` + strings.Repeat("n", limit) + `":1,"eventID":7}`
	envelope := `{"` + strings.Repeat("n", 2*limit) + `":"` + strings.Repeat("v", 2*limit) + `","Records":[` + numbered(5) + `]}`
	text := sized(1, limit) + sized(2, limit+1) + "\n" + sized(3, 3*limit) + numbered(4) + long + envelope
	for _, in := range []io.Reader{
		strings.NewReader(text), iotest.HalfReader(strings.NewReader(text)), strings.NewReader(zipped(t, text)),
	} {
		ids, faults := read(cloudtrail.NewReader(in, &cloudtrail.Options{MaxEventBytes: limit}))
		if got := strings.Join(ids, " "); got != "1 ! ! 4 ! 5" {
			t.Fatalf("events %q (%v)", got, faults)
		}
		var pe *cts.ParseError
		if !errors.As(faults[1], &pe) || pe.Line != 2 || pe.Column != 1 || !strings.Contains(pe.Reason, "307200 bytes") {
			t.Errorf("error %v, want the place of the event and the limit", faults[1])
		}
	}
	ids, faults := read(cloudtrail.NewReader(strings.NewReader(sized(1, 1<<20)+sized(2, 1<<20+1)), nil))
	if got := strings.Join(ids, " "); got != "1 !" {
		t.Errorf("events around 1 MiB: %q (%v), want 1 and an error", got, faults)
	}
}
