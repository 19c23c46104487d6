package filestore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/idmap"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// committer is the one goroutine that writes to the log. It takes all batches that
// wait, gives their traces positions, writes and syncs them together, and shows
// them to readers before it answers the appends.
type committer struct {
	store *Store
	log   *wal.Log
	mark  *wal.MarkFile
	index index
	base  int64 // bytes of the log when it was opened
	ids   *idTable

	group  []*batch
	frames []wal.Frame
	fresh  map[string]arrival // the traces of the group, by id
	next   cts.Position       // the position that the next trace of the group gets
	size   int64              // bytes of the group's frames

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

// idTable is an id map that one goroutine changes and others read.
type idTable struct {
	mu  sync.RWMutex
	ids idmap.Map
}

func (t *idTable) get(id string) (cts.Position, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	pos, ok := t.ids.Get(id)
	return cts.Position(pos), ok
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
			clear(c.group)
		case !open:
			c.sync()
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
		c.publish()
	}
}

// commit commits the batches of the group and answers them.
func (c *committer) commit() {
	clear(c.fresh)
	c.frames, c.next, c.size = c.frames[:0], cts.Position(c.log.Next()), 0
	outcomes := make([]outcome, len(c.group))
	room := int64(0)
	for i, b := range c.group {
		room += b.size
		outcomes[i].err = c.place(b)
	}
	err := c.write()
	if slices.ContainsFunc(c.group, func(b *batch) bool { return b.flush }) {
		c.sync()
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
		b.done <- outcomes[i]
	}
	c.arm()
}

// place gives the traces of a batch their positions and makes a frame of those that
// are new. Of a batch that it refuses nothing stays behind.
func (c *committer) place(b *batch) error {
	first := c.next
	b.frame = make([]item, 0, len(b.items))
	err := c.placeItems(b)
	if err == nil {
		b.compact()
		size := int64(wal.FrameSize + len(b.payload))
		if limit := c.store.opts.MaxBytes; limit > 0 && len(b.frame) > 0 && c.base+c.log.Bytes()+wal.HeaderSize+c.size+size > limit {
			err = fmt.Errorf("filestore: %w: the log may have %d bytes", cts.ErrStoreFull, limit)
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
	pos, ok := c.ids.get(it.id)
	if !ok {
		return 0, nil, nil
	}
	ordinal, ok := c.index.find(pos)
	if !ok {
		return 0, nil, nil
	}
	var r bodyReader
	json, err := r.read(&c.index.view, ordinal)
	if err != nil {
		return 0, nil, fmt.Errorf("filestore: a trace with id %q is there and can't be compared: %w", it.id, err)
	}
	return pos, json, nil
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
	slot := c.index.slot(file)
	c.ids.mu.Lock()
	for _, b := range c.group {
		if len(b.frame) == 0 {
			continue
		}
		payload := offset + wal.FrameSize
		for _, it := range b.frame {
			record := payload + int64(it.json-wal.RecordSize(0))
			c.index.add(c.index.last+1, ref{
				time: it.time, record: it.record, offset: uint32(record), size: uint32(it.end - it.json), file: slot,
			})
			c.ids.ids.Put(strings.Clone(it.id), uint64(c.index.last))
		}
		offset = payload + int64(len(b.payload))
	}
	c.ids.mu.Unlock()
	c.publish()
	return nil
}

// publish moves the mark to what is synced, and then shows the index to readers.
func (c *committer) publish() {
	synced := c.log.Synced()
	if err := c.mark.Write(synced); err != nil {
		c.store.journal.failed("write", markName, err)
	}
	c.index.synced, c.index.mark = cts.Position(synced.Next-1), synced
	c.index.bytes = c.base + c.log.Bytes()
	c.store.view.Store(c.index.snapshot())
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
		Opened: func(f *wal.File) {
			c.index.slot(f)
			s.files.add(f)
		},
		Moved: func(from uint64, to *wal.File, delta int64) {
			c.index.move(cts.Position(from), to, delta)
		},
		Abandoned: s.journal.abandonedFile,
		Failed: func(op, file string, err error) {
			s.journal.failed(op, logName+"/"+file, err)
		},
	}
}
