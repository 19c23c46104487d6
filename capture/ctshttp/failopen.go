package ctshttp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudtraceservice/cts"
)

// Names of the traces by which a Middleware tells that requests were served without
// a record: service_type "CTS", resource_type "tracker", with the number of requests
// and the time of the first and last of them, in milliseconds since 1970 UTC, as the
// labels "requests", "from" and "to". They are written once recording works again,
// that is behind the next request that could be recorded, or by [Middleware.Flush].
const (
	TraceFailOpenEntered = "failOpenEntered" // an incident, at the time of the first of the requests
	TraceFailOpenLeft    = "failOpenLeft"    // at the time at which recording worked again
)

// outage is a time in which requests were served unrecorded.
type outage struct {
	requests int64
	from, to time.Time
	cause    error // of the first
	entered  bool  // its first trace is stored
}

func (o *outage) add(other outage) {
	if o.requests == 0 {
		o.from, o.cause = other.from, other.cause
	}
	if other.requests > 0 {
		o.requests += other.requests
		o.to = other.to
	}
}

// failOpen remembers the outage until it is recorded.
type failOpen struct {
	tracker string      // name of the tracker
	active  atomic.Bool // there is something to record
	total   atomic.Int64

	mu        sync.Mutex
	now       outage
	reporting bool
	next      outage // while now is being recorded
}

// failed counts a request that was served unrecorded.
func (f *failOpen) failed(at time.Time, cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total.Add(1)
	o := &f.now
	if f.reporting {
		o = &f.next
	}
	o.add(outage{requests: 1, from: at, to: at, cause: cause})
	f.active.Store(true)
}

// since returns when the outage began, zero if there is none.
func (f *failOpen) since() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now.requests == 0 {
		return f.next.from
	}
	return f.now.from
}

// take returns the outage that is to be recorded, for one caller at a time.
func (f *failOpen) take() (outage, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reporting || f.now.requests == 0 {
		return outage{}, false
	}
	f.reporting = true
	return f.now, true
}

// reported ends what take began.
func (f *failOpen) reported(o outage, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reporting = false
	if err == nil {
		o = outage{}
	}
	o.add(f.next)
	f.now, f.next = o, outage{}
	f.active.Store(f.now.requests > 0)
}

// Flush records an outage that is over and not yet recorded, see
// [TraceFailOpenEntered]; without one it does nothing. It is to be called when the
// server has shut down and before the Tracker is closed. The error says that
// recording still fails.
func (m *Middleware) Flush(ctx context.Context) error {
	if !m.open.active.Load() {
		return nil
	}
	return m.recovered(ctx)
}

// recovered is called when something could be recorded.
func (m *Middleware) recovered(ctx context.Context) error {
	o, ok := m.open.take()
	if !ok {
		return nil
	}
	err := m.report(ctx, &o)
	m.open.reported(o, err)
	return err
}

// report writes the two traces of an outage.
func (m *Middleware) report(ctx context.Context, o *outage) error {
	if !o.entered {
		tr := m.outageTrace(TraceFailOpenEntered, o)
		tr.Time, tr.Rating, tr.Ext.Outcome = o.from.UnixMilli(), cts.RatingIncident, cts.OutcomeFailure
		tr.Message = fmt.Sprintf("recording failed, and %d requests were served without a record: %v", o.requests, o.cause)
		if err := m.tell(ctx, &tr); err != nil {
			return err
		}
		o.entered = true
	}
	tr := m.outageTrace(TraceFailOpenLeft, o)
	tr.Time, tr.Rating, tr.Ext.Outcome = m.opts.Clock().UnixMilli(), cts.RatingNormal, cts.OutcomeSuccess
	tr.Message = fmt.Sprintf("recording works again; %d requests were served without a record", o.requests)
	return m.tell(ctx, &tr)
}

func (m *Middleware) outageTrace(name string, o *outage) cts.Trace {
	return cts.Trace{
		Name: name, Type: cts.TypeSystem, ServiceType: "CTS", ResourceType: "tracker", ResourceName: m.open.tracker,
		Ext: cts.Ext{Labels: map[string]string{
			"requests": strconv.FormatInt(o.requests, 10),
			"from":     strconv.FormatInt(o.from.UnixMilli(), 10),
			"to":       strconv.FormatInt(o.to.UnixMilli(), 10),
		}},
	}
}

func (m *Middleware) tell(ctx context.Context, tr *cts.Trace) error {
	_, err := m.tracker.Record(ctx, tr)
	if errors.Is(err, cts.ErrOutcomeUnknown) {
		return nil // the Tracker settles it
	}
	return err
}
