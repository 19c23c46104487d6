package workload

import (
	"fmt"
	"iter"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
)

// The names of the workloads that are made.
const (
	UniformName = "uniform"
	TrailName   = "trail"
)

// Source is a workload of a certain size. It is a plain value that may be copied and
// iterated any number of times, by several goroutines at a time.
type Source struct {
	Name  string   // uniform, trail, or what [Files] was given
	Count int      // the different traces in it
	Words []string // words that are rare in requests: about 20 in a million traces have each
	Parts []string // texts that are as rare, and stand only inside of longer words

	traces func() maker
}

// maker writes the next trace into t, which is zero, and reports false at the end.
type maker func(t *cts.Trace) bool

// New returns a workload that is made: [UniformName] or [TrailName].
func New(name string, seed uint64, count int) (*Source, error) {
	if count < 1 {
		return nil, fmt.Errorf("workload %s: %d traces", name, count)
	}
	switch name {
	case UniformName:
		return Uniform(seed, count), nil
	case TrailName:
		return Trail(seed, count, 0), nil
	}
	return nil, fmt.Errorf("workload %q does not exist; there are %s and %s", name, UniformName, TrailName)
}

// Chunks yields all traces in their order, in slices of size and one shorter at the
// end. A chunk's memory is its own and not used again.
func (s *Source) Chunks(size int) iter.Seq[[]contest.Record] {
	return func(yield func([]contest.Record) bool) {
		next := s.traces()
		for {
			chunk := fill(next, size)
			if len(chunk) == 0 || !yield(chunk) || len(chunk) < size {
				return
			}
		}
	}
}

// Reader takes the traces of a source bit by bit.
type Reader struct {
	next maker
}

// Reader returns one that begins at the first trace.
func (s *Source) Reader() *Reader { return &Reader{next: s.traces()} }

// Next returns the next n traces, fewer at the end. Their memory is their own.
func (r *Reader) Next(n int) []contest.Record { return fill(r.next, n) }

// Head returns the first n traces.
func (s *Source) Head(n int) []contest.Record { return fill(s.traces(), min(n, s.limit())) }

// limit is an upper bound of what the source yields.
func (s *Source) limit() int { return 2 * s.Count }

// fill makes up to size records. Each chunk has one piece of memory for its traces
// and one for their JSON.
func fill(next maker, size int) []contest.Record {
	const usual = 1600 // bytes of JSON
	traces := make([]cts.Trace, size)
	records := make([]contest.Record, 0, size)
	text := make([]byte, 0, min(size, 4096)*usual)
	for i := range traces {
		t := &traces[i]
		if !next(t) {
			break
		}
		if cap(text)-len(text) < 64<<10 && i > 0 {
			text = make([]byte, 0, max(256<<10, min(size-i, 4096)*usual))
		}
		from := len(text)
		text = t.AppendJSON(text)
		records = append(records, contest.Record{Trace: t, JSON: text[from:len(text):len(text)]})
	}
	return records
}
