package cts_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
)

// idList returns the ids of traces, in one text.
func idList(traces []*cts.Trace) string {
	var all []string
	for _, t := range traces {
		all = append(all, t.ID)
	}
	return strings.Join(all, " ")
}

func TestSkipped(t *testing.T) {
	l := listOf(1, 2, 3, 4, 5, 6, 7)
	q := cts.Query{}.OldestFirst().Skipped(2)
	if got, err := cts.Collect(l.Query(t.Context(), q.Limited(3))); err != nil || idList(got) != "t3 t4 t5" {
		t.Errorf("three behind two: %s, %v", idList(got), err)
	}
	if r := q.Resume("x"); r.Skip != 0 || r.Cursor != "x" || q.Skip != 2 {
		t.Errorf("Resume keeps the skip: %+v", r)
	}
	if err := q.Skipped(-1).Validate(); !errors.Is(err, cts.ErrBadQuery) || !strings.Contains(err.Error(), "skip -1") {
		t.Errorf("a negative skip: %v", err)
	}
	if !q.Match(l.traces[0]) {
		t.Error("Match does not ignore the skip")
	}
	// A cursor is that of the query without the skip, too.
	for e, err := range l.Query(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		got, err := cts.Collect(l.Query(t.Context(), cts.Query{Order: cts.Oldest, Skip: 1, Cursor: e.Cursor()}))
		if err != nil || idList(got) != "t5 t6 t7" {
			t.Errorf("a skip of one behind the cursor of t3: %s, %v", idList(got), err)
		}
		break
	}
}

func TestReadPageSkipsOnce(t *testing.T) {
	l := listOf(1, 2, 3, 4, 5, 6, 7)
	for name, next := range map[string]func(cts.Query, string) cts.Query{
		"by Resume":    cts.Query.Resume,
		"by the field": func(q cts.Query, cursor string) cts.Query { q.Cursor = cursor; return q },
	} {
		q := cts.Query{}.OldestFirst().Limited(2).Skipped(2)
		var pages []string
		for more := true; more; {
			page, err := cts.ReadPage(t.Context(), l, q)
			if err != nil {
				t.Fatal(err)
			}
			pages = append(pages, idList(page.Traces))
			q, more = next(q, page.Next), page.Next != ""
		}
		if !slices.Equal(pages, []string{"t3 t4", "t5 t6", "t7"}) {
			t.Errorf("%s: %q", name, pages)
		}
	}
}

func TestOpenAttemptsSkipped(t *testing.T) {
	l := listOf(1, 2, 3, 4)
	for _, tr := range l.traces {
		tr.Ext.Phase = cts.PhaseAttempt
	}
	l.traces[2].Ext = cts.Ext{Phase: cts.PhaseOutcome, AttemptID: "t2"}
	got, err := cts.Collect(cts.OpenAttempts(t.Context(), l, cts.Query{Skip: 1, Limit: 1}))
	if err != nil || idList(got) != "t1" {
		t.Errorf("the second newest open attempt: %s, %v", idList(got), err)
	}
}
