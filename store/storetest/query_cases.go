package storetest

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"strings"

	"github.com/cloudtraceservice/cts"
)

// crowd returns traces of which many share a millisecond and many come late: the
// times go up and down while the positions go up.
func crowd(n int) []*cts.Trace {
	offsets := []int64{0, 0, 5, 5, -3, 5, 0, 9, -40, 9, 9, 2, 1000, 0, -40, 9, 500}
	traces := plains(0, n)
	for i, t := range traces {
		t.Time = base + offsets[i%len(offsets)] + int64(i/len(offsets))*2
		t.RecordTime = base + 2000 - int64(i)*7
		t.ResourceID = []string{"a", "b", "c"}[i%3]
	}
	return traces
}

var queryCases = []conformance{
	{
		name: "order",
		rule: withSource("Both orders are total: by time, and traces of one millisecond by their position."),
		why:  "Pages are cut anywhere in this order; where it is loose, they lose or repeat traces.",
		run: func(s *subject) {
			// In several batches and read in between, so that late ones meet an order that exists.
			traces := crowd(80)
			for from := 0; from < len(traces); from += 16 {
				s.append(traces[from : from+16]...)
				for _, order := range []cts.Order{cts.Newest, cts.Oldest} {
					q := cts.Query{Order: order}
					s.same([]string{"newest first", "oldest first"}[order], s.query(q), s.expect(q, s.after(0)))
				}
			}
		},
	},
	{
		name: "limit",
		rule: withSource("Query yields at most Limit traces; 0 is no limit."),
		why:  "Lists ask for the few they show.",
		run: func(s *subject) {
			s.append(crowd(20)...)
			log := s.after(0)
			for _, n := range []int{0, 1, 2, 19, 20, 21, 1 << 30} {
				for _, q := range []cts.Query{{}, {Order: cts.Oldest}, cts.Query{}.Where(cts.Eq(cts.FieldResourceID, "b"))} {
					q = q.Limited(n)
					s.same("with a limit", s.query(q), s.expect(q, log))
				}
			}
		},
	},
	{
		name: "skip",
		rule: withSource("Skip passes over the first traces behind the cursor; they do not count towards the limit, and Resume takes it back."),
		why:  "Some interfaces count pages; what they pass over must be exactly what came before.",
		run: func(s *subject) {
			s.append(crowd(20)...)
			log := s.after(0)
			for _, n := range []int{0, 1, 2, 19, 20, 21, 1 << 30} {
				for _, q := range []cts.Query{{}, {Order: cts.Oldest}, {Limit: 3}, {Heads: true, Limit: 1}, cts.Query{}.Where(cts.Eq(cts.FieldResourceID, "b"))} {
					all := s.query(q.Skipped(n))
					s.same("with a skip", all, s.expect(q.Skipped(n), log))
					if len(all) > 0 {
						resumed := q.Skipped(n).Resume(all[0].cursor)
						s.same("resumed behind a skip", s.query(resumed), s.expect(q.Skipped(n+1), log))
						s.same("resumed with another skip", s.query(resumed.Skipped(2)), s.expect(q.Skipped(n+3), log))
					}
				}
			}
		},
	},
	{
		name: "leave-early",
		rule: withSource("The iterator may be left at any step."),
		why:  "Whoever found what he looked for stops; nothing may leak or stay locked.",
		run:  leaveEarly,
	},
	{
		name: "run-twice",
		rule: withSource("The iterator may be run more than once; each run sees every trace whose Append returned before Query was called."),
		why:  "An iterator is a value, not a position.",
		run: func(s *subject) {
			s.append(crowd(20)...)
			query, after := s.store.Query(background, cts.Query{}), s.store.After(background, 4)
			for range 3 {
				for what, seq := range map[string]iter.Seq2[cts.Entry, error]{"Query": query, "After": after} {
					got, err := drain(seq)
					if err != nil {
						s.Fatalf("%s: %v", what, err)
					}
					want := s.query(cts.Query{})
					if what == "After" {
						want = s.after(4)
					}
					s.same(what+" run again", got, want)
				}
			}
		},
	},
	{
		name: "nothing-after-the-first-step",
		rule: withSource("Query sees none that was appended after the first step, and appends go on while it yields."),
		why:  "A list that grows while it is read may never end; a lock that is held while it is read stops the service.",
		run:  firstStep,
	},
	{
		name: "heads",
		rule: withSource("HeadsOnly leaves out request, response and message, and nothing else; conditions on them hold all the same."),
		why:  "Lists need no bodies; but a search in bodies may be shown as a list.",
		run:  heads,
	},
	{
		name: "attempts",
		rule: withSource("The zero Query accepts every trace but attempts; WithAttempts or a condition on FieldPhase accepts them."),
		why:  "An operation with attempt and outcome would be counted twice.",
		run: func(s *subject) {
			s.append(attempts()...)
			log := s.after(0)
			for what, q := range map[string]cts.Query{
				"the zero query":     {},
				"with attempts":      cts.Query{}.WithAttempts(),
				"phase is attempt":   cts.Query{}.Where(cts.Eq(cts.FieldPhase, "attempt")),
				"phase is not that":  cts.Query{}.Where(cts.Not(cts.Eq(cts.FieldPhase, "attempt"))),
				"phase, nested":      cts.Query{}.Where(cts.Or(cts.Present(cts.FieldPhase), cts.Eq(cts.FieldCode, "200"))),
				"attempt id":         cts.Query{}.Where(cts.Present(cts.FieldAttemptID)),
				"outcome is pending": cts.Query{}.Where(cts.Eq(cts.FieldOutcome, "pending")),
			} {
				s.same(what, s.query(q), s.expect(q, log))
			}
			if n := len(s.query(cts.Query{})); n != 6 {
				s.Errorf("the zero query yields %d traces, want 6 of 10: attempts are left out", n)
			}
		},
	},
	{
		name: "open-attempts",
		rule: withSource("OpenAttempts yields the attempts that have no outcome, newest first."),
		why:  "It is how an operator sees what runs right now, and how a restart finds what was cut off.",
		run:  openAttempts,
	},
	{
		name: "time-range",
		rule: withSource("The time range is [From, To), on time or on record_time; 0 leaves a side open."),
		why:  "Two ranges side by side, as reports use them, must have every trace in exactly one of them.",
		run: func(s *subject) {
			s.append(crowd(60)...)
			log := s.after(0)
			bounds := []int64{0, base - 41, base - 40, base - 39, base, base + 1, base + 5, base + 6, base + 1000, base + 1994, base + 2000, base + 2001}
			for _, from := range bounds {
				for _, to := range bounds {
					if from != 0 && to != 0 && from > to {
						continue
					}
					for _, q := range []cts.Query{{From: from, To: to}, {From: from, To: to, ByRecordTime: true, Order: cts.Oldest}, {From: from, To: to, Order: cts.Oldest, Limit: 5}} {
						s.same("a time range", s.query(q), s.expect(q, log))
					}
				}
			}
		},
	},
	{
		name: "bad-query",
		rule: withSource("ErrBadQuery comes as the first step."),
		why:  "An empty answer to a wrong question would be taken for 'nothing happened'.",
		run: func(s *subject) {
			s.append(crowd(5)...)
			deep := cts.Eq(cts.FieldCode, "200")
			for range 100 {
				deep = cts.Not(deep)
			}
			for what, q := range map[string]cts.Query{
				"a negative limit":        {Limit: -1},
				"a negative skip":         {Skip: -1},
				"two words":               cts.Query{}.Where(cts.Word(cts.FieldMessage, "a-b")),
				"no word":                 cts.Query{}.Where(cts.Word(cts.FieldMessage, "")),
				"an end before the begin": {From: base + 1, To: base},
				"an unknown order":        {Order: 7},
				"an unknown operation":    {Condition: cts.Condition{Op: 200, Field: cts.FieldCode}},
				"an unknown field":        cts.Query{}.Where(cts.Eq("resource", "x")),
				"an unknown field inside": cts.Query{}.Where(cts.Or(cts.Eq(cts.FieldCode, "200"), cts.Not(cts.Present("nope")))),
				"a label without a name":  cts.Query{}.Where(cts.Present(cts.Label(""))),
				"a number in no number":   cts.Query{}.Where(cts.Less(cts.FieldUser, 3)),
				"a network in no address": cts.Query{}.Where(cts.Within(cts.FieldUser, netip.MustParsePrefix("10.0.0.0/8"))),
				"an invalid network":      cts.Query{}.Where(cts.Within(cts.FieldSourceIP, netip.Prefix{})),
				"Not of nothing":          {Condition: cts.Condition{Op: cts.OpNot}},
				"endless nesting":         {Condition: deep},
			} {
				s.only(what, cts.ErrBadQuery, s.store.Query(background, q))
			}
		},
	},
	{
		name: "query-context",
		rule: withSource("The iterator stops with the context's error when the context ends."),
		why:  "A search that nobody waits for any more must not go on through years of traces.",
		run:  contextEnds,
	},
}

