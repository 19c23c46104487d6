package filestore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// gate stops the next sync of a log file until it is opened.
type gate struct {
	reached chan struct{} // closed when the sync is reached
	open    chan struct{}
}

// newGate makes a gate in a file system that the store uses already.
func newGate(fault *vfstest.FaultFS) *gate {
	g := &gate{reached: make(chan struct{}), open: make(chan struct{})}
	var once sync.Once
	fault.Set(func(op vfstest.Op) error {
		if op.Kind == vfstest.KindSync && strings.HasSuffix(op.Name, ".log") {
			once.Do(func() {
				close(g.reached)
				<-g.open
			})
		}
		return nil
	})
	return g
}

// result is what an append returned.
type result struct {
	done cts.Appended
	err  error
}

// start begins an append.
func start(s *filestore.Store, batch []cts.Entry) <-chan result {
	c := make(chan result, 1)
	go func() {
		done, err := s.Append(background, batch)
		c <- result{done, err}
	}()
	return c
}

// TestOneCommitOfManyBatches holds a commit up so that the next one has several
// batches that depend on each other.
func TestOneCommitOfManyBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fault := vfstest.NewFaultFS(vfstest.NewMemFS())
		s := open(t, fault, "/store", filestore.Options{})
		other := traceOf(2)
		other.Name = "deleteServer"
		g := newGate(fault)
		first := start(s, numbered(1, 1))
		<-g.reached
		var rest []<-chan result
		for _, batch := range [][]cts.Entry{
			numbered(2, 3),
			{{Trace: traceOf(4)}, {Trace: other}}, // 4 is new, the other one a conflict within the commit
			numbered(2, 2),                        // there already, within the commit
			numbered(1, 1),                        // there already, in the commit that is held up
			numbered(4, 6),
			{{Trace: traceOf(7)}, {Trace: traceOf(3)}, {Trace: traceOf(8)}, {Trace: traceOf(7)}},
		} {
			rest = append(rest, start(s, batch))
			synctest.Wait() // so that they are queued in this order
		}
		writes := fault.Count()
		close(g.open)
		if r := <-first; r.err != nil || r.done != (cts.Appended{First: 1, Last: 1}) {
			t.Errorf("first: %+v", r)
		}
		want := []cts.Appended{
			{First: 2, Last: 3},
			{},
			{First: 2, Last: 2, Existing: 1},
			{First: 1, Last: 1, Existing: 1},
			{First: 4, Last: 6},
			{First: 3, Last: 8, Existing: 2},
		}
		for i, c := range rest {
			r := <-c
			if r.done != want[i] || (r.err != nil) != (i == 1) {
				t.Errorf("batch %d: got %+v, want %+v", i, r, want[i])
			}
		}
		// The rest of the first commit is its mark; then one write, one sync, one mark.
		if n := fault.Count() - writes; n != 4 {
			t.Errorf("%d operations for six batches, want 4", n)
		}
		got, damage := ids(t, s, 0)
		if !slices.Equal(got, idsOf(1, 8)) || damage != nil {
			t.Errorf("got %v, damage %v", got, damage)
		}
		verify(t, s)
		mustClose(t, s)
	})
}

