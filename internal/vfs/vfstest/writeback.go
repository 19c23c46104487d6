package vfstest

// DropDirty does to a file what an operating system may do after it failed to write
// it back: what is not synced is still seen, but it counts as written, so that no
// later sync makes it durable and a crash takes it. Bytes that are written again
// become durable by the next sync as always. It does nothing for a file that does
// not exist.
func (m *MemFS) DropDirty(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, err := m.lookup(split(name)); err == nil && !n.dir {
		n.pending = nil
	}
}
