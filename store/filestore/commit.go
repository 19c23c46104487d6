package filestore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// committer is the one goroutine that writes to the log. It takes all batches that
// wait, gives their traces positions, writes and syncs them together, and shows
// them to readers before it answers the appends.
type committer struct {
	store *Store
	log   *wal.Log
	mark  *wal.MarkFile
	ids   *idTable

	mu           sync.Mutex // guards what follows: the keeper changes it too
	index        index
	base         int64               // bytes of the log when it was opened
	starts       map[*wal.File]int64 // bytes of the log when each file was begun
	synced       wal.Mark            // of what was synced when the committer published last
	total        int64               // bytes of the log then
	segmentBytes int64
	passed       uint64 // the newest file that the keeper was told of

	group    []*batch
	outcomes []outcome // of the group
	frames   []wal.Frame
	fresh    map[string]arrival // the traces of the group, by id
	next     cts.Position       // the position that the next trace of the group gets
	size     int64              // bytes of the group's frames

	timer   *time.Timer   // of the next background sync
	running bool          // the timer; it does while there is something to sync
	stopped chan struct{} // closed when run has ended
	err     error         // of the last sync
}

// arrival is a trace of the group that is being committed.
type arrival struct {
	pos  cts.Position
	json []byte
}

// run commits until the queue is closed and empty. Then it syncs.
func (c *committer) run() {
	defer close(c.stopped)
	defer c.timer.Stop()
	q := c.store.queue
	for {
		group, open := q.take(c.group[:0], groupBytes)
		c.group = group
		switch {
		case len(group) > 0:
			c.commit()
		case !open:
			c.sync()
			c.log.Close()
			return
		default:
			select {
			case <-q.wake:
			case <-c.timer.C:
				c.tick()
			}
			continue
		}
		select { // a busy store too syncs when the interval ends
		case <-c.timer.C:
			c.tick()
		default:
		}
	}
}

func (c *committer) tick() {
	c.running = false
	c.sync()
	c.arm()
}

// arm starts the timer if there is something to sync.
func (c *committer) arm() {
	if c.store.opts.Sync == SyncCommit || c.running || c.log.Dirty() == 0 {
		return
	}
	interval := c.store.opts.SyncInterval
	if c.store.opts.Sync == SyncOS {
		interval = lazySync
	}
	c.timer.Reset(interval)
	c.running = true
}

// lazySync is how often a store at SyncOS syncs all the same: what is not synced is not
// shown by After, and so neither dumped nor seen by readers without the lock.
const lazySync = 30 * time.Second

// sync makes everything durable that was acknowledged before, and shows it to
// readers of the log.
func (c *committer) sync() {
	if c.err = c.log.Sync(); c.err == nil {
		c.mu.Lock()
		c.publish()
		c.mu.Unlock()
	}
}

// rotate begins a new log file, so that all of the others can be sealed.
func (c *committer) rotate() {
	if c.err = c.log.Rotate(); c.err == nil {
		c.mu.Lock()
		c.publish()
		c.mu.Unlock()
	}
}

// commit commits the batches of the group and answers them.
func (c *committer) commit() {
	refused := c.store.keeper.admit()
	c.next, c.size = cts.Position(c.log.Next()), 0
	outcomes := slices.Grow(c.outcomes[:0], len(c.group))[:len(c.group)]
	clear(outcomes)
	c.outcomes = outcomes
	room := int64(0)
	c.mu.Lock()
	for i, b := range c.group {
		room += b.size
		if outcomes[i].err = refused; refused == nil {
			outcomes[i].err = c.place(b)
		}
	}
	c.mu.Unlock()
	err := c.write()
	if slices.ContainsFunc(c.group, func(b *batch) bool { return b.flush }) {
		c.sync()
	}
	if c.err == nil && slices.ContainsFunc(c.group, func(b *batch) bool { return b.rotate }) {
		c.rotate()
	}
	for i, b := range c.group {
		switch {
		case b.flush && c.err != nil:
			outcomes[i].err = appendError(c.err)
		case outcomes[i].err != nil:
		case err != nil && (len(b.frame) > 0 || b.leans):
			outcomes[i].err = err
		default:
			outcomes[i].appended = b.appended
		}
	}
	c.store.queue.release(room) // first: who is answered may append again at once
	for i, b := range c.group {
		b.free()
		b.done <- outcomes[i]
	}
	c.arm()
	clear(c.fresh)
	clear(c.group)
	clear(c.frames)
	c.frames = c.frames[:0]
	c.pass()
}

// pass tells the keeper what the commit left to it.
func (c *committer) pass() {
	c.mu.Lock()
	backlog := c.backlog()
	newest := uint64(0)
	if n := len(c.index.files); n > 1 {
		newest = c.index.files[n-1].Header.Number
	}
	c.mu.Unlock()
	c.store.keeper.report(backlog)
	if newest > c.passed { // once for each file that is finished: a seal that fails is tried again with the next
		c.passed = newest
		c.store.keeper.kick()
	}
}

// place gives the traces of a batch their positions and makes a frame of those that
// are new. Of a batch that it refuses nothing stays behind.
func (c *committer) place(b *batch) error {
	first := c.next
	b.frame = b.items[:0] // never longer than what was looked at
	err := c.placeItems(b)
	if err == nil {
		b.compact()
		size := int64(wal.FrameSize + len(b.payload))
		if limit := c.store.opts.MaxBytes; limit > 0 && len(b.frame) > 0 && c.segmentBytes+c.logBytes()+wal.HeaderSize+c.size+size > limit {
			err = fmt.Errorf("filestore: %w: segments and log may have %d bytes", cts.ErrStoreFull, limit)
		}
	}
	if err != nil {
		for _, it := range b.frame {
			delete(c.fresh, it.id)
		}
		c.next, b.frame, b.leans = first, nil, false
		return err
	}
	if len(b.frame) > 0 {
		c.frames = append(c.frames, wal.Frame{First: uint64(first), Count: uint32(len(b.frame)), Payload: b.payload, Sum: b.sum})
		c.size += int64(wal.FrameSize + len(b.payload))
	}
	return nil
}

