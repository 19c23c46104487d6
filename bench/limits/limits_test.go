package limits_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/limits"
	"github.com/cloudtraceservice/cts/bench/workload"
)

// The limit must do the work: all records are in the file, each once.
func TestTheLogHoldsEveryRecord(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	records := workload.Uniform(1, 500).Head(500)
	l, err := limits.OpenDurable(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for g := range 20 {
		group.Go(func() {
			for i := g; i < len(records); i += 20 {
				if err := l.AppendOne(ctx, records[i]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for n := 0; n < len(records); n++ {
		size, k := binary.Uvarint(text)
		if k <= 0 || size == 0 {
			t.Fatalf("the log ends after %d records", n)
		}
		found[string(text[k:k+int(size)])]++
		text = text[k+int(size):]
	}
	for _, r := range records {
		if found[string(r.JSON)] != 1 {
			t.Fatal("a record is not there once")
		}
	}
}

func TestTheFileHoldsEveryRecord(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	records := workload.Trail(1, 300, 0).Head(300)
	f, err := limits.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	for from := 0; from < 300; from += 100 {
		if err := f.Load(ctx, records[from:from+100]); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "traces.jsonl"))
	if err != nil || !bytes.Equal(text, limits.Text(records)) {
		t.Errorf("the file holds something else, %v", err)
	}
}

func TestTheDumpHoldsEveryRecord(t *testing.T) {
	dir := t.TempDir()
	records := workload.Trail(1, 301, 0).Head(301)
	n, err := limits.Gzip{}.Dump(context.Background(), records, dir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.gz"))
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	var size int64
	for _, name := range files {
		packed, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		size += int64(len(packed))
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		part, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, part...)
	}
	if size != n || !bytes.Equal(text, limits.Text(records)) {
		t.Errorf("%d bytes in files, %d reported, or other traces", size, n)
	}
}

func TestMeasuresMeasure(t *testing.T) {
	records := workload.Uniform(1, 2000).Head(2000)
	text := limits.Text(records)
	for _, m := range limits.Measures() {
		r, err := m.Run(text, len(records))
		if err != nil || r.Rate <= 0 || r.Nanos <= 0 {
			t.Errorf("%s: %+v, %v", m.Name, r, err)
		}
		if r.Bytes < 0 || r.Bytes > 400 {
			t.Errorf("%s leaves %.0f bytes per trace", m.Name, r.Bytes)
		}
	}
	var c limits.Compressed
	if err := c.Add(records); err != nil {
		t.Fatal(err)
	}
	if took, err := c.Unzip(); err != nil || took <= 0 {
		t.Errorf("unzip: %v, %v", took, err)
	}
}

func TestColumnsAreSmallerThanRows(t *testing.T) {
	for _, name := range []string{workload.UniformName, workload.TrailName} {
		src, err := workload.New(name, 1, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		records := src.Head(10_000)
		var c limits.Columns
		c.Add(records[:4000])
		c.Add(records[4000:])
		n, err := c.PerTrace()
		if err != nil {
			t.Fatal(err)
		}
		rows := 0.0
		for _, m := range limits.Measures() {
			if m.Name == "zstd better" {
				r, err := m.Run(limits.Text(records), len(records))
				if err != nil {
					t.Fatal(err)
				}
				rows = r.Bytes
			}
		}
		if n < 60 || n >= rows {
			t.Errorf("%s: columns take %.1f bytes of a trace, rows %.1f", name, n, rows)
		}
		t.Logf("%s: columns %.1f, rows %.1f", name, n, rows)
	}
}

func TestTheRing(t *testing.T) {
	r := limits.NewRing()
	record := workload.Uniform(1, 1).Head(1)[0]
	for range 200_000 { // more than once around
		if err := r.RecordText(record.JSON); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Record(context.Background(), record.Trace); err != nil {
		t.Error(err)
	}
	var _ contest.Recorder = r
}
