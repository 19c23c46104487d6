package workload_test

import (
	"iter"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/workload"
)

func measure(tb testing.TB, chunks iter.Seq[[]contest.Record]) workload.Profile {
	tb.Helper()
	p, err := workload.Measure(chunks)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestTrailHasItsProfile(t *testing.T) {
	for _, n := range []int{20_000, 40_000} {
		for seed := range uint64(2) {
			p := measure(t, workload.Trail(seed, n, 0).Chunks(1000))
			if err := p.Check(n, 0); err != nil {
				t.Errorf("%d traces, seed %d: %v", n, seed, err)
			}
		}
	}
}

// The check is of a sample; the beginning of a large trail must pass too.
func TestTheBeginningOfALongTrailHasItsProfile(t *testing.T) {
	const n = 2_000_000
	begin := func(yield func([]contest.Record) bool) { yield(workload.Trail(7, n, 0).Head(40_000)) }
	if err := measure(t, begin).Check(n, 0); err != nil {
		t.Error(err)
	}
}

func TestTheCheckNamesWhatIsOff(t *testing.T) {
	p := measure(t, workload.Uniform(1, 20_000).Chunks(1000))
	err := p.Check(20_000, 0)
	if err == nil {
		t.Fatal("a uniform workload passed for a trail")
	}
	for _, want := range []string{"compression by zstd -3", "same user as before", "lateness, median", "share of the busiest service", "no resource"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q:\n%v", want, err)
		}
	}
}

func TestDuplicatesAreTheSameTraceAgain(t *testing.T) {
	for _, share := range []float64{0.005, 0.25} {
		const n = 20_000
		src := workload.Trail(1, n, share)
		p := measure(t, src.Chunks(1000))
		if err := p.Check(n, share); err != nil {
			t.Error(err)
		}
		if p.Traces != n {
			t.Errorf("%d different traces", p.Traces)
		}
		seen := map[string]string{}
		for chunk := range src.Chunks(1000) {
			for _, r := range chunk {
				if before, ok := seen[r.Trace.ID]; ok && before != string(r.JSON) {
					t.Fatal("a trace was offered again with another content")
				}
				seen[r.Trace.ID] = string(r.JSON)
			}
		}
	}
}

func BenchmarkTrail(b *testing.B)   { benchmark(b, workload.Trail(1, b.N, 0)) }
func BenchmarkUniform(b *testing.B) { benchmark(b, workload.Uniform(1, b.N)) }

func benchmark(b *testing.B, s *workload.Source) {
	b.Helper()
	b.ReportAllocs()
	for chunk := range s.Chunks(1000) {
		b.SetBytes(int64(len(chunk[0].JSON)))
	}
}
