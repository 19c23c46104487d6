package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/cloudtraceservice/cts"
)

// plain returns a small valid trace with the number n in its id and time.
func plain(n int) *cts.Trace {
	return &cts.Trace{
		ID: plainID(n), Time: base + int64(n), RecordTime: base + int64(n),
		Name: "createServer", Type: cts.TypeAPI, Rating: cts.RatingNormal, ServiceType: "ECS", ResourceType: "ecs",
		SourceIP: "192.0.2.1", User: cts.User{ID: "u-1", Name: "alice"}, Code: "200",
	}
}

func plainID(n int) string { return fmt.Sprintf("0190763c-0000-7000-8000-%012x", n) }

// plains returns the plain traces from, from+1, … to-1.
func plains(from, to int) []*cts.Trace {
	var traces []*cts.Trace
	for n := from; n < to; n++ {
		traces = append(traces, plain(n))
	}
	return traces
}

// sized returns the plain trace n with exactly size bytes of JSON.
func sized(n, size int) *cts.Trace {
	t := plain(n)
	t.Request = "-"
	t.Request = strings.Repeat("x", size-len(t.AppendJSON(nil))+1)
	return t
}

// curious returns traces whose JSON is easily changed on the way.
func curious() []*cts.Trace {
	traces := plains(0, len(oddities))
	for i, t := range traces {
		t.ResourceName, t.Message, t.Request = oddities[i], oddities[i], `{"v":"`+oddities[i]+`"}`
		t.Ext.Labels = map[string]string{oddities[i]: oddities[i], "b": "", "a": "1"}
	}
	replaced := plain(100)
	replaced.UserAgent, replaced.SourceIP = "was not UTF-8: \ufffd", "::ffff:192.0.2.9"
	unknown := plain(101)
	unknown.Unknown = `"tracker_type":"system","n":1.50e+3,"deep":{"b":[null,true,"\u003c"],"a":{}}`
	unknown.User.Unknown = `"extra":[]`
	unknown.User.Domain.Unknown = `"region":"x"`
	foreign := plain(102)
	foreign.Ext = cts.Ext{Foreign: `{"v":99,"other":"\u0026"}`}
	idOfMarkup := plain(103)
	idOfMarkup.ID = `<id>&"quoted"\é` + "\u2028"
	bare := &cts.Trace{ID: plainID(104), Time: cts.MinTime, RecordTime: cts.MaxTime, Name: "x"}
	return append(traces, replaced, unknown, foreign, idOfMarkup, bare)
}

var appendCases = []conformance{
	{
		name: "empty-store",
		rule: withSource("A new store holds nothing: Query and After yield nothing, and no error."),
		why:  "What a store makes up at its beginning would be taken for a record.",
		run: func(s *subject) {
			s.holds()
			s.same("oldest first", s.query(cts.Query{}.OldestFirst().Limited(10)), nil)
		},
	},
	{
		name: "round-trip",
		rule: withSource("On the way in, Trace or JSON is set, or both; on the way out, Trace by Query and JSON by After; all that is set, and Entry.AppendJSON, are the trace."),
		why:  "Trace files and proofs are made of these bytes: one that changes makes a true record look forged.",
		run:  roundTrip,
	},
	{
		name: "positions",
		rule: withSource("The first trace has 1. Positions are assigned when a batch is committed, in the order of its traces."),
		why:  "Checkpoints are positions; a position out of order is a trace that the Dumper passes over.",
		run:  positions,
	},
	{
		name: "position-is-ignored",
		rule: withSource("On the way in, Position is ignored."),
		why:  "A caller who copies entries from one store into another must not disturb its numbering.",
		run: func(s *subject) {
			batch := entries(plains(0, 3)...)
			for i := range batch {
				batch[i].Position = cts.Position(1000 - i)
			}
			s.appendEntries(batch)
			s.holds(plains(0, 3)...)
		},
	},
	{
		name: "empty-batch",
		rule: withSource("An empty batch does nothing."),
		why:  "A caller with nothing to store needs no special case.",
		run: func(s *subject) {
			s.append(plains(0, 2)...)
			for _, batch := range [][]cts.Entry{nil, {}} {
				if done := s.appendEntries(batch); done != (cts.Appended{}) {
					s.Errorf("Append of nothing returns %+v, want the zero Appended", done)
				}
			}
			s.append(plain(2))
			s.holds(plains(0, 3)...)
		},
	},
	{
		name: "memory-not-kept",
		rule: withSource("Append does not keep the caller's memory after it returned."),
		why:  "The Tracker uses its buffers again: a store that kept them would change its own records.",
		run:  memoryNotKept,
	},
	{
		name: "memory-not-changed",
		rule: withSource("Append never changes the caller's memory."),
		why:  "Callers share traces between goroutines and stores; a write would be a race and a false record elsewhere.",
		run:  memoryNotChanged,
	},
	{
		name: "answers-are-the-callers",
		rule: withSource("What Entry.Clone, Entry.Decode, Collect and ReadPage return is the caller's own."),
		why:  "A caller may change its copy, and keep it while the iterator goes on.",
		run:  answersAreTheCallers,
	},
	{
		name: "cancelled",
		rule: withSource("A context that ends before the batch is admitted stores nothing, and the error is the context's."),
		why:  "The caller was told that nothing happened, and will not look for the record.",
		run:  cancelled,
	},
}

