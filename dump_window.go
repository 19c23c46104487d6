package cts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// group is which traces go into one file.
type group struct{ tracker, service string }

// maxGroups and maxNames bound the files of one cycle and the JSON of their trackers
// and services, and with them the plan, which must fit into a state beside the digest
// chains: what else there is about a file has less than 1.2 KiB. The names of one trace
// may have 1 MiB; then its cycle has no other file.
const (
	maxGroups = 1000
	maxNames  = MaxStateBytes / 8
)

// window is the traces of one cycle, as the files to be.
type window struct {
	from, to Position // it is the traces in (from, to]; to is the last that was looked at
	files    map[group]*traceFile
	again    bool            // it is read for the second time: it takes everything, however much that is
	only     *group          // if set, all other traces are passed over
	tracker  *string         // if set, those of all others are
	over     map[string]bool // trackers that are behind: theirs are passed over

	pack     *packing
	sealed   bool
	transfer func(tracker string) TransferOptions
	settings map[string]TransferOptions // that transfer returned, or the plan has
	texts    map[string]string          // trackers and services, to have each once

	names          int // bytes that the trackers and services of the files take in a plan
	traces, passed int // in the files; of disabled trackers
	skipped        int // of trackers that are behind
	bytes          int64
	oldest, newest int64 // record times of the traces in the files, milliseconds since 1970 UTC
	since          int64 // earliest record time of all traces
	ended          int64 // when the reading began that came to the end of the log; 0 if none did
}

func (d *Dumper) newWindow(after Position, level int) *window {
	return &window{
		from: after, to: after, files: map[group]*traceFile{},
		pack: d.packer.begin(level), sealed: d.seal != nil, over: d.state.passedOver(after),
		transfer: d.settings, settings: map[string]TransferOptions{}, texts: map[string]string{},
	}
}

// empty reports whether nothing was taken in, nor passed over.
func (w *window) empty() bool { return w.traces+w.passed+w.skipped == 0 }

// drop gives a window up.
func (w *window) drop() {
	if w != nil {
		_ = w.pack.wait()
	}
}

// errPlanned: a trace came to a window that was planned already. It is never to happen;
// the window is given up then, and read again.
var errPlanned = errors.New("cts: the cycle is planned already")

// take takes in a trace, in the file that it belongs to. It returns false if the trace
// has to wait for the next window.
func (w *window) take(e Entry) (fits bool, err error) {
	g, recordTime, err := w.route(e)
	if err != nil { // stored by somebody who did not keep to what Entry demands
		return true, &CorruptionError{File: "a trace that is no trace", First: e.Position, Last: e.Position, Err: err}
	}
	if w.only != nil && g.tracker != w.only.tracker || w.tracker != nil && g.tracker != *w.tracker {
		w.to = e.Position
		return true, nil
	}
	if w.over[g.tracker] {
		w.note(e, recordTime)
		w.skipped++
		return true, nil
	}
	settings := w.settingsOf(g.tracker)
	if settings.WithoutServiceFolders {
		g.service = ""
	}
	if w.only != nil && g != *w.only {
		w.to = e.Position
		return true, nil
	}
	if settings.Disabled {
		w.note(e, recordTime)
		w.passed++
		return true, nil
	}
	f := w.files[g]
	if f == nil {
		names := len(appendString(appendString(nil, g.tracker), g.service))
		if !w.again && len(w.files) > 0 && w.names+names > maxNames {
			return false, nil
		}
		f = newTraceFile(g, settings.Compression == CompressJSON, w.sealed, w.pack)
		w.files[g] = f
		w.names += names
	}
	if f.closed {
		return false, errPlanned
	}
	w.note(e, recordTime)
	if w.traces++; w.traces == 1 || recordTime < w.oldest {
		w.oldest = recordTime
	}
	w.newest = max(w.newest, recordTime)
	w.bytes += int64(len(e.JSON)) + 1
	f.add(e.JSON, recordTime)
	return true, nil
}

// settingsOf returns the settings of a tracker, the same for the whole window.
func (w *window) settingsOf(tracker string) TransferOptions {
	settings, ok := w.settings[tracker]
	if ok {
		return settings
	}
	settings = w.transfer(tracker)
	if !settings.Disabled || len(w.settings) < maxSettings && len(tracker) <= maxSettingsName {
		w.settings[tracker] = settings
	}
	return settings
}

// note takes note of a trace that the window takes in or passes over.
func (w *window) note(e Entry, recordTime int64) {
	w.to = e.Position
	if w.empty() || recordTime < w.since {
		w.since = recordTime
	}
}

// full reports whether the window is to be cut.
func (w *window) full(o *DumperOptions) bool {
	return w.traces >= o.MaxTraces || w.bytes >= o.MaxBytes || len(w.files) >= maxGroups || w.names >= maxNames
}

// route returns the tracker and service of a trace, and its record time.
func (w *window) route(e Entry) (g group, recordTime int64, err error) {
	if r := e.Route; r != nil {
		g = group{w.own(r.TrackerName), w.own(r.ServiceType)}
		fill(&g.tracker, "system")
		return g, r.RecordTime, nil
	}
	if e.Trace == nil {
		if r, ok := peekRoute(e.JSON); ok {
			g = group{w.text(r.tracker), w.text(r.service)}
			fill(&g.tracker, "system")
			return g, r.recordTime, nil
		}
		if e.Trace, err = ParseTrace(e.JSON); err != nil {
			return g, 0, err
		}
	}
	g = group{w.own(e.Trace.TrackerName), w.own(e.Trace.ServiceType)}
	fill(&g.tracker, "system")
	return g, e.Trace.RecordTime, nil
}

// text returns b as a string, if it can one that it returned before.
func (w *window) text(b []byte) string {
	if s, ok := w.texts[string(b)]; ok {
		return s
	}
	return w.remember(string(b))
}

// own returns s in memory that stays.
func (w *window) own(s string) string {
	if own, ok := w.texts[s]; ok {
		return own
	}
	return w.remember(strings.Clone(s))
}

func (w *window) remember(s string) string {
	if len(s) <= 64 && len(w.texts) < 2*maxGroups {
		w.texts[s] = s
	}
	return s
}

// sorted returns the files in order of tracker and service.
func (w *window) sorted() []*traceFile {
	return slices.SortedFunc(maps.Values(w.files), func(a, b *traceFile) int {
		return cmp.Or(cmp.Compare(a.tracker, b.tracker), cmp.Compare(a.service, b.service))
	})
}

// collect reads on in the log until the window is full or the log ends. It reports
// whether a cycle is due, and whether there may be more traces behind it.
func (d *Dumper) collect(ctx context.Context) (due, more bool, err error) {
	if d.next == nil {
		d.next = d.newWindow(d.state.Position, d.opts.Level)
	}
	w := d.next
	began := d.opts.Clock()
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
		fits, err := w.take(e)
		switch {
		case errors.Is(err, errPlanned):
			d.forget()
			return false, false, err
		case err != nil:
			d.damaged(err)
			w.to = e.Position
		case !fits || w.full(&d.opts):
			return true, true, nil
		}
	}
	w.ended = began.UnixMilli()
	old := d.opts.Clock().Add(-d.opts.MaxAge).UnixMilli()
	return !w.empty() && w.since <= old, false, nil
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
