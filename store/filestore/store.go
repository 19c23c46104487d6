package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// Store is a [cts.Store], [cts.StateStore] and [cts.Verifier] on a directory. Its
// positions are dense: 1, 2, 3 and so on; a position without a trace is a loss.
// [Open] and [OpenReader] make one.
type Store struct {
	dir       directory
	opts      Options
	uuid      uuid.UUID
	journal   *journal
	recovered Recovery

	view   atomic.Pointer[view]
	sieve  atomic.Pointer[sieve] // of the segments that a view had
	order  order
	pins   pins
	closed atomic.Bool
	states stateFiles
	growth growth

	consumers consumers

	// Of a writer only.
	identity  identity
	copying   sync.RWMutex // held for reading by snapshots
	batches   batchPool
	queue     *queue
	committer *committer
	keeper    *keeper
	lock      io.Closer

	// Of a reader only.
	follower *follower

	closeOnce sync.Once
	closeErr  error
}

var (
	_ cts.Store      = (*Store)(nil)
	_ cts.StateStore = (*Store)(nil)
	_ cts.Verifier   = (*Store)(nil)
	_ cts.Follower   = (*Store)(nil)
	_ cts.Consumers  = (*Store)(nil)
	_ cts.Retainer   = (*Store)(nil)
	_ cts.Aggregator = (*Store)(nil)

	_ cts.Statistician = (*Store)(nil)
	_ cts.Snapshotter  = (*Store)(nil)
	_ cts.Explainer    = (*Store)(nil)
)

// Open opens the store in a directory for writing and makes it, with the directory
// and its parents, if there is none. It waits for the lock up to Options.LockWait
// and fails with [cts.ErrLocked] then.
//
// What a crash left is mended: whatever was under way at the end of the log is cut
// off and reported as [TornTail], and everything else that is found is made durable
// before anybody sees it. Damage is no error: it is reported ([Events], [Status]),
// copied to the folder quarantine, shown as a hole by Query and After, and appending
// goes on behind it. Errors are a newer format ([cts.ErrVersion]), a STORE file that
// is damaged or gone although there are traces ([cts.ErrCorrupt]), and a file system
// that fails: what can't be read is not taken for absent.
func Open(dir string, opts *Options) (*Store, error) {
	s, err := newStore(dir, opts)
	if err != nil {
		return nil, err
	}
	if s.lock, err = s.dir.lock(s.opts.LockWait); err != nil {
		return nil, err
	}
	if err := s.openWriter(); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	return s, nil
}

func newStore(dir string, opts *Options) (*Store, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if dir == "" {
		return nil, errors.New("filestore: the directory has no name")
	}
	s := &Store{dir: directory{fs: o.FS, root: dir}, opts: o, journal: &journal{events: o.Events, clock: o.Clock}}
	s.states.dir = s.dir
	s.view.Store(&view{})
	return s, nil
}

// openWriter does the work of Open with the lock held.
func (s *Store) openWriter() error {
	n, err := s.dir.readIdentity(true)
	if err != nil && !errors.Is(err, errNoStore) {
		return err
	}
	if err := s.dir.writeHolder(s.opts.Clock()); err != nil {
		s.journal.failed("write", holderName, err)
	}
	if err != nil {
		if n, err = s.dir.create(&s.opts); err != nil {
			return err
		}
	}
	s.identity = n
	s.uuid = n.id
	s.states.id = n.id
	if err := s.dir.makeFolders(); err != nil {
		return err
	}
	if err := s.dir.clean(s.journal.failed); err != nil {
		return err
	}
	r := &recovery{dir: s.dir, id: wal.StoreID(s.uuid), failed: s.journal.failed}
	if err := r.run(s.uuid); err != nil {
		return errors.Join(err, r.closeFiles())
	}
	if err := s.begin(r); err != nil {
		return errors.Join(err, r.closeFiles())
	}
	return nil
}

// begin starts the committer on what the recovery found.
func (s *Store) begin(r *recovery) error {
	c := &committer{
		store: s, index: r.index, base: r.index.bytes, starts: r.starts, segmentBytes: r.segmentBytes, ids: &r.ids,
		timer: time.NewTimer(time.Hour), stopped: make(chan struct{}),
	}
	c.timer.Stop()
	c.log = r.log(c.config())
	mark, err := wal.OpenMark(s.dir.fs, s.dir.path(markName), wal.StoreID(s.uuid), c.log.Synced())
	if err != nil {
		return fmt.Errorf("filestore: %w", storeFull(err))
	}
	r.quarantine()
	s.recovered = r.found
	unused := c.index.dropFiles(r.manifest.next - 1) // sealed, and not taken out before a crash
	pinAll(&s.pins, r.files...)
	pinAll(&s.pins, r.index.segments...)
	c.mark, c.position = mark, cts.Position(c.log.Next())
	s.committer, s.queue, s.keeper = c, newQueue(s.opts.QueueBytes), newKeeper(s, r.manifest)
	c.publish()
	s.journal.recovered(r.found)
	r.removeOrphans()
	for _, f := range unused {
		s.pins.retire(f, func() error { return c.recycle(f) })
	}
	waiting := c.logBytes()
	c.next, c.spare, c.flies = newGroup(), newGroup(), s.opts.Sync == SyncCommit && s.opts.run == nil
	c.writer = newWriter(c.log)
	go c.run()
	s.keeper.start(waiting)
	return nil
}

