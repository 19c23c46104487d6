package cts

import (
	"bytes"
	stdgzip "compress/gzip"
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cloudtraceservice/cts/digest"
)

// packed builds a trace file of elements and returns it with its packing waited for.
func packed(t testing.TB, elements []string, plain bool, level, workers int) *traceFile {
	t.Helper()
	p := (&packer{workers: workers}).begin(level)
	f := newTraceFile(group{"t", "s"}, plain, true, p)
	for i, e := range elements {
		f.add([]byte(e), int64(100-i))
	}
	f.finish()
	if err := p.wait(); err != nil {
		t.Fatal(err)
	}
	return f
}

// elements returns n elements, one of them large, of which only some compress.
func elements(n int) []string {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`{"n":%d,"x":%q}`, i, strings.Repeat(fmt.Sprintf("%x", r.Uint64()), r.IntN(30)))
		if i == n/2 {
			all[i] = `"` + strings.Repeat("long ", (2*partBytes+100)/5) + `"`
		}
	}
	return all
}

func read(t testing.TB, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// However many parts a file has, it is one gzip member that the standard library reads,
// and its hashes and root are those of its content.
func TestTraceFileParts(t *testing.T) {
	for _, n := range []int{1, 2, 3, 100, 10_000} {
		all := elements(n)
		want := "[" + strings.Join(all, ",") + "]"
		for _, plain := range []bool{false, true} {
			f := packed(t, all, plain, 6, 2)
			stored := read(t, &piecesReader{pieces: f.object()})
			content := stored
			if !plain {
				z, err := stdgzip.NewReader(bytes.NewReader(stored))
				if err != nil {
					t.Fatal(err)
				}
				z.Multistream(false)
				content = read(t, z)
				if !z.ModTime.IsZero() || z.Name != "" || z.OS != 255 {
					t.Errorf("header %+v", z.Header)
				}
			}
			if string(content) != want || f.bytes != int64(len(want)) || f.traces != n || f.oldest != int64(101-n) {
				t.Fatalf("%d elements: %d bytes of content, want %d; %d told", n, len(content), len(want), f.bytes)
			}
			if sum := f.finish(); sum != sha256.Sum256([]byte(want)) {
				t.Errorf("%d elements: wrong hash of the content", n)
			}
			var tree digest.Tree
			for _, e := range all {
				tree.Add([]byte(e))
			}
			if f.tree.Root() != tree.Root() {
				t.Errorf("%d elements: wrong root", n)
			}
			sum, legacy := f.object().sums(true)
			if sum != sha256.Sum256(stored) || legacy != md5.Sum(stored) || f.object().size() != int64(len(stored)) {
				t.Errorf("%d elements: hashes and size of the object are wrong", n)
			}
			if n == 10_000 && len(f.parts) < 3 {
				t.Errorf("only %d parts", len(f.parts))
			}
		}
	}
}

// The same content gives the same bytes, whoever compresses it.
func TestTraceFilePartsAreDeterministic(t *testing.T) {
	all := elements(5_000)
	for level := 1; level <= 9; level++ {
		first := read(t, &piecesReader{pieces: packed(t, all, false, level, 1).object()})
		for workers := 1; workers <= 4; workers++ {
			if again := read(t, &piecesReader{pieces: packed(t, all, false, level, workers).object()}); !bytes.Equal(first, again) {
				t.Errorf("level %d with %d workers: other bytes", level, workers)
			}
		}
	}
}

// gzip itself reads the files.
func TestTraceFilesAreReadByGunzip(t *testing.T) {
	gunzip, err := exec.LookPath("gunzip")
	if err != nil {
		t.Skip("gunzip is not there")
	}
	all := elements(10_000)
	name := t.TempDir() + "/x.json.gz"
	if err := os.WriteFile(name, read(t, &piecesReader{pieces: packed(t, all, false, 6, 2).object()}), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), gunzip, "-c", name).Output()
	if err != nil || string(out) != "["+strings.Join(all, ",")+"]" {
		t.Errorf("gunzip: %d bytes, %v", len(out), err)
	}
}

func TestPiecesReader(t *testing.T) {
	for _, p := range []pieces{nil, {nil}, {[]byte("a")}, {nil, []byte("ab"), nil, nil, []byte("cde"), []byte("f"), nil}} {
		want := bytes.Join(p, nil)
		if err := iotest.TestReader(&piecesReader{pieces: p}, want); err != nil {
			t.Errorf("%q: %v", p, err)
		}
		r := &piecesReader{pieces: p}
		for from := range len(want) + 1 {
			for _, whence := range []int{io.SeekStart, io.SeekEnd} {
				offset := int64(from)
				if whence == io.SeekEnd {
					offset -= int64(len(want))
				}
				if at, err := r.Seek(offset, whence); err != nil || at != int64(from) {
					t.Errorf("%q: seek to %d: %d, %v", p, from, at, err)
				}
				if got := read(t, r); !bytes.Equal(got, want[from:]) {
					t.Errorf("%q from %d: %q", p, from, got)
				}
			}
		}
		for _, wrong := range []struct {
			offset int64
			whence int
		}{{-1, io.SeekStart}, {int64(len(want)) + 1, io.SeekStart}, {0, 3}, {0, -1}, {1, io.SeekEnd}} {
			if _, err := r.Seek(wrong.offset, wrong.whence); err == nil {
				t.Errorf("%q: seek to %+v", p, wrong)
			}
		}
	}
}
