package cts

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Bounds of an aggregation, so that no question exhausts the memory.
const (
	MaxGroups     = 1 << 20  // groups before Top is applied
	maxGroupBytes = 64 << 20 // the different values of all groups
)

// Aggregation says how the traces that a query accepts are counted. The zero
// Aggregation counts all of them together:
//
//	who := cts.Aggregation{By: []cts.Field{cts.FieldUser}, Top: 10}                                 // the ten busiest users
//	where := cts.Aggregation{By: []cts.Field{cts.FieldUser, cts.FieldSourceIP}}                     // their addresses, first and last seen
//	when := cts.Aggregation{By: []cts.Field{cts.FieldTraceRating}, Every: time.Hour}                // a histogram for each rating
//
// How many groups there are is how many different values there are.
type Aggregation struct {
	// By are the fields whose values make a group: none, one or two. Texts
	// (request, response and message) are none of them.
	By []Field

	// Every is the width of the buckets of a histogram, in whole milliseconds. A
	// bucket begins at a multiple of it since 1970 UTC. 0 makes no buckets.
	Every time.Duration

	// Top keeps only that many combinations of values, those with the most traces
	// in all buckets together; among equals, the lower values. 0 keeps all.
	Top int
}

// Group is the traces that have the same values, in one bucket of time.
type Group struct {
	Values      []string // values of Aggregation.By, in its order; "" for one that is absent, see [Field.Value]
	Start       int64    // when the bucket begins, in milliseconds since 1970 UTC; 0 without Every
	Count       int64    // how many traces
	First, Last int64    // their earliest and latest time, in milliseconds since 1970 UTC
}

// Aggregator is the optional ability of a [Reader] to count without reading every
// trace. Applications call [Aggregate], which uses it where it is there.
//
// Aggregate returns what a loop over all traces that [Query.Match] accepts would
// find, in the order that [Aggregate] promises: [Groups] does the counting, the
// bounds and the sorting. It sees what Query would see. Damage is joined and
// returned beside the groups of the rest. A query or an aggregation that the store
// has no short way for may be [ErrNotSupported]; it is then answered through Query.
//
// A Reader that wraps another to show less than it must not have a method Unwrap:
// the ability of the inner one would count what the outer one hides.
type Aggregator interface {
	// Aggregate counts the traces that q accepts.
	Aggregate(ctx context.Context, q Query, a Aggregation) ([]Group, error)
}

// Validate reports what is wrong with a as an [ErrBadQuery]. [NewGroups] calls it.
func (a Aggregation) Validate() error {
	switch {
	case len(a.By) > len(groupKey{}.codes):
		return fmt.Errorf("%w: grouped by %d fields, at most %d", ErrBadQuery, len(a.By), len(groupKey{}.codes))
	case a.Every < 0 || a.Every%time.Millisecond != 0:
		return fmt.Errorf("%w: buckets of %v: want whole milliseconds", ErrBadQuery, a.Every)
	case a.Top < 0:
		return fmt.Errorf("%w: top %d is negative", ErrBadQuery, a.Top)
	}
	for _, f := range a.By {
		switch {
		case !f.known():
			return fmt.Errorf("%w: there is no field %q", ErrBadQuery, f)
		case f == FieldRequest || f == FieldResponse || f == FieldMessage:
			return fmt.Errorf("%w: field %s is a text, which can't be grouped by", ErrBadQuery, f)
		}
	}
	return nil
}

// Bucket returns when the bucket of a time begins, [Group.Start]: 0 without Every.
// Both are milliseconds since 1970 UTC.
func (a Aggregation) Bucket(time int64) int64 {
	every := a.Every.Milliseconds()
	if every == 0 {
		return 0
	}
	start := time - time%every
	if start > time { // before 1970
		start -= every
	}
	return start
}

// Value returns the one value of f in t by which an [Aggregation] groups, "" if it
// is absent. Where a field means any of several values, it is the first that is not
// empty: of a user the name, the user_name, the id; of an impersonator the name, the
// id. So a user counts once, under the name that people know.
func (f Field) Value(t *Trace) string {
	switch f {
	case FieldUser:
		return firstOf(t.User.Name, t.User.UserName, t.User.ID)
	case FieldImpersonator:
		return firstOf(t.Ext.Impersonator.Name, t.Ext.Impersonator.ID)
	}
	value, _, _ := f.values(t)
	return value
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// Aggregate counts the traces that q accepts, in groups. It uses the [Aggregator]
// ability of r, or else reads the heads of all these traces through Query.
//
// The groups are ordered by Start, then the larger Count first, then by their values
// in ascending order of bytes. Nothing counted is no group; a bucket without a trace
// is left out. Buckets, First and Last are on the clock of q: record_time if it says
// ByRecordTime, otherwise time. As in Query, attempts are passed over unless q wants
// them. Order, Limit, Skip and Heads of q have no effect; a cursor is
// [ErrBadCursor]: a count has no pages.
//
// More than [MaxGroups] groups, or 64 MiB of different values, is [ErrTooLarge].
// Damage does not end the count; it is joined and returned beside the groups of the
// rest. With any other error there are no groups.
func Aggregate(ctx context.Context, r Reader, q Query, a Aggregation) ([]Group, error) {
	g, err := NewGroups(q, a)
	if err != nil {
		return nil, err
	}
	if able, ok := ability[Aggregator](r); ok {
		groups, err := able.Aggregate(ctx, q, a)
		if !errors.Is(err, ErrNotSupported) {
			return groups, err
		}
	}
	q.Order, q.Limit, q.Skip, q.Heads = Newest, 0, 0, true
	for e, err := range r.Query(ctx, q) {
		if err == nil {
			err = g.AddTrace(e.Trace)
		} else if g.Damaged(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return g.Result()
}

// Count returns how many traces q accepts, see [Aggregate]. The limit of q has no
// effect. Beside damage it is the number of the readable ones.
func Count(ctx context.Context, r Reader, q Query) (int64, error) {
	groups, err := Aggregate(ctx, r, q, Aggregation{})
	var n int64
	for _, g := range groups {
		n += g.Count
	}
	return n, err
}
