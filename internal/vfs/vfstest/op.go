package vfstest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/cloudtraceservice/cts/internal/vfs"
)

// Kind names what an operation does.
type Kind string

// The kinds of operation. Those up to KindSyncDir change the disk or what is
// durable on it; the others do not.
const (
	KindCreate   Kind = "create" // an open that makes the file
	KindWrite    Kind = "write"
	KindSync     Kind = "sync"
	KindTruncate Kind = "truncate" // also an open that empties a file that is there
	KindRename   Kind = "rename"
	KindLink     Kind = "link"
	KindRemove   Kind = "remove"
	KindMkdir    Kind = "mkdir"
	KindSyncDir  Kind = "syncdir"

	KindOpen  Kind = "open"
	KindRead  Kind = "read" // of a file or a directory, and stat
	KindLock  Kind = "lock"
	KindClose Kind = "close"
)

// Changes reports whether operations of this kind change the disk or what is
// durable on it.
func (k Kind) Changes() bool {
	switch k {
	case KindOpen, KindRead, KindLock, KindClose:
		return false
	}
	return true
}

// Op is one operation.
type Op struct {
	N       int    // running number from 1 on among the counted ones, 0 for others
	Kind    Kind   // what it does
	Name    string // as given by the caller
	NewName string // second name of rename and link
	Offset  int64  // of read and write
	Len     int64  // of read and write; the size of a truncate
}

// String renders the operation as one line, without its number.
func (op Op) String() string {
	switch op.Kind {
	case KindWrite:
		return fmt.Sprintf("%s %s @%d +%d", op.Kind, op.Name, op.Offset, op.Len)
	case KindTruncate:
		return fmt.Sprintf("%s %s to %d", op.Kind, op.Name, op.Len)
	case KindRename, KindLink:
		return fmt.Sprintf("%s %s -> %s", op.Kind, op.Name, op.NewName)
	}
	return fmt.Sprintf("%s %s", op.Kind, op.Name)
}

// hookFS passes every operation through one function, which calls run to
// perform it, once or not at all. For a write, run takes how many bytes to
// write; otherwise its argument means nothing.
type hookFS struct {
	fs   vfs.FS
	hook func(op Op, run func(n int) error) error
}

func (h *hookFS) do(op Op, run func() error) error {
	return h.hook(op, func(int) error { return run() })
}

// OpenFile implements [vfs.FS].
func (h *hookFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	op := Op{Kind: KindOpen, Name: name}
	if flag&(os.O_CREATE|os.O_TRUNC) != 0 {
		_, err := h.fs.Stat(name)
		switch {
		case flag&os.O_CREATE != 0 && errors.Is(err, fs.ErrNotExist):
			op.Kind = KindCreate
		case flag&(os.O_TRUNC|os.O_EXCL) == os.O_TRUNC:
			op.Kind = KindTruncate
		}
	}
	var f vfs.File
	err := h.do(op, func() (err error) {
		f, err = h.fs.OpenFile(name, flag, perm)
		return err
	})
	if err == nil {
		return &hookFile{File: f, h: h, appends: flag&os.O_APPEND != 0}, nil
	}
	if f != nil { // failed after it took effect
		err = errors.Join(err, f.Close())
	}
	return nil, err
}

// Rename implements [vfs.FS].
func (h *hookFS) Rename(oldname, newname string) error {
	return h.do(Op{Kind: KindRename, Name: oldname, NewName: newname}, func() error { return h.fs.Rename(oldname, newname) })
}

// Link implements [vfs.FS].
func (h *hookFS) Link(oldname, newname string) error {
	return h.do(Op{Kind: KindLink, Name: oldname, NewName: newname}, func() error { return h.fs.Link(oldname, newname) })
}

// Remove implements [vfs.FS].
func (h *hookFS) Remove(name string) error {
	return h.do(Op{Kind: KindRemove, Name: name}, func() error { return h.fs.Remove(name) })
}

// MkdirAll implements [vfs.FS].
func (h *hookFS) MkdirAll(dir string, perm fs.FileMode) error {
	return h.do(Op{Kind: KindMkdir, Name: dir}, func() error { return h.fs.MkdirAll(dir, perm) })
}

