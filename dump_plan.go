package cts

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

// dumpState is the named state of a Dumper, as JSON. It has two forms: at rest,
// with the checkpoint alone; and during a cycle, with its plan too. One save moves
// from one to the other, so that they can't disagree.
type dumpState struct {
	Version    int             `json:"v"`
	StoreID    string          `json:"store_id"`
	Position   Position        `json:"position"` // the checkpoint: everything up to it is in the bucket, but for what is in Quarantine and Behind
	Plan       *plan           `json:"plan,omitempty"`
	Quarantine []quarantined   `json:"quarantine,omitempty"`
	Behind     []behind        `json:"behind,omitempty"`
	CompleteTo int64           `json:"complete_to,omitempty"` // see DumperStatus, milliseconds since 1970 UTC
	Chains     []*digest.Chain `json:"chains,omitempty"`      // what is sealed, and what is to be
	Sealed     *digest.Sealed  `json:"sealed,omitempty"`      // a digest that is being put

	generation uint64
}

const dumpStateVersion = 1

// plan is what one cycle is to put into the bucket.
type plan struct {
	To    Position      `json:"to"`    // the cycle is the traces in (Position, To]
	Time  int64         `json:"time"`  // when it was cut, milliseconds since 1970 UTC: the time in the names
	Level int           `json:"level"` // of gzip, so that the files come out the same when the option has changed
	Files []plannedFile `json:"files"`

	// Passed is how many traces of disabled trackers the window has. When there are
	// some, trackers that are in no file are not looked at when the cycle is done again,
	// even if they were enabled meanwhile: they may be any number.
	Passed int `json:"passed,omitempty"`

	from   Position // the checkpoint that it starts from
	region string   // in the names; "" for that of the options
}

// plannedFile is one trace file of a plan.
type plannedFile struct {
	Key     string `json:"key"`
	Tracker string `json:"tracker"`
	Service string `json:"service,omitempty"`
	Flat    bool   `json:"flat,omitempty"`  // without service folders; the option may change before the cycle is done again
	Plain   bool   `json:"plain,omitempty"` // not compressed; the same
	Traces  int    `json:"traces"`
	Bytes   int64  `json:"bytes"`             // of the content, uncompressed
	SHA256  string `json:"sha256"`            // of the content, uncompressed, in hex
	Root    string `json:"root,omitempty"`    // Merkle root over the traces, in hex, if they are to be sealed
	Oldest  int64  `json:"oldest"`            // earliest record time, milliseconds since 1970 UTC
	Attempt int    `json:"attempt,omitempty"` // how many keys before were found taken by other objects
}

// group returns which traces are in the file.
func (f plannedFile) group() group { return group{f.Tracker, f.Service} }

// settings returns those settings of the tracker that decide on the content.
func (f plannedFile) settings() TransferOptions {
	o := TransferOptions{WithoutServiceFolders: f.Flat, Compression: CompressGzip}
	if f.Plain {
		o.Compression = CompressJSON
	}
	return o
}

// info returns what events tell about the file.
func (f plannedFile) info(stored int64) FileInfo {
	return FileInfo{Key: f.Key, Tracker: f.Tracker, Service: f.Service, Traces: f.Traces, Bytes: f.Bytes, Stored: stored}
}

// resume loads the state, once, and completes a cycle that was interrupted.
func (d *Dumper) resume(ctx context.Context) error {
	if !d.begun {
		if err := d.load(ctx); err != nil {
			return err
		}
	}
	d.beside(d.hold(ctx))
	if d.state.Plan != nil {
		if err := d.repeat(ctx); err != nil || !d.begun {
			return err
		}
	}
	now := d.opts.Clock()
	if !d.retriedAt.IsZero() && now.Sub(d.retriedAt) < retryAfter*d.opts.MaxAge {
		return nil
	}
	d.retriedAt = now
	return d.retryQuarantined(ctx, false)
}

// retryAfter is after how many MaxAge the quarantine is tried again.
const retryAfter = 10

