package cts

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/cloudtraceservice/cts/obs"
)

// DumpSource is what a [Dumper] reads: every [Store] is one.
type DumpSource interface {
	Log

	// ID returns the store's UUID.
	ID() string
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
// moves when every file of the cycle is verified. Any number of Dumpers, each of a
// store of its own, share a bucket without knowing of each other.
//
// A file is verified when the bucket reports the hash of what it stored and that is
// the file's, or when it was read back and found equal. A writer without the right to
// read needs a bucket of the first kind, or [DumperOptions].TrustPut. An object that
// was there under the name of the file is taken for it where it can't be read: the
// name holds the hash of the content. [DumperStatus].Unread counts both.
//
// # Faults
//
// The store is the queue: however long a bucket is away or throttles, the Dumper holds
// no more than two cycles, and what it has put and verified is not put again. Faults
// that last are shown by State and Detail of the [DumperStatus], and pass by
// themselves when they are mended. One that is of a tracker alone, such as a policy that
// denies its folder, holds up no other: after MaxAge the tracker is left behind, with a
// checkpoint of its own, and catches up when it is mended, see [Dumper.Behind]. That holds
// for 500 trackers, and for some dozens of which it is the digests that are denied; with
// more of them the Dumper waits. Two alarms ask for somebody who looks:
//
//   - Another object lies under the name of a trace file, although names hold the hash
//     of the content. Somebody has put it there by hand. It is left alone, and the file
//     is put under another name.
//   - The bucket refuses a file for what it is. It is quarantined and does not hold up
//     the others, see [Dumper.RetryQuarantined].
//
// # Retention
//
// In a store with the ability [Consumers] the Dumper is a consumer, named as its
// state is, from its first cycle on: its position follows each checkpoint, and
// retention keeps what is not in the bucket, nor sealed if there is Validation. What
// retention takes all the same, told by force or before the Dumper was there, is passed
// over: the Dumper goes on from the oldest retained trace and reports the positions in
// between, to [DumperEvents].Lost and in [DumperStatus].Lost; again if it is killed
// before its next checkpoint. Traces of an interrupted cycle that are lost so may be in
// files that the cycle had put before; the rest of the cycle is planned anew. Whoever
// gives up a Dumper for good removes the consumer, or nothing is dropped any more.
//
// Call [Dumper.Run] in a goroutine of its own, or [Dumper.Flush] when it suits;
// [Shutdown] ends both in order. Its methods are safe for concurrent use.
type Dumper struct {
	opts   DumperOptions
	source DumpSource
	bucket obs.Client
	packer packer
	seal   *sealing // nil if nothing is sealed

	life  context.Context // ends when the Dumper is closed
	close context.CancelFunc

	turn     chan struct{} // has room for one: who dumps; guards the following
	state    dumpState
	begun    bool      // state was loaded
	next     *window   // traces that wait for the cut of the next cycle
	flying   *delivery // the cycle that is being put
	reported places    // damage that was counted

	undelivered *window               // of the plan, after a failure
	verified    map[string]storedFile // files of the plan, by key
	progress    int64                 // files verified so far
	retriedAt   time.Time             // when the quarantine was tried
	anew        bool                  // what was read for the next cycle was given up
	behindTried map[string]time.Time  // when trackers that are behind failed last
	sealErr     error                 // why sealing failed in this turn
	besideErr   error                 // what else failed in this turn beside the delivery
	markedAt    time.Time             // when the marker was put

	failingFiles map[string]time.Time       // files of the plan, by key: when they failed first
	goodSettings map[string]TransferOptions // the last valid ones of trackers
	badSettings  map[string]error           // what is wrong with those that are not

	lostTo         Position            // up to where losses were counted
	quarantineLost map[string]Position // the same for files that are set aside, by key
	consumers      Consumers           // nil if the source keeps none
	held           bool                // the source knows heldAt
	heldAt         Position

	mu           sync.Mutex
	status       DumperStatus
	failingSince time.Time // zero while the last cycle did not fail
	lastBeside   error     // what failed in the last turn beside the delivery
	quarantine   []QuarantinedFile

	behindTrackers []BehindTracker
}

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
	err := errors.Join(missing, o.setDefaults())
	d := &Dumper{
		opts: o, source: source, bucket: bucket, packer: packer{workers: o.Workers},
		turn: make(chan struct{}, 1), reported: places{}, verified: map[string]storedFile{}, quarantineLost: map[string]Position{},
		behindTried: map[string]time.Time{}, failingFiles: map[string]time.Time{}, goodSettings: map[string]TransferOptions{}, badSettings: map[string]error{},
		status: DumperStatus{State: TransferEnabled},
	}
	if o.Validation != nil {
		var fault error
		d.seal, fault = newSealing(d, o.Validation)
		err = errors.Join(err, fault)
	}
	if err != nil {
		return nil, err
	}
	d.consumers, _ = ability[Consumers](source)
	d.life, d.close = context.WithCancel(context.Background())
	return d, nil
}

// longestPause is the longest that Run waits after failures.
const longestPause = time.Minute

