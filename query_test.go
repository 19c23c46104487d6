package cts_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
)

func TestQueryIsNeverChangedInPlace(t *testing.T) {
	base := cts.Query{}.Where(cts.Eq(cts.FieldCode, "200"), cts.Eq(cts.FieldRole, "a"))
	before := base.Where()
	// Two queries that grow from one must not see each other's conditions.
	left, right := base.Where(cts.Eq(cts.FieldUser, "left")), base.Where(cts.Eq(cts.FieldUser, "right"))
	_ = base.Between(time.UnixMilli(1), time.UnixMilli(2)).RecordedBetween(time.UnixMilli(3), time.UnixMilli(4)).
		OldestFirst().Limited(5).HeadsOnly().WithAttempts().Resume("c")
	_ = base.Where(base.Condition.IgnoreCase())
	if diff := cmp.Diff(before, base); diff != "" {
		t.Errorf("the query changed:\n%s", diff)
	}
	tr := &cts.Trace{Code: "200", User: cts.User{Name: "left"}, Ext: cts.Ext{Role: "a"}}
	if !left.Match(tr) || right.Match(tr) || !base.Match(tr) {
		t.Errorf("queries from one base share conditions: %+v, %+v", left, right)
	}
	conditions := []cts.Condition{{}, cts.Eq(cts.FieldCode, "200"), {}}
	_ = cts.Query{}.Where(conditions...)
	if conditions[1].Op != cts.OpIn {
		t.Error("Where changed the caller's slice")
	}
}

