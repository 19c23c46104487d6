package cts

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// RecoveryReport says what Open found of former boots that did not end with Close.
type RecoveryReport struct {
	Killed          int   // boots that were killed
	UnknownOutcomes int   // attempts that were given the outcome unknown
	LostAtMost      int64 // bytes of queues that may have been lost with killed boots
	Damaged         int   // damaged places among the traces that were looked at
}

// bootState is the named state in which a tracker keeps its open boots: those whose
// attempts may lack an outcome. It is how a kill is noticed.
//
// Its name is "tracker." and the tracker's name, with an upper-case letter written
// as '.' and the lower-case one. It is JSON.
type bootState struct {
	Version int    `json:"v"`
	Boots   []boot `json:"boots"`

	generation uint64
}

// boot is one opening of a tracker.
type boot struct {
	ID         string   `json:"id"`
	Started    int64    `json:"started"`               // when, milliseconds since 1970 UTC
	Low        Position `json:"low"`                   // its start trace, or later: all its attempts before that have ended
	QueueBytes int64    `json:"queue_bytes,omitempty"` // what a kill may take; 0 for durable delivery
	Stopped    bool     `json:"stopped,omitempty"`     // it was closed, with attempts open

	open    map[string]*Trace // attempts without an outcome
	seen    int64             // record time of its last trace
	stopped bool              // its stop trace was found
}

const (
	bootStateVersion = 1
	writerState      = "writer"
)

