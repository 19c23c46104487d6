package cts_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/obs/memobs"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// forced drops the traces up to a position, whoever needs them.
func (w *dumpWorld) forced(tb testing.TB, upTo int) {
	tb.Helper()
	r := cts.Retention{Before: 1_700_000_000_000 + int64(upTo) + 1, Force: true}
	if done, err := w.Retain(context.Background(), r); err != nil || done.Oldest != cts.Position(upTo)+1 {
		tb.Fatalf("Retain: %+v, %v", done, err)
	}
}

// held returns the position of the Dumper as a consumer.
func (w *dumpWorld) held(tb testing.TB) cts.Position {
	tb.Helper()
	all, err := w.Consumers(context.Background())
	if pos, ok := all["dumper"]; err == nil && ok && len(all) == 1 {
		return pos
	}
	tb.Fatalf("the dumper is no consumer: %v, %v", all, err)
	return 0
}

// lostEvents returns options that collect what is lost.
func lostEvents(to *[]cts.Loss) *cts.DumperOptions {
	return &cts.DumperOptions{Events: &cts.DumperEvents{Lost: func(l cts.Loss) { *to = append(*to, l) }}}
}

func TestDumperHoldsWhatIsNotDumped(t *testing.T) {
	w := newDumpWorld()
	d := w.dumper(t, nil)
	w.add(t, "a/S", "a/S")
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if at := w.held(t); at != 2 {
		t.Errorf("the consumer is at %d, the checkpoint at 2", at)
	}
	w.add(t, "a/S", "a/S")
	if done, err := w.Retain(t.Context(), cts.Retention{MaxBytes: 1}); err != nil || done.Oldest != 3 || done.HeldBy != "dumper" {
		t.Errorf("Retain with a dumper behind: %+v, %v", done, err)
	}
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if done, err := w.Retain(t.Context(), cts.Retention{MaxBytes: 1}); err != nil || done.Traces != 2 || done.HeldBy != "" {
		t.Errorf("Retain with a dumper at the end: %+v, %v", done, err)
	}
	w.add(t, "a/S")
	if err := d.Flush(t.Context()); err != nil || w.held(t) != 5 || d.Status().Lost != 0 {
		t.Errorf("Flush behind a retention: %v, %+v", err, d.Status())
	}
}

// At no step is the consumer ahead of the saved checkpoint, whatever fails.
func TestDumperHoldsBehindItsCheckpoint(t *testing.T) {
	for fail := 1; fail < 12; fail++ {
		for _, kill := range []bool{false, true} {
			w := newDumpWorld()
			w.add(t, "a/S", "b/S")
			w.fault = func(step int, _ string) dumpFault {
				if step != fail {
					return dumpFault{}
				}
				return dumpFault{err: errCutOff, kill: kill}
			}
			failed := w.dumper(t, nil).Flush(t.Context()) != nil
			saved := cts.Position(0)
			if data, _, err := w.Store.LoadState(t.Context(), "dumper"); err == nil && data != nil {
				st, _ := w.state(t)
				saved = st.Position
			}
			all, err := w.Consumers(t.Context())
			if err != nil || all["dumper"] > saved || !failed && all["dumper"] != 2 {
				t.Errorf("step %d failed: the consumer is at %d, the checkpoint at %d (%v)", fail, all["dumper"], saved, err)
			}
			w.mend()
			if err := w.dumper(t, nil).Flush(t.Context()); err != nil || w.held(t) != 2 {
				t.Errorf("step %d failed: afterwards: %v", fail, err)
			}
		}
	}
}

func TestDumperGoesOnBehindWhatIsGone(t *testing.T) {
	w := newDumpWorld()
	var lost []cts.Loss
	d := w.dumper(t, lostEvents(&lost))
	w.add(t, "a/S", "a/S", "a/S", "a/S", "a/S")
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.add(t, "a/S", "a/S", "a/S", "a/S")
	w.forced(t, 8)
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []cts.Loss{{Consumer: "dumper", First: 6, Last: 8, Traces: 3}}
	if d := gocmp.Diff(want, lost); d != "" {
		t.Error(d)
	}
	if st := d.Status(); st.Lost != 3 || st.Traces != 6 || st.Position != 9 || st.LastError != nil {
		t.Errorf("status: %+v", st)
	}
	w.add(t, "a/S")
	w.forced(t, 10) // everything
	for range 3 {
		if err := d.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if st, _ := w.state(t); st.Position != 10 || w.held(t) != 10 || d.Status().Lost != 4 || len(lost) != 2 {
		t.Errorf("behind an empty log: state %+v, lost %+v", st, lost)
	}
	again := w.dumper(t, lostEvents(&lost))
	if err := again.Flush(t.Context()); err != nil || len(lost) != 2 {
		t.Errorf("a loss that the checkpoint has passed is reported again: %v, %+v", err, lost)
	}
}

// While a window waits for its cycle, what is gone behind it is passed over too.
func TestDumperGoesOnInsideAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDumpWorld()
		var lost []cts.Loss
		opts := lostEvents(&lost)
		opts.MaxAge = 100 * 365 * 24 * time.Hour
		w.add(t, "a/S", "a/S")
		d := w.dumper(t, opts)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil || d.Status().Waiting != 2 {
			t.Fatalf("%d traces wait for a cycle: %v", d.Status().Waiting, err)
		}
		w.add(t, "a/S", "a/S", "a/S")
		w.forced(t, 4)
		if err := d.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if st := d.Status(); st.Traces != 3 || st.Lost != 2 || len(lost) != 1 || lost[0].First != 3 || lost[0].Last != 4 {
			t.Errorf("status %+v, lost %+v", st, lost)
		}
	})
}