// Run dumps until ctx ends or the Dumper is closed, and then returns nil. What is
// waiting then stays in the store for the next Run; call [Dumper.Flush] to have it
// dumped. A cycle that fails is tried again, after pauses that grow to a minute and
// begin anew when a file gets through: the store is the queue. Only what no retry mends
// ends Run: [ErrForeignCheckpoint], [ErrStateConflict], [ErrVersion], [ErrClosed] of the
// store, and [ErrPositionGone] if it is no [*PositionGoneError] that says where to go on.
func (d *Dumper) Run(ctx context.Context) error {
	pause := d.opts.PollInterval
	for {
		progress, err := d.dump(ctx, false)
		switch {
		case ctx.Err() != nil, d.life.Err() != nil:
			return nil //nolint:nilerr // being ended is how Run ends
		case err == nil:
			pause = d.opts.PollInterval
		case hopeless(err):
			return err
		default:
			if progress {
				pause = d.opts.PollInterval
			}
			pause = min(2*pause, max(longestPause, d.opts.PollInterval))
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
			continue
		case <-ctx.Done():
		case <-d.life.Done():
		}
		wait.Stop()
		return nil
	}
}

func hopeless(err error) bool {
	return errors.Is(err, ErrForeignCheckpoint) || errors.Is(err, ErrPositionGone) ||
		errors.Is(err, ErrStateConflict) || errors.Is(err, ErrVersion) || errors.Is(err, ErrClosed)
}

// Flush dumps everything that the store had synced when it was called, however
// little and young, and returns when it is verified in the bucket, but for files that
// are quarantined and trackers that are behind. After Close it is [ErrClosed].
func (d *Dumper) Flush(ctx context.Context) error {
	_, err := d.dump(ctx, true)
	return err
}

// Close ends Run and every other call that is under way, and returns when they have
// ended. What was not dumped stays in the store; what is dumped and not sealed is sealed
// by the next Dumper. It closes neither store nor bucket. Close is idempotent. Later
// calls of Run return nil at once, Status and Quarantined go on, and all others return
// [ErrClosed].
func (d *Dumper) Close() {
	d.close()
	d.turn <- struct{}{}
	d.next.drop()
	d.undelivered.drop()
	d.next, d.undelivered = nil, nil
	<-d.turn
}

// enter waits until nobody else dumps. The context that it returns ends with the
// Dumper.
func (d *Dumper) enter(ctx context.Context) (_ context.Context, leave func(), _ error) {
	select {
	case d.turn <- struct{}{}:
	case <-d.life.Done():
		return nil, nil, ErrClosed
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	if d.life.Err() != nil {
		<-d.turn
		return nil, nil, ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(d.life, cancel)
	return ctx, func() {
		stop()
		cancel()
		<-d.turn
	}, nil
}

// dump runs cycles until nothing is due: nothing at all when all is set, otherwise
// nothing that MaxTraces, MaxBytes or MaxAge cut. It reports whether a file got through.
func (d *Dumper) dump(ctx context.Context, all bool) (progress bool, err error) {
	ctx, leave, err := d.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	before := d.progress
	d.sealErr, d.besideErr = nil, nil
	err = d.allCycles(ctx, all)
	if err == nil {
		d.sealAfterCycle(ctx)
		if d.begun {
			d.beside(d.hold(ctx))
			d.beside(d.idle(ctx))
		}
	}
	if d.next != nil { // no goroutine outlives the call
		err = errors.Join(err, d.next.pack.wait())
	}
	beside := errors.Join(d.sealErr, d.besideErr, d.checkSettings())
	err = errors.Join(err, beside)
	if ctx.Err() == nil {
		d.mu.Lock()
		d.lastBeside = beside
		d.mu.Unlock()
	}
	d.note(ctx, err)
	if err != nil && d.life.Err() != nil {
		err = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return d.progress > before, err
}

// allCycles runs the cycles, and then those of trackers that are behind. When one of these
// goes with the others again, so do its traces that were passed over.
func (d *Dumper) allCycles(ctx context.Context, all bool) error {
	most := maxBehindCycles
	if all {
		most = math.MaxInt
	}
	for {
		d.anew = false
		err := d.cycles(ctx, all)
		if err == nil && d.begun && d.state.Plan == nil {
			if len(d.state.Behind) > 0 {
				d.sealAfterCycle(ctx) // or else there may be no room for more
			}
			behind := d.catchUp(ctx, all, most)
			if !d.begun || ctx.Err() != nil {
				err = behind
			}
		}
		if err != nil || !d.anew {
			return err
		}
	}
}

// cycles runs cycles until nothing is due, and waits for the last.
func (d *Dumper) cycles(ctx context.Context, all bool) error {
	err := d.resume(ctx)
	for more := true; err == nil && more; {
		if !d.begun { // a save of sealing failed, and may have taken effect
			if err = d.resume(ctx); err != nil {
				break
			}
		}
		var due bool
		due, more, err = d.collect(ctx)
		if err == nil && d.next != nil && (due || all) && !d.next.empty() {
			err = d.cycle(ctx)
		}
		more = more || !d.begun || d.anew
		d.anew = false
	}
	return errors.Join(err, d.finish(ctx))
}

// beside takes note of what failed beside the delivery, which goes on; of several
// failures of a turn the first is told.
func (d *Dumper) beside(err error) {
	if d.besideErr == nil {
		d.besideErr = err
	}
}
