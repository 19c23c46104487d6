package filestore_test

import (
	"errors"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// TestStateThatMayNotLast fails the last step of a save, so that the new state is
// seen and a crash may take it. Whoever loads it builds on it, so it must last then.
func TestStateThatMayNotLast(t *testing.T) {
	mem := vfstest.NewMemFS()
	fault := vfstest.NewFaultFS(mem)
	s := open(t, fault, "/store", filestore.Options{})
	if _, err := s.SaveState(background, "plan", []byte("old"), 0); err != nil {
		t.Fatal(err)
	}
	fault.Set(func(op vfstest.Op) error {
		if op.Kind == vfstest.KindSyncDir {
			return errDisk
		}
		return nil
	})
	if _, err := s.SaveState(background, "plan", []byte("new"), 1); !errors.Is(err, cts.ErrOutcomeUnknown) || !errors.Is(err, errDisk) {
		t.Errorf("SaveState: %v", err)
	}
	if _, _, err := s.LoadState(background, "plan"); !errors.Is(err, errDisk) {
		t.Errorf("LoadState while it can't be made to last: %v", err)
	}
	fault.Set(nil)
	data, generation, err := s.LoadState(background, "plan")
	if err != nil || string(data) != "new" || generation != 2 {
		t.Errorf("got %q, %d, %v", data, generation, err)
	}
	after := open(t, mem.CrashClone(vfstest.CrashOptions{}), "/store", filestore.Options{})
	if data, generation, err = after.LoadState(background, "plan"); err != nil || string(data) != "new" || generation != 2 {
		t.Errorf("after a crash: %q, %d, %v", data, generation, err)
	}
}

// TestStateIsTiedToStoreAndName swaps files of states, which are intact each.
func TestStateIsTiedToStoreAndName(t *testing.T) {
	mem := vfstest.NewMemFS()
	s := open(t, mem, "/a", filestore.Options{})
	other := open(t, mem, "/b", filestore.Options{})
	for _, name := range []string{"one", "two"} {
		if _, err := s.SaveState(background, name, []byte(name), 0); err != nil {
			t.Fatal(err)
		}
	}
	b, err := mem.ReadFile("/a/state/one.state")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/a/state/two.state", "/b/state/one.state"} {
		if err := mem.WriteFile(name, b); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.LoadState(background, "two"); !errors.Is(err, cts.ErrCorrupt) {
		t.Errorf("of another name: %v", err)
	}
	if _, err := s.SaveState(background, "two", nil, 1); !errors.Is(err, cts.ErrCorrupt) {
		t.Errorf("saving over it: %v", err)
	}
	if _, _, err := other.LoadState(background, "one"); !errors.Is(err, cts.ErrCorrupt) {
		t.Errorf("of another store: %v", err)
	}
	if err := mem.Remove("/a/state/two.state"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SaveState(background, "two", nil, 0); err != nil {
		t.Errorf("after it was removed: %v", err)
	}
}
