package cts_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/obs/dirobs"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// meteredLog counts the bytes that a Dumper has read since its last plan.
type meteredLog struct {
	*dumpWorld
	held int64           // bytes that the window holds
	most int64           // the most it held when it asked for one more trace
	plan func(bytes int) // is told the size of every state with a plan
}

func (l *meteredLog) After(ctx context.Context, pos cts.Position) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) {
		for e, err := range l.dumpWorld.After(ctx, pos) {
			l.most = max(l.most, l.held)
			l.held += int64(len(e.JSON)) + 1
			if !yield(e, err) {
				return
			}
		}
	}
}

func (l *meteredLog) SaveState(ctx context.Context, name string, data []byte, generation uint64) (uint64, error) {
	if l.held = 0; strings.Contains(string(data), `"plan"`) && l.plan != nil {
		l.plan(len(data))
	}
	return l.dumpWorld.SaveState(ctx, name, data, generation)
}

func (l *meteredLog) flush(t *testing.T, opts *cts.DumperOptions) {
	t.Helper()
	d, err := cts.NewDumper(l, l.objects, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.check(t)
}

// The window takes one trace more only while it is below MaxBytes.
func TestDumpHoldsNoMoreThanMaxBytes(t *testing.T) {
	for _, limit := range []int64{1, 500, 5_000, 50_000} {
		l := &meteredLog{dumpWorld: newDumpWorld()}
		for i := range 200 {
			l.record(t, strings.Repeat("x", i%9*300))
		}
		l.flush(t, &cts.DumperOptions{MaxBytes: limit, Level: 1, Workers: 1})
		if l.most >= limit || limit > 3_000 && l.most < limit-3_000 {
			t.Errorf("the window held %d bytes and asked for more; MaxBytes is %d", l.most, limit)
		}
	}
}

// However many trackers and services there are, and however long their names, the plan
// of a cycle fits into a state.
func TestDumpPlansFitIntoAState(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine and much to encode: run without the race detector")
	}
	for name, test := range map[string]struct{ traces, bytes, others, cycles int }{
		"many":  {1_100, 10, 10, 2},
		"long":  {300, 20_000, 20_000, 6},
		"huge":  {12, 1_000_000, 1_000_000, 6},
		"mixed": {12, 300_000, 1_000_000, 6},
	} {
		t.Run(name, func(t *testing.T) {
			l := &meteredLog{dumpWorld: newDumpWorld()}
			for i := range test.traces {
				size := []int{test.bytes, test.others}[i%2]
				l.add(t, fmt.Sprintf("%s-%d/%d", strings.Repeat("<", size/6), i/2, i%2)) // six bytes of JSON for each of the name
			}
			cycles, most := 0, 0
			l.plan = func(bytes int) {
				cycles++
				most = max(most, bytes)
			}
			l.flush(t, &cts.DumperOptions{Level: 1})
			if cycles < test.cycles || most < 200_000 || most > cts.MaxTraceBytes+test.traces*1_200 {
				t.Errorf("%d cycles, at least %d wanted, with plans of up to %d bytes", cycles, test.cycles, most)
			}
			if n := len(l.keys(t)); n != test.traces {
				t.Errorf("%d files of %d groups", n, test.traces)
			}
		})
	}
}

// texts are bodies that compress to a tenth, and ones that hardly compress.
var texts = map[string]func(r *rand.Rand) string{
	"compressible": func(r *rand.Rand) string {
		return strings.Repeat(fmt.Sprint("please deliver order ", r.IntN(100), " "), 80)
	},
	"hex": func(r *rand.Rand) string {
		var b strings.Builder
		for range 120 {
			fmt.Fprintf(&b, "%016x", r.Uint64())
		}
		return b.String()
	},
}

// A long backlog, while two cycles are in memory: what is held, less
// the garbage, is the two cycles as far as they compress, and what the workers have at
// hand.
func TestDumpMemoryIsBounded(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("a hundred megabytes to compress")
	}
	for name, most := range map[string]int64{"compressible": 40 << 20, "hex": 80 << 20} {
		t.Run(name, func(t *testing.T) {
			store := memstore.New(nil)
			r := rand.New(rand.NewPCG(1, 1))
			const total = 50_000
			for from := 0; from < total; from += 500 {
				var batch []cts.Entry
				for i := range 500 {
					batch = append(batch, cts.Entry{Trace: &cts.Trace{
						ID: fmt.Sprint(from + i), Time: cts.MinTime, RecordTime: cts.MinTime, Name: "x", ServiceType: fmt.Sprint("S", i%5), Request: texts[name](r),
					}})
				}
				if _, err := store.Append(t.Context(), batch); err != nil {
					t.Fatal(err)
				}
			}
			bucket, err := dirobs.Open(t.TempDir(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer bucket.Close()
			d, err := cts.NewDumper(store, bucket, &cts.DumperOptions{Level: 1, Workers: 4})
			if err != nil {
				t.Fatal(err)
			}
			live := func() int64 { // what the collection found to be in use
				sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
				runtime.GC()
				metrics.Read(sample)
				return int64(sample[0].Value.Uint64())
			}
			before, peak := live(), int64(0)
			done := make(chan error, 1)
			go func() { done <- d.Flush(t.Context()) }()
			for ended := false; !ended; {
				peak = max(peak, live()-before)
				select {
				case err := <-done:
					if ended = true; err != nil {
						t.Fatal(err)
					}
				default:
				}
			}
			if st := d.Status(); st.Traces != total || st.Bytes < 90<<20 {
				t.Errorf("status %+v", st)
			}
			if peak > most {
				t.Errorf("%d MB are held, want at most %d MB", peak>>20, most>>20)
			}
			t.Logf("at most %d MB held", peak>>20)
		})
	}
}