func roundTrip(s *subject) {
	corpus := append(curious(), Traces(11, 300)...)
	for i, t := range corpus {
		e := cts.Entry{Trace: t, JSON: t.AppendJSON(nil)}
		switch i % 3 {
		case 0:
			e.JSON = nil
		case 1:
			e.Trace = nil
		}
		s.appendEntries([]cts.Entry{e})
	}
	s.holds(corpus...)
	n := 0
	for e, err := range s.store.Query(background, cts.Query{Attempts: true}) {
		switch {
		case err != nil:
			s.Fatalf("Query: %v", err)
		case e.Trace == nil:
			s.Errorf("position %d: Query yields no Trace", e.Position)
		case !canonical(e.Trace, e.AppendJSON(nil)):
			s.Errorf("position %d: Query yields a Trace that is not its JSON", e.Position)
		case e.Position == 0:
			s.Error("Query yields position 0")
		}
		n++
	}
	if n != len(corpus) {
		s.Errorf("Query yields %d traces, want %d", n, len(corpus))
	}
	for e, err := range s.store.After(background, 0) {
		if err != nil || e.JSON == nil || e.Trace != nil && !canonical(e.Trace, e.JSON) {
			s.Errorf("position %d: After yields no JSON, a Trace that is not its JSON, or the error %v", e.Position, err)
		}
		if e.Route != nil {
			t, err := e.Decode()
			if err != nil || *e.Route != (cts.Route{TrackerName: t.TrackerName, ServiceType: t.ServiceType, RecordTime: t.RecordTime}) {
				s.Errorf("position %d: After yields the Route %+v, which is not that of the JSON %s, %v", e.Position, *e.Route, e.JSON, err)
			}
		}
	}
	invalid := plain(105)
	invalid.UserAgent = "not UTF-8: \xff\xfe"
	s.appendEntries([]cts.Entry{{Trace: invalid}})
	s.holds(append(corpus, invalid)...)
}

func positions(s *subject) {
	n, last := 0, cts.Position(0)
	for _, size := range []int{1, 3, 2, 7, 1} {
		done := s.append(plains(n, n+size)...)
		if done.First <= last || done.Last < done.First+cts.Position(size)-1 {
			s.Errorf("Append of %d traces behind position %d returns positions %d to %d", size, last, done.First, done.Last)
		}
		if !s.harness.Sparse && (done.First != last+1 || done.Last != last+cts.Position(size)) {
			s.Errorf("Append of %d traces returns positions %d to %d, want %d to %d", size, done.First, done.Last, last+1, last+cts.Position(size))
		}
		if done.Existing != 0 {
			s.Errorf("Append of new traces says that %d were there already", done.Existing)
		}
		got := s.after(last)
		s.same("After the batch before", got, listed(plains(n, n+size)...))
		if len(got) > 0 && (got[0].pos != done.First || got[len(got)-1].pos != done.Last) {
			s.Errorf("After yields positions %d to %d, Append returned %d to %d", got[0].pos, got[len(got)-1].pos, done.First, done.Last)
		}
		n, last = n+size, done.Last
	}
	s.holds(plains(0, n)...)
	byID := map[string]cts.Position{}
	for _, e := range s.after(0) {
		byID[e.parse(s).ID] = e.pos
	}
	for _, e := range s.query(cts.Query{}) {
		if id := e.parse(s).ID; byID[id] != e.pos {
			s.Errorf("trace %s has position %d in Query and %d in After", id, e.pos, byID[id])
		}
	}
}

// rich returns a trace with a value in everything that a copy might share.
func rich() *cts.Trace {
	t := plain(1)
	t.Request, t.User.InvokedBy = `{"a":1}`, []string{"service.CBR", "service.ECS"}
	t.Ext = cts.Ext{
		ForwardedFor: []string{"192.0.2.7"}, Labels: map[string]string{"env": "prod"},
		Authorization: []cts.Authorization{{Permission: "p", Granted: true}},
		Resources:     []cts.Resource{{ID: "r"}}, Changes: []cts.Change{{Field: "f", New: "n"}},
		Cut: []cts.Mark{{Field: "c", Length: 1}}, Redacted: []cts.Mark{{Field: "r", Hash: "h"}},
	}
	return t
}