// ID returns the UUID that the store was given when it was made.
func (s *Store) ID() string { return s.uuid.String() }

// Append stores one batch, see [cts.Appender]. How durable it is when it returns is
// Options.Sync.
//
// An error without [cts.ErrOutcomeUnknown] means that nothing of the batch is stored
// or will be found later; among them is [cts.ErrStoreFull] for a full disk, and the
// next append tries again. After a failed sync the batch is written once more, to a
// new file, and Append fails only if that fails too.
func (s *Store) Append(ctx context.Context, entries []cts.Entry) (cts.Appended, error) {
	switch {
	case s.closed.Load():
		return cts.Appended{}, cts.ErrClosed
	case s.follower != nil:
		return cts.Appended{}, cts.ErrReadOnly
	case ctx.Err() != nil:
		return cts.Appended{}, ctx.Err()
	case len(entries) == 0:
		return cts.Appended{}, nil
	}
	b, err := s.batches.newBatch(entries)
	if err != nil {
		return cts.Appended{}, err
	}
	s.sift(b)
	return s.await(ctx, b)
}

// Sync returns when everything is durable whose Append returned before Sync was
// called, whatever the sync level. Its error is [cts.ErrOutcomeUnknown] when that
// can't be; what was appended is kept and the next sync tries again.
func (s *Store) Sync(ctx context.Context) error {
	switch {
	case s.closed.Load():
		return cts.ErrClosed
	case s.follower != nil:
		return cts.ErrReadOnly
	case ctx.Err() != nil:
		return ctx.Err()
	}
	_, err := s.await(ctx, &batch{flush: true, done: make(chan outcome, 1)})
	return err
}

// await passes a batch to the committer and waits for its outcome.
func (s *Store) await(ctx context.Context, b *batch) (cts.Appended, error) {
	if err := s.queue.put(ctx, b); err != nil {
		return cts.Appended{}, err
	}
	var done outcome
	if over := ctx.Done(); over == nil {
		done = <-b.done
	} else {
		select {
		case done = <-b.done:
		case <-over:
			select {
			case done = <-b.done:
			default: // the batch stays the committer's
				return cts.Appended{}, fmt.Errorf("filestore: %w: %w", cts.ErrOutcomeUnknown, ctx.Err())
			}
		}
	}
	s.batches.put(b)
	return done.appended, done.err
}

// Close waits for the appends that were admitted, syncs, and gives the lock back.
// Later calls fail with [cts.ErrClosed]; Close itself returns what it returned the
// first time. Iterators under way go on, and the files stay open for them. An error
// at a sync level below SyncCommit may mean that the last traces are not synced; it
// is [cts.ErrOutcomeUnknown] then.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.shut()
		s.copying.Lock() // snapshots see that it is shut, and end
		defer s.copying.Unlock()
		if s.follower != nil {
			s.closeErr = s.pins.close()
			return
		}
		s.queue.close()
		<-s.committer.stopped
		s.keeper.stop()
		if err := s.committer.mark.Sync(); err != nil {
			s.journal.failed("sync", markName, err)
		}
		var errs []error
		if err := s.committer.err; err != nil {
			errs = append(errs, appendError(err))
		}
		for _, err := range []error{s.committer.mark.Close(), s.pins.close(), s.dir.removeHolder(), s.lock.Close()} {
			if err != nil {
				errs = append(errs, fmt.Errorf("filestore: close: %w", err))
			}
		}
		s.closeErr = errors.Join(errs...)
	})
	return s.closeErr
}

// shut makes all later calls fail. Afterwards nobody is at a state any more.
func (s *Store) shut() {
	s.consumers.mu.Lock() // before states.mu, as snapshots do
	s.states.mu.Lock()
	s.closed.Store(true)
	s.states.mu.Unlock()
	s.consumers.mu.Unlock()
	s.growth.wake()
}

// look keeps the files open that the view shows which is loaded after it, until done is
// called. A reader without the lock reads on first.
func (s *Store) look(ctx context.Context) (done func(), err error) {
	if s.closed.Load() {
		return nil, cts.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	pinned, ok := s.pins.acquire()
	if !ok {
		return nil, cts.ErrClosed
	}
	if s.follower != nil {
		if err := s.follower.refresh(s); err != nil {
			pinned.release()
			return nil, err
		}
	}
	return pinned.release, nil
}

// lookUpID returns the positions of the traces of the log that probably have an id, if
// the store has a table of ids, which a reader has not, and if the table still knows all
// that the view shows.
func (s *Store) lookUpID(v *view, id string) (found []cts.Position, known bool) {
	if s.committer == nil {
		return nil, false
	}
	found = s.committer.ids.get(id, nil)
	return found, s.view.Load().epoch == v.epoch
}
