package filestore_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// TestCrashAnywhere takes the power away before every operation of the scenario,
// with many outcomes of what was not synced, and kills the process there too.
func TestCrashAnywhere(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 3
	}
	for _, level := range levels {
		t.Run(level.String(), func(t *testing.T) {
			t.Parallel()
			least := lasting
			if level == filestore.SyncCommit {
				least = acked
			}
			mem := vfstest.NewMemFS()
			fault := vfstest.NewFaultFS(mem)
			l := newLedger()
			fault.OnOp = func(op vfstest.Op) {
				if t.Failed() {
					return
				}
				now := l.clone()
				killed := mem.KillClone()
				if err := now.check(killed, "/dir/store", acked); err != nil {
					t.Errorf("killed before operation %d (%s): %v", op.N, op, err)
				}
				// What the next process showed and closed, a crash can't take.
				later := killed.CrashClone(vfstest.CrashOptions{})
				if err := errors.Join(checkProbes(later, "/dir/store"), now.check(later, "/dir/store", acked)); err != nil {
					t.Errorf("killed before operation %d (%s), opened, closed, then a crash: %v", op.N, op, err)
				}
				if err := now.check(mem.CrashClone(vfstest.CrashOptions{}), "/dir/store", least); err != nil {
					t.Errorf("crash before operation %d (%s), only what is synced: %v", op.N, op, err)
				}
				for seed := range seeds {
					opts := vfstest.CrashOptions{Rand: rand.New(rand.NewPCG(uint64(op.N), seed)), Survive: []float64{0.1, 0.5, 0.9}[seed%3]}
					if err := now.check(mem.CrashClone(opts), "/dir/store", least); err != nil {
						t.Errorf("crash before operation %d (%s), seed %d: %v", op.N, op, seed, err)
					}
				}
			}
			scenario(t, fault, "/dir/store", level, l)
		})
	}
}

// TestCrashInRecovery takes the power away while the scenario runs, and again while
// the store is opened after that.
func TestCrashInRecovery(t *testing.T) {
	mem := vfstest.NewMemFS()
	fault := vfstest.NewFaultFS(mem)
	l := newLedger()
	fault.OnOp = func(op vfstest.Op) {
		if t.Failed() || op.N%3 != 0 {
			return
		}
		now := l.clone()
		rng := rand.New(rand.NewPCG(uint64(op.N), 1))
		second := mem.CrashClone(vfstest.CrashOptions{Rand: rng})
		recovering := vfstest.NewFaultFS(second)
		recovering.OnOp = func(again vfstest.Op) {
			if err := now.check(second.CrashClone(vfstest.CrashOptions{Rand: rng}), "/dir/store", acked); err != nil {
				t.Errorf("crash before operation %d (%s), again before operation %d (%s) of opening: %v", op.N, op, again.N, again, err)
			}
		}
		if err := now.check(recovering, "/dir/store", acked); err != nil {
			t.Errorf("crash before operation %d (%s): %v", op.N, op, err)
		}
	}
	scenario(t, fault, "/dir/store", filestore.SyncCommit, l)
}

// TestFailedWriteback fails each sync of the scenario on an operating system that
// forgets what it could not write, so that only writing again helps.
func TestFailedWriteback(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine does everything here: run without the race detector")
	}
	for _, level := range levels {
		t.Run(level.String(), func(t *testing.T) {
			for n := 1; ; n++ {
				mem := vfstest.NewMemFS()
				fault := vfstest.NewFaultFS(mem)
				syncs := 0
				fault.Set(func(op vfstest.Op) error {
					if op.Kind != vfstest.KindSync {
						return nil
					}
					if syncs++; syncs != n {
						return nil
					}
					mem.DropDirty(op.Name)
					return errDisk
				})
				l := newLedger()
				scenario(t, fault, "/dir/store", level, l)
				if fault.Hits() == 0 {
					break
				}
				if !l.surfacedInjected() {
					t.Errorf("sync %d failed and nobody was told", n)
				}
				if err := l.check(mem.CrashClone(vfstest.CrashOptions{}), "/dir/store", lasting); err != nil {
					t.Errorf("sync %d failed, then a crash: %v", n, err)
				}
			}
		})
	}
}

// TestOpenMakesDurableWhatItShows kills a process whose last traces the operating
// system failed to write back, which nobody was told. What the next process shows
// must not be taken away by a crash.
func TestOpenMakesDurableWhatItShows(t *testing.T) {
	mem := vfstest.NewMemFS()
	s := open(t, mem, "/store", filestore.Options{Sync: filestore.SyncOS})
	mustAppend(t, s, numbered(1, 3)...)
	mem.DropDirty("/store/log/00000001.log")
	killed := mem.KillClone()
	again := open(t, killed, "/store", filestore.Options{Sync: filestore.SyncOS})
	shown, _ := ids(t, again, 0)
	if !slices.Equal(shown, idsOf(1, 3)) {
		t.Fatalf("after the kill: %v", shown)
	}
	after := open(t, killed.CrashClone(vfstest.CrashOptions{}), "/store", filestore.Options{})
	if got, damage := ids(t, after, 0); !slices.Equal(got, shown) || damage != nil {
		t.Errorf("after the crash: %v, damage %v", got, damage)
	}
}
