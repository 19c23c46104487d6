package cts_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

// A fault that lasts turns the status to error with its word, and the status turns back
// by itself when it is mended; each change is told once.
func TestDumpStatusOfFaults(t *testing.T) {
	for _, test := range []struct {
		err    error
		detail string
		at     time.Duration // after the first failure
	}{
		{obs.ErrDenied, cts.DetailBucketPolicy, 0},
		{obs.ErrNoBucket, cts.DetailNoBucket, 0},
		{obs.ErrArrears, cts.DetailArrears, 0},
		{obs.ErrFull, cts.DetailBucketFull, 0},
		{obs.ErrThrottled, cts.DetailThrottled, 5 * time.Minute},
		{errBroken, cts.DetailBucket, 5 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newDumpWorld()
			w.add(t, sevenTraces...)
			w.refuse("", test.err)
			var changes []string
			var when []time.Duration
			begun := time.Now()
			r := run(t, w, &cts.DumperOptions{MaxTraces: 7, Events: &cts.DumperEvents{StatusChanged: func(st cts.DumperStatus) {
				changes = append(changes, strings.TrimSpace(string(st.State)+" "+st.Detail))
				when = append(when, time.Since(begun))
			}}})
			r.after(t, time.Hour)
			if len(changes) != 1 || changes[0] != "error "+test.detail || when[0] < test.at || when[0] > test.at+time.Minute {
				t.Errorf("%v: changes %q at %v", test.err, changes, when)
			}
			st := r.Status()
			if st.State != cts.TransferError || st.Detail != test.detail || !errors.Is(st.LastError, test.err) || st.Waiting != 7 || st.Read != 7 ||
				st.WaitingBytes < 700 || !st.OldestUndelivered.Equal(time.UnixMilli(1_700_000_000_001)) {
				t.Errorf("%v: status %+v", test.err, st)
			}
			w.mend()
			if n := r.after(t, time.Hour+2*time.Minute); n != 3 || len(changes) != 2 || changes[1] != "enabled" {
				t.Errorf("%v: when mended %d files, changes %q", test.err, n, changes)
			}
			if st := r.Status(); st.Waiting != 0 || st.WaitingBytes != 0 || st.Lag != 0 || st.Detail != "" {
				t.Errorf("%v: when mended %+v", test.err, st)
			}
			r.end(t)
			r.check(t)
		})
	}
}

// A bucket is away for a day while traces go on: the Dumper holds one cycle and a part
// of the next, puts nothing twice, and makes up for everything.
func TestDumpRidesOutADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &meteredLog{dumpWorld: newDumpWorld()}
		l.refuse("", obs.ErrNoBucket)
		d, err := cts.NewDumper(l, dumpBucket{l.objects, l.dumpWorld}, &cts.DumperOptions{MaxTraces: 10})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- d.Run(t.Context()) }()
		for range 24 * 60 {
			l.record(t, "")
			<-time.After(time.Minute)
		}
		synctest.Wait()
		st := d.Status()
		if st.Waiting > 20 || st.Lag < 23*time.Hour || st.Detail != cts.DetailNoBucket {
			t.Errorf("status %+v", st)
		}
		if _, later, _ := strings.Cut(l.verbs(), "put"); strings.Contains(later, "after") {
			t.Error("the log is read again for what can't be delivered")
		}
		l.mend()
		<-time.After(2 * time.Minute)
		synctest.Wait()
		l.check(t)
		if st := d.Status(); st.Traces != 24*60 || st.State != cts.TransferEnabled {
			t.Errorf("status %+v", st)
		}
		d.Close()
		if err := <-ended; err != nil {
			t.Errorf("Run after Close: %v", err)
		}
	})
}

