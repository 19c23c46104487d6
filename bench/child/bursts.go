package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
)

// Append runs a burst of durable appends: each goroutine appends a trace, waits for
// its acknowledgement and takes the next.
func (s *Service) Append(a Appending, reply *Appends) error {
	records := s.left // of a burst that ran out of time
	count := int64(a.Traces)
	if a.Again {
		a.Traces = min(a.Traces, manyTraces)
	}
	if missing := a.Traces - len(records); missing > 0 {
		records = append(records, s.fresh(missing)...)
	}
	if len(records) == 0 {
		return errors.New("the workload is used up")
	}
	if !a.Again {
		count = min(count, int64(len(records)))
	}
	times := make([]int64, count)
	collect()
	var next, done atomic.Int64
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	cpu := processCPU()
	begun := time.Now()
	end := begun.Add(a.Time)
	for range a.Goroutines {
		group.Go(func() {
			var copied renewed
			for {
				from := time.Now()
				if from.After(end) || failed.Load() != nil {
					return
				}
				i := next.Add(1) - 1
				if i >= count {
					return
				}
				r := records[i%int64(len(records))]
				if a.Again {
					r = copied.of(r, s.renewed+i)
				}
				if err := s.log.AppendOne(s.ctx, r); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				times[i] = int64(time.Since(from))
				done.Add(1)
			}
		})
	}
	group.Wait()
	reply.Nanos = int64(time.Since(begun))
	reply.CPU = int64(processCPU() - cpu)
	if err := failed.Load(); err != nil {
		return *err
	}
	reply.Traces = int(done.Load())
	if a.Again {
		s.left, s.renewed = records, s.renewed+count
	} else {
		s.left = records[min(next.Load(), count):]
	}
	times = slices.DeleteFunc(times, func(t int64) bool { return t == 0 })
	if len(times) == 0 {
		return errors.New("nothing was appended")
	}
	slices.Sort(times)
	reply.P50, reply.P99 = times[len(times)/2], times[len(times)*99/100]
	return nil
}

// manyTraces is how many traces are gone through again and again: more than fit into the
// caches of a processor, and far less than a long burst appends.
const manyTraces = 50_000

// renewed is a copy of a trace that has another id. It is for one goroutine.
type renewed struct {
	trace cts.Trace
	json  []byte
}

// of returns the trace with an id that ends with a number, in memory that the next call
// uses again.
func (c *renewed) of(r contest.Record, n int64) contest.Record {
	const before = `{"trace_id":"`
	c.trace = *r.Trace
	id := r.Trace.ID
	c.trace.ID = id[:max(0, len(id)-12)] + fmt.Sprintf("%012x", n)
	if len(id) < 12 || !bytes.HasPrefix(r.JSON, []byte(before+id)) {
		c.json = c.trace.AppendJSON(c.json[:0])
	} else {
		c.json = append(c.json[:0], r.JSON...)
		copy(c.json[len(before):], c.trace.ID)
	}
	return contest.Record{Trace: &c.trace, JSON: c.json}
}

// fresh returns n traces that no burst had. When the workload is used up it is gone
// through again, with new ids.
func (s *Service) fresh(n int) []contest.Record {
	records := s.reader.Next(n)
	for i := range records {
		if s.pass > 0 {
			t := records[i].Trace
			t.ID = fmt.Sprintf("%d-%s", s.pass, t.ID[:min(len(t.ID), cts.MaxIDLength-20)])
			records[i].JSON = t.AppendJSON(nil)
		}
	}
	if len(records) < n {
		s.reader = s.source.Reader()
		s.pass++
		if s.source.Count > 0 {
			records = append(records, s.fresh(n-len(records))...)
		}
	}
	return records
}

// Record runs a burst of records and then flushes.
func (s *Service) Record(a Recording, reply *Recorded) error {
	if s.records == nil { // fewer are gone through again and again
		s.records = s.reader.Next(a.Traces)
	}
	if len(s.records) == 0 {
		return errors.New("the workload is used up")
	}
	if s.output != nil { // each burst into an empty file
		if err := errors.Join(s.output.Truncate(0), rewind(s.output)); err != nil {
			return err
		}
	}
	collect()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begun := time.Now()
	err := each(s.records, a, s.recordOne())
	reply.Call = int64(time.Since(begun))
	err = errors.Join(err, s.recorder.Flush(s.ctx))
	reply.Flushed = int64(time.Since(begun))
	runtime.ReadMemStats(&after)
	reply.Allocations = after.Mallocs - before.Mallocs
	return err
}

// textRecorder is a recorder that takes the JSON as it is.
type textRecorder interface {
	RecordText(text []byte) error
}

func (s *Service) recordOne() func(*contest.Record) error {
	if t, ok := s.recorder.(textRecorder); ok {
		return func(r *contest.Record) error { return t.RecordText(r.JSON) }
	}
	return func(r *contest.Record) error { return s.recorder.Record(s.ctx, r.Trace) }
}

func rewind(f *os.File) error {
	_, err := f.Seek(0, 0)
	return err
}

// each calls a function so many times, over the records again and again, in goroutines.
func each(records []contest.Record, a Recording, do func(*contest.Record) error) error {
	if a.Goroutines == 1 {
		for i := range a.Traces {
			if err := do(&records[i%len(records)]); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, a.Goroutines)
	var group sync.WaitGroup
	for g := range a.Goroutines {
		group.Go(func() {
			for i := g; i < a.Traces && errs[g] == nil; i += a.Goroutines {
				errs[g] = do(&records[i%len(records)])
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// preparer is a dumper that needs the traces elsewhere first.
type preparer interface {
	Prepare(ctx context.Context, records []contest.Record) error
}

// sealer is a dumper whose files can be verified later.
type sealer interface {
	Seal(ctx context.Context, dir string) error
	VerifyDump(ctx context.Context, dir string) (traces int64, err error)
}

// Seal dumps what the dumper was prepared with into a new folder, sealed.
func (s *Service) Seal(d Dumping, _ *struct{}) error {
	dumper, ok := s.dumper.(sealer)
	if !ok {
		return fmt.Errorf("%s: %w", s.setup.Name, contest.ErrUnsupported)
	}
	return dumper.Seal(s.ctx, d.Dir)
}

// VerifyDump verifies a folder that Seal has filled.
func (s *Service) VerifyDump(d Dumping, reply *Verified) error {
	dumper, ok := s.dumper.(sealer)
	if !ok {
		return fmt.Errorf("%s: %w", s.setup.Name, contest.ErrUnsupported)
	}
	collect()
	begun := time.Now()
	n, err := dumper.VerifyDump(s.ctx, d.Dir)
	*reply = Verified{Traces: n, Nanos: int64(time.Since(begun))}
	return err
}

// Dump dumps the whole workload into a new folder.
func (s *Service) Dump(d Dumping, reply *Dumped) error {
	if s.records == nil {
		s.records = s.reader.Next(s.source.Count)
		if p, ok := s.dumper.(preparer); ok {
			if err := p.Prepare(s.ctx, s.records); err != nil {
				return fmt.Errorf("preparing: %w", err)
			}
		}
	}
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return err
	}
	collect()
	begun := time.Now()
	n, err := s.dumper.Dump(s.ctx, s.records, d.Dir)
	*reply = Dumped{Traces: len(s.records), Nanos: int64(time.Since(begun)), Bytes: n}
	return err
}
