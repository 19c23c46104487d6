package cts_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// wildStore is a memstore that fails in every way in which the contract of
// [cts.Appender] lets a store fail, until it is tamed.
type wildStore struct {
	*memstore.Store

	mu        sync.Mutex
	rng       *rand.Rand
	tame      bool
	fullUntil time.Time
}

func newWildStore(seed uint64) *wildStore {
	return &wildStore{Store: memstore.New(nil), rng: rand.New(rand.NewPCG(seed, 1))}
}

func (s *wildStore) setTame(tame bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tame = tame
}

func (s *wildStore) Append(ctx context.Context, batch []cts.Entry) (cts.Appended, error) {
	if err := refusal(batch); err != nil {
		return cts.Appended{}, err
	}
	s.mu.Lock()
	fault, tame, full := s.rng.IntN(12), s.tame, time.Now().Before(s.fullUntil)
	pause := time.Duration(s.rng.IntN(800)) * time.Millisecond
	if !tame && !full && fault == 0 {
		s.fullUntil = time.Now().Add(pause)
	}
	s.mu.Unlock()
	switch {
	case tame:
	case full:
		return cts.Appended{}, cts.ErrStoreFull
	case fault == 1:
		return cts.Appended{}, errBroken
	case fault == 2: // without effect
		return cts.Appended{}, errUnseen
	case fault == 3:
		if done, err := s.Store.Append(ctx, batch); err != nil {
			return done, err
		}
		return cts.Appended{}, errUnseen
	case fault == 4: // hangs before admission
		<-ctx.Done()
		return cts.Appended{}, context.Cause(ctx)
	case fault == 5: // hangs after it
		if done, err := s.Store.Append(ctx, batch); err != nil {
			return done, err
		}
		<-ctx.Done()
		return cts.Appended{}, errUnseen
	case fault < 9:
		slow := time.NewTimer(pause)
		defer slow.Stop()
		select {
		case <-slow.C:
		case <-ctx.Done():
			return cts.Appended{}, context.Cause(ctx)
		}
	}
	return s.Store.Append(ctx, batch)
}

// refusal is the error of a batch with a trace that the store will never take.
func refusal(batch []cts.Entry) error {
	for i, e := range batch {
		for name, err := range map[string]error{
			"conflicting": &cts.ConflictError{Index: i, ID: "x"}, "large": cts.ErrTooLarge, "invalid": cts.ErrInvalidTrace,
		} {
			if strings.Contains(string(e.JSON), `"trace_name":"`+name+`"`) {
				return fmt.Errorf("store: %w", err)
			}
		}
	}
	return nil
}

// call is one call of Record, with the moments at which it began and returned.
type call struct {
	resource    string
	began, done int64
	lost        bool // its loss was reported by the call itself
}

// crowd records with 64 goroutines, each n traces, and returns all calls. It checks
// meanwhile that the queue keeps its bound.
func crowd(t *testing.T, tracker *cts.Tracker, seed uint64, n, queueBytes int) []call {
	t.Helper()
	var clock atomic.Int64
	all := make([][]call, 64)
	var wg sync.WaitGroup
	for g := range all {
		rng := rand.New(rand.NewPCG(seed, uint64(g)+2))
		wg.Go(func() {
			for i := range n {
				tr := op("op")
				switch rng.IntN(40) {
				case 0:
					tr.Name = "conflicting"
				case 1:
					tr.Name = "large"
				case 2:
					tr.Name = "invalid"
				}
				tr.ResourceID = fmt.Sprintf("%d/%d", g, i)
				tr.Request = strings.Repeat("x", rng.IntN(20_000))
				c := call{resource: tr.ResourceID, began: clock.Add(1)}
				_, err := tracker.Record(context.Background(), tr)
				c.lost = err != nil && !errors.Is(err, cts.ErrOutcomeUnknown)
				c.done = clock.Add(1)
				all[g] = append(all[g], c)
				if at := tracker.Status().QueuedBytes; at > int64(queueBytes) {
					t.Errorf("%d bytes are queued, at most %d", at, queueBytes)
				}
				<-time.After(time.Duration(rng.IntN(300)) * time.Millisecond)
			}
		})
	}
	wg.Wait()
	var calls []call
	for _, some := range all {
		calls = append(calls, some...)
	}
	return calls
}

