package cts_test

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/dirobs"
	"github.com/cloudtraceservice/cts/obs/memobs"
	"github.com/cloudtraceservice/cts/store/filestore"
	"github.com/cloudtraceservice/cts/store/memstore"
)

const benchmarkDumpTraces = 200_000

// benchmarkDumpTrace returns a trace of four services, of about 800 bytes.
func benchmarkDumpTrace(n int) *cts.Trace {
	h := uint64(n) * 0x9e3779b97f4a7c15
	return &cts.Trace{
		ID: fmt.Sprintf("00000000-%04x-7000-8000-%012x", h>>48, n), Time: 1_720_000_000_000 + int64(n), RecordTime: 1_720_000_000_001 + int64(n),
		Name: []string{"deleteOrder", "createOrder", "loginUser"}[n%3], Type: cts.TypeAPI, Rating: cts.RatingNormal, ServiceType: []string{"ECS", "EVS", "IAM", "VPC"}[n%4],
		ResourceType: "order", ResourceID: fmt.Sprint(n * 7919 % 1_000_003), SourceIP: fmt.Sprintf("192.0.2.%d", h%250), Code: "200", TrackerName: "system",
		User: cts.User{ID: fmt.Sprintf("%016x", h%9973), Name: fmt.Sprint("user-", n%997)}, RequestID: fmt.Sprintf("%016x%016x", h, h*31),
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
		Request:   fmt.Sprintf(`{"order":%d,"items":[{"sku":"A%d","count":%d}],"note":%q}`, n, h%100_000, h%17, strings.Repeat("please deliver ", int(1+h%6))),
		Response:  fmt.Sprintf(`{"status":"ok","id":"%x","total":%d.%02d}`, h, h%1000, h%100),
	}
}

// fillBenchmark appends the traces to a store and returns them.
func fillBenchmark(b *testing.B, store cts.Store) []*cts.Trace {
	b.Helper()
	traces := make([]*cts.Trace, benchmarkDumpTraces)
	for from := 0; from < len(traces); from += 1000 {
		batch := make([]cts.Entry, 1000)
		for i := range batch {
			traces[from+i] = benchmarkDumpTrace(from + i)
			batch[i] = cts.Entry{Trace: traces[from+i]}
		}
		if _, err := store.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	return traces
}

// BenchmarkDump dumps 200,000 traces and compares that with encoding and compressing the
// same traces alone, in cycles and at the level of the Dumper. Its metrics: "x1" is the
// throughput of the dump over that of one goroutine which encodes and compresses, and
// "xN" over that of as many as there are processors; what reading, routing, hashing,
// syncing and verifying cost shows in how far xN is below 1. The rows: from memory to
// memory; and from a store on disk into a folder, with all workers and with one.
func BenchmarkDump(b *testing.B) {
	b.Run("memory", func(b *testing.B) {
		store := memstore.New(&memstore.Options{MaxBytes: 1 << 30})
		benchmarkDump(b, store, 0, func(*testing.B) obs.Client { return memobs.New(nil) })
	})
	for _, workers := range []int{0, 1} {
		b.Run(fmt.Sprint("disk/workers=", workers), func(b *testing.B) {
			store, err := filestore.Open(b.TempDir(), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			benchmarkDump(b, store, workers, func(b *testing.B) obs.Client {
				bucket, err := dirobs.Open(b.TempDir(), nil)
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = bucket.Close() })
				return bucket
			})
		})
	}
}

func benchmarkDump(b *testing.B, store cts.Store, workers int, bucket func(*testing.B) obs.Client) {
	b.Helper()
	traces := fillBenchmark(b, store)
	if s, ok := store.(*filestore.Store); ok { // what it does behind a burst is not the dump's
		if err := s.Compact(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	var dump, one, all time.Duration
	run := 0
	for b.Loop() {
		run++
		d, err := cts.NewDumper(store, bucket(b), &cts.DumperOptions{StateName: fmt.Sprint("run-", run), Workers: workers})
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		begun := time.Now()
		if err := d.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		dump += time.Since(begun)
		if st := d.Status(); st.Traces != benchmarkDumpTraces {
			b.Fatalf("%d traces dumped", st.Traces)
		}
		one += encodeAndCompress(b, traces, 1)
		all += encodeAndCompress(b, traces, runtime.GOMAXPROCS(0))
	}
	b.ReportMetric(one.Seconds()/dump.Seconds(), "x1")
	b.ReportMetric(all.Seconds()/dump.Seconds(), "xN")
	b.ReportMetric(float64(b.N)*benchmarkDumpTraces/dump.Seconds(), "dumped/s")
}

// encodeAndCompress does what no dump gets around, with so many goroutines, and returns
// how long it took.
func encodeAndCompress(b *testing.B, traces []*cts.Trace, goroutines int) time.Duration {
	b.Helper()
	begun := time.Now()
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			rest := traces[len(traces)*g/goroutines : len(traces)*(g+1)/goroutines]
			var content []byte
			w, err := gzip.NewWriterLevel(io.Discard, 6)
			for len(rest) > 0 && err == nil {
				cycle := rest[:min(50_000, len(rest))]
				rest = rest[len(cycle):]
				for service := 0; service < 4 && err == nil; service++ {
					content = content[:0]
					for i := service; i < len(cycle); i += 4 {
						content = append(cycle[i].AppendJSON(content), ',')
					}
					w.Reset(io.Discard)
					if _, err = w.Write(content); err == nil {
						err = w.Close()
					}
				}
			}
			if err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	return time.Since(begun)
}
