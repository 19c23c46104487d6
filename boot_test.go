package cts_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

var errKilled = errors.New("the process is gone")

// life is a store as one process sees it. After a kill nothing that the process
// still does reaches the store.
type life struct {
	*memstore.Store

	mu     sync.Mutex
	dead   bool
	writes int  // appends and saves so far
	last   int  // the write with which the process dies; 0 for none
	effect bool // that one takes effect
	read   int  // traces that After has yielded
}

func (l *life) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = true
}

// admit lets a write through, or kills the process with it. dies is true for a write
// that takes effect and is not answered.
func (l *life) admit() (dies bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return false, errKilled
	}
	if l.writes++; l.writes != l.last {
		return false, nil
	}
	l.dead = true
	if !l.effect {
		return false, errKilled
	}
	return true, nil
}

func (l *life) Append(ctx context.Context, batch []cts.Entry) (cts.Appended, error) {
	dies, err := l.admit()
	if err != nil {
		return cts.Appended{}, err
	}
	done, err := l.Store.Append(ctx, batch)
	if dies {
		return cts.Appended{}, errKilled
	}
	return done, err
}

func (l *life) SaveState(ctx context.Context, name string, data []byte, generation uint64) (uint64, error) {
	dies, err := l.admit()
	if err != nil {
		return 0, err
	}
	generation, err = l.Store.SaveState(ctx, name, data, generation)
	if dies {
		return 0, errKilled
	}
	return generation, err
}

func (l *life) After(ctx context.Context, pos cts.Position) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) {
		for e, err := range l.Store.After(ctx, pos) {
			l.mu.Lock()
			l.read++
			l.mu.Unlock()
			if !yield(e, err) {
				return
			}
		}
	}
}

// abandon kills the process of a tracker and ends what of it still runs in this one.
func abandon(t *testing.T, l *life, tracker *cts.Tracker) {
	t.Helper()
	l.kill()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := tracker.Close(ctx); err == nil {
		t.Error("a killed tracker closed cleanly")
	}
}

// live opens a tracker in a process of its own.
func live(t *testing.T, store *memstore.Store, opts *cts.TrackerOptions) (*life, *cts.Tracker) {
	t.Helper()
	l := &life{Store: store}
	return l, open(t, l, opts)
}

// recovered returns the ids of the attempts that were given the outcome unknown by a
// later boot, sorted, and the gaps of unknown size.
func recovered(t *testing.T, store *memstore.Store) (attempts []string, gaps []cts.Gap) {
	t.Helper()
	seen := map[string]bool{}
	for _, tr := range stored(t, store) {
		if seen[tr.ID] {
			t.Errorf("%s is stored twice", tr.ID)
		}
		seen[tr.ID] = true
		if tr.Ext.Phase == cts.PhaseOutcome && tr.Ext.Outcome == cts.OutcomeUnknown {
			attempts = append(attempts, tr.Ext.AttemptID)
			if tr.Rating != cts.RatingWarning || tr.Message == "" || !seen[tr.Ext.AttemptID] {
				t.Errorf("unknown outcome %+v", tr)
			}
		}
		if tr.Name == cts.TraceTracesLost && !tr.Ext.Gap.Exact {
			gaps = append(gaps, tr.Ext.Gap)
			if tr.Rating != cts.RatingIncident || tr.Ext.Gap.Count != 0 || tr.Ext.Gap.From == 0 || tr.Ext.Gap.From > tr.Ext.Gap.To {
				t.Errorf("gap %+v", tr)
			}
		}
	}
	slices.Sort(attempts)
	return attempts, gaps
}

