package filestore

import (
	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// writer is the goroutine that writes and syncs groups for the committer, one at a time.
type writer struct {
	groups chan *group
	landed chan landing
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

func newWriter(log *wal.Log) *writer {
	w := &writer{groups: make(chan *group, 1), landed: make(chan landing, 1)}
	go func() {
		defer close(w.landed)
		for g := range w.groups {
			w.landed <- write(log, g, true)
		}
	}()
	return w
}

// stop ends the goroutine, when no group is flying.
func (w *writer) stop() {
	close(w.groups)
	<-w.landed
}

// write writes the frames of a group.
func write(log *wal.Log, g *group, sync bool) landing {
	l := landing{group: g}
	l.file, l.offset, l.err = log.Append(g.frames, sync)
	l.next, l.synced, l.bytes = cts.Position(log.Next()), log.Synced(), log.Bytes()
	return l
}
