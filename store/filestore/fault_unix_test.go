//go:build unix

package filestore_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// TestSegmentCutWhileOpen cuts a segment below a running store, whose memory then faults:
// whatever reads it says that it is damaged, the rest stays readable, and nothing crashes.
func TestSegmentCutWhileOpen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, vfs.OS, dir, filestore.Inline(filestore.Unmerged(filestore.Options{})))
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
	if err := os.Truncate(names[1], 0); err != nil {
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
	if len(got) != 2000 || len(damage) != 1 || damage[0].First != 1001 || damage[0].Last != 2000 {
		t.Errorf("After: %d traces, damage %v", len(got), damage)
	}
	mustAppend(t, s, numbered(3001, 3001)...)
}
