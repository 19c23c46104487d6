package cts_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/memobs"
)

// Several processes, each with a store of its own, fill one bucket at the same time,
// with faults and kills, equal trackers, services and times: the bucket holds the traces
// of all of them once each.
func TestDumpOfManyWriters(t *testing.T) {
	for _, writers := range []int{2, 5} {
		for seed := range uint64(10) {
			t.Run(fmt.Sprint("writers=", writers, " seed=", seed), func(t *testing.T) {
				objects := memobs.New(nil)
				worlds := make([]*dumpWorld, writers)
				var all sync.WaitGroup
				for i := range worlds {
					w := newDumpWorldOf(fmt.Sprintf("0b7f8a52-5d0f-4c57-9d1e-%012x", i), fmt.Sprint("w", i, "-"), objects)
					worlds[i] = w
					h := &dumpHistory{Rand: rand.New(rand.NewPCG(seed, uint64(i))), dumpWorld: w, t: t, rate: 0.1, kills: true}
					all.Go(h.run)
				}
				all.Wait()
				checkBucket(t, worlds...)
			})
		}
	}
}

// Files are put at the same time, as many as there are workers; events come one at a
// time, and in a cycle in the order of the names.
func TestDumpWithWorkers(t *testing.T) {
	for _, workers := range []int{1, 2, 8} {
		synctest.Test(t, func(t *testing.T) {
			w := newDumpWorld()
			for i := range 48 {
				w.add(t, fmt.Sprintf("system/S%02d", i%16))
			}
			var under, most atomic.Int64
			bucket := slowBucket{dumpBucket: dumpBucket{w.objects, w}, under: &under, most: &most}
			var services []string
			inside := false
			d, err := cts.NewDumper(w, bucket, &cts.DumperOptions{Workers: workers, MaxTraces: 16, Events: &cts.DumperEvents{FileDumped: func(f cts.FileInfo) {
				if inside {
					t.Error("two events at a time")
				}
				inside = true
				services = append(services, f.Service)
				inside = false
			}}})
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			if err := d.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.check(t)
			if got := most.Load(); got != int64(workers) {
				t.Errorf("%d files at a time with %d workers", got, workers)
			}
			if got, want := time.Since(begun), time.Duration(48/workers)*time.Second; got != want {
				t.Errorf("48 files of a second each took %v, want %v", got, want)
			}
			for i, s := range services {
				if s != fmt.Sprintf("S%02d", i%16) {
					t.Errorf("order of events: %q", services)
					break
				}
			}
		})
	}
}

// slowBucket takes a second for a put.
type slowBucket struct {
	dumpBucket
	under, most *atomic.Int64
}

func (b slowBucket) Put(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
	n := b.under.Add(1)
	defer b.under.Add(-1)
	for m := b.most.Load(); n > m && !b.most.CompareAndSwap(m, n); m = b.most.Load() {
	}
	<-time.After(time.Second)
	return b.dumpBucket.Put(ctx, key, body, opts)
}

// The marker says up to when the files are complete, and is kept fresh while nothing
// happens.
func TestDumpCompleteMarker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDumpWorld()
		r := run(t, w, &cts.DumperOptions{Region: "eu", CompleteMarker: true, MaxAge: 5 * time.Minute})
		marker := func() (m struct {
			Store      string       `json:"store"`
			Position   cts.Position `json:"position"`
			CompleteTo int64        `json:"complete_to"`
			Written    int64        `json:"written"`
		},
		) {
			t.Helper()
			body, o, err := w.objects.Get(t.Context(), "CloudTraces/eu/Complete/"+w.ID()+".json")
			if err != nil {
				t.Fatal(err)
			}
			if err := json.NewDecoder(body).Decode(&m); err != nil || m.Store != w.ID() || o.ContentType != "application/json" {
				t.Fatalf("marker %+v: %v", m, err)
			}
			return m
		}
		r.after(t, time.Minute)
		r.record(t, "")
		recorded := time.Now()
		r.after(t, 5*time.Minute)
		if m := marker(); m.CompleteTo > recorded.UnixMilli() || m.Position != 0 {
			t.Errorf("complete up to behind a trace that waits: %+v", m)
		}
		r.after(t, 6*time.Minute)
		if m := marker(); m.Position != 1 || m.CompleteTo != r.begun.Add(5*time.Minute).UnixMilli() || m.Written != r.begun.Add(6*time.Minute).UnixMilli() {
			t.Errorf("after the cycle: %+v", m)
		}
		r.after(t, time.Hour)
		m := marker()
		if age := r.begun.Add(time.Hour).Sub(time.UnixMilli(m.CompleteTo)); age > 7*time.Minute || age < time.Minute {
			t.Errorf("an hour later complete up to %v ago", age)
		}
		if st := r.Status(); st.CompleteTo.Before(time.UnixMilli(m.CompleteTo)) {
			t.Errorf("status %+v", st)
		}
		r.end(t)
		other := w.dumper(t, &cts.DumperOptions{Region: "eu", CompleteMarker: true, StateName: "second"})
		if err := other.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if keys := strings.Join(w.keys(t), " "); !strings.Contains(keys, "/Complete/"+w.ID()+"_second.json") {
			t.Errorf("objects %s", keys)
		}
	})
}

// What CompleteTo promises: at any moment, no trace that was recorded before it is
// missing in the bucket.
func TestDumpIsCompleteUpTo(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			w := newDumpWorld()
			w.fault = func(_ int, call string) dumpFault {
				if r.IntN(6) == 0 {
					return dumpFault{err: errBroken}
				}
				return dumpFault{}
			}
			d := w.dumper(t, &cts.DumperOptions{MaxTraces: 1 + r.IntN(20), Workers: 1 + r.IntN(3)})
			last := time.Time{}
			for range 30 {
				for range r.IntN(12) {
					w.record(t, "")
					<-time.After(time.Duration(r.IntN(40)) * time.Second)
				}
				_ = d.Flush(t.Context())
				st := d.Status()
				if st.CompleteTo.Before(last) {
					t.Errorf("seed %d: complete up to %v and then %v", seed, last, st.CompleteTo)
				}
				last = st.CompleteTo
				in := w.ids(t)
				for e, err := range w.Store.After(t.Context(), 0) {
					if err != nil {
						t.Fatal(err)
					}
					if tr, err := e.Decode(); err != nil || tr.RecordTime < last.UnixMilli() && in[tr.ID] == 0 {
						t.Fatalf("seed %d: trace %s of %d is missing, complete up to %d", seed, tr.ID, tr.RecordTime, last.UnixMilli())
					}
				}
			}
			w.mend()
			if err := d.Flush(t.Context()); err != nil || time.Since(d.Status().CompleteTo) > 2*time.Minute {
				t.Errorf("seed %d: %v, complete up to %v ago", seed, err, time.Since(d.Status().CompleteTo))
			}
		})
	}
}