// repeat does an interrupted cycle again: with what is still in memory, or else with
// what the log has.
func (d *Dumper) repeat(ctx context.Context) error {
	w := d.undelivered
	d.undelivered = nil
	var failures []error
	if w == nil {
		w = d.newWindow(d.state.Position, d.state.Plan.Level)
		w.again = true
		for _, f := range d.state.Plan.Files {
			w.settings[f.Tracker] = f.settings()
		}
		for _, q := range d.state.Quarantine {
			if q.From == w.from {
				w.settings[q.Tracker] = q.settings()
			}
		}
		if d.state.Plan.Passed > 0 {
			w.transfer = func(string) TransferOptions { return TransferOptions{Disabled: true} }
		}
		err := d.readAgain(ctx, w, d.state.Plan.To, d.lost)
		if err == nil {
			failures, err = d.revise(ctx, w)
		}
		if err != nil {
			w.drop()
			return err
		}
	}
	d.launch(ctx, w, failures)
	return d.finish(ctx)
}

func (d *Dumper) load(ctx context.Context) error {
	name := d.opts.StateName
	data, generation, err := d.opts.States.LoadState(ctx, name)
	if err != nil {
		return fmt.Errorf("cts: loading state %s: %w", name, err)
	}
	st := dumpState{StoreID: d.source.ID()}
	if data != nil {
		st = dumpState{}
		if err := json.Unmarshal(data, &st); err != nil {
			return fmt.Errorf("%w: state %s is not one of a Dumper: %w", ErrVersion, name, err)
		}
		if st.Version != dumpStateVersion {
			return fmt.Errorf("%w: state %s has version %d, this release reads %d", ErrVersion, name, st.Version, dumpStateVersion)
		}
		if id := d.source.ID(); st.StoreID != id {
			return fmt.Errorf("%w: state %s is of store %s, this is %s", ErrForeignCheckpoint, name, st.StoreID, id)
		}
	}
	if st.Plan != nil {
		st.Plan.from = st.Position
		if st.Plan.Level < 1 || st.Plan.Level > 9 {
			st.Plan.Level = d.opts.Level
		}
	}
	st.generation = generation
	d.state, d.begun = st, true
	return nil
}

// save saves a new state. When that fails, the state is loaded anew before the next
// cycle: it may have been saved all the same.
func (d *Dumper) save(ctx context.Context, st dumpState) error {
	st.Version = dumpStateVersion
	data, err := json.Marshal(st)
	if err == nil {
		st.generation, err = d.opts.States.SaveState(ctx, d.opts.StateName, data, d.state.generation)
	}
	if err != nil {
		d.forget()
		return fmt.Errorf("cts: saving state %s: %w", d.opts.StateName, err)
	}
	d.state = st
	return nil
}

// forget gives up everything that hangs on the state. No delivery is under way.
func (d *Dumper) forget() {
	d.next.drop()
	d.undelivered.drop()
	d.begun, d.next, d.undelivered = false, nil, nil
	clear(d.verified)
	clear(d.failingFiles)
}

// cycle plans the window and starts to deliver it, after the cycle before is complete.
// With one worker it is complete on return.
func (d *Dumper) cycle(ctx context.Context) error {
	if err := d.finish(ctx); err != nil {
		return err
	}
	if d.seal != nil {
		if err := d.sealRoom(ctx); err != nil {
			return err
		}
		if err := d.leaveStuck(ctx); err != nil {
			return err
		}
	}
	w := d.next
	if w == nil { // given up with the state
		return nil
	}
	st := d.state
	if w.traces == 0 { // all of them of trackers that are disabled or behind
		st.Position, st.CompleteTo = w.to, d.completeTo(&st, w)
		if err := d.save(ctx, st); err != nil {
			return err
		}
		d.count(w, nil)
		d.next = nil
		d.beside(d.hold(ctx))
		return nil
	}
	p := &plan{To: w.to, Time: d.opts.Clock().UnixMilli(), Level: w.pack.level, Passed: w.passed, from: d.state.Position}
	for _, f := range w.sorted() {
		p.Files = append(p.Files, d.plan(p, w, f))
	}
	st.Plan = p
	if err := d.save(ctx, st); err != nil {
		return err
	}
	d.next = nil
	d.launch(ctx, w, nil)
	if d.opts.Workers == 1 {
		return d.finish(ctx)
	}
	d.next = d.newWindow(p.To, d.opts.Level)
	return nil
}

