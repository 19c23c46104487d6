// Package duckdb is DuckDB as a contestant: one table in the order of loading,
// filled by the appender.
package duckdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/peers/internal/version"
)

const setup = "one table in the order of loading, a column for each member of a trace; request with zstd (by default its texts are left as they are where one is very long), the others as DuckDB chooses; newest storage format; " +
	"appender; ART indexes on the load order and the resource id, made after loading, as its documentation advises; 4 GB memory limit, all cores; " +
	"traces are found by the columns that are asked for and then read by their load order"

const options = "?storage_compatibility_version=latest&memory_limit=4GB"

// DB is a [contest.Database]. Its methods are called by one goroutine.
type DB struct {
	dir      string
	version  string // of the library
	pool     *sql.DB
	conn     *sql.Conn
	made     map[string]*sql.Stmt
	appender *duckdb.Appender
	seq      int64
	buf      []driver.Value
}

// Open opens the database in dir, which is empty or holds what an earlier Open made.
func Open(ctx context.Context, dir string) (*DB, error) {
	db := &DB{dir: dir}
	if err := db.open(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (db *DB) open(ctx context.Context) error {
	connector, err := duckdb.NewConnector(filepath.Join(db.dir, "traces.duckdb")+options, nil)
	if err != nil {
		return fmt.Errorf("duckdb: %w", err)
	}
	db.pool, db.made = sql.OpenDB(connector), map[string]*sql.Stmt{}
	if db.conn, err = db.pool.Conn(ctx); err != nil {
		return fmt.Errorf("duckdb: %w", err)
	}
	if _, err := db.conn.ExecContext(ctx, schema()); err != nil {
		return fmt.Errorf("duckdb: %w", err)
	}
	err = db.conn.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0), version() FROM traces").Scan(&db.seq, &db.version)
	if err != nil {
		return fmt.Errorf("duckdb: %w", err)
	}
	return nil
}

// Info says how it is set up.
func (db *DB) Info() contest.Info {
	return contest.Info{
		Name: "duckdb", Setup: setup,
		Version: db.version + " (duckdb-go " + version.Of("github.com/duckdb/duckdb-go/v2") + ")",
	}
}

// Load adds a batch through the appender, which commits every 204,800 traces.
func (db *DB) Load(_ context.Context, batch []contest.Record) error {
	if db.appender == nil {
		if err := db.forget(); err != nil {
			return err
		}
		err := db.conn.Raw(func(c any) (err error) {
			conn, _ := c.(driver.Conn)
			db.appender, err = duckdb.NewAppenderFromConn(conn, "", "traces")
			return err
		})
		if err != nil {
			return fmt.Errorf("duckdb: %w", err)
		}
	}
	for i := range batch {
		db.seq++
		db.buf = values(db.buf[:0], db.seq, batch[i])
		err := db.appender.AppendRow(db.buf...)
		if err != nil {
			return fmt.Errorf("duckdb: append: %w", err)
		}
	}
	return nil
}

// Finish commits what was appended and moves it into the database file.
func (db *DB) Finish(ctx context.Context) error {
	if err := db.flush(); err != nil {
		return err
	}
	for _, text := range []string{
		"CREATE INDEX IF NOT EXISTS by_seq ON traces(seq)",
		"CREATE INDEX IF NOT EXISTS by_resource ON traces(resource_id)",
		"CHECKPOINT",
	} {
		if _, err := db.conn.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("duckdb: %s: %w", text, err)
		}
	}
	return nil
}

// forget closes the prepared statements. One that counts all traces would go on
// giving their number when it was prepared.
func (db *DB) forget() error {
	var errs []error
	for _, s := range db.made {
		errs = append(errs, s.Close())
	}
	clear(db.made)
	return errors.Join(errs...)
}

func (db *DB) flush() error {
	if db.appender == nil {
		return nil
	}
	err := db.appender.Close()
	db.appender = nil
	if err != nil {
		return fmt.Errorf("duckdb: flush: %w", err)
	}
	return nil
}

// Reopen closes the database and opens it again.
func (db *DB) Reopen(ctx context.Context) error {
	if err := db.Close(); err != nil {
		return err
	}
	return db.open(ctx)
}

// Close closes the database.
func (db *DB) Close() error {
	errs := []error{db.flush(), db.forget()}
	if db.conn != nil {
		errs = append(errs, db.conn.Close())
	}
	if db.pool != nil {
		errs = append(errs, db.pool.Close())
	}
	db.conn, db.pool = nil, nil
	return errors.Join(errs...)
}
