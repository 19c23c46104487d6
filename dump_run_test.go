package cts_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/obs"
)

// running is a Dumper whose Run is going on inside a bubble.
type running struct {
	*dumpWorld
	*cts.Dumper
	begun time.Time
	ended chan error
	stop  context.CancelFunc
}

func run(t *testing.T, w *dumpWorld, opts *cts.DumperOptions) *running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &running{dumpWorld: w, Dumper: w.dumper(t, opts), begun: time.Now(), ended: make(chan error, 1), stop: stop}
	go func() { r.ended <- r.Run(ctx) }()
	synctest.Wait()
	return r
}

// after lets time pass, up to the given time since the beginning, and returns how many
// files there are then.
func (r *running) after(t *testing.T, d time.Duration) int {
	t.Helper()
	<-time.After(time.Until(r.begun.Add(d)))
	synctest.Wait()
	return len(r.keys(t))
}

// end cancels Run, which must end without an error.
func (r *running) end(t *testing.T) {
	t.Helper()
	r.stop()
	if err := <-r.ended; err != nil {
		t.Errorf("Run after it was cancelled: %v", err)
	}
}

// record appends a trace that is recorded now.
func (w *dumpWorld) record(t *testing.T, request string) {
	t.Helper()
	w.made++
	now := time.Now().UnixMilli()
	tr := &cts.Trace{ID: fmt.Sprint("trace-", w.made), Time: now, RecordTime: now, Name: "x", ServiceType: "ECS", Request: request}
	if _, err := w.Append(t.Context(), []cts.Entry{{Trace: tr}}); err != nil {
		t.Fatal(err)
	}
}

func TestRunCutsByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, newDumpWorld(), nil)
		defer r.end(t)
		begun := time.Now()
		r.record(t, "")
		r.after(t, 4*time.Minute)
		r.record(t, "")
		if n := r.after(t, 5*time.Minute-time.Second); n != 0 {
			t.Errorf("%d files before the oldest trace is five minutes old", n)
		}
		st := r.Status()
		want := cts.DumperStatus{
			State: cts.TransferEnabled, Waiting: 2, WaitingBytes: st.WaitingBytes, Read: 2, OldestUndelivered: begun,
			Lag: 5*time.Minute - time.Second, CompleteTo: begun.Add(-time.Minute).Local(),
		}
		if diff := cmp.Diff(want, st); diff != "" || st.WaitingBytes < 100 {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		if n := r.after(t, 5*time.Minute); n != 1 {
			t.Errorf("%d files when it is", n)
		}
		if st := r.Status(); st.Position != 2 || st.Waiting != 0 || !st.OldestUndelivered.IsZero() || st.Lag != 0 || st.Traces != 2 || !st.LastDump.Equal(begun.Add(5*time.Minute)) {
			t.Errorf("status %+v", st)
		}
		r.check(t)
	})
}

func TestRunCutsByCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, newDumpWorld(), &cts.DumperOptions{MaxTraces: 3, PollInterval: 10 * time.Second})
		defer r.end(t)
		r.record(t, "")
		r.record(t, "")
		if n := r.after(t, 25*time.Second); n != 0 || r.Status().Waiting != 2 {
			t.Errorf("%d files of two traces, status %+v", n, r.Status())
		}
		for range 5 {
			r.record(t, "")
		}
		if n := r.after(t, 29*time.Second); n != 0 {
			t.Errorf("%d files before the poll", n)
		}
		if n := r.after(t, 30*time.Second); n != 2 || r.Status().Waiting != 1 || r.Status().Position != 6 {
			t.Errorf("%d files of seven traces, status %+v", n, r.Status())
		}
	})
}

func TestRunCutsByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDumpWorld()
		w.record(t, strings.Repeat("x", 1000))
		size := int64(len(stored(t, w.Store)[0].AppendJSON(nil)) + 1)
		r := run(t, w, &cts.DumperOptions{MaxBytes: 3 * size})
		defer r.end(t)
		r.record(t, strings.Repeat("x", 1000))
		r.record(t, strings.Repeat("x", 999)) // one byte is missing
		if n := r.after(t, 10*time.Second); n != 0 {
			t.Errorf("%d files one byte below MaxBytes", n)
		}
		r.record(t, "")
		if n := r.after(t, 11*time.Second); n != 1 || r.Status().Position != 4 {
			t.Errorf("%d files over MaxBytes, status %+v", n, r.Status())
		}
		for range 3 {
			r.record(t, strings.Repeat("x", 1000))
		}
		if n := r.after(t, 12*time.Second); n != 2 || r.Status().Position != 7 {
			t.Errorf("%d files with exactly MaxBytes, status %+v", n, r.Status())
		}
	})
}

// Failures are tried again after 2, 4, 8 … seconds up to a minute, reported each time
// and forgotten with the first success.
func TestRunPausesLongerAndLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDumpWorld()
		w.add(t, "system/ECS")
		begun := time.Now()
		var tries []time.Duration
		w.fault = func(_ int, call string) dumpFault {
			if strings.HasPrefix(call, "put ") {
				tries = append(tries, time.Since(begun))
				return dumpFault{err: obs.ErrDenied}
			}
			return dumpFault{}
		}
		failed := 0
		r := run(t, w, &cts.DumperOptions{MaxTraces: 1, Events: &cts.DumperEvents{Failed: func(err error) {
			if failed++; !errors.Is(err, obs.ErrDenied) {
				t.Errorf("Failed: %v", err)
			}
		}}})
		r.after(t, 4*time.Minute)
		var want []time.Duration
		for _, s := range []time.Duration{0, 2, 6, 14, 30, 62, 122, 182} {
			want = append(want, s*time.Second)
		}
		if !slices.Equal(tries, want) || failed != len(want) {
			t.Errorf("tries at %v and %d events, want %v", tries, failed, want)
		}
		if st := r.Status(); !errors.Is(st.LastError, obs.ErrDenied) || !st.LastErrorAt.Equal(begun.Add(182*time.Second)) || st.Position != 0 {
			t.Errorf("status %+v", st)
		}
		w.mend()
		if n := r.after(t, 4*time.Minute+2*time.Second); n != 1 || r.Status().LastError != nil {
			t.Errorf("%d files after it works again, status %+v", n, r.Status())
		}
		w.add(t, "system/ECS")
		if n := r.after(t, 4*time.Minute+3*time.Second); n != 2 {
			t.Errorf("%d files: Run does not poll every second again", n)
		}
		r.end(t)
		r.check(t)
	})
}

