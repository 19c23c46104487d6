package cts_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

// stateBytes returns how large the state of the Dumper is.
func (w *dumpWorld) stateBytes(tb testing.TB) int {
	tb.Helper()
	data, _, err := w.Store.LoadState(tb.Context(), "dumper")
	if err != nil {
		tb.Fatal(err)
	}
	return len(data)
}

// A policy denies the folder of one tracker for half a day, with thousands of files: the
// others are delivered as if nothing were, the state stays small, and when the policy is
// mended every trace of it comes, once.
func TestDumpLeavesADeniedTrackerBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDumpWorld()
		w.refuse("/data/", obs.ErrDenied)
		r := run(t, w, &cts.DumperOptions{MaxTraces: 10})
		const minutes = 12 * 60
		for i := range minutes {
			w.add(t, fmt.Sprint("data/S", i%7), fmt.Sprint("data/S", i%5), fmt.Sprint("data/T", i%9), fmt.Sprint("data/T", i%11), "system/ECS")
			r.after(t, time.Duration(i+1)*time.Minute)
			if i < 30 {
				continue
			}
			st := r.Status()
			if late := i + 1 - int(st.Traces); late > 12 || st.Behind != 1 || st.Quarantined > 40 || st.State != cts.TransferError || st.Detail != cts.DetailBucketPolicy {
				t.Fatalf("minute %d: %d traces of the others wait, %+v", i, late, st)
			}
			if n := w.stateBytes(t); n > 100_000 {
				t.Fatalf("minute %d: the state has %d bytes", i, n)
			}
		}
		behind := r.Behind()
		if len(behind) != 1 || behind[0].Tracker != "data" || behind[0].Detail != cts.DetailBucketPolicy || behind[0].Since.Sub(r.begun) > time.Hour ||
			!strings.Contains(behind[0].Reason, "obs: put") || w.held(t) > behind[0].Position {
			t.Errorf("behind: %+v, held at %d", behind, w.held(t))
		}
		w.mend()
		r.after(t, (minutes+25)*time.Minute)
		if st := r.Status(); st.Behind != 0 || st.Quarantined != 0 || st.State != cts.TransferEnabled || st.Traces != 5*minutes {
			t.Errorf("when mended: %+v", st)
		}
		if w.held(t) != 5*minutes {
			t.Errorf("held at %d", w.held(t))
		}
		w.add(t, "data/S", "system/ECS")
		if err := r.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		r.end(t)
		r.check(t)
	})
}

// A cycle in which there is nothing but the tracker that is denied does not hold up the
// others that come after it; while none comes, it may be the bucket, and it waits.
func TestDumpLeavesADeniedTrackerThatIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDumpWorld()
		w.refuse("/data/", obs.ErrDenied)
		r := run(t, w, &cts.DumperOptions{MaxTraces: 2})
		w.add(t, "data/A", "data/B")
		r.after(t, time.Hour)
		if st := r.Status(); st.Quarantined+st.Behind != 0 || st.Waiting != 2 {
			t.Errorf("nobody waits behind it: %+v", st)
		}
		w.add(t, "system/ECS", "system/EVS")
		if n := r.after(t, time.Hour+10*time.Minute); n != 2 {
			t.Errorf("%d files of the others, %+v", n, r.Status())
		}
		w.mend()
		r.after(t, 3*time.Hour)
		r.end(t)
		r.check(t)
	})
}

