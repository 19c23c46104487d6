package ours_test

import (
	"context"
	"slices"
	"testing"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/contesttest"
	"github.com/cloudtraceservice/cts/bench/ours"
	"github.com/cloudtraceservice/cts/bench/workload"
)

func TestDatabase(t *testing.T) {
	contesttest.Database(t, func(dir string) (contest.Database, error) { return ours.Open(context.Background(), dir) })
}

func TestDurable(t *testing.T) {
	contesttest.Durable(t,
		func(dir string) (contest.Durable, error) { return ours.OpenDurable(context.Background(), dir) },
		func(dir string) (contest.Database, error) { return ours.Open(context.Background(), dir) })
}

func TestVerifyReadsTheStore(t *testing.T) {
	ctx := context.Background()
	db, err := ours.Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := db.Load(ctx, workload.Uniform(1, 500).Head(500)); err != nil {
		t.Fatal(err)
	}
	if err := db.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := db.Verify(ctx); err != nil || n == 0 || db.Traces() != 500 {
		t.Errorf("%d bytes, %d traces, %v", n, db.Traces(), err)
	}
}

func TestRecorder(t *testing.T) {
	ctx := context.Background()
	records := workload.Uniform(1, 300).Head(300)
	for _, kind := range []ours.Recorders{{}, {Redaction: true}, {Memory: true}, {Memory: true, Redaction: true}} {
		dir := t.TempDir()
		r, err := kind.Open(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range records {
			if err := r.Record(ctx, rec.Trace); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Flush(ctx); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if kind.Memory {
			continue
		}
		db, err := ours.Open(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		if n := db.Traces(); n < 300 || n > 303 { // opening and closing are traces too
			t.Errorf("%+v: %d traces", kind, n)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestDumper(t *testing.T) {
	ctx := context.Background()
	records := workload.Trail(1, 3000, 0).Head(3000)
	d := ours.NewDumper(t.TempDir())
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := d.Prepare(ctx, records); err != nil {
		t.Fatal(err)
	}
	var sizes []int64
	for range 2 { // again, into another folder
		n, err := d.Dump(ctx, records, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, n)
	}
	if sizes[0] == 0 || slices.Max(sizes) > 2*slices.Min(sizes) {
		t.Errorf("files of %v bytes", sizes)
	}
}
