package filestore_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// TestRotWhileOpen damages a trace below a running store: reads find it, and the
// rest stays readable.
func TestRotWhileOpen(t *testing.T) {
	d := newDisk(t)
	s := open(t, d, "/store", *unsealed(filestore.Options{}))
	f := d.frame(log2, 3)
	file, err := d.OpenFile(log2, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte("rot"), f.End-20); err != nil {
		t.Fatal(err)
	}
	checkLost(t, "writer", s, [][2]cts.Position{{20, 20}}, []string{"00000002.log checksum"}, 30)
	report, err := s.Verify(background)
	if err != nil || len(report.Damaged) != 1 || report.Damaged[0].First != 20 {
		t.Errorf("Verify: %v, %v", report, err)
	}
	if _, err := s.Append(background, numbered(20, 20)); !errors.Is(err, cts.ErrCorrupt) {
		t.Errorf("appending it again: %v", err)
	}
	mustAppend(t, s, numbered(31, 31)...)
}

// TestUnreadableIsNotTorn checks that Open cuts nothing off because a read failed.
func TestUnreadableIsNotTorn(t *testing.T) {
	d := newDisk(t)
	before := d.read(log3)
	fault := vfstest.NewFaultFS(d)
	fault.Set(func(op vfstest.Op) error {
		if op.Kind == vfstest.KindRead && op.Name == log3 && op.Len > wal.HeaderSize {
			return errDisk
		}
		return nil
	})
	if _, err := filestore.Open("/store", unsealed(filestore.Options{FS: fault})); !errors.Is(err, errDisk) {
		t.Errorf("Open: %v", err)
	}
	if !bytes.Equal(before, d.read(log3)) {
		t.Error("the log was changed")
	}
	if _, err := filestore.OpenReader("/nothing", &filestore.Options{FS: d}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenReader of nothing: %v", err)
	}
}
