package cts_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// killedBoot returns a store on which a queued tracker was killed with attempts open,
// and the ids of these.
func killedBoot(t *testing.T) (*memstore.Store, []string) {
	t.Helper()
	store := memstore.New(nil)
	l, tracker := live(t, store, &cts.TrackerOptions{Delivery: cts.Queued})
	var open []string
	for i := range 5 {
		a := begin(t, tracker, op("guarded"))
		if i == 2 {
			if _, err := a.End(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			continue
		}
		open = append(open, a.ID())
	}
	if err := tracker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	abandon(t, l, tracker)
	slices.Sort(open)
	return store, open
}

// A kill with any write of Open, before or after it took effect, neither doubles nor
// loses what the former boot is due.
func TestKillDuringOpen(t *testing.T) {
	for _, effect := range []bool{false, true} {
		for n := 1; ; n++ {
			store, open := killedBoot(t)
			dying := &life{Store: store, last: n, effect: effect}
			tracker, err := cts.Open(t.Context(), dying, &cts.TrackerOptions{Delivery: cts.Queued})
			if err == nil {
				if n < 3 {
					t.Fatalf("Open made %d writes, want recovery, start and state", n-1)
				}
				abandon(t, dying, tracker)
				break
			}
			if !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			later := func() time.Time { return time.Now().Add(time.Hour) } // what is recorded again is not the same
			_, tracker = live(t, store, &cts.TrackerOptions{Delivery: cts.Queued, Clock: later})
			attempts, gaps := recovered(t, store)
			if !slices.Equal(attempts, open) {
				t.Errorf("write %d, effect %v: unknown outcomes of %v, want %v", n, effect, attempts, open)
			}
			// The boot that was saved and died is taken for a killed one.
			if want := 1; len(gaps) != want && (len(gaps) != want+1 || !effect) {
				t.Errorf("write %d, effect %v: %d gaps, want %d", n, effect, len(gaps), want)
			}
			if err := tracker.Close(t.Context()); err != nil {
				t.Errorf("write %d, effect %v: Close: %v", n, effect, err)
			}
		}
	}
}

// A kill with any write of Close: nothing that was stored is doubled, and only a boot
// whose stop is not recorded counts as killed.
func TestKillDuringClose(t *testing.T) {
	for _, effect := range []bool{false, true} {
		for n := 1; ; n++ {
			store := memstore.New(nil)
			l, tracker := live(t, store, &cts.TrackerOptions{Delivery: cts.Queued})
			a := begin(t, tracker, op("guarded"))
			if err := tracker.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			l.mu.Lock()
			l.last, l.effect = l.writes+n, effect
			l.mu.Unlock()
			err := tracker.Close(t.Context())
			stop := len(named(stored(t, store), cts.TraceTrackerStopped))
			_, tracker = live(t, store, &cts.TrackerOptions{Delivery: cts.Queued})
			attempts, gaps := recovered(t, store)
			if !slices.Equal(attempts, []string{a.ID()}) || len(gaps) != 1-stop {
				t.Errorf("write %d, effect %v, %d stop traces: unknown outcomes %v, gaps %v", n, effect, stop, attempts, gaps)
			}
			if err2 := tracker.Close(t.Context()); err2 != nil {
				t.Error(err2)
			}
			if err == nil {
				if n != 3 {
					t.Errorf("Close made %d writes, want stop and state", n-1)
				}
				break
			}
		}
	}
}

// flakySaves fails saves of states after they took effect.
type flakySaves struct {
	*memstore.Store
	fail int // so many
}

func (s *flakySaves) SaveState(ctx context.Context, name string, data []byte, generation uint64) (uint64, error) {
	generation, err := s.Store.SaveState(ctx, name, data, generation)
	if err == nil && s.fail > 0 {
		s.fail--
		return 0, errBroken
	}
	return generation, err
}

// A second tracker of the name is found out by whoever saves next.
func TestSecondTrackerOfAName(t *testing.T) {
	store := memstore.New(nil)
	first, err := cts.Open(t.Context(), store, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := cts.Open(t.Context(), store, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(t.Context()); !errors.Is(err, cts.ErrStateConflict) {
		t.Errorf("Close of the first: %v, want ErrStateConflict", err)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Errorf("Close of the second: %v", err)
	}
}

func TestOpenAfterAFailedOpen(t *testing.T) {
	store := &flakySaves{Store: memstore.New(nil)}
	for n := range 3 {
		store.fail = 1
		if _, err := cts.Open(t.Context(), store, nil); !errors.Is(err, errBroken) {
			t.Errorf("Open %d: %v", n, err)
		}
	}
	tracker := open(t, store, nil)
	if err := tracker.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if id := tracker.Status().Writer.ID; len(id) != 36 {
		t.Errorf("writer id %q", id)
	}
}

func TestOpenRefusesStatesItDoesNotKnow(t *testing.T) {
	for state, want := range map[string]error{
		`{"v":2,"boots":{"another":"shape"}}`: cts.ErrVersion,
		`{"v":2}`:                             cts.ErrVersion,
		`{}`:                                  cts.ErrVersion,
		`{"v":1,"boots":7}`:                   nil,
		`{"v":1`:                              nil,
		``:                                    nil,
	} {
		store := memstore.New(nil)
		if _, err := store.SaveState(t.Context(), "tracker.system", []byte(state), 0); err != nil {
			t.Fatal(err)
		}
		_, err := cts.Open(t.Context(), store, nil)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("state %q: %v, want %v", state, err, want)
		}
		if n := len(stored(t, store)); n != 0 {
			t.Errorf("state %q: %d traces were stored", state, n)
		}
	}
}

// noLog and noStates hide one ability of a store.
type (
	noLog struct {
		cts.Appender
		cts.StateStore
	}
	noStates struct {
		cts.Appender
		cts.Log
	}
	appendOnly struct{ cts.Appender }
)

func TestStoresWithoutAbilities(t *testing.T) {
	for i, hide := range []func(*memstore.Store) cts.Appender{
		func(s *memstore.Store) cts.Appender { return noLog{s, s} },
		func(s *memstore.Store) cts.Appender { return noStates{s, s} },
		func(s *memstore.Store) cts.Appender { return appendOnly{s} },
	} {
		store := memstore.New(nil)
		for range 3 {
			tracker := open(t, hide(store), &cts.TrackerOptions{Delivery: cts.Queued})
			begin(t, tracker, op("x"))
			if _, err := tracker.Record(t.Context(), op("y")); err != nil {
				t.Fatal(err)
			}
			if err := tracker.Close(t.Context()); err != nil {
				t.Errorf("store %d: %v", i, err)
			}
			if tracker.Status().Recovery != (cts.RecoveryReport{}) {
				t.Errorf("store %d: %+v", i, tracker.Status().Recovery)
			}
		}
		if n := len(named(stored(t, store), "y")); n != 3 {
			t.Errorf("store %d: %d traces", i, n)
		}
	}
}

// The writer's id is the store's, whatever the tracker's name; the boot's is new.
func TestWriterID(t *testing.T) {
	store := memstore.New(nil)
	seen := map[cts.Writer]bool{}
	var writer string
	for i, name := range []string{"system", "System", "data-1", "system"} {
		tracker := open(t, store, &cts.TrackerOptions{Name: name})
		w := tracker.Status().Writer
		if i == 0 {
			writer = w.ID
		}
		if w.ID != writer || len(w.ID) != 36 || len(w.Boot) != 36 || seen[w] {
			t.Errorf("%s: writer %+v, the first was %s", name, w, writer)
		}
		seen[w] = true
		if err := tracker.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	given := open(t, store, &cts.TrackerOptions{WriterID: "replica-7"})
	if got := given.Status().Writer.ID; got != "replica-7" {
		t.Errorf("writer id %q", got)
	}
	if got := fmt.Sprint(stored(t, store)[0].Ext.Writer.ID); got != writer {
		t.Errorf("the start trace has writer %q, want %q", got, writer)
	}
}

// Large attempts need more than one batch, and an outcome that would be longer than
// a trace may be is cut.
func TestRecoveryOfLargeAttempts(t *testing.T) {
	store := memstore.New(nil)
	opts := &cts.TrackerOptions{WithoutRedaction: true, Limits: cts.Limits{Body: 1 << 20}}
	l, tracker := live(t, store, opts)
	for n := range 18 { // JSON of 1 MiB, give or take a few bytes
		tr := op("large")
		tr.Request = strings.Repeat("x", cts.MaxTraceBytes-700+14*n)
		begin(t, tracker, tr)
	}
	for range 24 { // more than a batch holds
		tr := op("half")
		tr.Request = strings.Repeat("x", 700<<10)
		begin(t, tracker, tr)
	}
	abandon(t, l, tracker)
	live(t, store, opts)
	if attempts, _ := recovered(t, store); len(attempts) != 42 {
		t.Errorf("%d unknown outcomes, want 42", len(attempts))
	}
	cut := 0
	for _, tr := range named(stored(t, store), "large") {
		if tr.Ext.Phase == cts.PhaseOutcome && len(tr.Ext.Cut) > 0 {
			cut++
		}
	}
	if cut == 0 {
		t.Error("no outcome was cut: this tests nothing")
	}
}

// Records that were imported tell of the attempts of others.
func TestImportedAttemptsAreNotRecovered(t *testing.T) {
	store := memstore.New(nil)
	l, tracker := live(t, store, nil)
	foreign := op("elsewhere")
	foreign.Time = time.Now().UnixMilli()
	foreign.Ext = cts.Ext{Source: cts.Source{Name: "s", ID: "1"}, Phase: cts.PhaseAttempt}
	if _, err := tracker.Import(t.Context(), []*cts.Trace{foreign}); err != nil {
		t.Fatal(err)
	}
	abandon(t, l, tracker)
	live(t, store, nil)
	if attempts, _ := recovered(t, store); len(attempts) != 0 {
		t.Errorf("unknown outcomes of imported attempts: %v", attempts)
	}
}
