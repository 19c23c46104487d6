package vfs

import (
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// OS is the file system of the operating system. Relative names are relative
// to the working directory.
var OS FS = osFS{}

type osFS struct{}

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	return wrapFile(os.OpenFile, name, flag, perm)
}

func (osFS) Rename(oldname, newname string) error { return os.Rename(oldname, newname) }

func (osFS) Link(oldname, newname string) error { return os.Link(oldname, newname) }

func (osFS) Remove(name string) error { return os.Remove(name) }

func (osFS) MkdirAll(dir string, perm fs.FileMode) error { return os.MkdirAll(dir, perm) }

func (osFS) ReadDir(dir string) ([]fs.DirEntry, error) { return os.ReadDir(dir) }

func (osFS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

func (osFS) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

func (osFS) SyncDir(dir string) error { return syncDir(os.OpenFile, dir) }

func (osFS) Lock(dir string) (io.Closer, error) { return lockDir(os.OpenFile, dir) }

// Root is the part of the operating system's file system below one directory.
// Names are relative to that directory, and no name leads out of it, also not
// through a symbolic link that somebody puts there between two calls
// (see [os.Root]).
type Root struct {
	root *os.Root
}

// OpenRoot opens dir, which must exist. Close gives the descriptor back.
func OpenRoot(dir string) (*Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Root{root: root}, nil
}

// Close releases the directory. Files opened before stay usable.
func (r *Root) Close() error { return r.root.Close() }

// OpenFile implements [FS].
func (r *Root) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	return wrapFile(r.root.OpenFile, name, flag, perm)
}

// Rename implements [FS].
func (r *Root) Rename(oldname, newname string) error {
	// Some systems let a file replace an empty directory; FS does not.
	if info, err := r.root.Lstat(newname); err == nil && info.IsDir() {
		return &os.LinkError{Op: "rename", Old: oldname, New: newname, Err: fs.ErrExist}
	}
	return r.root.Rename(oldname, newname)
}

// Link implements [FS].
func (r *Root) Link(oldname, newname string) error { return r.root.Link(oldname, newname) }

// Remove implements [FS].
func (r *Root) Remove(name string) error { return r.root.Remove(name) }

// MkdirAll implements [FS].
func (r *Root) MkdirAll(dir string, perm fs.FileMode) error { return r.root.MkdirAll(dir, perm) }

// ReadDir implements [FS].
func (r *Root) ReadDir(dir string) ([]fs.DirEntry, error) {
	f, err := r.root.Open(dir)
	if err != nil {
		return nil, err
	}
	entries, err := f.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return entries, err
}

// Stat implements [FS].
func (r *Root) Stat(name string) (fs.FileInfo, error) { return r.root.Stat(name) }

// Lstat implements [Lstater].
func (r *Root) Lstat(name string) (fs.FileInfo, error) { return r.root.Lstat(name) }

// SyncDir implements [FS].
func (r *Root) SyncDir(dir string) error { return syncDir(r.root.OpenFile, dir) }

// Lock implements [FS].
func (r *Root) Lock(dir string) (io.Closer, error) { return lockDir(r.root.OpenFile, dir) }

// opener is os.OpenFile or the method of os.Root of that name.
type opener func(name string, flag int, perm fs.FileMode) (*os.File, error)

// osFile is an os.File whose Sync writes no more than File promises: on Linux
// fdatasync, which leaves out the times and so saves a journal commit on every
// write into space that the file already has; elsewhere os.File.Sync.
type osFile struct {
	*os.File
	name string // as given, which a Root's files do not keep
}

func wrapFile(open opener, name string, flag int, perm fs.FileMode) (File, error) {
	f, err := open(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return osFile{File: f, name: name}, nil
}

func (f osFile) Name() string { return f.name }

func (f osFile) Sync() error { return syncData(f.File) }