// gapsPrecede checks that before each trace the gaps declare every loss that was
// reported before the trace was offered, and that each gap has its form.
func gapsPrecede(t *testing.T, log cts.Log, calls []call) {
	t.Helper()
	began := map[string]int64{}
	for _, c := range calls {
		began[c.resource] = c.began
	}
	declared, ordinary := int64(0), 0
	for _, tr := range stored(t, log) {
		if tr.Name == cts.TraceTracesLost {
			declared += tr.Ext.Gap.Count
			g := tr.Ext.Gap
			if tr.ServiceType != "CTS" || tr.ResourceType != "tracker" || tr.Rating != cts.RatingIncident || tr.Type != cts.TypeSystem ||
				g.Count < 1 || g.Bytes < 1 || g.From > g.To || g.From < cts.MinTime || g.Reason == "" {
				t.Errorf("gap trace %+v", tr)
			}
			continue
		}
		if tr.ServiceType == "CTS" {
			continue
		}
		ordinary++
		due := int64(0)
		for _, c := range calls {
			if c.lost && c.done < began[tr.ResourceID] {
				due++
			}
		}
		if declared < due {
			t.Errorf("before the trace of %s %d losses are declared, %d were reported before it was offered", tr.ResourceID, declared, due)
			return
		}
	}
	if ordinary == 0 || declared == 0 {
		t.Errorf("%d traces stored, %d declared lost: nothing was tested", ordinary, declared)
	}
}

func TestAccountsUnderFaults(t *testing.T) {
	for _, mode := range []struct {
		name string
		opts cts.TrackerOptions
	}{
		{"durable", cts.TrackerOptions{AppendTimeout: 2 * time.Second, QueueBytes: 8 << 20}},
		{"block", cts.TrackerOptions{Delivery: cts.Queued, BlockTimeout: 300 * time.Millisecond, QueueBytes: 1 << 20, AppendTimeout: time.Second}},
		{"drop", cts.TrackerOptions{Delivery: cts.Queued, WhenFull: cts.Drop, QueueBytes: 1 << 20, AppendTimeout: time.Second}},
	} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s/seed=%d", mode.name, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { accountsUnderFaults(t, seed, mode.opts) })
			})
		}
	}
}

func accountsUnderFaults(t *testing.T, seed uint64, opts cts.TrackerOptions) {
	const each = 8
	var lost atomic.Int64
	opts.Events = &cts.TrackerEvents{Lost: func(i cts.LostInfo) {
		lost.Add(i.Count)
		if i.Reason == "" || i.Err == nil || i.Bytes <= 0 {
			t.Errorf("LostInfo %+v", i)
		}
	}}
	opts.WithoutRedaction = true
	store := newWildStore(seed)
	store.setTame(true)
	tracker := open(t, store, &opts)
	store.setTame(false)
	calls := crowd(t, tracker, seed, each, opts.QueueBytes)
	store.setTame(true)
	if err := tracker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	found := account(t, store, len(calls))
	gapsPrecede(t, store, calls)
	st := tracker.Status()
	if st.Offered != int64(len(calls)) || st.Stored != int64(found) || st.Queued != 0 || st.QueuedBytes != 0 || st.Offered != st.Stored+st.Lost {
		t.Errorf("status %+v", st)
	}
	if st.Declared != st.Lost || lost.Load() != st.Lost {
		t.Errorf("lost %d, declared %d, reported %d", st.Lost, st.Declared, lost.Load())
	}
	if err := tracker.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// All that is lost between two stored batches is one gap, exact, with its bounds.
func TestGapIsCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFlakyStore()
		tracker := open(t, store, nil)
		store.set(always(cts.ErrStoreFull), nil)
		first := time.Now().UnixMilli()
		for range 5 {
			if _, err := tracker.Record(t.Context(), op("lost")); !errors.Is(err, cts.ErrStoreFull) {
				t.Fatalf("Record in a full store: %v", err)
			}
			<-time.After(time.Second)
		}
		store.set(always(errBroken), nil)
		if _, err := tracker.Record(t.Context(), op("lost")); !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		last := time.Now().UnixMilli()
		store.set(nil, nil)
		<-time.After(time.Second)
		if _, err := tracker.Record(t.Context(), op("kept")); err != nil {
			t.Fatal(err)
		}
		all := stored(t, store)
		if len(all) != 3 || all[1].Name != cts.TraceTracesLost || all[2].Name != "kept" {
			t.Fatalf("want start, gap, trace; got %d traces", len(all))
		}
		g := all[1].Ext.Gap
		if g.Count != 6 || !g.Exact || g.From != first || g.To != last || g.Reason != "store full; store failed" {
			t.Errorf("gap %+v, want 6 between %d and %d", g, first, last)
		}
		if st := tracker.Status(); st.Lost != 6 || st.Declared != 6 || !errors.Is(st.LastError, errBroken) || st.LastErrorAt.UnixMilli() != last {
			t.Errorf("status %+v", st)
		}
	})
}

