package main

import (
	"context"

	"github.com/cloudtraceservice/cts/bench/limits"
	"github.com/cloudtraceservice/cts/bench/report"
)

const groupLimits = "limits"

// raw measures what one processor does with the JSON of the traces.
func (b *bench) raw(ctx context.Context, w load) error {
	names := func(m limits.Measure) [3]string {
		return [3]string{m.Name + ", one core", m.Name + ", per trace", m.Name + ", bytes per trace"}
	}
	some := false
	for _, m := range limits.Measures() {
		for _, name := range names(m) {
			some = some || b.wanted(groupLimits, name)
		}
	}
	if !some {
		return nil
	}
	b.say("%s: limits", w.Name)
	records := w.source.Head(min(w.Count, b.rawTraces))
	text := limits.Text(records)
	for _, m := range limits.Measures() {
		rate, nanos, bytes := figures{}, figures{}, figures{}
		if _, err := m.Run(text, len(records)); err != nil { // to get warm
			return err
		}
		for range max(3, b.dumps) {
			got, err := m.Run(text, len(records))
			if err != nil {
				return err
			}
			rate.add(limits.Name, got.Rate)
			if got.Bytes > 0 {
				bytes.add(limits.Name, got.Bytes)
			} else {
				nanos.add(limits.Name, got.Nanos)
			}
		}
		name := names(m)
		b.add(rate.row(report.Row{Group: groupLimits, Name: name[0], Workload: w.Name, Unit: "MB/s", Better: report.Higher, LimitName: m.Name}, ""))
		b.add(nanos.row(report.Row{Group: groupLimits, Name: name[1], Workload: w.Name, Unit: "ns", Better: report.Lower, LimitName: m.Name}, ""))
		b.add(bytes.row(report.Row{Group: groupLimits, Name: name[2], Workload: w.Name, Unit: "B", Better: report.Lower, LimitName: m.Name}, ""))
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
