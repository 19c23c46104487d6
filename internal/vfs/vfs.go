// Package vfs is the one seam through which this module changes files.
//
// Everything that must survive a crash is written through an [FS], so that
// tests can put another one in its place: package vfstest has a file system in
// memory that knows what a power loss would leave, one that fails, tears or
// stops any operation, and one that writes down the order of creates, writes,
// syncs and renames.
//
// # Durability
//
// The rules are those of POSIX, taken strictly, and every FS keeps them:
//
//   - The content and size of a file are durable after File.Sync returned nil.
//   - An entry of a directory (made by creating, renaming, linking, removing or
//     making a directory) is durable after SyncDir of that directory returned
//     nil. File.Sync says nothing about the entry.
//   - A rename inside one directory is atomic: after a crash there is the old
//     state or the new one.
//   - After an error from Sync or SyncDir it is unknown what is durable, and a
//     second call that succeeds proves nothing about the first one's data.
package vfs

import (
	"errors"
	"io"
	"io/fs"
)

// ErrLocked is returned by [FS].Lock when somebody holds the lock: another
// process, or another caller in this one. The caller may try again later.
var ErrLocked = errors.New("directory is locked by another user of it")

// ErrTooLarge is returned by [ReadFile] when the file is larger than the limit.
var ErrTooLarge = errors.New("file is larger than the limit")

// FS is a file system. It is safe for concurrent use.
//
// Names are paths in the form of the operating system; what relative names are
// relative to is the implementation's to say. Errors are those of package os:
// they match [fs.ErrNotExist], [fs.ErrExist] and [fs.ErrPermission] under
// [errors.Is].
type FS interface {
	// OpenFile opens a file as [os.OpenFile] does, with its flags.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)

	// Rename moves oldname to newname and replaces a file that is there. It
	// fails when newname is a directory.
	Rename(oldname, newname string) error

	// Link makes newname a second name of the file oldname. It fails with
	// [fs.ErrExist] when newname exists, and of several concurrent calls for
	// one newname, from any number of processes, exactly one succeeds.
	Link(oldname, newname string) error

	// Remove removes a file or an empty directory. See [RemoveDir] for removing
	// a directory only.
	Remove(name string) error

	// MkdirAll makes a directory with all its missing parents. It succeeds when
	// the directory is there. It syncs nothing.
	MkdirAll(dir string, perm fs.FileMode) error

	// ReadDir returns the entries of a directory, sorted by name.
	ReadDir(dir string) ([]fs.DirEntry, error)

	// Stat describes a file, following symbolic links.
	Stat(name string) (fs.FileInfo, error)

	// SyncDir makes the entries of a directory durable. It does nothing where
	// the operating system or the file system cannot sync a directory (Windows).
	SyncDir(dir string) error

	// Lock takes the exclusive lock of an existing directory, or returns
	// [ErrLocked] at once when anybody holds it. The lock belongs to the
	// directory and not to a file in it, so it survives the removal of any file.
	// Closing the result, or the end of the process, gives it back.
	Lock(dir string) (io.Closer, error)
}

// File is an open file. ReadAt and WriteAt are safe for concurrent use; the
// others share one offset and are not.
type File interface {
	io.Reader
	io.Writer
	io.ReaderAt
	io.WriterAt

	// Sync makes content and size durable, but not the file's times.
	Sync() error

	// Truncate changes the size. What is added reads as zeros.
	Truncate(size int64) error

	// Stat describes the file.
	Stat() (fs.FileInfo, error)

	// Close closes the file. It syncs nothing. Later calls of any method,
	// including Close, return [fs.ErrClosed].
	Close() error

	// Name returns the name the file was opened by.
	Name() string
}

// Lstater is what an [FS] with symbolic links implements besides.
type Lstater interface {
	// Lstat describes name itself and does not follow a symbolic link.
	Lstat(name string) (fs.FileInfo, error)
}
