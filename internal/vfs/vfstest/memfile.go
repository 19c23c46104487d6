package vfstest

import (
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// memFile is an open file or directory of a MemFS. Its fields are guarded by
// the lock of the file system.
type memFile struct {
	fs     *MemFS
	node   *node
	name   string
	flag   int
	off    int64
	closed bool
}

// do runs one operation with the lock held and gives its error the shape of
// package os.
func (f *memFile) do(op string, run func() (int, error)) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	n, err := 0, fs.ErrClosed
	if !f.closed {
		n, err = run()
	}
	if err != nil && err != io.EOF { //nolint:errorlint // only the bare io.EOF ends a file
		err = &fs.PathError{Op: op, Path: f.name, Err: err}
	}
	return n, err
}

func (f *memFile) readable() error {
	switch {
	case f.node.dir:
		return syscall.EISDIR
	case f.flag&os.O_WRONLY != 0:
		return syscall.EBADF
	}
	return nil
}

func (f *memFile) writable() error {
	if f.flag&(os.O_WRONLY|os.O_RDWR) == 0 {
		return syscall.EBADF
	}
	return nil
}

func (f *memFile) Name() string { return f.name }

func (f *memFile) Read(p []byte) (int, error) {
	return f.do("read", func() (int, error) {
		if err := f.readable(); err != nil || len(p) == 0 {
			return 0, err
		}
		if f.off >= int64(len(f.node.data)) {
			return 0, io.EOF
		}
		n := copy(p, f.node.data[f.off:])
		f.off += int64(n)
		return n, nil
	})
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	return f.do("readat", func() (int, error) {
		if err := f.readable(); err != nil {
			return 0, err
		}
		if off < 0 {
			return 0, fs.ErrInvalid
		}
		n := 0
		if off < int64(len(f.node.data)) {
			n = copy(p, f.node.data[off:])
		}
		if n < len(p) {
			return n, io.EOF
		}
		return n, nil
	})
}

func (f *memFile) Write(p []byte) (int, error) {
	return f.do("write", func() (int, error) {
		if err := f.writable(); err != nil {
			return 0, err
		}
		if f.flag&os.O_APPEND != 0 {
			f.off = int64(len(f.node.data))
		}
		f.write(p, f.off)
		f.off += int64(len(p))
		return len(p), nil
	})
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	return f.do("writeat", func() (int, error) {
		if err := f.writable(); err != nil {
			return 0, err
		}
		if off < 0 || f.flag&os.O_APPEND != 0 {
			return 0, fs.ErrInvalid
		}
		f.write(p, off)
		return len(p), nil
	})
}

func (f *memFile) write(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	op := fileOp{off: off, data: append([]byte(nil), p...)}
	f.node.data = op.apply(f.node.data)
	f.node.pending = append(f.node.pending, op)
	f.node.mtime = f.fs.now()
	if f.flag&os.O_SYNC != 0 {
		f.node.sync()
	}
}

func (f *memFile) Sync() error {
	_, err := f.do("sync", func() (int, error) {
		if f.node.dir {
			f.node.syncDir(nil)
			return 0, nil
		}
		f.node.sync()
		return 0, nil
	})
	return err
}

func (f *memFile) Truncate(size int64) error {
	_, err := f.do("truncate", func() (int, error) {
		if f.flag&(os.O_WRONLY|os.O_RDWR) == 0 || size < 0 {
			return 0, syscall.EINVAL
		}
		f.fs.truncate(f.node, size)
		return 0, nil
	})
	return err
}

func (f *memFile) Stat() (fs.FileInfo, error) {
	var info fs.FileInfo
	_, err := f.do("stat", func() (int, error) {
		info = f.node.info(baseName(f.name))
		return 0, nil
	})
	return info, err
}

func (f *memFile) Close() error {
	_, err := f.do("close", func() (int, error) {
		f.closed = true
		return 0, nil
	})
	return err
}

// truncate is called with the lock held.
func (m *MemFS) truncate(n *node, size int64) {
	op := fileOp{size: size}
	n.data = op.apply(n.data)
	n.pending = append(n.pending, op)
	n.mtime = m.now()
}

// sync makes the content of a file durable, at the cost of what changed.
func (n *node) sync() {
	for _, op := range n.pending {
		n.synced = op.apply(n.synced)
	}
	n.pending = nil
}

// apply returns content as it is after op. It changes content in place.
func (op fileOp) apply(content []byte) []byte {
	if op.data == nil {
		return resize(content, op.size)
	}
	if end := op.off + int64(len(op.data)); end > int64(len(content)) {
		content = resize(content, end)
	}
	copy(content[op.off:], op.data)
	return content
}

// resize cuts content or adds zeros.
func resize(content []byte, size int64) []byte {
	if size <= int64(len(content)) {
		return content[:size]
	}
	old := len(content)
	if size <= int64(cap(content)) {
		content = content[:size]
		clear(content[old:])
		return content
	}
	return append(content, make([]byte, size-int64(old))...)
}

func (n *node) info(name string) fs.FileInfo {
	mode := n.perm
	if n.dir {
		mode |= fs.ModeDir
	}
	return memInfo{name: name, size: int64(len(n.data)), mode: mode, mtime: n.mtime}
}

type memInfo struct {
	name  string
	size  int64
	mode  fs.FileMode
	mtime time.Time
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return i.mtime }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }
