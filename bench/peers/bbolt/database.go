package bbolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/peers/internal/kv"
)

// DB is a [contest.Database]. Its methods are called by one goroutine.
type DB struct {
	file    string
	db      *bbolt.DB
	entries entries
	waiting int // traces in entries
	seq     uint64
	changed bool
}

// most is how many traces go into one transaction. A larger one changes more entries
// of each page that it writes.
const most = 50_000

// Open opens the database in dir, which is empty or holds what an earlier Open or
// [OpenDurable] made.
func Open(_ context.Context, dir string) (*DB, error) {
	db := &DB{file: path(dir)}
	if err := db.open(); err != nil {
		return nil, err
	}
	return db, nil
}

func (db *DB) open() (err error) {
	if db.db, err = open(db.file, bulk); err != nil {
		return err
	}
	return db.db.View(func(tx *bbolt.Tx) error {
		db.seq = tx.Bucket(bucket(kv.Traces)).Sequence()
		return nil
	})
}

// bulk makes pages of 16 KiB, which hold more without gaps, in a file that is synced
// by Finish.
func bulk(o *bbolt.Options) {
	o.NoSync = true
	o.PageSize = 16 << 10
}

// Info says how it is set up.
func (*DB) Info() contest.Info {
	return info("16 KiB pages, 50,000 traces in one transaction while loading, in the order of keys and without a sync, then Compact into a new file, which is synced")
}

// Load takes a batch, and writes when many wait.
func (db *DB) Load(_ context.Context, batch []contest.Record) error {
	for _, r := range batch {
		db.seq++
		if err := db.entries.add(r, db.seq); err != nil {
			return fmt.Errorf("bbolt: %w", err)
		}
	}
	if db.waiting += len(batch); db.waiting < most {
		return nil
	}
	return db.flush()
}

func (db *DB) flush() error {
	if db.waiting == 0 {
		return nil
	}
	err := db.db.Update(func(tx *bbolt.Tx) error {
		if err := tx.Bucket(bucket(kv.Traces)).SetSequence(db.seq); err != nil {
			return err
		}
		return db.entries.put(tx)
	})
	if err != nil {
		return fmt.Errorf("bbolt: %w", err)
	}
	db.entries.reset()
	db.waiting, db.changed = 0, true
	return nil
}

// Finish writes what waits, and then all of it into a new file with full pages.
func (db *DB) Finish(context.Context) error {
	if err := db.flush(); err != nil || !db.changed {
		return err
	}
	fresh := db.file + ".new"
	to, err := openBare(fresh, bulk)
	if err != nil {
		return err
	}
	if err := bbolt.Compact(to, db.db, 64<<20); err != nil {
		return errors.Join(fmt.Errorf("bbolt: compact: %w", err), to.Close())
	}
	if err := errors.Join(to.Sync(), to.Close(), db.db.Close()); err != nil {
		return fmt.Errorf("bbolt: %w", err)
	}
	if err := os.Rename(fresh, db.file); err != nil {
		return fmt.Errorf("bbolt: %w", err)
	}
	db.changed = false
	return db.open()
}

// Reopen closes the file and opens it again.
func (db *DB) Reopen(context.Context) error {
	if err := db.Close(); err != nil {
		return err
	}
	return db.open()
}

// Close writes what waits and closes the file.
func (db *DB) Close() error {
	if err := errors.Join(db.flush(), db.db.Sync(), db.db.Close()); err != nil {
		return fmt.Errorf("bbolt: close: %w", err)
	}
	return nil
}

// Ask answers q.
func (db *DB) Ask(_ context.Context, q contest.Question) (contest.Answer, error) {
	a, err := kv.Ask(store{db.db}, &q)
	if err != nil {
		return contest.Answer{}, fmt.Errorf("bbolt: %w", err)
	}
	return a, nil
}

// store is the [kv.Store] of a database.
type store struct{ db *bbolt.DB }

// View opens a read transaction.
func (s store) View(with func(kv.Reader) error) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		return with(&reader{tx: tx, traces: tx.Bucket(bucket(kv.Traces))})
	})
}

// reader is the [kv.Reader] of one question.
type reader struct {
	tx     *bbolt.Tx
	traces *bbolt.Bucket
}

// Get reads a trace.
func (r *reader) Get(k kv.Key, with func(value []byte) error) error {
	value := r.traces.Get(k[:])
	if value == nil {
		return errors.New("no trace has the key of an index")
	}
	return with(value)
}

// Scan goes through a bucket.
func (r *reader) Scan(s kv.Space, start, end []byte, backwards bool, visit func(key, value []byte) (bool, error)) error {
	c := r.tx.Bucket(bucket(s)).Cursor()
	next := c.Next
	key, value := c.Seek(start)
	if backwards {
		next = c.Prev
		if key, _ = c.Seek(end); key == nil {
			key, value = c.Last()
		} else {
			key, value = c.Prev()
		}
	}
	for ; key != nil; key, value = next() {
		if backwards && bytes.Compare(key, start) < 0 || !backwards && bytes.Compare(key, end) >= 0 {
			return nil
		}
		if more, err := visit(key, value); err != nil || !more {
			return err
		}
	}
	return nil
}
