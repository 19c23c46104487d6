package cts

import (
	"sync"
	"sync/atomic"
	"time"
)

// stats are the accounts of a Tracker.
type stats struct {
	offered, stored             atomic.Int64
	skipped, rejected           atomic.Int64
	redacted, cut               atomic.Int64
	attempts, imported, already atomic.Int64

	mu      sync.Mutex
	lastErr error
	lastAt  time.Time
}

func (s *stats) fail(err error, at time.Time) {
	s.mu.Lock()
	s.lastErr, s.lastAt = err, at
	s.mu.Unlock()
}

// Status is the state of a Tracker at one moment. While nothing is under way,
// Offered = Stored + Lost + Queued.
type Status struct {
	Name     string   // the tracker's name
	Writer   Writer   // this writer and boot
	Delivery Delivery // when Record returns

	Offered  int64 // traces that Record and Attempt.End took up
	Stored   int64 // of these, the store has
	Lost     int64 // of these, lost
	Declared int64 // of the lost ones, declared in stored gap traces
	Queued   int64 // of these, in the queue, or not yet settled

	QueuedBytes  int64 // bytes of the queue
	Attempts     int64 // attempts that Begin stored
	OpenAttempts int64 // of these, whose outcome is not stored
	Imported     int64 // records that Import stored
	Existing     int64 // records given to Import that were there already
	Skipped      int64 // traces that the policy did not want
	Rejected     int64 // calls that gave no valid trace
	Redacted     int64 // secrets taken out
	Cut          int64 // traces with a field that was cut

	Recovery    RecoveryReport // what Open found
	LastError   error          // the store's last error, nil if there was none
	LastErrorAt time.Time      // when that was
}

// Status returns the state of the Tracker. It may be called after Close.
func (t *Tracker) Status() Status {
	s := &t.stats
	queued, bytes := t.queue.size()
	lost, declared := t.losses.counts()
	st := Status{
		Name: t.opts.Name, Writer: t.writer, Delivery: t.opts.Delivery,
		Offered: s.offered.Load(), Stored: s.stored.Load(), Lost: lost, Declared: declared,
		Queued: int64(queued), QueuedBytes: int64(bytes),
		Attempts: s.attempts.Load(), OpenAttempts: int64(t.attempts.count()),
		Imported: s.imported.Load(), Existing: s.already.Load(),
		Skipped: s.skipped.Load(), Rejected: s.rejected.Load(), Redacted: s.redacted.Load(), Cut: s.cut.Load(),
		Recovery: t.recovery,
	}
	s.mu.Lock()
	st.LastError, st.LastErrorAt = s.lastErr, s.lastAt
	s.mu.Unlock()
	return st
}
