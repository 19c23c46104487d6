package cts

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// RecoveryReport says what Open found of former boots that did not end with Close.
type RecoveryReport struct {
	Killed          int   // boots that were killed
	UnknownOutcomes int   // attempts that were given the outcome unknown
	LostAtMost      int64 // bytes of queues that may have been lost with killed boots
	Damaged         int   // damaged places among the traces that were looked at
}

// boot is one opening of a tracker.
type boot struct {
	ID         string   `json:"id"`
	Started    int64    `json:"started"`               // when, milliseconds since 1970 UTC
	Low        Position `json:"low"`                   // its start trace, or later: all its attempts before that have ended
	QueueBytes int64    `json:"queue_bytes,omitempty"` // what a kill may take; 0 for durable delivery
	Stopped    bool     `json:"stopped,omitempty"`     // it was closed, with attempts open or losses not declared
	Lost       *Gap     `json:"lost,omitempty"`        // losses that Close could not declare

	open    map[string]*Trace // attempts without an outcome
	seen    int64             // record time of its last trace
	stopped bool              // its stop trace was found
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
	if err := t.appendRecovered(ctx, recovered); err != nil {
		return fmt.Errorf("recording what former boots left behind: %w", err)
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
	if t.states == nil {
		return nil, nil
	}
	data, generation, err := t.states.LoadState(ctx, t.bootStateName())
	if err != nil {
		return nil, err
	}
	t.boots.generation = generation
	if err := t.boots.parse(data); err != nil {
		return nil, fmt.Errorf("state %s: %w", t.bootStateName(), err)
	}
	boots := t.boots.Boots
	log, ok := ability[Log](t.store)
	if len(boots) == 0 || !ok {
		return nil, nil
	}
	if err := t.inspect(ctx, log, boots); err != nil {
		return nil, err
	}
	var due []Entry
	for i := range boots {
		traces, err := t.due(&boots[i])
		if err != nil {
			return nil, err
		}
		due = append(due, traces...)
	}
	return due, nil
}

// appendRecovered records what former boots are due. A trace whose id is taken was
// recorded by an Open that did not come to its end, perhaps in other words.
func (t *Tracker) appendRecovered(ctx context.Context, due []Entry) error {
	for len(due) > 0 {
		n, size := 0, 0
		for n < len(due) && n < batchTraces && (n == 0 || size+len(due[n].JSON) <= batchBytes) {
			size += len(due[n].JSON)
			n++
		}
		_, err := t.store.Append(ctx, due[:n])
		var conflict *ConflictError
		switch {
		case err == nil:
			due = due[n:]
		case errors.As(err, &conflict) && conflict.Index >= 0 && conflict.Index < n:
			due = slices.Delete(due, conflict.Index, conflict.Index+1)
		default:
			return err
		}
	}
	return nil
}

// inspect reads what the boots recorded since their low marks.
func (t *Tracker) inspect(ctx context.Context, log Log, boots []boot) error {
	from := boots[0].Low
	for i := range boots {
		boots[i].open = map[string]*Trace{}
		boots[i].seen = boots[i].Started
		from = min(from, boots[i].Low)
	}
	return t.inspectBehind(ctx, log, max(from, 1)-1, boots)
}

func (t *Tracker) inspectBehind(ctx context.Context, log Log, from Position, boots []boot) error {
	for e, err := range log.After(ctx, from) {
		var damage *CorruptionError
		oldest, gone := goneAbove(from, err)
		switch {
		case errors.As(err, &damage):
			t.recovery.Damaged++
			continue
		case gone:
			// Retention dropped what no tracker had looked after.
			t.recovery.Damaged++
			return t.inspectBehind(ctx, log, oldest-1, boots)
		case errors.Is(err, ErrPositionGone):
			t.recovery.Damaged++
			return nil
		case err != nil:
			return err
		}
		for i := range boots {
			if err := boots[i].observe(e); err != nil {
				return err
			}
			from = e.Position
		}
	}
	return nil
}

// observe takes note of a trace, if it is one that this boot made: an imported record
// may tell of the attempts of others.
func (b *boot) observe(e Entry) error {
	if !bytes.Contains(e.JSON, []byte(`"boot":"`+b.ID+`"`)) {
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
	if tr.Ext.Writer.Boot != b.ID || derived(tr.ID) {
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

// derived reports whether an id is one that deriveID made.
func derived(id string) bool { return len(id) == 36 && id[14] == '8' }

// due returns the traces that one former boot is due.
func (t *Tracker) due(b *boot) ([]Entry, error) {
	now := t.now()
	var due []Entry
	var faults []error
	add := func(tr *Trace) {
		cut := newCutter(Limits{}.withDefaults(), nil, tr.Ext.Cut)
		json, err := cut.fit(tr, tr.AppendJSON(nil)) // an outcome may be longer than its attempt
		faults = append(faults, err)
		due = append(due, Entry{Trace: tr, JSON: json})
	}
	if b.Lost != nil {
		gap := t.gapTrace(deriveID("gap", b.ID), *b.Lost, max(b.Lost.To, b.seen))
		gap.RecordTime = now
		add(&gap)
	}
	if !b.Stopped && !b.stopped {
		t.recovery.Killed++
		if b.QueueBytes > 0 {
			t.recovery.LostAtMost += b.QueueBytes
			gap := t.gapTrace(deriveID("gap", b.ID), Gap{
				Bytes: b.QueueBytes, From: b.Started, To: max(b.seen, now),
				Reason: "the process was killed: unknown loss, of accepted traces at most the bytes given, and what was refused since the last gap",
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
	return due, errors.Join(faults...)
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

// endInDebt notes losses that could not be declared, for the next Open to declare.
func (t *Tracker) endInDebt(ctx context.Context, lost Gap) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), debtTimeout)
	defer cancel()
	this := t.boots.Boots[0]
	this.Low, _ = t.attempts.low()
	this.Stopped, this.Lost = true, &lost
	t.boots.Boots = []boot{this}
	return t.saveBoots(ctx)
}

// debtTimeout is how long Close may take beyond its context to note what was lost.
const debtTimeout = time.Second

// end records the stop and forgets this boot, unless attempts are still open.
func (t *Tracker) end(ctx context.Context) error {
	if _, err := t.recordOwn(ctx, TraceTrackerStopped, t.now()); err != nil {
		return err
	}
	this := t.boots.Boots[0]
	low, held := t.attempts.low()
	t.boots.Boots = nil
	if held {
		this.Stopped, this.Low = true, low
		t.boots.Boots = []boot{this}
	}
	return t.saveBoots(ctx)
}
