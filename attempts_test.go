package cts_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
)

// guarded makes a list of attempts and outcomes: "a" is an attempt, "a!" its outcome
// and anything with a dot an ordinary trace. One millisecond lies between them.
func guarded(steps ...string) *list {
	l := &list{id: "store"}
	for i, step := range steps {
		t := &cts.Trace{ID: step, Time: int64(1000 + i), RecordTime: int64(5000 + i), Request: "body of " + step, Name: "n"}
		switch last := step[len(step)-1]; {
		case last == '!':
			t.Ext = cts.Ext{Phase: cts.PhaseOutcome, AttemptID: step[:len(step)-1]}
		case last != '.':
			t.Ext = cts.Ext{Phase: cts.PhaseAttempt}
		}
		l.traces = append(l.traces, t)
	}
	return l
}

func TestOpenAttempts(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []string
		q     cts.Query
		want  []string
	}{
		{"nothing", nil, cts.Query{}, nil},
		{"ended", []string{"a", "a!"}, cts.Query{}, nil},
		{"open", []string{"a"}, cts.Query{}, []string{"a"}},
		{"ordinary traces", []string{"x.", "a", "y."}, cts.Query{}, []string{"a"}},
		{"interleaved", []string{"a", "b", "c", "b!", "d", "a!"}, cts.Query{}, []string{"d", "c"}},
		{"oldest asked for", []string{"a", "b"}, cts.Query{}.OldestFirst(), []string{"b", "a"}},
		{"limit", []string{"a", "b", "c"}, cts.Query{}.Limited(2), []string{"c", "b"}},
		{"condition", []string{"a", "b", "c"}, cts.Query{}.Where(cts.Eq(cts.FieldTraceID, "b")), []string{"b"}},
		{"condition that outcomes do not meet", []string{"a", "a!", "b"}, cts.Query{}.Where(cts.In(cts.FieldTraceID, "a", "b")), []string{"b"}},
		{"ended after the range", []string{"a", "b", "a!", "b!", "c"}, cts.Query{}.Between(time.UnixMilli(1000), time.UnixMilli(1002)), nil},
		{"range", []string{"a", "b", "c"}, cts.Query{}.Between(time.UnixMilli(1001), time.UnixMilli(1002)), []string{"b"}},
		{"range of recording", []string{"a", "b", "c"}, cts.Query{}.RecordedBetween(time.UnixMilli(5002), time.Time{}), []string{"c"}},
		{"outcome without attempt", []string{"z!", "a"}, cts.Query{}, []string{"a"}},
	} {
		var got []string
		for e, err := range cts.OpenAttempts(t.Context(), guarded(c.steps...), c.q) {
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			got = append(got, e.Trace.ID)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// In one millisecond, the outcome has the higher position and comes first.
func TestOpenAttemptsInOneMillisecond(t *testing.T) {
	l := guarded("a", "a!", "b")
	for _, tr := range l.traces {
		tr.Time = 1000
	}
	traces, err := cts.Collect(cts.OpenAttempts(t.Context(), l, cts.Query{}))
	if err != nil || len(traces) != 1 || traces[0].ID != "b" {
		t.Errorf("got %v, %v", ids(traces), err)
	}
}

// Heads are left out after a condition has seen them.
func TestOpenAttemptsHeads(t *testing.T) {
	for _, q := range []cts.Query{
		cts.Query{}.HeadsOnly(),
		cts.Query{}.HeadsOnly().Where(cts.Contains(cts.FieldRequest, "of a")),
		cts.Query{}.HeadsOnly().Where(cts.Not(cts.Present(cts.FieldResponse))),
	} {
		l := guarded("a")
		n := 0
		for e, err := range cts.OpenAttempts(t.Context(), l, q) {
			n++
			text := e.AppendJSON(nil)
			back, parseErr := cts.ParseTrace(text)
			if err != nil || parseErr != nil || e.Trace.Request != "" || back.Request != "" || back.ID != "a" {
				t.Errorf("got %+v with JSON %s, %v", e.Trace, text, err)
			}
		}
		if n != 1 || l.traces[0].Request == "" {
			t.Errorf("%d open attempts, and the store's trace is %+v", n, l.traces[0])
		}
	}
}

func TestOpenAttemptsErrors(t *testing.T) {
	for _, c := range []struct {
		q    cts.Query
		want error
	}{
		{cts.Query{Cursor: "x"}, cts.ErrBadCursor},
		{cts.Query{Limit: -1}, cts.ErrBadQuery},
		{cts.Query{}.Where(cts.Eq("no_field", "x")), cts.ErrBadQuery},
	} {
		l := guarded("a")
		steps := 0
		for _, err := range cts.OpenAttempts(t.Context(), l, c.q) {
			if steps++; !errors.Is(err, c.want) {
				t.Errorf("%+v: error %v, want %v", c.q, err, c.want)
			}
		}
		if steps != 1 || l.runs != 0 {
			t.Errorf("%+v: %d steps, %d runs in the store", c.q, steps, l.runs)
		}
	}
	l := guarded("a", "b", "c")
	l.damage = map[cts.Position]error{2: &cts.CorruptionError{File: "f"}}
	traces, err := cts.Collect(cts.OpenAttempts(t.Context(), l, cts.Query{}))
	if !errors.Is(err, cts.ErrCorrupt) || len(traces) != 2 {
		t.Errorf("damage: %v, %v", ids(traces), err)
	}
	for _, err := range cts.OpenAttempts(t.Context(), l, cts.Query{}) {
		_ = err
		break // leaving is allowed at a trace
	}
	l.damage[3] = l.damage[2]
	for _, err := range cts.OpenAttempts(t.Context(), l, cts.Query{}) {
		_ = err
		break // and at damage
	}
}
