package workload_test

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/workload"
)

const (
	million = 1_000_000
	sample  = 40_000
)

func gzipped(tb testing.TB, text []byte) int {
	tb.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, 6)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Len()
}

func TestUniformIsWhatTheReferenceDescribes(t *testing.T) {
	var text []byte
	names, services, types, resources, users, addresses := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	ratings := map[cts.Rating]float64{}
	var first, last int64
	n := 0
	for _, chunk := range [][]contest.Record{workload.Uniform(1, million).Head(sample)} {
		for _, r := range chunk {
			tr := r.Trace
			n++
			text = append(append(text, r.JSON...), '\n')
			names[tr.Name], services[tr.ServiceType], types[tr.ResourceType] = true, true, true
			resources[tr.ResourceID], users[tr.User.Name], addresses[tr.SourceIP] = true, true, true
			ratings[tr.Rating]++
			for _, body := range []string{tr.Request, tr.Response} {
				if len(body) < 90 || len(body) > 680 {
					t.Fatalf("a body of %d bytes", len(body))
				}
			}
			if first == 0 {
				first = tr.Time
			}
			if tr.Time < last {
				t.Fatal("time goes back")
			}
			last = tr.Time
		}
	}
	if n != sample {
		t.Fatalf("%d traces", n)
	}
	check := func(what string, got, lo, hi float64) {
		t.Helper()
		if got < lo || got > hi {
			t.Errorf("%s: %.1f, want %.1f to %.1f", what, got, lo, hi)
		}
	}
	check("bytes of JSON", float64(len(text))/sample-1, 870, 900)
	check("bytes after gzip -6", float64(gzipped(t, text))/sample, 184, 208)
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	check("bytes after zstd", float64(len(enc.EncodeAll(text, nil)))/sample, 172, 196)
	check("names", float64(len(names)), 300, 300)
	check("services", float64(len(services)), 30, 30)
	check("resource types", float64(len(types)), 80, 80)
	check("resources", float64(len(resources)), sample*0.84, sample*0.88)
	check("users", float64(len(users)), 2000, 2000)
	check("addresses", float64(len(addresses)), 4900, 5000)
	check("normal", ratings[cts.RatingNormal]/sample*100, 93.5, 94.5)
	check("warning", ratings[cts.RatingWarning]/sample*100, 4.5, 5.5)
	check("incident", ratings[cts.RatingIncident]/sample*100, 0.85, 1.15)
	days := time.Duration(last-first) * time.Millisecond
	check("days of a million", days.Hours()/24*1e6/sample, 13.5, 14.5)
	if math.IsNaN(days.Hours()) {
		t.Fatal(days)
	}
}
