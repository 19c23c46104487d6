package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/peers/internal/kv"
)

// DB is a [contest.Database]. Its methods are called by one goroutine.
type DB struct {
	dir string
	*tree
	writer writer
}

// Open opens the database in dir, which is empty or holds what an earlier Open or
// [OpenDurable] made.
func Open(_ context.Context, dir string) (*DB, error) {
	db := &DB{dir: dir}
	if err := db.open(); err != nil {
		return nil, err
	}
	return db, nil
}

// open leaves out the write-ahead log: what is loaded is durable when Finish has
// flushed it.
func (db *DB) open() (err error) {
	db.tree, err = openTree(db.dir, func(o *pebble.Options) { o.DisableWAL = true })
	return err
}

// Info says how it is set up.
func (*DB) Info() contest.Info {
	return info("no log while loading, one batch each, then a flush and a compaction of everything")
}

// Load adds a batch.
func (db *DB) Load(_ context.Context, batch []contest.Record) error {
	return db.add(&db.writer, batch, pebble.NoSync)
}

// Finish flushes the memtables and compacts everything into the last level.
func (db *DB) Finish(context.Context) error {
	if err := db.db.Flush(); err != nil {
		return fmt.Errorf("pebble: flush: %w", err)
	}
	if err := db.db.Compact(leaseKey, []byte{byte(kv.Spaces)}, true); err != nil {
		return fmt.Errorf("pebble: compact: %w", err)
	}
	return nil
}

// Reopen closes the database and opens it again.
func (db *DB) Reopen(context.Context) error {
	return errors.Join(db.close(), db.open())
}

// Close closes the database.
func (db *DB) Close() error {
	if db.tree == nil {
		return nil
	}
	return db.close()
}

// Ask answers q.
func (db *DB) Ask(_ context.Context, q contest.Question) (contest.Answer, error) {
	a, err := kv.Ask(store{db.db}, &q)
	if err != nil {
		return contest.Answer{}, fmt.Errorf("pebble: %w", err)
	}
	return a, nil
}

// store is the [kv.Store] of a database.
type store struct{ db *pebble.DB }

// View opens a view of what is there now: nothing is written meanwhile.
func (s store) View(with func(kv.Reader) error) error {
	r := &reader{db: s.db}
	return errors.Join(with(r), r.close())
}

// reader is the [kv.Reader] of one question.
type reader struct {
	db     *pebble.DB
	traces *pebble.Iterator // made for the first Get
	key    []byte
}

// Get uses one iterator for all traces of a question.
func (r *reader) Get(k kv.Key, with func(value []byte) error) error {
	if r.traces == nil {
		var err error
		if r.traces, err = r.db.NewIter(between(kv.Traces, nil, nil)); err != nil {
			return err
		}
	}
	r.key = append(append(r.key[:0], byte(kv.Traces)), k[:]...)
	if !r.traces.SeekGE(r.key) || !bytes.Equal(r.traces.Key(), r.key) {
		return errors.Join(fmt.Errorf("no trace has the key of an index"), r.traces.Error())
	}
	value, err := r.traces.ValueAndErr()
	if err != nil {
		return err
	}
	return with(value)
}

// between are the options to iterate over a space from start up to but without end,
// if there is one.
func between(s kv.Space, start, end []byte) *pebble.IterOptions {
	o := &pebble.IterOptions{
		LowerBound: append([]byte{byte(s)}, start...),
		UpperBound: []byte{byte(s + 1)},
	}
	if end != nil {
		o.UpperBound = append([]byte{byte(s)}, end...)
	}
	return o
}

// Scan goes through a space.
func (r *reader) Scan(s kv.Space, start, end []byte, backwards bool, visit func(key, value []byte) (bool, error)) error {
	i, err := r.db.NewIter(between(s, start, end))
	if err != nil {
		return err
	}
	first, next := i.First, i.Next
	if backwards {
		first, next = i.Last, i.Prev
	}
	for ok := first(); ok; ok = next() {
		value, err := i.ValueAndErr()
		if err != nil {
			return errors.Join(err, i.Close())
		}
		more, err := visit(i.Key()[1:], value)
		if err != nil {
			return errors.Join(err, i.Close())
		}
		if !more {
			break
		}
	}
	return i.Close() // with the error that ended it, if any
}

func (r *reader) close() error {
	if r.traces == nil {
		return nil
	}
	return r.traces.Close()
}
