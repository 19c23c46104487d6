package cts_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// BenchmarkRecord measures the whole call, with what the store does in the background:
// a memstore of the default size, replaced by a new one whenever it is nearly full. The
// trace is the one of 946 bytes that the encoder is measured with.
func BenchmarkRecord(b *testing.B) {
	for _, bench := range []struct {
		name string
		opts cts.TrackerOptions
	}{
		{"queued/redaction=off", cts.TrackerOptions{Delivery: cts.Queued, WithoutRedaction: true, BlockTimeout: time.Hour}},
		{"queued/redaction=on", cts.TrackerOptions{Delivery: cts.Queued, BlockTimeout: time.Hour}},
		{"durable/redaction=off", cts.TrackerOptions{WithoutRedaction: true}},
		{"durable/redaction=on", cts.TrackerOptions{}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			const round = 100_000
			var tracker *cts.Tracker
			tr := ordinaryTrace()
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%round == 0 {
					b.StopTimer()
					tracker = renew(b, tracker, &bench.opts)
					b.StartTimer()
				}
				if _, err := tracker.Record(context.Background(), tr); err != nil {
					b.Fatal(err)
				}
			}
			renew(b, tracker, &bench.opts)
		})
	}
}

// renew closes a tracker and opens one on an empty store.
func renew(b *testing.B, old *cts.Tracker, opts *cts.TrackerOptions) *cts.Tracker {
	b.Helper()
	if old != nil {
		if err := old.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	tracker, err := cts.Open(context.Background(), memstore.New(nil), opts)
	if err != nil {
		b.Fatal(err)
	}
	return tracker
}
