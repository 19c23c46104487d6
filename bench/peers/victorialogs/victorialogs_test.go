package victorialogs_test

import (
	"errors"
	"testing"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/contesttest"
	"github.com/cloudtraceservice/cts/bench/peers/victorialogs"
)

func TestAnswersAreThoseOfThePlainLoop(t *testing.T) {
	if _, err := victorialogs.Binary(t.Context()); err != nil {
		t.Skipf("no server on this machine: %v", err)
	}
	contesttest.Database(t, func(dir string) (contest.Database, error) { return victorialogs.Open(t.Context(), dir) })
}

// TestOpenGoesOn opens what an earlier one left and adds to it.
func TestOpenGoesOn(t *testing.T) {
	if _, err := victorialogs.Binary(t.Context()); err != nil {
		t.Skipf("no server on this machine: %v", err)
	}
	dir, records := t.TempDir(), contesttest.Records(9, 1200)
	for i, part := range [][]contest.Record{records[:700], records[700:]} {
		db, err := victorialogs.Open(t.Context(), dir)
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
