package cts

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cloudtraceservice/cts/obs"
)

// dumpState is the named state of a Dumper, as JSON. It has two forms: at rest,
// with the checkpoint alone; and during a cycle, with its plan too. One save moves
// from one to the other, so that they can't disagree.
type dumpState struct {
	Version  int      `json:"v"`
	StoreID  string   `json:"store_id"`
	Position Position `json:"position"` // the checkpoint: everything up to it is in the bucket
	Plan     *plan    `json:"plan,omitempty"`

	generation uint64
}

const dumpStateVersion = 1

// plan is what one cycle is to put into the bucket.
type plan struct {
	To    Position      `json:"to"`             // the cycle is the traces in (Position, To]
	Time  int64         `json:"time"`           // when it was cut, milliseconds since 1970 UTC: the time in the names
	Flat  bool          `json:"flat,omitempty"` // without service folders; the option may change before the cycle is done again
	Files []plannedFile `json:"files"`
}

// plannedFile is one trace file of a plan.
type plannedFile struct {
	Key     string `json:"key"`
	Tracker string `json:"tracker"`
	Service string `json:"service,omitempty"`
	Traces  int    `json:"traces"`
	Bytes   int64  `json:"bytes"`  // of the content, uncompressed
	SHA256  string `json:"sha256"` // of the content, uncompressed, in hex
}

// group is which traces go into one file.
type group struct{ tracker, service string }

// maxGroups and maxNames bound the files of one cycle and the JSON of their trackers
// and services, and with them the plan, which must fit into a state: the last trace
// of a cycle can add 1 MiB, and what else there is about a file has less than 1 KiB.
const (
	maxGroups = 1000
	maxNames  = MaxStateBytes / 4
)

// window is the traces of one cycle, as the contents of its files to be.
type window struct {
	to     Position // the last position that was looked at
	flat   bool     // without service folders
	files  map[group]*traceFile
	names  int // bytes that the trackers and services of the files take in a plan
	traces int
	bytes  int64
	oldest int64 // earliest record time, milliseconds since 1970 UTC
}

func newWindow(after Position, flat bool) *window {
	return &window{to: after, flat: flat, files: map[group]*traceFile{}}
}

// add takes in a trace.
func (w *window) add(g group, e Entry, recordTime int64) {
	f := w.files[g]
	if f == nil {
		f = &traceFile{group: g}
		w.files[g] = f
		w.names += len(appendString(appendString(nil, g.tracker), g.service))
	}
	f.add(e.JSON)
	w.to = e.Position
	w.bytes += int64(len(e.JSON)) + 1
	if w.traces++; w.traces == 1 || recordTime < w.oldest {
		w.oldest = recordTime
	}
}

// sorted returns the files in order of tracker and service.
func (w *window) sorted() []*traceFile {
	return slices.SortedFunc(maps.Values(w.files), func(a, b *traceFile) int {
		return cmp.Or(cmp.Compare(a.tracker, b.tracker), cmp.Compare(a.service, b.service))
	})
}

// resume loads the state, once, and completes a cycle that was interrupted.
func (d *Dumper) resume(ctx context.Context) error {
	if !d.begun {
		if err := d.load(ctx); err != nil {
			return err
		}
	}
	if err := d.hold(ctx); err != nil {
		return err
	}
	if d.state.Plan == nil {
		return nil
	}
	w := newWindow(d.state.Position, d.state.Plan.Flat)
	if err := d.readAgain(ctx, w); err != nil {
		return err
	}
	d.next = nil
	failures, err := d.revise(ctx, w)
	if err != nil {
		return err
	}
	return d.deliver(ctx, w, failures)
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
		d.begun, d.next = false, nil
		return fmt.Errorf("cts: saving state %s: %w", d.opts.StateName, err)
	}
	d.state = st
	return nil
}

// take adds a trace to the window, in the group that it belongs to.
func (w *window) take(e Entry) error {
	tracker, service, recordTime, err := routing(e)
	if err != nil { // stored by somebody who did not keep to what Entry demands
		return &CorruptionError{File: "a trace that is no trace", First: e.Position, Last: e.Position, Err: err}
	}
	g := group{tracker: tracker, service: service}
	if w.flat {
		g.service = ""
	}
	w.add(g, e, recordTime)
	return nil
}

// routing returns what decides on the file of a trace, and its record time.
func routing(e Entry) (tracker, service string, recordTime int64, err error) {
	t := e.Trace
	if t == nil {
		if t, err = ParseTrace(e.JSON); err != nil {
			return "", "", 0, err
		}
	}
	tracker = t.TrackerName
	fill(&tracker, "system")
	return tracker, t.ServiceType, t.RecordTime, nil
}

