package filestore

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// committer is the one goroutine that decides what goes to the log. It takes all batches
// that wait, gives their traces positions, has them written and synced together, shows
// them to readers and answers the appends. While one group of batches is written and
// synced by another goroutine, the [writer], it prepares to show that, and places the
// next.
type committer struct {
	store  *Store
	log    *wal.Log // the writer's while a group is flying
	writer *writer
	mark   *wal.MarkFile
	ids    *idTable

	mu           sync.Mutex // guards what follows: the keeper and the writer change it too
	index        index
	base         int64               // bytes of the log when it was opened
	starts       map[*wal.File]int64 // bytes of the log when each file was begun
	synced       wal.Mark            // of what was synced when the committer published last
	total        int64               // bytes of the log then
	segmentBytes int64
	passed       uint64 // the newest file that the keeper was told of

	next     *group       // is being placed
	flying   *group       // is being written, or nil
	spare    *group       // empty, when nothing is flying
	flies    bool         // groups are for the writer, if it may be of use
	alone    bool         // the last group had one batch
	position cts.Position // that the next trace gets
	refused  error        // of the keeper, for the next group
	taken    []*batch     // by gather

	timer   *time.Timer   // of the next background sync
	running bool          // the timer; it does while there is something to sync
	stopped chan struct{} // closed when run has ended
	err     error         // of the last sync
}

// run commits until the queue is closed and empty. Then it syncs.
func (c *committer) run() {
	defer close(c.stopped)
	defer c.timer.Stop()
	for {
		open := c.gather()
		switch {
		case c.flying != nil:
		case len(c.next.batches) > 0:
			c.launch()
			c.look()
			continue
		case !open:
			c.sync()
			c.writer.stop()
			c.log.Close()
			return
		}
		select {
		case <-c.store.queue.wake:
		case l := <-c.writer.landed:
			c.land(l)
		case <-c.timer.C:
			c.tick()
		}
	}
}

// look syncs when the interval ends, of a store that is never idle too.
func (c *committer) look() {
	select {
	case <-c.timer.C:
		c.tick()
	default:
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
// readers of the log. No group is flying.
func (c *committer) sync() {
	if c.err = c.log.Sync(); c.err == nil {
		c.publish()
	}
}

// rotate begins a new log file, so that all of the others can be sealed.
func (c *committer) rotate() {
	if c.err = c.log.Rotate(); c.err == nil {
		c.publish()
	}
}

// launch has the next group written: by the writer if there is something to sync and
// others append meanwhile, else here and now.
func (c *committer) launch() {
	g := c.next
	c.next, c.spare = c.spare, nil
	c.flying = g
	alone := c.alone && len(g.batches) == 1
	if c.flies && !alone && !g.flush && len(g.frames) > 0 {
		c.writer.groups <- g
		runtime.Gosched() // so that it begins at once, and what follows is done meanwhile
		c.prepare(g)
		return
	}
	l := landing{group: g}
	if len(g.frames) > 0 {
		l = write(c.log, g, c.store.opts.Sync == SyncCommit)
	}
	c.land(l)
	c.arm()
}

// land takes in what became of a group.
func (c *committer) land(l landing) {
	c.finish(l)
	if l.err != nil {
		c.unstage(l.group)
		c.position = l.next
		c.placeAgain(appendError(l.err))
	}
	g := c.flying
	c.alone = len(g.batches) == 1
	answered := len(g.batches)
	g.reset()
	c.flying, c.spare = nil, g
	c.rally(answered + len(c.next.batches))
}

// rally gathers the appends of those who were just answered: most append again at once.
// One sync serves all of them then; else those who came while the last one was under way
// would go without the others, and the two halves take turns for ever. It does not
// wait for anybody but lets those run who can, and ends when as many batches as expected
// are there, or nobody brings more.
func (c *committer) rally(expected int) {
	before := 0
	for quiet := 0; quiet < rallyRounds; quiet++ {
		open := c.gather()
		n := len(c.next.batches)
		if n >= expected || !open {
			return
		}
		if n > before {
			quiet = 0
		}
		before = n
		runtime.Gosched()
	}
}

// rallyRounds is how often others run and bring no append before rally ends.
const rallyRounds = 8

// finish shows the traces of a group to readers and answers its batches.
func (c *committer) finish(l landing) {
	g := l.group
	if len(g.frames) > 0 && l.err == nil {
		c.publishGroup(l)
	}
	if g.flush {
		c.sync()
	}
	if g.rotate && c.err == nil {
		c.rotate()
	}
	c.store.queue.release(g.room) // first: who is answered may append again at once
	for _, b := range g.batches {
		switch {
		case b.flush && c.err != nil:
			b.err = appendError(c.err)
		case l.err != nil && (b.leans || b.err == nil && len(b.frame) > 0):
			b.err = appendError(l.err)
		}
		b.answer()
	}
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

// publish moves the mark to what is synced, and shows it to readers. No group is flying.
func (c *committer) publish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moveMark(c.log.Synced(), c.log.Bytes())
}

// publishGroup is publish with the traces of a group that was written.
func (c *committer) publishGroup(l landing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stage(l.group)
	c.index.settle(l.group.staged, c.index.slot(l.file), uint32(l.offset))
	c.moveMark(l.synced, l.bytes)
}

// moveMark moves the mark, and then shows the index to readers. Only the committer
// calls it, with c.mu held: the mark is its own.
func (c *committer) moveMark(synced wal.Mark, bytes int64) {
	c.synced, c.total = synced, c.base+bytes
	if err := c.mark.Write(synced); err != nil {
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
			c.starts[f] = c.base + c.log.Bytes() - wal.HeaderSize
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
