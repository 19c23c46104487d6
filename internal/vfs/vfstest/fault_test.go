package vfstest_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
)

var errBoom = errors.New("boom")

// scenario does every counted operation once and stops at the first error.
func scenario(fsys vfs.FS, dir string) error {
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := fsys.MkdirAll(in("d"), 0o700); err != nil {
		return err
	}
	f, err := fsys.OpenFile(in("d/f"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	steps := []func() error{
		func() error { _, err := f.Write([]byte("hello")); return err },
		func() error { _, err := f.Write([]byte("world!")); return err },
		func() error { _, err := f.WriteAt([]byte("HE"), 0); return err },
		func() error { return f.Truncate(10) },
		f.Sync,
		func() error { return fsys.Link(in("d/f"), in("g")) },
		func() error { return fsys.Rename(in("g"), in("h")) },
		func() error { return fsys.Remove(in("h")) },
		func() error { return fsys.SyncDir(in("d")) },
		func() error { return fsys.SyncDir(dir) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

var scenarioLog = []string{
	"mkdir d",
	"create d/f",
	"write d/f @0 +5",
	"write d/f @5 +6",
	"write d/f @0 +2",
	"truncate d/f to 10",
	"sync d/f",
	"link d/f -> g",
	"rename g -> h",
	"remove h",
	"syncdir d",
	"syncdir .",
}

func TestLogFS(t *testing.T) {
	dirs := map[string]vfs.FS{"/": vfstest.NewMemFS(), ".": vfstest.NewMemFS(), t.TempDir(): vfs.OS}
	for dir, fsys := range dirs {
		log := vfstest.NewLogFS(fsys, dir)
		must(t, scenario(log, dir))
		if got, want := log.String(), strings.Join(scenarioLog, "\n")+"\n"; got != want {
			t.Errorf("in %s:\n%swant:\n%s", dir, got, want)
		}
		log.Reset()
		if got := log.String(); got != "" {
			t.Errorf("after Reset: %q", got)
		}
	}
}

func TestLogFSTempNamesAndFailures(t *testing.T) {
	fault := vfstest.NewFaultFS(vfstest.NewMemFS())
	fault.Set(func(op vfstest.Op) error {
		if op.Kind == vfstest.KindRename && op.N > 6 {
			return syscall.EIO
		}
		return nil
	})
	log := vfstest.NewLogFS(fault, ".")
	must(t, vfs.WriteFileAtomic(log, "f", []byte("abc"), 0o600))
	log.Note("# %s", "again")
	if err := vfs.WriteFileAtomic(log, "f", []byte("abc"), 0o600); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want EIO", err)
	}
	want := `create .tmp-1
write .tmp-1 @0 +3
sync .tmp-1
rename .tmp-1 -> f
syncdir .
# again
create .tmp-2
write .tmp-2 @0 +3
sync .tmp-2
rename .tmp-2 -> f !` + syscall.EIO.Error() + `
remove .tmp-2
`
	if got := log.String(); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

func TestFailNthMeetsEveryOperation(t *testing.T) {
	for n := 1; ; n++ {
		log := vfstest.NewLogFS(vfstest.NewMemFS(), ".")
		fault := vfstest.NewFaultFS(log)
		fault.Set(vfstest.FailNth(n, errBoom))
		err := scenario(fault, ".")
		done := strings.Count(log.String(), "\n")
		if fault.Hits() == 0 {
			if err != nil || n != len(scenarioLog)+1 || fault.Count() != len(scenarioLog) {
				t.Errorf("n=%d ended with %v after %d operations", n, err, fault.Count())
			}
			break
		}
		if !errors.Is(err, errBoom) || fault.Hits() != 1 || done != n-1 {
			t.Errorf("n=%d: %v, %d hits, %d operations done", n, err, fault.Hits(), done)
		}
		if pe := (*fs.PathError)(nil); !errors.As(err, &pe) {
			t.Errorf("n=%d: %T is not a path error", n, err)
		}
	}
}

func TestFaultKinds(t *testing.T) {
	const secondWrite = 4
	tests := []struct {
		name     string
		inject   vfstest.Injector
		wantData string
		wantHits int
	}{
		{"none", nil, "HElloworld", 0},
		{"fail", vfstest.FailNth(secondWrite, errBoom), "hello", 1},
		{"tear", vfstest.TearNth(secondWrite, errBoom), "hellowor", 1},
		{"late", vfstest.LateNth(secondWrite, errBoom), "helloworld!", 1},
		{"late truncate", vfstest.LateNth(secondWrite+2, errBoom), "HElloworld", 1},
		{"torn sync", vfstest.TearNth(secondWrite+3, errBoom), "HElloworld", 1},
		{"too long a tear", func(op vfstest.Op) error {
			if op.N == secondWrite {
				return &vfstest.Torn{N: 99, Err: errBoom}
			}
			return nil
		}, "helloworld!", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			mem := vfstest.NewMemFS()
			fault := vfstest.NewFaultFS(mem)
			fault.Set(test.inject)
			err := scenario(fault, ".")
			if (err == nil) != (test.wantHits == 0) || (err != nil && !errors.Is(err, errBoom)) {
				t.Errorf("got error %v", err)
			}
			if got := content(t, mem, "d/f"); got != test.wantData || fault.Hits() != test.wantHits {
				t.Errorf("content %q and %d hits, want %q and %d", got, fault.Hits(), test.wantData, test.wantHits)
			}
		})
	}
}

func TestFailFrom(t *testing.T) {
	fault := vfstest.NewFaultFS(vfstest.NewMemFS())
	fault.Set(vfstest.FailFrom(2, errBoom))
	if err := scenario(fault, "."); !errors.Is(err, errBoom) {
		t.Errorf("got %v", err)
	}
	for range 3 {
		if err := fault.SyncDir("."); !errors.Is(err, errBoom) {
			t.Errorf("a dead disk came back: %v", err)
		}
	}
	if got := fault.Hits(); got != 4 {
		t.Errorf("%d hits, want 4", got)
	}
	if _, err := fault.ReadDir("."); err != nil {
		t.Errorf("reading is not counted and must work: %v", err)
	}
}

func TestCountAllAndOnOp(t *testing.T) {
	mem := vfstest.NewMemFS()
	must(t, mem.WriteFile("f", []byte("abc")))
	fault := vfstest.NewFaultFS(mem)
	fault.CountAll = true
	var kinds []vfstest.Kind
	fault.OnOp = func(op vfstest.Op) {
		if op.N != len(kinds)+1 {
			t.Errorf("number %d follows %d", op.N, len(kinds))
		}
		kinds = append(kinds, op.Kind)
		mem.CrashClone(vfstest.CrashOptions{}) // must not deadlock
	}
	_, err := vfs.ReadFile(fault, "f", 10)
	must(t, err)
	lock, err := fault.Lock(".")
	must(t, err, lock.Close())
	f, err := fault.OpenFile("f", os.O_WRONLY|os.O_TRUNC, 0)
	must(t, err, f.Close())
	want := []vfstest.Kind{"open", "read", "read", "close", "lock", "truncate", "close"}
	if !slices.Equal(kinds, want) {
		t.Errorf("got %q, want %q", kinds, want)
	}
	for _, fail := range []vfstest.Kind{vfstest.KindOpen, vfstest.KindRead, vfstest.KindClose} {
		fault.OnOp = nil
		fault.Set(func(op vfstest.Op) error {
			if op.Kind == fail {
				return errBoom
			}
			return nil
		})
		if _, err := vfs.ReadFile(fault, "f", 10); !errors.Is(err, errBoom) {
			t.Errorf("failing %s: %v", fail, err)
		}
	}
}

// TestLateGivesNothingAway checks that what was opened or locked before a late
// failure is closed again.
func TestLateGivesNothingAway(t *testing.T) {
	mem := vfstest.NewMemFS()
	fault := vfstest.NewFaultFS(mem)
	fault.Set(func(vfstest.Op) error { return &vfstest.Late{Err: errBoom} })
	if f, err := fault.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600); f != nil || !errors.Is(err, errBoom) {
		t.Errorf("OpenFile = %v, %v", f, err)
	}
	if got := mem.Files(); !slices.Equal(got, []string{"f"}) {
		t.Errorf("the open took no effect: %q", got)
	}
	if lock, err := fault.Lock("."); lock != nil || !errors.Is(err, errBoom) {
		t.Errorf("Lock = %v, %v", lock, err)
	}
	if _, err := mem.Lock("."); err != nil {
		t.Errorf("the lock is still held: %v", err)
	}
}