// TestGroupBehindAFailedOne fails a commit while the next one is placed: what leans on a
// trace that is not stored now fails as well, and the rest is stored at the positions
// that are free.
func TestGroupBehindAFailedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fault := vfstest.NewFaultFS(vfstest.NewMemFS())
		s := open(t, fault, "/store", filestore.Options{})
		other := traceOf(3)
		other.Name = "deleteServer"
		g := &gate{reached: make(chan struct{}), open: make(chan struct{})}
		failures := 0
		fault.Set(func(op vfstest.Op) error {
			if op.Kind == vfstest.KindSync && strings.HasSuffix(op.Name, ".log") && failures == 0 {
				close(g.reached)
				<-g.open
			} else if failures != 1 {
				return nil
			}
			failures++ // the sync, and the first operation of what would replace the file
			return errDisk
		})
		failed := start(s, numbered(3, 3))
		<-g.reached
		var rest []<-chan result
		for _, batch := range [][]cts.Entry{
			numbered(4, 5),
			numbered(3, 3),   // is there in the commit that will fail
			{{Trace: other}}, // in conflict with that
			{{Trace: traceOf(6)}, {Trace: traceOf(4)}}, // leans on the first of these
			numbered(7, 7),
		} {
			rest = append(rest, start(s, batch))
			synctest.Wait()
		}
		close(g.open)
		if r := <-failed; !errors.Is(r.err, cts.ErrOutcomeUnknown) || !errors.Is(r.err, errDisk) {
			t.Errorf("the commit that failed: %+v", r)
		}
		want := []cts.Appended{{First: 1, Last: 2}, {}, {}, {}, {First: 3, Last: 3}}
		for i, c := range rest {
			r := <-c
			fails := i >= 1 && i <= 3
			if r.done != want[i] || errors.Is(r.err, errDisk) != fails || !fails && r.err != nil {
				t.Errorf("batch %d: got %+v, want %+v", i, r, want[i])
			}
		}
		mustAppend(t, s, numbered(3, 3)...)
		got, damage := ids(t, s, 0)
		if want := slices.Concat(idsOf(4, 5), idsOf(7, 7), idsOf(3, 3)); !slices.Equal(got, want) || damage != nil {
			t.Errorf("got %v, want %v, damage %v", got, want, damage)
		}
		verify(t, s)
		mustClose(t, s)
	})
}

func TestContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fault := vfstest.NewFaultFS(vfstest.NewMemFS())
		s := open(t, fault, "/store", filestore.Options{QueueBytes: 1})
		g := newGate(fault)
		admittedCtx, endAdmitted := context.WithCancel(background)
		waitingCtx, endWaiting := context.WithCancel(background)
		admitted, waiting := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := s.Append(admittedCtx, numbered(1, 1))
			admitted <- err
		}()
		<-g.reached
		go func() {
			_, err := s.Append(waitingCtx, numbered(2, 2))
			waiting <- err
		}()
		synctest.Wait()
		endWaiting()
		if err := <-waiting; !errors.Is(err, context.Canceled) || errors.Is(err, cts.ErrOutcomeUnknown) {
			t.Errorf("not admitted: %v", err)
		}
		endAdmitted()
		if err := <-admitted; !errors.Is(err, context.Canceled) || !errors.Is(err, cts.ErrOutcomeUnknown) {
			t.Errorf("admitted: %v", err)
		}
		close(g.open)
		synctest.Wait()
		if _, err := s.Append(waitingCtx, numbered(3, 3)); !errors.Is(err, context.Canceled) || errors.Is(err, cts.ErrOutcomeUnknown) {
			t.Errorf("ended before: %v", err)
		}
		if got, _ := ids(t, s, 0); !slices.Equal(got, idsOf(1, 1)) {
			t.Errorf("got %v", got)
		}
		mustClose(t, s)
	})
}

// TestQueueIsBoundedAndFair fills the queue and checks that those who wait are
// admitted in their order.
func TestQueueIsBoundedAndFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fault := vfstest.NewFaultFS(vfstest.NewMemFS())
		s := open(t, fault, "/store", filestore.Options{QueueBytes: 1000})
		g := newGate(fault)
		results := []<-chan result{start(s, numbered(1, 1))}
		<-g.reached
		for n := 2; n <= 20; n++ {
			results = append(results, start(s, numbered(n, n)))
			synctest.Wait()
		}
		if q := s.Status().QueuedBytes; q > 1000 || q == 0 {
			t.Errorf("%d bytes are queued", q)
		}
		close(g.open)
		for i, c := range results {
			if r := <-c; r.err != nil || r.done.First != cts.Position(i+1) {
				t.Errorf("append %d: %+v", i+1, r)
			}
		}
		if q := s.Status().QueuedBytes; q != 0 {
			t.Errorf("%d bytes are queued at the end", q)
		}
		mustClose(t, s)
	})
}

func TestCloseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfstest.NewMemFS()
		fault := vfstest.NewFaultFS(mem)
		s := open(t, fault, "/store", filestore.Options{QueueBytes: 1200})
		g := newGate(fault)
		results := []<-chan result{start(s, numbered(1, 1))}
		<-g.reached
		for n := 2; n <= 9; n++ {
			results = append(results, start(s, numbered(n, n)))
			synctest.Wait()
		}
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		close(g.open)
		stored := 0
		for _, c := range results {
			switch r := <-c; {
			case r.err == nil:
				stored++
			case !errors.Is(r.err, cts.ErrClosed) || errors.Is(r.err, cts.ErrOutcomeUnknown):
				t.Errorf("got %v", r.err)
			}
		}
		if stored < 2 || stored > 8 {
			t.Errorf("%d of 9 appends were admitted: the test has lost its point", stored)
		}
		if err := errors.Join(<-closed, s.Close()); err != nil {
			t.Error(err)
		}
		again := open(t, mem, "/store", filestore.Options{})
		if got, _ := ids(t, again, 0); len(got) != stored {
			t.Errorf("%d traces are there, %d were acknowledged", len(got), stored)
		}
		mustClose(t, again)
	})
}

// TestSyncInterval checks that what Append returned shows at once to Query, and to
// After when the interval has passed.
func TestSyncInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfstest.NewMemFS()
		s := open(t, mem, "/store", filestore.Options{Sync: filestore.SyncInterval, SyncInterval: 5 * time.Second})
		mustAppend(t, s, numbered(1, 3)...)
		<-time.After(4 * time.Second) // of the bubble's clock
		synctest.Wait()
		if got, _ := ids(t, s, 0); len(got) != 0 {
			t.Errorf("After yields %v before the sync", got)
		}
		if got, err := cts.Collect(s.Query(background, cts.Query{})); len(got) != 3 || err != nil {
			t.Errorf("Query yields %d traces, %v", len(got), err)
		}
		mustAppend(t, s, numbered(4, 4)...)
		<-time.After(time.Second)
		synctest.Wait()
		if got, _ := ids(t, s, 0); len(got) != 4 {
			t.Errorf("After yields %v after the sync", got)
		}
		crashed := open(t, mem.CrashClone(vfstest.CrashOptions{}), "/store", filestore.Options{})
		if got, _ := ids(t, crashed, 0); len(got) != 4 {
			t.Errorf("after a crash there is %v", got)
		}
		mustClose(t, crashed)
		mustClose(t, s)
	})
}

// TestLockWait waits for a writer that ends in time, and for one that does not.
func TestLockWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfstest.NewMemFS()
		first := open(t, mem, "/store", filestore.Options{})
		// The lock is the directory's: no file takes it along.
		for _, name := range mem.Files() {
			if err := mem.Remove("/" + name); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		if _, err := filestore.Open("/store", &filestore.Options{FS: mem, LockWait: 3 * time.Second}); !errors.Is(err, cts.ErrLocked) {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(begin); waited < 3*time.Second || waited > 4*time.Second {
			t.Errorf("waited %v", waited)
		}
		mustClose(t, first)

		mem = vfstest.NewMemFS()
		first = open(t, mem, "/store", filestore.Options{})
		mustAppend(t, first, numbered(1, 2)...)
		opened := make(chan error, 1)
		go func() {
			s, err := filestore.Open("/store", &filestore.Options{FS: mem, LockWait: time.Minute})
			if err == nil {
				defer s.Close()
				if got, _ := ids(t, s, 0); len(got) != 2 {
					t.Errorf("the successor finds %v", got)
				}
			}
			opened <- err
		}()
		<-time.After(20 * time.Second)
		mustAppend(t, first, numbered(2, 2)...)
		mustClose(t, first)
		if err := <-opened; err != nil {
			t.Errorf("the successor: %v", err)
		}
	})
}
