package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/cloudtraceservice/cts/bench/child"
	"github.com/cloudtraceservice/cts/bench/limits"
	"github.com/cloudtraceservice/cts/bench/report"
)

const (
	groupRecord = "record"
	groupAllocs = "allocations of a record"
)

// burstRecords is small enough for the default queue of the Tracker.
const burstRecords = 8000

var recordGoroutines = []int{1, 64}

// recordVariant is one way of ours and what it is compared with.
type recordVariant struct {
	ours   string
	label  string
	output bool // the peers write to a file
	flush  bool // the time with flush is a row too
}

var recordVariants = []recordVariant{
	{oursFile, "to a file, redaction off", true, true},
	{oursFileRedacted, "to a file, redaction on", true, true},
	{oursMemory, "to memory, redaction off", false, false},
	{oursMemoryRedacted, "to memory, redaction on", false, false},
}

func recordName(what string, v recordVariant, goroutines int) string {
	if what == recordAllocs {
		return plural(goroutines, "goroutine") + ", " + v.label
	}
	return fmt.Sprintf("%s, %s, %s", what, plural(goroutines, "goroutine"), v.label)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// The rows of recording.
const (
	recordCall   = "call"
	recordFlush  = "call and flush"
	recordAllocs = "allocations"
)

// recording measures what an application waits for when it records.
func (b *bench) recording(ctx context.Context, w load) (err error) {
	some := false
	for _, v := range recordVariants {
		for _, g := range recordGoroutines {
			for what, group := range map[string]string{recordCall: groupRecord, recordFlush: groupRecord, recordAllocs: groupAllocs} {
				some = some || b.wanted(group, recordName(what, v, g))
			}
		}
	}
	if !some {
		return nil
	}
	b.say("recording")
	for _, output := range []bool{true, false} {
		if err := b.recordTo(ctx, w, output); err != nil {
			return err
		}
	}
	return nil
}

// recordTo measures recording to files, or to memory.
func (b *bench) recordTo(ctx context.Context, w load, output bool) (err error) {
	var all []*runner
	defer func() { err = errors.Join(err, b.stop(all...)) }()
	for _, r := range b.all.Recorders {
		if !b.chosen(r.Name) || isOurs(r.Name) && !ofVariant(r.Name, output) {
			continue
		}
		one, err := b.start(ctx, child.RoleRecorder, r.Name, w.Workload, output && !isOurs(r.Name) && r.Name != limits.Name)
		if err != nil {
			return err
		}
		if one != nil {
			all = append(all, one)
		}
	}
	for _, g := range recordGoroutines {
		call, flush, allocs := figures{}, figures{}, figures{}
		for i := range b.recordings + 1 {
			for r := range b.turns(all, i) {
				got, err := r.p.Record(ctx, child.Recording{Goroutines: g, Traces: burstRecords})
				if err != nil {
					b.failed(ctx, r, "recording", err)
					continue
				}
				if i == 0 {
					continue // to get warm
				}
				call.add(r.name, float64(got.Call)/burstRecords)
				flush.add(r.name, float64(got.Flushed)/burstRecords)
				allocs.add(r.name, float64(got.Allocations)/burstRecords)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		for _, v := range recordVariants {
			if v.output != output {
				continue
			}
			row := report.Row{Group: groupRecord, Workload: w.Name, Unit: "ns", Better: report.Lower}
			row.Name, row.LimitName = recordName(recordCall, v, g), "memcpy"
			b.add(call.row(row, v.ours))
			if v.flush {
				row.Name = recordName(recordFlush, v, g)
				b.add(flush.row(row, v.ours))
				row.Group, row.Name, row.Unit, row.LimitName = groupAllocs, recordName(recordAllocs, v, g), "", ""
				delete(allocs, limits.Name)
				b.add(allocs.row(row, v.ours))
			}
		}
	}
	return nil
}

func ofVariant(name string, output bool) bool {
	for _, v := range recordVariants {
		if v.ours == name {
			return v.output == output
		}
	}
	return false
}
