package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/cloudtraceservice/cts"
)

// This file answers the queries of a clay.

// found is a trace on its way to a query's answer.
type found struct {
	pos   cts.Position
	trace *cts.Trace
	json  []byte
}

func (c *clay) Query(ctx context.Context, q cts.Query) iter.Seq2[cts.Entry, error] {
	var shared []found // by runs, with the fault
	begun := false
	var mu sync.Mutex
	return func(yield func(cts.Entry, error) bool) {
		scan, answer, err := c.answer(ctx, q)
		if err != nil {
			if !errors.Is(err, cts.ErrBadQuery) || !c.is("answers bad queries with nothing") {
				yield(cts.Entry{}, err)
			}
			return
		}
		skip := c.skip(q)
		answer = answer[min(skip, len(answer)):]
		if !c.is("a skip counts towards the limit") {
			skip = 0
		}
		for n := skip; len(answer) > 0; n++ {
			if c.is("runs of an iterator share their place") {
				mu.Lock()
				if !begun {
					shared, begun = answer, true
				}
				answer = shared
				if len(shared) > 0 {
					shared = shared[1:]
				}
				mu.Unlock()
				if len(answer) == 0 {
					return
				}
			}
			f := answer[0]
			answer = answer[1:]
			if err := c.goesOn(ctx); err != nil {
				if !errors.Is(err, cts.ErrClosed) || !c.is("ends without an error when it is closed") {
					yield(cts.Entry{}, err)
				}
				return
			}
			e := scan.Entry(f.pos, f.trace, nil)
			if f.pos%2 == 0 { // it may be there, and be left out
				e.JSON = f.json
			}
			if c.is("queries yield JSON") {
				e = scan.Entry(f.pos, nil, f.json)
			}
			if c.is("yields the trace of the next position") && len(answer) > 0 {
				e.Trace = answer[0].trace
			}
			if !yield(e, nil) && !c.is("goes on when it is left") {
				return
			}
			if limit := c.limit(q); limit > 0 && n+1 >= limit {
				return
			}
			if c.is("yields what is appended meanwhile") && n < 500 {
				if _, now, err := c.answer(ctx, q); err == nil && len(now) > n+1 {
					answer = now[n+1:]
				}
			}
		}
	}
}

// skip returns how many traces a run passes over.
func (c *clay) skip(q cts.Query) int {
	if c.is("ignores skips") || c.is("skips at the beginning alone") && q.Cursor != "" {
		return 0
	}
	return q.Skip
}

func (c *clay) goesOn(ctx context.Context) error {
	defer c.mu.RUnlock()
	return c.enter(ctx)
}

func (c *clay) limit(q cts.Query) int {
	switch {
	case c.is("yields one more than the limit") && q.Limit > 0:
		return q.Limit + 1
	case c.is("yields one less than the limit") && q.Limit > 1:
		return q.Limit - 1
	}
	return q.Limit
}

// answer returns everything that q yields, but for its limit.
func (c *clay) answer(ctx context.Context, q cts.Query) (*cts.Scan, []found, error) {
	defer c.mu.RUnlock()
	if err := c.enter(ctx); err != nil {
		return nil, nil, err
	}
	log, last := c.log()
	if c.is("shows the newest trace late") && len(log) > 0 {
		log = log[:len(log)-1]
	}
	scan, err := c.scan(q, last)
	if err != nil {
		return nil, nil, err
	}
	if c.is("forgets cursors with a retention") && q.Cursor != "" && c.disk.front() > 0 {
		return nil, nil, cts.ErrBadCursor
	}
	var all []found
	for _, r := range log {
		t, err := cts.ParseTrace(r.json)
		if err != nil {
			return nil, nil, err
		}
		if c.is("matches heads without their bodies") && q.Heads {
			t.Request, t.Response, t.Message = "", "", ""
		}
		if !c.matches(q, t) || !c.includes(scan, t.Time, r.pos, last) {
			continue
		}
		f := found{pos: r.pos, trace: t, json: r.json}
		if q.Heads {
			t.Request, t.Response, t.Message = "", "", ""
			if c.is("leaves out too much of heads") {
				t.UserAgent = ""
			}
			f.json = t.AppendJSON(nil)
		}
		all = append(all, f)
	}
	slices.SortStableFunc(all, func(a, b found) int {
		byPosition := cmp.Compare(a.pos, b.pos)
		if c.is("orders one millisecond backwards") {
			byPosition = -byPosition
		}
		if byTime := cmp.Compare(a.trace.Time, b.trace.Time); byTime != 0 && !c.is("orders by position") {
			return byTime
		}
		return byPosition
	})
	if q.Order == cts.Newest {
		slices.Reverse(all)
	}
	return scan, all, nil
}

