package filestore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

var errDisk = errors.New("injected failure")

// TestEveryFailure runs the scenario once for each of its operations, failing that
// one. The error must surface, and afterwards, on a sound disk and after a crash as
// well, everything acknowledged must be there and nothing refused.
func TestEveryFailure(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine does everything here: run without the race detector")
	}
	kinds := map[string]func(n int) vfstest.Injector{
		"fail":      func(n int) vfstest.Injector { return vfstest.FailNth(n, errDisk) },
		"tear":      func(n int) vfstest.Injector { return vfstest.TearNth(n, errDisk) },
		"late":      func(n int) vfstest.Injector { return vfstest.LateNth(n, errDisk) },
		"full":      func(n int) vfstest.Injector { return vfstest.TearNth(n, syscall.ENOSPC) },
		"from-then": func(n int) vfstest.Injector { return vfstest.FailFrom(n, errDisk) },
		"late-then-fail": func(n int) vfstest.Injector { // a write that took effect and can't be taken back
			return func(op vfstest.Op) error {
				switch op.N {
				case n:
					return &vfstest.Late{Err: errDisk}
				case n + 1:
					return errDisk
				}
				return nil
			}
		},
		"three": func(n int) vfstest.Injector {
			return func(op vfstest.Op) error {
				if op.N >= n && op.N < n+3 {
					return errDisk
				}
				return nil
			}
		},
	}
	for name, inject := range kinds {
		for _, level := range levels {
			if level == filestore.SyncInterval && name != "fail" && name != "late" {
				continue // but for a timer it is SyncOS
			}
			t.Run(name+"/"+level.String(), func(t *testing.T) {
				t.Parallel()
				failEach(t, level, inject, false)
			})
		}
	}
}

// TestEveryFailedRead fails the operations that change nothing too.
func TestEveryFailedRead(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine does everything here: run without the race detector")
	}
	failEach(t, filestore.SyncCommit, func(n int) vfstest.Injector { return vfstest.FailNth(n, errDisk) }, true)
}

func failEach(t *testing.T, level filestore.SyncLevel, inject func(n int) vfstest.Injector, all bool) {
	for n := 1; ; n++ {
		mem := vfstest.NewMemFS()
		fault := vfstest.NewFaultFS(mem)
		fault.CountAll = all
		var failed vfstest.Op
		inner := inject(n)
		fault.Set(func(op vfstest.Op) error {
			err := inner(op)
			if err != nil && failed.N == 0 {
				failed = op
			}
			return err
		})
		l := newLedger()
		scenario(t, fault, "/dir/store", level, l)
		if fault.Hits() == 0 {
			t.Logf("%d operations", n-1)
			return
		}
		what := fmt.Sprintf("operation %d (%s) failed", n, failed)
		if !l.surfacedInjected() && !(all && harmless(failed)) {
			t.Errorf("%s: nobody was told", what)
		}
		for seed := range uint64(2) {
			disk := mem.CrashClone(vfstest.CrashOptions{Rand: rand.New(rand.NewPCG(uint64(n), seed))})
			least := lasting
			if level == filestore.SyncCommit {
				least = acked
			}
			if err := l.check(disk, "/dir/store", least); err != nil {
				t.Errorf("%s, then a crash, seed %d: %v", what, seed, err)
			}
		}
		if err := l.check(mem, "/dir/store", acked); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if t.Failed() {
			return
		}
	}
}

// harmless are the operations whose failure changes nothing for anybody: closing a
// file that was read or synced.
func harmless(op vfstest.Op) bool { return op.Kind == vfstest.KindClose }

func (l *ledger) surfacedInjected() bool {
	for _, err := range l.surfaced {
		if errors.Is(err, errDisk) || errors.Is(err, syscall.ENOSPC) {
			return true
		}
	}
	return false
}

// TestFullDisk fills the disk and makes room again.
func TestFullDisk(t *testing.T) {
	fault := vfstest.NewFaultFS(vfstest.NewMemFS())
	s := open(t, fault, "/store", filestore.Options{})
	mustAppend(t, s, numbered(1, 2)...)
	full := func(op vfstest.Op) error {
		if op.Kind == vfstest.KindWrite || op.Kind == vfstest.KindCreate {
			return &vfstest.Torn{N: 10, Err: syscall.ENOSPC}
		}
		return nil
	}
	for range 3 {
		fault.Set(full)
		if _, err := s.Append(background, numbered(3, 4)); !errors.Is(err, cts.ErrStoreFull) || !errors.Is(err, syscall.ENOSPC) || errors.Is(err, cts.ErrOutcomeUnknown) {
			t.Fatalf("got %v", err)
		}
		fault.Set(nil)
	}
	mustAppend(t, s, numbered(3, 5)...)
	if got, _ := ids(t, s, 0); len(got) != 5 {
		t.Errorf("got %v", got)
	}
	verify(t, s)
	if st := s.Status(); st.Failures == 0 || !errors.Is(st.LastFailure.Err, syscall.ENOSPC) {
		t.Errorf("status %+v", st)
	}
}

// TestFullDiskWhilePreparing has no room for a log file that is written next: appends
// that can still be stored are, and the operator is told.
func TestFullDiskWhilePreparing(t *testing.T) {
	mem := vfstest.NewMemFS()
	fault := vfstest.NewFaultFS(mem)
	s := open(t, fault, "/store", filestore.Unsealed(filestore.Inline(filestore.Options{LogFileBytes: 16 << 10})))
	fault.Set(func(op vfstest.Op) error {
		if op.Kind == vfstest.KindWrite && vfs.IsTemp(op.Name) && op.Len > wal.HeaderSize {
			return &vfstest.Torn{N: 100, Err: syscall.ENOSPC}
		}
		return nil
	})
	for n := 1; n <= 120; n++ {
		mustAppend(t, s, numbered(n, n)...)
	}
	mustClose(t, s)
	if st := s.Status(); st.Failures == 0 || st.LastFailure.Op != "prepare" || !errors.Is(st.LastFailure.Err, syscall.ENOSPC) {
		t.Errorf("status %+v", st)
	}
	for _, name := range mem.Files() {
		if vfs.IsTemp(name) {
			t.Errorf("%s was left", name)
		}
	}
	fault.Set(nil)
	again := open(t, fault, "/store", filestore.Options{})
	if got, damage := ids(t, again, 0); len(got) != 120 || damage != nil {
		t.Errorf("%d traces, damage %v", len(got), damage)
	}
}