// spoil writes over everything that a trace and its JSON point to.
func spoil(t *cts.Trace, json []byte) {
	for i := range json {
		json[i] = '#'
	}
	if t == nil {
		return
	}
	for i := range t.User.InvokedBy {
		t.User.InvokedBy[i] = "#"
	}
	for i := range t.Ext.ForwardedFor {
		t.Ext.ForwardedFor[i] = "#"
	}
	for i := range t.Ext.Authorization {
		t.Ext.Authorization[i] = cts.Authorization{Permission: "#"}
	}
	for i := range t.Ext.Resources {
		t.Ext.Resources[i] = cts.Resource{ID: "#"}
	}
	for i := range t.Ext.Changes {
		t.Ext.Changes[i] = cts.Change{Field: "#"}
	}
	for i := range t.Ext.Cut {
		t.Ext.Cut[i] = cts.Mark{Field: "#"}
	}
	for i := range t.Ext.Redacted {
		t.Ext.Redacted[i] = cts.Mark{Field: "#"}
	}
	if t.Ext.Labels != nil {
		t.Ext.Labels["#"] = "#"
	}
	t.ID, t.Name, t.Request, t.Time = "#", "#", "#", 1
}

func memoryNotKept(s *subject) {
	var want []*cts.Trace
	for i := range 9 {
		t := rich()
		t.ID, t.Time = plainID(i), base+int64(i)
		want = append(want, t.Clone())
		e := cts.Entry{Trace: t, JSON: t.AppendJSON(nil)}
		switch i % 3 {
		case 0:
			e.JSON = nil
		case 1:
			e.Trace = nil
		}
		batch := []cts.Entry{e}
		s.appendEntries(batch)
		spoil(e.Trace, e.JSON)
		batch[0] = cts.Entry{}
	}
	s.holds(want...)
	s.same("oldest first", s.query(cts.Query{}.OldestFirst()), listed(want...))
	if done := s.append(want...); done.Existing != len(want) {
		s.Errorf("of %d traces stored before, %d are found again by their ids", len(want), done.Existing)
	}
}

func memoryNotChanged(s *subject) {
	s.append(plain(0))
	batches := map[string][]*cts.Trace{
		"a batch that is stored":  {rich(), plain(2), plain(0)},
		"a batch that is refused": {plain(3), changed(plain(0))},
	}
	for what, traces := range batches {
		batch := entries(traces...)
		before := make([]*cts.Trace, len(batch))
		text := make([]string, len(batch))
		for i := range batch {
			before[i] = batch[i].Trace.Clone()
			// Room behind the JSON is the caller's too.
			batch[i].JSON = append(batch[i].JSON, "behind it"...)[:len(batch[i].JSON)]
			text[i] = string(batch[i].JSON) + "behind it"
		}
		want := append([]cts.Entry(nil), batch...)
		_, _ = s.store.Append(background, batch)
		for i := range batch {
			whole := batch[i].JSON[:len(text[i])]
			if !reflect.DeepEqual(batch[i], want[i]) || !reflect.DeepEqual(batch[i].Trace, before[i]) || string(whole) != text[i] {
				s.Errorf("%s: entry %d was changed", what, i)
			}
		}
	}
}

func answersAreTheCallers(s *subject) {
	want := []*cts.Trace{rich(), plain(2), plain(3)}
	s.append(want...)
	q := cts.Query{}.OldestFirst()
	var kept []cts.Entry
	var decoded []*cts.Trace
	for e, err := range s.store.Query(background, q) {
		if err != nil {
			s.Fatalf("Query: %v", err)
		}
		t, err := e.Decode()
		if err != nil {
			s.Fatalf("Decode: %v", err)
		}
		kept, decoded = append(kept, e.Clone()), append(decoded, t)
	}
	if len(kept) != len(want) {
		s.Fatalf("Query yields %d traces, want %d", len(kept), len(want))
	}
	for i, w := range listed(want...) {
		text := []byte(w.json)
		if string(kept[i].AppendJSON(nil)) != w.json || !canonical(kept[i].Trace, text) || !canonical(decoded[i], text) {
			s.Errorf("trace %d was changed in the caller's hands by a later step", i)
		}
		spoil(kept[i].Trace, kept[i].JSON)
		spoil(decoded[i], nil)
	}
	collected, err := cts.Collect(s.store.After(background, 0))
	if err != nil {
		s.Errorf("Collect: %v", err)
	}
	page, err := cts.ReadPage(background, s.store, q)
	if err != nil {
		s.Errorf("ReadPage: %v", err)
	}
	for _, t := range append(collected, page.Traces...) {
		spoil(t, nil)
	}
	s.holds(want...)
	s.same("oldest first", s.query(q), listed(want...))
}

func cancelled(s *subject) {
	s.append(plain(0))
	ctx, cancel := context.WithCancel(background)
	cancel()
	late, cancelLate := context.WithDeadline(background, time.Unix(0, 0))
	defer cancelLate()
	for _, c := range []context.Context{ctx, late} {
		done, err := s.store.Append(c, entries(plains(1, 3)...))
		if err == nil || done != (cts.Appended{}) {
			s.Errorf("Append with a context that has ended: %+v and the error %v", done, err)
		} else if want := c.Err(); !errors.Is(err, want) {
			s.Errorf("Append with a context that has ended: the error is %v, want %v", err, want)
		}
	}
	s.sync()
	s.holds(plain(0))
	s.append(plains(1, 3)...)
	s.holds(plains(0, 3)...)
}
