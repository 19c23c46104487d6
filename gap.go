package cts

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
)

// Names of the traces that a Tracker records about itself. Their service_type is
// "CTS", their resource_type "tracker", as those of CTS.
const (
	TraceTrackerStarted = "trackerStarted" // Open
	TraceTrackerStopped = "trackerStopped" // Close
	TraceTracesLost     = "tracesLost"     // a gap trace, see Ext.Gap
)

const (
	ownService      = "CTS"
	ownResourceType = "tracker"
)

// ownName reports whether only the Tracker itself records traces of this name.
func ownName(name string) bool {
	return name == TraceTrackerStarted || name == TraceTrackerStopped || name == TraceTracesLost
}

// losses counts lost traces until a gap trace declares them. All that is lost
// between two stored batches becomes one gap.
//
// One caller at a time carries the due gap to the store; who wants to store a trace
// meanwhile waits. So a gap precedes every trace that was accepted after the loss.
type losses struct {
	mu       sync.Mutex
	gap      Gap
	reasons  []string
	unsure   declaration   // was carried, and it is not known whether the store has it
	carrying chan struct{} // closed when who carries a gap is back; nil when nobody does
	total    int64         // since Open
	declared int64         // of these, in stored gap traces
}

// declaration is a gap on its way to the store. The zero value declares nothing.
type declaration struct {
	gap  Gap
	json []byte // of the gap trace, when it has been made
}

func (l *losses) add(g Gap, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total += g.Count
	l.merge(g, reason)
}

func (l *losses) merge(g Gap, reasons ...string) {
	if l.gap.Count == 0 {
		l.gap = g
	} else {
		l.gap.Count += g.Count
		l.gap.Bytes += g.Bytes
		l.gap.Exact = l.gap.Exact && g.Exact
		l.gap.From = min(l.gap.From, g.From)
		l.gap.To = max(l.gap.To, g.To)
	}
	for _, r := range reasons {
		if len(l.reasons) < 8 && !slices.Contains(l.reasons, r) {
			l.reasons = append(l.reasons, r)
		}
	}
}

// carry returns what is to be declared, for the caller to bring to the store and to
// come back with carried. It waits while somebody else does that, until ctx ends.
func (l *losses) carry(ctx context.Context) (declaration, error) {
	for {
		l.mu.Lock()
		busy := l.carrying
		if busy == nil {
			d := l.take()
			l.mu.Unlock()
			return d, nil
		}
		l.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return declaration{}, context.Cause(ctx)
		}
	}
}

// take returns what is to be declared, first what was carried before.
func (l *losses) take() declaration {
	d := l.unsure
	if d.gap.Count == 0 {
		if l.gap.Count == 0 {
			return d
		}
		d.gap = l.gap
		d.gap.Reason = strings.Join(l.reasons, "; ")
		l.gap, l.reasons = Gap{}, nil
	}
	l.carrying = make(chan struct{})
	return d
}

// carried says what became of a declaration: the error of its append, if any. What
// the store may have is carried again under the same id; anything else becomes part
// of the next gap.
func (l *losses) carried(d declaration, err error) {
	if d.gap.Count == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.declared += d.gap.Count
		l.unsure = declaration{}
	case errors.Is(err, ErrOutcomeUnknown):
		l.unsure = d
	case l.unsure.gap.Count == 0:
		l.merge(d.gap, strings.Split(d.gap.Reason, "; ")...)
	}
	close(l.carrying)
	l.carrying = nil
}

// pending returns how many losses no stored gap trace declares.
// undeclared returns what was lost and is not declared. Its count is not exact while it
// is unknown whether the store has a gap trace of a part of it.
func (l *losses) undeclared() Gap {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, reasons := l.gap, l.reasons
	if u := l.unsure.gap; u.Count > 0 {
		if g.Count == 0 {
			g = u
		} else {
			g.Count, g.Bytes, g.From, g.To = g.Count+u.Count, g.Bytes+u.Bytes, min(g.From, u.From), max(g.To, u.To)
		}
		g.Exact = false
	}
	g.Reason = strings.Join(reasons, "; ")
	return g
}

func (l *losses) pending() int64 {
	total, declared := l.counts()
	return total - declared
}

func (l *losses) counts() (total, declared int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total, l.declared
}

// ownTrace returns a trace of the Tracker about itself.
func (t *Tracker) ownTrace(name string, rating Rating, ms int64) Trace {
	return Trace{
		Time: ms, RecordTime: ms, Name: name, Type: TypeSystem, Rating: rating, EventType: EventSystem,
		ServiceType: ownService, ResourceType: ownResourceType, ResourceName: t.opts.Name,
		ProjectID: t.opts.ProjectID, DomainID: t.opts.DomainID, TrackerName: t.opts.Name,
		Ext: Ext{Writer: t.writer, PolicyHash: t.opts.PolicyHash},
	}
}

// gapTrace returns the trace that declares g.
func (t *Tracker) gapTrace(id string, g Gap, ms int64) Trace {
	own := t.ownTrace(TraceTracesLost, RatingIncident, ms)
	own.ID = id
	own.Ext.Outcome = OutcomeFailure
	own.Ext.Gap = g
	return own
}
