package filestore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// chore is something that a store does with what is stored.
type chore struct {
	name string
	do   func(s *filestore.Store) error
	drop int // the traces up to this number may be dropped by it
}

var chores = []chore{
	{name: "seal", do: func(s *filestore.Store) error { return filestore.Seal(background, s) }},
	{name: "compact", do: func(s *filestore.Store) error { return s.Compact(background) }},
	{
		name: "retain", drop: 10,
		do: func(s *filestore.Store) error {
			_, err := s.Retain(background, cts.Retention{Before: traceOf(11).RecordTime})
			return err
		},
	},
	{
		name: "retain all and compact", drop: 41,
		do: func(s *filestore.Store) error {
			_, err := s.Retain(background, cts.Retention{Before: 1 << 60})
			return errors.Join(err, s.Compact(background))
		},
	},
}

// worker returns a store with three segments of ten traces and ten more in two log
// files, on which chores are done.
func worker(t testing.TB, fault *vfstest.FaultFS, l *ledger) *filestore.Store {
	t.Helper()
	opts := filestore.Inline(filestore.Unmerged(filestore.Options{Events: l.events(), LockWait: -1}))
	s := open(t, fault, "/dir/store", opts)
	for n := 1; n <= 40; n += 5 {
		if err := l.append(s, n, n+4); err != nil {
			t.Fatal(err)
		}
		if n%10 == 6 && n < 30 {
			if err := filestore.Seal(background, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.save(s, "plan", "state"); err != nil {
		t.Fatal(err)
	}
	return s
}

// holds checks that a store has everything but what a chore may have dropped, as a
// whole, and that nothing is damaged.
func holds(s *filestore.Store, drop, until int) error {
	first := int(s.Status().First)
	if first == 0 {
		first = until + 1
	}
	if first > drop+1 || first%5 != 1 && first <= until {
		return fmt.Errorf("the store begins at %d, up to %d may be dropped", first, drop)
	}
	var got []string
	next := cts.Position(first)
	for e, err := range s.After(background, next-1) {
		if err != nil {
			return err
		}
		id, _, _, _ := cts.PeekJSON(e.JSON)
		if got = append(got, id); e.Position != next {
			return fmt.Errorf("position %d where %d is due", e.Position, next)
		}
		next++
	}
	if want := idsOf(first, until); !slices.Equal(got, want) {
		return fmt.Errorf("%d traces, want %d", len(got), len(want))
	}
	byQuery, err := cts.Collect(s.Query(background, cts.Query{}.OldestFirst()))
	if err != nil || len(byQuery) != len(got) {
		return fmt.Errorf("a query finds %d traces, want %d: %w", len(byQuery), len(got), err)
	}
	report, err := s.Verify(background)
	if err != nil || !report.OK() || report.Traces != int64(len(got)) {
		return fmt.Errorf("verify: %+v, %w", report, err)
	}
	return nil
}

// holdsAgain is holds of what a process left, which must be able to go on.
func holdsAgain(disk *vfstest.MemFS, drop int) error {
	opts := filestore.Inline(filestore.Options{FS: disk, LockWait: -1})
	s, err := filestore.Open("/dir/store", &opts)
	if err != nil {
		return fmt.Errorf("open again: %w", err)
	}
	defer s.Close()
	if d := s.Status().Recovery.Damaged; d != nil {
		return fmt.Errorf("open found damage: %w", d[0].Error)
	}
	if err := holds(s, drop, 40); err != nil {
		return fmt.Errorf("open again: %w", err)
	}
	if _, err := s.Append(background, numbered(41, 43)); err != nil {
		return fmt.Errorf("append again: %w", err)
	}
	if err := s.Compact(background); err != nil {
		return fmt.Errorf("compact again: %w", err)
	}
	r, err := filestore.OpenReader("/dir/store", &filestore.Options{FS: disk})
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	defer r.Close()
	if err := holds(r, drop, 43); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	return holds(s, drop, 43)
}

// TestChoresFail fails every operation of sealing, merging and dropping. The error is
// told, the store goes on with everything that it had, and so does the next process,
// also after a crash.
func TestChoresFail(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine does everything here: run without the race detector")
	}
	kinds := map[string]func(n int) vfstest.Injector{
		"fail": func(n int) vfstest.Injector { return vfstest.FailNth(n, errDisk) },
		"late": func(n int) vfstest.Injector { return vfstest.LateNth(n, errDisk) },
		"full": func(n int) vfstest.Injector { return vfstest.TearNth(n, syscall.ENOSPC) },
		"from": func(n int) vfstest.Injector { return vfstest.FailFrom(n, errDisk) },
	}
	for _, c := range chores {
		for name, inject := range kinds {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				for n := 1; choreFails(t, c, n, inject(n), name == "fail") && !t.Failed(); n++ {
				}
			})
		}
	}
}

