package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/cloudtraceservice/cts/bench/child"
	"github.com/cloudtraceservice/cts/bench/contest/plain"
	"github.com/cloudtraceservice/cts/bench/limits"
	"github.com/cloudtraceservice/cts/bench/ours"
	"github.com/cloudtraceservice/cts/bench/questions"
	"github.com/cloudtraceservice/cts/bench/report"
)

// Groups of the rows about databases.
const (
	groupStore  = "store"
	groupVerify = "dump and verify"
)

// Rows about databases.
const (
	rowLoad        = "bulk load in batches of 1,000"
	rowDisk        = "bytes per trace on disk"
	rowOpen        = "open and answer"
	rowMemoryOpen  = "anonymous memory, opened"
	rowMemoryAsked = "anonymous memory, after all questions"
	rowVerify      = "verify"
	rowBucket      = "verify a sealed bucket"
)

// Traces up to which all answers are compared with the plain loop too, and of which the
// limits of verifying and of the size are taken.
const (
	plainTraces  = 100_000
	limitTraces  = 200_000
	columnTraces = 100_000
)

// databases loads all databases and asks them.
func (b *bench) databases(ctx context.Context, w load) (err error) {
	asked := false
	for _, name := range questionRows {
		for _, p := range percentiles {
			asked = asked || b.wanted(p.group, name)
		}
	}
	store := false
	for _, name := range []string{rowLoad, rowDisk, rowOpen, rowMemoryOpen, rowMemoryAsked} {
		store = store || b.wanted(groupStore, name)
	}
	if !asked && !store && !b.wanted(groupVerify, rowVerify) {
		return nil
	}
	b.say("%s: drawing questions", w.Name)
	facts, err := b.study(w)
	if err != nil {
		return err
	}
	all, err := b.loadAll(ctx, w, facts)
	defer func() { err = errors.Join(err, b.stop(all...)) }()
	if err != nil {
		return err
	}
	if err := b.openAll(ctx, w, all); err != nil {
		return err
	}
	if asked {
		if err := b.ask(ctx, w, all, facts); err != nil {
			return err
		}
	}
	b.memory(ctx, w, all, rowMemoryAsked, func(m child.Memory) int64 { return m.Now - m.Before })
	return b.verify(ctx, w, all, facts)
}

// facts are what is known about a workload from reading it once.
type facts struct {
	sample  *questions.Sample
	records plain.Ordered // all traces of a small one

	smallest float64 // bytes per trace
	zipped   limits.Compressed
	sized    int // traces in zipped
}

// study reads the workload once.
func (b *bench) study(w load) (*facts, error) {
	f := &facts{}
	var records []record
	var columns limits.Columns
	var err error
	f.sample, err = questions.Draw(w.source, b.seed, func(chunk []record) error {
		if w.Count <= plainTraces {
			records = append(records, chunk...)
		}
		if f.sized >= limitTraces {
			return nil
		}
		f.sized += len(chunk)
		if f.sized <= columnTraces {
			columns.Add(chunk)
		}
		return f.zipped.Add(chunk)
	})
	if err != nil {
		return nil, err
	}
	f.smallest, err = columns.PerTrace()
	f.records = plain.Newest(records)
	return f, err
}

// loadAll loads the databases one after the other.
func (b *bench) loadAll(ctx context.Context, w load, f *facts) ([]*runner, error) {
	var all []*runner
	rate, disk := figures{}, figures{}
	for _, d := range b.all.Databases {
		if !b.chosen(d.Name) {
			continue
		}
		r, err := b.start(ctx, child.RoleDatabase, d.Name, w.Workload, false)
		if err != nil {
			return all, err
		}
		if r == nil {
			continue
		}
		got, err := r.p.Load(ctx)
		if err == nil {
			err = r.p.Close()
		}
		r.p = nil
		if err != nil {
			b.failed(ctx, r, "loading", err)
			if err := os.RemoveAll(r.dir); err != nil {
				return all, err
			}
			continue
		}
		child.Settle()
		bytes, err := child.DiskUsage(r.dir)
		if err != nil {
			return all, err
		}
		perSecond := float64(got.Traces) / (float64(got.Nanos) / 1e9)
		rate.add(r.name, perSecond)
		if r.name == limits.Name {
			if err := os.RemoveAll(r.dir); err != nil {
				return all, err
			}
			continue
		}
		disk.add(r.name, float64(bytes)/float64(got.Traces))
		b.say("%s: %s loaded: %s, %s per trace", w.Name, r.name, report.Figure(perSecond, "traces/s"), report.Figure(float64(bytes)/float64(got.Traces), "B"))
		all = append(all, r)
	}
	b.add(rate.row(report.Row{Group: groupStore, Name: rowLoad, Workload: w.Name, Unit: "traces/s", Better: report.Higher, LimitName: "write"}, ours.Name))
	disk.add(limits.Name, f.smallest)
	b.add(disk.row(report.Row{Group: groupStore, Name: rowDisk, Workload: w.Name, Unit: "B", Better: report.Lower, LimitName: "zstd of columns"}, ours.Name))
	return all, ctx.Err()
}

