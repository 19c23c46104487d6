package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"

	"github.com/cloudtraceservice/cts"
)

// subject is the store of one case, with the calls that cases make.
type subject struct {
	testing.TB
	harness  Harness
	store    cts.Store
	newStore Factory
	syncing  sync.Mutex // one call of sync at a time
}

// stored is one trace as a store gave it back, in memory of its own.
type stored struct {
	pos    cts.Position
	json   string
	cursor string
	trace  *cts.Trace // the JSON parsed, once it was needed
}

var background = context.Background()

func newSubject(t testing.TB, newStore Factory) *subject {
	t.Helper()
	h := newStore(t)
	if h.Store == nil {
		t.Fatal("the harness has no store")
	}
	s := &subject{TB: t, harness: h, store: h.Store, newStore: newStore}
	t.Cleanup(func() {
		verify(t, s.store)
		if err := s.store.Close(); err != nil {
			t.Errorf("Close at the end of the case: %v", err)
		}
	})
	return s
}

// another returns a second store of the same kind.
func (s *subject) another() *subject {
	s.Helper()
	return newSubject(s.TB, s.newStore)
}

// reopen closes the store and opens it again; it skips the case if that can't be.
func (s *subject) reopen() {
	s.Helper()
	if s.harness.Reopen == nil {
		s.Skip("the store keeps nothing beyond Close")
	}
	if s.store = s.harness.Reopen(s.TB); s.store == nil {
		s.Fatal("Reopen gave no store")
	}
}

// seal gives a store that has several forms of keeping traces the occasion to change.
func (s *subject) seal() {
	if s.harness.Seal != nil {
		s.harness.Seal(s.TB)
	}
}

// sync makes what was appended visible to After.
func (s *subject) sync() {
	if s.harness.Sync != nil {
		s.harness.Sync(s.TB)
	}
}

// entries returns traces as a Tracker passes them.
func entries(traces ...*cts.Trace) []cts.Entry {
	batch := make([]cts.Entry, len(traces))
	for i, t := range traces {
		batch[i] = cts.Entry{Trace: t, JSON: t.AppendJSON(nil)}
	}
	return batch
}

// append stores traces as one batch and fails the case if it can't.
func (s *subject) append(traces ...*cts.Trace) cts.Appended {
	s.Helper()
	return s.appendEntries(entries(traces...))
}

func (s *subject) appendEntries(batch []cts.Entry) cts.Appended {
	s.Helper()
	done, err := s.store.Append(background, batch)
	if err != nil {
		s.Fatalf("Append of %d traces: %v", len(batch), err)
	}
	s.sync()
	return done
}

// refuse appends a batch that must fail with want.
func (s *subject) refuse(what string, want error, batch []cts.Entry) {
	s.Helper()
	done, err := s.store.Append(background, batch)
	if !errors.Is(err, want) {
		s.Errorf("Append of %s: got %+v and the error %v, want the error %v", what, done, err, want)
	}
}

// conflict appends a batch that must fail because of the id of the trace with the
// given index.
func (s *subject) conflict(what string, batch []cts.Entry, index int, id string) {
	s.Helper()
	done, err := s.store.Append(background, batch)
	var c *cts.ConflictError
	if !errors.As(err, &c) || !errors.Is(err, cts.ErrIDConflict) {
		s.Errorf("Append of %s: got %+v and the error %v, want a *ConflictError", what, done, err)
		return
	}
	if c.Index != index || c.ID != id {
		s.Errorf("Append of %s: the error names trace %d, id %q, want trace %d, id %q", what, c.Index, c.ID, index, id)
	}
}

// query returns what a query yields and fails the case on an error.
func (s *subject) query(q cts.Query) []stored {
	s.Helper()
	got, err := drain(s.store.Query(background, q))
	if err != nil {
		s.Fatalf("Query after %d traces: %v", len(got), err)
	}
	return got
}

// after returns the log behind pos and fails the case on an error.
func (s *subject) after(pos cts.Position) []stored {
	s.Helper()
	got, err := drain(s.store.After(background, pos))
	if err != nil {
		s.Fatalf("After(%d) after %d traces: %v", pos, len(got), err)
	}
	return got
}

// drain reads an iterator to its end or first error.
func drain(seq iter.Seq2[cts.Entry, error]) ([]stored, error) {
	var all []stored
	for e, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, keep(e))
	}
	return all, nil
}

