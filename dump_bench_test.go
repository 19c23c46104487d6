package cts_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/obs/memobs"
	"github.com/cloudtraceservice/cts/store/memstore"
)

const benchmarkDumpTraces = 200_000

// benchmarkDumpStore returns a store with small traces of four services.
func benchmarkDumpStore(b *testing.B) (*memstore.Store, []*cts.Trace) {
	b.Helper()
	store := memstore.New(&memstore.Options{MaxBytes: 1 << 30})
	traces := make([]*cts.Trace, benchmarkDumpTraces)
	for from := 0; from < len(traces); from += 1000 {
		batch := make([]cts.Entry, 1000)
		for i := range batch {
			n := from + i
			tr := &cts.Trace{
				ID: fmt.Sprintf("00000000-0000-7000-8000-%012x", n), Time: 1_720_000_000_000 + int64(n), RecordTime: 1_720_000_000_001 + int64(n),
				Name: "deleteOrder", Type: cts.TypeAPI, Rating: cts.RatingNormal, ServiceType: []string{"ECS", "EVS", "IAM", "VPC"}[n%4],
				ResourceType: "order", ResourceID: fmt.Sprint(n * 7919 % 1_000_003), SourceIP: "192.0.2.7", Code: "200", TrackerName: "system",
				User: cts.User{Name: fmt.Sprint("user-", n%997)},
			}
			traces[n], batch[i] = tr, cts.Entry{Trace: tr}
		}
		if _, err := store.Append(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	return store, traces
}

// BenchmarkDump dumps 200,000 small traces from memory to memory. The metric "ratio" is
// its time over that of encoding and compressing the same traces alone, in cycles and
// at the level of the Dumper: what reading, routing, hashing and verifying cost.
func BenchmarkDump(b *testing.B) {
	store, traces := benchmarkDumpStore(b)
	var dump, alone time.Duration
	run := 0
	for b.Loop() {
		run++
		d, err := cts.NewDumper(store, memobs.New(nil), &cts.DumperOptions{StateName: fmt.Sprint("run-", run)})
		if err != nil {
			b.Fatal(err)
		}
		begun := time.Now()
		if err := d.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		dump += time.Since(begun)
		if st := d.Status(); st.Traces != benchmarkDumpTraces {
			b.Fatalf("%d traces dumped", st.Traces)
		}
		begun = time.Now()
		encodeAndCompress(b, traces)
		alone += time.Since(begun)
	}
	b.ReportMetric(dump.Seconds()/alone.Seconds(), "ratio")
	b.ReportMetric(float64(b.N)*benchmarkDumpTraces/dump.Seconds(), "dumped/s")
}

// encodeAndCompress does what no dump gets around.
func encodeAndCompress(b *testing.B, traces []*cts.Trace) {
	b.Helper()
	for len(traces) > 0 {
		cycle := traces[:min(50_000, len(traces))]
		traces = traces[len(cycle):]
		for service := range 4 {
			var content []byte
			for i := service; i < len(cycle); i += 4 {
				content = append(cycle[i].AppendJSON(content), ',')
			}
			w, err := gzip.NewWriterLevel(io.Discard, 6)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(w, bytes.NewReader(content)); err != nil {
				b.Fatal(err)
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