func (t *Tracker) bootStateName() string {
	var b strings.Builder
	b.WriteString("tracker.")
	for _, c := range t.opts.Name {
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('.')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// begin finds out who writes, looks after former boots and records the start.
func (t *Tracker) begin(ctx context.Context) error {
	id, err := uuid.NewRandomFromReader(t.ids.src)
	if err != nil {
		return err
	}
	t.writer = Writer{ID: t.opts.WriterID, Boot: id.String()}
	if err := t.findWriter(ctx); err != nil {
		return err
	}
	recovered, err := t.recover(ctx)
	if err != nil {
		return fmt.Errorf("looking after former boots: %w", err)
	}
	for chunk := range slices.Chunk(recovered, 1000) {
		if _, err := t.store.Append(ctx, chunk); err != nil {
			return fmt.Errorf("recording what former boots left behind: %w", err)
		}
	}
	now := t.now()
	at, err := t.recordOwn(ctx, TraceTrackerStarted, now)
	if err != nil {
		return err
	}
	t.attempts.reached(at)
	t.attempts.saved(at)
	this := boot{ID: t.writer.Boot, Started: now, Low: at}
	if t.opts.Delivery == Queued {
		this.QueueBytes = int64(t.opts.QueueBytes)
	}
	t.boots.Boots = []boot{this}
	if err := t.saveBoots(ctx); err != nil {
		return err
	}
	if f := t.opts.Events.Recovered; f != nil && t.recovery != (RecoveryReport{}) {
		f(t.recovery)
	}
	return nil
}

// findWriter reads or makes the writer's id.
func (t *Tracker) findWriter(ctx context.Context) error {
	if t.writer.ID != "" {
		return nil
	}
	id, err := uuid.NewRandomFromReader(t.ids.src)
	if err != nil {
		return err
	}
	if t.states == nil {
		t.writer.ID = id.String()
		return nil
	}
	kept, _, err := t.states.LoadState(ctx, writerState)
	if err == nil && kept == nil {
		kept = []byte(id.String())
		if _, err = t.states.SaveState(ctx, writerState, kept, 0); errors.Is(err, ErrStateConflict) {
			kept, _, err = t.states.LoadState(ctx, writerState)
		}
	}
	if err != nil {
		return fmt.Errorf("the writer's id: %w", err)
	}
	t.writer.ID = string(kept)
	return nil
}

func (t *Tracker) recordOwn(ctx context.Context, name string, ms int64) (Position, error) {
	tr := t.ownTrace(name, RatingNormal, ms)
	id, err := t.ids.next(ms)
	if err != nil {
		return 0, err
	}
	tr.ID = id
	tr.Ext.Outcome = OutcomeSuccess
	done, err := t.store.Append(ctx, []Entry{{Trace: &tr, JSON: tr.AppendJSON(nil)}})
	if err != nil {
		return 0, fmt.Errorf("recording %s: %w", name, err)
	}
	return done.Last, nil
}

// recover returns the traces that former boots are due: an outcome unknown for each
// attempt left open, and a gap for each queue that was lost. Their ids are derived
// from what they are about, so that doing it twice changes nothing.
func (t *Tracker) recover(ctx context.Context) ([]Entry, error) {
	log, ok := ability[Log](t.store)
	if t.states == nil || !ok {
		return nil, nil
	}
	data, generation, err := t.states.LoadState(ctx, t.bootStateName())
	if err != nil {
		return nil, err
	}
	t.boots.generation = generation
	if data != nil {
		if err := json.Unmarshal(data, &t.boots); err != nil {
			return nil, fmt.Errorf("state %s: %w", t.bootStateName(), err)
		}
		if t.boots.Version > bootStateVersion {
			return nil, fmt.Errorf("%w: state %s has version %d, this release reads %d", ErrVersion, t.bootStateName(), t.boots.Version, bootStateVersion)
		}
	}
	boots := t.boots.Boots
	if len(boots) == 0 {
		return nil, nil
	}
	if err := t.inspect(ctx, log, boots); err != nil {
		return nil, err
	}
	var due []Entry
	for i := range boots {
		due = append(due, t.due(&boots[i])...)
	}
	return due, nil
}

// inspect reads what the boots recorded since their low marks.
func (t *Tracker) inspect(ctx context.Context, log Log, boots []boot) error {
	from := boots[0].Low
	for i := range boots {
		boots[i].open = map[string]*Trace{}
		boots[i].seen = boots[i].Started
		from = min(from, boots[i].Low)
	}
	for e, err := range log.After(ctx, max(from, 1)-1) {
		var damage *CorruptionError
		switch {
		case errors.As(err, &damage):
			t.recovery.Damaged++
			continue
		case errors.Is(err, ErrPositionGone):
			// Retention was told to drop what no tracker had looked after.
			t.recovery.Damaged++
			return nil
		case err != nil:
			return err
		}
		for i := range boots {
			if err := boots[i].observe(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// observe takes note of a trace, if it is one of this boot.
func (b *boot) observe(e Entry) error {
	if !bytes.Contains(e.JSON, []byte(b.ID)) {
		return nil
	}
	_, _, recorded, err := PeekJSON(e.JSON)
	if err != nil {
		return err
	}
	b.seen = max(b.seen, recorded)
	if !bytes.Contains(e.JSON, []byte(`"phase":"`)) && !bytes.Contains(e.JSON, []byte(TraceTrackerStopped)) {
		return nil
	}
	tr, err := e.Decode()
	if err != nil {
		return err
	}
	if tr.Ext.Writer.Boot != b.ID {
		return nil
	}
	switch {
	case tr.Ext.Phase == PhaseAttempt:
		b.open[tr.ID] = tr
	case tr.Ext.Phase == PhaseOutcome:
		delete(b.open, tr.Ext.AttemptID)
	case tr.ServiceType == ownService && tr.Name == TraceTrackerStopped:
		b.stopped = true
	}
	return nil
}

// due returns the traces that one former boot is due.
func (t *Tracker) due(b *boot) []Entry {
	now := t.now()
	var due []Entry
	add := func(tr *Trace) { due = append(due, Entry{Trace: tr, JSON: tr.AppendJSON(nil)}) }
	if !b.Stopped && !b.stopped {
		t.recovery.Killed++
		if b.QueueBytes > 0 {
			t.recovery.LostAtMost += b.QueueBytes
			gap := t.gapTrace(deriveID("gap", b.ID), Gap{
				Bytes: b.QueueBytes, From: b.Started, To: b.seen,
				Reason: "the process was killed: unknown loss, at most the bytes given",
			}, b.seen)
			gap.RecordTime = now
			add(&gap)
		}
	}
	attempts := make([]*Trace, 0, len(b.open))
	for _, a := range b.open {
		attempts = append(attempts, a)
	}
	slices.SortFunc(attempts, func(x, y *Trace) int { return cmp.Compare(x.ID, y.ID) })
	for _, a := range attempts {
		t.recovery.UnknownOutcomes++
		add(t.unknownOutcome(a, now))
	}
	return due
}

// unknownOutcome returns the outcome of an attempt whose end nobody saw.
func (t *Tracker) unknownOutcome(a *Trace, now int64) *Trace {
	o := Trace{
		ID: deriveID("outcome", a.ID), RecordTime: now, Rating: RatingWarning, TrackerName: a.TrackerName,
		Message: "the process ended before the outcome was recorded",
	}
	o.Ext.Outcome = OutcomeUnknown
	o.follow(a)
	o.Ext.Writer, o.Ext.PolicyHash = t.writer, t.opts.PolicyHash
	return &o
}

// saveBoots saves the open boots.
func (t *Tracker) saveBoots(ctx context.Context) error {
	if t.states == nil {
		return nil
	}
	t.boots.Version = bootStateVersion
	data, err := json.Marshal(&t.boots)
	if err != nil {
		return err
	}
	generation, err := t.states.SaveState(ctx, t.bootStateName(), data, t.boots.generation)
	if errors.Is(err, ErrStateConflict) {
		return fmt.Errorf("%w: a second tracker %q was opened on the same store", err, t.opts.Name)
	}
	if err != nil {
		return fmt.Errorf("saving the open boots: %w", err)
	}
	t.boots.generation = generation
	return nil
}

// lowMarkStep is how far the low mark of this boot may fall behind before it is
// saved again: about how many traces the next Open has to read.
const lowMarkStep = 50_000

// saveLowMark moves the low mark when it has fallen far behind. Only the flusher
// calls it.
func (t *Tracker) saveLowMark(ctx context.Context) {
	low, _ := t.attempts.low()
	before := t.boots.Boots[0].Low
	if t.states == nil || low < before+lowMarkStep {
		return
	}
	t.boots.Boots[0].Low = low
	if err := t.saveBoots(ctx); err != nil {
		t.boots.Boots[0].Low = before
		t.failed(0, err)
		return
	}
	t.attempts.saved(low)
}

// end records the stop and forgets this boot, unless attempts are still open.
func (t *Tracker) end(ctx context.Context) error {
	if _, err := t.recordOwn(ctx, TraceTrackerStopped, t.now()); err != nil {
		return err
	}
	this := t.boots.Boots[0]
	low, open := t.attempts.low()
	t.boots.Boots = nil
	if open > 0 {
		this.Stopped, this.Low = true, low
		t.boots.Boots = []boot{this}
	}
	return t.saveBoots(ctx)
}