// openAll opens what was loaded in new processes, and measures that.
func (b *bench) openAll(ctx context.Context, w load, all []*runner) error {
	opened := figures{}
	for _, r := range all {
		setup := child.Setup{Role: child.RoleDatabase, Name: r.name, Dir: r.dir, Workload: w.Workload}
		p, err := child.Start(ctx, setup, b.patience)
		if err != nil {
			b.failed(ctx, r, "opening", err)
			continue
		}
		r.p = p
	}
	b.memory(ctx, w, all, rowMemoryOpen, func(m child.Memory) int64 { return m.Now - m.Before })
	if !b.wanted(groupStore, rowOpen) {
		return ctx.Err()
	}
	for i := range b.opens {
		for r := range b.turns(all, i) {
			got, err := r.p.Reopen(ctx)
			if err != nil {
				b.failed(ctx, r, "opening again", err)
				continue
			}
			opened.add(r.name, float64(got.Nanos)/1e6)
		}
	}
	b.add(opened.row(report.Row{Group: groupStore, Name: rowOpen, Workload: w.Name, Unit: "ms", Better: report.Lower}, ours.Name))
	return ctx.Err()
}

// memory adds a row about memory.
func (b *bench) memory(ctx context.Context, w load, all []*runner, name string, of func(child.Memory) int64) {
	if !b.wanted(groupStore, name) {
		return
	}
	used := figures{}
	for _, r := range all {
		if r.down {
			continue
		}
		m, err := r.p.Memory(ctx)
		switch {
		case err != nil:
			b.failed(ctx, r, "measuring memory", err)
		case m.Now > 0: // it can be known here
			used.add(r.name, max(0.1, float64(of(m))/(1<<20)))
		}
	}
	b.add(used.row(report.Row{Group: groupStore, Name: name, Workload: w.Name, Unit: "MiB", Better: report.Lower}, ours.Name))
}

// verify lets ours check itself.
func (b *bench) verify(ctx context.Context, w load, all []*runner, f *facts) error {
	i := slices.IndexFunc(all, func(r *runner) bool { return r.name == ours.Name && !r.down })
	if i < 0 || !b.wanted(groupVerify, rowVerify) {
		return nil
	}
	rate := figures{}
	for range b.dumps {
		got, err := all[i].p.Verify(ctx)
		if err != nil {
			b.failed(ctx, all[i], "verifying", err)
			return nil
		}
		if got.Traces != int64(w.Count) {
			b.report.Fail("ours verified %d of %d traces", got.Traces, w.Count)
		}
		rate.add(ours.Name, float64(got.Traces)/(float64(got.Nanos)/1e9))
		took, err := f.zipped.Unzip()
		if err != nil {
			return err
		}
		rate.add(limits.Name, float64(f.sized)/took.Seconds())
	}
	b.add(rate.row(report.Row{Group: groupVerify, Name: rowVerify, Workload: w.Name, Unit: "traces/s", Better: report.Higher, LimitName: "gunzip and SHA-256"}, ours.Name))
	return nil
}

