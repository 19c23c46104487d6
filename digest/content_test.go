package digest

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

func gzipped(tb testing.TB, content []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(content)
	if err := errors.Join(err, z.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestSummarize(t *testing.T) {
	content := []byte(`[{"a":1},{"b":2},{"c":3}]`)
	var tree Tree
	for _, leaf := range []string{`{"a":1}`, `{"b":2}`, `{"c":3}`} {
		tree.Add([]byte(leaf))
	}
	for name, stored := range map[string][]byte{"plain": content, "gzip": gzipped(t, content)} {
		for _, reader := range []io.Reader{bytes.NewReader(stored), iotest.OneByteReader(bytes.NewReader(stored)), iotest.DataErrReader(bytes.NewReader(stored))} {
			got, err := Summarize(reader)
			want := Summary{Size: int64(len(stored)), SHA256: sha256.Sum256(stored), MD5: md5.Sum(stored), Count: 3, Root: tree.Root()}
			if err != nil || got != want {
				t.Errorf("%s: %+v, error %v, want %+v", name, got, err, want)
			}
		}
	}
}

func TestSummarizeFaults(t *testing.T) {
	whole := gzipped(t, []byte(`[{"a":1},{"b":2}]`))
	for name, stored := range map[string][]byte{
		"empty": {}, "no array": []byte(`{"a":1}`), "half a gzip": whole[:len(whole)-9], "gzip of nothing": gzipped(t, nil),
		"something behind": append(bytes.Clone(whole), "more"...), "not gzip": {0x1f, 0x8b, 1, 2, 3},
	} {
		sum, err := Summarize(bytes.NewReader(stored))
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: error %v, want ErrInvalid", name, err)
		}
		if sum.Size != int64(len(stored)) || sum.SHA256 != sha256.Sum256(stored) {
			t.Errorf("%s: the faulty file was not hashed to its end", name)
		}
	}
	broken := errors.New("broken")
	_, err := Summarize(io.MultiReader(bytes.NewReader(whole[:20]), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || errors.Is(err, ErrInvalid) {
		t.Errorf("error %v, want that of the reader", err)
	}
}

// TestSummarizerMemory reads a file of 64 MiB with a summarizer's own buffers alone.
func TestSummarizerMemory(t *testing.T) {
	line := []byte(`{"trace":"` + strings.Repeat("y", 800) + `"},`)
	s := newSummarizer()
	read := func() {
		r := io.MultiReader(strings.NewReader("["), &endless{text: line, left: 64 << 20}, strings.NewReader("{}]"))
		if sum, _, err := s.run(r, true, nil); err != nil || sum.Size < 64<<20 {
			t.Fatalf("%d bytes, error %v", sum.Size, err)
		}
	}
	read()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	read()
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes were allocated to read a file", grown)
	}
}
