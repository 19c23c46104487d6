// Package sqlite is SQLite, through mattn/go-sqlite3, as a contestant: a table whose
// rowid is the time, with an index for each field that is asked for.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/mattn/go-sqlite3"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/peers/internal/row"
	"github.com/cloudtraceservice/cts/bench/peers/internal/version"
)

// schema makes the rowid of a trace from its time and how many traces came before it
// in that millisecond. So the table lies in the order of answers, every index goes on
// behind its columns in that order, and a range of time is a range of ids.
//
// The empty values of fields that can be empty are NULL and not in their indexes.
const schema = `
CREATE TABLE IF NOT EXISTS traces (
	id           INTEGER PRIMARY KEY,
	trace_id     TEXT NOT NULL,
	service_type TEXT NOT NULL,
	trace_name   TEXT NOT NULL,
	trace_rating TEXT NOT NULL,
	resource_id  TEXT,
	user_name    TEXT,
	source_ip    TEXT,
	rest         TEXT NOT NULL,
	request      TEXT NOT NULL,
	response     TEXT NOT NULL,
	message      TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_time     ON traces(id);
CREATE INDEX IF NOT EXISTS by_service  ON traces(service_type);
CREATE INDEX IF NOT EXISTS by_name     ON traces(trace_name);
CREATE INDEX IF NOT EXISTS by_resource ON traces(resource_id) WHERE resource_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS by_user     ON traces(user_name, id, source_ip);
CREATE INDEX IF NOT EXISTS by_address  ON traces(source_ip) WHERE source_ip IS NOT NULL;
CREATE INDEX IF NOT EXISTS bad_of_user ON traces(trace_rating, user_name) WHERE trace_rating <> 'normal';
CREATE INDEX IF NOT EXISTS bad_of_name ON traces(trace_rating, service_type, trace_name) WHERE trace_rating <> 'normal';
`

const setup = "one table; rowid = time and count within the millisecond, so that table and indexes are in the order of answers; " +
	"fields that are asked for, request, response and message as columns, the other members as JSON; " +
	"six indexes, live while loading (time; service, name, resource id, address, each with time; user with time and address) and two small partial ones for traces that are not normal; " +
	"WAL, synchronous=NORMAL, 8 KiB pages, 256 MiB page cache, mmap, one transaction per batch, prepared statements, PRAGMA optimize after loading; no full-text index"

// idBits are the bits of a rowid below the milliseconds: 2,097,152 traces in one.
const idBits = 21

// insert gives a trace the next rowid of its millisecond.
const insert = `INSERT INTO traces VALUES (
	(SELECT coalesce(max(id) + 1, ?1) FROM traces WHERE id BETWEEN ?1 AND ?1 | (1 << 21) - 1),
	?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)`

// file is an open database file with its statements.
type file struct {
	pool *sql.DB
	conn *sql.Conn
	made map[string]*sql.Stmt // by their text
}

// openFile opens the database in dir.
func openFile(ctx context.Context, dir, pragmas string) (*file, error) {
	dsn := url.URL{Scheme: "file", Opaque: filepath.ToSlash(filepath.Join(dir, "traces.db"))}
	pool, err := sql.Open("sqlite3", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	f := &file{pool: pool, made: map[string]*sql.Stmt{}}
	f.conn, err = pool.Conn(ctx)
	if err == nil {
		_, err = f.conn.ExecContext(ctx, pragmas+common+schema)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: %w", err), f.close())
	}
	return f, nil
}

// Bulk loading leaves a WAL of up to 256 MiB between checkpoints, because a batch
// touches many pages of the indexes. Single traces go through one of 32 MiB in smaller
// pages: a file that is used again takes a commit faster than one that grows.
const (
	common  = "PRAGMA cache_size = -262144; PRAGMA mmap_size = 17179869184; PRAGMA temp_store = MEMORY;"
	bulk    = "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 32000; PRAGMA synchronous = NORMAL;"
	durable = "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 8000; PRAGMA synchronous = FULL;"
)

// statement returns a prepared statement, which f keeps.
func (f *file) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	if s := f.made[text]; s != nil {
		return s, nil
	}
	s, err := f.conn.PrepareContext(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %s: %w", text, err)
	}
	f.made[text] = s
	return s, nil
}

// add inserts n records in one transaction.
func (f *file) add(ctx context.Context, n int, record func(i int) contest.Record) error {
	s, err := f.statement(ctx, insert)
	if err != nil {
		return err
	}
	if _, err := f.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	for i := range n {
		r := row.Of(record(i))
		_, err := s.ExecContext(ctx, r.Time<<idBits, r.ID, r.Service, r.Name, r.Rating, null(r.ResourceID),
			null(r.User), null(r.SourceIP), r.Rest, r.Request, r.Response, r.Message)
		if err != nil {
			_, undone := f.conn.ExecContext(ctx, "ROLLBACK")
			return errors.Join(fmt.Errorf("sqlite: insert: %w", err), undone)
		}
	}
	if _, err := f.conn.ExecContext(ctx, "COMMIT"); err != nil {
		return fmt.Errorf("sqlite: commit: %w", err)
	}
	return nil
}

// null is NULL for an empty text.
func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (f *file) close() error {
	var errs []error
	for _, s := range f.made {
		errs = append(errs, s.Close())
	}
	if f.conn != nil {
		errs = append(errs, f.conn.Close())
	}
	return errors.Join(append(errs, f.pool.Close())...)
}

func info(how string) contest.Info {
	lib, _, _ := sqlite3.Version()
	return contest.Info{
		Name: "sqlite", Version: lib + " (mattn/go-sqlite3 " + version.Of("github.com/mattn/go-sqlite3") + ")", Setup: how,
	}
}
