package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// ErrIncomplete is returned for a directory that a [Store.Snapshot] did not finish. What
// it holds is of no use: remove it, and make the snapshot again.
var ErrIncomplete = errors.New("filestore: the directory was not finished")

// incompleteName is the file that is in a directory as long as a snapshot is made there.
const incompleteName = "INCOMPLETE"

const (
	incompleteSnapshot = "cts snapshot, not finished: remove this directory, and make the snapshot again\n"
	copyBytes          = 256 << 10
)

// Snapshot makes a copy of the store in a directory that is absent or empty, see
// [cts.Snapshotter]. Segments and states, which are never changed in place, are linked
// where the file system can do that and copied elsewhere; what is in the log is synced
// and copied. So on one file system a snapshot takes the room of the log, and shares
// the rest with the store: it is safe from what programs do, and not from a disk that
// fails. Copy it elsewhere for that. The folder quarantine is left out.
//
// SetConsumer, RemoveConsumer and Retain wait while the states are copied and until a
// sealing that is under way has ended, SaveState while the states are copied. Log files
// and segments that the copy needs are not removed before it is done. Close ends a
// snapshot that is under way with [cts.ErrClosed].
//
// After an error everything that was made is removed again. If that fails too, or the
// process ends, the directory has a file INCOMPLETE, and Open and OpenReader refuse it
// with [ErrIncomplete]. If only the last step fails, which makes the end of INCOMPLETE
// durable, the directory stays: it is complete, or refused after a crash. A store that
// is open for reading makes none: that is [cts.ErrNotSupported].
func (s *Store) Snapshot(ctx context.Context, dir string) error {
	s.copying.RLock()
	defer s.copying.RUnlock()
	err := s.changeable(ctx)
	if errors.Is(err, cts.ErrReadOnly) {
		return fmt.Errorf("filestore: snapshot: %w when it is open for reading: the process that writes it can make one", cts.ErrNotSupported)
	}
	if err != nil {
		return err
	}
	c := snapshot{store: s, ctx: ctx, from: s.dir, to: directory{fs: s.dir.fs, root: dir}}
	if err := c.run(); err != nil {
		return fmt.Errorf("filestore: snapshot: %w", storeFull(err))
	}
	return nil
}

// snapshot is one run of Snapshot.
type snapshot struct {
	store    *Store
	ctx      context.Context
	from, to directory
	manifest *manifest
	view     *view
	buf      []byte
}

func (c *snapshot) run() error {
	lock, err := c.to.lock(0)
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // nothing was written through it
	if err := c.begin(); err != nil {
		return err
	}
	if err := c.copy(); err != nil {
		return errors.Join(err, c.to.discard())
	}
	return c.to.complete()
}

// begin marks the directory as incomplete, if it is empty.
func (c *snapshot) begin() error {
	entries, err := c.to.fs.ReadDir(c.to.root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != lockFile {
			return fmt.Errorf("%s is not empty: there is %s: %w", c.to.root, e.Name(), fs.ErrExist)
		}
	}
	return vfs.WriteFileAtomic(c.to.fs, c.to.path(incompleteName), []byte(incompleteSnapshot), filePerm)
}

// lockFile is the file that stands for the lock where a directory can't be locked.
const lockFile = "LOCK"

// complete makes everything durable and takes the mark away.
func (d directory) complete() error {
	err := d.syncAncestors()
	if err == nil {
		err = d.fs.SyncDir(d.root)
	}
	if err == nil {
		err = d.fs.Remove(d.path(incompleteName))
	}
	if err != nil {
		return errors.Join(err, d.discard())
	}
	return d.fs.SyncDir(d.root)
}