func leaveEarly(s *subject) {
	s.append(crowd(20)...)
	for steps := range 21 {
		for what, seq := range map[string]iter.Seq2[cts.Entry, error]{
			"Query": s.store.Query(background, cts.Query{}), "After": s.store.After(background, 0),
		} {
			n := 0
			for _, err := range seq {
				if err != nil {
					s.Fatalf("%s: %v", what, err)
				}
				if n++; n > steps {
					break
				}
			}
			if n != min(steps+1, 20) {
				s.Errorf("%s, left after %d steps, made %d", what, steps+1, n)
			}
		}
	}
	next, stop := iter.Pull2(s.store.Query(background, cts.Query{}))
	if _, err, ok := next(); !ok || err != nil {
		s.Errorf("the first step: %v", err)
	}
	stop()
	s.append(plain(1000))
	if n := len(s.query(cts.Query{})); n != 21 {
		s.Errorf("after iterators were left, a query yields %d traces, want 21", n)
	}
}

func firstStep(s *subject) {
	s.append(crowd(30)...)
	for _, order := range []cts.Order{cts.Newest, cts.Oldest} {
		q := cts.Query{Order: order}
		want := s.query(q)
		var got []stored
		for e, err := range s.store.Query(background, q) {
			if err != nil {
				s.Fatalf("Query: %v", err)
			}
			got = append(got, keep(e))
			// Before, among and behind what is still to come.
			n := 1000*(1+int(order)) + 10*len(got)
			fresh := plains(n, n+3)
			fresh[0].Time, fresh[1].Time, fresh[2].Time = base-int64(len(got)), base+5, base+5000+int64(len(got))
			s.append(fresh...)
			if len(got) > 200 {
				s.Fatalf("after %d steps over what were %d traces, there is no end", len(got), len(want))
			}
		}
		s.same("while traces were appended", got, want)
		if n := len(s.query(q)); n != len(want)+3*len(want) {
			s.Errorf("the next query yields %d traces, want %d", n, 4*len(want))
		}
	}
}

