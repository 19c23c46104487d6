package cts

import (
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

// losses counts lost traces until a gap trace declares them. All that is lost
// between two stored batches becomes one gap.
type losses struct {
	mu      sync.Mutex
	gap     Gap
	reasons []string
	total   int64 // since Open
}

func (l *losses) add(count, bytes, at int64, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total += count
	l.merge(Gap{Count: count, Exact: true, Bytes: bytes, From: at, To: at}, reason)
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

// take returns what is to be declared and forgets it.
func (l *losses) take() (Gap, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gap.Count == 0 {
		return Gap{}, false
	}
	g := l.gap
	g.Reason = strings.Join(l.reasons, "; ")
	l.gap, l.reasons = Gap{}, nil
	return g, true
}

// putBack returns a gap that could not be stored.
func (l *losses) putBack(g Gap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.merge(g, strings.Split(g.Reason, "; ")...)
}

func (l *losses) pending() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gap.Count
}

func (l *losses) lost() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
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
