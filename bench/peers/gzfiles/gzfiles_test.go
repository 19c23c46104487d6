package gzfiles_test

import (
	"errors"
	"testing"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/contesttest"
	"github.com/cloudtraceservice/cts/bench/peers/gzfiles"
)

// TestAnswersAreThoseOfThePlainLoop fills a folder of several files in two goes and
// asks everything once, for each question starts some programs per file.
func TestAnswersAreThoseOfThePlainLoop(t *testing.T) {
	dir, records := t.TempDir(), contesttest.Records(9, 1200)
	for i, part := range [][]contest.Record{records[:700], records[700:]} {
		db, err := gzfiles.Open(t.Context(), dir)
		if err != nil {
			t.Skipf("no programs to ask with: %v", err)
		}
		if info := db.Info(); info.Name == "" || info.Version == "" || info.Setup == "" {
			t.Errorf("Info %+v", info)
		}
		db.SetFileTraces(400)
		if err := errors.Join(db.Load(t.Context(), part), db.Finish(t.Context()), db.Reopen(t.Context())); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			contesttest.Ask(t, "loaded", db, records)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
