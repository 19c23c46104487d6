package ctshttp

import (
	"errors"
	"testing"
	"time"
)

// TestFailOpenCountsWhileItReports: what fails while an outage is being recorded is
// part of the next one, or of the same one if that can't be recorded.
func TestFailOpenCountsWhileItReports(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(1_800_000_000+s, 0) }
	broken := errors.New("broken")
	for _, failed := range []bool{false, true} {
		var f failOpen
		if _, ok := f.take(); ok || !f.since().IsZero() {
			t.Fatal("there is nothing to record")
		}
		f.failed(at(1), broken)
		f.failed(at(2), broken)
		o, ok := f.take()
		if !ok || o.requests != 2 || !o.from.Equal(at(1)) || !o.to.Equal(at(2)) {
			t.Fatalf("took %+v, %t", o, ok)
		}
		f.failed(at(3), broken)
		if _, ok := f.take(); ok {
			t.Fatal("two report the same outage")
		}
		o.entered = true
		want := outage{requests: 1, from: at(3), to: at(3), cause: broken}
		var err error
		if failed {
			err = broken
			want = outage{requests: 3, from: at(1), to: at(3), cause: broken, entered: true}
		}
		f.reported(o, err)
		if got, ok := f.take(); !ok || got != want {
			t.Errorf("failed %t: took %+v, want %+v", failed, got, want)
		}
		f.reported(want, nil)
		if f.active.Load() || !f.since().IsZero() || f.total.Load() != 3 {
			t.Errorf("failed %t: active %t since %v, %d in all", failed, f.active.Load(), f.since(), f.total.Load())
		}
	}
}
