package main

import (
	"context"
	"errors"
	"time"

	"github.com/cloudtraceservice/cts/bench/child"
	"github.com/cloudtraceservice/cts/bench/ours"
	"github.com/cloudtraceservice/cts/bench/report"
)

const groupAppend = "durable append"

// appendBurst is a kind of bursts: the goroutines, the most traces that they append in about
// a second, and whether it is long enough that a store must do what it puts off, too.
type appendBurst struct {
	goroutines, traces int
	long               bool
}

var appendBursts = []appendBurst{{1, 20_000, false}, {64, 150_000, false}, {256, 220_000, false}, {1024, 280_000, false}, {64, 250_000, true}}

// name is the name of its rows.
func (a appendBurst) name() string {
	if a.long {
		return plural(a.goroutines, "goroutine") + ", long bursts"
	}
	return plural(a.goroutines, "goroutine")
}

// appendRows are the rows of one number of goroutines.
var appendRows = []struct {
	name, unit string
	better     report.Better
	value      func(child.Appends) float64
}{
	{"throughput", "traces/s", report.Higher, func(a child.Appends) float64 { return float64(a.Traces) / (float64(a.Nanos) / 1e9) }},
	{"acknowledged after, p50", "µs", report.Lower, func(a child.Appends) float64 { return float64(a.P50) / 1e3 }},
	{"acknowledged after, p99", "µs", report.Lower, func(a child.Appends) float64 { return float64(a.P99) / 1e3 }},
	{"processor time per trace", "µs", report.Lower, func(a child.Appends) float64 { return float64(a.CPU) / 1e3 / float64(a.Traces) }},
}

// appending measures durable appends.
func (b *bench) appending(ctx context.Context, w load) (err error) {
	var chosen []appendBurst
	for _, burst := range appendBursts {
		for _, row := range appendRows {
			if b.wanted(groupAppend, row.name+", "+burst.name()) {
				chosen = append(chosen, burst)
				break
			}
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	b.say("durable appends")
	var all []*runner
	defer func() { err = errors.Join(err, b.stop(all...)) }()
	endless := w.Workload // no burst is to run out of traces
	endless.Count = 50_000_000
	for _, d := range b.all.Durables {
		if !b.chosen(d.Name) {
			continue
		}
		r, err := b.start(ctx, child.RoleDurable, d.Name, endless, false)
		if err != nil {
			return err
		}
		if r != nil {
			all = append(all, r)
		}
	}
	for _, burst := range chosen {
		if err := b.appendBurst(ctx, w, all, burst); err != nil {
			return err
		}
	}
	return nil
}

// appendBurst measures bursts of one kind.
func (b *bench) appendBurst(ctx context.Context, w load, all []*runner, burst appendBurst) error {
	bursts, length := b.bursts, b.burstTime
	traces := int(float64(burst.traces) * min(1, 1.5*length.Seconds())) // more are not appended in that time
	if burst.long {
		bursts, length = b.longBursts, b.longTime
		traces = int(float64(burst.traces) * length.Seconds())
	}
	results := make([]figures, len(appendRows))
	for i := range results {
		results[i] = figures{}
	}
	for rep := range bursts + 1 {
		limit := length
		if rep == 0 { // to get warm
			limit = min(limit, 100*time.Millisecond)
		}
		for r := range b.turns(all, rep) {
			got, err := r.p.Append(ctx, child.Appending{Goroutines: burst.goroutines, Traces: traces, Time: limit, Again: burst.long})
			if err != nil {
				b.failed(ctx, r, "appending", err)
				continue
			}
			if rep == 0 {
				continue
			}
			for i, row := range appendRows {
				results[i].add(r.name, row.value(got))
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	for i, row := range appendRows {
		b.add(results[i].row(report.Row{
			Group: groupAppend, Name: row.name + ", " + burst.name(), Workload: w.Name,
			Unit: row.unit, Better: row.better, LimitName: "bare group commit",
		}, ours.Name))
	}
	return nil
}
