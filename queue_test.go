package cts_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// heldStore is a memstore whose appends hang while it is held.
type heldStore struct {
	*memstore.Store

	mu   sync.Mutex
	held chan struct{} // nil when appends pass
}

func newHeldStore() *heldStore { return &heldStore{Store: memstore.New(nil)} }

func (s *heldStore) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = make(chan struct{})
}

func (s *heldStore) letGo() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != nil {
		close(s.held)
		s.held = nil
	}
}

func (s *heldStore) Append(ctx context.Context, batch []cts.Entry) (cts.Appended, error) {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return cts.Appended{}, context.Cause(ctx)
		}
	}
	return s.Store.Append(ctx, batch)
}

// heavy is an operation whose JSON has about 64 KiB.
func heavy(name string) *cts.Trace {
	tr := op(name)
	tr.Request = strings.Repeat("x", 64<<10)
	return tr
}

// fillQueue records until the queue has no room for one more, and returns how many
// traces are in it.
func fillQueue(t *testing.T, tracker *cts.Tracker, limit int64) int {
	t.Helper()
	for n := 0; ; n++ {
		if tracker.Status().QueuedBytes+(66<<10) > limit {
			return n
		}
		if _, err := tracker.Record(t.Context(), heavy("fill")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFullQueue(t *testing.T) {
	const limit = 1 << 20
	for _, c := range []struct {
		name     string
		whenFull cts.WhenFull
		wait     time.Duration
	}{{"drop", cts.Drop, 0}, {"block", cts.Block, 700 * time.Millisecond}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newHeldStore()
				tracker := open(t, store, &cts.TrackerOptions{
					Delivery: cts.Queued, WhenFull: c.whenFull, BlockTimeout: 700 * time.Millisecond, QueueBytes: limit,
				})
				store.hold()
				n := fillQueue(t, tracker, limit)
				start := time.Now()
				_, err := tracker.Record(t.Context(), heavy("over"))
				if took := time.Since(start); !errors.Is(err, cts.ErrBackpressure) || took != c.wait {
					t.Errorf("Record with a full queue: %v after %v, want ErrBackpressure after %v", err, took, c.wait)
				}
				if st := tracker.Status(); st.Lost != 1 || st.Queued != int64(n) || st.QueuedBytes > limit {
					t.Errorf("status %+v", st)
				}
				store.letGo()
				if err := tracker.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := account(t, store, n+1); got != n {
					t.Errorf("%d traces stored, want %d", got, n)
				}
				if gap := named(stored(t, store), cts.TraceTracesLost)[0].Ext.Gap; gap.Reason != "queue full" || gap.Count != 1 {
					t.Errorf("gap %+v", gap)
				}
			})
		})
	}
}

// A blocked Record goes on as soon as there is room.
func TestBlockedRecordGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 1 << 20
		store := newHeldStore()
		tracker := open(t, store, &cts.TrackerOptions{Delivery: cts.Queued, BlockTimeout: time.Hour, QueueBytes: limit})
		store.hold()
		n := fillQueue(t, tracker, limit)
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				if _, err := tracker.Record(context.Background(), heavy("blocked")); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if st := tracker.Status(); st.Queued != int64(n) || st.QueuedBytes > limit {
			t.Errorf("while blocked: %+v", st)
		}
		start := time.Now()
		store.letGo()
		wg.Wait()
		if took := time.Since(start); took != 0 {
			t.Errorf("the blocked calls went on after %v", took)
		}
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		account(t, store, n+64)
	})
}

// A store that hangs holds a durable Record for AppendTimeout, whatever the caller's
// context; also while another call carries a gap.
func TestHangingStoreDoesNotHoldRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newHeldStore()
		tracker := open(t, store, &cts.TrackerOptions{AppendTimeout: 3 * time.Second})
		store.hold()
		for range 3 {
			var wg sync.WaitGroup
			start := time.Now()
			for range 16 {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					defer cancel()
					if _, err := tracker.Record(ctx, op("x")); !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if took := time.Since(start); took != 3*time.Second {
				t.Errorf("Record took %v, want AppendTimeout", took)
			}
		}
		store.letGo()
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		account(t, store, 48)
	})
}