// A fault in any call while a tracker goes behind, catches up and goes with the others
// again: each trace is in the bucket once. The tracker has more files than are set aside,
// in one cycle or in several.
func TestDumpSurvivesFaultsWhileATrackerIsBehind(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine and thousands of files: run without the race detector")
	}
	kinds := slices.Sorted(maps.Keys(faultKinds))
	for _, cycle := range []int{40, 200} {
		for i, name := range kinds {
			fault := faultKinds[name]
			for n := 1 + i; ; n += 3 + n {
				w := newDumpWorld()
				for i := range 105 {
					w.add(t, fmt.Sprintf("data/S%d", i))
					if i%4 == 0 {
						w.add(t, "system/ECS")
					}
				}
				count, down := 0, true
				w.fault = func(_ int, call string) dumpFault {
					if count++; count == n {
						return fault
					}
					if down && strings.HasPrefix(call, "put ") && strings.Contains(call, "/data/") && call[len(call)-9] > '4' { // some get through
						return dumpFault{err: obs.ErrInvalid}
					}
					return dumpFault{}
				}
				turn := func() {
					for range 2 {
						d := w.dumper(t, &cts.DumperOptions{MaxTraces: cycle, Workers: 1, Level: 1})
						_ = d.Flush(t.Context())
						w.mu.Lock()
						w.dead = false
						w.mu.Unlock()
					}
				}
				turn()
				w.add(t, "data/S1", "system/ECS")
				turn()
				down = false
				turn()
				hit := count >= n
				w.mend()
				d := w.dumper(t, &cts.DumperOptions{MaxTraces: cycle, Workers: 2, Level: 1})
				if err := d.Flush(t.Context()); err != nil || d.Status().Quarantined+d.Status().Behind > 0 {
					t.Fatalf("cycles of %d, call %d %s; then: %v, %+v", cycle, n, name, err, d.Status())
				}
				if w.check(t); t.Failed() {
					t.Fatalf("cycles of %d, call %d %s", cycle, n, name)
				}
				if !hit {
					break
				}
			}
		}
	}
}

