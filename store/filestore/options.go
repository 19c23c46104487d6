package filestore

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
)

// SyncLevel says how durable a trace is when Append returns. A kill of the process
// takes nothing at any level; the levels differ in what a power loss, or a crash of
// the operating system, may take.
type SyncLevel uint8

// The sync levels.
const (
	SyncCommit   SyncLevel = iota // nothing: Append returns after the sync
	SyncInterval                  // what was appended in the last Options.SyncInterval
	SyncOS                        // what the operating system has not written yet, at most 32 MiB
)

// String returns the name of the level in lower case.
func (l SyncLevel) String() string {
	switch l {
	case SyncCommit:
		return "commit"
	case SyncInterval:
		return "interval"
	case SyncOS:
		return "os"
	}
	return fmt.Sprintf("level %d", l)
}

// Options are the settings of a [Store]. The nil pointer means the defaults. Open
// copies them.
type Options struct {
	// Sync says when appended traces are made durable. Ignored by readers.
	// Default: SyncCommit.
	Sync SyncLevel

	// SyncInterval is the longest time that a trace waits for its sync at the
	// level of that name. Default: 1 s.
	SyncInterval time.Duration

	// LockWait is how long Open waits for another writer to end, as in a rolling
	// restart. Negative: not at all. Default: 10 s.
	LockWait time.Duration

	// LogFileBytes is the size at which a log file is followed by a new one, at
	// most 1 GiB. A single batch may exceed it. A store that is open holds up to
	// three times as much for files that are written next, in proportion to its
	// use; Close gives that back. Default: 32 MiB.
	LogFileBytes int64

	// MaxBytes bounds what is in the log files together; an append that would
	// exceed it fails with [cts.ErrStoreFull]. No file is prepared with more than
	// an eighth of it. Default: 0, the disk is the bound.
	MaxBytes int64

	// QueueBytes bounds the encoded traces that wait for their commit. Append
	// waits while they are that many; a batch larger than all of it is admitted
	// alone. Default: 64 MiB.
	QueueBytes int64

	// Events are called when something happens that an operator should know.
	// Default: nil, see Store.Status.
	Events *Events

	// Clock tells the time for Status, the STORE file and LOCKED-BY.
	// Default: time.Now.
	Clock func() time.Time

	// NewID makes the id of a store that is created, a UUID in canonical form.
	// Default: a UUID of version 7.
	NewID func() string

	// FS is the file system; it is there for the tests of this module, which
	// alone can name its type. Default: that of the operating system.
	FS vfs.FS

	run      func(task func()) // runs what is done in the background; nil for a goroutine
	unsealed bool              // leaves everything in the log
	unmerged bool              // leaves segments as they are
}

const (
	defaultLogFileBytes = 32 << 20
	maxLogFileBytes     = 1 << 30
	defaultQueueBytes   = 64 << 20

	groupBytes = 8 << 20  // no more batches are added to a commit of this size
	maxDirty   = 32 << 20 // most bytes that wait for a sync at the weaker levels
)

// withDefaults returns a copy of o with the defaults filled in, and everything that
// is wrong with it.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("filestore: options: "+format, args...))
		}
	}
	fault(c.Sync > SyncOS, "Sync: level %d does not exist", c.Sync)
	fault(c.SyncInterval < 0, "SyncInterval is negative")
	fault(c.LogFileBytes < 0 || c.LogFileBytes > maxLogFileBytes, "LogFileBytes is %d, want at most %d", c.LogFileBytes, maxLogFileBytes)
	fault(c.MaxBytes < 0, "MaxBytes is negative")
	fault(c.QueueBytes < 0, "QueueBytes is negative")
	setDefault(&c.SyncInterval, time.Second)
	setDefault(&c.LockWait, 10*time.Second)
	setDefault(&c.LogFileBytes, defaultLogFileBytes)
	setDefault(&c.QueueBytes, defaultQueueBytes)
	if c.Events == nil {
		c.Events = new(Events)
	}
	if c.Clock == nil {
		c.Clock = time.Now //nolint:forbidigo // the default of the injected clock
	}
	if c.NewID == nil {
		c.NewID = newID
	}
	if c.FS == nil {
		c.FS = vfs.OS
	}
	return c, errors.Join(errs...)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// newID returns "" when the system gives no randomness, which is refused like any
// other text that is no UUID.
func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return ""
	}
	return id.String()
}

// Events are functions that a [Store] calls when something happens that an operator
// should know. Each may be nil. They are called one at a time, by Open or by the
// goroutine that writes, which waits for them: they should be quick, and must not
// call the Store. What they tell is in [Store.Status] too.
type Events struct {
	TornTail         func(TornTail)         // Open cut off what a crash left behind the last whole frame
	Damaged          func(Damage)           // Open found traces damaged
	LogFileAbandoned func(LogFileAbandoned) // a log file failed and a new one took its place
	Failed           func(Failure)          // an operation on a file failed, whatever became of it
}

// TornTail is what Open cut off the end of the log: appends that were under way when
// the process or the machine ended, of which the disk has a part. None was
// acknowledged, at the weaker sync levels none that was older than the level promises.
// Appends of which no frame header reached the disk leave nothing to tell.
type TornTail struct {
	File   string // file name within the store
	Offset int64  // where it was cut
	Bytes  int64  // from there to the end of the last frame
}

// Damage is a damaged place that Open found.
type Damage struct {
	Error      *cts.CorruptionError // the place, and the traces that are lost
	Quarantine []string             // files within the store to which the damaged bytes were copied
}

// LogFileAbandoned tells that a log file could not be synced, or was taken away, and
// that a new one was begun. What was not yet synced is in the new one.
type LogFileAbandoned struct {
	File string // the old file, within the store
	Next string // the new one
	Err  error  // why
}

// Failure is an operation on a file that failed.
type Failure struct {
	Op   string // sync, write, create and so on
	File string // within the store
	Err  error
	Time time.Time
}
