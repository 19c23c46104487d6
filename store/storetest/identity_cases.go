package storetest

import (
	"strings"

	"github.com/cloudtraceservice/cts"
)

// changed returns t with another content under the same id.
func changed(t *cts.Trace) *cts.Trace {
	t = t.Clone()
	t.Message += "changed"
	return t
}

// stamped returns t as another Tracker, or another start of it, would stamp it.
func stamped(t *cts.Trace) *cts.Trace {
	t = t.Clone()
	t.RecordTime += 12_345
	t.Ext.Writer = cts.Writer{ID: "another", Boot: "another"}
	t.Ext.PolicyHash = "another"
	for i := range t.Ext.Cut {
		t.Ext.Cut[i].Hash = "another"
	}
	for i := range t.Ext.Redacted {
		t.Ext.Redacted[i].Hash = "another"
	}
	return t
}

// forgeries are ways to use an id for another trace.
var forgeries = map[string]func(*cts.Trace){
	"time":            func(t *cts.Trace) { t.Time++ },
	"name":            func(t *cts.Trace) { t.Name += "X" },
	"code":            func(t *cts.Trace) { t.Code = "" },
	"user":            func(t *cts.Trace) { t.User.Name = "mallory" },
	"invoked by":      func(t *cts.Trace) { t.User.InvokedBy = []string{"other"} },
	"request":         func(t *cts.Trace) { t.Request += " " },
	"read only":       func(t *cts.Trace) { t.ReadOnly = cts.True },
	"outcome":         func(t *cts.Trace) { t.Ext.Outcome = cts.OutcomeDenied },
	"phase":           func(t *cts.Trace) { t.Ext.Phase = cts.PhaseAttempt },
	"label":           func(t *cts.Trace) { t.Ext.Labels = map[string]string{"env": "test"} },
	"length of a cut": func(t *cts.Trace) { t.Ext.Cut = []cts.Mark{{Field: "c", Length: 2}} },
	"redacted":        func(t *cts.Trace) { t.Ext.Redacted = nil },
	"unknown member":  func(t *cts.Trace) { t.Unknown = `"x":1` },
}

