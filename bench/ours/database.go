// Package ours is this project as a contestant of the benchmark: the file store as
// database and log, the Tracker as recorder, the Dumper as dumper. It uses nothing but
// what every user can use.
package ours

import (
	"context"
	"errors"
	"fmt"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// Name is the name of this project among the contestants.
const Name = "cts"

// Version is that of the checkout.
const Version = "this checkout"

// DB is a file store as a database.
type DB struct {
	dir   string
	store *filestore.Store
}

var _ contest.Database = (*DB)(nil)

// Open opens the store in dir and makes it if there is none.
func Open(_ context.Context, dir string) (*DB, error) {
	db := &DB{dir: dir}
	err := db.open()
	return db, err
}

func (db *DB) open() (err error) {
	db.store, err = filestore.Open(db.dir, &filestore.Options{Sync: filestore.SyncOS})
	return err
}

// Info implements [contest.Contestant].
func (db *DB) Info() contest.Info {
	return contest.Info{
		Name: Name, Version: Version,
		Setup: "filestore; loaded at SyncOS with Append of each batch, then Sync, and Compact where the store has it; defaults otherwise",
	}
}

// Close implements [contest.Contestant].
func (db *DB) Close() error { return db.store.Close() }

// Load implements [contest.Database].
func (db *DB) Load(ctx context.Context, batch []contest.Record) error {
	entries := make([]cts.Entry, 0, len(batch))
	bytes := 0
	flush := func() error {
		_, err := db.store.Append(ctx, entries)
		entries, bytes = entries[:0], 0
		return err
	}
	for _, r := range batch {
		if bytes+len(r.JSON) > cts.MaxBatchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		entries = append(entries, cts.Entry{Trace: r.Trace, JSON: r.JSON})
		bytes += len(r.JSON)
	}
	return flush()
}

// compacter is a store that can bring what it has into the form in which it stays.
type compacter interface {
	Compact(ctx context.Context) error
}

// Finish implements [contest.Database].
func (db *DB) Finish(ctx context.Context) error {
	if err := db.store.Sync(ctx); err != nil {
		return err
	}
	if c, ok := any(db.store).(compacter); ok {
		return c.Compact(ctx)
	}
	return nil
}

// Reopen implements [contest.Database].
func (db *DB) Reopen(context.Context) error {
	if err := db.Close(); err != nil {
		return err
	}
	return db.open()
}

// Verify reads everything in the store and checks it. It returns the bytes that were
// read.
func (db *DB) Verify(ctx context.Context) (int64, error) {
	report, err := db.store.Verify(ctx)
	if err == nil && !report.OK() {
		err = fmt.Errorf("ours: %d damaged places in an untouched store", len(report.Damaged))
	}
	return report.Bytes, err
}

// Traces returns how many traces the store has.
func (db *DB) Traces() int64 { return db.store.Status().Traces }

// Ask implements [contest.Database].
func (db *DB) Ask(ctx context.Context, q contest.Question) (contest.Answer, error) {
	query := queryOf(&q)
	if q.GroupBy != "" || q.Count {
		return db.count(ctx, &q, query)
	}
	query = query.Limited(q.Limit).Skipped(q.Skip)
	if q.Heads {
		query = query.HeadsOnly()
	}
	var a contest.Answer
	for range max(1, q.Pages) {
		cursor, n := "", 0
		for e, err := range db.store.Query(ctx, query) {
			if err != nil {
				return a, err
			}
			add(&a, &q, e.Trace)
			if n++; n == q.Limit && q.Pages > 1 {
				cursor = e.Cursor()
			}
		}
		if cursor == "" {
			break
		}
		query = query.Resume(cursor)
	}
	return a, nil
}

// queryOf writes the conditions of a question as a query.
func queryOf(q *contest.Question) cts.Query {
	query := cts.Query{From: q.From, To: q.To}.WithAttempts()
	var all []cts.Condition
	for _, c := range []struct {
		field cts.Field
		value string
	}{
		{cts.FieldResourceID, q.ResourceID},
		{cts.FieldUser, q.User},
		{cts.FieldServiceType, q.Service},
		{cts.FieldTraceName, q.Name},
		{cts.FieldTraceRating, q.Rating},
		{cts.FieldSourceIP, q.SourceIP},
	} {
		if c.value != "" {
			all = append(all, cts.Eq(c.field, c.value))
		}
	}
	if q.Word != "" {
		all = append(all, cts.Word(cts.FieldRequest, q.Word))
	}
	if q.Substring != "" {
		all = append(all, cts.Contains(cts.FieldRequest, q.Substring))
	}
	return query.Where(all...)
}

// add adds a trace to the answer.
func add(a *contest.Answer, q *contest.Question, t *cts.Trace) {
	a.Add(q, t.ID, t.ServiceType, t.Name, t.User.Name, t.SourceIP, t.Request, t.Response)
}

// count answers a question for numbers.
func (db *DB) count(ctx context.Context, q *contest.Question, query cts.Query) (contest.Answer, error) {
	var a contest.Answer
	if q.GroupBy == "" {
		n, err := cts.Count(ctx, db.store, query)
		a.Count = n
		return a, err
	}
	by := cts.FieldServiceType
	switch q.GroupBy {
	case "user":
		by = cts.FieldUser
	case "service":
	default:
		return a, fmt.Errorf("%w: grouping by %q", errors.ErrUnsupported, q.GroupBy)
	}
	groups, err := cts.Aggregate(ctx, db.store, query, cts.Aggregation{By: []cts.Field{by}, Top: q.Top})
	for _, g := range groups {
		a.Groups = append(a.Groups, contest.Group{Key: g.Values[0], Count: g.Count})
	}
	return a, err
}
