package cts_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// polled is a Log without the ability to follow, whose reads are counted and can be
// given damage and errors in front of a position.
type polled struct {
	store  *memstore.Store
	looks  atomic.Int64
	before map[cts.Position]error
	end    error // behind the last trace
}

func (p *polled) After(ctx context.Context, pos cts.Position) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) {
		p.looks.Add(1)
		last := pos
		for e, err := range p.store.After(ctx, pos) {
			if err == nil && p.before[e.Position] != nil && !yield(cts.Entry{}, p.before[e.Position]) {
				return
			}
			if !yield(e, err) || err != nil {
				return
			}
			last = e.Position
		}
		var damage *cts.CorruptionError
		if p.end != nil && (!errors.As(p.end, &damage) || damage.Last == 0 || damage.Last > last) {
			yield(cts.Entry{}, p.end)
		}
	}
}

func appendOps(t *testing.T, store cts.Appender, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		tr := op("createOrder")
		tr.ID, tr.Time, tr.RecordTime = string(rune('a'+n)), cts.MinTime+int64(n), cts.MinTime+int64(n)
		if _, err := store.Append(t.Context(), []cts.Entry{{Trace: tr}}); err != nil {
			t.Fatal(err)
		}
	}
}

// step is what an iterator yields.
type step struct {
	pos cts.Position
	err error
}

// followed reads what Follow yields into a channel, in a goroutine that ends with it.
func followed(ctx context.Context, l cts.Log, pos cts.Position, poll time.Duration) <-chan step {
	steps := make(chan step)
	go func() {
		defer close(steps)
		for e, err := range cts.Follow(ctx, l, pos, poll) {
			steps <- step{e.Position, err}
		}
	}()
	return steps
}

func TestFollowByPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &polled{store: memstore.New(nil)}
		ctx, cancel := context.WithCancel(t.Context())
		appendOps(t, p.store, 0, 3)
		steps := followed(ctx, p, 1, time.Minute)
		begin := time.Now()
		for want := cts.Position(2); want <= 3; want++ {
			if s := <-steps; s != (step{pos: want}) {
				t.Fatalf("%+v, want position %d", s, want)
			}
		}
		synctest.Wait() // it has read everything and waits
		if p.looks.Load() != 1 || time.Since(begin) != 0 {
			t.Fatalf("%d looks in %v for what was there", p.looks.Load(), time.Since(begin))
		}
		appendOps(t, p.store, 3, 5)
		for want := cts.Position(4); want <= 5; want++ {
			if s := <-steps; s != (step{pos: want}) {
				t.Fatalf("%+v, want position %d", s, want)
			}
		}
		if p.looks.Load() != 2 || time.Since(begin) != time.Minute {
			t.Errorf("%d looks in %v for what came", p.looks.Load(), time.Since(begin))
		}
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		if p.looks.Load() != 12 {
			t.Errorf("%d looks in eleven minutes, want 12", p.looks.Load())
		}
		cancel()
		if s := <-steps; !errors.Is(s.err, context.Canceled) {
			t.Errorf("%+v, want the end of the context", s)
		}
		if s, ok := <-steps; ok {
			t.Errorf("%+v behind the end", s)
		}
	})
}

func TestFollowPollsEachSecondByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &polled{store: memstore.New(nil)}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+1)
		defer cancel()
		for _, err := range cts.Follow(ctx, p, 0, 0) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		if p.looks.Load() != 11 {
			t.Errorf("%d looks in ten seconds, want 11", p.looks.Load())
		}
	})
}

// Damage is yielded once for each place, whether it says which positions are lost or
// not, and however often the log is read again.
func TestFollowYieldsDamageOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &polled{store: memstore.New(nil), before: map[cts.Position]error{
			2: &cts.CorruptionError{File: "unknown", Err: errBroken},
		}}
		appendOps(t, p.store, 0, 2)
		p.end = &cts.CorruptionError{File: "tail", First: 3, Last: 3, Err: errBroken}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var got []step
		damage := 0
		for e, err := range cts.Follow(ctx, p, 0, time.Second) {
			if errors.Is(err, cts.ErrCorrupt) {
				damage++
			}
			got = append(got, step{e.Position, err})
		}
		if len(got) != 5 || damage != 2 || !errors.Is(got[4].err, context.DeadlineExceeded) || p.looks.Load() < 60 {
			t.Errorf("two traces, two damaged places and the end: %+v in %d looks", got, p.looks.Load())
		}
	})
}

func TestFollowEndsWithAnError(t *testing.T) {
	p := &polled{store: memstore.New(nil), end: errBroken}
	appendOps(t, p.store, 0, 2)
	var got []step
	for e, err := range cts.Follow(t.Context(), p, 0, time.Hour) {
		got = append(got, step{e.Position, err})
	}
	if len(got) != 3 || !errors.Is(got[2].err, errBroken) {
		t.Errorf("%+v, want two traces and the error", got)
	}
}

// A store that can wake its followers is not polled.
func TestFollowUsesTheAbility(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		steps := followed(ctx, store, 0, 100*24*time.Hour)
		begin := time.Now()
		for n := range 5 {
			synctest.Wait()
			appendOps(t, store, n, n+1)
			if s := <-steps; s != (step{pos: cts.Position(n + 1)}) {
				t.Fatalf("%+v, want position %d", s, n+1)
			}
		}
		synctest.Wait()
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		if s := <-steps; !errors.Is(s.err, cts.ErrClosed) {
			t.Errorf("%+v, want the end of the store", s)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("it waited for %v of what was there", took)
		}
	})
}

func ExampleFollow() {
	store := memstore.New(nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tracker, err := cts.Open(ctx, store, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := tracker.Record(ctx, op("createOrder")); err != nil {
		fmt.Println(err)
	}
	for e, err := range cts.Follow(ctx, store, 0, time.Second) {
		if err != nil {
			break // the context has ended, or the store was closed
		}
		if t, err := e.Decode(); err == nil && t.Name == "createOrder" {
			cancel()
		}
	}
	// Output:
}
