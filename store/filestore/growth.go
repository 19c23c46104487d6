package filestore

import (
	"errors"
	"sync"

	"github.com/cloudtraceservice/cts"
)

// growth wakes those who wait for the log to grow.
type growth struct {
	mu   sync.Mutex
	next chan struct{}
}

// wait returns a channel that is closed by the next wake.
func (g *growth) wait() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next == nil {
		g.next = make(chan struct{})
	}
	return g.next
}

// wake ends the wait of all who wait now.
func (g *growth) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next != nil {
		close(g.next)
		g.next = nil
	}
}

// asDamage returns err as damage, if it is.
func asDamage(err error) (*cts.CorruptionError, bool) {
	var damage *cts.CorruptionError
	ok := errors.As(err, &damage)
	return damage, ok
}