var identityCases = []conformance{
	{
		name: "same-trace-again",
		rule: withSource("A trace whose id is stored already changes nothing and counts as Existing if it is the same trace."),
		why:  "A retry after ErrOutcomeUnknown must be harmless, or nobody dares to retry.",
		run:  sameAgain,
	},
	{
		name: "same-but-for-stamps",
		rule: withSource("It is the same trace if Trace.AppendContent is equal: record_time, writer, policy hash and the hashes of marks don't count."),
		why:  "A retry after a restart is stamped anew. The first record stands.",
		run: func(s *subject) {
			first := rich()
			s.append(first)
			for _, t := range []*cts.Trace{stamped(first), first} {
				for _, e := range []cts.Entry{{Trace: t}, {JSON: t.AppendJSON(nil)}, {Trace: t, JSON: t.AppendJSON(nil)}} {
					if done := s.appendEntries([]cts.Entry{e}); done.Existing != 1 {
						s.Errorf("the same trace, stamped anew, counts %d as existing, want 1", done.Existing)
					}
				}
			}
			other := plain(7)
			if done := s.append(other, stamped(other)); done.Existing != 1 {
				s.Errorf("the same trace twice in a batch, stamped anew, counts %d as existing, want 1", done.Existing)
			}
			s.holds(first, other)
		},
	},
	{
		name: "other-trace-same-id",
		rule: withSource("If it is another trace, the batch fails with a *ConflictError and nothing of it is stored."),
		why:  "Otherwise an id that was used once could hide a later action.",
		run:  conflicts,
	},
	{
		name: "conflict-inside-a-batch",
		rule: withSource("Both hold for the ids retained now, and inside one batch."),
		why:  "A batch is made of what many requests recorded; one of them must not hide another.",
		run: func(s *subject) {
			s.append(plain(0))
			batch := append(plains(1, 6), changed(plain(3)))
			s.conflict("a batch with an id twice", entries(batch...), 5, plainID(3))
			s.sync()
			s.holds(plain(0))
			s.append(plains(1, 6)...)
			s.holds(plains(0, 6)...)
		},
	},
	{
		name: "ids-are-exact",
		rule: withSource("An id is the text that trace_id holds, byte by byte."),
		why:  "Two spellings of a UUID are two ids: taking one for the other would refuse or swallow a record.",
		run: func(s *subject) {
			const id = "0190b6e4-8f3a-7c21-9d5e-6f70a1b2c3d4"
			ids := []string{
				id, strings.ToUpper(id), strings.ReplaceAll(id, "-", ""), "{" + id + "}", "urn:uuid:" + id, id[:35], id + " ", " " + id,
				"0190b6e4-8f3a-7c21-9d5e-6f70a1b2c3dg", strings.ReplaceAll(id, "-", "_"), "0190B6e4-8f3a-7c21-9d5e-6f70a1b2c3d4",
				"1", "01", `"`, `\`, `\"`, "<", "&", "\u00e9", "e\u0301", "\u2028", strings.Repeat("<", cts.MaxIDLength), strings.Repeat("<", cts.MaxIDLength-1),
				"\u0190", "日本語", "a/b", "..", "a%2Fb",
			}
			var traces []*cts.Trace
			for i, id := range ids {
				t := plain(i)
				t.ID = id
				traces = append(traces, t)
			}
			s.append(traces...)
			for _, t := range traces {
				if done, err := s.store.Append(background, []cts.Entry{{JSON: t.AppendJSON(nil)}}); err != nil || done.Existing != 1 {
					s.Errorf("the id %q again: %+v, %v, want one existing", t.ID, done, err)
				}
				if got := s.query(cts.Query{}.Where(cts.Eq(cts.FieldTraceID, t.ID))); len(got) != 1 {
					s.Errorf("the id %q is found %d times, want once", t.ID, len(got))
				}
			}
			s.holds(traces...)
		},
	},
	{
		name: "retry-after-reopen",
		rule: withSource("A trace whose id is stored already changes nothing; another trace with it is a *ConflictError. Both hold for the ids retained now."),
		why:  "Most retries follow a restart.",
		run: func(s *subject) {
			corpus := append([]*cts.Trace{rich()}, Traces(5, 80)...)
			s.append(corpus...)
			s.reopen()
			if done := s.append(corpus...); done.Existing != len(corpus) {
				s.Errorf("after reopening, %d of %d traces are found by their ids", done.Existing, len(corpus))
			}
			s.append(stamped(corpus[0]))
			s.conflict("another trace with an id, after reopening", entries(plain(99), changed(corpus[40])), 1, corpus[40].ID)
			s.sync()
			s.holds(corpus...)
		},
	},
}

func sameAgain(s *subject) {
	corpus := append(curious(), Traces(3, 40)...)
	first := s.append(corpus...)
	check := func(what string, got, want cts.Appended) {
		s.Helper()
		if got != want {
			s.Errorf("%s: Append returns %+v, want %+v", what, got, want)
		}
	}
	again := first
	again.Existing = len(corpus)
	check("all again", s.append(corpus...), again)
	log := s.after(0)
	check("one again", s.append(corpus[7]), cts.Appended{First: log[7].pos, Last: log[7].pos, Existing: 1})
	check("some again, backwards", s.append(corpus[9], corpus[4], corpus[6]), cts.Appended{First: log[4].pos, Last: log[9].pos, Existing: 3})

	fresh := plain(1000)
	done := s.append(corpus[3], fresh, corpus[2], fresh)
	if done.First != log[2].pos || done.Last <= first.Last || done.Existing != 3 {
		s.Errorf("a new trace twice among old ones: Append returns %+v, want First %d, Last above %d, 3 existing", done, log[2].pos, first.Last)
	}
	s.holds(append(corpus, fresh)...)
}

func conflicts(s *subject) {
	genuine := rich()
	s.append(plain(8), genuine, plain(9))
	for what, forge := range forgeries {
		forged := genuine.Clone()
		forge(forged)
		for form, e := range map[string]cts.Entry{"Trace": {Trace: forged}, "JSON": {JSON: forged.AppendJSON(nil)}} {
			batch := append(entries(plain(10), plain(8)), e)
			batch = append(batch, entries(plain(11))...)
			s.conflict("another "+what+" as "+form, batch, 2, genuine.ID)
		}
	}
	s.sync()
	s.holds(plain(8), genuine, plain(9))
}
