package filestore_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/store/filestore"
	"github.com/cloudtraceservice/cts/store/storetest"
)

// BenchmarkAppend measures durable appends of one trace by some goroutines.
func BenchmarkAppend(b *testing.B) {
	for _, goroutines := range []int{1, 64, 256} {
		b.Run(fmt.Sprint(goroutines), func(b *testing.B) {
			s := open(b, vfs.OS, b.TempDir(), filestore.Options{})
			var n atomic.Int64
			b.SetParallelism(goroutines)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Append(background, []cts.Entry{{Trace: traceOf(int(n.Add(1)))}}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// filled makes a store of n traces and closes it.
func filled(b *testing.B, n int) string {
	dir := b.TempDir()
	s := open(b, vfs.OS, dir, filestore.Options{Sync: filestore.SyncOS})
	traces := storetest.Traces(1, n)
	for len(traces) > 0 {
		size := min(100, len(traces))
		var batch []cts.Entry
		for _, t := range traces[:size] {
			batch = append(batch, cts.Entry{Trace: t})
		}
		mustAppend(b, s, batch...)
		traces = traces[size:]
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return dir
}

// BenchmarkOpen measures opening a store of 100,000 traces.
func BenchmarkOpen(b *testing.B) {
	dir := filled(b, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		s, err := filestore.Open(dir, nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkQuery measures queries over 100,000 traces.
func BenchmarkQuery(b *testing.B) {
	s := open(b, vfs.OS, filled(b, 100_000), filestore.Options{})
	var some *cts.Trace
	for e, err := range s.Query(background, cts.Query{}.Where(cts.Present(cts.FieldResourceID)).Limited(1)) {
		if err != nil {
			b.Fatal(err)
		}
		some = e.Trace.Clone()
	}
	queries := []struct {
		name string
		q    cts.Query
	}{
		{"newest-50", cts.Query{}.Limited(50)},
		{"resource-id-newest-10", cts.Query{}.Where(cts.Eq(cts.FieldResourceID, some.ResourceID)).Limited(10)},
		{"resource-id-absent", cts.Query{}.Where(cts.Eq(cts.FieldResourceID, "none of them"))},
		{"trace-id", cts.Query{}.Where(cts.Eq(cts.FieldTraceID, some.ID))},
	}
	for _, q := range queries {
		b.Run(q.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range s.Query(background, q.q) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkAfter measures reading the log, per trace.
func BenchmarkAfter(b *testing.B) {
	s := open(b, vfs.OS, filled(b, 100_000), filestore.Options{})
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		for e, err := range s.After(background, 0) {
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(e.JSON)))
			if n++; n >= b.N {
				break
			}
		}
	}
}

// BenchmarkAfterSealed measures reading the traces of segments, per trace.
func BenchmarkAfterSealed(b *testing.B) {
	s := open(b, vfs.OS, filled(b, 100_000), filestore.Options{})
	if err := s.Compact(background); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		for e, err := range s.After(background, 0) {
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(e.JSON)))
			if n++; n >= b.N {
				break
			}
		}
	}
}
