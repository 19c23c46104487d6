package bbolt_test

import (
	"context"
	"testing"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/contesttest"
	"github.com/cloudtraceservice/cts/bench/peers/bbolt"
)

func open(dir string) (contest.Database, error) { return bbolt.Open(context.Background(), dir) }

func TestDatabase(t *testing.T) { contesttest.Database(t, open) }

func TestDurable(t *testing.T) {
	contesttest.Durable(t, func(dir string) (contest.Durable, error) {
		return bbolt.OpenDurable(context.Background(), dir)
	}, open)
}