// ReadDir implements [vfs.FS].
func (h *hookFS) ReadDir(dir string) ([]fs.DirEntry, error) {
	var entries []fs.DirEntry
	err := h.do(Op{Kind: KindRead, Name: dir}, func() (err error) {
		entries, err = h.fs.ReadDir(dir)
		return err
	})
	return entries, err
}

// Stat implements [vfs.FS].
func (h *hookFS) Stat(name string) (fs.FileInfo, error) {
	var info fs.FileInfo
	err := h.do(Op{Kind: KindRead, Name: name}, func() (err error) {
		info, err = h.fs.Stat(name)
		return err
	})
	return info, err
}

// Lstat implements [vfs.Lstater]; it is Stat where the file system wrapped has
// no symbolic links.
func (h *hookFS) Lstat(name string) (fs.FileInfo, error) {
	l, ok := h.fs.(vfs.Lstater)
	if !ok {
		return h.Stat(name)
	}
	var info fs.FileInfo
	err := h.do(Op{Kind: KindRead, Name: name}, func() (err error) {
		info, err = l.Lstat(name)
		return err
	})
	return info, err
}

// SyncDir implements [vfs.FS].
func (h *hookFS) SyncDir(dir string) error {
	return h.do(Op{Kind: KindSyncDir, Name: dir}, func() error { return h.fs.SyncDir(dir) })
}

// Lock implements [vfs.FS].
func (h *hookFS) Lock(dir string) (io.Closer, error) {
	var lock io.Closer
	err := h.do(Op{Kind: KindLock, Name: dir}, func() (err error) {
		lock, err = h.fs.Lock(dir)
		return err
	})
	if err != nil && lock != nil {
		err = errors.Join(err, lock.Close())
		lock = nil
	}
	return lock, err
}

// hookFile is a file of a hookFS. It follows the file's offset.
type hookFile struct {
	vfs.File
	h       *hookFS
	appends bool
	off     int64
}

func (f *hookFile) Read(p []byte) (n int, err error) {
	err = f.h.do(Op{Kind: KindRead, Name: f.Name(), Offset: f.off, Len: int64(len(p))}, func() (err error) {
		n, err = f.File.Read(p)
		return err
	})
	f.off += int64(n)
	return n, err
}

func (f *hookFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.h.do(Op{Kind: KindRead, Name: f.Name(), Offset: off, Len: int64(len(p))}, func() (err error) {
		n, err = f.File.ReadAt(p, off)
		return err
	})
	return n, err
}

func (f *hookFile) Write(p []byte) (n int, err error) {
	if f.appends {
		info, err := f.File.Stat()
		if err != nil {
			return 0, err
		}
		f.off = info.Size()
	}
	op := Op{Kind: KindWrite, Name: f.Name(), Offset: f.off, Len: int64(len(p))}
	err = f.h.hook(op, func(part int) (err error) {
		n, err = f.File.Write(p[:part])
		return err
	})
	f.off += int64(n)
	return n, err
}

func (f *hookFile) WriteAt(p []byte, off int64) (n int, err error) {
	op := Op{Kind: KindWrite, Name: f.Name(), Offset: off, Len: int64(len(p))}
	err = f.h.hook(op, func(part int) (err error) {
		n, err = f.File.WriteAt(p[:part], off)
		return err
	})
	return n, err
}

func (f *hookFile) Sync() error {
	return f.h.do(Op{Kind: KindSync, Name: f.Name()}, f.File.Sync)
}

func (f *hookFile) Truncate(size int64) error {
	op := Op{Kind: KindTruncate, Name: f.Name(), Len: size}
	return f.h.do(op, func() error { return f.File.Truncate(size) })
}

func (f *hookFile) Stat() (info fs.FileInfo, err error) {
	err = f.h.do(Op{Kind: KindRead, Name: f.Name()}, func() (err error) {
		info, err = f.File.Stat()
		return err
	})
	return info, err
}

func (f *hookFile) Close() error {
	return f.h.do(Op{Kind: KindClose, Name: f.Name()}, f.File.Close)
}
