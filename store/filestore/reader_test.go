package filestore_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// TestReaderSeesOnlyWhatLasts opens a reader before every operation of the scenario,
// with syncs that fail in between, and reads on with one that stays open. Whatever
// they show must be there after any crash.
func TestReaderSeesOnlyWhatLasts(t *testing.T) {
	for _, level := range levels {
		t.Run(level.String(), func(t *testing.T) {
			mem := vfstest.NewMemFS()
			fault := vfstest.NewFaultFS(mem)
			syncs := 0
			fault.Set(func(op vfstest.Op) error {
				if op.Kind != vfstest.KindSync {
					return nil
				}
				if syncs++; syncs%5 == 0 {
					mem.DropDirty(op.Name)
					return errDisk
				}
				return nil
			})
			var stays *filestore.Store
			most := 0
			fault.OnOp = func(op vfstest.Op) {
				if t.Failed() {
					return
				}
				fresh, err := filestore.OpenReader("/dir/store", &filestore.Options{FS: mem})
				if err != nil {
					if stays != nil {
						t.Errorf("before operation %d (%s): %v", op.N, op, err)
					}
					return // there is no store yet
				}
				defer fresh.Close()
				if stays == nil {
					stays, err = filestore.OpenReader("/dir/store", &filestore.Options{FS: mem})
					if err != nil {
						t.Fatal(err)
					}
				}
				shown, damage := ids(t, stays, 0)
				again, _ := ids(t, fresh, 0)
				if !slices.Equal(shown, again) || damage != nil {
					t.Errorf("before operation %d (%s): readers disagree, %d and %d traces, damage %v", op.N, op, len(shown), len(again), damage)
				}
				if len(shown) < most {
					t.Errorf("before operation %d (%s): %d traces, there were %d", op.N, op, len(shown), most)
				}
				most = len(shown)
				verify(t, stays)
				for seed := range uint64(4) {
					opts := vfstest.CrashOptions{}
					if seed > 0 {
						opts.Rand = rand.New(rand.NewPCG(uint64(op.N), seed))
					}
					s, err := filestore.Open("/dir/store", &filestore.Options{FS: mem.CrashClone(opts)})
					if err != nil {
						t.Errorf("before operation %d (%s), after a crash: %v", op.N, op, err) // not Fatal: this is the goroutine that writes
						return
					}
					left, _ := ids(t, s, 0)
					mustClose(t, s)
					if len(left) < len(shown) || !slices.Equal(left[:len(shown)], shown) {
						t.Errorf("before operation %d (%s): a reader showed %d traces, a crash leaves %d", op.N, op, len(shown), len(left))
					}
				}
			}
			l := newLedger()
			scenario(t, fault, "/dir/store", level, l)
			if stays == nil || most < 10 {
				t.Fatalf("the reader saw %d traces: the test has lost its point", most)
			}
			if err := stays.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReaderFollowsWriter(t *testing.T) {
	mem := vfstest.NewMemFS()
	opts := filestore.Options{LogFileBytes: 4 << 10}
	w := open(t, mem, "/store", opts)
	r, err := filestore.OpenReader("/store", &filestore.Options{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const n = 300
	go func() {
		for i := 1; i <= n; i += 3 {
			if _, err := w.Append(background, numbered(i, i+2)); err != nil {
				t.Error(err)
			}
		}
	}()
	var got []string
	for len(got) < n && !t.Failed() {
		more, damage := ids(t, r, cts.Position(len(got)))
		if damage != nil {
			t.Fatal(damage)
		}
		got = append(got, more...)
	}
	if !slices.Equal(got, idsOf(1, n)) {
		t.Errorf("got %d traces in another order", len(got))
	}
	all, err := cts.Collect(r.Query(background, cts.Query{}.Where(cts.Eq(cts.FieldTraceID, traceOf(7).ID))))
	if err != nil || len(all) != 1 {
		t.Errorf("by id: %v, %v", all, err)
	}
}

func TestReaderChangesNothing(t *testing.T) {
	mem := vfstest.NewMemFS()
	s := open(t, mem, "/store", filestore.Options{})
	mustAppend(t, s, numbered(1, 3)...)
	if _, err := s.SaveState(background, "plan", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	fault := vfstest.NewFaultFS(mem)
	fault.Set(func(op vfstest.Op) error {
		if op.Kind.Changes() || op.Kind == vfstest.KindLock {
			t.Errorf("a reader does %s", op)
		}
		return nil
	})
	r, err := filestore.OpenReader("/store", &filestore.Options{FS: fault})
	if err != nil {
		t.Fatal(err)
	}
	if r.ID() != s.ID() {
		t.Errorf("id %s, want %s", r.ID(), s.ID())
	}
	if _, err := r.Append(background, numbered(4, 4)); !errors.Is(err, cts.ErrReadOnly) {
		t.Errorf("Append: %v", err)
	}
	if _, err := r.SaveState(background, "plan", nil, 1); !errors.Is(err, cts.ErrReadOnly) {
		t.Errorf("SaveState: %v", err)
	}
	if err := r.Sync(background); !errors.Is(err, cts.ErrReadOnly) {
		t.Errorf("Sync: %v", err)
	}
	if err := r.Compact(background); !errors.Is(err, cts.ErrReadOnly) {
		t.Errorf("Compact: %v", err)
	}
	if data, generation, err := r.LoadState(background, "plan"); err != nil || string(data) != "x" || generation != 1 {
		t.Errorf("LoadState: %q, %d, %v", data, generation, err)
	}
	if got, _ := ids(t, r, 1); !slices.Equal(got, idsOf(2, 3)) {
		t.Errorf("After: %v", got)
	}
	verify(t, r)
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	for _, err := range r.After(background, 0) {
		if !errors.Is(err, cts.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

// TestReaderWhileTheStoreIsMade opens a store for reading that another process makes
// meanwhile, at every operation of the opening: there is none yet, or it is read.
func TestReaderWhileTheStoreIsMade(t *testing.T) {
	read := 0
	for n, more := 1, true; more; n++ {
		mem := vfstest.NewMemFS()
		fault := vfstest.NewFaultFS(mem)
		fault.CountAll = true
		more = false
		fault.OnOp = func(op vfstest.Op) {
			if op.N != n {
				return
			}
			more = true
			s := open(t, mem, "/store", filestore.Options{})
			mustAppend(t, s, numbered(1, 3)...)
			mustClose(t, s)
		}
		r, err := filestore.OpenReader("/store", &filestore.Options{FS: fault})
		fault.OnOp = nil
		switch {
		case err == nil:
			read++
			mustClose(t, r)
		case !errors.Is(err, fs.ErrNotExist):
			t.Errorf("made before operation %d: %v", n, err)
		}
	}
	if read < 2 {
		t.Errorf("the store was there in time %d times", read)
	}
}
