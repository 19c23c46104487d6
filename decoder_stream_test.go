package cts_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cloudtraceservice/cts"
)

func TestDecodeOversizeTraceIsPassedOver(t *testing.T) {
	exact := `{"trace_id":"exact","message":"` + strings.Repeat("x", 67) + `"}`
	if len(exact) != 100 {
		t.Fatalf("the text has %d bytes", len(exact))
	}
	for _, c := range []struct {
		name, big string
	}{
		{"long text", `{"trace_id":"big","message":"` + strings.Repeat("x", 70) + `"}`},
		{"text with breaks", `{"message":"` + strings.Repeat(`\"`, 100) + `"}`},
		{"long name", `{"` + strings.Repeat("x", 200) + `":1}`},
		{"many members", `{"a":1` + strings.Repeat(`,"b":2`, 50) + `}`},
		{"white space", `{` + strings.Repeat(" \n", 100) + `}`},
		{"nested", `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`},
		{"number", `{"time":` + strings.Repeat("1", 100) + `}`},
	} {
		text := "[" + exact + ",\n " + c.big + "," + exact + "]"
		for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
			traces, errs := decodeAll(r, &cts.DecoderOptions{MaxTraceBytes: 100})
			if len(traces) != 2 || traces[0].ID != "exact" || traces[1].ID != "exact" {
				t.Errorf("%s: %d traces, want the two beside the long one; errors %v", c.name, len(traces), errs)
			}
			var pe *cts.ParseError
			if len(errs) != 1 || !errors.As(errs[0], &pe) || pe.Line != 2 || pe.Column != 2 || !strings.Contains(pe.Reason, "100 bytes") {
				t.Errorf("%s: errors %v; want one at line 2, column 2, that names the limit", c.name, errs)
			}
		}
	}
}

func TestDecodeDefaultLimit(t *testing.T) {
	size := func(n int) string {
		return `{"message":"` + strings.Repeat("x", n-len(`{"message":""}`)) + `"}`
	}
	traces, errs := decodeAll(strings.NewReader(size(cts.MaxTraceBytes)+size(cts.MaxTraceBytes+1)+size(99)), nil)
	if len(traces) != 2 || len(errs) != 1 {
		t.Errorf("%d traces, errors %v; want 2 and 1", len(traces), errs)
	}
}

// A reader that fails anywhere ends the stream with its error, in place and for good.
func TestDecodeReaderErrors(t *testing.T) {
	broken := errors.New("the disk is gone")
	text := " [{\"trace_id\":\"a\",\"x\":12}, {\"traces\":[{}],\"n\":[1,\"\\\"\"]}]\n{\"cts\":{}} "
	for cut := range len(text) + 1 {
		r := io.MultiReader(strings.NewReader(text[:cut]), iotest.ErrReader(broken))
		d := cts.NewDecoder(r, nil)
		var err error
		n := -1
		for ; err == nil; n++ {
			_, err = d.Next()
		}
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), fmt.Sprintf("offset %d:", cut)) {
			t.Fatalf("after %d bytes: error %v, want the reader's, and the offset", cut, err)
		}
		if want := min(strings.Count(text[:cut], "}"), 2); n > want+1 {
			t.Fatalf("after %d bytes: %d traces", cut, n)
		}
		if _, again := d.Next(); !errors.Is(again, broken) {
			t.Fatalf("after %d bytes: a later call returns %v", cut, again)
		}
	}
}

// A text that ends anywhere gives a place inside of it, or is at its end.
func TestDecodeTruncated(t *testing.T) {
	text := string(fullTrace(t).AppendJSON(nil))
	text = `{"meta_data":{},"traces":[` + text + "]}"
	for cut := 1; cut < len(text); cut++ {
		_, errs := decodeAll(strings.NewReader(text[:cut]), nil)
		var pe *cts.ParseError
		if len(errs) != 1 || !errors.As(errs[0], &pe) || pe.Offset != int64(cut) || !strings.Contains(pe.Reason, "ends in the middle") {
			t.Fatalf("cut after %d bytes: %v", cut, errs)
		}
	}
}

// heap watches the memory in use while a test runs.
type heap struct{ base, most uint64 }

func newHeap() *heap {
	h := &heap{}
	runtime.GC()
	h.base = h.now()
	return h
}

func (h *heap) now() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// look notes what is in use. What a collector that had no time for it left is not.
func (h *heap) look() {
	used := h.now()
	if used > h.base+streamMemory {
		runtime.GC()
		used = h.now()
	}
	h.most = max(h.most, used)
}

func (h *heap) check(t *testing.T, limit uint64) {
	t.Helper()
	h.look()
	if h.most > h.base+limit {
		t.Errorf("%d KiB of memory in use, want at most %d", (h.most-h.base)>>10, limit>>10)
	}
}

// streamBytes is how long a stream is that must not be kept in memory. The race
// detector needs memory of its own, and a minute for it.
func streamBytes(t *testing.T) int64 {
	t.Helper()
	if raceEnabled {
		t.Skip("memory is measured without the race detector")
	}
	if testing.Short() {
		return 20 << 20
	}
	return 200 << 20
}

// streamMemory is what a Decoder may take: the longest trace, a few times.
const streamMemory = 8 << 20

func TestDecodeLongStreamInBoundedMemory(t *testing.T) {
	line := append(ordinaryTrace().AppendJSON(nil), '\n')
	n := streamBytes(t) / int64(len(line))
	for name, framed := range map[string]io.Reader{
		"lines": &endless{text: line, n: n * int64(len(line))},
		"envelope": io.MultiReader(strings.NewReader(`{"traces":[`),
			&endless{text: bytes.ReplaceAll(line, []byte("\n"), []byte(",")), n: n*int64(len(line)) - 1}, strings.NewReader("]}")),
	} {
		h := newHeap()
		var got int64
		for tr, err := range cts.NewDecoder(framed, nil).All() {
			if err != nil {
				t.Fatal(err)
			}
			if got++; got%10_000 == 0 {
				h.look()
				if tr.Name != "updateServerMetadata" {
					t.Fatalf("%s: trace %d is %s", name, got, tr.Name)
				}
			}
		}
		if got != n {
			t.Errorf("%s: %d traces, want %d", name, got, n)
		}
		h.check(t, streamMemory)
	}
}

// One value without an end is no reason to keep it.
func TestDecodeEndlessValueInBoundedMemory(t *testing.T) {
	size := streamBytes(t)/10 + streamMemory
	for name, c := range map[string]struct{ head, body string }{
		"string":       {`{"message":"`, "xxxxxxxxxxxxxxxx"},
		"escapes":      {`{"message":"`, `\"`},
		"white space":  {`{`, " \n"},
		"member name":  {`{"`, "abcdefgh"},
		"number":       {`{"time":1`, "1234567890"},
		"array":        {`{"x":[1`, ",1"},
		"nesting":      {`{"x":`, "["},
		"envelope":     {`{"traces":[],"x":"`, "yyyyyyyyyyyyyyyy"},
		"between":      {`[`, "          "},
		"big metadata": {`{"meta_data":{"x":"`, "zzzzzzzzzzzzzzzz"},
	} {
		h := newHeap()
		traces, errs := decodeAll(io.MultiReader(strings.NewReader(c.head), &endless{text: []byte(c.body), n: size}), nil)
		var pe *cts.ParseError
		if len(traces) != 0 || len(errs) != 1 || !errors.As(errs[0], &pe) || pe.Offset != size+int64(len(c.head)) {
			t.Errorf("%s: %d traces, errors %v; want one at the end", name, len(traces), errs)
		}
		h.check(t, streamMemory)
	}
}