func TestQueryBuilders(t *testing.T) {
	code, role := cts.Eq(cts.FieldCode, "200"), cts.Eq(cts.FieldRole, "a")
	from, to := time.UnixMilli(1000), time.UnixMilli(2000)
	for _, c := range []struct {
		name      string
		got, want cts.Query
	}{
		{"zero", cts.Query{}.Where(), cts.Query{}},
		{"conditions that accept all", cts.Query{}.Where(cts.Condition{}, cts.Condition{}), cts.Query{}},
		{"one", cts.Query{}.Where(code), cts.Query{Condition: code}},
		{"one more", cts.Query{}.Where(code).Where(role), cts.Query{Condition: cts.And(code, role)}},
		{"a chain is one list", cts.Query{}.Where(code).Where(role).Where(code, role), cts.Query{Condition: cts.And(code, role, code, role)}},
		{"several", cts.Query{}.Where(code, cts.Condition{}, role), cts.Query{Condition: cts.And(code, role)}},
		{"range", cts.Query{}.Between(from, to), cts.Query{From: 1000, To: 2000}},
		{"open to the right", cts.Query{}.Between(from, time.Time{}), cts.Query{From: 1000}},
		{"open to the left", cts.Query{}.Between(time.Time{}, to), cts.Query{To: 2000}},
		{"of recording", cts.Query{}.RecordedBetween(from, to), cts.Query{From: 1000, To: 2000, ByRecordTime: true}},
		{"the last range holds", cts.Query{}.RecordedBetween(from, to).Between(to, to), cts.Query{From: 2000, To: 2000}},
		{"order", cts.Query{}.OldestFirst(), cts.Query{Order: cts.Oldest}},
		{"order and back", cts.Query{}.OldestFirst().NewestFirst(), cts.Query{}},
		{"the rest", cts.Query{}.Limited(7).HeadsOnly().WithAttempts().Resume("c"), cts.Query{Limit: 7, Heads: true, Attempts: true, Cursor: "c"}},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestQueryTimeRange(t *testing.T) {
	for _, c := range []struct {
		from, to, at int64
		want         bool
	}{
		{0, 0, 5, true},
		{0, 0, -5, true},
		{5, 0, 4, false},
		{5, 0, 5, true},
		{0, 5, 4, true},
		{0, 5, 5, false},
		{5, 6, 5, true},
		{5, 6, 6, false},
		{5, 5, 5, false},
	} {
		tr := &cts.Trace{Time: c.at, RecordTime: 1 << 40}
		if got := (cts.Query{From: c.from, To: c.to}).Match(tr); got != c.want {
			t.Errorf("[%d, %d) accepts %d: %v", c.from, c.to, c.at, got)
		}
		tr.Time, tr.RecordTime = tr.RecordTime, tr.Time
		if got := (cts.Query{From: c.from, To: c.to, ByRecordTime: true}).Match(tr); got != c.want {
			t.Errorf("[%d, %d) accepts a record time of %d: %v", c.from, c.to, c.at, got)
		}
	}
}

// A range may be finer than a trace's millisecond: what lies in it counts.
func TestQueryTimeRangeBelowAMillisecond(t *testing.T) {
	at := time.UnixMicro
	for _, c := range []struct {
		from, to time.Time
		ms       int64
		want     bool
	}{
		{at(10_000), at(10_001), 10, true},
		{at(10_001), at(11_000), 10, false},
		{at(10_001), at(11_001), 11, true},
		{at(9_999), at(10_000), 10, false},
		{at(-1_500), at(-500), -1, true},
		{at(-1_500), at(-500), -2, false},
	} {
		if got := (cts.Query{}).Between(c.from, c.to).Match(&cts.Trace{Time: c.ms}); got != c.want {
			t.Errorf("[%d µs, %d µs) accepts %d ms: %v", c.from.UnixMicro(), c.to.UnixMicro(), c.ms, got)
		}
	}
}

// Attempts are passed over unless they are asked for, or the phase is.
func TestQueryPassesOverAttempts(t *testing.T) {
	attempt := &cts.Trace{Ext: cts.Ext{Phase: cts.PhaseAttempt}}
	outcome := &cts.Trace{Ext: cts.Ext{Phase: cts.PhaseOutcome}}
	plain := &cts.Trace{}
	isAttempt := cts.Eq(cts.FieldPhase, "attempt")
	for _, c := range []struct {
		name                    string
		q                       cts.Query
		attempt, outcome, plain bool
	}{
		{"nothing asked", cts.Query{}, false, true, true},
		{"asked", cts.Query{}.WithAttempts(), true, true, true},
		{"phase", cts.Query{}.Where(isAttempt), true, false, false},
		{"not the phase", cts.Query{}.Where(cts.Not(isAttempt)), false, true, true},
		{"phase deep inside", cts.Query{}.Where(cts.Or(cts.Present(cts.FieldCode), cts.And(cts.Present(cts.FieldPhase)))), true, true, false},
		{"another field", cts.Query{}.Where(cts.Absent(cts.FieldCode)), false, true, true},
		{"a field left over in And", cts.Query{Condition: cts.Condition{Op: cts.OpAnd, Field: cts.FieldPhase}}, false, true, true},
	} {
		if c.q.Match(attempt) != c.attempt || c.q.Match(outcome) != c.outcome || c.q.Match(plain) != c.plain {
			t.Errorf("%s: attempt %v, outcome %v, plain %v", c.name, c.q.Match(attempt), c.q.Match(outcome), c.q.Match(plain))
		}
	}
}

func TestQueryMatchIgnoresTheRest(t *testing.T) {
	q := cts.Query{Condition: cts.Contains(cts.FieldRequest, "x"), Order: cts.Oldest, Limit: 1, Heads: true, Cursor: "whatever"}
	if !q.Match(&cts.Trace{Request: "x"}) || q.Match(&cts.Trace{}) {
		t.Error("order, limit, heads or cursor matter to Match")
	}
}

// A query may be built step by step, however many there are.
func TestQueryOfManySteps(t *testing.T) {
	q := cts.Query{}
	for range 1000 {
		q = q.Where(cts.Present(cts.FieldCode))
	}
	if err := q.Validate(); err != nil {
		t.Error(err)
	}
	if !q.Match(&cts.Trace{Code: "200"}) || q.Match(&cts.Trace{}) {
		t.Error("the conditions of many steps are not all tested")
	}
}

func TestQueryValidate(t *testing.T) {
	for _, c := range []struct {
		q    cts.Query
		want bool
	}{
		{cts.Query{}, true},
		{cts.Query{Limit: 1, From: 5, To: 5}, true},
		{cts.Query{From: 5}, true},
		{cts.Query{To: 5}, true},
		{cts.Query{Cursor: "not looked at here"}, true},
		{cts.Query{Limit: -1}, false},
		{cts.Query{From: 6, To: 5}, false},
		{cts.Query{Order: cts.Oldest + 1}, false},
		{cts.Query{Condition: cts.Eq("x", "")}, false},
	} {
		if err := c.q.Validate(); (err == nil) != c.want || err != nil && !errors.Is(err, cts.ErrBadQuery) {
			t.Errorf("%+v: %v", c.q, err)
		}
	}
}
