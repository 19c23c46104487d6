package vfstest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cloudtraceservice/cts/internal/vfs"
)

// MemFS is a [vfs.FS] in memory that keeps two states: what programs see and
// what is durable. It starts with an empty root directory, to which relative
// names are relative too, so "a" and "/a" are one file. It has no permissions
// and no symbolic links. It keeps every write until its file is synced.
//
// What is durable follows the rules of package vfs strictly: content by Sync of
// the file, entries by SyncDir of the directory. The root itself is durable.
// Opening with [os.O_SYNC] syncs each write.
type MemFS struct {
	mu   sync.Mutex
	root *node
	now  func() time.Time
}

// node is a file or directory, guarded by MemFS.mu.
type node struct {
	dir   bool
	perm  fs.FileMode
	mtime time.Time
	lock  *memLock // of a directory

	data    []byte   // content of a file as seen
	synced  []byte   // content of a file that is durable
	pending []fileOp // what was done to synced to make data, in order

	entries    map[string]*node // of a directory as seen
	durable    map[string]*node // entries that are durable
	pendingDir []*dirOp         // what was done to durable to make entries, in order
}

// fileOp is a write (data) or, when data is nil, a truncation to size.
type fileOp struct {
	off  int64
	data []byte
	size int64
}

// dirOp is one atomic change of one directory: del is taken out, then add is
// put in; either may be empty.
type dirOp struct {
	del, add string
	node     *node
	// A rename between directories is an op in each. The removal needs the
	// addition: no file system loses a file that is renamed.
	needs    *dirOp
	needsDir *node
}

// NewMemFS returns an empty file system whose clock begins on 2026-01-01 and
// advances by a millisecond with every change, so that runs are repeatable.
// Clones share the clock.
func NewMemFS() *MemFS {
	now := steppingClock()
	return &MemFS{root: newDir(0o700, now()), now: now}
}

// steppingClock returns a clock that clones may share.
func steppingClock() func() time.Time {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var steps atomic.Int64
	return func() time.Time {
		return start.Add(time.Duration(steps.Add(1)) * time.Millisecond)
	}
}

// SetNow sets the clock from which files get their times. It is called with a
// lock held, by clones too, concurrently, and must not use the file system.
func (m *MemFS) SetNow(now func() time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = now
}

func newDir(perm fs.FileMode, now time.Time) *node {
	return &node{dir: true, perm: perm.Perm(), mtime: now, entries: map[string]*node{}, durable: map[string]*node{}}
}

// split returns the elements of a name, none for the root.
func split(name string) []string {
	name = name[len(filepath.VolumeName(name)):]
	name = path.Clean("/" + filepath.ToSlash(name))
	if name == "/" {
		return nil
	}
	return strings.Split(name[1:], "/")
}

// lookup returns the node of a name.
func (m *MemFS) lookup(elems []string) (*node, error) {
	n := m.root
	for _, e := range elems {
		if !n.dir {
			return nil, syscall.ENOTDIR
		}
		child, ok := n.entries[e]
		if !ok {
			return nil, fs.ErrNotExist
		}
		n = child
	}
	return n, nil
}

// parent returns the directory that name is or would be in, and its last
// element. The root has no parent.
func (m *MemFS) parent(name string) (*node, string, error) {
	elems := split(name)
	if len(elems) == 0 {
		return nil, "", fs.ErrInvalid
	}
	last := len(elems) - 1
	dir, err := m.lookup(elems[:last])
	if err == nil && !dir.dir {
		err = syscall.ENOTDIR
	}
	return dir, elems[last], err
}

// change applies op to what is seen of dir and remembers it until SyncDir.
func (m *MemFS) change(dir *node, op *dirOp) {
	op.apply(dir.entries)
	dir.pendingDir = append(dir.pendingDir, op)
	dir.mtime = m.now()
}

func (op *dirOp) apply(entries map[string]*node) {
	if op.del != "" {
		delete(entries, op.del)
	}
	if op.add != "" {
		entries[op.add] = op.node
	}
}

// OpenFile implements [vfs.FS].
func (m *MemFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.open(name, flag, perm)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &memFile{fs: m, node: n, name: name, flag: flag}, nil
}

func (m *MemFS) open(name string, flag int, perm fs.FileMode) (*node, error) {
	writable := flag&(os.O_WRONLY|os.O_RDWR) != 0
	if len(split(name)) == 0 {
		if writable || flag&os.O_CREATE != 0 {
			return nil, syscall.EISDIR
		}
		return m.root, nil
	}
	dir, base, err := m.parent(name)
	if err != nil {
		return nil, err
	}
	n, ok := dir.entries[base]
	switch {
	case !ok && flag&os.O_CREATE == 0:
		return nil, fs.ErrNotExist
	case !ok:
		n = &node{perm: perm.Perm(), mtime: m.now()}
		m.change(dir, &dirOp{add: base, node: n})
		return n, nil
	case flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		return nil, fs.ErrExist
	case n.dir && (writable || flag&os.O_CREATE != 0):
		return nil, syscall.EISDIR
	}
	if flag&os.O_TRUNC != 0 && writable {
		m.truncate(n, 0)
	}
	return n, nil
}

// Rename implements [vfs.FS]. It renames directories too.
func (m *MemFS) Rename(oldname, newname string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.rename(oldname, newname); err != nil {
		return &os.LinkError{Op: "rename", Old: oldname, New: newname, Err: err}
	}
	return nil
}