// collect reads on in the log until the window is full or the log ends. It reports
// whether a cycle is due, and whether there may be more traces behind it.
func (d *Dumper) collect(ctx context.Context) (due, more bool, err error) {
	if d.next == nil {
		d.next = newWindow(d.state.Position, d.opts.WithoutServiceFolders)
	}
	w := d.next
	for e, err := range d.source.After(ctx, w.to) {
		if oldest, gone := goneAbove(w.to, err); gone {
			return false, true, d.skip(ctx, oldest)
		}
		if err != nil {
			if d.damaged(err) {
				continue
			}
			return false, false, fmt.Errorf("cts: reading traces to dump: %w", err)
		}
		if err := w.take(e); err != nil {
			d.damaged(err)
			w.to = e.Position
			continue
		}
		if w.traces >= d.opts.MaxTraces || w.bytes >= d.opts.MaxBytes || len(w.files) >= maxGroups || w.names >= maxNames {
			return true, true, nil
		}
	}
	old := d.opts.Clock().Add(-d.opts.MaxAge).UnixMilli()
	return w.traces > 0 && w.oldest <= old, false, nil
}

// damaged takes note of damage in the store, which the iterator goes on past. It is
// met again whenever the traces before it are read again, or none comes behind it.
func (d *Dumper) damaged(err error) bool {
	var damage *CorruptionError
	if !errors.As(err, &damage) {
		return false
	}
	if !d.reported.add(damage) {
		return true
	}
	d.mu.Lock()
	d.status.Damaged++
	d.mu.Unlock()
	if f := d.opts.Events.Damaged; f != nil {
		f(damage)
	}
	return true
}

// cycle plans the window and delivers it.
func (d *Dumper) cycle(ctx context.Context) error {
	w := d.next
	p := &plan{To: w.to, Time: d.opts.Clock().UnixMilli(), Flat: w.flat}
	for _, f := range w.sorted() {
		p.Files = append(p.Files, d.plan(p, f))
	}
	st := d.state
	st.Plan = p
	if err := d.save(ctx, st); err != nil {
		return err
	}
	return d.deliver(ctx, w, nil)
}

// plan returns the entry of a file in the plan p.
func (d *Dumper) plan(p *plan, f *traceFile) plannedFile {
	sum := f.finish()
	return plannedFile{
		Key: d.key(p, f.group, sum), Tracker: f.tracker, Service: f.service,
		Traces: f.traces, Bytes: int64(len(f.content)), SHA256: hex.EncodeToString(sum[:]),
	}
}

// revise compares the traces of an interrupted cycle with its plan. Files that come
// out as planned stay; one that does not (a newer encoder wrote it, or its traces
// were damaged since) is kept as it is if it was delivered, and otherwise planned
// anew. The revised plan is saved before anything is put. A file of which the bucket
// can't tell whether it was delivered is left for another try and is a failure.
func (d *Dumper) revise(ctx context.Context, w *window) (failures []error, err error) {
	planned := map[group]plannedFile{}
	for _, f := range d.state.Plan.Files {
		planned[group{f.Tracker, f.Service}] = f
	}
	revised := *d.state.Plan
	revised.Files = nil
	changed := false
	for _, f := range w.sorted() {
		was, ok := planned[f.group]
		now := d.plan(&revised, f)
		delete(planned, f.group)
		if ok && was.SHA256 != now.SHA256 && was.Key != now.Key {
			_, err := d.inspect(ctx, was)
			if err != nil && !errors.Is(err, obs.ErrNotExist) {
				failures = append(failures, fmt.Errorf("cts: trace file %s: %w", was.Key, err))
			}
			if !errors.Is(err, obs.ErrNotExist) {
				delete(w.files, f.group)
				now = was
			}
		}
		if ok && was.SHA256 == now.SHA256 {
			now = was
		} else {
			changed = true
		}
		revised.Files = append(revised.Files, now)
	}
	if !changed && len(planned) == 0 {
		return failures, nil
	}
	st := d.state
	st.Plan = &revised
	return failures, d.save(ctx, st)
}

// deliver puts and verifies the files of the plan, as far as they are in the window,
// and then moves the checkpoint, unless there were failures before. A file that fails
// does not keep the others back.
func (d *Dumper) deliver(ctx context.Context, w *window, failures []error) error {
	var dumped []FileInfo
	for _, planned := range d.state.Plan.Files {
		f := w.files[group{planned.Tracker, planned.Service}]
		if f == nil {
			continue
		}
		info, err := d.put(ctx, planned, f)
		if err != nil {
			failures = append(failures, fmt.Errorf("cts: trace file %s: %w", planned.Key, err))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		dumped = append(dumped, info)
		if event := d.opts.Events.FileDumped; event != nil {
			event(info)
		}
	}
	d.next = nil // after a failure, resume reads the planned traces again
	if len(failures) > 0 {
		return errors.Join(failures...)
	}
	st := d.state
	st.Position, st.Plan = st.Plan.To, nil
	if err := d.save(ctx, st); err != nil {
		return err
	}
	d.count(dumped)
	return d.hold(ctx)
}

// count adds the files of a completed cycle to the status.
func (d *Dumper) count(dumped []FileInfo) {
	now := d.opts.Clock()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range dumped {
		d.status.Files++
		d.status.Traces += int64(f.Traces)
		d.status.Bytes += f.Bytes
		d.status.Stored += f.Stored
	}
	d.status.LastDump = now
}