// A gap whose append has an unknown outcome is neither declared twice nor forgotten,
// and still precedes what comes after it.
func TestGapOfUnknownOutcome(t *testing.T) {
	for _, effect := range []bool{true, false} {
		store := newFlakyStore()
		tracker := open(t, store, nil)
		store.set(always(cts.ErrStoreFull), nil)
		if _, err := tracker.Record(t.Context(), op("lost")); err == nil {
			t.Fatal("no error")
		}
		if effect {
			store.set(nil, always(errUnseen))
		} else {
			store.set(always(errUnseen), nil)
		}
		if _, err := tracker.Begin(t.Context(), op("unsettled")); !errors.Is(err, cts.ErrOutcomeUnknown) {
			t.Fatal(err)
		}
		if st := tracker.Status(); st.Declared != 0 || st.Lost != 1 {
			t.Errorf("a gap of unknown outcome counts as declared: %+v", st)
		}
		store.set(nil, nil)
		if _, err := tracker.Record(t.Context(), op("kept")); err != nil {
			t.Fatal(err)
		}
		if all := stored(t, store); all[1].Name != cts.TraceTracesLost || len(named(all, cts.TraceTracesLost)) != 1 {
			t.Errorf("effect %v: the gap is not there once, before what follows", effect)
		}
		account(t, store, 2)
	}
}

// A trace of unknown outcome for which the queue has no room is lost as far as
// anybody can tell: the gap says that its count is a bound.
func TestUnsettledBeyondTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFlakyStore()
		tracker := open(t, store, &cts.TrackerOptions{QueueBytes: 1 << 20})
		store.set(func(batch []cts.Entry) error { // the flusher's appends fail, so that the queue fills
			if last := batch[len(batch)-1]; last.Trace == nil && strings.Contains(string(last.JSON), `"trace_name":"x"`) {
				return errBroken
			}
			return nil
		}, always(errUnseen))
		for range 30 {
			if _, err := tracker.Record(t.Context(), heavy("x")); !errors.Is(err, cts.ErrOutcomeUnknown) {
				t.Fatal(err)
			}
		}
		st := tracker.Status()
		if st.Lost == 0 || st.Offered != 30 || st.Offered != st.Stored+st.Lost+st.Queued || st.QueuedBytes > 1<<20 {
			t.Errorf("status %+v", st)
		}
		store.set(nil, nil)
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		all := stored(t, store)
		declared := int64(0)
		for _, gap := range named(all, cts.TraceTracesLost) {
			declared += gap.Ext.Gap.Count
			if gap.Ext.Gap.Exact {
				t.Errorf("a gap claims to be exact: %+v", gap.Ext.Gap)
			}
		}
		if found := len(named(all, "x")); declared != st.Lost || found > 30 || int64(found)+declared < 30 {
			t.Errorf("%d traces stored, %d declared lost, %d counted", found, declared, st.Lost)
		}
	})
}