// In a storm of throttling only one put in eight gets through, and the bucket is asked
// little: what got through is not put again, and a cycle of many files is completed.
func TestDumpRidesOutAThrottleStorm(t *testing.T) {
	for _, workers := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			w := newDumpWorld()
			for i := range 40 {
				w.add(t, "system/"+string(rune('A'+i)))
			}
			puts := 0
			w.fault = func(_ int, call string) dumpFault {
				if !strings.HasPrefix(call, "put ") {
					return dumpFault{}
				}
				if puts++; puts%8 != 0 {
					return dumpFault{err: obs.ErrThrottled}
				}
				return dumpFault{}
			}
			r := run(t, w, &cts.DumperOptions{Workers: workers, MaxTraces: 40})
			if n := r.after(t, 3*time.Hour); n != 40 {
				t.Fatalf("%d files after three hours, status %+v", n, r.Status())
			}
			if puts > 8*40+workers {
				t.Errorf("%d puts for 40 files", puts)
			}
			r.end(t)
			r.check(t)
			if st := r.Status(); st.LastError != nil || st.Position != 40 {
				t.Errorf("status %+v", st)
			}
		})
	}
}

// A bucket that throttles everything is asked for one file by each worker, and then left
// alone until the next try.
func TestDumpStopsAtThrottling(t *testing.T) {
	for _, err := range []error{obs.ErrThrottled, obs.ErrNoBucket, obs.ErrArrears} {
		for _, workers := range []int{1, 4} {
			synctest.Test(t, func(t *testing.T) {
				w := newDumpWorld()
				for i := range 40 {
					w.add(t, "system/"+string(rune('A'+i)))
				}
				w.refuse("", err)
				d := w.dumper(t, &cts.DumperOptions{Workers: workers})
				for range 10 {
					if got := d.Flush(t.Context()); !errors.Is(got, err) {
						t.Errorf("Flush: %v", got)
					}
				}
				if puts := strings.Count(w.verbs(), "put"); puts > 10*workers {
					t.Errorf("%d puts in ten tries with %d workers", puts, workers)
				}
			})
		}
	}
}

func TestDumperClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDumpWorld()
		w.add(t, sevenTraces...)
		release := make(chan struct{})
		hanging := w.hang("put", release, errBroken)
		d := w.dumper(t, &cts.DumperOptions{MaxTraces: 4})
		ended, flushed, closed := make(chan error, 1), make(chan error, 1), make(chan struct{})
		go func() { ended <- d.Run(t.Context()) }()
		<-hanging
		go func() { flushed <- d.Flush(t.Context()) }()
		synctest.Wait()
		go func() {
			d.Close()
			close(closed)
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close does not wait for the cycle under way")
		default:
		}
		close(release)
		<-closed
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := <-flushed; !errors.Is(err, cts.ErrClosed) {
			t.Errorf("the Flush that waited: %v", err)
		}
		d.Close()
		if err := errors.Join(d.Run(t.Context())); err != nil {
			t.Errorf("Run after Close: %v", err)
		}
		for name, call := range map[string]error{"Flush": d.Flush(t.Context()), "RetryQuarantined": d.RetryQuarantined(t.Context())} {
			if !errors.Is(call, cts.ErrClosed) {
				t.Errorf("%s after Close: %v", name, call)
			}
		}
		w.mend()
		if err := w.dumper(t, nil).Flush(t.Context()); err != nil {
			t.Errorf("the next Dumper: %v", err)
		}
		w.check(t)
	})
}

// The status is told to be mended with the first cycle that gets through, not when the
// whole backlog is worked off.
func TestDumpStatusDuringABacklog(t *testing.T) {
	w := newDumpWorld()
	w.add(t, sevenTraces...)
	w.deny("put")
	var d *cts.Dumper
	var seen []string
	d = w.dumper(t, &cts.DumperOptions{MaxTraces: 1, Workers: 1, Events: &cts.DumperEvents{StatusChanged: func(st cts.DumperStatus) {
		seen = append(seen, fmt.Sprint(st.State, " at ", st.Position))
	}}})
	if err := d.Flush(t.Context()); !errors.Is(err, obs.ErrDenied) {
		t.Fatal(err)
	}
	w.mend()
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"error at 0", "enabled at 1"}; !slices.Equal(seen, want) {
		t.Errorf("changes %q, want %q", seen, want)
	}
}

