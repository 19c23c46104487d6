package storetest

import (
	"slices"
	"strings"

	"github.com/cloudtraceservice/cts"
)

var invalidCases = []conformance{
	{
		name: "invalid-trace",
		rule: withSource("A trace that Trace.Validate refuses, or an entry without one, is ErrInvalidTrace; the batch is all of it or nothing."),
		why:  "A record without id, time or name can be neither found nor proved, and would stop whoever reads the log.",
		run:  invalidTraces,
	},
	{
		name: "trace-too-large",
		rule: withSource("Traces are at most MaxTraceBytes; over that it is ErrTooLarge."),
		why:  "What is stored over the limit can't be parsed any more.",
		run: func(s *subject) {
			largest := sized(1, cts.MaxTraceBytes)
			s.append(largest)
			over := sized(2, cts.MaxTraceBytes+1)
			json := over.AppendJSON(nil)
			for what, e := range map[string]cts.Entry{
				"Trace": {Trace: over}, "JSON": {JSON: json}, "Trace and JSON": {Trace: over, JSON: json},
			} {
				batch := append(entries(plain(3)), e)
				s.refuse("a trace that is one byte too large, as "+what, cts.ErrTooLarge, append(batch, entries(plain(4))...))
			}
			s.sync()
			s.holds(largest)
			s.same("oldest first", s.query(cts.Query{}.OldestFirst()), listed(largest))
		},
	},
	{
		name: "batch-too-large",
		rule: withSource("A batch is at most MaxBatchBytes of JSON; over that it is ErrTooLarge, and nothing of it is stored."),
		why:  "A batch has to fit into the memory and the log of every store, or it would be stored in part.",
		run: func(s *subject) {
			const each = cts.MaxBatchBytes / 32
			var full []*cts.Trace
			for n := range 32 {
				full = append(full, sized(n, each))
			}
			over := slices.Clone(full)
			over[31] = sized(31, each+1)
			s.refuse("a batch that is one byte too large", cts.ErrTooLarge, entries(over...))
			s.sync()
			s.holds()
			s.append(full...)
			s.holds(full...)
		},
	},
	{
		name: "refused-batch-leaves-no-mark",
		rule: withSource("Append stores one batch: all of it or nothing."),
		why:  "The caller sends the rest of a refused batch again: its ids must be free, and the numbering without a hole.",
		run: func(s *subject) {
			s.append(plain(0))
			nameless := plain(9)
			nameless.Name = ""
			for what, last := range map[string]*cts.Trace{"conflict": changed(plain(0)), "invalid": nameless, "large": sized(9, cts.MaxTraceBytes+1)} {
				if _, err := s.store.Append(background, entries(append(plains(1, 5), last)...)); err == nil {
					s.Fatalf("%s: the batch was stored", what)
				}
			}
			s.sync()
			s.holds(plain(0))
			if done := s.append(plains(1, 5)...); done.Existing != 0 {
				s.Errorf("%d traces of the refused batches count as existing", done.Existing)
			}
			s.holds(plains(0, 5)...)
		},
	},
}

func invalidTraces(s *subject) {
	s.append(plain(0))
	broken := map[string]func(*cts.Trace){
		"no id":                     func(t *cts.Trace) { t.ID = "" },
		"an id too long":            func(t *cts.Trace) { t.ID = strings.Repeat("i", cts.MaxIDLength+1) },
		"a control character":       func(t *cts.Trace) { t.ID = "a\nb" },
		"no time":                   func(t *cts.Trace) { t.Time = 0 },
		"a time before the range":   func(t *cts.Trace) { t.Time = cts.MinTime - 1 },
		"a time behind the range":   func(t *cts.Trace) { t.Time = cts.MaxTime + 1 },
		"no record_time":            func(t *cts.Trace) { t.RecordTime = 0 },
		"a record_time in seconds":  func(t *cts.Trace) { t.RecordTime /= 1000 },
		"a negative time":           func(t *cts.Trace) { t.Time = -t.Time },
		"an id of control and more": func(t *cts.Trace) { t.ID = plainID(1)[:35] + "\x7f" },
	}
	for what, breakIt := range broken {
		t := plain(1)
		breakIt(t)
		s.refuse("a Trace with "+what, cts.ErrInvalidTrace, append(entries(plain(2)), cts.Entry{Trace: t}))
		s.refuse("JSON with "+what, cts.ErrInvalidTrace, append(entries(plain(2)), cts.Entry{JSON: t.AppendJSON(nil)}))
	}
	nameless := plain(1)
	nameless.Name = ""
	s.refuse("a Trace without a name", cts.ErrInvalidTrace, append(entries(plain(2)), cts.Entry{Trace: nameless}))
	s.refuse("an entry with neither Trace nor JSON", cts.ErrInvalidTrace, append(entries(plain(2)), cts.Entry{}))
	for _, json := range []string{
		`{}`, `null`, `[]`, `x`, `{"trace_id":`, `{"trace_id":7,"time":1720000000000,"record_time":1720000000000}`,
		`{"time":1720000000000,"record_time":1720000000000,"trace_id":"a"}`,
		`{"trace_id":"0190763c-0000-7000-8000-000000000001","time":"1720000000000","record_time":1720000000000}`,
		`{"trace_id":"0190763c-0000-7000-8000-000000000001"`, `{"trace_id":"0190763c-0000-7000-8000-000000000001","time":1720000000000`,
		`{"trace_id":"0190763c-0000-7000-8000-000000000001","time":99999999999999999999,"record_time":1720000000000}`,
	} {
		s.refuse("JSON that begins like no trace: "+json, cts.ErrInvalidTrace, append(entries(plain(2)), cts.Entry{JSON: []byte(json)}))
	}
	s.sync()
	s.holds(plain(0))
}
