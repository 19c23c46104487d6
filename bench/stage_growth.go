package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cloudtraceservice/cts/bench/child"
	"github.com/cloudtraceservice/cts/bench/ours"
	"github.com/cloudtraceservice/cts/bench/questions"
	"github.com/cloudtraceservice/cts/bench/report"
	"github.com/cloudtraceservice/cts/bench/workload"
)

const (
	groupGrowth = "growth"
	trailName   = workload.TrailName
	growthTimes = 10
)

// growthRows are the rows about growth besides the questions.
const (
	growthOpen   = "open and answer"
	growthMemory = "anonymous memory, opened"
)

func growthName(row string) string {
	return fmt.Sprintf("%s: at %d times the traces, to at n", row, growthTimes)
}

// growth measures how much longer ours takes for what should not take longer, with ten
// times the traces.
func (b *bench) growth(ctx context.Context, w load) error {
	some := false
	for _, name := range append([]string{growthOpen, growthMemory}, questionRows...) {
		some = some || b.wanted(groupGrowth, growthName(name))
	}
	if !some || len(w.Files) > 0 {
		return nil
	}
	w.Count = min(w.Count, b.growthFrom)
	small, err := b.grown(ctx, w, 1)
	if err != nil || small == nil {
		return err
	}
	large, err := b.grown(ctx, w, growthTimes)
	if err != nil || large == nil {
		return err
	}
	one := 1.0
	for _, name := range small.names {
		if _, ok := large.values[name]; !ok {
			continue
		}
		row := report.Row{
			Group: groupGrowth, Name: growthName(name), Workload: w.Name, Unit: "×", Better: report.Lower, Limit: &one, LimitName: "no growth",
			Note: fmt.Sprintf("from %s to %s", report.Figure(small.values[name], small.unit(name)), report.Figure(large.values[name], small.unit(name))),
		}
		times := large.values[name] / small.values[name]
		row.Ours = &times
		row.Spreads = map[string]float64{}
		for _, s := range []map[string]float64{small.spreads, large.spreads} {
			if v, ok := s[name]; ok {
				row.Spreads[""] = max(row.Spreads[""], v)
			}
		}
		b.add(&row)
	}
	return nil
}

// size is what was measured at one number of traces.
type size struct {
	names   []string
	values  map[string]float64
	spreads map[string]float64
}

func (s *size) unit(name string) string {
	switch name {
	case growthOpen:
		return "ms"
	case growthMemory:
		return "MiB"
	}
	return "µs"
}

func (s *size) put(name string, values []float64) {
	s.names = append(s.names, name)
	s.values[name] = report.Median(values)
	if v, ok := report.Spread(values); ok {
		s.spreads[name] = v
	}
}

// grown loads ours with so many times the traces and measures; nil if it failed.
func (b *bench) grown(ctx context.Context, w load, times int) (s *size, err error) {
	more := w.Workload
	more.Count *= times
	src, err := more.Source()
	if err != nil {
		return nil, err
	}
	b.say("growth: %d traces", more.Count)
	r, err := b.start(ctx, child.RoleDatabase, ours.Name, more, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.stop(r)) }()
	if _, err := r.p.Load(ctx); err != nil {
		b.failed(ctx, r, "loading for growth", err)
		return nil, ctx.Err()
	}
	if err := r.p.Close(); err != nil {
		return nil, err
	}
	child.Settle()
	setup := child.Setup{Role: child.RoleDatabase, Name: ours.Name, Dir: r.dir, Workload: more}
	if r.p, err = child.Start(ctx, setup, b.patience); err != nil {
		return nil, err
	}
	sample, err := questions.Draw(src, b.seed, nil)
	if err != nil {
		return nil, err
	}
	return b.growthFigures(ctx, r, sample)
}

// growthFigures measures what should not grow.
func (b *bench) growthFigures(ctx context.Context, r *runner, sample *questions.Sample) (*size, error) {
	s := &size{values: map[string]float64{}, spreads: map[string]float64{}}
	m, err := r.p.Memory(ctx)
	if err != nil {
		b.failed(ctx, r, "measuring memory", err)
		return nil, ctx.Err()
	}
	if m.Now > 0 {
		s.put(growthMemory, []float64{max(0.1, float64(m.Now-m.Before)/(1<<20))})
	}
	var opened []float64
	for range b.opens {
		got, err := r.p.Reopen(ctx)
		if err != nil {
			b.failed(ctx, r, "opening again", err)
			return nil, ctx.Err()
		}
		opened = append(opened, float64(got.Nanos)/1e6)
	}
	s.put(growthOpen, opened)
	for _, row := range sample.Rows() {
		if !row.Growth || !b.wanted(groupGrowth, growthName(row.Name)) {
			continue
		}
		got, err := b.askRow(ctx, row, []*runner{r})
		if err != nil {
			return nil, err
		}
		a := got[r.name]
		if a == nil {
			continue
		}
		s.names = append(s.names, row.Name)
		s.values[row.Name] = report.Median(slices.Concat(a.rounds...)) / 1e3
		if v := answerRow(got, "", row.Name, "", 0.5).Spreads; len(v) > 0 {
			s.spreads[row.Name] = v[""]
		}
	}
	return s, nil
}
