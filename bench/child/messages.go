package child

import (
	"fmt"
	"time"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/workload"
)

// Workload says which traces a process makes for itself.
type Workload struct {
	Name       string
	Seed       uint64
	Count      int
	Duplicates float64  // of the trail
	Files      []string // of the input
}

// Source returns the traces.
func (w Workload) Source() (*workload.Source, error) {
	switch {
	case w.Name == workload.InputName:
		s, err := workload.Files(w.Files...)
		if s != nil {
			err = nil // what can't be read was reported before
		}
		return s, err
	case w.Duplicates > 0:
		return workload.Trail(w.Seed, w.Count, w.Duplicates), nil
	}
	return workload.New(w.Name, w.Seed, w.Count)
}

// Setup says what a process is to be.
type Setup struct {
	Role, Name, Dir string
	Output          string // the file that a recorder writes to; "" if it writes to none
	Workload        Workload
}

// Opened says how a contestant opened.
type Opened struct {
	Info  contest.Info
	Nanos int64
}

// Loaded says how loading went.
type Loaded struct {
	Traces int   // that were offered
	Nanos  int64 // in Load and Finish
}

// Memory is the anonymous memory of the process and those it started.
type Memory struct {
	Before int64 // before the contestant was opened
	Now    int64 // 0 if it can't be had
}

// Asking is a block of questions.
type Asking struct {
	Questions []contest.Question
	Budget    time.Duration // no further question is asked when it is spent
	Least     int           // but so many are, within twice the budget
}

// Reply is what became of one question.
type Reply struct {
	Nanos       int64
	Digest      uint64 // of the answer
	Unsupported bool
	Error       string
}

// Appending is a burst of durable appends.
type Appending struct {
	Goroutines int
	Traces     int           // at most
	Time       time.Duration // at most, about
	Again      bool          // some traces are gone through again and again, with new ids
}

// Appends says how a burst went.
type Appends struct {
	Traces   int
	Nanos    int64
	P50, P99 int64 // nanoseconds until the acknowledgement
	CPU      int64 // nanoseconds of the process
}

// Recording is a burst of records.
type Recording struct {
	Goroutines int
	Traces     int
}

// Recorded says how a burst went.
type Recorded struct {
	Call        int64 // nanoseconds until the last call had returned
	Flushed     int64 // and until all was written
	Allocations uint64
}

// Dumping is one dump into a folder.
type Dumping struct {
	Dir string
}

// Dumped says how it went.
type Dumped struct {
	Traces int
	Nanos  int64
	Bytes  int64
}

// Verified says how a verification went.
type Verified struct {
	Traces int64
	Bytes  int64
	Nanos  int64
}

// Digest sums up an answer, so that answers can be compared without sending them.
func Digest(a contest.Answer) uint64 {
	h := uint64(14695981039346656037)
	text := func(s string) {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
		h = (h ^ 0x1ff) * 1099511628211
	}
	for _, id := range a.IDs {
		text(id)
	}
	text(fmt.Sprint(len(a.IDs), a.Sum, a.Count, len(a.Groups)))
	for _, g := range a.Groups {
		text(g.Key)
		text(fmt.Sprint(g.Count))
	}
	return h
}
