package ctshttp

import (
	"context"
	"errors"

	"github.com/cloudtraceservice/cts"
)

// storeAttempt stores the attempt of a request.
func (rec *record) storeAttempt(ctx context.Context, tr *cts.Trace) (*cts.Attempt, error) {
	attempt, err := rec.m.tracker.Begin(ctx, tr)
	if bad(err) {
		rec.refused = err
		attempt, err = rec.m.tracker.Begin(context.Background(), rec.plain(tr, err))
	}
	return attempt, err
}

// store stores what a closed record says: the outcome of the attempt if there is one,
// which the Tracker keeps if it can't store it now, else a trace. Nothing that goes
// wrong changes the response.
func (rec *record) store(tr *cts.Trace) {
	m := rec.m
	if rec.attempt != nil {
		ctx := rec.ctx
		if rec.refused != nil {
			ctx, tr = context.Background(), rec.plain(tr, rec.refused)
		}
		receipt, err := rec.attempt.End(ctx, tr)
		m.settle(ctx, receipt, err)
		return
	}
	receipt, err := m.tracker.Record(rec.ctx, tr)
	if bad(err) {
		receipt, err = m.tracker.Record(context.Background(), rec.plain(tr, err))
	}
	if err != nil && !errors.Is(err, cts.ErrOutcomeUnknown) { // that one the Tracker settles
		m.open.failed(m.opts.Clock(), err)
	}
	m.settle(rec.ctx, receipt, err)
}

// settle notes what became of a trace.
func (m *Middleware) settle(ctx context.Context, receipt cts.Receipt, err error) {
	if err == nil && !receipt.Skipped && m.open.active.Load() {
		err = m.recovered(ctx)
	}
	if err != nil {
		m.stats.fail(err, m.opts.Clock())
	}
}

// bad reports whether an error is the fault of the trace.
func bad(err error) bool {
	return errors.Is(err, cts.ErrInvalidTrace) || errors.Is(err, cts.ErrTooLarge)
}

// plain returns what can be recorded of a trace that was refused because of what the
// application or the client put into it: no lists, bodies, labels nor members of
// their own, and no long texts. A request does not go unrecorded for their sake. It is
// complete without a context, from which the same might come again.
func (rec *record) plain(tr *cts.Trace, cause error) *cts.Trace {
	actor, _ := cts.ActorFrom(rec.ctx)
	if !tr.User.IsZero() {
		actor.User = tr.User
	}
	if tr.Ext.Impersonator != (cts.Principal{}) {
		actor.Impersonator = tr.Ext.Impersonator
	}
	return &cts.Trace{
		Time: rec.start.UnixMilli(), Name: rec.words.name, Type: cts.TypeAPI, Rating: tr.Rating,
		ServiceType: short(tr.ServiceType), ResourceType: short(tr.ResourceType), ResourceID: short(tr.ResourceID),
		SourceIP: short(tr.SourceIP), User: cts.User{ID: short(actor.User.ID), Name: short(actor.User.Name)},
		UserAgent: short(tr.UserAgent), Code: short(tr.Code), Message: "some of it could not be recorded: " + cause.Error(),
		RequestID: short(tr.RequestID), OperationID: short(tr.OperationID), ReadOnly: tr.ReadOnly,
		ContentLength: tr.ContentLength, TotalTime: tr.TotalTime,
		Ext: cts.Ext{
			Outcome: tr.Ext.Outcome, PeerIP: short(tr.Ext.PeerIP), SessionID: short(actor.SessionID), Role: short(actor.Role),
			Impersonator: cts.Principal{ID: short(actor.Impersonator.ID), Name: short(actor.Impersonator.Name)},
			W3CTraceID:   short(tr.Ext.W3CTraceID), W3CSpanID: short(tr.Ext.W3CSpanID),
		},
	}
}

// maxShort is the most bytes of a text in a plain trace.
const maxShort = 256

// short returns s, or nothing if it is long.
func short(s string) string {
	if len(s) > maxShort {
		return ""
	}
	return s
}
