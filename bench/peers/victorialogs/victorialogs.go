// Package victorialogs is VictoriaLogs as a contestant: the real server as a process
// of its own on the loopback, loaded and asked over HTTP.
package victorialogs

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/cloudtraceservice/cts/bench/contest"
)

// DB is one running server and the client of it. It implements [contest.Database].
// Load and Finish are for one goroutine, Ask for any number.
type DB struct {
	dir    string
	server *server

	chunk []byte
	sends errgroup.Group
	clock clock

	first, last int64 // the times of the first and last trace in nanoseconds; first is above last when there are none
}

// Open starts a server on dir, which is empty or holds what an earlier one left. The
// first call on a machine builds the server, see [Binary].
func Open(ctx context.Context, dir string) (*DB, error) {
	db := &DB{dir: dir}
	db.sends.SetLimit(senders)
	if err := db.open(ctx); err != nil {
		return nil, err
	}
	if err := db.findRange(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (db *DB) open(ctx context.Context) error {
	s, err := start(ctx, db.dir)
	if err != nil {
		return err
	}
	db.server = s
	return nil
}

// Info implements [contest.Contestant].
func (db *DB) Info() contest.Info {
	return contest.Info{
		Name:    "victorialogs",
		Version: Version + " of VictoriaMetrics",
		Setup: "server process on loopback, defaults but for the retention; loaded through /insert/jsonline in requests of 4 MB, two at a time; " +
			"stream field service_type (what a trace comes from, few values, as the documentation asks), message trace_name, all other fields as columns with their bloom filters; " +
			"load order in the nanoseconds of _time; words of identifiers with an underscore in a field of their own; " +
			"force_flush and force_merge after loading; asked through /select/logsql/query and /stats_query over kept connections, the times of a page first and then whole traces of those times, a page at a depth found by counts per bucket of time, replies decoded with goccy/go-json",
	}
}

// Close implements [contest.Contestant].
func (db *DB) Close() error {
	if db.server == nil {
		return nil
	}
	s := db.server
	db.server = nil
	return s.stop()
}

// Reopen implements [contest.Database]: the process is stopped and a new one started.
func (db *DB) Reopen(ctx context.Context) error {
	if err := db.Close(); err != nil {
		return err
	}
	if err := db.open(ctx); err != nil {
		return fmt.Errorf("after a stop: %w", err)
	}
	return nil
}

var _ contest.Database = (*DB)(nil)