// discard removes what is in an incomplete directory, and at last, when a crash can't
// bring anything back, the mark.
func (d directory) discard() error {
	var errs []error
	for _, folder := range []string{logName, segmentsName, stateName, quarantineName, "."} {
		entries, err := d.fs.ReadDir(d.path(folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, e := range entries {
			if name := e.Name(); folder != "." || name != incompleteName && name != lockFile {
				errs = append(errs, d.fs.Remove(filepath.Join(d.path(folder), name)))
			}
		}
	}
	if err := errors.Join(append(errs, d.fs.SyncDir(d.root))...); err != nil {
		return err
	}
	return errors.Join(d.fs.Remove(d.path(incompleteName)), d.fs.SyncDir(d.root))
}

// copy makes everything but the end of the directory.
func (c *snapshot) copy() error {
	s := c.store
	if err := s.Sync(c.ctx); err != nil {
		return err
	}
	if err := c.to.makeFolders(); err != nil {
		return err
	}
	pinned, ok := s.pins.acquire()
	if !ok {
		return cts.ErrClosed
	}
	defer pinned.release()
	if err := c.agree(); err != nil {
		return err
	}
	if err := c.segments(); err != nil {
		return err
	}
	if err := c.log(); err != nil {
		return err
	}
	mark, err := wal.OpenMark(c.to.fs, c.to.path(markName), wal.StoreID(s.uuid), c.view.mark)
	if err != nil {
		return err
	}
	if err := mark.Close(); err != nil {
		return err
	}
	if c.manifest.generation > 0 {
		if err := c.to.writeManifest(c.manifest); err != nil {
			return err
		}
	}
	for _, folder := range []string{logName, segmentsName, stateName} {
		if err := c.to.fs.SyncDir(c.to.path(folder)); err != nil {
			return err
		}
	}
	return vfs.WriteFileAtomic(c.to.fs, c.to.path(identityName), s.identity.text(), filePerm)
}

// agree copies what must not be newer than the traces, and fixes which traces those
// are. Nothing is dropped meanwhile: a consumer that moves on makes what it has passed
// free to go, and the copy has the place where it was before.
func (c *snapshot) agree() error {
	s := c.store
	s.consumers.mu.Lock()
	defer s.consumers.mu.Unlock()
	if err := c.states(); err != nil {
		return err
	}
	if err := c.file(consumersName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	c.manifest, c.view = s.keeper.manifest.clone(), s.view.Load()
	return nil
}

// states copies the named states as they are at one moment.
func (c *snapshot) states() error {
	s := c.store
	s.states.mu.Lock()
	defer s.states.mu.Unlock()
	entries, err := c.from.fs.ReadDir(c.from.path(stateName))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if vfs.IsTemp(e.Name()) || !strings.HasSuffix(e.Name(), stateSuffix) {
			continue
		}
		if err := c.file(stateName + "/" + e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// segments copies the segments of the manifest. One that is gone is a hole in the copy
// as it is in the store.
func (c *snapshot) segments() error {
	for _, info := range c.manifest.segments {
		err := c.file(segmentName(info.number))
		if errors.Is(err, fs.ErrNotExist) && !slices.ContainsFunc(c.view.segments, func(s *sealed) bool { return s.info == info }) {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// log copies what is synced of the log.
func (c *snapshot) log() error {
	for i, limit := range limits(c.view.files) {
		f := c.view.files[i]
		if limit != 0 && limit <= c.view.sealedTo {
			continue // all of it is in segments
		}
		if f.Header.Number > c.view.mark.File {
			break // nothing in it is synced
		}
		end, err := f.Size()
		if err != nil {
			return err
		}
		if f.Header.Number == c.view.mark.File {
			end = min(end, c.view.mark.Offset)
		}
		if err := c.write(logName+"/"+f.Name(), io.NewSectionReader(f, 0, end)); err != nil {
			return err
		}
	}
	return nil
}

// file makes a file of the store, which is replaced and never changed, a file of the
// copy too: by another name for it, or else by a copy.
func (c *snapshot) file(name string) error {
	if err := c.goesOn(); err != nil {
		return err
	}
	err := c.from.fs.Link(c.from.path(name), c.to.path(name))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// A link that failed when it was made must not be written to.
	if err := c.to.fs.Remove(c.to.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := c.from.fs.OpenFile(c.from.path(name), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was read
	return c.write(name, f)
}

// write makes a file of what it reads, durable but for its name.
func (c *snapshot) write(name string, from io.Reader) (err error) {
	f, err := c.to.fs.OpenFile(c.to.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if c.buf == nil {
		c.buf = make([]byte, copyBytes)
	}
	for {
		if err := c.goesOn(); err != nil {
			return err
		}
		n, err := io.ReadFull(from, c.buf)
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return err
		}
		if _, err := f.Write(c.buf[:n]); err != nil {
			return err
		}
		if end {
			return f.Sync()
		}
	}
}

// goesOn reports why the copy can't go on, if it can't.
func (c *snapshot) goesOn() error {
	if c.store.closed.Load() {
		return cts.ErrClosed
	}
	return c.ctx.Err()
}
