package filestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
)

// RepairOptions are the settings of [Repair]. The nil pointer means the defaults.
type RepairOptions struct {
	// DryRun finds out what would be done, and changes nothing. Default: false.
	DryRun bool

	// StoreID is the id of the store, for one whose file STORE is damaged or gone and
	// whose other files do not tell it, or contradict each other. Default: "", the id
	// is what the files say.
	StoreID string

	// LockWait is how long Repair waits for a writer to end. Negative: not at all.
	// Default: 10 s.
	LockWait time.Duration

	// Clock tells the time for what is made anew. Default: time.Now.
	Clock func() time.Time

	// FS is the file system; it is there for the tests of this module, which alone
	// can name its type. Default: that of the operating system.
	FS vfs.FS
}

// RepairReport is what [Repair] found and did, or would do.
type RepairReport struct {
	StoreID string         `json:"store_id"`
	DryRun  bool           `json:"dry_run"` // nothing was changed
	Time    time.Time      `json:"time"`
	Actions []RepairAction `json:"actions"` // in order; none if the store is sound

	// Quarantine is the folder within the store that has what was damaged, with a file
	// REPORT.json; "" if nothing was moved.
	Quarantine string `json:"quarantine,omitempty"`

	Traces int64        `json:"traces"` // that are readable afterwards
	Oldest cts.Position `json:"oldest"` // lower positions are not there: dropped by retention, or it is not known why
	Lost   []RepairLoss `json:"lost"`   // positions that are lost for good, in order, those of earlier damage too
}

// OK reports whether there was nothing to repair. Positions may be lost all the same,
// of damage that was repaired before.
func (r RepairReport) OK() bool { return len(r.Actions) == 0 }

// RepairAction is one thing that was done, or would be.
type RepairAction struct {
	File   string     `json:"file"`   // within the store
	What   RepairKind `json:"what"`   // was done with it
	Reason string     `json:"reason"` // what was wrong
	Moved  string     `json:"moved,omitempty"`
	Traces int64      `json:"traces,omitempty"` // that were saved
}

// RepairKind names what was done with a file. What it was is in the quarantine, see
// RepairAction.Moved.
type RepairKind string

// The kinds of [RepairAction].
const (
	RepairRemade    RepairKind = "remade"    // made anew from other files
	RepairRewritten RepairKind = "rewritten" // what is readable of a segment is in a new one
	RepairReplaced  RepairKind = "replaced"  // its traces are in another segment file that was there
	RepairTaken     RepairKind = "taken"     // a segment file that was not in use stands for a damaged one
	RepairRemoved   RepairKind = "removed"   // nothing of it can be used
	RepairHeld      RepairKind = "held"      // consumers begin anew, and nothing is dropped until they have
	RepairSealed    RepairKind = "sealed"    // what is readable of the log is in segments
)

// RepairLoss is some positions that are lost.
type RepairLoss struct {
	First  cts.Position `json:"first"`
	Last   cts.Position `json:"last"`
	File   string       `json:"file"` // where they were, within the store
	Offset int64        `json:"offset"`
	Reason string       `json:"reason"`
}

// repairedConsumer is registered by a repair of CONSUMERS, so that nothing is dropped
// before an operator says so.
const repairedConsumer = "repaired"

// Repair makes a store usable again that Open refuses or in which Verify finds damage,
// and keeps all that can be read. The store must not be open for writing; readers
// without the lock go on. Nothing is deleted: what is damaged goes to a new folder below
// quarantine, with a report.
//
//   - A segment is read row by row. What can be read as it was written goes into new
//     segments; damage to indexes and filters costs nothing. Of a segment without an
//     intact footer nothing can be read. What is lost is taken from segment files that
//     are not in use, such as the parts of a merge, and from log files that are still
//     there.
//   - The log is sealed if any of it is damaged; what can be read of it is in segments
//     then.
//   - MANIFEST is made anew from the segment files and the log, if it is lost. What
//     retention dropped right before the loss may then be back, for as long as its file
//     is there; and where the store begins is where the oldest segment does.
//   - STORE is made anew with the id that all other files name, MARK from the log.
//   - CONSUMERS is made anew: the consumers whose names can be read are at position 0, as
//     is a consumer "repaired". Remove that one when all consumers have registered:
//     until then retention drops nothing.
//   - A state that is damaged is taken away, which is how a state begins. What used it
//     begins anew: see to it before you start a Dumper.
//
// Positions that are lost stay holes: After and Query yield a [*cts.CorruptionError] for
// them, and so does Verify, which finds nothing else any more.
//
// A crash on the way leaves a store that is not worse than before: call Repair again.
// Repair fails with [cts.ErrLocked], [cts.ErrVersion] for what a newer release wrote,
// [ErrIncomplete], [cts.ErrCorrupt] when it can't find out the id of the store,
// [fs.ErrNotExist] without a store, and with errors of the file system: what can't be
// read at the moment is not taken for damaged. The report is what was found until then.
func Repair(ctx context.Context, dir string, opts *RepairOptions) (RepairReport, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return RepairReport{}, err
	}
	r := &repair{ctx: ctx, opts: o, dir: directory{fs: o.FS, root: dir}}
	r.report.DryRun, r.report.Time = o.DryRun, o.Clock().UTC()
	if err := r.run(); err != nil {
		return r.report, fmt.Errorf("filestore: repair: %w", storeFull(err))
	}
	return r.report, nil
}

