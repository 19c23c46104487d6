package filestore

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"runtime"
	"slices"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// Segments are merged when mergeFanIn neighbours of one size class stand side by side,
// so that a trace is merged about once for each factor mergeFanIn by which the store
// outgrows a log file, and there are few segments to ask. While log files wait to be
// sealed, merging waits until there are more, and merges them all at once: a store that
// is busy has better things to do, and merges each trace less often.
const (
	mergeFanIn    = 8
	busyFanIn     = 32
	maxMergedRows = 8 << 20 // no segment gets more rows by merging
)

// class returns the size class of a segment: how often it has been merged, as its rows
// tell. Those of class 0 come from one log file.
func (i segmentInfo) class() int {
	c := 0
	for rows := i.rows; rows > classRows; rows /= mergeFanIn {
		c++
	}
	return c
}

// classRows is the most rows of class 0, some more than a log file of the usual size has.
const classRows = 1 << 17

// due returns the neighbours [from, to) that should be merged next, at least so many, or
// false.
func due(segments []segmentInfo, least int) (from, to int, ok bool) {
	for to = len(segments); to > 0; to = from {
		class, rows := segments[to-1].class(), 0
		from = to
		for from > 0 && segments[from-1].class() == class && rows+segments[from-1].rows <= maxMergedRows && to-from < busyFanIn {
			from--
			rows += segments[from].rows
		}
		if to-from >= least {
			return from, to, true
		}
		if from == to {
			from--
		}
	}
	return 0, 0, false
}

// dueFully returns neighbours that can be merged at all.
func dueFully(segments []segmentInfo) (from, to int, ok bool) {
	for from = 0; from < len(segments); from = max(to, from+1) {
		rows := 0
		for to = from; to < len(segments) && rows+segments[to].rows <= maxMergedRows; to++ {
			rows += segments[to].rows
		}
		if to-from > 1 {
			return from, to, true
		}
	}
	return 0, 0, false
}

// mergeAll merges while there is something due.
func (k *keeper) mergeAll() {
	for !k.stopping() && !k.store.opts.unmerged {
		more, err := k.mergeOne(mergeJob{policy: k.due, workers: 1, giveUp: k.superseded})
		if err != nil && !errors.Is(err, cts.ErrClosed) && !errors.Is(err, errSuperseded) {
			k.store.journal.failed("merge", segmentsName, err)
		}
		if !more || err != nil {
			return
		}
	}
}

// due returns the neighbours that should be merged next.
func (k *keeper) due(segments []segmentInfo) (from, to int, ok bool) {
	if k.compacting.Load() > 0 {
		return 0, 0, false // it is merged again in a moment
	}
	k.roomMu.Lock()
	busy := k.backlog > 0 && k.failure == nil
	k.roomMu.Unlock()
	if busy {
		return due(segments, busyFanIn)
	}
	return due(segments, mergeFanIn)
}

// mergeFully merges what can be merged at all.
func (k *keeper) mergeFully(ctx context.Context) error {
	k.merged.Add(1)
	defer k.merged.Add(-1)
	job := mergeJob{policy: dueFully, workers: k.sealers(), giveUp: func() bool { return ctx.Err() != nil || k.stopping() }}
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if more, err = k.mergeOne(job); errors.Is(err, errSuperseded) {
			return cmp.Or(ctx.Err(), cts.ErrClosed)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// mergeJob is how segments are merged.
type mergeJob struct {
	policy  func([]segmentInfo) (from, to int, ok bool) // which neighbours
	workers int                                         // columns at a time
	giveUp  func() bool                                 // asked again and again
}

// errSuperseded is the error of a merge that was given up.
var errSuperseded = errors.New("the merge was given up")

// superseded reports whether a merge in the background is of no use any more: the store is
// closed, or all is merged at once, with more processors.
func (k *keeper) superseded() bool { return k.stopping() || k.merged.Load() > 0 }

// mergeOne merges some neighbours, and reports whether there were any. Sealing goes on
// meanwhile.
func (k *keeper) mergeOne(job mergeJob) (bool, error) {
	k.merging.Lock()
	defer k.merging.Unlock()
	if job.giveUp() {
		return false, errSuperseded
	}
	pinned, ok := k.store.pins.acquire()
	if !ok {
		return false, cts.ErrClosed
	}
	defer pinned.release()
	k.mu.Lock()
	infos := slices.Clone(k.manifest.segments)
	number := k.manifest.number + 1
	m := k.manifest.clone()
	m.number = number // taken, whatever becomes of the merge
	k.manifest = m
	k.mu.Unlock()
	from, to, ok := job.policy(infos)
	if !ok {
		return false, nil
	}
	parts, ok := k.store.view.Load().numbered(infos[from:to])
	if !ok {
		return false, nil // one of them is damaged: it stays as it is
	}
	info, err := k.mergeFiles(number, parts, job)
	if err != nil {
		return false, err
	}
	return true, k.replace(infos[from:to], info)
}

// numbered returns the open segments with the given infos.
func (v *view) numbered(infos []segmentInfo) ([]*sealed, bool) {
	var parts []*sealed
	for _, s := range v.segments {
		if slices.ContainsFunc(infos, func(i segmentInfo) bool { return i.number == s.info.number }) {
			parts = append(parts, s)
		}
	}
	return parts, len(parts) == len(infos)
}

func (k *keeper) mergeFiles(number uint64, parts []*sealed, job mergeJob) (info segmentInfo, err error) {
	segments := make([]*segment.Segment, len(parts))
	for i, s := range parts {
		segments[i] = s.segment
	}
	err = parts[0].guarded(func() error {
		info, err = k.store.dir.writeSegment(number, func(out *bufio.Writer) (segment.Info, error) {
			return segment.Merge(&mergeOutput{out, job.giveUp}, &segment.Options{Workers: job.workers, Yield: runtime.Gosched}, segments)
		})
		return err
	})
	info.first, info.last = parts[0].info.first, parts[len(parts)-1].info.last
	return info, err
}

// mergeOutput is where a merge writes to, which is asked all the time whether to go on.
type mergeOutput struct {
	io.Writer
	giveUp func() bool
}

// Write fails with errSuperseded when the merge is given up.
func (o *mergeOutput) Write(b []byte) (int, error) {
	if o.giveUp() {
		return 0, errSuperseded
	}
	return o.Writer.Write(b)
}

// replace puts a merged segment in the place of its parts.
func (k *keeper) replace(parts []segmentInfo, info segmentInfo) error {
	merged, err := openSealed(k.store.dir, info)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	m := k.manifest.clone()
	at := slices.IndexFunc(m.segments, func(i segmentInfo) bool { return i.number == parts[0].number })
	if at < 0 || at+len(parts) > len(m.segments) || !slices.Equal(m.segments[at:at+len(parts)], parts) {
		// Retention took some of them meanwhile.
		return errors.Join(merged.Close(), k.store.dir.fs.Remove(k.store.dir.path(segmentName(info.number))))
	}
	m.segments = slices.Replace(m.segments, at, at+len(parts), info)
	if err := k.commit(m); err != nil {
		return errors.Join(err, merged.Close())
	}
	k.store.committer.replaceSegments(parts, merged)
	return nil
}

func (m *manifest) clone() *manifest {
	c := *m
	c.segments = slices.Clone(m.segments)
	c.lost = slices.Clone(m.lost)
	return &c
}
