package cts_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/obs"
)

// Many chains that are due at the same time are sealed with few saves, and a kill at any
// call in between leaves every chain whole.
func TestSealBatches(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine and hundreds of chains: run without the race detector")
	}
	const trackers = 250
	w := newSealWorld(t)
	d := w.start(t)
	for i := range trackers {
		w.add(t, fmt.Sprintf("t%03d/s", i))
	}
	w.flush(t, d)
	w.calls, w.now = nil, w.now.Add(time.Hour+time.Second)
	w.sealAll(t, d)
	if saves := strings.Count(w.verbs(), "checkpoint"); saves > 20 {
		t.Errorf("%d saves for %d chains", saves, trackers)
	}
	if st := d.Status(); st.Digests < trackers || st.DigestsWaiting != 0 || st.SealConflicts != 0 {
		t.Errorf("status %+v", st)
	}
	w.checkSealed(t)
}

func TestSealBatchesSurviveAFaultInAnyCall(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine: run without the race detector")
	}
	for name, fault := range faultKinds {
		for n := 1; ; n += 1 + n/4 {
			w := newSealWorld(t)
			w.opts.Workers = 1
			d := w.start(t)
			for i := range 12 {
				w.add(t, fmt.Sprintf("t%02d/s", i))
			}
			w.flush(t, d)
			w.now = w.now.Add(2*time.Hour + time.Second)
			hit := w.at(n, fault)
			_ = d.Seal(t.Context())
			done := !hit()
			w.mend()
			d = w.start(t)
			w.sealAll(t, d)
			if w.checkSealed(t); t.Failed() {
				t.Fatalf("call %d %s", n, name)
			}
			if done {
				break
			}
		}
	}
}

// What somebody else has put under the name of a digest shows in the status, and so do
// digests that can't be put.
func TestSealStatus(t *testing.T) {
	w := newSealWorld(t)
	down := false
	bucket := &sealBucket{Client: w.objects, fail: func(op, key string) error {
		if down && op == "put" && strings.Contains(key, "/Digest/") {
			return obs.ErrDenied
		}
		return nil
	}}
	d := w.startOn(t, bucket)
	w.add(t, "system/ECS")
	w.flush(t, d)
	for _, key := range w.keys(t) { // under the next name
		if strings.Contains(key, "/Digest/") && !strings.HasSuffix(key, ".sig") {
			next := strings.Replace(key, "T22-00-01Z", "T23-00-01Z", 1)
			if _, err := w.objects.Put(t.Context(), next, strings.NewReader("somebody else's"), nil); err != nil || next == key {
				t.Fatal(key, err)
			}
		}
	}
	w.now = w.now.Add(time.Hour + time.Minute)
	_ = d.Flush(t.Context())
	if st := d.Status(); st.SealConflicts != 1 || st.DigestsWaiting != 0 || st.Digests != 2 {
		t.Errorf("status %+v", st)
	}
	down = true
	w.now = w.now.Add(time.Hour)
	_ = d.Flush(t.Context())
	if st := d.Status(); st.DigestsWaiting != 1 || st.State != cts.TransferError {
		t.Errorf("status %+v", st)
	}
}
