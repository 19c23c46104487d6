package duckdb_test

import (
	"context"
	"testing"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/contesttest"
	"github.com/cloudtraceservice/cts/bench/peers/duckdb"
)

func open(dir string) (contest.Database, error) { return duckdb.Open(context.Background(), dir) }

func TestDatabase(t *testing.T) { contesttest.Database(t, open) }