// What no retry mends ends Run, everything else does not.
func TestRunEndsOnWhatNoRetryMends(t *testing.T) {
	for _, test := range []struct {
		call string
		err  error
		ends bool
	}{
		{"after", cts.ErrPositionGone, true},
		{"after", cts.ErrClosed, true},
		{"load", cts.ErrClosed, true},
		{"load", cts.ErrVersion, true},
		{"plan", cts.ErrStateConflict, true},
		{"checkpoint", cts.ErrStateConflict, true},
		{"after", errBroken, false},
		{"load", errBroken, false},
		{"plan", cts.ErrStoreFull, false},
		{"plan", cts.ErrOutcomeUnknown, false},
		{"checkpoint", cts.ErrReadOnly, false},
		{"put", obs.ErrDenied, false},
		{"put", obs.ErrNoBucket, false},
		{"put", obs.ErrThrottled, false},
		{"get", obs.ErrNotExist, false},
		{"get", context.Canceled, false},
		{"get", context.DeadlineExceeded, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newDumpWorld()
			w.add(t, sevenTraces...)
			broken := true
			w.fault = func(_ int, call string) dumpFault {
				if broken && strings.HasPrefix(call, test.call) {
					return dumpFault{err: fmt.Errorf("wrapped: %w", test.err)}
				}
				return dumpFault{}
			}
			r := run(t, w, smallCycles)
			r.after(t, time.Hour)
			select {
			case err := <-r.ended:
				if !test.ends || !errors.Is(err, test.err) {
					t.Errorf("%s with %v: Run ended with %v", test.call, test.err, err)
				}
				r.ended <- nil
			default:
				if test.ends || !errors.Is(r.Status().LastError, test.err) {
					t.Errorf("%s with %v: Run goes on, status %+v", test.call, test.err, r.Status())
				}
				w.mend()
				if err := r.Flush(t.Context()); err != nil {
					t.Errorf("Flush beside Run: %v", err)
				}
				r.check(t)
			}
			r.end(t)
		})
	}
}

// hang makes the first call with the given verb wait for something.
func (w *dumpWorld) hang(verb string, until <-chan struct{}, err error) (hanging chan struct{}) {
	hanging = make(chan struct{})
	var once sync.Once
	w.fault = func(_ int, call string) (f dumpFault) {
		if strings.HasPrefix(call, verb) {
			once.Do(func() {
				close(hanging)
				f.until, f.err = until, err
			})
		}
		return f
	}
	return hanging
}

// That Run is cancelled is no failure, whatever it is doing.
func TestRunEndsWhenCancelled(t *testing.T) {
	for _, verb := range []string{"load", "after", "plan", "put", "get", "checkpoint"} {
		synctest.Test(t, func(t *testing.T) {
			w := newDumpWorld()
			w.add(t, sevenTraces...)
			cancelled := make(chan struct{})
			hanging := w.hang(verb, cancelled, context.Canceled)
			r := run(t, w, &cts.DumperOptions{MaxTraces: 4, Events: &cts.DumperEvents{
				Failed: func(err error) { t.Errorf("%s is cancelled and reported as a failure: %v", verb, err) },
			}})
			<-hanging
			r.stop()
			close(cancelled)
			r.end(t)
			if err := r.Status().LastError; err != nil {
				t.Errorf("%s is cancelled: status has %v", verb, err)
			}
			w.mend()
			if err := r.Flush(t.Context()); err != nil {
				t.Errorf("Flush after Run: %v", err)
			}
			r.check(t)
		})
	}
}

// Who waits for a cycle that hangs waits no longer than its context allows.
func TestFlushGivesUpBehindACycleThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDumpWorld()
		w.add(t, "system/ECS")
		release := make(chan struct{})
		hanging := w.hang("put", release, nil)
		d := w.dumper(t, nil)
		first := make(chan error, 1)
		go func() { first <- d.Flush(t.Context()) }()
		<-hanging
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		if err := d.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 5*time.Second {
			t.Errorf("Flush: %v after %v", err, time.Since(begun))
		}
		close(release)
		if err := <-first; err != nil {
			t.Errorf("the cycle that hung: %v", err)
		}
		w.check(t)
	})
}

// Run and many Flushes at once, while traces are appended.
func TestFlushBesideRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, newDumpWorld(), &cts.DumperOptions{MaxTraces: 5, PollInterval: time.Millisecond})
		defer r.end(t)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 10 {
					if err := r.Flush(t.Context()); err != nil {
						t.Error(err)
					}
					_ = r.Status()
					<-time.After(time.Millisecond)
				}
			})
		}
		for range 60 {
			r.add(t, groups[r.made%len(groups)])
			<-time.After(time.Millisecond / 4)
		}
		wg.Wait()
		if err := r.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		r.check(t)
		if st := r.Status(); st.Position != 60 || st.Traces != 60 || st.Waiting != 0 {
			t.Errorf("status %+v", st)
		}
	})
}
