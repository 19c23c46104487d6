package cts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cloudtraceservice/cts/obs"
)

// quarantined is a trace file that was refused for good, in the state of a Dumper.
type quarantined struct {
	plannedFile

	From   Position `json:"from"` // its traces are in (From, To]
	To     Position `json:"to"`
	Time   int64    `json:"time"`  // when its cycle was cut, milliseconds since 1970 UTC
	Level  int      `json:"level"` // of gzip
	Since  int64    `json:"since"` // when it was refused first, milliseconds since 1970 UTC
	Reason string   `json:"reason"`
}

// maxQuarantined and maxQuarantineBytes bound the files that are set aside. Where so
// many are refused it is not the files, and the dump stops instead.
const (
	maxQuarantined     = 100
	maxQuarantineBytes = MaxStateBytes / 16
	maxReason          = 500 // bytes
)

// permanent reports whether the bucket refuses a file for what it is, so that trying
// again does not help and other files may fare better.
func permanent(err error) bool {
	return errors.Is(err, obs.ErrInvalidKey) || errors.Is(err, obs.ErrInvalid) || errors.Is(err, ErrConflict)
}

// alone reports whether a file has failed for MaxAge with an error that can be its own or
// its tracker's, while other files of its cycle got through, or other trackers wait
// behind it.
func (d *Dumper) alone(ctx context.Context, j *job) bool {
	if !errors.Is(j.err, obs.ErrDenied) && !errors.Is(j.err, obs.ErrChecksum) {
		return false
	}
	return d.failing(j.planned.Key) >= d.opts.MaxAge && (len(d.verified) > 0 || d.othersWait(ctx))
}

// roomFor reports whether one more file can be set aside, beside so many others.
func (d *Dumper) roomFor(f plannedFile, others int) bool {
	if len(d.state.Quarantine)+others >= maxQuarantined {
		return false
	}
	all, err := json.Marshal(d.state.Quarantine)
	one, oneErr := json.Marshal(f)
	return err == nil && oneErr == nil && len(all)+(others+1)*(len(one)+maxReason+200) <= maxQuarantineBytes
}

// quarantineAlso returns the quarantine with files of the plan that were refused.
func (d *Dumper) quarantineAlso(p *plan, refused []*job) []quarantined {
	return slices.Concat(d.state.Quarantine, d.quarantined(p, refused))
}

// quarantined returns the entries for files of the plan that were refused.
func (d *Dumper) quarantined(p *plan, refused []*job) []quarantined {
	var all []quarantined
	now := d.opts.Clock().UnixMilli()
	for _, j := range refused {
		all = append(all, quarantined{
			plannedFile: j.planned, From: p.from, To: p.To, Time: p.Time, Level: p.Level, Since: now, Reason: reasonText(j.err),
		})
	}
	return all
}

// reasonText returns the text of an error in the length that a state keeps.
func reasonText(err error) string {
	text := err.Error()
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}

// file returns what callers are told.
func (q quarantined) file() QuarantinedFile {
	return QuarantinedFile{
		Key: q.Key, Tracker: q.Tracker, Service: q.Service, Traces: q.Traces,
		First: q.From + 1, Last: q.To, Since: time.UnixMilli(q.Since), Reason: q.Reason,
	}
}

// alarm reports a file that was set aside just now.
func (d *Dumper) alarm(key string) {
	for _, q := range d.state.Quarantine {
		if event := d.opts.Events.Quarantined; q.Key == key && event != nil {
			event(q.file())
		}
	}
}

// Quarantined returns the trace files that are set aside, the longest first. Before
// the first cycle it returns none.
func (d *Dumper) Quarantined() []QuarantinedFile {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.quarantine)
}

// RetryQuarantined tries again to deliver the trace files that are set aside. It
// returns nil when none is left. Every Dumper does so by itself before its first cycle,
// when the bucket works again after failures, and every 10 MaxAge, where a failure is no
// failure of the cycle.
//
// A file is set aside when the bucket refuses it for what it is: its key ([obs.ErrInvalidKey])
// or anything else about it ([obs.ErrInvalid]); and when it was denied for MaxAge, or does
// not come out right, while files of the same cycle got through, such as where a policy
// denies the folder of one tracker. The others are delivered all the same; its
// traces stay in the store, as retention is told, and are read again from there. It is
// put under the key that the options give it now, so that another Prefix or Region can
// mend it. At most 100 files are set aside: a tracker that has too many of them, or finds
// no room for its own, goes behind as a whole, see [Dumper.Behind], and is tried here too.
func (d *Dumper) RetryQuarantined(ctx context.Context) error {
	ctx, done, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	err = d.resume(ctx)
	if err == nil {
		err = errors.Join(d.retryQuarantined(ctx, true), d.catchUp(ctx, true, math.MaxInt))
	}
	d.note(ctx, err)
	return err
}

