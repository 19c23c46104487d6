package cts_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/obs"
)

// refuse makes every put of a key with the given part in it fail for good.
func (w *dumpWorld) refuse(part string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = func(_ int, call string) dumpFault {
		if strings.HasPrefix(call, "put ") && strings.Contains(call, part) {
			return dumpFault{err: err}
		}
		return dumpFault{}
	}
}

// A file that the bucket refuses for good is set aside with an alarm; the others, and
// the cycles behind it, are delivered; its traces are kept; and it is delivered when
// that is mended, by the next Dumper or when it is told to.
func TestDumpQuarantine(t *testing.T) {
	for _, refusal := range []error{obs.ErrInvalidKey, obs.ErrInvalid} {
		for _, restart := range []bool{false, true} {
			w := newDumpWorld()
			w.add(t, sevenTraces...)
			w.refuse("/EVS/", refusal)
			var alarms []cts.QuarantinedFile
			now := time.UnixMilli(1_700_000_500_000)
			opts := &cts.DumperOptions{MaxTraces: 4, Clock: func() time.Time { return now }, Events: &cts.DumperEvents{
				Quarantined: func(q cts.QuarantinedFile) { alarms = append(alarms, q) },
			}}
			d := w.dumper(t, opts)
			if err := d.Flush(t.Context()); err != nil {
				t.Fatalf("%v holds up the others: %v", refusal, err)
			}
			st := d.Status()
			if st.Position != 7 || st.Quarantined != 2 || st.Traces != 5 || st.State != cts.TransferError || st.Detail != cts.DetailQuarantine {
				t.Errorf("status %+v", st)
			}
			if want := time.UnixMilli(1_700_000_000_002); !st.CompleteTo.Equal(want) {
				t.Errorf("complete to %v, the oldest that is set aside is of %v", st.CompleteTo, want)
			}
			if len(alarms) != 2 || alarms[0].Service != "EVS" || alarms[0].Traces != 1 || alarms[0].First != 1 || alarms[0].Last != 4 ||
				!alarms[0].Since.Equal(now) || !strings.Contains(alarms[0].Reason, "obs: put") || len(d.Quarantined()) != 2 {
				t.Errorf("alarms %+v", alarms)
			}
			if at := w.held(t); at != 0 {
				t.Errorf("the consumer is at %d: retention may drop what is set aside", at)
			}
			if err := d.RetryQuarantined(t.Context()); !errors.Is(err, refusal) {
				t.Errorf("RetryQuarantined: %v", err)
			}
			w.add(t, "system/ECS")
			if restart {
				d = w.dumper(t, opts)
				if err := d.Flush(t.Context()); err != nil || d.Status().Quarantined != 2 {
					t.Errorf("a Dumper that can't mend it: %v, %+v", err, d.Status())
				}
				d = w.dumper(t, opts)
			}
			w.mend()
			retry := d.RetryQuarantined
			if restart {
				retry = d.Flush
			}
			if err := retry(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := d.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.check(t)
			if st := d.Status(); st.Quarantined != 0 || st.State != cts.TransferEnabled || w.held(t) != 8 || len(alarms) != 2 {
				t.Errorf("when mended: %+v, %d alarms", st, len(alarms))
			}
		}
	}
}

// Other settings can mend a key; the file is in the bucket once, under one of them.
func TestDumpQuarantineUnderAnotherName(t *testing.T) {
	w := newDumpWorld()
	w.add(t, sevenTraces...)
	w.refuse("/p_", obs.ErrInvalidKey)
	if err := w.dumper(t, &cts.DumperOptions{Prefix: "p"}).Flush(t.Context()); err != nil || len(w.keys(t)) != 0 {
		t.Fatalf("%v, %d files", err, len(w.keys(t)))
	}
	d := w.dumper(t, &cts.DumperOptions{})
	if err := d.Flush(t.Context()); err != nil || d.Status().Quarantined != 0 {
		t.Fatalf("%v, %+v", err, d.Status())
	}
	w.check(t)
}

// A kill at every call, while files are set aside and while they are delivered late
// under other names: each trace is in the bucket once.
func TestDumpSurvivesAFaultInEveryCallOfAQuarantine(t *testing.T) {
	for name, fault := range faultKinds {
		for n := 1; ; n++ {
			w := newDumpWorld()
			w.add(t, sevenTraces...)
			count := 0
			refusing := func(call string) bool { return strings.HasPrefix(call, "put ") && strings.Contains(call, "/EVS/p_") }
			w.fault = func(_ int, call string) dumpFault {
				if count++; count == n {
					return fault
				}
				if refusing(call) {
					return dumpFault{err: obs.ErrInvalid}
				}
				return dumpFault{}
			}
			run := func(prefix string) {
				for range 2 {
					d := w.dumper(t, &cts.DumperOptions{MaxTraces: 4, Workers: 1, Prefix: prefix})
					_ = d.Flush(t.Context())
					w.mu.Lock()
					w.dead = false
					w.mu.Unlock()
				}
			}
			run("p")
			run("")
			hit := count >= n
			w.mend()
			d := w.dumper(t, &cts.DumperOptions{MaxTraces: 4, Workers: 1})
			if err := d.Flush(t.Context()); err != nil || d.Status().Quarantined > 0 {
				t.Fatalf("call %d %s; then: %v, %+v", n, name, err, d.Status())
			}
			if w.check(t); t.Failed() {
				t.Fatalf("call %d %s: %q", n, name, w.calls)
			}
			if !hit {
				if n < 30 {
					t.Errorf("only %d calls", n)
				}
				break
			}
		}
	}
}

// A process that is killed behind the alarm: the next one goes on with the cycle, and
// does not set the file aside once more.
func TestDumpQuarantineBeforeAKill(t *testing.T) {
	w := newDumpWorld()
	w.add(t, sevenTraces...)
	refused := func(call string) bool { return strings.HasPrefix(call, "put ") && strings.Contains(call, "/EVS/") }
	w.fault = func(_ int, call string) dumpFault {
		switch {
		case refused(call):
			return dumpFault{err: obs.ErrInvalid}
		case call == "checkpoint":
			return dumpFault{err: errCutOff, kill: true}
		}
		return dumpFault{}
	}
	if err := w.dumper(t, nil).Flush(t.Context()); !errors.Is(err, errCutOff) {
		t.Fatalf("the process was not killed: %v", err)
	}
	w.mend()
	w.refuse("/EVS/", obs.ErrInvalid)
	alarms := 0
	d := w.dumper(t, &cts.DumperOptions{Events: &cts.DumperEvents{Quarantined: func(cts.QuarantinedFile) { alarms++ }}})
	if err := d.Flush(t.Context()); err != nil || alarms != 0 || len(d.Quarantined()) != 1 || d.Status().Position != 7 {
		t.Errorf("%v, %d alarms, %+v", err, alarms, d.Status())
	}
	w.mend()
	if err := d.RetryQuarantined(t.Context()); err != nil {
		t.Error(err)
	}
	w.check(t)
}

// What is set aside is known again when its cycle is done again, with the settings that
// the tracker had then.
func TestDumpQuarantineKeepsItsSettings(t *testing.T) {
	w := newDumpWorld()
	w.add(t, sevenTraces...)
	w.fault = func(_ int, call string) dumpFault {
		switch {
		case strings.HasPrefix(call, "put ") && strings.Contains(call, "/data/"):
			return dumpFault{err: obs.ErrInvalid}
		case call == "checkpoint":
			return dumpFault{err: errCutOff, kill: true}
		}
		return dumpFault{}
	}
	if err := w.dumper(t, &cts.DumperOptions{WithoutServiceFolders: true}).Flush(t.Context()); !errors.Is(err, errCutOff) {
		t.Fatalf("the process was not killed: %v", err)
	}
	w.mend()
	if err := w.dumper(t, nil).Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.check(t)
}

// When everything is refused it is not the files: a tracker that has too many of them goes
// behind.
func TestDumpQuarantineIsBounded(t *testing.T) {
	w := newDumpWorld()
	for i := range 130 {
		w.add(t, fmt.Sprint("system/S", i))
	}
	w.refuse("", obs.ErrInvalid)
	d := w.dumper(t, &cts.DumperOptions{MaxTraces: 20})
	for range 3 {
		if err := d.Flush(t.Context()); err != nil {
			t.Fatalf("Flush: %v", err)
		}
	}
	if st := d.Status(); st.Quarantined != 20 || st.Behind != 1 || st.Position != 130 || st.Detail != cts.DetailBucket || w.held(t) != 0 {
		t.Errorf("status %+v", st)
	}
	w.mend()
	if err := errors.Join(d.RetryQuarantined(t.Context()), d.Flush(t.Context())); err != nil || d.Status().Quarantined != 0 {
		t.Errorf("when mended: %v, %+v", err, d.Status())
	}
	w.check(t)
}

// Names as long as a trace may be fit into the state beside each other only so far.
func TestDumpQuarantineOfLongNames(t *testing.T) {
	w := newDumpWorld()
	for i := range 3 {
		w.add(t, fmt.Sprint("system/", i, strings.Repeat("x", 100_000)))
	}
	w.refuse("", obs.ErrInvalid)
	d := w.dumper(t, nil)
	if err := d.Flush(t.Context()); err != nil || d.Status().Quarantined > 2 || d.Status().Behind != 1 {
		t.Errorf("Flush: %v, %+v", err, d.Status())
	}
	w.mend()
	if err := errors.Join(d.Flush(t.Context()), d.RetryQuarantined(t.Context())); err != nil {
		t.Error(err)
	}
	w.check(t)
}

// What retention takes from a file that is set aside is reported, and the rest of it is
// delivered.
func TestDumpQuarantineAfterRetention(t *testing.T) {
	for upTo := 2; upTo <= 4; upTo += 2 {
		w := newDumpWorld()
		w.add(t, "a/S", "b/S", "a/S", "b/S")
		w.refuse("/a/", obs.ErrInvalid)
		var lost []cts.Loss
		d := w.dumper(t, lostEvents(&lost))
		if err := d.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.forced(t, upTo)
		for range 2 {
			if err := d.RetryQuarantined(t.Context()); (err != nil) != (upTo == 2) {
				t.Errorf("RetryQuarantined: %v", err)
			}
		}
		w.mend()
		if err := d.RetryQuarantined(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := cts.Loss{Consumer: "dumper", First: 1, Last: cts.Position(upTo), Traces: 2}
		if st := d.Status(); len(lost) != 1 || lost[0] != want || st.Lost != 2 || st.Quarantined != 0 || w.held(t) != 4 {
			t.Errorf("up to %d: lost %+v, status %+v", upTo, lost, st)
		}
		if got := w.ids(t); len(got) != 4-upTo/2 {
			t.Errorf("up to %d: in the bucket %v", upTo, got)
		}
	}
}

// A policy denies the folder of one tracker: what is denied is set aside after MaxAge, so
// that the cycles behind it go on, and is delivered when the policy is mended.
func TestDumpQuarantineOfWhatIsDeniedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDumpWorld()
		w.refuse("/data/", obs.ErrDenied)
		r := run(t, w, &cts.DumperOptions{MaxTraces: 2})
		w.add(t, "data/OBS", "system/ECS")
		if n := r.after(t, 4*time.Minute); n != 1 || r.Status().Quarantined != 0 || r.Status().Detail != cts.DetailBucketPolicy {
			t.Errorf("%d files, status %+v", n, r.Status())
		}
		w.add(t, "system/ECS", "system/EVS")
		if n := r.after(t, 8*time.Minute); n != 3 || r.Status().Quarantined != 1 || r.Status().Detail != cts.DetailQuarantine {
			t.Errorf("%d files, status %+v", n, r.Status())
		}
		w.mend()
		if n := r.after(t, 2*time.Hour); n != 4 || r.Status().Quarantined != 0 || r.Status().State != cts.TransferEnabled {
			t.Errorf("%d files when mended, status %+v", n, r.Status())
		}
		r.end(t)
		r.check(t)
	})
}

// What is the whole bucket's fault sets nothing aside, however long it takes.
func TestDumpQuarantinesNothingInAnOutage(t *testing.T) {
	for _, err := range []error{obs.ErrDenied, obs.ErrThrottled, obs.ErrNoBucket, obs.ErrArrears, obs.ErrFull, errBroken} {
		synctest.Test(t, func(t *testing.T) {
			w := newDumpWorld()
			w.add(t, sevenTraces...)
			w.refuse("", err)
			r := run(t, w, &cts.DumperOptions{MaxTraces: 7})
			r.after(t, 12*time.Hour)
			if st := r.Status(); st.Quarantined != 0 || st.Waiting != 7 {
				t.Errorf("%v: status %+v", err, st)
			}
			r.end(t)
		})
	}
}
