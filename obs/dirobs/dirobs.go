// Package dirobs is an [obs.Client] over a folder of the local file system:
// the bucket that needs nothing beside the service.
//
// Objects are plain files at their key's path, so that gunzip, grep and a
// backup work on them, and the folder can be copied as it is. What a file
// cannot carry, content type and metadata, is in small JSON files under .meta.
//
// # Layout
//
//	2026/1/2/x.json.gz                   the content of the object of that key
//	.meta/2026/1/2/x.json.gz/
//	    0123456789abcdef.json            a record of one Put of that object
//	.meta/.tmp-0123456789abcdef          a Put that is under way, or was killed
//
// A record is believed only of the content it was made for. It names size,
// modification time and SHA-256 of that content. If exactly one record has size
// and time of the file, it is believed; if not, as after copying the folder
// without its times, the file is hashed and the hash decides. An object without
// such a record, as one that was copied in by hand, has no metadata. Because
// every Put has a record of its own name, no process overwrites the record of
// another.
//
// # What a crash leaves
//
// Put writes and syncs content and record, makes the record durable, and then
// makes the content visible by one rename, or by one link with IfAbsent. After a
// kill or power loss at any step the object is what it was before, or is
// complete with its metadata. What is left besides is hidden: temporary files
// are removed by [Open] when they are older than Options.LeftoverAge, stale
// records by the next change of their object.
//
// # Limits
//
// Keys that the operating system cannot use as paths, such as those with a
// colon on Windows or a segment of more than 255 bytes, are refused with
// [obs.ErrInvalidKey]; so are those whose first segment is .meta or begins with
// .tmp-. A folder cannot hold both "a" and "a/b": the second is refused with
// [ErrKeyConflict]. On a file system that ignores case, so do keys. Where the
// file system has no hard links, Put with IfAbsent fails. On Windows an object
// cannot be replaced or deleted while it is being read.
//
// Symbolic links are no objects: keys that lead through one are refused with
// [obs.ErrDenied], and no operation leaves the folder through one, also not
// when it is put there at the wrong moment ([os.Root]).
package dirobs

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/obs"
)

// ErrKeyConflict is returned by Put when the key is a folder of other objects
// or one of its segments is an object. It is an [obs.ErrInvalidKey].
var ErrKeyConflict = fmt.Errorf("%w: a folder cannot hold an object and others below its key", obs.ErrInvalidKey)

// Options are the choices of [Open].
type Options struct {
	// LeftoverAge is the age from which on what a killed Put left behind is
	// removed. It must be longer than a Put of another process may take.
	// Default: 1 hour.
	LeftoverAge time.Duration

	// Now is the clock for that age. It may be called concurrently.
	// Default: time.Now.
	Now func() time.Time
}

const defaultLeftoverAge = time.Hour

// metaDir is the folder of records and temporary files.
const metaDir = ".meta"

const (
	filePerm   fs.FileMode = 0o600
	folderPerm fs.FileMode = 0o700
)

// Client is a bucket in a folder. It implements [obs.Client]; several may be
// open on one folder, in several processes. Puts are written side by side and
// made visible one after the other; reading waits for nobody. Memory does not
// grow with the size of objects; List holds the names of the folders on its
// path, one level each.
//
// Put reports the SHA256 that it computed while writing. Get and Head report
// it only when they had to compute it, see the package's comment.
type Client struct {
	fs          vfs.FS // names are relative to the folder
	close       func() error
	leftoverAge time.Duration
	now         func() time.Time

	// mu is held while folders are made or removed and objects become visible
	// or vanish, so that a folder does not vanish under a Put of this process.
	mu sync.Mutex
	// durable has the folders known to survive a crash, guarded by mu.
	durable map[string]bool
}

var _ obs.Client = (*Client)(nil)

// Open returns the bucket in the folder dir, which is made with its parents,
// durably, if it is not there. It removes old leftovers of killed puts. All
// faults of the options are reported together, as [obs.ErrInvalid].
//
// A folder that is deleted while it is open is [obs.ErrNoBucket] from then on, also when
// one of its name is made: open it anew.
//
// Close gives the folder back.
func Open(dir string, opts *Options) (*Client, error) {
	if _, err := newClient(nil, opts); err != nil {
		return nil, err
	}
	if err := makeBucket(vfs.OS, dir); err != nil {
		return nil, fmt.Errorf("dirobs: open: %w", classify(err))
	}
	root, err := vfs.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("dirobs: open: %w", classify(err))
	}
	c, err := open(root, opts)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	c.close = sync.OnceValue(root.Close)
	return c, nil
}

// open opens the bucket at the root of a file system.
func open(fsys vfs.FS, opts *Options) (*Client, error) {
	c, err := newClient(fsys, opts)
	if err != nil {
		return nil, err
	}
	if err := c.removeLeftovers(); err != nil {
		return nil, fmt.Errorf("dirobs: open: %w", classify(err))
	}
	return c, nil
}

func newClient(fsys vfs.FS, opts *Options) (*Client, error) {
	c := &Client{
		fs: fsys, close: func() error { return nil },
		leftoverAge: defaultLeftoverAge, durable: map[string]bool{},
		now: time.Now, //nolint:forbidigo // the one default of the injected clock
	}
	if opts == nil {
		return c, nil
	}
	if opts.LeftoverAge < 0 {
		return nil, fmt.Errorf("dirobs: open: %w: LeftoverAge is negative", obs.ErrInvalid)
	}
	if opts.LeftoverAge > 0 {
		c.leftoverAge = opts.LeftoverAge
	}
	if opts.Now != nil {
		c.now = opts.Now
	}
	return c, nil
}

// makeBucket makes dir and its missing parents durable.
func makeBucket(fsys vfs.FS, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var missing []string
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := fsys.Stat(d); !errors.Is(err, fs.ErrNotExist) || d == filepath.Dir(d) {
			break // there, or MkdirAll will say what is wrong
		}
		missing = append(missing, d)
	}
	if err := fsys.MkdirAll(dir, folderPerm); err != nil {
		return err
	}
	for _, d := range missing {
		if err := fsys.SyncDir(filepath.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}

// Close releases the folder. Readers that are open stay usable; later calls of
// other methods fail. Closing again does nothing.
func (c *Client) Close() error { return c.close() }

// removeLeftovers removes the old temporary files. A folder that may only be
// read keeps them.
func (c *Client) removeLeftovers() error {
	entries, err := c.fs.ReadDir(metaDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !vfs.IsTemp(e.Name()) {
			continue
		}
		info, err := e.Info()
		if err != nil || info.IsDir() || !c.isOld(info) {
			continue // gone meanwhile, or not ours
		}
		err = c.fs.Remove(filepath.Join(metaDir, e.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(classify(err), obs.ErrDenied) {
			return err
		}
	}
	return nil
}

func (c *Client) isOld(info fs.FileInfo) bool {
	return c.now().Sub(info.ModTime()) > c.leftoverAge
}
