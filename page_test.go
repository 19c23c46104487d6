package cts_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
)

// list is a Reader over traces in memory: the trace at index i has position i+1.
type list struct {
	id     string
	traces []*cts.Trace
	damage map[cts.Position]error // yielded instead of the trace there
	runs   int
}

func (l *list) Query(ctx context.Context, q cts.Query) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) {
		l.runs++
		scan, err := q.Scan(l.id, cts.Position(len(l.traces)))
		if err != nil {
			yield(cts.Entry{}, err)
			return
		}
		n, skip := 0, q.Skip
		for _, pos := range l.order(q.Order) {
			if ctx.Err() != nil {
				yield(cts.Entry{}, ctx.Err())
				return
			}
			t := l.traces[pos-1].Clone()
			if !scan.Includes(t.Time, pos) || !q.Match(t) {
				continue
			}
			if err := l.damage[pos]; err != nil {
				if !yield(cts.Entry{}, err) {
					return
				}
				continue
			}
			if skip > 0 {
				skip--
				continue
			}
			if q.Heads {
				t.Request, t.Response, t.Message = "", "", ""
			}
			if n++; !yield(scan.Entry(pos, t, t.AppendJSON(nil)), nil) || n == q.Limit {
				return
			}
		}
	}
}

// order returns the positions in the order of a query.
func (l *list) order(o cts.Order) []cts.Position {
	all := make([]cts.Position, len(l.traces))
	for i := range all {
		all[i] = cts.Position(i + 1)
	}
	slices.SortFunc(all, func(a, b cts.Position) int {
		c := cmp.Or(cmp.Compare(l.traces[a-1].Time, l.traces[b-1].Time), cmp.Compare(a, b))
		if o == cts.Newest {
			return -c
		}
		return c
	})
	return all
}

// listOf makes a list of traces with these times and the ids t1, t2 and so on.
func listOf(times ...int64) *list {
	l := &list{id: "store"}
	for i, ms := range times {
		l.traces = append(l.traces, &cts.Trace{ID: fmt.Sprint("t", i+1), Time: ms, Request: "{}", Code: "200"})
	}
	return l
}

func ids(traces []*cts.Trace) []string {
	var all []string
	for _, t := range traces {
		all = append(all, t.ID)
	}
	return all
}

// All pages together are the answer of one run, also when traces are added between.
func TestReadPages(t *testing.T) {
	ctx := t.Context()
	for _, order := range []cts.Order{cts.Newest, cts.Oldest} {
		for size := 1; size <= 9; size++ {
			l := listOf(50, 10, 30, 30, 30, 20, 50, 40)
			q := cts.Query{Order: order, Limit: size}
			want, err := cts.Collect(l.Query(ctx, cts.Query{Order: order}))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for {
				page, err := cts.ReadPage(ctx, l, q)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, ids(page.Traces)...)
				if len(page.Traces) > size {
					t.Fatalf("a page of %d traces, limit %d", len(page.Traces), size)
				}
				if page.Next == "" {
					break
				}
				q = q.Resume(page.Next)
				l.traces = append(l.traces, &cts.Trace{ID: "new", Time: 30}, &cts.Trace{ID: "new", Time: 99})
			}
			if diff := gocmp.Diff(ids(want), got); diff != "" {
				t.Errorf("order %d, pages of %d (-want +got):\n%s", order, size, diff)
			}
		}
	}
}

