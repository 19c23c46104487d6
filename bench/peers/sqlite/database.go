package sqlite

import (
	"context"
	"fmt"

	"github.com/cloudtraceservice/cts/bench/contest"
)

// DB is a [contest.Database]. Its methods are called by one goroutine.
type DB struct {
	dir string
	*file
}

// Open opens the database in dir, which is empty or holds what an earlier Open or
// [OpenDurable] made.
func Open(ctx context.Context, dir string) (*DB, error) {
	f, err := openFile(ctx, dir, bulk)
	if err != nil {
		return nil, err
	}
	return &DB{dir: dir, file: f}, nil
}

// Info says how it is set up.
func (*DB) Info() contest.Info { return info(setup) }

// Load adds a batch in one transaction.
func (db *DB) Load(ctx context.Context, batch []contest.Record) error {
	return db.add(context.WithoutCancel(ctx), len(batch), func(i int) contest.Record { return batch[i] })
}

// Finish moves the WAL into the database file, durably, and takes the statistics that
// the planner goes by.
func (db *DB) Finish(ctx context.Context) error {
	for _, text := range []string{"PRAGMA optimize(0x10002)", "PRAGMA wal_checkpoint(TRUNCATE)"} {
		if _, err := db.conn.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("sqlite: %s: %w", text, err)
		}
	}
	return nil
}

// Reopen closes the file and opens it again.
func (db *DB) Reopen(ctx context.Context) error {
	if err := db.close(); err != nil {
		return fmt.Errorf("sqlite: close: %w", err)
	}
	f, err := openFile(ctx, db.dir, bulk)
	if err != nil {
		return err
	}
	db.file = f
	return nil
}

// Close closes the file.
func (db *DB) Close() error { return db.close() }
