package cts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/cloudtraceservice/cts/redact"
)

// Delivery says when Record returns.
type Delivery uint8

// The ways of delivery.
const (
	// Durable: Record returns when the store has the trace, as durable as the
	// store was opened to make it. A kill then takes nothing.
	Durable Delivery = iota
	// Queued: Record returns when the trace is in a queue in memory. A kill takes
	// the queue, at most QueueBytes; the next Open finds that and declares it in
	// a gap trace.
	Queued
)

// WhenFull says what Record does when the queue is full.
type WhenFull uint8

// What to do when the queue is full. Either way a trace that does not get in is
// counted, becomes part of a gap trace, and Record returns [ErrBackpressure].
const (
	Block WhenFull = iota // wait for room, at most BlockTimeout
	Drop                  // give up at once
)

// Processor decides what is recorded and may add to it: the policy. It is the first
// step of a trace in the Tracker, before redaction and limits.
//
// Process may change t, which is the Tracker's own copy, but not the lists and maps
// in it, which are the caller's. It returns false for a trace that is not to be
// recorded. It must not keep t and is called by many goroutines at a time.
type Processor interface {
	// Process decides on t.
	Process(ctx context.Context, t *Trace) bool
}

// TrackerOptions configure a [Tracker]. A nil pointer and the zero value have the
// defaults. They are copied.
type TrackerOptions struct {
	// Name is the tracker's name, stamped on every trace: "system" for
	// management traces, another one (1 to 64 letters, digits, '-' and '_', the
	// first a letter or digit) for data traces. One store has one open Tracker
	// of a name. Default: "system".
	Name string

	// WriterID names the writer in every trace. Default: a UUID made once per
	// store and kept in it; per Open in a store that keeps no states.
	WriterID string

	// ServiceType, ProjectID and DomainID are filled into traces that do not
	// have them. Default: none.
	ServiceType, ProjectID, DomainID string

	// Delivery is when Record returns. Default: Durable.
	Delivery Delivery

	// WhenFull is what Record does when the queue is full. Default: Block.
	WhenFull WhenFull

	// BlockTimeout is the longest that Record waits for room in the queue.
	// Default: 1 s.
	BlockTimeout time.Duration

	// QueueBytes bounds the queue: the JSON of traces that are accepted and not
	// yet stored. Default: 16 MiB.
	QueueBytes int

	// MaxAttempts bounds the operations that have begun and whose outcome is not
	// stored. Each has a slot reserved for its outcome. Default: 10,000.
	MaxAttempts int

	// AppendTimeout is the longest that one append to the store may take, whatever
	// the caller's context: of a durable Record or Begin, of Import, and in the
	// background. Default: 30 s.
	AppendTimeout time.Duration

	// Policy decides what is recorded. Default: everything.
	Policy Processor

	// PolicyHash identifies the policy in every trace. Default: none.
	PolicyHash string

	// Redactor takes secrets out of every trace. Default: redact.New(nil).
	Redactor *redact.Redactor

	// WithoutRedaction switches redaction off: for traces whose source has
	// redacted them, and for nothing else. Default: false.
	WithoutRedaction bool

	// Limits bound what one trace may hold. Default: see Limits.
	Limits Limits

	// HashKey is the key of the hashes of values that were cut, so that whoever
	// has the key can tell whether a value is the one that was recorded. For the
	// hashes of secrets, give the key to the Redactor. Default: no hashes.
	HashKey []byte

	// Events are called when something happens in the background. Default: none.
	Events *TrackerEvents

	// Clock tells the time. Default: time.Now.
	Clock func() time.Time

	// Rand is the source of randomness for ids. Default: crypto/rand.
	Rand io.Reader
}

var trackerName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,63}$`)

// withDefaults returns a copy with all defaults filled in, or all faults together.
func (o *TrackerOptions) withDefaults() (TrackerOptions, error) {
	var c TrackerOptions
	if o != nil {
		c = *o
	}
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("cts: TrackerOptions."+format, args...))
	}
	if fill(&c.Name, "system"); !trackerName.MatchString(c.Name) {
		fault("Name: %q: want 1 to 64 letters, digits, '-' and '_', the first a letter or digit", c.Name)
	}
	if c.WriterID != "" {
		if err := validateID("WriterID", c.WriterID); err != nil {
			fault("WriterID: %v", err)
		}
	}
	if c.Delivery > Queued {
		fault("Delivery: %d does not exist", c.Delivery)
	}
	if c.WhenFull > Drop {
		fault("WhenFull: %d does not exist", c.WhenFull)
	}
	if c.BlockTimeout < 0 || c.AppendTimeout < 0 || c.QueueBytes < 0 || c.MaxAttempts < 0 {
		fault("BlockTimeout, AppendTimeout, QueueBytes and MaxAttempts must not be negative")
	}
	if c.QueueBytes > 0 && c.QueueBytes < MaxTraceBytes {
		fault("QueueBytes: %d: want at least %d, the largest trace", c.QueueBytes, MaxTraceBytes)
	}
	if err := c.Limits.validate(); err != nil {
		faults = append(faults, err)
	}
	c.setDefaults(fault)
	return c, errors.Join(faults...)
}

func (o *TrackerOptions) setDefaults(fault func(string, ...any)) {
	if o.BlockTimeout == 0 {
		o.BlockTimeout = time.Second
	}
	if o.AppendTimeout == 0 {
		o.AppendTimeout = 30 * time.Second
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = 16 << 20
	}
	if o.MaxAttempts == 0 {
		o.MaxAttempts = 10_000
	}
	if o.Clock == nil {
		o.Clock = time.Now //nolint:forbidigo // the one default of the injected clock
	}
	o.Limits = o.Limits.withDefaults()
	o.HashKey = append([]byte(nil), o.HashKey...)
	if o.Events == nil {
		o.Events = &TrackerEvents{}
	}
	switch {
	case o.WithoutRedaction:
		o.Redactor = nil
	case o.Redactor == nil:
		r, err := redact.New(nil)
		if err != nil {
			fault("Redactor: %v", err)
		}
		o.Redactor = r
	}
}

// TrackerEvents are called by the Tracker. Each may be nil. They are called by the
// goroutine to which it happens, must return soon, and must not call the Tracker.
// What they report is in [Tracker.Status] too.
type TrackerEvents struct {
	Lost         func(LostInfo)         // traces were lost; a gap trace will follow
	AppendFailed func(AppendFailedInfo) // the store refused traces; they are tried again unless Lost follows
	Recovered    func(RecoveryReport)   // Open found what a former boot left behind
}

// LostInfo describes traces that were offered and will not be stored.
type LostInfo struct {
	Count  int64  // how many
	Bytes  int64  // bytes of their JSON
	Reason string // why
	Err    error  // the error that led to it
}

// AppendFailedInfo describes an append that failed.
type AppendFailedInfo struct {
	Traces int   // traces in the batch
	Err    error // the store's error
}
