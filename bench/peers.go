package main

import (
	"context"
	"io"

	"github.com/cloudtraceservice/cts/bench/child"
	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/limits"
	"github.com/cloudtraceservice/cts/bench/ours"
	"github.com/cloudtraceservice/cts/bench/peers/bbolt"
	"github.com/cloudtraceservice/cts/bench/peers/duckdb"
	"github.com/cloudtraceservice/cts/bench/peers/gzdump"
	"github.com/cloudtraceservice/cts/bench/peers/gzfiles"
	"github.com/cloudtraceservice/cts/bench/peers/parquet"
	"github.com/cloudtraceservice/cts/bench/peers/pebble"
	"github.com/cloudtraceservice/cts/bench/peers/recorders"
	"github.com/cloudtraceservice/cts/bench/peers/sqlite"
	"github.com/cloudtraceservice/cts/bench/peers/victorialogs"
)

// record is one trace as the contestants get it.
type record = contest.Record

// The names under which this project records.
const (
	oursFile           = ours.Name + "-file"
	oursFileRedacted   = ours.Name + "-file-redaction"
	oursMemory         = ours.Name + "-memory"
	oursMemoryRedacted = ours.Name + "-memory-redaction"
)

// contestants are all there are: this project, the limits and the peers.
func contestants() child.Contestants {
	return child.Contestants{
		Databases: []child.Database{
			{Name: ours.Name, Open: database(ours.Open)},
			{Name: limits.Name, Open: database(limits.Open)},
			{Name: "sqlite", Open: database(sqlite.Open)},
			{Name: "duckdb", Open: database(duckdb.Open)},
			{Name: "pebble", Open: database(pebble.Open)},
			{Name: "bbolt", Open: database(bbolt.Open)},
			{Name: "victorialogs", Open: database(victorialogs.Open)},
			{Name: "parquet", Open: database(parquet.Open)},
			{Name: "gzfiles", Open: database(gzfiles.Open)},
		},
		Durables: []child.Durable{
			{Name: ours.Name, Open: durable(ours.OpenDurable)},
			{Name: limits.Name, Open: durable(limits.OpenDurable)},
			{Name: "sqlite", Open: durable(sqlite.OpenDurable)},
			{Name: "pebble", Open: durable(pebble.OpenDurable)},
			{Name: "bbolt", Open: durable(bbolt.OpenDurable)},
		},
		Recorders: []child.Recorder{
			{Name: oursFile, Open: recorder(ours.Recorders{})},
			{Name: oursFileRedacted, Open: recorder(ours.Recorders{Redaction: true})},
			{Name: oursMemory, Open: recorder(ours.Recorders{Memory: true})},
			{Name: oursMemoryRedacted, Open: recorder(ours.Recorders{Memory: true, Redaction: true})},
			{Name: limits.Name, Open: func(context.Context, string, io.Writer) (contest.Recorder, error) { return limits.NewRing(), nil }},
			{Name: "slog", Open: logger(recorders.Slog)},
			{Name: "zap", Open: logger(recorders.Zap)},
			{Name: "zerolog", Open: logger(recorders.Zerolog)},
			{Name: "eventlogger", Open: func(_ context.Context, _ string, w io.Writer) (contest.Recorder, error) {
				return recorders.EventLogger(w)
			}},
			{Name: "k8saudit", Open: func(_ context.Context, _ string, w io.Writer) (contest.Recorder, error) { return recorders.K8sAudit(w) }},
		},
		Dumpers: []child.Dumper{
			{Name: ours.Name, Open: func(_ context.Context, dir string) (contest.Dumper, error) { return ours.NewDumper(dir), nil }},
			{Name: limits.Name, Open: func(context.Context, string) (contest.Dumper, error) { return limits.Gzip{}, nil }},
			{Name: "gzdump", Open: func(context.Context, string) (contest.Dumper, error) { return gzdump.New(), nil }},
		},
	}
}

// database makes the type of an open function general.
func database[T contest.Database](open func(context.Context, string) (T, error)) func(context.Context, string) (contest.Database, error) {
	return func(ctx context.Context, dir string) (contest.Database, error) {
		db, err := open(ctx, dir)
		if err != nil {
			return nil, err
		}
		return db, nil
	}
}

// durable makes the type of an open function general.
func durable[T contest.Durable](open func(context.Context, string) (T, error)) func(context.Context, string) (contest.Durable, error) {
	return func(ctx context.Context, dir string) (contest.Durable, error) {
		l, err := open(ctx, dir)
		if err != nil {
			return nil, err
		}
		return l, nil
	}
}

// recorder opens one of ours.
func recorder(kind ours.Recorders) func(context.Context, string, io.Writer) (contest.Recorder, error) {
	return func(ctx context.Context, dir string, _ io.Writer) (contest.Recorder, error) {
		return kind.Open(ctx, dir)
	}
}

// logger makes a recorder of a function that can't fail.
func logger(open func(io.Writer) contest.Recorder) func(context.Context, string, io.Writer) (contest.Recorder, error) {
	return func(_ context.Context, _ string, w io.Writer) (contest.Recorder, error) { return open(w), nil }
}
