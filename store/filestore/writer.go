package filestore

import (
	"sync"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// stage is where groups of batches pass from the committer to the writer and back: next
// is being placed, flying is being written, or was and is not published yet. The writer
// takes the next group as soon as the committer is done with the last.
type stage struct {
	sync.Mutex // also held while the next group is changed
	ready      sync.Cond
	next       *group
	flying     *group
	spare      *group // empty
	flies      bool   // groups are for the writer, if it may be of use
	alone      bool   // the last group had one batch
	held       bool   // the next group is not complete, see rally
	expected   int    // batches that the next group may have soon
	closed     bool
}

func (s *stage) init(flies bool) {
	s.ready.L, s.next, s.spare, s.flies = s, newGroup(), newGroup(), flies
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
	for !s.closed && (s.flying != nil || s.held || !s.forWriter()) {
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
	case s.flying != nil:
		return nil, false
	case len(s.next.batches) == 0:
		return nil, true
	case s.forWriter():
		return nil, false
	}
	return s.launch(), false
}

// launch makes the next group the one that is flying.
func (s *stage) launch() *group {
	s.flying, s.next, s.spare = s.next, s.spare, nil
	return s.flying
}

// landed takes the group that was flying out, which was answered, and holds the next one
// until release.
func (s *stage) landed() {
	g := s.flying
	s.alone = len(g.batches) == 1
	s.held, s.expected = true, len(g.batches)+len(s.next.batches)
	g.reset()
	s.flying, s.spare = nil, g
}

// gathered returns how many batches the next group has, and whether that is all there may be.
func (s *stage) gathered() (n int, all bool) {
	s.Lock()
	defer s.Unlock()
	n = len(s.next.batches)
	return n, n >= s.expected
}

// release leaves the next group to the writer.
func (s *stage) release() {
	s.Lock()
	defer s.Unlock()
	s.held = false
	s.ready.Signal()
}

// find returns a trace that is not published yet.
func (s *stage) find(id string) (a arrival, ok bool) {
	a, ok = s.next.fresh[id]
	if !ok && s.flying != nil {
		a, ok = s.flying.fresh[id]
	}
	return a, ok
}

// size returns the bytes of the frames that are not published yet.
func (s *stage) size() int64 {
	n := s.next.size
	if s.flying != nil {
		n += s.flying.size
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
			w.landed <- write(log, g, true)
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
