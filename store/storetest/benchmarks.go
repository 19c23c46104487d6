package storetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
)

// RunBenchmarks measures a store: an append of one trace, by one goroutine and by
// 64 that each wait for their own; the newest ten traces of a resource among 20,000;
// counts of all of these, in groups and over time; and the log from its beginning.
// Bytes are those of the JSON.
//
// The store must have room for what b.N appends, about a kilobyte each.
func RunBenchmarks(b *testing.B, newStore Factory) {
	b.Run("Append-1", func(b *testing.B) { benchmarkAppend(b, newStore, 1) })
	b.Run("Append-64", func(b *testing.B) { benchmarkAppend(b, newStore, 64) })
	b.Run("QueryResource", func(b *testing.B) { benchmarkQuery(b, newStore) })
	for _, c := range counts {
		b.Run("Aggregate-"+c.name, func(b *testing.B) { benchmarkAggregate(b, newStore, c) })
	}
	b.Run("After", func(b *testing.B) { benchmarkAfter(b, newStore) })
}

// pool is how many traces the benchmarks have; each append gives one a new id.
const pool = 20_000

const idAt = len(`{"trace_id":"`)

func benchmarkAppend(b *testing.B, newStore Factory, goroutines int) {
	s := newSubject(b, newStore)
	traces := Traces(1, pool)
	json := make([][]byte, len(traces))
	size := 0
	for i, t := range traces {
		json[i] = t.AppendJSON(nil)
		size += len(json[i])
	}
	b.SetBytes(int64(size / len(traces)))
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			var buf []byte
			batch := make([]cts.Entry, 1)
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				buf = append(buf[:0], json[n%pool]...)
				numberID(buf[idAt:idAt+36], uint64(n))
				batch[0].JSON = buf
				if _, err := s.store.Append(background, batch); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "traces/s")
}

// numberID writes n over the last digits of a UUID.
func numberID(id []byte, n uint64) {
	const digits = "0123456789abcdef"
	for i := len(id) - 1; i >= len(id)-12; i-- {
		id[i] = digits[n&15]
		n >>= 4
	}
}

// filled returns a store with the pool in it, and the pool.
func filled(b *testing.B, newStore Factory) (*subject, []*cts.Trace) {
	s := newSubject(b, newStore)
	traces := Traces(1, pool)
	for i, t := range traces {
		t.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte{byte(i), byte(i >> 8)}).String()
	}
	for from := 0; from < len(traces); from += 500 {
		s.append(traces[from : from+500]...)
	}
	return s, traces
}

func benchmarkQuery(b *testing.B, newStore Factory) {
	s, traces := filled(b, newStore)
	var ids []string
	for _, t := range traces {
		if t.ResourceID != "" {
			ids = append(ids, t.ResourceID)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		q := cts.Query{Limit: 10}.Where(cts.Eq(cts.FieldResourceID, ids[i*7919%len(ids)]))
		for _, err := range s.store.Query(background, q) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

type counting struct {
	name string
	q    cts.Query
	a    cts.Aggregation
}

// counts are the aggregations that are measured.
var counts = []counting{
	{"Count", cts.Query{}.Where(cts.Eq(cts.FieldTraceRating, string(cts.RatingWarning))), cts.Aggregation{}},
	{"ByUser", cts.Query{}, cts.Aggregation{By: []cts.Field{cts.FieldUser}, Top: 10}},
	{"ByServiceAndName", cts.Query{}, cts.Aggregation{By: []cts.Field{cts.FieldServiceType, cts.FieldTraceName}}},
	{"Hourly", cts.Query{}, cts.Aggregation{By: []cts.Field{cts.FieldTraceRating}, Every: time.Hour}},
}

func benchmarkAggregate(b *testing.B, newStore Factory, c counting) {
	s, _ := filled(b, newStore)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		groups, err := cts.Aggregate(background, s.store, c.q, c.a)
		if err != nil || len(groups) == 0 {
			b.Fatalf("Aggregate: %d groups, %v", len(groups), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pool, "ns/trace")
}

func benchmarkAfter(b *testing.B, newStore Factory) {
	s, _ := filled(b, newStore)
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	bytes := 0
	for b.Loop() {
		n, bytes = 0, 0
		for e, err := range s.store.After(background, 0) {
			if err != nil {
				b.Fatal(err)
			}
			n++
			bytes += len(e.JSON)
		}
		if n != pool {
			b.Fatalf("After yields %d traces, want %d", n, pool)
		}
	}
	b.SetBytes(int64(bytes))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/trace")
}
