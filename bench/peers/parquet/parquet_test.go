package parquet_test

import (
	"errors"
	"testing"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/contesttest"
	"github.com/cloudtraceservice/cts/bench/peers/parquet"
)

func TestAnswersAreThoseOfThePlainLoop(t *testing.T) {
	for name, sizes := range map[string][3]int{
		"small pages":            {10_000, 10_000, 200},
		"small files and groups": {700, 300, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			contesttest.Database(t, func(dir string) (contest.Database, error) {
				db, err := parquet.Open(t.Context(), dir)
				if err == nil {
					db.SetSizes(sizes[0], sizes[1], sizes[2])
				}
				return db, err
			})
		})
	}
}

// TestOpenGoesOn opens what an earlier one left and adds to it.
func TestOpenGoesOn(t *testing.T) {
	dir, records := t.TempDir(), contesttest.Records(9, 1200)
	for i, part := range [][]contest.Record{records[:700], records[700:]} {
		db, err := parquet.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Load(t.Context(), part), db.Finish(t.Context())); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			contesttest.Ask(t, "with more added", db, records)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