func keep(e cts.Entry) stored {
	return stored{pos: e.Position, json: string(e.AppendJSON(nil)), cursor: e.Cursor()}
}

// holds fails the case unless the store holds exactly these traces, in this order,
// by both ways of reading it.
func (s *subject) holds(traces ...*cts.Trace) {
	s.Helper()
	want := listed(traces...)
	s.same("After(0)", s.after(0), want)
	all := s.query(cts.Query{Attempts: true})
	if len(all) != len(want) {
		s.Errorf("a query for everything yields %d traces, want %d", len(all), len(want))
	}
	last := cts.Position(0)
	for i, e := range s.after(0) {
		if e.pos <= last || !s.harness.Sparse && e.pos != cts.Position(i)+1 {
			s.Errorf("After(0) yields position %d as number %d, behind position %d", e.pos, i+1, last)
		}
		last = e.pos
	}
}

// same fails the case unless got has exactly the JSON of want, in its order.
func (s *subject) same(what string, got, want []stored) {
	s.Helper()
	if d := difference(got, want); d != "" {
		s.Errorf("%s: %s", what, d)
	}
}

// difference says where two lists differ in JSON first, "" if nowhere.
func difference(got, want []stored) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(want):
			return fmt.Sprintf("yields %d traces, want %d; the first too many is %s", len(got), len(want), got[i])
		case i >= len(got):
			return fmt.Sprintf("yields %d traces, want %d; the first missing is %s", len(got), len(want), want[i])
		case got[i].json != want[i].json:
			return fmt.Sprintf("number %d of %d is %s, want %s", i+1, len(want), got[i], want[i])
		}
	}
	return ""
}

// String shows a trace short enough for a message.
func (e stored) String() string {
	const most = 300
	if len(e.json) > most {
		return fmt.Sprintf("%d: %s… (%d bytes)", e.pos, e.json[:most], len(e.json))
	}
	return fmt.Sprintf("%d: %s", e.pos, e.json)
}

// listed returns the traces as a store would give them back.
func listed(traces ...*cts.Trace) []stored {
	all := make([]stored, len(traces))
	for i, t := range traces {
		all[i] = stored{json: string(t.AppendJSON(nil))}
	}
	return all
}

// expect returns what q yields from a log by the meaning of the words: the traces
// that match, sorted, behind what is skipped, up to the limit.
func (s *subject) expect(q cts.Query, log []stored) []stored {
	s.Helper()
	var want []stored
	var times []int64
	for i := range log {
		t := log[i].parse(s)
		if !q.Match(t) {
			continue
		}
		e := log[i]
		if q.Heads {
			head := *t
			head.Request, head.Response, head.Message = "", "", ""
			e.json = string(head.AppendJSON(nil))
		}
		// Insertion by (time, position); the log ascends in position.
		at := len(want)
		for at > 0 && t.Time < times[at-1] {
			at--
		}
		want = slices.Insert(want, at, e)
		times = slices.Insert(times, at, t.Time)
	}
	if q.Order == cts.Newest {
		slices.Reverse(want)
	}
	want = want[min(q.Skip, len(want)):]
	if q.Limit > 0 && len(want) > q.Limit {
		want = want[:q.Limit]
	}
	return want
}

// parse returns the trace of an entry, which is not to be changed.
func (e *stored) parse(t testing.TB) *cts.Trace {
	t.Helper()
	if e.trace == nil {
		trace, err := cts.ParseTrace([]byte(e.json))
		if err != nil {
			t.Fatalf("position %d: %v", e.pos, err)
		}
		e.trace = trace
	}
	return e.trace
}

// only fails the case unless an iterator yields nothing but one error, and that
// error is want.
func (s *subject) only(what string, want error, seq iter.Seq2[cts.Entry, error]) {
	s.Helper()
	steps := 0
	for e, err := range seq {
		steps++
		switch {
		case err == nil:
			s.Errorf("%s: yields position %d, want the error %v first", what, e.Position, want)
			return
		case !errors.Is(err, want):
			s.Errorf("%s: the error is %v, want %v", what, err, want)
		}
	}
	if steps != 1 {
		s.Errorf("%s: %d steps, want one with the error %v", what, steps, want)
	}
}

// canonical reports whether t and json are one trace.
func canonical(t *cts.Trace, json []byte) bool {
	return t != nil && bytes.Equal(t.AppendJSON(nil), json)
}