// retryQuarantined tries all files that are set aside. Their failures are returned only
// if they are wanted.
func (d *Dumper) retryQuarantined(ctx context.Context, wanted bool) error {
	var failures []error
	for _, q := range slices.Clone(d.state.Quarantine) {
		err := d.retryOne(ctx, q)
		if err != nil && (!d.begun || ctx.Err() != nil) {
			return err
		}
		if err != nil && wanted {
			failures = append(failures, fmt.Errorf("cts: quarantined trace file %s: %w", q.Key, err))
		}
	}
	d.beside(d.hold(ctx))
	return errors.Join(failures...)
}

// retryOne tries to deliver one file that is set aside.
func (d *Dumper) retryOne(ctx context.Context, q quarantined) error {
	w, f, err := d.reread(ctx, q)
	if w == nil {
		return err
	}
	defer w.drop()
	if f == nil { // retention took all of it, or it is damaged; both were reported
		return d.release(ctx, q, storedFile{}, false)
	}
	p := &plan{To: q.To, Time: q.Time, Level: q.Level, from: q.From}
	now := d.plan(p, w, f)
	if now.Attempt = q.Attempt; now.Attempt > 0 {
		d.rekey(p, &now)
	}
	if now.Key != q.Key {
		if kept, err := d.delivered(ctx, q.plannedFile); err != nil {
			return err
		} else if kept {
			stored := d.verified[q.Key]
			delete(d.verified, q.Key)
			return d.release(ctx, q, stored, true)
		}
	}
	if now != q.plannedFile {
		if q, err = d.rename(ctx, q, now); err != nil {
			return err
		}
	}
	if err := w.pack.wait(); err != nil {
		return err
	}
	stored, err := d.put(ctx, q.plannedFile, f)
	if errors.Is(err, ErrConflict) && q.Attempt < maxAttempts {
		d.conflict(q.Key)
		again := q.plannedFile
		again.Attempt++
		d.rekey(p, &again)
		if q, err = d.rename(ctx, q, again); err != nil {
			return err
		}
		stored, err = d.put(ctx, q.plannedFile, f)
	}
	if err != nil {
		return err
	}
	d.unread(stored)
	return d.release(ctx, q, stored, true)
}

// reread reads the traces of a file that is set aside. The file is nil if none is left.
func (d *Dumper) reread(ctx context.Context, q quarantined) (*window, *traceFile, error) {
	w := d.newWindow(q.From, q.Level)
	g := q.group()
	w.again, w.only, w.over = true, &g, nil
	w.settings[q.Tracker] = q.settings()
	gone := func(first, last Position) {
		if first = max(first, d.quarantineLost[q.Key]+1); first <= last {
			d.quarantineLost[q.Key] = last
			d.report(Loss{Consumer: d.opts.StateName, First: first, Last: last, Traces: min(int64(last-first+1), int64(q.Traces))})
		}
	}
	if err := d.readAgain(ctx, w, q.To, gone); err != nil {
		w.drop()
		return nil, nil, err
	}
	return w, w.files[g], nil
}

// rename saves the quarantine with another entry for a file, before that is put.
func (d *Dumper) rename(ctx context.Context, q quarantined, now plannedFile) (quarantined, error) {
	st := d.state
	st.Quarantine = slices.Clone(st.Quarantine)
	i := slices.IndexFunc(st.Quarantine, func(other quarantined) bool { return other.Key == q.Key })
	if lost, ok := d.quarantineLost[q.Key]; ok {
		d.quarantineLost[now.Key] = lost
	}
	q.plannedFile = now
	st.Quarantine[i] = q
	return q, d.save(ctx, st)
}

// release takes a file out of the quarantine, because it is delivered or nothing of it
// is left.
func (d *Dumper) release(ctx context.Context, q quarantined, stored storedFile, delivered bool) error {
	st := d.state
	st.Quarantine = slices.DeleteFunc(slices.Clone(st.Quarantine), func(other quarantined) bool { return other.Key == q.Key })
	if len(st.Quarantine) == 0 {
		st.Quarantine = nil
	}
	if delivered && d.seal != nil {
		stored.from, stored.at = q.From, d.opts.Clock().UnixMilli()
		d.seal.delivered(&st, q.plannedFile, stored)
	}
	if err := d.save(ctx, st); err != nil {
		return err
	}
	delete(d.quarantineLost, q.Key)
	if !delivered {
		return nil
	}
	info := q.info(stored.size)
	d.count(nil, []FileInfo{info})
	if event := d.opts.Events.FileDumped; event != nil {
		event(info)
	}
	return nil
}