func TestKillLeavesUnknownOutcomes(t *testing.T) {
	for _, delivery := range []cts.Delivery{cts.Durable, cts.Queued} {
		store := memstore.New(nil)
		opts := &cts.TrackerOptions{Delivery: delivery, QueueBytes: 2 << 20}
		l, tracker := live(t, store, opts)
		var open []string
		for i := range 10 {
			a := begin(t, tracker, op(fmt.Sprint("op", i)))
			if i%3 == 0 {
				open = append(open, a.ID())
			} else if _, err := a.End(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		abandon(t, l, tracker)
		slices.Sort(open)

		var reported cts.RecoveryReport
		_, tracker = live(t, store, &cts.TrackerOptions{Delivery: delivery, Events: &cts.TrackerEvents{
			Recovered: func(r cts.RecoveryReport) { reported = r },
		}})
		attempts, gaps := recovered(t, store)
		if !slices.Equal(attempts, open) {
			t.Errorf("unknown outcomes of %v, want %v", attempts, open)
		}
		want := cts.RecoveryReport{Killed: 1, UnknownOutcomes: len(open)}
		if delivery == cts.Queued {
			want.LostAtMost = 2 << 20
		}
		if len(gaps) != int(want.LostAtMost>>21) || len(gaps) == 1 && gaps[0].Bytes != 2<<20 {
			t.Errorf("delivery %d: gaps %+v", delivery, gaps)
		}
		if reported != want || tracker.Status().Recovery != want {
			t.Errorf("recovery %+v, want %+v", reported, want)
		}
		if left := openIn(t, store); len(left) != 0 {
			t.Errorf("%d attempts are still open", len(left))
		}
		if err := tracker.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, tracker = live(t, store, opts)
		if again, gaps2 := recovered(t, store); len(again) != len(attempts) || len(gaps2) != len(gaps) || tracker.Status().Recovery != (cts.RecoveryReport{}) {
			t.Error("the Open after a clean Close found something")
		}
	}
}

// Attempts that are open at Close are looked after by the next Open. That is no kill.
func TestAttemptsOpenAtClose(t *testing.T) {
	store := memstore.New(nil)
	opts := &cts.TrackerOptions{Delivery: cts.Queued}
	_, tracker := live(t, store, opts)
	a := begin(t, tracker, op("x"))
	if err := tracker.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.End(t.Context(), nil); !errors.Is(err, cts.ErrClosed) {
		t.Errorf("End after Close: %v", err)
	}
	_, tracker = live(t, store, opts)
	attempts, gaps := recovered(t, store)
	if !slices.Equal(attempts, []string{a.ID()}) || len(gaps) != 0 {
		t.Errorf("unknown outcomes %v, gaps %v", attempts, gaps)
	}
	if got, want := tracker.Status().Recovery, (cts.RecoveryReport{UnknownOutcomes: 1}); got != want {
		t.Errorf("recovery %+v, want %+v", got, want)
	}
}

// A Begin of unknown outcome may have stored its attempt, which then ends as one
// whose process died: also when the tracker is closed in peace.
func TestBeginOfUnknownOutcomeIsRecovered(t *testing.T) {
	for _, effect := range []bool{true, false} {
		store := newFlakyStore()
		tracker := open(t, store, nil)
		if effect {
			store.set(nil, always(errUnseen))
		} else {
			store.set(always(errUnseen), nil)
		}
		if _, err := tracker.Begin(t.Context(), op("x")); !errors.Is(err, cts.ErrOutcomeUnknown) {
			t.Fatal(err)
		}
		store.set(nil, nil)
		if err := tracker.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		open(t, store, nil)
		if attempts, _ := recovered(t, store.Store); len(attempts) != len(named(stored(t, store), "x"))/2 || effect != (len(attempts) == 1) {
			t.Errorf("effect %v: unknown outcomes %v", effect, attempts)
		}
		if left := openIn(t, store); len(left) != 0 {
			t.Errorf("effect %v: %d attempts are open for good", effect, len(left))
		}
	}
}

// Random lives of two trackers whose names differ in case only, on one store, each
// ended by a kill or a Close: at the end exactly the attempts without an End have
// the outcome unknown, and each killed queued boot has its gap.
func TestRandomLives(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 3))
		store := memstore.New(nil)
		var open []string
		kills := 0
		type running struct {
			life     *life
			tracker  *cts.Tracker
			opts     *cts.TrackerOptions
			attempts map[string]*cts.Attempt
		}
		boot := func(name string) *running {
			r := &running{opts: &cts.TrackerOptions{Name: name, Delivery: cts.Delivery(rng.IntN(2)), WithoutRedaction: true}, attempts: map[string]*cts.Attempt{}}
			r.life, r.tracker = live(t, store, r.opts)
			return r
		}
		both := []*running{boot("shop"), boot("Shop")}
		for range 150 {
			i := rng.IntN(2)
			r := both[i]
			switch rng.IntN(12) {
			case 0, 1, 2, 3:
				a := begin(t, r.tracker, op("guarded"))
				r.attempts[a.ID()] = a
			case 4, 5, 6:
				for id, a := range r.attempts {
					if _, err := a.End(t.Context(), nil); err != nil {
						t.Fatal(err)
					}
					if r.opts.Delivery == cts.Queued {
						if err := r.tracker.Flush(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					delete(r.attempts, id)
					break
				}
			case 7:
				if r.opts.Delivery == cts.Queued {
					kills++
				}
				abandon(t, r.life, r.tracker)
				for id := range r.attempts {
					open = append(open, id)
				}
				both[i] = boot(r.opts.Name)
			case 8:
				if err := r.tracker.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				for id := range r.attempts {
					open = append(open, id)
				}
				both[i] = boot(r.opts.Name)
			default:
				if _, err := r.tracker.Record(t.Context(), op("x")); err != nil {
					t.Fatal(err)
				}
			}
		}
		slices.Sort(open)
		attempts, gaps := recovered(t, store)
		if !slices.Equal(attempts, open) || len(gaps) != kills {
			t.Fatalf("seed %d: %d unknown outcomes, want %d; %d gaps, want %d", seed, len(attempts), len(open), len(gaps), kills)
		}
		if left := len(openIn(t, store)); left != len(both[0].attempts)+len(both[1].attempts) {
			t.Fatalf("seed %d: %d attempts are open, want %d + %d", seed, left, len(both[0].attempts), len(both[1].attempts))
		}
	}
}

// What Open has to read is bounded: the low mark follows the traces, but never past
// an attempt that is open.
func TestLowMark(t *testing.T) {
	const step = 50_000 // about how many traces Open may have to read
	if testing.Short() || raceEnabled {
		t.Skip("needs 140,000 traces, and one goroutine")
	}
	store := memstore.New(nil)
	opts := &cts.TrackerOptions{WithoutRedaction: true}
	l, tracker := live(t, store, opts)
	record := func(n int) {
		tr := &cts.Trace{Name: "x"}
		for range n {
			if _, err := tracker.Record(context.Background(), tr); err != nil {
				t.Fatal(err)
			}
		}
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	first := begin(t, tracker, op("first"))
	record(70_000)
	abandon(t, l, tracker)
	l, tracker = live(t, store, opts)
	if attempts, _ := recovered(t, store); !slices.Equal(attempts, []string{first.ID()}) {
		t.Fatalf("the low mark has passed an open attempt: %v", attempts)
	}
	if l.read < 70_000 {
		t.Errorf("Open read %d traces: this tests nothing", l.read)
	}
	second := begin(t, tracker, op("second"))
	record(10_000)
	if _, err := second.End(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	record(60_000)
	third := begin(t, tracker, op("third"))
	abandon(t, l, tracker)
	l, tracker = live(t, store, opts)
	if l.read > step+step/4 {
		t.Errorf("Open read %d of 140,000 traces", l.read)
	}
	if attempts, _ := recovered(t, store); len(attempts) != 2 || !slices.Contains(attempts, third.ID()) {
		t.Errorf("unknown outcomes of %v, want first and third", attempts)
	}
	if err := tracker.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