// plan returns the entry of a file in the plan p. From then on the file takes no more.
func (d *Dumper) plan(p *plan, w *window, f *traceFile) plannedFile {
	settings := w.settingsOf(f.tracker)
	sum := f.finish()
	planned := plannedFile{
		Tracker: f.tracker, Service: f.service, Flat: settings.WithoutServiceFolders, Plain: f.plain,
		Traces: f.traces, Bytes: f.bytes, SHA256: hex.EncodeToString(sum[:]), Oldest: f.oldest,
	}
	if f.tree != nil {
		root := f.tree.Root()
		planned.Root = hex.EncodeToString(root[:])
	}
	if w.again { // what the plan has of the settings is less
		settings = d.settings(f.tracker)
	}
	planned.Key = d.key(p, planned, settings.Prefix)
	return planned
}

// rekey gives a file of the plan p the key that it has with the present settings.
func (d *Dumper) rekey(p *plan, f *plannedFile) {
	f.Key = d.key(p, *f, d.settings(f.Tracker).Prefix)
}

// revise compares the traces of an interrupted cycle with its plan. Files that come
// out as planned stay; one that does not (a newer encoder wrote it, or its traces
// were damaged since) is kept as it is if it was delivered, and otherwise planned
// anew. The revised plan is saved before anything is put. A file of which the bucket
// can't tell whether it was delivered is left for another try and is a failure.
func (d *Dumper) revise(ctx context.Context, w *window) (failures []error, err error) {
	planned := map[group]plannedFile{}
	for _, f := range d.state.Plan.Files {
		planned[f.group()] = f
	}
	for _, q := range d.state.Quarantine {
		if q.From == w.from {
			delete(w.files, q.group())
		}
	}
	revised := *d.state.Plan
	revised.Files = nil
	changed := false
	for _, f := range w.sorted() {
		was, ok := planned[f.group]
		delete(planned, f.group)
		now := d.plan(&revised, w, f)
		switch {
		case ok && was.SHA256 == now.SHA256:
			was.Root = now.Root // sealing may have been switched on or off
			now = was
		case ok && was.Key != now.Key:
			if kept, err := d.delivered(ctx, was); err != nil {
				failures = append(failures, fmt.Errorf("cts: trace file %s: %w", was.Key, err))
			} else if !kept {
				changed = true
				break
			}
			delete(w.files, f.group)
			now = was
		default:
			changed = true
		}
		revised.Files = append(revised.Files, now)
	}
	for _, was := range planned { // nothing of it can be read any more
		kept, err := d.delivered(ctx, was)
		if err != nil {
			failures = append(failures, fmt.Errorf("cts: trace file %s: %w", was.Key, err))
		}
		if kept || err != nil {
			revised.Files = append(revised.Files, was)
		} else {
			changed = true
		}
	}
	if !changed {
		d.state.Plan = &revised // the same, but for what sealing wants to know
		return failures, nil
	}
	st := d.state
	st.Plan = &revised
	return failures, d.save(ctx, st)
}

// delivered reports whether a planned file is in the bucket, and remembers what is
// stored there.
func (d *Dumper) delivered(ctx context.Context, planned plannedFile) (bool, error) {
	stored, err := d.inspect(ctx, planned)
	switch {
	case errors.Is(err, obs.ErrDenied) && d.failing(planned.Key) >= d.opts.MaxAge:
		return false, nil // nobody will ever know; its traces rather twice than never
	case errors.Is(err, ErrConflict): // what is there is not this file
		d.conflict(planned.Key)
		return false, nil
	case errors.Is(err, obs.ErrNotExist), errors.Is(err, obs.ErrInvalidKey):
		return false, nil
	case err != nil:
		return false, err
	}
	d.verified[planned.Key] = stored
	return true, nil
}

// failing returns for how long a file has failed, from this call on if it did not
// before.
func (d *Dumper) failing(key string) time.Duration {
	now := d.opts.Clock()
	since, ok := d.failingFiles[key]
	if !ok {
		since = now
		d.failingFiles[key] = now
	}
	return now.Sub(since)
}

// clone returns the plan with files of its own.
func (p *plan) clone() *plan {
	c := *p
	c.Files = slices.Clone(p.Files)
	return &c
}
