package storetest

import (
	"math"

	"github.com/cloudtraceservice/cts"
)

var logCases = []conformance{
	{
		name: "after-every-position",
		rule: withSource("After yields every trace behind pos once, in order of position."),
		why:  "A consumer begins wherever its checkpoint stands.",
		run: func(s *subject) {
			corpus := crowd(50) // times out of order, positions in order
			for from := 0; from < len(corpus); from += 5 {
				s.append(corpus[from : from+5]...)
			}
			all := s.after(0)
			s.same("After(0)", all, listed(corpus...))
			for i, e := range all {
				got := s.after(e.pos)
				s.same("After", got, all[i+1:])
				for k := range got {
					if got[k].pos != all[i+1+k].pos {
						s.Errorf("After(%d) yields position %d for a trace at position %d", e.pos, got[k].pos, all[i+1+k].pos)
					}
				}
			}
		},
	},
	{
		name: "after-the-end",
		rule: withSource("A pos behind the last trace yields nothing."),
		why:  "A consumer that has read everything asks again and again.",
		run: func(s *subject) {
			for range 2 {
				last := cts.Position(0)
				if all := s.after(0); len(all) > 0 {
					last = all[len(all)-1].pos
				}
				for _, pos := range []cts.Position{last, last + 1, last + 1000, math.MaxInt64, math.MaxUint64 - 1, math.MaxUint64} {
					if got := s.after(pos); len(got) != 0 {
						s.Errorf("After(%d) yields %d traces behind the last position %d", pos, len(got), last)
					}
				}
				s.append(plains(0, 5)...)
			}
		},
	},
	{
		name: "after-shows-all-phases",
		rule: withSource("After yields every trace, attempts and all."),
		why:  "The log is what is dumped and proved: what a list hides must be in it.",
		run: func(s *subject) {
			s.append(attempts()...)
			s.holds(attempts()...)
		},
	},
	{
		name: "log-after-reopen",
		rule: withSource("Positions never move: the log is the same after the store was closed and opened again."),
		why:  "A checkpoint made before a restart is used behind it.",
		run: func(s *subject) {
			corpus := Traces(61, 120)
			for from := 0; from < len(corpus); from += 20 {
				s.append(corpus[from : from+20]...)
				before := s.after(0)
				s.reopen()
				after := s.after(0)
				s.same("the log after reopening", after, before)
				for i := range min(len(before), len(after)) {
					if before[i].pos != after[i].pos {
						s.Errorf("the trace at position %d is at %d after reopening", before[i].pos, after[i].pos)
					}
				}
			}
			s.holds(corpus...)
			for what, q := range map[string]cts.Query{"newest first": {}, "a condition": cts.Query{}.Where(cts.Eq(cts.FieldServiceType, "ECS"))} {
				s.same(what+" after reopening", s.query(q), s.expect(q, s.after(0)))
			}
		},
	},
	{
		name: "positions-are-not-used-again",
		rule: withSource("A position that After has shown is never given to another trace."),
		why:  "A consumer is past it: the trace that got it would never be dumped.",
		run: func(s *subject) {
			last := cts.Position(0)
			for n := range 6 {
				done := s.append(plains(n*10, n*10+3)...)
				if done.First <= last {
					s.Errorf("a new batch begins at position %d, %d was used before", done.First, last)
				}
				last = done.Last
				// A batch that is refused may cost positions, or none, but not these.
				s.refuse("a conflict", cts.ErrIDConflict, entries(plain(n*10+5), changed(plain(n*10))))
				s.reopen()
			}
			s.reopen()
			if log := s.after(0); len(log) != 18 || log[17].pos != last {
				s.Errorf("the log has %d traces, want 18 with the last at position %d", len(log), last)
			}
		},
	},
}