func TestReadPageEdges(t *testing.T) {
	ctx := t.Context()
	long := listOf(make([]int64, 150)...)
	for _, c := range []struct {
		name   string
		list   *list
		q      cts.Query
		traces int
		more   bool
	}{
		{"nothing", listOf(), cts.Query{}, 0, false},
		{"exactly one page", listOf(1, 2, 3), cts.Query{Limit: 3}, 3, false},
		{"one more", listOf(1, 2, 3, 4), cts.Query{Limit: 3}, 3, true},
		{"default", long, cts.Query{}, 100, true},
		{"most", long, cts.Query{Limit: math.MaxInt}, 150, false},
	} {
		page, err := cts.ReadPage(ctx, c.list, c.q)
		if err != nil || len(page.Traces) != c.traces || (page.Next != "") != c.more {
			t.Errorf("%s: %d traces, next %q, %v", c.name, len(page.Traces), page.Next, err)
		}
	}
	l := listOf(1)
	if _, err := cts.ReadPage(ctx, l, cts.Query{Limit: -1}); !errors.Is(err, cts.ErrBadQuery) || l.runs != 0 {
		t.Errorf("a negative limit: %v after %d runs", err, l.runs)
	}
	if _, err := cts.ReadPage(ctx, l, cts.Query{Cursor: "x"}); !errors.Is(err, cts.ErrBadCursor) {
		t.Errorf("a bad cursor: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if page, err := cts.ReadPage(ended, l, cts.Query{}); !errors.Is(err, context.Canceled) || page.Traces != nil {
		t.Errorf("an ended context: %v, %v", page, err)
	}
}

func TestReadPageHeads(t *testing.T) {
	page, err := cts.ReadPage(t.Context(), listOf(1, 2), cts.Query{Limit: 1}.HeadsOnly())
	if err != nil || page.Next == "" || page.Traces[0].Request != "" || page.Traces[0].Code != "200" {
		t.Errorf("got %+v, %v", page, err)
	}
}

// Damage is returned beside the traces around it; another error ends the reading.
func TestDamageBesideTraces(t *testing.T) {
	ctx := t.Context()
	l := listOf(1, 2, 3, 4, 5)
	cause := errors.New("checksum")
	l.damage = map[cts.Position]error{2: &cts.CorruptionError{File: "f", Offset: 9, Err: cause}, 4: &cts.CorruptionError{File: "g", Err: cause}}
	check := func(what string, got []string, err error) {
		t.Helper()
		if diff := gocmp.Diff([]string{"t5", "t3", "t1"}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		var damage *cts.CorruptionError
		if !errors.Is(err, cts.ErrCorrupt) || !errors.Is(err, cause) || !errors.As(err, &damage) || damage.File != "g" {
			t.Errorf("%s: error %v", what, err)
		}
	}
	traces, err := cts.Collect(l.Query(ctx, cts.Query{}))
	check("Collect", ids(traces), err)
	page, err := cts.ReadPage(ctx, l, cts.Query{})
	check("ReadPage", ids(page.Traces), err)

	gone := errors.New("the disk is gone")
	l.damage[3] = gone
	if traces, err := cts.Collect(l.Query(ctx, cts.Query{})); !errors.Is(err, gone) || len(traces) != 1 {
		t.Errorf("Collect: %v, %v", ids(traces), err)
	}
	if page, err := cts.ReadPage(ctx, l, cts.Query{}); !errors.Is(err, gone) || page.Traces != nil {
		t.Errorf("ReadPage: %v, %v", ids(page.Traces), err)
	}
}

// However much is damaged, the error stays of a size to read.
func TestDamageIsBounded(t *testing.T) {
	l := listOf(make([]int64, 1000)...)
	l.damage = map[cts.Position]error{}
	for pos := range cts.Position(1000) {
		l.damage[pos+1] = &cts.CorruptionError{File: "f", Err: errors.New("torn")}
	}
	traces, err := cts.Collect(l.Query(t.Context(), cts.Query{}))
	joined, ok := err.(interface{ Unwrap() []error })
	if len(traces) != 0 || !ok || len(joined.Unwrap()) != 101 {
		t.Fatalf("%d traces, error of type %T", len(traces), err)
	}
	if last := joined.Unwrap()[100]; !errors.Is(last, cts.ErrCorrupt) || last.Error() != "cts: store is damaged: 900 damaged places more" {
		t.Errorf("the last error is %v", last)
	}
}

// What Collect and ReadPage return is the caller's own.
func TestTracesAreTheCallersOwn(t *testing.T) {
	shared := &cts.Trace{ID: "a", User: cts.User{InvokedBy: []string{"x"}}}
	seq := func(yield func(cts.Entry, error) bool) { yield(cts.Entry{Position: 1, Trace: shared}, nil) }
	traces, err := cts.Collect(seq)
	if err != nil {
		t.Fatal(err)
	}
	shared.ID, shared.User.InvokedBy[0] = "changed", "changed"
	if traces[0].ID != "a" || traces[0].User.InvokedBy[0] != "x" {
		t.Errorf("the trace changed with the iterator's memory: %+v", traces[0])
	}
	bad := func(yield func(cts.Entry, error) bool) { yield(cts.Entry{Position: 1, JSON: []byte("{")}, nil) }
	if _, err := cts.Collect(bad); !errors.Is(err, cts.ErrInvalidTrace) {
		t.Errorf("an entry that can't be decoded: %v", err)
	}
}