// An interrupted cycle of which traces are gone is planned anew with the rest, and
// what is lost is reported once, however often it is tried.
func TestDumperCompletesACycleWithoutWhatIsGone(t *testing.T) {
	for _, c := range []struct {
		upTo int
		want []cts.Loss
		keys int
	}{
		{1, []cts.Loss{{Consumer: "dumper", First: 1, Last: 1, Traces: 1}}, 2},
		{2, []cts.Loss{{Consumer: "dumper", First: 1, Last: 2, Traces: 2}}, 1},
		{3, []cts.Loss{{Consumer: "dumper", First: 1, Last: 3, Traces: 3}}, 0},
	} {
		w := newDumpWorld()
		w.add(t, "a/S", "a/S", "b/S")
		broken := func(_ int, call string) dumpFault {
			if strings.HasPrefix(call, "put") {
				return dumpFault{err: errBroken}
			}
			return dumpFault{}
		}
		w.fault = broken
		if err := w.dumper(t, nil).Flush(t.Context()); !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		w.forced(t, c.upTo)
		var lost []cts.Loss
		d := w.dumper(t, lostEvents(&lost))
		for range 3 {
			if err := d.Flush(t.Context()); (err != nil) != (c.keys > 0) {
				t.Errorf("Flush with a broken bucket: %v", err)
			}
		}
		w.mend()
		if err := d.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := gocmp.Diff(c.want, lost); d != "" {
			t.Errorf("up to %d: %s", c.upTo, d)
		}
		if st, _ := w.state(t); len(w.keys(t)) != c.keys || st.Position != 3 || st.Plan != nil || w.held(t) != 3 {
			t.Errorf("up to %d: files %v, state %+v", c.upTo, w.keys(t), st)
		}
	}
}

// A Dumper that begins on a store that has lost its beginning says so.
func TestDumperBeginsBehindRetention(t *testing.T) {
	w := newDumpWorld()
	w.add(t, "a/S", "a/S", "a/S")
	w.forced(t, 2)
	var lost []cts.Loss
	d := w.dumper(t, lostEvents(&lost))
	if err := d.Flush(t.Context()); err != nil || len(lost) != 1 || lost[0].Last != 2 || d.Status().Traces != 1 {
		t.Errorf("%v, %+v, %+v", err, lost, d.Status())
	}
}

// goneForGood is a source that does not say where to go on, or nowhere forward.
type goneForGood struct {
	*memstore.Store
	err error
}

func (g goneForGood) After(context.Context, cts.Position) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) { yield(cts.Entry{}, g.err) }
}

func TestDumperWithoutAWayOn(t *testing.T) {
	for _, err := range []error{cts.ErrPositionGone, &cts.PositionGoneError{}, &cts.PositionGoneError{Position: 0, Oldest: 1}} {
		d, e := cts.NewDumper(goneForGood{memstore.New(nil), err}, memobs.New(nil), nil)
		if e != nil {
			t.Fatal(e)
		}
		if got := d.Run(t.Context()); !errors.Is(got, cts.ErrPositionGone) {
			t.Errorf("Run with the error %v: %v", err, got)
		}
	}
}

// refusing is a source whose consumers can't be changed.
type refusing struct {
	*memstore.Store
	err error
}

func (r refusing) SetConsumer(context.Context, string, cts.Position) error { return r.err }

func TestDumperThatCannotRegister(t *testing.T) {
	for err, fails := range map[error]bool{cts.ErrReadOnly: false, cts.ErrNotSupported: false, errBroken: true} {
		d, e := cts.NewDumper(refusing{memstore.New(nil), err}, memobs.New(nil), nil)
		if e != nil {
			t.Fatal(e)
		}
		if got := d.Flush(t.Context()); (got != nil) != fails || fails && !errors.Is(got, err) {
			t.Errorf("Flush, when registering fails with %v: %v", err, got)
		}
	}
}

// Retention takes what is to be read next while a cycle is being put: the cycle is
// completed before the checkpoint moves on.
func TestDumperGoesOnBesideADelivery(t *testing.T) {
	for _, workers := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			w := newDumpWorld()
			w.add(t, "a/S", "a/S", "a/S", "a/S", "a/S")
			release := make(chan struct{})
			go func() {
				<-time.After(time.Second)
				close(release)
			}()
			reads := 0
			w.fault = func(_ int, call string) (f dumpFault) {
				if strings.HasPrefix(call, "put ") {
					f.until = release
				}
				if call == "after" {
					if reads++; reads == 2 {
						w.forced(t, 4)
					}
				}
				return f
			}
			var lost []cts.Loss
			opts := lostEvents(&lost)
			opts.MaxTraces, opts.Workers = 2, workers
			d := w.dumper(t, opts)
			if err := d.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if st := d.Status(); st.Traces != 3 || st.Lost != 2 || st.Position != 5 || w.broken != nil || w.held(t) != 5 {
				t.Errorf("status %+v, lost %+v, %v", st, lost, w.broken)
			}
		})
	}
}