// Histories of faults and kills in which one tracker is denied all the time.
func TestDumpHistoriesWithADeniedTracker(t *testing.T) {
	histories := uint64(30)
	if testing.Short() || raceEnabled {
		histories = 4
	}
	for seed := range histories {
		w := newDumpWorld()
		r := rand.New(rand.NewPCG(seed, 17))
		now := time.UnixMilli(1_700_000_500_000)
		clock := func() time.Time {
			w.mu.Lock()
			defer w.mu.Unlock()
			now = now.Add(time.Minute)
			return now
		}
		w.fault = func(_ int, call string) dumpFault {
			if r.IntN(12) == 0 {
				return dumpFault{err: errBroken, done: r.IntN(2) == 0, kill: r.IntN(5) == 0}
			}
			if strings.HasPrefix(call, "put ") && strings.Contains(call, "/data/") {
				return dumpFault{err: obs.ErrDenied}
			}
			return dumpFault{}
		}
		opts := func() *cts.DumperOptions {
			return &cts.DumperOptions{MaxTraces: 1 + r.IntN(30), Level: 1, Workers: 1, Clock: clock, WithoutServiceFolders: r.IntN(4) == 0, Prefix: []string{"", "p"}[r.IntN(2)]}
		}
		d := w.dumper(t, opts())
		others := 0
		for range 60 {
			for range r.IntN(5) {
				w.add(t, fmt.Sprint("data/S", r.IntN(12)))
			}
			w.add(t, fmt.Sprint("system/S", r.IntN(3)))
			others++
			_ = d.Flush(t.Context())
			w.mu.Lock()
			killed := w.dead
			w.dead = false
			w.mu.Unlock()
			if killed {
				d = w.dumper(t, opts())
			}
		}
		w.fault = func(_ int, call string) dumpFault {
			if strings.HasPrefix(call, "put ") && strings.Contains(call, "/data/") {
				return dumpFault{err: obs.ErrDenied}
			}
			return dumpFault{}
		}
		for range 80 {
			_ = d.Flush(t.Context())
		}
		system := 0
		for id := range w.ids(t) {
			if id != "" {
				system++
			}
		}
		if system < others {
			t.Fatalf("seed %d: %d of %d traces of the others are delivered: %+v", seed, system, others, d.Status())
		}
		w.mend()
		d = w.dumper(t, opts())
		if err := d.Flush(t.Context()); err != nil || d.Status().Quarantined+d.Status().Behind > 0 {
			t.Fatalf("seed %d: %v, %+v", seed, err, d.Status())
		}
		if w.check(t); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// The digests of one tracker are denied while thousands of its files would be delivered:
// the others are delivered and sealed, and the state stays bounded.
func TestSealDeniedTrackerHoldsUpNobody(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine that makes thousands of files: run without the race detector")
	}
	w := newSealWorld(t)
	down := true
	bucket := &sealBucket{Client: w.objects, fail: func(_, key string) error {
		if down && strings.Contains(key, "/bad/Digest/") {
			return obs.ErrDenied
		}
		return nil
	}}
	d := w.startOn(t, bucket)
	good := 0
	for hour := range 150 {
		w.now = sealBegin.Add(time.Duration(hour)*time.Hour + time.Second)
		for i := range 30 {
			w.add(t, fmt.Sprint("bad/S", i))
		}
		w.add(t, "good/ECS")
		good++
		_ = d.Flush(t.Context())
		if n := w.stateBytes(t); n > 400_000 {
			t.Fatalf("hour %d: the state has %d bytes", hour, n)
		}
	}
	if st := d.Status(); int(st.Position) != w.made || st.Behind != 1 || st.State != cts.TransferError || st.Detail != cts.DetailBucketPolicy || st.Unsealed > 500 {
		t.Errorf("status %+v", st)
	}
	b := readBucket(t, w.objects, sealSigner(t).Public())
	sealed := 0
	for _, chain := range b.digests {
		for _, s := range chain {
			sealed += int(s.Extension.Count)
		}
	}
	if sealed < good-1 {
		t.Errorf("%d of %d traces of the good tracker are sealed", sealed, good)
	}
	down = false
	w.now = w.now.Add(time.Minute)
	w.sealAll(t, d)
	w.checkSealed(t)
	if st := d.Status(); st.Behind != 0 || int(st.Traces) != w.made || st.Unsealed != 0 {
		t.Errorf("when mended: %+v", st)
	}
	report, err := digest.Verify(t.Context(), w.objects, &digest.VerifyOptions{Keys: []*digest.PublicKey{sealSigner(t).Public()}, AsOf: w.now})
	if err != nil || !report.OK() {
		t.Errorf("Verify: %v, %+v", err, report)
	}
}

// What Shutdown leaves undone has the traces of a tracker that is behind, and no others.
func TestShutdownCountsWhatIsBehind(t *testing.T) {
	w := newDumpWorld()
	for i := range 25 {
		w.add(t, fmt.Sprint("data/S", i), "system/ECS")
	}
	w.refuse("/data/", obs.ErrInvalid)
	d := w.dumper(t, nil)
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.add(t, "data/S1", "data/S2", "system/ECS")
	left, err := cts.Shutdown(t.Context(), &cts.ShutdownOptions{Dumpers: []*cts.Dumper{d}})
	if want := (cts.Leftover{Undelivered: 27, Quarantined: 25}); err != nil || left != want {
		t.Errorf("left %+v, %v", left, err)
	}
}

// Some files of a cycle are set aside, and later there is no room for the others: what the
// tracker has in the cycle is delivered and counted once.
func TestDumpCrowdingInTwoSteps(t *testing.T) {
	w := newDumpWorld()
	for i := range 130 {
		w.add(t, fmt.Sprintf("data/S%03d", i))
	}
	broken := true
	w.fault = func(_ int, call string) dumpFault {
		switch {
		case !strings.HasPrefix(call, "put "):
		case strings.Contains(call, "/S00") || !broken:
			return dumpFault{err: obs.ErrInvalid}
		default:
			return dumpFault{err: errBroken}
		}
		return dumpFault{}
	}
	d := w.dumper(t, nil)
	if err := d.Flush(t.Context()); err == nil || d.Status().Quarantined != 10 {
		t.Fatalf("%v, %+v", err, d.Status())
	}
	broken = false
	if err := d.Flush(t.Context()); err != nil || d.Status().Behind != 1 || d.Status().Quarantined != 0 {
		t.Fatalf("%v, %+v", err, d.Status())
	}
	w.mend()
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := d.Status(); st.Traces != 130 || st.Behind+st.Quarantined != 0 || w.held(t) != 130 {
		t.Errorf("when mended: %+v", st)
	}
	w.check(t)
}
