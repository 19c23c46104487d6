package filestore_test

import (
	"errors"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// TestDamagedSegmentTakesAppends damages a segment at one place after the other: new traces
// are stored all the same, and those of the damaged one are found or told to be damaged.
func TestDamagedSegmentTakesAppends(t *testing.T) {
	mem := vfstest.NewMemFS()
	opts := filestore.Inline(filestore.Unmerged(filestore.Options{FS: mem, LockWait: -1}))
	s, err := filestore.Open("/store", &opts)
	if err != nil {
		t.Fatal(err)
	}
	for first := 1; first <= 61; first += 30 {
		mustAppend(t, s, numbered(first, first+29)...)
		if err := filestore.Seal(background, s); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s)
	const name = "/store/segments/00000002.seg"
	size := len(disk{mem, t}.read(name))
	for at := 3; at < size; at += 1 + size/300 {
		d := disk{mem.KillClone(), t}
		d.flip(name, int64(at))
		opts.FS = d
		s, err := filestore.Open("/store", &opts)
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		mustAppend(t, s, numbered(91, 91)...)
		if _, err := s.Append(background, numbered(35, 35)); err != nil && !errors.Is(err, cts.ErrCorrupt) {
			t.Errorf("byte %d: a trace again: %v", at, err)
		}
		if done := mustAppend(t, s, numbered(1, 1)...); done.First != 1 {
			t.Errorf("byte %d: a trace of a whole segment again: position %d", at, done.First)
		}
		mustClose(t, s)
	}
}