func heads(s *subject) {
	corpus := append(Traces(31, 80), curious()...)
	s.append(corpus...)
	log := s.after(0)
	for what, q := range map[string]cts.Query{
		"heads":                        {},
		"heads oldest first":           {Order: cts.Oldest, Limit: 30},
		"heads, condition on request":  cts.Query{}.Where(cts.Contains(cts.FieldRequest, "flavor")),
		"heads, condition on response": cts.Query{}.Where(cts.Present(cts.FieldResponse)),
		"heads, condition on message":  cts.Query{}.Where(cts.Present(cts.FieldMessage)),
	} {
		want := s.expect(q.HeadsOnly(), log)
		if len(want) == 0 {
			s.Fatalf("%s: the corpus has no match", what)
		}
		s.same(what, s.query(q.HeadsOnly()), want)
		for e, err := range s.store.Query(background, q.HeadsOnly()) {
			if err != nil || !canonical(e.Trace, e.AppendJSON(nil)) {
				s.Errorf("%s: position %d: the Trace is not its JSON (error %v)", what, e.Position, err)
			}
		}
	}
	s.same("the log, after heads were read", s.after(0), listed(corpus...))
}

// attempts returns ten traces: four attempts, of which the second and the last are
// open, two outcomes, and four without a phase.
func attempts() []*cts.Trace {
	traces := plains(0, 10)
	for _, i := range []int{1, 3, 6, 8} {
		traces[i].Ext.Phase, traces[i].Ext.Outcome, traces[i].Code = cts.PhaseAttempt, cts.OutcomePending, ""
	}
	for outcome, attempt := range map[int]int{4: 1, 7: 6} {
		traces[outcome].Ext.Phase, traces[outcome].Ext.AttemptID = cts.PhaseOutcome, traces[attempt].ID
	}
	traces[8].ResourceID = "last"
	traces[7].Time = traces[6].Time // in the same millisecond
	return traces
}

