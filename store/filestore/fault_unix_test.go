//go:build unix

package filestore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// TestSegmentCutWhileOpen cuts a segment below a running store, whose memory then faults:
// whatever reads it says that it is damaged, the rest stays readable, new traces are taken,
// and nothing crashes. At most places it is the columns that fault, which Compact reads in
// several goroutines.
func TestSegmentCutWhileOpen(t *testing.T) {
	size := int64(os.Getpagesize())
	for pages := int64(0); ; pages++ {
		dir := t.TempDir()
		s := open(t, vfs.OS, dir, filestore.Unmerged(filestore.Options{}))
		for first := 1; first <= 2001; first += 1000 {
			mustAppend(t, s, numbered(first, first+999)...)
			if err := filestore.Seal(background, s); err != nil {
				t.Fatal(err)
			}
		}
		names, err := filepath.Glob(filepath.Join(dir, "segments", "*.seg"))
		if err != nil || len(names) != 3 {
			t.Fatalf("segments %q, %v", names, err)
		}
		stat, err := os.Stat(names[1])
		if err != nil {
			t.Fatal(err)
		}
		if pages*size >= stat.Size() {
			if pages < 3 {
				t.Fatalf("a segment of %d bytes is cut at %d places only", stat.Size(), pages)
			}
			return
		}
		t.Run(fmt.Sprint(pages), func(t *testing.T) { cutSegment(t, s, names[1], pages*size) })
	}
}

func cutSegment(t *testing.T, s *filestore.Store, name string, size int64) {
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(background); !errors.Is(err, cts.ErrCorrupt) {
		t.Errorf("Compact: %v", err)
	}
	report, err := s.Verify(background)
	if err != nil || len(report.Damaged) == 0 {
		t.Errorf("Verify: %+v, %v", report, err)
	}
	got, damage := ids(t, s, 0)
	if len(got) < 2000 || len(got) == 3000 || len(damage) == 0 || damage[0].First < 1001 || damage[len(damage)-1].Last > 2000 {
		t.Errorf("After: %d traces, damage %v", len(got), damage)
	}
	mustAppend(t, s, numbered(3001, 3001)...)
}