func (c *committer) placeItems(b *batch) error {
	for i, it := range b.items {
		pos, stored, err := c.lookUp(b, it)
		if err != nil {
			return err
		}
		switch {
		case pos == 0:
			pos = c.next
			c.next++
			c.fresh[it.id] = arrival{pos: pos, json: b.text(it)}
			b.frame = append(b.frame, it)
		default:
			same, err := sameTrace(stored, b.text(it))
			if err != nil {
				return err
			}
			if !same {
				return &cts.ConflictError{Index: i, ID: it.id}
			}
			b.appended.Existing++
		}
		if b.appended.First == 0 || pos < b.appended.First {
			b.appended.First = pos
		}
		b.appended.Last = max(b.appended.Last, pos)
	}
	return nil
}

// lookUp returns position and JSON of the trace that has the id of an item, or
// position 0.
func (c *committer) lookUp(b *batch, it item) (cts.Position, []byte, error) {
	if a, ok := c.fresh[it.id]; ok {
		b.leans = true
		return a.pos, a.json, nil
	}
	pos, ok := c.ids.find(it.id) // only this goroutine adds, and who drops holds c.mu
	ordinal := 0
	if ok {
		ordinal, ok = c.index.find(pos)
	}
	if !ok {
		return c.lookUpSealed(it.id)
	}
	var r bodyReader
	json, err := r.read(&c.index.view, ordinal)
	if err != nil {
		return 0, nil, cantCompare(it.id, err)
	}
	return pos, json, nil
}

func cantCompare(id string, err error) error {
	return fmt.Errorf("filestore: a trace with id %q is there and can't be compared: %w", id, err)
}

// lookUpSealed is lookUp among the segments.
func (c *committer) lookUpSealed(id string) (pos cts.Position, json []byte, err error) {
	for _, s := range slices.Backward(c.index.segments) {
		err := s.guarded(func() error {
			row, ok, err := s.find(id)
			if !ok || err != nil {
				return err
			}
			pos = s.position(row)
			r, err := newTraceReader(s)
			if err == nil {
				_, json, err = r.read(row, false)
			}
			return err
		})
		if err != nil {
			return 0, nil, cantCompare(id, err)
		}
		if pos != 0 {
			return pos, json, nil
		}
	}
	return 0, nil, nil
}

// write writes the frames of the group, as durable as the store promises, and shows
// their traces to readers.
func (c *committer) write() error {
	if len(c.frames) == 0 {
		return nil
	}
	file, offset, err := c.log.Append(c.frames, c.store.opts.Sync == SyncCommit)
	if err != nil {
		return appendError(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	slot := c.index.slot(file)
	c.ids.mu.Lock()
	for _, b := range c.group {
		if len(b.frame) == 0 {
			continue
		}
		payload := offset + wal.FrameSize
		for i := range b.frame {
			it := &b.frame[i]
			record := payload + int64(it.json-wal.RecordSize(0))
			c.index.add(c.index.last+1, ref{
				time: it.time, record: it.record, offset: uint32(record), size: uint32(it.end - it.json), file: slot,
			})
			c.index.setMarks(&it.marks)
			c.ids.put(file, strings.Clone(it.id), c.index.last)
		}
		offset = payload + int64(len(b.payload))
	}
	c.ids.mu.Unlock()
	c.publish()
	return nil
}

// publish moves the mark to what is synced, and then shows the index to readers. Only
// the committer calls it, with c.mu held: the log and the mark are its own.
func (c *committer) publish() {
	c.synced, c.total = c.log.Synced(), c.base+c.log.Bytes()
	if err := c.mark.Write(c.synced); err != nil {
		c.store.journal.failed("write", markName, err)
	}
	c.show()
}

// show shows the index to readers. c.mu is held.
func (c *committer) show() {
	c.index.synced, c.index.mark = cts.Position(c.synced.Next-1), c.synced
	c.index.bytes = c.logBytes()
	c.store.view.Store(c.index.snapshot())
	c.store.growth.wake()
}

// appendError tells why an append failed, and whether it is known that it did.
func appendError(err error) error {
	err = storeFull(err)
	if errors.Is(err, wal.ErrUncertain) {
		return fmt.Errorf("filestore: %w: %w", cts.ErrOutcomeUnknown, err)
	}
	return fmt.Errorf("filestore: nothing of the batch was stored: %w", err)
}

// config returns what the log calls back.
func (c *committer) config() wal.Config {
	s := c.store
	return wal.Config{
		FS: s.dir.fs, Dir: s.dir.path(logName), Store: wal.StoreID(s.uuid), MaxFile: s.opts.LogFileBytes, MaxDirty: maxDirty,
		MaxRoom: (s.opts.MaxBytes + 7) / 8, NoRoom: noRoom, Run: s.opts.run,
		Opened: func(f *wal.File) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.index.slot(f)
			c.starts[f] = c.total
			pinAll(&s.pins, f)
		},
		Moved: func(from uint64, to *wal.File, delta int64) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.index.move(cts.Position(from), to, delta)
		},
		Abandoned: s.journal.abandonedFile,
		Failed: func(op, file string, err error) {
			s.journal.failed(op, logName+"/"+file, err)
		},
	}
}
