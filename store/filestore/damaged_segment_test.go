package filestore_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
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
	ofPart, anew := regexp.MustCompile(`mismatch in ([a-z ]+)`), 0
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
		switch done, err := s.Append(background, numbered(35, 35)); {
		case err != nil && !errors.Is(err, cts.ErrCorrupt):
			t.Errorf("byte %d: a trace again: %v", at, err)
		case err == nil && done.First > 91: // stored anew: the ids must be what is damaged, or all
			anew++
			report, err := s.Verify(background)
			damage := fmt.Sprint(report.Damaged)
			part := ofPart.FindStringSubmatch(damage)
			if err != nil || len(part) > 1 && !slices.Contains([]string{"filter", "values", "hash index"}, part[1]) {
				t.Errorf("byte %d: a trace is there twice, though its id can be read: %v, %v", at, damage, err)
			}
		}
		if done := mustAppend(t, s, numbered(1, 1)...); done.First != 1 {
			t.Errorf("byte %d: a trace of a whole segment again: position %d", at, done.First)
		}
		mustClose(t, s)
	}
	if anew == 0 {
		t.Error("no damage took the ids along")
	}
}