func (m *MemFS) rename(oldname, newname string) error {
	from, oldbase, err := m.parent(oldname)
	if err != nil {
		return err
	}
	n, ok := from.entries[oldbase]
	if !ok {
		return fs.ErrNotExist
	}
	to, newbase, err := m.parent(newname)
	if err != nil {
		return err
	}
	target, exists := to.entries[newbase]
	switch {
	case exists && target == n:
		return nil
	case exists && target.dir:
		return fs.ErrExist
	case exists && n.dir:
		return syscall.ENOTDIR
	case n.dir && slices.Equal(split(oldname), split(newname)[:min(len(split(oldname)), len(split(newname)))]):
		return syscall.EINVAL
	}
	if from == to {
		m.change(from, &dirOp{del: oldbase, add: newbase, node: n})
		return nil
	}
	add := &dirOp{add: newbase, node: n}
	m.change(to, add)
	m.change(from, &dirOp{del: oldbase, needs: add, needsDir: to})
	return nil
}

// Link implements [vfs.FS].
func (m *MemFS) Link(oldname, newname string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup(split(oldname))
	if err == nil && n.dir {
		err = fs.ErrPermission
	}
	var dir *node
	var base string
	if err == nil {
		dir, base, err = m.parent(newname)
	}
	if err == nil && dir.entries[base] != nil {
		err = fs.ErrExist
	}
	if err != nil {
		return &os.LinkError{Op: "link", Old: oldname, New: newname, Err: err}
	}
	m.change(dir, &dirOp{add: base, node: n})
	return nil
}

// Remove implements [vfs.FS].
func (m *MemFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent(name)
	if err == nil {
		n, ok := dir.entries[base]
		switch {
		case !ok:
			err = fs.ErrNotExist
		case !n.dir && os.IsPathSeparator(name[len(name)-1]):
			err = syscall.ENOTDIR
		case len(n.entries) > 0:
			err = syscall.ENOTEMPTY
		}
	}
	if err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	m.change(dir, &dirOp{del: base})
	return nil
}

// MkdirAll implements [vfs.FS].
func (m *MemFS) MkdirAll(dir string, perm fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.root
	for _, e := range split(dir) {
		child, ok := n.entries[e]
		if !ok {
			child = newDir(perm, m.now())
			m.change(n, &dirOp{add: e, node: child})
		}
		if !child.dir {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		n = child
	}
	return nil
}

// ReadDir implements [vfs.FS].
func (m *MemFS) ReadDir(dir string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup(split(dir))
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: dir, Err: err}
	}
	list := make([]fs.DirEntry, 0, len(n.entries))
	for _, name := range sortedNames(n.entries) {
		list = append(list, fs.FileInfoToDirEntry(n.entries[name].info(name)))
	}
	return list, nil
}

// Stat implements [vfs.FS].
func (m *MemFS) Stat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup(split(name))
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return n.info(path.Base(filepath.ToSlash(name))), nil
}

// SyncDir implements [vfs.FS].
func (m *MemFS) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup(split(dir))
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return &fs.PathError{Op: "syncdir", Path: dir, Err: err}
	}
	n.syncDir(nil)
	return nil
}

// syncDir makes the changes of a directory durable up to and including last,
// or all of them when it is nil or was made durable before.
func (n *node) syncDir(last *dirOp) {
	end := len(n.pendingDir)
	if last != nil {
		end = slices.Index(n.pendingDir, last) + 1
	}
	ops := n.pendingDir[:end]
	n.pendingDir = n.pendingDir[end:]
	for _, op := range ops {
		op.apply(n.durable)
		if op.needs != nil {
			op.needsDir.syncDir(op.needs)
		}
	}
}

// Lock implements [vfs.FS].
func (m *MemFS) Lock(dir string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup(split(dir))
	switch {
	case err != nil:
		return nil, &fs.PathError{Op: "lock", Path: dir, Err: err}
	case !n.dir:
		return nil, &fs.PathError{Op: "lock", Path: dir, Err: syscall.ENOTDIR}
	case n.lock != nil:
		return nil, fmt.Errorf("lock %s: %w", dir, vfs.ErrLocked)
	}
	n.lock = &memLock{fs: m, dir: n}
	return n.lock, nil
}

// memLock is a lock that is held as long as its directory points to it.
type memLock struct {
	fs  *MemFS
	dir *node
}

func (l *memLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	if l.dir.lock != l {
		return fs.ErrClosed
	}
	l.dir.lock = nil
	return nil
}

// WriteFile makes a file with its missing parent directories, all durable at
// once: a test's way to set up or damage a disk.
func (m *MemFS) WriteFile(name string, data []byte) error {
	dir := path.Dir(path.Join("/", filepath.ToSlash(name)))
	if err := m.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := m.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	for ; err == nil; dir = path.Dir(dir) {
		err = m.SyncDir(dir)
		if dir == "/" {
			break
		}
	}
	return err
}

// ReadFile returns a copy of what is seen of a file.
func (m *MemFS) ReadFile(name string) ([]byte, error) {
	return vfs.ReadFile(m, name, 1<<62)
}

// Files returns the names of all files seen, sorted, without a leading slash.
func (m *MemFS) Files() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	var walk func(prefix string, n *node)
	walk = func(prefix string, n *node) {
		for name, child := range n.entries {
			if child.dir {
				walk(prefix+name+"/", child)
				continue
			}
			names = append(names, prefix+name)
		}
	}
	walk("", m.root)
	slices.Sort(names)
	return names
}

func sortedNames(entries map[string]*node) []string {
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
