package vfstest

import (
	"math/rand/v2"
	"path"
	"path/filepath"
)

// sectorSize is the piece of a write that a disk writes whole or not at all.
const sectorSize = 512

// CrashOptions says what a power loss leaves.
type CrashOptions struct {
	// Rand decides which of the changes that were not synced survive. The same
	// sequence of numbers gives the same disk.
	// Default: nil, none of them survives.
	Rand *rand.Rand

	// Survive is the chance, from 0 to 1, of every single one.
	// Default: 0.5.
	Survive float64
}

// CrashClone returns what the disk holds after a power loss at this moment;
// the file system itself goes on. Nobody holds a lock in the clone, and all of
// it is durable.
//
// What is synced is there. Of what is not synced each may survive on its own:
// every 512-byte sector of every write, so that writes are torn and reordered;
// the sizes of a file up to some point in their order, where what is missing
// reads as zeros; every change of a directory, a rename inside one directory
// being one change. A file whose entry did not survive is gone, its synced
// content too; so is all that lies in a directory whose entry is gone.
func (m *MemFS) CrashClone(opts CrashOptions) *MemFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	if opts.Survive == 0 {
		opts.Survive = 0.5
	}
	c := &crash{opts: opts, nodes: map[*node]*node{}, fate: map[*dirOp]bool{}}
	return &MemFS{root: c.clone(m.root), now: m.now}
}

// crash is one power loss: what became of each node and of each pending op.
type crash struct {
	opts  CrashOptions
	nodes map[*node]*node
	fate  map[*dirOp]bool
}

func (c *crash) survives() bool {
	return c.opts.Rand != nil && c.opts.Rand.Float64() < c.opts.Survive
}

func (c *crash) clone(n *node) *node {
	if done, ok := c.nodes[n]; ok {
		return done
	}
	if !n.dir {
		content := c.content(n)
		file := &node{perm: n.perm, mtime: n.mtime, data: content, synced: append([]byte(nil), content...)}
		c.nodes[n] = file
		return file
	}
	dir := newDir(n.perm, n.mtime)
	c.nodes[n] = dir
	left := make(map[string]*node, len(n.durable))
	for name, child := range n.durable {
		left[name] = child
	}
	for _, op := range n.pendingDir {
		if c.opSurvives(op) {
			op.apply(left)
		}
	}
	for _, name := range sortedNames(left) {
		child := c.clone(left[name])
		dir.entries[name], dir.durable[name] = child, child
	}
	return dir
}

// opSurvives decides the fate of op once, and before it that of the one it
// needs.
func (c *crash) opSurvives(op *dirOp) bool {
	if fate, ok := c.fate[op]; ok {
		return fate
	}
	fate := true
	if op.needs != nil {
		for _, pending := range op.needsDir.pendingDir {
			if pending == op.needs {
				fate = c.opSurvives(pending)
			}
		}
	}
	fate = c.survives() && fate
	c.fate[op] = fate
	return fate
}

// content returns the content of a file after the crash.
func (c *crash) content(n *node) []byte {
	content := append([]byte(nil), n.synced...)
	if c.opts.Rand == nil || len(n.pending) == 0 {
		return content
	}
	sized := c.sizedOps(len(n.pending))
	for i, op := range n.pending {
		if op.data == nil {
			if i < sized {
				content = resize(content, op.size)
			}
			continue
		}
		if end := op.off + int64(len(op.data)); i < sized && end > int64(len(content)) {
			content = resize(content, end)
		}
		c.writeSectors(content, op)
	}
	return content
}

// sizedOps chooses how many of a file's n pending ops had their effect on its
// size: none, all, or some.
func (c *crash) sizedOps(n int) int {
	switch c.opts.Rand.IntN(3) {
	case 0:
		return 0
	case 1:
		return n
	}
	return c.opts.Rand.IntN(n + 1)
}

// writeSectors writes those sectors of op that survive and lie in content.
func (c *crash) writeSectors(content []byte, op fileOp) {
	end := op.off + int64(len(op.data))
	for start := op.off; start < end; {
		stop := min(end, (start/sectorSize+1)*sectorSize)
		if c.survives() && start < int64(len(content)) {
			copy(content[start:], op.data[start-op.off:stop-op.off])
		}
		start = stop
	}
}

// KillClone returns the file system as the next process finds it when this one
// is killed now: everything done is there, synced or not, and what was not
// synced can still be lost by a CrashClone of the clone. Nobody holds a lock.
func (m *MemFS) KillClone() *MemFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := &kill{nodes: map[*node]*node{}, ops: map[*dirOp]*dirOp{}}
	return &MemFS{root: k.clone(m.root), now: m.now}
}

// kill is one deep copy.
type kill struct {
	nodes map[*node]*node
	ops   map[*dirOp]*dirOp
}

func (k *kill) clone(n *node) *node {
	if n == nil {
		return nil
	}
	if done, ok := k.nodes[n]; ok {
		return done
	}
	c := &node{dir: n.dir, perm: n.perm, mtime: n.mtime}
	k.nodes[n] = c
	c.data = append([]byte(nil), n.data...)
	c.synced = append([]byte(nil), n.synced...)
	c.pending = append([]fileOp(nil), n.pending...) // the bytes of an op never change
	if n.dir {
		c.entries, c.durable = k.entries(n.entries), k.entries(n.durable)
	}
	for _, op := range n.pendingDir {
		c.pendingDir = append(c.pendingDir, k.op(op))
	}
	return c
}

func (k *kill) entries(entries map[string]*node) map[string]*node {
	c := make(map[string]*node, len(entries))
	for name, child := range entries {
		c[name] = k.clone(child)
	}
	return c
}

func (k *kill) op(op *dirOp) *dirOp {
	if op == nil {
		return nil
	}
	if done, ok := k.ops[op]; ok {
		return done
	}
	c := &dirOp{del: op.del, add: op.add}
	k.ops[op] = c
	c.node, c.needs, c.needsDir = k.clone(op.node), k.op(op.needs), k.clone(op.needsDir)
	return c
}

func baseName(name string) string { return path.Base(filepath.ToSlash(name)) }
