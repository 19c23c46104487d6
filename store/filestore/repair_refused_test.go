package filestore_test

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

func TestRepairIsRefused(t *testing.T) {
	mem := vfstest.NewMemFS()
	at := func(dir string) error {
		_, err := filestore.Repair(background, dir, &filestore.RepairOptions{FS: mem, LockWait: -1})
		return err
	}
	if err := at("/nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := mem.Stat("/nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory was made: %v", err)
	}
	if err := mem.MkdirAll("/empty", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := at("/empty"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty directory: %v", err)
	}
	s := open(t, mem, "/store", filestore.Options{})
	if err := at("/store"); !errors.Is(err, cts.ErrLocked) {
		t.Errorf("a store that is open: %v", err)
	}
	mustClose(t, s)
	if err := mem.WriteFile("/half/INCOMPLETE", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := at("/half"); !errors.Is(err, filestore.ErrIncomplete) {
		t.Errorf("half a snapshot: %v", err)
	}
	if _, err := filestore.Repair(background, "/store", &filestore.RepairOptions{FS: mem, StoreID: "x"}); err == nil {
		t.Error("a bad id: no error")
	}
}

// TestRepairOfTheID repairs stores whose files do not say, or not with one voice, which
// store they are.
func TestRepairOfTheID(t *testing.T) {
	d := newSealedDisk(t)
	other := newSealedDisk(t)
	id := string(other.read("/store/STORE"))
	_, id, _ = strings.Cut(id, "\nid ")
	id, _, _ = strings.Cut(id, "\n")

	foreign := disk{d.KillClone(), t}
	foreign.write("/store/STORE", other.read("/store/STORE"))
	if _, err := filestore.Repair(background, "/store", &filestore.RepairOptions{FS: foreign}); !errors.Is(err, cts.ErrCorrupt) || !strings.Contains(err.Error(), "StoreID") {
		t.Errorf("STORE of another store: %v", err)
	}
	mine := string(d.read("/store/STORE"))
	_, mine, _ = strings.Cut(mine, "\nid ")
	mine, _, _ = strings.Cut(mine, "\n")
	report, err := filestore.Repair(background, "/store", &filestore.RepairOptions{FS: foreign, StoreID: mine})
	if err != nil || report.StoreID != mine || report.Traces != 40 {
		t.Errorf("with the id given: %+v, %v", report, err)
	}
	checkRepaired(t, foreign, nil, 40, 40)

	bare := disk{d.KillClone(), t} // segments alone
	for _, name := range bare.Files() {
		if !strings.HasSuffix(name, ".seg") {
			bare.remove("/" + name)
		}
	}
	if _, err := filestore.Repair(background, "/store", &filestore.RepairOptions{FS: bare}); !errors.Is(err, cts.ErrCorrupt) {
		t.Errorf("segments alone: %v", err)
	}
	report, err = filestore.Repair(background, "/store", &filestore.RepairOptions{FS: bare, StoreID: id})
	if err != nil || report.StoreID != id || report.Traces != 30 {
		t.Errorf("segments alone, with an id: %+v, %v", report, err)
	}
	checkRepaired(t, bare, nil, 30, 30)
}

// TestRepairHoldsWhatConsumersNeed repairs CONSUMERS: retention drops nothing before
// somebody says so.
func TestRepairHoldsWhatConsumersNeed(t *testing.T) {
	d := newSealedDisk(t)
	d.flip("/store/CONSUMERS", 100)
	if !bytes.Contains(d.read("/store/CONSUMERS"), []byte("consumer dumper")) {
		d.flip("/store/CONSUMERS", 100)
		t.Fatalf("the test damages the name: %s", d.read("/store/CONSUMERS"))
	}
	if _, err := filestore.Repair(background, "/store", &filestore.RepairOptions{FS: d}); err != nil {
		t.Fatal(err)
	}
	s := open(t, d, "/store", filestore.Options{})
	all, err := s.Consumers(background)
	if err != nil || !cmp.Equal(all, map[string]cts.Position{"dumper": 0, "repaired": 0}) {
		t.Errorf("%v, %v", all, err)
	}
	everything := cts.Retention{Before: 1 << 60}
	if done, err := s.Retain(background, everything); err != nil || done.Traces != 0 {
		t.Errorf("dropped %+v, %v", done, err)
	}
	if err := errors.Join(s.SetConsumer(background, "dumper", 25), s.RemoveConsumer(background, "repaired")); err != nil {
		t.Fatal(err)
	}
	if done, err := s.Retain(background, everything); err != nil || done.Traces != 20 {
		t.Errorf("dropped %+v, %v", done, err)
	}
}

// TestRepairOnDisk repairs a store on a real file system.
func TestRepairOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := lived(t, vfs.OS, dir, filestore.Options{})
	want := tell(t, s)
	if err := s.Compact(background); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	if err := errors.Join(vfs.OS.Remove(dir+"/MANIFEST"), vfs.OS.Remove(dir+"/STORE")); err != nil {
		t.Fatal(err)
	}
	if _, err := filestore.Open(dir, nil); !errors.Is(err, cts.ErrCorrupt) {
		t.Fatalf("Open: %v", err)
	}
	report, err := filestore.Repair(background, dir, &filestore.RepairOptions{StoreID: want.ID})
	if err != nil || report.OK() || report.Traces != int64(len(want.Traces)) || report.Oldest != 31 {
		t.Fatalf("%+v, %v", report, err)
	}
	again := open(t, vfs.OS, dir, filestore.Options{})
	if got := tell(t, again); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	verify(t, again)
}
