package ctshttp

import (
	"sync"
	"sync/atomic"
	"time"
)

// stats are the accounts of a Middleware.
type stats struct {
	refused, unguarded atomic.Int64

	mu      sync.Mutex
	lastErr error
	lastAt  time.Time
}

func (s *stats) fail(err error, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastErr, s.lastAt = err, at
}

func (s *stats) refuse(err error, at time.Time) {
	s.refused.Add(1)
	s.fail(err, at)
}

// Status is the state of a Middleware at one moment.
type Status struct {
	Refused       int64     // guarded requests whose handler was not called
	Unrecorded    int64     // requests that were answered and could not be recorded
	Unguarded     int64     // guarded requests that succeeded on a route without an inner place
	FailOpenSince time.Time // first unrecorded request that no trace tells of yet; zero if there is none
	LastError     error     // last error of recording, nil if there was none
	LastErrorAt   time.Time // when that was
}

// Status returns the state of the Middleware.
func (m *Middleware) Status() Status {
	st := Status{
		Refused: m.stats.refused.Load(), Unguarded: m.stats.unguarded.Load(),
		Unrecorded: m.open.total.Load(), FailOpenSince: m.open.since(),
	}
	m.stats.mu.Lock()
	st.LastError, st.LastErrorAt = m.stats.lastErr, m.stats.lastAt
	m.stats.mu.Unlock()
	return st
}
