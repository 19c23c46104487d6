package vfstest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
)

func create(t *testing.T, fsys vfs.FS, name string, data []byte) vfs.File {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	return f
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, m *vfstest.MemFS, name string) string {
	t.Helper()
	data, err := m.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "(absent)"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestCrashKeepsWhatIsSynced runs small histories and gives what the disk must
// hold after a power loss without luck.
func TestCrashKeepsWhatIsSynced(t *testing.T) {
	tests := []struct {
		name string
		do   func(t *testing.T, m *vfstest.MemFS)
		want map[string]string
	}{
		{"nothing synced", func(t *testing.T, m *vfstest.MemFS) {
			create(t, m, "f", []byte("x"))
		}, map[string]string{"f": "(absent)"}},
		{"content without entry", func(t *testing.T, m *vfstest.MemFS) {
			must(t, create(t, m, "f", []byte("x")).Sync())
		}, map[string]string{"f": "(absent)"}},
		{"entry without content", func(t *testing.T, m *vfstest.MemFS) {
			create(t, m, "f", []byte("x"))
			must(t, m.SyncDir("/"))
		}, map[string]string{"f": ""}},
		{"both", func(t *testing.T, m *vfstest.MemFS) {
			f := create(t, m, "f", []byte("x"))
			must(t, f.Sync(), m.SyncDir("."))
		}, map[string]string{"f": "x"}},
		{"written on after sync", func(t *testing.T, m *vfstest.MemFS) {
			f := create(t, m, "f", []byte("abc"))
			must(t, f.Sync(), m.SyncDir("."))
			_, err := f.WriteAt([]byte("XYZ!"), 1)
			must(t, err, f.Truncate(2))
		}, map[string]string{"f": "abc"}},
		{"file in a new directory", func(t *testing.T, m *vfstest.MemFS) {
			must(t, m.MkdirAll("d/e", 0o700))
			f := create(t, m, "d/e/f", []byte("x"))
			must(t, f.Sync(), m.SyncDir("d/e"), m.SyncDir("/"))
		}, map[string]string{"d/e/f": "(absent)"}},
		{"rename not synced", func(t *testing.T, m *vfstest.MemFS) {
			must(t, m.WriteFile("old", []byte("1")), m.WriteFile("new", []byte("2")), m.Rename("old", "new"))
		}, map[string]string{"old": "1", "new": "2"}},
		{"rename synced", func(t *testing.T, m *vfstest.MemFS) {
			must(t, m.WriteFile("old", []byte("1")), m.WriteFile("new", []byte("2")), m.Rename("old", "new"), m.SyncDir("."))
		}, map[string]string{"old": "(absent)", "new": "1"}},
		{"rename across, target synced", func(t *testing.T, m *vfstest.MemFS) {
			must(t, m.WriteFile("a/f", []byte("1")), m.WriteFile("b/x", nil), m.Rename("a/f", "b/f"), m.SyncDir("b"))
		}, map[string]string{"a/f": "1", "b/f": "1"}},
		{"rename across, source synced", func(t *testing.T, m *vfstest.MemFS) {
			must(t, m.WriteFile("a/f", []byte("1")), m.WriteFile("b/x", nil), m.Rename("a/f", "b/f"), m.SyncDir("a"))
		}, map[string]string{"a/f": "(absent)", "b/f": "1"}},
		{"link not synced", func(t *testing.T, m *vfstest.MemFS) {
			must(t, m.WriteFile("f", []byte("1")), m.Link("f", "g"))
		}, map[string]string{"f": "1", "g": "(absent)"}},
		{"link shares content", func(t *testing.T, m *vfstest.MemFS) {
			must(t, m.WriteFile("f", []byte("1")), m.Link("f", "g"), m.SyncDir("."))
			f := create(t, m, "f", []byte("22"))
			must(t, f.Sync(), m.Remove("f"), m.SyncDir("."))
		}, map[string]string{"f": "(absent)", "g": "22"}},
		{"remove not synced", func(t *testing.T, m *vfstest.MemFS) {
			must(t, m.WriteFile("f", []byte("1")), m.Remove("f"))
		}, map[string]string{"f": "1"}},
		{"O_SYNC", func(t *testing.T, m *vfstest.MemFS) {
			must(t, m.WriteFile("f", nil))
			f, err := m.OpenFile("f", os.O_WRONLY|os.O_SYNC, 0)
			must(t, err)
			_, err = f.Write([]byte("1"))
			must(t, err, f.Close())
		}, map[string]string{"f": "1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := vfstest.NewMemFS()
			test.do(t, m)
			// A kill loses nothing, nor does it make anything durable.
			for kind, disk := range map[string]*vfstest.MemFS{"crash": m.CrashClone(vfstest.CrashOptions{}), "kill and crash": m.KillClone().CrashClone(vfstest.CrashOptions{})} {
				for name, want := range test.want {
					if got := content(t, disk, name); got != want {
						t.Errorf("%s: %s holds %q, want %q", kind, name, got, want)
					}
				}
			}
			if got, want := m.KillClone().Files(), m.Files(); !slices.Equal(got, want) {
				t.Errorf("a kill leaves %q of %q", got, want)
			}
		})
	}
}

// TestCrashIsPossible takes many random crashes of one history. Each must be a
// disk that could be, and each kind of luck must turn up.
func TestCrashIsPossible(t *testing.T) {
	m := vfstest.NewMemFS()
	oldData, newData := bytes.Repeat([]byte("o"), 1300), bytes.Repeat([]byte("n"), 2100)
	must(t, m.WriteFile("f", oldData), m.WriteFile("a", []byte("A")), m.WriteFile("b", []byte("B")), m.WriteFile("d/x", []byte("X")))
	create(t, m, "f", newData)
	must(t, m.Rename("a", "b"), m.Rename("d/x", "y"))
	seen := map[string]int{}
	for seed := range uint64(500) {
		disk := m.CrashClone(vfstest.CrashOptions{Rand: rand.New(rand.NewPCG(seed, 2))})
		again := m.CrashClone(vfstest.CrashOptions{Rand: rand.New(rand.NewPCG(seed, 2))})
		if content(t, disk, "f") != content(t, again, "f") || !slices.Equal(disk.Files(), again.Files()) {
			t.Fatalf("seed %d gives two different disks", seed)
		}
		seen["f: "+describeSectors(t, []byte(content(t, disk, "f")))]++
		seen["rename: "+content(t, disk, "a")+content(t, disk, "b")]++
		seen["across: "+content(t, disk, "d/x")+content(t, disk, "y")]++
	}
	for _, want := range []string{"rename: AB", "rename: (absent)A", "across: X(absent)", "across: XX", "across: (absent)X", "f: ooo", "f: nnnnn", "f: non", "f: ooo00"} {
		if seen[want] == 0 {
			t.Errorf("never saw %q", want)
		}
		delete(seen, want)
	}
	for got := range seen {
		if got[:3] != "f: " {
			t.Errorf("saw %q, which cannot be", got)
		}
	}
}

// describeSectors gives a letter for each sector, which must be of one kind
// except where the old end lies.
func describeSectors(t *testing.T, data []byte) string {
	t.Helper()
	if len(data) != 1300 && len(data) != 2100 {
		t.Fatalf("size %d was never the file's", len(data))
	}
	text := ""
	for start := 0; start < len(data); start += 512 {
		sector := data[start:min(start+512, len(data))]
		kind := sector[0]
		for i, b := range sector {
			if b != kind && (start+i < 1300 || b != 0) {
				t.Fatalf("torn inside a sector at %d", start+i)
			}
		}
		if kind == 0 {
			kind = '0'
		}
		text += string(kind)
	}
	return text
}

func TestClonesAreApart(t *testing.T) {
	m := vfstest.NewMemFS()
	must(t, m.WriteFile("d/f", []byte("1")))
	_, err := m.Lock("d")
	must(t, err)
	for name, clone := range map[string]*vfstest.MemFS{"crash": m.CrashClone(vfstest.CrashOptions{}), "kill": m.KillClone()} {
		if _, err := clone.Lock("d"); err != nil {
			t.Errorf("%s: the lock went along: %v", name, err)
		}
		must(t, clone.WriteFile("d/f", []byte(name)), clone.WriteFile("d/g", nil))
	}
	if got := content(t, m, "d/f"); got != "1" || len(m.Files()) != 1 {
		t.Errorf("writing to a clone changed the original: %q, %q", got, m.Files())
	}
}

// TestKillThenCrash checks that a clone of a kill loses what is not synced in
// the same ways as the original, also for renames between directories.
func TestKillThenCrash(t *testing.T) {
	m := vfstest.NewMemFS()
	must(t, m.WriteFile("a/f", []byte("old")), m.WriteFile("b/x", nil))
	create(t, m, "a/f", []byte("new"))
	must(t, m.Rename("a/f", "b/f"))
	for seed := range uint64(50) {
		crash := func(m *vfstest.MemFS) string {
			disk := m.CrashClone(vfstest.CrashOptions{Rand: rand.New(rand.NewPCG(seed, 3))})
			return fmt.Sprint(content(t, disk, "a/f"), content(t, disk, "b/f"))
		}
		if got, want := crash(m.KillClone()), crash(m); got != want {
			t.Errorf("seed %d: %q after a kill, %q without", seed, got, want)
		}
	}
}
