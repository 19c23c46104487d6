package filestore_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// lived returns a store with merged segments, a segment, a log of several files, two
// states and a consumer, and with the first traces dropped.
func lived(t testing.TB, fsys vfs.FS, dir string, opts filestore.Options) *filestore.Store {
	t.Helper()
	opts.LogFileBytes = 2 << 10
	s := open(t, fsys, dir, filestore.Inline(filestore.Unmerged(opts)))
	for n := 1; n <= 30; n += 3 {
		mustAppend(t, s, numbered(n, n+2)...)
	}
	if err := s.Compact(background); err != nil {
		t.Fatal(err)
	}
	for n := 31; n <= 50; n += 5 {
		mustAppend(t, s, numbered(n, n+4)...)
		if n == 36 {
			if err := filestore.Seal(background, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{"plan", "chain"} {
		if _, err := s.SaveState(background, name, []byte("state of "+name), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetConsumer(background, "dumper", 33); err != nil {
		t.Fatal(err)
	}
	if done, err := s.Retain(background, cts.Retention{Before: traceOf(31).RecordTime}); err != nil || done.Oldest != 31 {
		t.Fatalf("%+v, %v", done, err)
	}
	mustAppend(t, s, numbered(51, 52)...)
	return s
}

// told is everything that a store tells of itself.
type told struct {
	ID        string
	Traces    []string
	States    map[string]string
	Consumers map[string]cts.Position
	Damage    []string
}

func tell(t testing.TB, s *filestore.Store) told {
	t.Helper()
	what := told{ID: s.ID(), States: map[string]string{}}
	from := cts.Position(0)
	if first := s.Status().First; first > 0 {
		from = first - 1
	}
	for e, err := range s.After(background, from) {
		if err != nil {
			what.Damage = append(what.Damage, err.Error())
			continue
		}
		what.Traces = append(what.Traces, fmt.Sprint(e.Position, string(e.JSON)))
	}
	for _, name := range []string{"plan", "chain", "none"} {
		data, generation, err := s.LoadState(background, name)
		if err != nil {
			t.Errorf("state %s: %v", name, err)
		}
		what.States[name] = fmt.Sprint(string(data), generation)
	}
	var err error
	if what.Consumers, err = s.Consumers(background); err != nil {
		t.Error(err)
	}
	return what
}

func TestSnapshot(t *testing.T) {
	for _, level := range levels {
		for name, disk := range map[string]struct {
			fsys vfs.FS
			dir  string
		}{
			"memory":        {vfstest.NewMemFS(), "/store"},
			"disk":          {vfs.OS, t.TempDir() + "/" + level.String()},
			"without links": {noLinks{vfstest.NewMemFS()}, "/store"},
		} {
			t.Run(name+"/"+level.String(), func(t *testing.T) {
				s := lived(t, disk.fsys, disk.dir, filestore.Options{Sync: level})
				want := tell(t, s)
				to := disk.dir + "-copy/of/it"
				if err := cts.Snapshot(background, s, to); err != nil {
					t.Fatal(err)
				}
				if after := tell(t, s); len(after.Traces) != 22 || level == filestore.SyncCommit && !cmp.Equal(after, want) {
					t.Errorf("the store has changed: %s", cmp.Diff(want, after))
				}
				want = tell(t, s) // a snapshot syncs
				r, err := filestore.OpenReader(to, &filestore.Options{FS: disk.fsys})
				if err != nil {
					t.Fatal(err)
				}
				if got := tell(t, r); !cmp.Equal(got, want) {
					t.Errorf("the copy, by a reader: %s", cmp.Diff(want, got))
				}
				verify(t, r)
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				w := open(t, disk.fsys, to, filestore.Options{})
				if got := tell(t, w); !cmp.Equal(got, want) {
					t.Errorf("the copy, by a writer: %s", cmp.Diff(want, got))
				}
				if rec := w.Status().Recovery; rec.Torn != nil || rec.Damaged != nil || rec.MarkLost {
					t.Errorf("the copy had to be mended: %+v", rec)
				}
				liveApart(t, s, w, want)
			})
		}
	}
}

// noLinks is a file system without links.
type noLinks struct{ *vfstest.MemFS }

func (noLinks) Link(string, string) error { return syscall.EXDEV }

// liveApart changes a store and its copy, and checks that neither sees the other's.
func liveApart(t *testing.T, s, w *filestore.Store, was told) {
	t.Helper()
	mustAppend(t, s, numbered(61, 70)...)
	if err := s.Compact(background); err != nil {
		t.Error(err)
	}
	if got := tell(t, w); !cmp.Equal(got, was) {
		t.Errorf("what is done to the store changes the copy: %s", cmp.Diff(was, got))
	}
	now := tell(t, s)
	mustAppend(t, w, numbered(71, 80)...)
	if _, err := w.SaveState(background, "plan", []byte("another"), 1); err != nil {
		t.Error(err)
	}
	if err := w.SetConsumer(background, "dumper", 60); err != nil {
		t.Error(err)
	}
	if err := w.Compact(background); err != nil {
		t.Error(err)
	}
	if _, err := w.Retain(background, cts.Retention{Before: traceOf(40).RecordTime}); err != nil {
		t.Error(err)
	}
	if got := tell(t, s); !cmp.Equal(got, now) {
		t.Errorf("what is done to the copy changes the store: %s", cmp.Diff(now, got))
	}
	verify(t, s)
	verify(t, w)
}

func TestSnapshotIsRefused(t *testing.T) {
	mem := vfstest.NewMemFS()
	s := lived(t, mem, "/store", filestore.Options{})
	if err := mem.WriteFile("/full/file", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Snapshot(background, "/full"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("into a directory with a file: %v", err)
	}
	if err := s.Snapshot(background, "/store"); !errors.Is(err, cts.ErrLocked) {
		t.Errorf("into the store itself: %v", err)
	}
	if err := s.Snapshot(background, "/full/file"); err == nil {
		t.Error("into a file: no error")
	}
	other := open(t, mem, "/other", filestore.Options{})
	mustClose(t, other)
	if err := s.Snapshot(background, "/other"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("into another store: %v", err)
	}
	ended, cancel := context.WithCancel(background)
	cancel()
	if err := s.Snapshot(ended, "/copy"); !errors.Is(err, context.Canceled) {
		t.Errorf("in a context that has ended: %v", err)
	}
	r, err := filestore.OpenReader("/store", &filestore.Options{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Snapshot(background, "/copy"); !errors.Is(err, cts.ErrNotSupported) {
		t.Errorf("by a reader: %v", err)
	}
	mustClose(t, s)
	if err := s.Snapshot(background, "/copy"); !errors.Is(err, cts.ErrClosed) {
		t.Errorf("of a closed store: %v", err)
	}
	if _, err := mem.Stat("/copy"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a snapshot that was refused leaves a directory: %v", err)
	}
}

// TestSnapshotEnds ends snapshots at every place, by their context and by closing the
// store. Nothing is left of them, and Close waits.
func TestSnapshotEnds(t *testing.T) {
	for _, how := range []string{"context", "close"} {
		for n := 1; ; n++ {
			mem := vfstest.NewMemFS()
			fault := vfstest.NewFaultFS(mem)
			s := lived(t, fault, "/store", filestore.Options{})
			ctx, cancel := context.WithCancel(background)
			var closing sync.WaitGroup
			ended := false
			fault.Set(func(op vfstest.Op) error {
				if op.N == n {
					ended = true
					cancel()
					if how == "close" {
						closing.Go(func() { mustClose(t, s) })
						runtime.Gosched()
					}
				}
				return nil
			})
			if how == "close" {
				ctx = background
			}
			err := s.Snapshot(ctx, "/copy")
			closing.Wait()
			cancel()
			if !ended {
				break
			}
			if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, cts.ErrClosed) {
				t.Errorf("%s at operation %d: %v", how, n, err)
			}
			_, rerr := filestore.OpenReader("/copy", &filestore.Options{FS: mem})
			if err != nil && !errors.Is(rerr, fs.ErrNotExist) || err == nil && rerr != nil {
				t.Errorf("%s at operation %d: Snapshot %v, OpenReader %v", how, n, err, rerr)
			}
			if t.Failed() {
				return
			}
		}
	}
}

// checkCopy checks that a directory is a copy of a store, or is refused as one that is
// not finished, or that nothing is there. It reports whether it is a copy.
func checkCopy(fsys vfs.FS, dir string, want []string) (bool, error) {
	opts := &filestore.Options{FS: fsys, LockWait: -1}
	r, err := filestore.OpenReader(dir, opts)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.Is(err, filestore.ErrIncomplete):
		if _, err := filestore.Open(dir, opts); !errors.Is(err, filestore.ErrIncomplete) {
			return false, fmt.Errorf("a reader refuses the copy, a writer says %w", err)
		}
		return false, nil
	case err != nil:
		return false, err
	}
	if err := r.Close(); err != nil {
		return true, err
	}
	s, err := filestore.Open(dir, opts)
	if err != nil {
		return true, err
	}
	defer s.Close()
	var got []string
	for e, err := range s.After(background, s.Status().First-1) {
		if err != nil {
			return true, err
		}
		got = append(got, fmt.Sprint(e.Position, string(e.JSON)))
	}
	if !slices.Equal(got, want) {
		return true, fmt.Errorf("the copy has %d traces, want %d", len(got), len(want))
	}
	for _, name := range []string{"plan", "chain"} {
		if data, _, err := s.LoadState(background, name); err != nil || string(data) != "state of "+name {
			return true, fmt.Errorf("state %s is %q: %w", name, data, err)
		}
	}
	report, err := s.Verify(background)
	if err != nil || !report.OK() {
		return true, fmt.Errorf("verify: %v, %w", report.Damaged, err)
	}
	_, err = s.Append(background, numbered(probes, probes+2))
	return true, err
}

// TestSnapshotFails fails every operation of a snapshot. It says so, or the copy is
// complete; whatever a crash leaves is no half of a copy; the store is as it was.
func TestSnapshotFails(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine does everything here: run without the race detector")
	}
	for name, inject := range map[string]func(n int) vfstest.Injector{
		"fail": func(n int) vfstest.Injector { return vfstest.FailNth(n, errDisk) },
		"late": func(n int) vfstest.Injector { return vfstest.LateNth(n, errDisk) },
		"full": func(n int) vfstest.Injector { return vfstest.TearNth(n, syscall.ENOSPC) },
		"from": func(n int) vfstest.Injector { return vfstest.FailFrom(n, errDisk) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				mem := vfstest.NewMemFS()
				fault := vfstest.NewFaultFS(mem)
				fault.CountAll = true
				s := lived(t, fault, "/store", filestore.Options{})
				want := tell(t, s)
				fault.Set(inject(n))
				err := s.Snapshot(background, "/copy")
				hits := fault.Hits()
				fault.Set(nil)
				if hits == 0 {
					if err != nil || n < 50 {
						t.Errorf("%d operations, %v", n-1, err)
					}
					return
				}
				if err != nil && !errors.Is(err, errDisk) && !errors.Is(err, cts.ErrStoreFull) {
					t.Errorf("operation %d failed: %v does not tell why", n, err)
				}
				crashed := mem.CrashClone(vfstest.CrashOptions{Rand: rand.New(rand.NewPCG(uint64(n), 7))})
				for what, disk := range map[string]vfs.FS{"": mem, ", then a crash": crashed} {
					complete, cerr := checkCopy(disk, "/copy", want.Traces)
					if cerr != nil || err == nil && !complete {
						t.Errorf("operation %d failed%s: Snapshot %v, the copy: complete %v, %v", n, what, err, complete, cerr)
					}
				}
				if got := tell(t, s); !cmp.Equal(got, want) {
					t.Errorf("operation %d failed: the store has changed: %s", n, cmp.Diff(want, got))
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// TestSnapshotCrashes stops the process, or the power, at every operation.
func TestSnapshotCrashes(t *testing.T) {
	mem := vfstest.NewMemFS()
	fault := vfstest.NewFaultFS(mem)
	s := lived(t, fault, "/store", filestore.Options{})
	want := tell(t, s)
	begun := false
	fault.Set(nil)
	fault.OnOp = func(op vfstest.Op) {
		if !begun || t.Failed() {
			return
		}
		disks := map[string]*vfstest.MemFS{"a kill": mem.KillClone(), "a crash": mem.CrashClone(vfstest.CrashOptions{})}
		for seed := range uint64(4) {
			disks[fmt.Sprint("a torn crash, seed ", seed)] = mem.CrashClone(vfstest.CrashOptions{Rand: rand.New(rand.NewPCG(uint64(op.N), seed))})
		}
		for what, disk := range disks {
			if complete, err := checkCopy(disk, "/copy", want.Traces); err != nil {
				t.Errorf("%s before operation %d (%s): complete %v, %v", what, op.N, op, complete, err)
			}
			if complete, err := checkCopy(disk, "/store", want.Traces); err != nil || !complete {
				t.Errorf("%s before operation %d (%s): the store: %v", what, op.N, op, err)
			}
		}
	}
	begun = true
	if err := s.Snapshot(background, "/copy"); err != nil {
		t.Fatal(err)
	}
	begun = false
	if complete, err := checkCopy(mem.CrashClone(vfstest.CrashOptions{}), "/copy", want.Traces); err != nil || !complete {
		t.Errorf("a crash behind the end: complete %v, %v", complete, err)
	}
}

// TestSnapshotUnderLoad makes snapshots of a store that takes appends, saves states,
// seals, merges and drops.
func TestSnapshotUnderLoad(t *testing.T) {
	dir := t.TempDir()
	s := open(t, vfs.OS, dir+"/store", filestore.Options{Sync: filestore.SyncOS, LogFileBytes: 16 << 10})
	var mu sync.Mutex
	acked := 0
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() {
		generation := uint64(0)
		for n := 1; ; n += 5 {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.Append(background, numbered(n, n+4)); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			acked = n + 4
			mu.Unlock()
			if n%200 != 1 {
				continue
			}
			var err error
			if generation, err = s.SaveState(background, "checkpoint", []byte(strconv.Itoa(n+4)), generation); err != nil {
				t.Error(err)
			}
			if err := s.SetConsumer(background, "dumper", cts.Position(n+4)); err != nil {
				t.Error(err)
			}
			if n%1000 != 1 {
				continue
			}
			if _, err := s.Retain(background, cts.Retention{Before: traceOf(n).RecordTime}); err != nil {
				t.Error(err)
			}
		}
	})
	copies := 6
	if testing.Short() || raceEnabled {
		copies = 3
	}
	for i := range copies {
		var before int
		for before < (i+1)*500 && !t.Failed() {
			mu.Lock()
			before = acked
			mu.Unlock()
		}
		to := fmt.Sprint(dir, "/copy", i)
		if err := s.Snapshot(background, to); err != nil {
			t.Fatal(err)
		}
		checkLoaded(t, to, before)
	}
	close(stop)
	load.Wait()
	verify(t, s)
	if st := s.Status(); st.First == 1 || st.Failures > 0 {
		t.Errorf("nothing was dropped, or something failed: the test has lost its point: %+v", st)
	}
}

// checkLoaded checks a copy that was begun when so many traces were acknowledged.
func checkLoaded(t *testing.T, dir string, acked int) {
	t.Helper()
	c, err := filestore.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, c)
	verify(t, c)
	st := c.Status()
	if int(st.Last) < acked || int64(st.Last-st.First)+1 != st.Traces {
		t.Errorf("%d traces were acknowledged, the copy has %d to %d, %d", acked, st.First, st.Last, st.Traces)
	}
	data, _, err := c.LoadState(background, "checkpoint")
	at, _ := strconv.Atoi(string(data))
	if err != nil || at > int(st.Last) || at < int(st.First)-1 {
		t.Errorf("the state speaks of %s, the copy has %d to %d: %v", data, st.First, st.Last, err)
	}
	all, err := c.Consumers(background)
	if pos := all["dumper"]; err != nil || pos < st.First-1 || pos > st.Last {
		t.Errorf("the consumer is at %d, the copy has %d to %d: %v", pos, st.First, st.Last, err)
	}
}