func (c *clay) scan(q cts.Query, last cts.Position) (*cts.Scan, error) {
	id := c.disk.id
	switch {
	case c.is("cursors depend on the limit"):
		id += fmt.Sprint(q.Limit)
	case c.is("cursors don't depend on the store"):
		id = ""
	case c.is("starts anew with a bad cursor"):
		if scan, err := q.Scan(id, last); err == nil || !errors.Is(err, cts.ErrBadCursor) {
			return scan, err
		}
		return q.Resume("").Scan(id, last)
	}
	return q.Scan(id, last)
}

func (c *clay) matches(q cts.Query, t *cts.Trace) bool {
	switch {
	case c.is("shows attempts"):
		q.Attempts = true
	case c.is("hides attempts") && t.Ext.Phase == cts.PhaseAttempt:
		return false
	case c.is("a range holds its end") && q.To != 0:
		q.To++
	case c.is("a range is on time"):
		q.ByRecordTime = false
	case c.is("ignores ranges"):
		q.From, q.To = 0, 0
	case c.is("ignores case"):
		q.Condition = q.Condition.IgnoreCase()
	case c.is("takes words for parts"):
		q.Condition = parts(q.Condition)
	case c.is("takes Or for And") && q.Condition.Op == cts.OpOr:
		q.Condition.Op = cts.OpAnd
	}
	return q.Match(t)
}

// parts returns c with words taken for parts of text.
func parts(c cts.Condition) cts.Condition {
	if c.Op == cts.OpWord {
		c.Op = cts.OpContains
	}
	c.Conditions = slices.Clone(c.Conditions)
	for i := range c.Conditions {
		c.Conditions[i] = parts(c.Conditions[i])
	}
	return c
}

func (c *clay) includes(scan *cts.Scan, time int64, pos, last cts.Position) bool {
	from, fromPos, resumed := scan.Start()
	switch {
	case c.is("ignores the ceiling"):
		scan.Ceiling = last
	case c.is("yields the trace of the cursor again") && resumed && pos == fromPos:
		return true
	case c.is("resumes by time alone") && resumed && time == from:
		return false
	}
	return scan.Includes(time, pos)
}

func (c *clay) After(ctx context.Context, pos cts.Position) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) {
		if err := c.goesOn(ctx); err != nil {
			yield(cts.Entry{}, err)
			return
		}
		log, last := c.log()
		if c.is("begins anew behind the end") && pos > last {
			pos = 0
		}
		if dropped := c.disk.front(); pos < dropped && !c.is("passes over what was dropped") {
			yield(cts.Entry{}, &cts.PositionGoneError{Position: pos, Oldest: c.oldest()})
			return
		}
		scan := must(cts.Query{}.Scan(c.disk.id, last))
		for _, r := range log {
			switch {
			case c.is("passes over what is dropped meanwhile") && r.pos <= c.disk.front():
				continue
			case r.pos < pos, r.pos == pos && !c.is("yields the trace at the position, too"):
				continue
			case c.is("hides attempts in the log") && must(cts.ParseTrace(r.json)).Ext.Phase == cts.PhaseAttempt:
				continue
			}
			if err := c.goesOn(ctx); err != nil {
				yield(cts.Entry{}, err)
				return
			}
			e := cts.Entry{Position: r.pos, JSON: r.json}
			if c.is("routes of the log are wrong") {
				e.Route = &cts.Route{TrackerName: "another"}
			}
			if c.is("the log yields traces") {
				e = cts.Entry{Position: r.pos, Trace: must(cts.ParseTrace(r.json))}
			}
			if c.is("the log has cursors") {
				e = scan.Entry(r.pos, must(cts.ParseTrace(r.json)), r.json)
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// oldest returns the position of the oldest trace, or of the one to come.
func (c *clay) oldest() cts.Position {
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	if len(c.disk.log) == 0 {
		return c.disk.last + c.disk.step
	}
	return c.disk.log[0].pos
}