func openAttempts(s *subject) {
	traces := attempts()
	s.append(traces...)
	for what, c := range map[string]struct {
		q    cts.Query
		want []*cts.Trace
	}{
		"all":           {cts.Query{}, []*cts.Trace{traces[8], traces[3]}},
		"one":           {cts.Query{Limit: 1}, []*cts.Trace{traces[8]}},
		"with a filter": {cts.Query{}.Where(cts.Absent(cts.FieldResourceID)), []*cts.Trace{traces[3]}},
		"in a range":    {cts.Query{From: base, To: base + 7}, []*cts.Trace{traces[3]}},
		"none":          {cts.Query{From: base + 9}, nil},
	} {
		got, err := drain(cts.OpenAttempts(background, s.store, c.q))
		if err != nil {
			s.Errorf("%s: %v", what, err)
		}
		s.same("open attempts, "+what, got, listed(c.want...))
	}
	s.only("open attempts behind a cursor", cts.ErrBadCursor, cts.OpenAttempts(background, s.store, cts.Query{Cursor: "x"}))
}

func contextEnds(s *subject) {
	traces := plains(0, 2000)
	for from := 0; from < len(traces); from += 500 {
		s.append(traces[from : from+500]...)
	}
	ended, cancel := context.WithCancel(background)
	cancel()
	s.only("Query with a context that has ended", context.Canceled, s.store.Query(ended, cts.Query{}))
	s.only("After with a context that has ended", context.Canceled, s.store.After(ended, 0))
	none := cts.Query{}.Where(cts.Contains(cts.FieldRequest, strings.Repeat("x", 10)))
	s.only("a query without a match, with a context that has ended", context.Canceled, s.store.Query(ended, none))

	for what, run := range map[string]func(context.Context) iter.Seq2[cts.Entry, error]{
		"Query": func(ctx context.Context) iter.Seq2[cts.Entry, error] { return s.store.Query(ctx, cts.Query{}) },
		"After": func(ctx context.Context) iter.Seq2[cts.Entry, error] { return s.store.After(ctx, 0) },
	} {
		ctx, cancel := context.WithCancel(background)
		n := 0
		var last error
		for _, err := range run(ctx) {
			n, last = n+1, err
			cancel()
		}
		cancel()
		if !errors.Is(last, context.Canceled) || n > len(traces)/2 {
			s.Errorf("%s, cancelled in its first step, makes %d steps over %d traces and ends with the error %v", what, n, len(traces), last)
		}
	}
}
