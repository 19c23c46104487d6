package filestore

import (
	"sync"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// stage is where groups of batches pass from the committer to the writer and back: next
// is being placed, flying are being written or were, and are not published yet. The
// writer takes the next group itself when it is done with one, so that the disk never
// waits for the committer.
type stage struct {
	sync.Mutex // also held while the next group is changed
	ready      sync.Cond
	next       *group
	flying     []*group // in the order of their positions; all have landed but the last
	spares     []*group // empty
	flies      bool     // groups are for the writer, if it may be of use
	alone      bool     // the last group had one batch
	failed     bool     // the last group was not written: the next one has wrong positions
	closed     bool
}

func (s *stage) init(flies bool) {
	s.ready.L, s.next, s.flies = s, newGroup(), flies
}

// forWriter reports whether the next group is for the writer: there is something to
// sync, and others append meanwhile.
func (s *stage) forWriter() bool {
	g := s.next
	alone := s.alone && len(g.batches) == 1
	return s.flies && !alone && !g.flush && len(g.frames) > 0
}

// take waits for a group that is for the writer. It returns nil at the end.
func (s *stage) take() *group {
	s.Lock()
	defer s.Unlock()
	for !s.closed && (s.failed || !s.forWriter()) {
		s.ready.Wait()
	}
	if s.closed {
		return nil
	}
	return s.launch()
}

// own returns the next group if it is not for the writer and nothing is flying, and nil
// if there is none. It reports whether there is nothing at all.
func (s *stage) own() (g *group, idle bool) {
	s.Lock()
	defer s.Unlock()
	switch {
	case len(s.flying) > 0:
		return nil, false
	case len(s.next.batches) == 0:
		return nil, true
	case s.forWriter():
		return nil, false
	}
	return s.launch(), false
}

// launch moves the next group to those that are flying.
func (s *stage) launch() *group {
	g := s.next
	s.flying = append(s.flying, g)
	if n := len(s.spares) - 1; n >= 0 {
		s.next, s.spares = s.spares[n], s.spares[:n]
	} else {
		s.next = newGroup()
	}
	return g
}

// landed takes the first group that is flying out, which was answered. What was wrong
// with the next one because of it is mended.
func (s *stage) landed(l landing) {
	s.alone = len(l.group.batches) == 1
	s.failed = false
	s.flying = append(s.flying[:0], s.flying[1:]...)
	l.group.reset()
	s.spares = append(s.spares, l.group)
	s.ready.Signal()
}

// find returns a trace that is not published yet.
func (s *stage) find(id string) (a arrival, ok bool) {
	a, ok = s.next.fresh[id]
	for i := 0; i < len(s.flying) && !ok; i++ {
		a, ok = s.flying[i].fresh[id]
	}
	return a, ok
}

// size returns the bytes of the frames that are not published yet.
func (s *stage) size() int64 {
	n := s.next.size
	for _, g := range s.flying {
		n += g.size
	}
	return n
}

// writer is the goroutine that writes and syncs groups for the committer, one at a time.
type writer struct {
	stage  *stage
	landed chan landing
	ended  chan struct{}
}

// landing is what became of a group.
type landing struct {
	group  *group
	file   *wal.File
	offset int64 // of its first frame in the file
	err    error // nothing was written

	// Of the log afterwards.
	next   cts.Position
	synced wal.Mark
	bytes  int64
}

func newWriter(log *wal.Log, s *stage) *writer {
	w := &writer{stage: s, landed: make(chan landing, 1), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		for g := s.take(); g != nil; g = s.take() {
			l := write(log, g, true)
			if l.err != nil {
				s.Lock()
				s.failed = true // until the committer has seen it
				s.Unlock()
			}
			w.landed <- l
		}
	}()
	return w
}

// stop ends the goroutine, when no group is flying.
func (w *writer) stop() {
	w.stage.Lock()
	w.stage.closed = true
	w.stage.ready.Signal()
	w.stage.Unlock()
	<-w.ended
}

// write writes the frames of a group.
func write(log *wal.Log, g *group, sync bool) landing {
	l := landing{group: g}
	l.file, l.offset, l.err = log.Append(g.frames, sync)
	l.next, l.synced, l.bytes = cts.Position(log.Next()), log.Synced(), log.Bytes()
	return l
}
