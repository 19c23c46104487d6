package dirobs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/obs"
)

// objectPath returns the path of the object key, relative to the folder.
func objectPath(key string) (string, error) {
	if err := obs.ValidateKey(key); err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(key, "/")
	if reserved(first) {
		return "", fmt.Errorf("%w: %q is reserved in a folder", obs.ErrInvalidKey, first)
	}
	path, err := filepath.Localize(key)
	if err != nil {
		return "", fmt.Errorf("%w: this operating system has no such path", obs.ErrInvalidKey)
	}
	return path, nil
}

// reserved reports whether a name directly in the folder is no object's. Case
// is ignored because some file systems ignore it.
func reserved(name string) bool {
	return strings.EqualFold(name, metaDir) ||
		len(name) >= len(vfs.TempPrefix) && strings.EqualFold(name[:len(vfs.TempPrefix)], vfs.TempPrefix)
}

// check refuses a path that leads through a symbolic link and describes what
// is at its end. A link that appears after the check leads nowhere outside
// either, since the file system ends at the folder.
func (c *Client) check(path string) (fs.FileInfo, error) {
	for i := 0; i < len(path); i++ {
		if !os.IsPathSeparator(path[i]) {
			continue
		}
		info, err := c.lstat(path[:i])
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, &fs.PathError{Op: "stat", Path: path, Err: fs.ErrNotExist}
		}
	}
	return c.lstat(path)
}

func (c *Client) lstat(path string) (fs.FileInfo, error) {
	stat := c.fs.Stat
	if l, ok := c.fs.(vfs.Lstater); ok {
		stat = l.Lstat
	}
	info, err := stat(path)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, fmt.Errorf("%w: %s is a symbolic link", obs.ErrDenied, path)
	}
	return info, err
}

// checkObject describes the object at a path and says fs.ErrNotExist when
// something else is there.
func (c *Client) checkObject(path string) (fs.FileInfo, error) {
	info, err := c.check(path)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "stat", Path: path, Err: fs.ErrNotExist}
	}
	return info, err
}

// maxDurable bounds the folders that are remembered as durable.
const maxDurable = 4096

// makeDurable makes a folder with its parents and makes all of them durable,
// also those that a killed process made. The caller holds mu.
func (c *Client) makeDurable(dir string) error {
	if dir == "." || c.durable[dir] {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := c.makeDurable(parent); err != nil {
		return err
	}
	if err := c.makeFolder(dir); err != nil {
		return err
	}
	if err := c.fs.SyncDir(parent); err != nil {
		return err
	}
	if len(c.durable) >= maxDurable {
		clear(c.durable)
	}
	c.durable[dir] = true
	return nil
}

// folderTries bounds how often makeFolder tries against clients that remove the
// folder, empty as it is, at the same time.
const folderTries = 16

// makeFolder makes a folder that may be there.
func (c *Client) makeFolder(dir string) error {
	var err error
	for range folderTries {
		if err = c.fs.MkdirAll(dir, folderPerm); err == nil {
			return nil
		}
		info, found := c.lstat(dir)
		switch {
		case found == nil && !info.IsDir():
			return fmt.Errorf("%w: %q is an object", ErrKeyConflict, filepath.ToSlash(dir))
		case found == nil && errors.Is(err, fs.ErrExist):
			return nil // another client was faster
		case !errors.Is(err, fs.ErrExist):
			return err
		}
	}
	return err
}

// prune removes dir and its parents up to and without stop as far as they are
// empty. The caller holds mu. That an empty folder stays does no harm, so its
// errors are not returned.
func (c *Client) prune(dir, stop string) {
	for ; dir != stop && dir != "."; dir = filepath.Dir(dir) {
		delete(c.durable, dir)
		if err := vfs.RemoveDir(c.fs, dir); err != nil {
			return
		}
	}
}

// removeEmptyTree removes dir if there is nothing in it but folders, and
// reports whether it did. The caller holds mu.
func (c *Client) removeEmptyTree(dir string) (bool, error) {
	entries, err := c.fs.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if !e.IsDir() {
			return false, nil
		}
		if ok, err := c.removeEmptyTree(filepath.Join(dir, e.Name())); !ok || err != nil {
			return false, err
		}
	}
	delete(c.durable, dir)
	return true, vfs.RemoveDir(c.fs, dir)
}

// fail makes the error of a method: typed, and with the sentinel for its cause.
func fail(op, key string, err error) error {
	return &obs.Error{Op: op, Key: key, Err: classify(err)}
}

// classify adds the sentinel of package obs that an error of the file system
// stands for, unless it has one.
func classify(err error) error {
	for _, known := range []error{obs.ErrNotExist, obs.ErrDenied, obs.ErrFull, obs.ErrInvalidKey, obs.ErrNoBucket} {
		if errors.Is(err, known) {
			return err
		}
	}
	sentinels := []struct {
		is  []error
		obs error
	}{
		{[]error{fs.ErrNotExist, syscall.ENOTDIR}, obs.ErrNotExist},
		{[]error{fs.ErrPermission, syscall.EROFS}, obs.ErrDenied},
		{[]error{syscall.ENOSPC, syscall.EDQUOT}, obs.ErrFull},
		{[]error{syscall.ENAMETOOLONG}, obs.ErrInvalidKey},
	}
	for _, s := range sentinels {
		for _, is := range s.is {
			if errors.Is(err, is) {
				return fmt.Errorf("%w: %w", s.obs, err)
			}
		}
	}
	return err
}
