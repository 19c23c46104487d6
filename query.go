package cts

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"
)

// Order is the order in which a query yields traces. Both orders are total: traces
// of one millisecond are ordered by their position.
type Order uint8

// The orders.
const (
	Newest Order = iota // latest time first
	Oldest              // earliest time first
)

// Query says which traces are wanted, in which order, and how many. It is a plain
// value; the zero Query accepts every trace but attempts, newest first. The methods
// build one by chaining and never change their receiver:
//
//	q := cts.Query{}.
//		Where(cts.Eq(cts.FieldResourceID, id), cts.Present(cts.FieldCode)).
//		Between(yesterday, now).
//		Limited(50)
//
// The fields are there for stores to read.
type Query struct {
	Condition    Condition // which traces; the zero condition accepts all
	From, To     int64     // time range [From, To) in milliseconds since 1970 UTC; 0 leaves a side open
	ByRecordTime bool      // the range is on record_time, not on time
	Order        Order     // by (time, position)
	Limit        int       // most traces to yield; 0 is no limit
	Skip         int       // traces to pass over before the first that is yielded, see [Query.Skipped]
	Heads        bool      // leave out request, response and message
	Attempts     bool      // accept attempts too
	Cursor       string    // where to go on, from [Entry.Cursor]
}

// Where returns q with further conditions, all of which must hold.
func (q Query) Where(conditions ...Condition) Query {
	had := []Condition{q.Condition}
	if q.Condition.Op == OpAnd && !q.Condition.Fold {
		had = q.Condition.Conditions // a long chain is one list, not a deep nest
	}
	all := slices.Concat(had, conditions)
	all = slices.DeleteFunc(all, func(c Condition) bool { return c.Op == OpAll })
	switch len(all) {
	case 0:
		q.Condition = Condition{}
	case 1:
		q.Condition = all[0]
	default:
		q.Condition = And(all...)
	}
	return q
}

// Between returns q for operations that happened in [from, to), in milliseconds. A
// zero time leaves that side open.
func (q Query) Between(from, to time.Time) Query {
	q.From, q.To, q.ByRecordTime = millis(from), millis(to), false
	return q
}

// RecordedBetween returns q for traces that were recorded in [from, to).
func (q Query) RecordedBetween(from, to time.Time) Query {
	q.From, q.To, q.ByRecordTime = millis(from), millis(to), true
	return q
}

// millis returns the first whole millisecond that is not before t.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Add(time.Millisecond - 1).UnixMilli()
}

// OldestFirst returns q in ascending order of time.
func (q Query) OldestFirst() Query { q.Order = Oldest; return q }

// NewestFirst returns q in descending order of time, which is the default.
func (q Query) NewestFirst() Query { q.Order = Newest; return q }

// Limited returns q with a limit on the traces it yields.
func (q Query) Limited(n int) Query { q.Limit = n; return q }

// Skipped returns q passing over the first n traces that it would yield, which do not
// count towards the limit. It holds where a run begins, behind the cursor if there is
// one: Resume takes it back, and of pages only the first is skipped into. Skipping
// costs a store what yielding costs, or little less; who turns pages uses cursors.
func (q Query) Skipped(n int) Query { q.Skip = n; return q }

// HeadsOnly returns q without the request, response and message of the traces,
// which is what lists need and costs a store far less.
func (q Query) HeadsOnly() Query { q.Heads = true; return q }

// WithAttempts returns q accepting attempts (ext.phase is attempt) too. A
// condition on [FieldPhase] has the same effect.
func (q Query) WithAttempts() Query { q.Attempts = true; return q }

// Resume returns q going on behind the trace whose [Entry.Cursor] is given, without
// Skip. All runs together yield what one run would have when the first began, less
// what retention dropped since. The cursor of another query or store is
// [ErrBadCursor].
func (q Query) Resume(cursor string) Query { q.Cursor, q.Skip = cursor, 0; return q }

// Match reports whether q accepts t. It ignores order, limit, skip, heads and cursor.
// Every store yields exactly the traces for which it is true.
func (q Query) Match(t *Trace) bool {
	at := t.Time
	if q.ByRecordTime {
		at = t.RecordTime
	}
	if q.From != 0 && at < q.From || q.To != 0 && at >= q.To {
		return false
	}
	if t.Ext.Phase == PhaseAttempt && !q.Attempts && !q.Condition.mentions(FieldPhase) {
		return false
	}
	return q.Condition.Match(t)
}