// dumping measures dumps.
func (b *bench) dumping(ctx context.Context, w load) (err error) {
	const rowRate, rowSize = "dump", "dump, bytes per trace"
	if !b.wanted(groupVerify, rowRate) && !b.wanted(groupVerify, rowSize) && !b.wanted(groupVerify, rowBucket) {
		return nil
	}
	b.say("%s: dumping", w.Name)
	var all []*runner
	defer func() { err = errors.Join(err, b.stop(all...)) }()
	part := w.Workload
	if len(part.Files) == 0 {
		part.Count = min(w.Count, b.dumpTraces)
	}
	for _, d := range b.all.Dumpers {
		if !b.chosen(d.Name) {
			continue
		}
		r, err := b.start(ctx, child.RoleDumper, d.Name, part, false)
		if err != nil {
			return err
		}
		if r != nil {
			all = append(all, r)
		}
	}
	rate, size := figures{}, figures{}
	for i := range b.dumps {
		for r := range b.turns(all, i) {
			dir, err := b.folder("dump")
			if err != nil {
				return err
			}
			got, err := r.p.Dump(ctx, child.Dumping{Dir: dir})
			if err != nil {
				b.failed(ctx, r, "dumping", err)
				continue
			}
			rate.add(r.name, float64(got.Traces)/(float64(got.Nanos)/1e9))
			size.add(r.name, float64(got.Bytes)/float64(got.Traces))
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	row := report.Row{Group: groupVerify, Name: rowRate, Workload: w.Name, Unit: "traces/s", Better: report.Higher, LimitName: "gzip -6"}
	b.add(rate.row(row, ours.Name))
	row.Name, row.Unit, row.Better = rowSize, "B", report.Lower
	b.add(size.row(row, ours.Name))
	return b.verifyBucket(ctx, part, all)
}

// verifyBucket lets ours verify a bucket that it has sealed.
func (b *bench) verifyBucket(ctx context.Context, w child.Workload, all []*runner) error {
	i := slices.IndexFunc(all, func(r *runner) bool { return r.name == ours.Name && !r.down })
	if i < 0 || !b.wanted(groupVerify, rowBucket) {
		return nil
	}
	dir, err := b.folder("sealed")
	if err != nil {
		return err
	}
	d := child.Dumping{Dir: dir}
	if err := all[i].p.Seal(ctx, d); err != nil {
		b.failed(ctx, all[i], "sealing", err)
		return nil
	}
	rate := figures{}
	for range b.dumps {
		got, err := all[i].p.VerifyDump(ctx, d)
		if err != nil {
			b.failed(ctx, all[i], "verifying a bucket", err)
			return nil
		}
		rate.add(ours.Name, float64(got.Traces)/(float64(got.Nanos)/1e9))
		took, err := limits.UnzipFiles(dir)
		if err != nil {
			return err
		}
		rate.add(limits.Name, float64(got.Traces)/took.Seconds())
	}
	b.add(rate.row(report.Row{
		Group: groupVerify, Name: rowBucket, Workload: w.Name, Unit: "traces/s", Better: report.Higher,
		LimitName: "gunzip and SHA-256 of the files",
	}, ours.Name))
	return os.RemoveAll(dir)
}

// again measures loading when traces are offered more than once, which ours must notice.
func (b *bench) again(ctx context.Context, w load) (err error) {
	const name, share = "bulk load, a quarter offered again", 0.25
	if !b.wanted(groupStore, name) || w.Name != trailName {
		return nil
	}
	b.say("%s: loading with duplicates", w.Name)
	part := w.Workload
	part.Count, part.Duplicates = min(w.Count, b.dumpTraces), share
	r, err := b.start(ctx, child.RoleDatabase, ours.Name, part, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop(r)) }()
	begun := time.Now()
	got, err := r.p.Load(ctx)
	if err != nil {
		b.failed(ctx, r, name, err)
		return ctx.Err()
	}
	checked, err := r.p.Verify(ctx)
	if err != nil || checked.Traces != int64(part.Count) {
		b.report.Fail("ours has %d traces after %d different ones were offered, some more than once: %v", checked.Traces, part.Count, err)
	}
	b.say("%s: %d offered, %d kept, %s", w.Name, got.Traces, checked.Traces, time.Since(begun).Round(time.Millisecond))
	rate := figures{ours.Name: {float64(got.Traces) / (float64(got.Nanos) / 1e9)}}
	b.add(rate.row(report.Row{
		Group: groupStore, Name: name, Workload: w.Name, Unit: "traces/s", Better: report.Higher,
		Note: fmt.Sprintf("%d different traces", part.Count),
	}, ours.Name))
	return nil
}