// choreFails fails operation n of a chore, of those that change something or of all, and
// reports whether there was one.
func choreFails(t *testing.T, c chore, n int, inject vfstest.Injector, all bool) bool {
	mem := vfstest.NewMemFS()
	fault := vfstest.NewFaultFS(mem)
	fault.CountAll = all
	l := newLedger()
	s := worker(t, fault, l)
	var failed vfstest.Op
	fault.Set(func(op vfstest.Op) error {
		err := inject(op)
		if err != nil && failed.N == 0 {
			failed = op
		}
		return err
	})
	l.saw(c.do(s))
	hits := fault.Hits()
	fault.Set(nil)
	if hits == 0 {
		return false
	}
	what := fmt.Sprintf("operation %d (%s) failed", n, failed)
	if !l.surfacedInjected() && !harmless(failed) {
		t.Errorf("%s: nobody was told", what)
	}
	if err := holds(s, c.drop, 40); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	crashed := mem.CrashClone(vfstest.CrashOptions{Rand: rand.New(rand.NewPCG(uint64(n), 1))})
	for name, disk := range map[string]*vfstest.MemFS{"a kill": mem.KillClone(), "a crash": crashed} {
		if err := holdsAgain(disk, c.drop); err != nil {
			t.Errorf("%s, then %s: %v", what, name, err)
		}
	}
	if err := c.do(s); err != nil {
		t.Errorf("%s: tried again: %v", what, err)
	}
	mustAppend(t, s, numbered(41, 41)...)
	if err := errors.Join(s.Compact(background), holds(s, c.drop, 41)); err != nil {
		t.Errorf("%s: tried again: %v", what, err)
	}
	mustClose(t, s)
	return true
}

// TestChoresCrash stops the process, or the power, at every operation of sealing,
// merging and dropping.
func TestChoresCrash(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine does everything here: run without the race detector")
	}
	for _, c := range chores {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			mem := vfstest.NewMemFS()
			fault := vfstest.NewFaultFS(mem)
			s := worker(t, fault, newLedger())
			fault.Set(nil)
			fault.OnOp = func(op vfstest.Op) {
				disks := map[string]*vfstest.MemFS{"a kill": mem.KillClone(), "a crash": mem.CrashClone(vfstest.CrashOptions{})}
				for seed := range uint64(6) {
					disks[fmt.Sprint("a torn crash, seed ", seed)] = mem.CrashClone(vfstest.CrashOptions{Rand: rand.New(rand.NewPCG(uint64(op.N), seed))})
				}
				for what, disk := range disks {
					if err := holdsAgain(disk, c.drop); err != nil && !t.Failed() {
						t.Errorf("%s before operation %d (%s): %v", what, op.N, op, err)
					}
				}
			}
			err := c.do(s)
			fault.OnOp = nil
			if err != nil || fault.Count() < 4 {
				t.Errorf("%d operations, %v", fault.Count(), err)
			}
		})
	}
}

// TestHoleAcrossLogFiles seals damage that reaches from the end of one log file into
// the next: it stays told when the store is opened again.
func TestHoleAcrossLogFiles(t *testing.T) {
	d := newDisk(t)
	d.flip(log1, d.frame(log1, 3).Offset)
	d.flip(log2, d.frame(log2, 0).Offset)
	lost := [][2]cts.Position{{7, 11}}
	for _, what := range []string{"sealed", "opened again"} {
		s := open(t, d, "/store", *unsealed(filestore.Options{}))
		checkLost(t, what, s, lost, nil, 30)
		if err := filestore.Seal(background, s); err != nil {
			t.Fatal(err)
		}
		checkLost(t, what, s, lost, nil, 30)
		mustClose(t, s)
	}
}

// TestSealingPassesLostFiles seals behind a log file of which nothing is left.
func TestSealingPassesLostFiles(t *testing.T) {
	d := newDisk(t)
	d.cut(log2, 0)
	s := open(t, d, "/store", *unsealed(filestore.Options{}))
	if err := filestore.Seal(background, s); err != nil {
		t.Fatal(err)
	}
	if st := s.Status(); st.Sealed != 20 || st.LogFiles > 2 {
		t.Errorf("%+v", st)
	}
	checkLost(t, "sealed", s, [][2]cts.Position{{11, 20}}, nil, 30)
}