// Validate reports what is wrong with q as an [ErrBadQuery]. Stores call it.
func (q Query) Validate() error {
	switch {
	case q.Limit < 0:
		return fmt.Errorf("%w: limit %d is negative", ErrBadQuery, q.Limit)
	case q.Skip < 0:
		return fmt.Errorf("%w: skip %d is negative", ErrBadQuery, q.Skip)
	case q.From != 0 && q.To != 0 && q.From > q.To:
		return fmt.Errorf("%w: the time range ends at %d before it begins at %d", ErrBadQuery, q.To, q.From)
	case q.Order > Oldest:
		return fmt.Errorf("%w: order %d does not exist", ErrBadQuery, q.Order)
	}
	return q.Condition.validate(0)
}

// head removes from t what [Query.HeadsOnly] leaves out.
func (t *Trace) head() { t.Request, t.Response, t.Message = "", "", "" }

// appendIdentity appends what a cursor depends on: everything but limit, skip, heads
// and the cursor itself.
func (q Query) appendIdentity(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(q.From))
	b = binary.BigEndian.AppendUint64(b, uint64(q.To))
	b = append(b, byte(q.Order), bit(q.ByRecordTime), bit(q.Attempts))
	return q.Condition.appendIdentity(b)
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// Page is one page of a query's answer.
type Page struct {
	Traces []*Trace // the traces; the caller's own
	Next   string   // cursor of the next page, "" when this is the last
}

// ReadPage returns up to q.Limit traces, 100 if that is 0, and the cursor of the
// page that follows. Skip holds for the first page alone: beside a cursor it is
// ignored. Damage does not end the page; it is returned beside it, joined.
func ReadPage(ctx context.Context, r Reader, q Query) (Page, error) {
	if err := q.Validate(); err != nil {
		return Page{}, err
	}
	size := min(q.Limit, math.MaxInt-1)
	if size == 0 {
		size = 100
	}
	if q.Cursor != "" {
		q.Skip = 0
	}
	var page Page
	var damage damages
	cursor := ""
	for e, err := range r.Query(ctx, q.Limited(size+1)) {
		if err != nil {
			if damage.add(err) {
				continue
			}
			return Page{}, err
		}
		if len(page.Traces) == size {
			page.Next = cursor
			break
		}
		t, err := e.Decode()
		if err != nil {
			return Page{}, err
		}
		if page.Traces = append(page.Traces, t); len(page.Traces) == size {
			cursor = e.Cursor()
		}
	}
	return page, damage.err()
}

// Collect returns all traces of an iterator, in memory of their own. Damage does
// not end it; it is returned beside the traces, joined.
func Collect(seq iter.Seq2[Entry, error]) ([]*Trace, error) {
	var traces []*Trace
	var damage damages
	for e, err := range seq {
		if err != nil {
			if damage.add(err) {
				continue
			}
			return traces, err
		}
		t, err := e.Decode()
		if err != nil {
			return traces, err
		}
		traces = append(traces, t)
	}
	return traces, damage.err()
}

// OpenAttempts yields the attempts that q accepts and that have no outcome, newest
// first: operations that run right now, or whose end nobody saw. It takes no
// cursor. Memory grows with the operations under way, not with the answer.
func OpenAttempts(ctx context.Context, r Reader, q Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if q.Cursor != "" {
			yield(Entry{}, fmt.Errorf("%w: open attempts have no pages", ErrBadCursor))
			return
		}
		if err := q.Validate(); err != nil {
			yield(Entry{}, err)
			return
		}
		wanted := q.WithAttempts()
		// A condition on what heads leave out must see it first.
		bodies := q.Condition.mentions(FieldRequest) || q.Condition.mentions(FieldResponse) || q.Condition.mentions(FieldMessage)
		both := Query{From: q.From, ByRecordTime: q.ByRecordTime, Heads: q.Heads && !bodies}.
			Where(In(FieldPhase, string(PhaseAttempt), string(PhaseOutcome)))
		// Newest first, an outcome comes before its attempt: it is never earlier, and behind it in the same millisecond.
		ended := map[string]bool{}
		n, skip := 0, q.Skip
		for e, err := range r.Query(ctx, both) {
			switch {
			case err != nil:
				if !yield(Entry{}, err) {
					return
				}
			case e.Trace.Ext.Phase == PhaseOutcome:
				ended[e.Trace.Ext.AttemptID] = true
			case ended[e.Trace.ID]:
				delete(ended, e.Trace.ID)
			case !wanted.Match(e.Trace):
			case skip > 0:
				skip--
			default:
				if q.Heads && bodies {
					e = e.withoutBodies()
				}
				if n++; !yield(e, nil) || n == q.Limit {
					return
				}
			}
		}
	}
}
