package cts_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// Close of a dead store returns in time, says how much was given up, and leaves no
// goroutine: synctest fails a bubble in which one is left.
func TestCloseOnADeadStore(t *testing.T) {
	for name, dead := range map[string]func(*heldStore, *flakyStore){
		"hangs": func(h *heldStore, _ *flakyStore) { h.hold() },
		"fails": func(_ *heldStore, f *flakyStore) { f.set(always(errBroken), nil) },
		"full":  func(_ *heldStore, f *flakyStore) { f.set(always(cts.ErrStoreFull), nil) },
	} {
		for _, delivery := range []cts.Delivery{cts.Durable, cts.Queued} {
			t.Run(fmt.Sprintf("%s/%d", name, delivery), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { closeOnADeadStore(t, delivery, dead) })
			})
		}
	}
}

func closeOnADeadStore(t *testing.T, delivery cts.Delivery, dead func(*heldStore, *flakyStore)) {
	flaky := newFlakyStore()
	held := &heldStore{Store: flaky.Store}
	store := stacked{held, flaky}
	tracker, err := cts.Open(t.Context(), store, &cts.TrackerOptions{Delivery: delivery, AppendTimeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	dead(held, flaky)
	for range 7 {
		if _, err := tracker.Record(t.Context(), op("x")); (err == nil) != (delivery == cts.Queued) {
			t.Errorf("Record: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	start := time.Now()
	err = tracker.Close(ctx)
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 2*time.Second {
		t.Errorf("Close: %v after %v, want the context's error after 2 s", err, took)
	}
	if err == nil || !strings.Contains(err.Error(), "7 traces") {
		t.Errorf("Close does not say that 7 traces are given up: %v", err)
	}
	if st := tracker.Status(); st.Offered != 7 || st.Stored+st.Lost+st.Queued != 7 || st.Stored != 0 {
		t.Errorf("status %+v", st)
	}
	if _, err := tracker.Record(t.Context(), op("x")); !errors.Is(err, cts.ErrClosed) {
		t.Errorf("Record after Close: %v", err)
	}
}

// stacked appends through both wrappers of one memstore.
type stacked struct {
	*heldStore
	flaky *flakyStore
}

func (s stacked) Append(ctx context.Context, batch []cts.Entry) (cts.Appended, error) {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	if held != nil {
		return s.heldStore.Append(ctx, batch)
	}
	return s.flaky.Append(ctx, batch)
}

// Each Record beside a Close either has its trace stored or is refused.
func TestCloseBesideRecorders(t *testing.T) {
	for _, opts := range []cts.TrackerOptions{
		{}, {Delivery: cts.Queued}, {Delivery: cts.Queued, WhenFull: cts.Drop, QueueBytes: 1 << 20},
	} {
		for range 5 {
			store := memstore.New(nil)
			tracker := open(t, store, &opts)
			var accepted, refused, attempts atomic.Int64
			var wg sync.WaitGroup
			start := make(chan struct{})
			for g := range 64 {
				wg.Go(func() {
					<-start
					for i := 0; ; i++ {
						if i%8 == g%8 {
							if a, err := tracker.Begin(context.Background(), op("b")); err == nil {
								attempts.Add(1)
								if _, err := a.End(context.Background(), nil); err == nil {
									accepted.Add(1)
								}
							}
						}
						_, err := tracker.Record(context.Background(), op("x"))
						switch {
						case err == nil:
							accepted.Add(1)
						case errors.Is(err, cts.ErrClosed):
							refused.Add(1)
							return
						case !errors.Is(err, cts.ErrBackpressure):
							t.Error(err)
							return
						}
					}
				})
			}
			close(start)
			for accepted.Load() < 500 {
				if err := tracker.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := tracker.Close(t.Context()); err != nil {
				t.Error(err)
			}
			wg.Wait()
			if refused.Load() != 64 {
				t.Errorf("%d recorders were refused, want 64", refused.Load())
			}
			st := tracker.Status()
			if n := account(t, store, int(st.Offered)); n != int(accepted.Load()) {
				t.Errorf("%d traces stored, %d were accepted", n, accepted.Load())
			}
			if all := stored(t, store); all[len(all)-1].Name != cts.TraceTrackerStopped {
				t.Errorf("a trace stands behind the stop trace: %s", all[len(all)-1].Name)
			}
		}
	}
}

// Flush beside a Close ends: with nil, or as closed.
func TestFlushBesideClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newHeldStore()
		tracker, err := cts.Open(t.Context(), store, &cts.TrackerOptions{Delivery: cts.Queued})
		if err != nil {
			t.Fatal(err)
		}
		store.hold()
		if _, err := tracker.Record(t.Context(), op("x")); err != nil {
			t.Fatal(err)
		}
		flushed := make(chan error, 1)
		go func() { flushed <- tracker.Flush(context.Background()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := tracker.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		if err := <-flushed; err == nil {
			t.Error("Flush succeeded though nothing was stored")
		}
	})
}

// A Record that waits for room when Close gives up is refused, and counted.
func TestCloseEndsWaitingRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newHeldStore()
		tracker, err := cts.Open(t.Context(), store, &cts.TrackerOptions{Delivery: cts.Queued, QueueBytes: 1 << 20, BlockTimeout: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		store.hold()
		n := fillQueue(t, tracker, 1<<20)
		waiting := make(chan error, 1)
		go func() {
			_, err := tracker.Record(context.Background(), heavy("waiting"))
			waiting <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := tracker.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		if err := <-waiting; !errors.Is(err, cts.ErrClosed) || time.Since(start) != time.Second {
			t.Errorf("the waiting Record: %v after %v", err, time.Since(start))
		}
		if st := tracker.Status(); st.Offered != int64(n+1) || st.Offered != st.Stored+st.Lost+st.Queued {
			t.Errorf("status %+v", st)
		}
	})
}

// A store that refuses everything must not keep Close, and what was lost is declared,
// exactly, by the next Open.
func TestLossesAtCloseAreDeclaredLater(t *testing.T) {
	for _, delivery := range []cts.Delivery{cts.Durable, cts.Queued} {
		synctest.Test(t, func(t *testing.T) {
			store := newFlakyStore()
			tracker := open(t, store, &cts.TrackerOptions{Delivery: delivery})
			store.set(always(cts.ErrStoreFull), nil)
			for range 3 {
				tracker.Record(t.Context(), op("x")) //nolint:errcheck // fails at once, or later
			}
			if err := tracker.Close(context.Background()); err == nil {
				t.Error("Close says nothing of the lost traces")
			}
			store.set(nil, nil)
			next := open(t, store, nil)
			gaps := named(stored(t, store), cts.TraceTracesLost)
			if len(gaps) != 1 || gaps[0].Ext.Gap.Count != 3 || !gaps[0].Ext.Gap.Exact || gaps[0].Ext.Gap.Reason == "" {
				t.Errorf("%v: gaps %+v", delivery, gaps)
			}
			if r := next.Status().Recovery; r.Killed != 0 {
				t.Errorf("a boot that was closed counts as killed: %+v", r)
			}
			account(t, store, 3)
		})
	}
}