func (o *RepairOptions) withDefaults() (RepairOptions, error) {
	var c RepairOptions
	if o != nil {
		c = *o
	}
	base, err := (&Options{LockWait: c.LockWait, Clock: c.Clock, FS: c.FS}).withDefaults()
	c.LockWait, c.Clock, c.FS = base.LockWait, base.Clock, base.FS
	if c.StoreID != "" {
		if _, perr := parseID(c.StoreID); perr != nil {
			err = errors.Join(err, fmt.Errorf("filestore: repair options: StoreID: %w", perr))
		}
	}
	return c, err
}

// repair is one run of Repair.
type repair struct {
	ctx    context.Context
	opts   RepairOptions
	dir    directory
	lock   io.Closer
	report RepairReport

	id        uuid.UUID
	identity  identity // zero if STORE has to be made anew
	manifest  *manifest
	remade    bool // the manifest
	found     bool // there is a manifest
	files     []*segmentFile
	log       *recovery // all that is in the log
	pieces    []piece
	moves     []string // files that go to the quarantine
	copies    []string // files of which a copy goes there, because they are replaced
	consumers map[string]cts.Position
	seal      bool // the log
}

func (r *repair) run() (err error) {
	if _, err := r.dir.fs.Stat(r.dir.root); err != nil {
		return err
	}
	if r.lock, err = r.dir.lock(r.opts.LockWait); err != nil {
		return err
	}
	defer func() {
		if r.lock != nil {
			err = errors.Join(err, r.lock.Close())
		}
	}()
	defer func() { err = errors.Join(err, r.closeFiles()) }()
	if err := r.dir.finished(); err != nil {
		return err
	}
	for _, examine := range []func() error{r.findID, r.findManifest, r.examineSegments, r.plan, r.examineLog, r.examineConsumers, r.examineStates} {
		if err := errors.Join(r.ctx.Err(), examine()); err != nil {
			return err
		}
	}
	if r.opts.DryRun || r.report.OK() {
		return nil
	}
	return r.mend()
}

// did notes what was done, or would be, with a file of which the quarantine gets what
// was damaged.
func (r *repair) did(what RepairKind, file string, traces int64, reason error) {
	r.report.Actions = append(r.report.Actions, RepairAction{
		File: file, What: what, Reason: reason.Error(), Traces: traces,
	})
}

// tellLost fills in what the store holds afterwards.
func (r *repair) tellLost(traces int64, oldest cts.Position, holes []*cts.CorruptionError) {
	r.report.Traces, r.report.Oldest, r.report.Lost = traces, oldest, nil
	for _, h := range holes {
		r.report.Lost = append(r.report.Lost, RepairLoss{First: h.First, Last: h.Last, File: h.File, Offset: h.Offset, Reason: h.Err.Error()})
	}
}

// newQuarantine makes the folder for this repair. Its number is the first that is free.
func (r *repair) newQuarantine() error {
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s/repair-%04d", quarantineName, n)
		_, err := r.dir.fs.Stat(r.dir.path(name))
		if err == nil {
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, folder := range []string{"", "/" + logName, "/" + segmentsName, "/" + stateName} {
			if err := r.dir.fs.MkdirAll(r.dir.path(name+folder), dirPerm); err != nil {
				return err
			}
		}
		r.report.Quarantine = name
		return errors.Join(r.dir.fs.SyncDir(r.dir.path(quarantineName)), r.dir.fs.SyncDir(r.dir.path(name)))
	}
}

// writeReport leaves the report with what was moved.
func (r *repair) writeReport() error {
	for i := range r.report.Actions {
		a := &r.report.Actions[i]
		if slices.Contains(r.moves, a.File) || slices.Contains(r.copies, a.File) {
			a.Moved = r.report.Quarantine + "/" + a.File
		}
	}
	text, err := json.MarshalIndent(r.report, "", "  ")
	if err != nil {
		return err
	}
	return vfs.WriteFileAtomic(r.dir.fs, r.dir.path(r.report.Quarantine+"/REPORT.json"), append(text, '\n'), filePerm)
}
