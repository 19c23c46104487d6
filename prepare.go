package cts

import (
	"bytes"
	"context"
	"fmt"
	"slices"
)

// work is the memory in which one trace is prepared, used again for the next.
type work struct {
	trace   Trace
	json    []byte
	entries [2]Entry
}

// Working memory larger than this is not kept.
const maxKeptWork = 64 << 10

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
		if t.opts.Policy != nil && !t.opts.Policy.Process(ctx, c) && k != outcome {
			t.stats.skipped.Add(1)
			return false, nil
		}
	}
	if err := c.checkUnknown(); err != nil {
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
	err := t.limit(w, func() error { return t.stamp(c, now, k) })
	if err != nil {
		t.stats.rejected.Add(1)
	}
	return err == nil, err
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

// stamp writes what only the Tracker writes, and checks the result.
func (t *Tracker) stamp(c *Trace, now int64, k kind) error {
	if k == imported {
		c.ID = ImportedID(c.Ext.Source)
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
	return c.Validate()
}

// limit applies the limits, stamps and encodes. A trace whose JSON is too large even
// so is cut again with half the limits.
func (t *Tracker) limit(w *work, stamp func() error) error {
	c := &w.trace
	cut := cutter{Limits: t.opts.Limits, key: t.opts.HashKey, marks: slices.Clip(c.Ext.Cut)}
	cut.apply(c)
	if cut.Reject && cut.over != nil {
		return fmt.Errorf("%w: %w", ErrTooLarge, cut.over)
	}
	if err := stamp(); err != nil {
		return err
	}
	w.json = c.AppendJSON(w.json[:0])
	if bytes.Contains(w.json, []byte(`\ufffd`)) { // written for invalid UTF-8
		cut.repair = true
		cut.apply(c)
		w.json = c.AppendJSON(w.json[:0])
	}
	for len(w.json) > MaxTraceBytes {
		cut.Limits = cut.half()
		cut.apply(c)
		w.json = c.AppendJSON(w.json[:0])
	}
	if cut.over != nil {
		t.stats.cut.Add(1)
	}
	return nil
}

// checkUnknown checks the members that the caller made by hand, if any.
func (t *Trace) checkUnknown() error {
	if t.Unknown != "" {
		if err := t.Unknown.check("unknown", knownMember); err != nil {
			return err
		}
	}
	if t.User.Unknown != "" {
		if err := t.User.Unknown.check("user", func(name string) bool { return new(User).textField(name) != nil }); err != nil {
			return err
		}
	}
	if t.User.Domain.Unknown != "" {
		if err := t.User.Domain.Unknown.check("user.domain", func(name string) bool { return name == "id" || name == "name" }); err != nil {
			return err
		}
	}
	if t.Ext.Foreign != "" {
		if v, err := NewRawJSON([]byte(t.Ext.Foreign)); err != nil || v != t.Ext.Foreign {
			return &FieldError{Field: "ext.foreign", Reason: "not in canonical form; make it with NewRawJSON"}
		}
	}
	return nil
}

// knownMember reports whether a first-level member has a field of its own.
func knownMember(name string) bool {
	switch name {
	case "time", "record_time", "content_length", "total_time", "read_only", "is_consistent", "user", "ext":
		return true
	}
	return new(Trace).textField(name) != nil
}
