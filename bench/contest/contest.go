// Package contest is what every contestant of the benchmark implements: a database
// that is loaded and asked, a log that takes traces durably, a recorder that an
// application calls, a dumper that writes files. A contestant that can't be set up
// on this machine is reported as missing, with the reason.
package contest

import (
	"context"
	"errors"

	"github.com/cloudtraceservice/cts"
)

// ErrUnsupported is what a contestant answers that has no way to do what a row
// measures. The row shows a dash for it.
var ErrUnsupported = errors.New("contest: not supported")

// Record is one trace as every contestant gets it. It is shared and not changed.
type Record struct {
	Trace *cts.Trace // its fields
	JSON  []byte     // its canonical JSON, for contestants that keep JSON
}

// Info says who a contestant is.
type Info struct {
	Name    string // short and lower-case, as in the table: "sqlite"
	Version string // of the library or program that is measured
	Setup   string // how it is set up, in one or two sentences: schema, indexes, settings, and whose advice that follows
}

// Contestant is what all of them have.
type Contestant interface {
	// Info says who it is.
	Info() Info

	// Close stops it and frees what it holds. Its directory is removed by the caller.
	Close() error
}

// Database keeps traces and answers questions. It lives in a directory of its own.
// Load and Finish are called by one goroutine; Ask only after Finish.
type Database interface {
	Contestant

	// Load adds one batch, in the order of recording.
	Load(ctx context.Context, batch []Record) error

	// Finish returns when everything loaded is durable, indexed and in the form in
	// which it stays.
	Finish(ctx context.Context) error

	// Reopen closes the database and opens it again, ready for the first question.
	Reopen(ctx context.Context) error

	// Ask answers one question, or ErrUnsupported.
	Ask(ctx context.Context, q Question) (Answer, error)
}

// Durable takes traces one at a time and makes each durable before it returns, with
// every index that the contestant keeps. Up to 1,024 goroutines call AppendOne at a
// time; it may commit what waits together.
type Durable interface {
	Contestant

	// AppendOne returns when the trace survives a power loss.
	AppendOne(ctx context.Context, r Record) error
}

// Recorder is what an application calls for each operation: it has returned when the
// trace is in a queue or a buffer. Up to 64 goroutines call Record at a time.
type Recorder interface {
	Contestant

	// Record takes one trace.
	Record(ctx context.Context, t *cts.Trace) error

	// Flush returns when everything recorded has been written.
	Flush(ctx context.Context) error
}

// Dumper writes traces to compressed files in a directory.
type Dumper interface {
	Contestant

	// Dump writes the records and returns the bytes of the files.
	Dump(ctx context.Context, records []Record, dir string) (int64, error)
}

// Question is one query of a row. Conditions that are set must all hold; a zero
// field is no condition. Traces come newest first by (Time, then the order of
// loading), which is the order that answers are compared in.
type Question struct {
	Row string // "Q1", for messages

	ResourceID string // resource_id
	User       string // the name of the user; the workloads give user.name and user.id the same meaning, see package workload
	Service    string // service_type
	Name       string // trace_name
	Rating     string // trace_rating
	SourceIP   string // source_ip
	From, To   int64  // time in [From, To), milliseconds since 1970; To 0 is open
	Word       string // request contains this word: letters and digits, bounded on both sides by anything else
	Substring  string // request contains these bytes, case-sensitive

	Skip  int  // traces to pass over first: a page at a depth
	Limit int  // most traces to return, of each page
	Pages int  // pages to read one after the other, going on behind the last trace; 0 is one
	Heads bool // request, response and message are not wanted

	Count   bool   // the number of traces is wanted, not the traces
	GroupBy string // "service" or "user": traces counted per value are wanted
	Top     int    // of the groups, the ones with the highest counts, ties by key; 0 is all
}

// Group is one line of a grouped count.
type Group struct {
	Key   string
	Count int64
}

// Answer is what a contestant answers. Only what was asked for is set.
type Answer struct {
	IDs    []string // trace ids in order, over all pages
	Sum    uint64   // Sum of the traces, see [Answer.Add]
	Groups []Group  // by count descending, then key ascending
	Count  int64
}

// Add adds a trace to the answer. The sum proves that the contestant had the trace in
// its hands and not just its id: it takes in service, name, user name, address and, unless heads only
// were asked for, all bytes of request and response.
func (a *Answer) Add(q *Question, id, service, name, user, sourceIP, request, response string) {
	a.IDs = append(a.IDs, id)
	sum := hash(hash(hash(hash(offset, service), name), user), sourceIP)
	if !q.Heads {
		sum = hash(hash(sum, request), response)
	}
	a.Sum += sum
}

const (
	offset = 14695981039346656037
	prime  = 1099511628211
)

// hash takes length and ends of a text: enough to see that it was read, and too
// little to weigh in the time.
func hash(h uint64, s string) uint64 {
	h = (h ^ uint64(len(s))) * prime
	for i := 0; i < len(s) && i < 4; i++ {
		h = (h ^ uint64(s[i])) * prime
	}
	for i := max(0, len(s)-4); i < len(s); i++ {
		h = (h ^ uint64(s[i])) * prime
	}
	return h
}
