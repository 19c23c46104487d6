package cts

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/cloudtraceservice/cts/obs"
)

// DumpSource is what a [Dumper] reads: every [Store] is one.
type DumpSource interface {
	Log

	// ID returns the store's UUID.
	ID() string
}

// DumperOptions configure a [Dumper]. A nil pointer and the zero value have the
// defaults. They are copied.
type DumperOptions struct {
	// Prefix begins the names of trace files (file_prefix_name of CTS): up to 64
	// letters, digits, '.', '_' and '-'. Default: none.
	Prefix string

	// Region is part of the path and name of trace files: 1 to 64 letters,
	// digits, '.', '_' and '-'. Default: "local".
	Region string

	// WithoutServiceFolders puts the traces of all services of a tracker into one
	// file (is_sort_by_service of CTS switched off). Default: false.
	WithoutServiceFolders bool

	// MaxTraces and MaxBytes (of JSON) cut a cycle when that much is waiting. One
	// cycle makes at most one file per tracker and service, and is held in
	// memory. Defaults: 50,000 and 32 MiB.
	MaxTraces int
	MaxBytes  int64

	// MaxAge cuts a cycle when its oldest trace was recorded that long ago.
	// Default: 5 minutes, as CTS.
	MaxAge time.Duration

	// PollInterval is how often Run looks for new traces. Default: 1 s.
	PollInterval time.Duration

	// Level is the level of gzip, 1 (fastest) to 9 (smallest). Default: 6.
	Level int

	// States keeps the plan and the checkpoint. Default: the source, which must
	// then be a StateStore.
	States StateStore

	// StateName is the name of that state; two Dumpers on one store, into
	// different buckets, have different ones. Default: "dumper".
	StateName string

	// Events are called during dumps. Default: none.
	Events *DumperEvents

	// Clock tells the time. Default: time.Now.
	Clock func() time.Time
}

// DumperEvents are called by the Dumper. Each may be nil. They are called by the
// goroutine that dumps, must return soon, and must not call the Dumper. What they
// report is in [Dumper.Status] too.
type DumperEvents struct {
	FileDumped func(FileInfo)         // a trace file is verified in the bucket; again when its cycle is repeated
	Failed     func(error)            // a cycle failed; it is tried again
	Damaged    func(*CorruptionError) // traces could not be read and will be in no file; once for each place
	Lost       func(Loss)             // retention took traces that were not dumped; the Dumper goes on behind them
}

// FileInfo describes a trace file in the bucket.
type FileInfo struct {
	Key     string // object key
	Tracker string // tracker_name of its traces
	Service string // their service_type; "" without service folders
	Traces  int    // how many
	Bytes   int64  // of the content, uncompressed
	Stored  int64  // of the object, compressed
}

// Dumper carries the traces of a store into a bucket as trace files, in the layout
// of CTS:
//
//	CloudTraces/REGION/YYYY/MM/DD/TRACKER/SERVICE/PREFIX_CloudTrace_REGION_YYYY-MM-DDTHH-MM-SSZ_HEX.json.gz
//
// Each is a JSON array of traces on one line, in order of position, compressed with
// gzip. The bucket holds each trace once, whenever the process is killed: before
// the first file of a cycle is put, the plan of the cycle is saved in the store; a
// cycle that was interrupted is done again exactly as planned, names depend on the
// content alone and an existing object is never overwritten; and the checkpoint
// moves when every file of the cycle was read back and found equal.
//
// In a store with the ability [Consumers] the Dumper is a consumer, named as its
// state is, from its first cycle on: its position follows each checkpoint, and
// retention keeps what is not in the bucket. What retention takes all the same, told
// by force or before the Dumper was there, is passed over: the Dumper goes on from
// the oldest retained trace and reports the positions in between, to
// [DumperEvents].Lost and in [DumperStatus].Lost; again if it is killed before its
// next checkpoint. Traces of an interrupted cycle that are lost so may be in files
// that the cycle had put before; the rest of the cycle is planned anew. Whoever
// gives up a Dumper for good removes the consumer, or nothing is dropped any more.
//
// Call [Dumper.Run] in a goroutine of its own, or [Dumper.Flush] when it suits. Its
// methods are safe for concurrent use.
type Dumper struct {
	opts   DumperOptions
	source DumpSource
	bucket obs.Client

	turn     chan struct{} // has room for one: who dumps; guards the following
	state    dumpState
	begun    bool    // state was loaded
	next     *window // traces that wait for the cut of the next cycle
	reported places  // damage that was counted

	lostTo    Position  // up to where losses were counted
	consumers Consumers // nil if the source keeps none
	held      bool      // the source knows heldAt
	heldAt    Position

	mu     sync.Mutex
	status DumperStatus
}

// DumperStatus is the state of a Dumper at one moment.
type DumperStatus struct {
	Position    Position  // everything up to it is verified in the bucket, but for what is counted as Damaged and Lost
	Waiting     int       // traces read that wait for the next cycle
	Oldest      time.Time // when the oldest of them was recorded; zero if none waits
	Files       int64     // trace files dumped by this Dumper
	Traces      int64     // traces in them
	Bytes       int64     // of their content, uncompressed
	Stored      int64     // of the objects
	Damaged     int64     // damaged places in the store that were passed over
	Lost        int64     // positions that retention took before they were dumped
	LastDump    time.Time // when a cycle was completed last
	LastError   error     // why the last cycle failed; nil when it did not
	LastErrorAt time.Time // when it failed
}