// An append that hangs for good is tried again: one lost connection does not stop
// the flusher.
func TestFlusherOutlivesAHangingAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newHeldStore()
		tracker := open(t, store, &cts.TrackerOptions{Delivery: cts.Queued, AppendTimeout: 2 * time.Second})
		store.hold()
		if _, err := tracker.Record(t.Context(), op("x")); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond) // the flusher has taken it
		synctest.Wait()
		store.mu.Lock()
		store.held = nil // what hangs already goes on hanging
		store.mu.Unlock()
		start := time.Now()
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("stored after %v", took)
		}
		account(t, store, 1)
	})
}

// appends returns how many appends there were.
func (s *flakyStore) appends() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFlakyStore()
		tracker := open(t, store, &cts.TrackerOptions{Delivery: cts.Queued})
		before := store.appends()
		if err := tracker.Flush(t.Context()); err != nil || store.appends() != before {
			t.Errorf("Flush of nothing: %v, %d appends", err, store.appends()-before)
		}
		store.set(always(errBroken), nil)
		if _, err := tracker.Record(t.Context(), op("x")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if err := tracker.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("Flush with a failing store: %v after %v", err, time.Since(start))
		}
		// Retries keep their distance: 10 ms, doubled up to 5 s.
		if tries := store.appends() - before; tries < 15 || tries > 25 {
			t.Errorf("%d appends in a minute", tries)
		}
		store.set(nil, nil)
		start = time.Now()
		if err := tracker.Flush(t.Context()); err != nil || time.Since(start) > 5*time.Second {
			t.Errorf("Flush after the recovery: %v after %v", err, time.Since(start))
		}
		account(t, store, 1)
	})
}

// Flush with a store that will never take the traces does not say that it has them.
func TestFlushIntoADeadStore(t *testing.T) {
	for _, dead := range []error{cts.ErrClosed, cts.ErrReadOnly} {
		store := newFlakyStore()
		tracker := open(t, store, &cts.TrackerOptions{Delivery: cts.Queued})
		store.set(always(dead), nil)
		for i := range 3 {
			if _, err := tracker.Record(t.Context(), op(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		if err := tracker.Flush(t.Context()); !errors.Is(err, dead) {
			t.Errorf("%v: Flush: %v", dead, err)
		}
		if st := tracker.Status(); st.Queued != 0 || st.Stored != 0 || st.Lost != 3 || st.Offered != 3 {
			t.Errorf("%v: status %+v", dead, st)
		}
		if err := tracker.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "3 traces") {
			t.Errorf("%v: Close: %v, want the 3 traces", dead, err)
		}
	}
}

// Traces for which the store has no use are lost by themselves; their neighbours are
// stored, in order, and one Flush suffices.
func TestRefusedTracesAreLostAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newWildStore(1)
		store.setTame(true)
		held := &gated{inner: store}
		tracker := open(t, held, &cts.TrackerOptions{Delivery: cts.Queued})
		held.wait.Lock() // for all to be in one batch
		names := strings.Fields("a conflicting b large c d invalid conflicting e large")
		for _, name := range names {
			if _, err := tracker.Record(t.Context(), op(name)); err != nil {
				t.Fatal(err)
			}
		}
		held.wait.Unlock()
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := account(t, store, len(names)); n != 5 {
			t.Errorf("%d stored, want 5", n)
		}
		var order strings.Builder
		for _, tr := range stored(t, store) {
			if len(tr.Name) == 1 {
				order.WriteString(tr.Name)
			}
		}
		if order.String() != "abcde" {
			t.Errorf("order %s", order.String())
		}
	})
}

// gated lets appends in one at a time, when its lock is free.
type gated struct {
	inner interface {
		cts.Appender
		cts.Log
		cts.StateStore
	}
	wait sync.Mutex
}

func (g *gated) Unwrap() any { return g.inner }

func (g *gated) Append(ctx context.Context, batch []cts.Entry) (cts.Appended, error) {
	g.wait.Lock()
	defer g.wait.Unlock()
	return g.inner.Append(ctx, batch)
}
