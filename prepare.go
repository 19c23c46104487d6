package cts

import (
	"bytes"
	"context"
	"fmt"
)

// work is the memory in which one trace is prepared, used again for the next.
type work struct {
	trace   Trace
	json    []byte
	entries [2]Entry
}

// Working memory larger than this is not kept.
const maxKeptWork = 64 << 10

// borrow returns memory to prepare a trace in, to be given back with release.
func (t *Tracker) borrow() *work {
	if w, ok := t.work.Get().(*work); ok {
		return w
	}
	return new(work)
}

func (t *Tracker) release(w *work) {
	w.trace = Trace{}
	w.entries = [2]Entry{}
	if cap(w.json) > maxKeptWork {
		w.json = nil
	}
	t.work.Put(w)
}

// kind is the way on which a trace came.
type kind uint8

const (
	ordinary kind = iota // Record
	attempt              // Begin
	outcome              // Attempt.End
	imported             // Import
)

// prepare takes a copy of tr through the steps that every trace goes: policy,
// redaction, limits, stamp. Nothing is hashed, cut or encoded before it is
// redacted. It reports false for a trace that the policy does not want.
func (t *Tracker) prepare(ctx context.Context, w *work, tr *Trace, k kind) (bool, error) {
	w.trace = *tr
	c := &w.trace
	now := t.opts.Clock().UnixMilli()
	if k != imported {
		t.complete(ctx, c, now)
		if k == ordinary { // what only Begin, End and the Tracker itself may claim
			c.Ext.Phase, c.Ext.AttemptID, c.Ext.Gap = "", "", Gap{}
		}
		if t.opts.Policy != nil && !t.opts.Policy.Process(ctx, c) && k != outcome {
			t.stats.skipped.Add(1)
			return false, nil
		}
	}
	if err := c.checkGiven(k); err != nil {
		t.stats.rejected.Add(1)
		return false, err
	}
	if t.opts.Redactor != nil {
		before := len(c.Ext.Redacted)
		scrub(t.opts.Redactor, c)
		if n := len(c.Ext.Redacted) - before; n > 0 {
			t.stats.redacted.Add(int64(n))
		}
	}
	err := t.limit(w, func() error { return t.stamp(c, now, k, tr.Ext.Source) })
	if err != nil {
		t.stats.rejected.Add(1)
	}
	return err == nil, err
}

// checkGiven checks what must be right before the trace is worked on.
func (t *Trace) checkGiven(k kind) error {
	if k != imported && t.ServiceType == ownService && ownName(t.Name) {
		return &FieldError{Field: "trace_name", Reason: "reserved for the traces of the tracker about itself"}
	}
	return t.validateRaw()
}

// complete fills in what the caller left open.
func (t *Tracker) complete(ctx context.Context, c *Trace, now int64) {
	if c.Time == 0 {
		c.Time = now
	}
	if c.Type == "" {
		c.Type = TypeAPI
	}
	if c.Type != TypeSystem {
		c.fillFrom(ctx)
	}
	if c.Rating == "" {
		c.Rating = RatingNormal
		if c.Ext.Outcome == OutcomeFailure || c.Ext.Outcome == OutcomeDenied {
			c.Rating = RatingWarning
		}
	}
	if c.EventType == "" {
		c.EventType = EventSystem
	}
	fill(&c.ServiceType, t.opts.ServiceType)
	fill(&c.ProjectID, t.opts.ProjectID)
	fill(&c.DomainID, t.opts.DomainID)
	c.TrackerName = t.opts.Name
}

// stamp writes what only the Tracker writes. The id of an imported record comes from
// its source as it was before any limit.
func (t *Tracker) stamp(c *Trace, now int64, k kind, source Source) error {
	if k == imported {
		c.ID = ImportedID(source)
		if c.Ext.AttemptID != "" { // the attempt comes from the same source, under a derived id too
			c.Ext.AttemptID = ImportedID(Source{Name: source.Name, ID: c.Ext.AttemptID})
		}
		fill(&c.TrackerName, t.opts.Name)
	} else {
		id, err := t.ids.next(now)
		if err != nil {
			return fmt.Errorf("cts: making a trace id: %w", err)
		}
		c.ID = id
	}
	c.RecordTime = now
	c.Ext.Writer = t.writer
	c.Ext.PolicyHash = t.opts.PolicyHash
	return nil
}

// limit applies the limits, stamps, encodes and checks. A trace whose JSON is too large even
// so is cut again with half the limits.
func (t *Tracker) limit(w *work, stamp func() error) error {
	c := &w.trace
	cut := newCutter(t.opts.Limits, t.opts.HashKey, c.Ext.Cut)
	cut.apply(c)
	if err := cut.rejected(0); err != nil {
		return err
	}
	if err := stamp(); err != nil {
		return err
	}
	w.json = c.AppendJSON(w.json[:0])
	if bytes.Contains(w.json, []byte("ufffd")) { // \ufffd was written for invalid UTF-8; a '\\' is too frequent to search for
		cut.repair = true
		cut.apply(c)
		w.json = c.AppendJSON(w.json[:0])
	}
	if err := cut.rejected(len(w.json)); err != nil {
		return err
	}
	var err error
	if w.json, err = cut.fit(c, w.json); err != nil {
		return err
	}
	if cut.over != nil {
		t.stats.cut.Add(1)
	}
	return c.Validate()
}
