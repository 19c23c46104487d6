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

// appendBursts are the goroutines, and the most traces that a burst of them appends in about a second.
var appendBursts = []struct{ goroutines, traces int }{{1, 20_000}, {64, 150_000}, {256, 220_000}, {1024, 280_000}}

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
	some := false
	for _, burst := range appendBursts {
		for _, row := range appendRows {
			some = some || b.wanted(groupAppend, row.name+", "+plural(burst.goroutines, "goroutine"))
		}
	}
	if !some {
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
	for _, burst := range appendBursts {
		traces := int(float64(burst.traces) * min(1, 1.5*b.burstTime.Seconds())) // more are not appended in that time
		if err := b.appendBurst(ctx, w, all, burst.goroutines, traces); err != nil {
			return err
		}
	}
	return nil
}

// appendBurst measures appends of so many goroutines.
func (b *bench) appendBurst(ctx context.Context, w load, all []*runner, goroutines, traces int) error {
	results := make([]figures, len(appendRows))
	for i := range results {
		results[i] = figures{}
	}
	for rep := range b.bursts + 1 {
		limit := b.burstTime
		if rep == 0 { // to get warm
			limit = min(limit, 100*time.Millisecond)
		}
		for r := range b.turns(all, rep) {
			got, err := r.p.Append(ctx, child.Appending{Goroutines: goroutines, Traces: traces, Time: limit})
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
			Group: groupAppend, Name: row.name + ", " + plural(goroutines, "goroutine"), Workload: w.Name,
			Unit: row.unit, Better: row.better, LimitName: "bare group commit",
		}, ours.Name))
	}
	return nil
}
