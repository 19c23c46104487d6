package filestore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
)

// directory is the directory of a store.
type directory struct {
	fs   vfs.FS
	root string
}

// path returns the path of a name within the store, which has slashes.
func (d directory) path(name string) string { return filepath.Join(d.root, filepath.FromSlash(name)) }

// makeFolders makes the folders that are missing and makes them durable.
func (d directory) makeFolders() error {
	for _, name := range []string{logName, segmentsName, stateName, quarantineName} {
		if err := d.fs.MkdirAll(d.path(name), dirPerm); err != nil {
			return fmt.Errorf("filestore: %w", storeFull(err))
		}
	}
	if err := d.fs.SyncDir(d.root); err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	return nil
}

// syncAncestors makes the entry of the directory durable, and those of its parents,
// which may have been made with it. One that may not be opened was there before.
func (d directory) syncAncestors() error {
	root, err := filepath.Abs(d.root)
	if err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	for dir := filepath.Dir(root); ; dir = filepath.Dir(dir) {
		if err := d.fs.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("filestore: %w", err)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// clean makes everything durable that an earlier process left visible in the
// folders, so that what is seen now can't be undone by a crash, and removes its
// temporary files. What can't be removed is passed to failed and stays.
func (d directory) clean(failed func(op, file string, err error)) error {
	for _, name := range []string{".", logName, segmentsName, stateName, quarantineName} {
		if err := vfs.RemoveTemp(d.fs, d.path(name)); err != nil {
			failed("remove temporary files", name, err)
		}
		if err := d.fs.SyncDir(d.path(name)); err != nil {
			return fmt.Errorf("filestore: %w", err)
		}
	}
	return nil
}

// lockPoll is the time between two attempts to take the lock.
const lockPoll = 50 * time.Millisecond

// lock takes the lock of the directory, which it makes if it is not there. It
// fails with [cts.ErrLocked] after the wait.
func (d directory) lock(wait time.Duration) (io.Closer, error) {
	if err := d.fs.MkdirAll(d.root, dirPerm); err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	deadline := time.NewTimer(max(0, wait))
	defer deadline.Stop()
	retry := time.NewTicker(lockPoll)
	defer retry.Stop()
	for last := wait <= 0; ; {
		l, err := d.fs.Lock(d.root)
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, vfs.ErrLocked) {
			return nil, fmt.Errorf("filestore: %w", err)
		}
		if last {
			return nil, fmt.Errorf("filestore: %w, waited %v%s", cts.ErrLocked, max(0, wait), d.holder())
		}
		select {
		case <-retry.C:
		case <-deadline.C:
			last = true
		}
	}
}

// writeHolder tells people who holds the lock. Nothing depends on it.
func (d directory) writeHolder(now time.Time) error {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	f, err := d.fs.OpenFile(d.path(holderName), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, filePerm)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "pid %d\nhost %s\nsince %s\n", os.Getpid(), host, now.UTC().Format(time.RFC3339))
	return errors.Join(err, f.Close())
}

// holder returns what writeHolder wrote, for an error, or "".
func (d directory) holder() string {
	b, err := vfs.ReadFile(d.fs, d.path(holderName), 1<<10)
	if err != nil {
		return ""
	}
	clean := printable(b)
	if clean == "" {
		return ""
	}
	return "; held by " + clean
}

// storeFull makes an error that says that there is no room a [cts.ErrStoreFull].
func storeFull(err error) error {
	if err == nil || !noRoom(err) {
		return err
	}
	return fmt.Errorf("%w: %w", cts.ErrStoreFull, err)
}

// printable returns a text that was read as one line that can be shown.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return ' '
		case r < 0x20 || r > 0x7e:
			return '?'
		}
		return r
	}, strings.TrimSpace(string(b)))
}