var (
	dumpPrefix = regexp.MustCompile(`^[0-9A-Za-z._-]{0,64}$`)
	dumpRegion = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)
)

// NewDumper returns a Dumper from source into bucket; nil options are the defaults.
// It does nothing until Run or Flush is called.
func NewDumper(source DumpSource, bucket obs.Client, opts *DumperOptions) (*Dumper, error) {
	if source == nil || bucket == nil {
		return nil, errors.New("cts: NewDumper needs a source and a bucket")
	}
	var o DumperOptions
	if opts != nil {
		o = *opts
	}
	var missing error
	if o.States == nil {
		states, ok := stateStore(source)
		if !ok {
			missing = fmt.Errorf("%w: it keeps no states; give DumperOptions.States", ErrNotSupported)
		}
		o.States = states
	}
	if err := errors.Join(missing, o.setDefaults()); err != nil {
		return nil, err
	}
	d := &Dumper{opts: o, source: source, bucket: bucket, turn: make(chan struct{}, 1), reported: places{}}
	d.consumers, _ = ability[Consumers](source)
	return d, nil
}

// setDefaults fills in the defaults and returns all faults together.
func (o *DumperOptions) setDefaults() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("cts: DumperOptions."+format, args...))
	}
	fill(&o.Region, "local")
	fill(&o.StateName, "dumper")
	if !dumpPrefix.MatchString(o.Prefix) {
		fault("Prefix: %q: want up to 64 letters, digits, '.', '_' and '-'", o.Prefix)
	}
	if !dumpRegion.MatchString(o.Region) {
		fault("Region: %q: want 1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit", o.Region)
	}
	if err := CheckStateName(o.StateName); err != nil {
		fault("StateName: %v", err)
	}
	if o.MaxTraces < 0 || o.MaxBytes < 0 || o.MaxAge < 0 || o.PollInterval < 0 {
		fault("MaxTraces, MaxBytes, MaxAge and PollInterval must not be negative")
	}
	if o.Level < 0 || o.Level > gzip.BestCompression {
		fault("Level: %d: want 1 to 9", o.Level)
	}
	if o.MaxTraces == 0 {
		o.MaxTraces = 50_000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 32 << 20
	}
	if o.MaxAge == 0 {
		o.MaxAge = 5 * time.Minute
	}
	if o.PollInterval == 0 {
		o.PollInterval = time.Second
	}
	if o.Level == 0 {
		o.Level = 6
	}
	var events DumperEvents
	if o.Events != nil {
		events = *o.Events
	}
	o.Events = &events
	if o.Clock == nil {
		o.Clock = time.Now //nolint:forbidigo // the one default of the injected clock
	}
	return errors.Join(faults...)
}

// longestPause is the longest that Run waits after failures.
const longestPause = time.Minute

// Run dumps until ctx ends, and then returns nil. What is waiting then stays in the
// store for the next Run; call [Dumper.Flush] to have it dumped. A cycle that fails
// is tried again, after pauses that grow to a minute: the store is the queue. Only
// what no retry mends ends Run: [ErrForeignCheckpoint], [ErrStateConflict],
// [ErrVersion], [ErrClosed], and [ErrPositionGone] if it is no [*PositionGoneError]
// that says where to go on.
func (d *Dumper) Run(ctx context.Context) error {
	pause := d.opts.PollInterval
	for {
		err := d.dump(ctx, false)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // being cancelled is how Run ends
		case err == nil:
			pause = d.opts.PollInterval
		case hopeless(err):
			return err
		default:
			pause = min(2*pause, max(longestPause, d.opts.PollInterval))
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil
		}
	}
}

func hopeless(err error) bool {
	return errors.Is(err, ErrForeignCheckpoint) || errors.Is(err, ErrPositionGone) ||
		errors.Is(err, ErrStateConflict) || errors.Is(err, ErrVersion) || errors.Is(err, ErrClosed)
}

// Flush dumps everything that the store had synced when it was called, however
// little and young, and returns when it is verified in the bucket.
func (d *Dumper) Flush(ctx context.Context) error { return d.dump(ctx, true) }

// Status returns the state of the Dumper.
func (d *Dumper) Status() DumperStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status
}

// dump runs cycles until nothing is due: nothing at all when all is set, otherwise
// nothing that MaxTraces, MaxBytes or MaxAge cut.
func (d *Dumper) dump(ctx context.Context, all bool) error {
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.turn }()
	err := d.resume(ctx)
	for more := true; err == nil && more; {
		var due bool
		due, more, err = d.collect(ctx)
		if err == nil && (due || all) && d.next.traces > 0 {
			err = d.cycle(ctx)
		}
	}
	d.note(ctx, err)
	return err
}

// note keeps what Status reports. A cycle that its caller cancelled has not failed.
func (d *Dumper) note(ctx context.Context, err error) {
	canceled := ctx.Err() != nil && errors.Is(err, context.Canceled)
	now := d.opts.Clock()
	d.mu.Lock()
	st := &d.status
	st.Position = d.state.Position
	st.Waiting, st.Oldest = 0, time.Time{}
	if d.next != nil && d.next.traces > 0 {
		st.Waiting, st.Oldest = d.next.traces, time.UnixMilli(d.next.oldest)
	}
	if !canceled {
		st.LastError = err
	}
	if err != nil && !canceled {
		st.LastErrorAt = now
	}
	d.mu.Unlock()
	if err != nil && !canceled && d.opts.Events.Failed != nil {
		d.opts.Events.Failed(err)
	}
}
