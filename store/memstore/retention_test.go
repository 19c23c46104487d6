package memstore_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
	"github.com/cloudtraceservice/cts/store/storetest"
)

// Retention makes room under the bound of the store.
func TestRetainMakesRoom(t *testing.T) {
	s := memstore.New(&memstore.Options{MaxBytes: 20_000})
	if _, err := s.SaveState(t.Context(), "plan", []byte(strings.Repeat("x", 1000)), 0); err != nil {
		t.Fatal(err)
	}
	traces := storetest.Traces(3, 1000)
	n := 0
	for ; n < len(traces); n++ {
		if _, err := s.Append(t.Context(), []cts.Entry{{Trace: traces[n]}}); err != nil {
			if !errors.Is(err, cts.ErrStoreFull) {
				t.Fatal(err)
			}
			break
		}
	}
	done, err := s.Retain(t.Context(), cts.Retention{MaxBytes: 5000})
	if err != nil || done.Traces == 0 || done.Oldest != cts.Position(done.Traces)+1 {
		t.Fatalf("Retain: %+v, %v", done, err)
	}
	report, err := s.Verify(t.Context())
	if err != nil || !report.OK() || report.Traces != int64(n)-done.Traces || report.Bytes > 5000 {
		t.Errorf("behind it: %+v, %v", report, err)
	}
	if _, err := s.Append(t.Context(), []cts.Entry{{Trace: traces[n]}}); err != nil {
		t.Errorf("there is no room behind a retention: %v", err)
	}
	if done, err := s.Retain(t.Context(), cts.Retention{MaxBytes: 1}); err != nil || done.Traces == 0 {
		t.Errorf("Retain: %+v, %v", done, err)
	}
	if _, err := s.Append(t.Context(), []cts.Entry{{Trace: traces[0]}, {Trace: traces[1]}}); err != nil {
		t.Errorf("dropped traces can't be stored again: %v", err)
	}
}

// What was dropped does not stay in memory.
func TestRetainFreesMemory(t *testing.T) {
	s := memstore.New(nil)
	tr := storetest.Traces(4, 1)[0]
	for n := range 32 {
		tr.ID, tr.Request = fmt.Sprint("t", n), strings.Repeat("x", 1<<19)
		if _, err := s.Append(t.Context(), []cts.Entry{{Trace: tr}}); err != nil {
			t.Fatal(err)
		}
	}
	held := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := held()
	if _, err := s.Retain(t.Context(), cts.Retention{MaxBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if after := held(); before < after || before-after < 12<<20 {
		t.Errorf("%d bytes are held before and %d after 15 MiB of 16 were dropped", before, after)
	}
	runtime.KeepAlive(s)
}

// A query that was sorted before a retention agrees with one behind it, whatever
// arrives in between.
func TestOrderBehindRetention(t *testing.T) {
	s := memstore.New(nil)
	traces := storetest.Traces(5, 300)
	for n := 0; n < len(traces); n += 10 {
		for _, tr := range traces[n : n+10] {
			if _, err := s.Append(t.Context(), []cts.Entry{{Trace: tr}}); err != nil {
				t.Fatal(err)
			}
		}
		if n%30 == 0 {
			if _, err := s.Retain(t.Context(), cts.Retention{MaxBytes: 20_000}); err != nil {
				t.Fatal(err)
			}
		}
		done, err := s.Retain(t.Context(), cts.Retention{})
		if err != nil {
			t.Fatal(err)
		}
		last, seen := int64(0), 0
		for e, err := range s.Query(t.Context(), cts.Query{Order: cts.Oldest, Attempts: true}) {
			if err != nil || e.Trace.Time < last || e.Position < done.Oldest || e.Trace.ID != traces[e.Position-1].ID {
				t.Fatalf("position %d: %v", e.Position, err)
			}
			last = e.Trace.Time
			seen++
		}
		if want := n + 10 - int(done.Oldest-1); seen != want {
			t.Fatalf("a query yields %d traces, want %d", seen, want)
		}
	}
}

// A follower that waits learns of a retention with the next trace.
func TestFollowBehindRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New(nil)
		traces := storetest.Traces(6, 3)
		steps := make(chan error)
		go func() {
			defer close(steps)
			for _, err := range s.Follow(t.Context(), 0) {
				steps <- err
			}
		}()
		synctest.Wait()
		// Both are done before the follower is woken, or it has seen the trace.
		for _, tr := range traces[:1] {
			if _, err := s.Append(t.Context(), []cts.Entry{{Trace: tr}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-steps; err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(t.Context(), []cts.Entry{{Trace: traces[1]}, {Trace: traces[2]}}); err != nil {
			t.Fatal(err)
		}
		if err := <-steps; err != nil { // and holds the third, which it began with
			t.Fatal(err)
		}
		if _, err := s.Retain(t.Context(), cts.Retention{MaxBytes: 1}); err != nil {
			t.Fatal(err)
		}
		if err := <-steps; err != nil {
			t.Errorf("a follower under way: %v", err)
		}
		var gone *cts.PositionGoneError
		for _, err := range s.Follow(t.Context(), 1) {
			if !errors.As(err, &gone) || gone.Oldest != 4 {
				t.Errorf("a follower that begins below: %v", err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-steps; !errors.Is(err, cts.ErrClosed) {
			t.Errorf("at the end: %v", err)
		}
	})
}