// While a put hangs, the status tells what waits.
func TestDumpStatusWhileAPutHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDumpWorld()
		release := make(chan struct{})
		hanging := w.hang("put", release, nil)
		r := run(t, w, &cts.DumperOptions{MaxTraces: 2})
		r.record(t, "")
		r.record(t, "")
		<-hanging
		r.after(t, time.Hour)
		if st := r.Status(); st.Waiting != 2 || st.Lag != time.Hour || st.Read != 2 {
			t.Errorf("status %+v", st)
		}
		close(release)
		r.after(t, time.Hour+time.Second)
		r.end(t)
		r.check(t)
	})
}

// What fails beside the delivery is reported and leaves no backlog.
func TestDumpGoesOnBesideOtherFailures(t *testing.T) {
	w := newDumpWorld()
	w.add(t, sevenTraces...)
	w.refuse("/Complete/", obs.ErrDenied)
	d := w.dumper(t, &cts.DumperOptions{MaxTraces: 1, CompleteMarker: true})
	if err := d.Flush(t.Context()); !errors.Is(err, obs.ErrDenied) || d.Status().Position != 7 || d.Status().Detail != cts.DetailBucketPolicy {
		t.Errorf("the marker is denied: %v, %+v", err, d.Status())
	}
	w.mend()
	if err := d.Flush(t.Context()); err != nil || d.Status().State != cts.TransferEnabled {
		t.Errorf("when mended: %v, %+v", err, d.Status())
	}
	w.check(t)

	other := newDumpWorld()
	other.add(t, sevenTraces...)
	d, err := cts.NewDumper(refusing{other.Store, errBroken}, other.objects, &cts.DumperOptions{MaxTraces: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Flush(t.Context()); !errors.Is(err, errBroken) || d.Status().Position != 7 {
		t.Errorf("the consumer can't be moved: %v, %+v", err, d.Status())
	}
	other.check(t)
}

// A save of which the outcome is unknown, in the delivery or in sealing, takes effect or
// not: Run goes on, and everything is in the bucket once and sealed.
func TestDumpOfSavesWithUnknownOutcome(t *testing.T) {
	signer, err := digest.GenerateKey(digest.Ed25519, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, done := range []bool{true, false} {
		for n := 1; ; n++ {
			w := newDumpWorld()
			w.add(t, sevenTraces...)
			now := time.UnixMilli(1_700_000_000_000)
			opts := &cts.DumperOptions{
				MaxTraces: 2, Workers: 1, Validation: &cts.ValidationOptions{Signer: signer, Interval: time.Minute},
				Clock: func() time.Time { now = now.Add(time.Second); return now },
			}
			saves := 0
			w.fault = func(_ int, call string) dumpFault {
				if call == "plan" || call == "checkpoint" {
					if saves++; saves == n {
						return dumpFault{err: cts.ErrOutcomeUnknown, done: done}
					}
				}
				return dumpFault{}
			}
			d := w.dumper(t, opts)
			for range 4 {
				now = now.Add(2 * time.Minute)
				if err := d.Flush(t.Context()); errors.Is(err, cts.ErrStateConflict) {
					t.Fatalf("save %d took effect (%t): %v", n, done, err)
				}
			}
			if err := d.Seal(t.Context()); err != nil {
				t.Fatalf("save %d took effect (%t): %v", n, done, err)
			}
			w.mend()
			report, err := digest.Verify(t.Context(), w.objects, &digest.VerifyOptions{Keys: []*digest.PublicKey{signer.Public()}})
			if err != nil || !report.OK() || report.Checked.Traces != 7 {
				t.Fatalf("save %d took effect (%t): %+v, %v", n, done, report, err)
			}
			if saves < n {
				if n < 12 {
					t.Errorf("only %d saves", saves)
				}
				break
			}
		}
	}
}
