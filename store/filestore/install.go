package filestore

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// What the keeper made is put into the index here, beside the committer, and what it
// takes the place of is retired.

// seal shows a segment in place of the traces of the log up to a position.
func (c *committer) seal(upTo cts.Position, s *sealed, lost []*cts.CorruptionError) {
	c.mu.Lock()
	unused := c.index.seal(upTo, s)
	c.index.holes = mergeLost(c.index.holes, lost)
	if s != nil {
		c.segmentBytes += s.info.bytes
		pinAll(&c.store.pins, s)
	}
	c.show()
	c.ids.drop(upTo) // behind show: who misses an id sees by the view's epoch that it was dropped
	backlog := c.backlog()
	c.mu.Unlock()
	for _, f := range unused {
		c.store.pins.retire(f, func() error { return c.recycle(f) })
	}
	c.store.keeper.report(backlog)
}

// recycle gives a log file, whose traces are all sealed, another use. If that fails, the
// next Open tries again.
func (c *committer) recycle(f *wal.File) error {
	err := c.log.Recycle(f)
	if err != nil {
		c.store.journal.failed("recycle", logName+"/"+f.Name(), err)
	}
	return err
}

// replaceSegments shows a merged segment in place of its parts.
func (c *committer) replaceSegments(parts []segmentInfo, merged *sealed) {
	c.mu.Lock()
	var old []*sealed
	segments := make([]*sealed, 0, len(c.index.segments))
	for _, s := range c.index.segments {
		if !slices.ContainsFunc(parts, func(i segmentInfo) bool { return i.number == s.info.number }) {
			segments = append(segments, s)
			continue
		}
		if old = append(old, s); len(old) == 1 {
			segments = append(segments, merged)
		}
		c.segmentBytes -= s.info.bytes
	}
	c.segmentBytes += merged.info.bytes
	c.index.segments = segments
	pinAll(&c.store.pins, merged)
	c.show()
	c.mu.Unlock()
	c.retire(old)
}

// retire removes segments when nobody reads them any more.
func (c *committer) retire(segments []*sealed) {
	s := c.store
	for _, old := range segments {
		s.pins.retire(old, func() error {
			err := old.Close()
			name := segmentName(old.info.number)
			if rerr := s.dir.fs.Remove(s.dir.path(name)); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
				s.journal.failed("remove", name, rerr) // the next Open removes it
			}
			return err
		})
	}
}

// backlog returns the bytes of the log files that are finished and not sealed. c.mu is
// held.
func (c *committer) backlog() int64 {
	files := c.index.files
	if len(files) < 2 {
		return 0
	}
	return c.starts[files[len(files)-1]] - c.starts[files[0]]
}

// logBytes returns the bytes of the log that are not sealed. c.mu is held.
func (c *committer) logBytes() int64 {
	if len(c.index.files) > 0 {
		return c.total - c.starts[c.index.files[0]]
	}
	return 0
}
