package storetest

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/cloudtraceservice/cts"
)

var statisticsCases = []conformance{
	{
		name: "statistics",
		rule: withSource("Statistics tells how many traces there are, at which positions and times; its parts are in order and add up."),
		why:  "Somebody has to know what is kept before deciding what need not be.",
		run: func(s *subject) {
			s.tells(nil)
			corpus := append(Traces(91, 60), curious()...)
			for n := 0; n < len(corpus); n += 17 {
				s.append(corpus[n:min(n+17, len(corpus))]...)
				s.tells(s.after(0))
				if n%34 == 0 {
					s.seal()
					s.tells(s.after(0))
				}
			}
			if s.harness.Reopen != nil {
				s.reopen()
				s.tells(s.after(0))
			}
		},
	},
	{
		name: "statistics-after-retention",
		rule: withSource("Statistics tells of what is retained."),
		why:  "What was erased is not to be counted as evidence.",
		run: func(s *subject) {
			r := s.retainer()
			s.units(4)
			whole := s.after(0)
			s.tells(whole)
			s.retained(s.retain(r, cts.Retention{Before: base + 20}), whole, 20)
			s.tells(whole[20:])
			s.retain(r, cts.Retention{Before: base + 1000})
			s.tells(nil)
		},
	},
}

// tells compares the statistics of the store with its log.
func (s *subject) tells(log []stored) {
	s.Helper()
	able, ok := s.store.(cts.Statistician)
	if !ok {
		s.Skip("the store does not tell what it holds")
	}
	ended, cancel := context.WithCancel(background)
	cancel()
	if _, err := able.Statistics(ended); !errors.Is(err, context.Canceled) {
		s.Errorf("Statistics in a context that has ended: %v", err)
	}
	got, err := able.Statistics(background)
	if err != nil {
		s.Fatalf("Statistics: %v", err)
	}
	var times cts.TimeRange
	for i := range log {
		t := log[i].parse(s)
		times.Extend(int64(i), cts.TimeRange{Oldest: t.Time, Newest: t.Time, OldestRecord: t.RecordTime, NewestRecord: t.RecordTime})
	}
	first, last := cts.Position(0), cts.Position(0)
	if len(log) > 0 {
		first, last = log[0].pos, log[len(log)-1].pos
	}
	if got.Traces != int64(len(log)) || got.First != first || got.Last != last || got.Times != times || got.Lost != 0 ||
		(got.Bytes > 0) != (len(log) > 0) {
		s.Errorf("Statistics: %d traces from %d to %d, %d bytes, %d lost, %+v, want %d from %d to %d, %+v",
			got.Traces, got.First, got.Last, got.Bytes, got.Lost, got.Times, len(log), first, last, times)
	}
	s.addsUp(got)
}

// addsUp compares the parts of statistics with the whole.
func (s *subject) addsUp(got cts.StoreStatistics) {
	s.Helper()
	ordered := slices.IsSortedFunc(got.Parts, func(a, b cts.StorePart) int { return cmp.Compare(a.First, b.First) })
	for i, p := range got.Parts {
		ordered = ordered && p.First <= p.Last && (i == 0 || got.Parts[i-1].Last < p.First) && p.Name != "" &&
			p.Traces > 0 && p.Traces <= int64(p.Last-p.First)+1
		for field, n := range p.Values {
			if n < 1 || n > p.Traces {
				s.Errorf("Statistics: part %s has %d different values of %s in %d traces", p.Name, n, field, p.Traces)
			}
		}
	}
	if !ordered {
		s.Errorf("Statistics: the parts are not in order: %+v", got.Parts)
	}
	whole := cts.NewStatistics(slices.Clone(got.Parts), got.Lost)
	whole.Parts, got.Parts = nil, nil
	if whole.Traces != got.Traces || whole.Bytes != got.Bytes || whole.First != got.First || whole.Last != got.Last || whole.Times != got.Times {
		s.Errorf("Statistics: the parts add up to %+v, the whole is %+v", whole, got)
	}
}
