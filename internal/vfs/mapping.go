package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Mapping is the content of a file, as memory. Where the operating system can map
// files it costs no memory of the process that the system could not take back: pages
// are read when they are touched.
//
// The file must not shrink while it is mapped, and reading a page that the disk can't
// give is a fault: see [runtime/debug.SetPanicOnFault], which readers of mapped files
// turn on for their goroutine.
type Mapping struct {
	data  []byte
	unmap func([]byte) error
}

// Map maps the first size bytes of a file for reading. The file may be closed
// afterwards. A file of an [FS] that is not the operating system's is read into memory.
func Map(f File, size int64) (*Mapping, error) {
	if size < 0 || size != int64(int(size)) {
		return nil, fmt.Errorf("map %s: a size of %d bytes does not fit in memory", f.Name(), size)
	}
	if size == 0 {
		return &Mapping{}, nil
	}
	if o, ok := f.(osFile); ok {
		data, unmap, err := mapFile(o.File, int(size))
		if err != nil {
			return nil, fmt.Errorf("map %s: %w", f.Name(), err)
		}
		return &Mapping{data: data, unmap: unmap}, nil
	}
	return readMapping(f, int(size))
}

// readMapping is a mapping of memory.
func readMapping(f io.ReaderAt, size int) (*Mapping, error) {
	data := make([]byte, size)
	if n, err := f.ReadAt(data, 0); n < size {
		return nil, errors.Join(errShort(int64(n), size), err)
	}
	return &Mapping{data: data}, nil
}

// errShort is for a file that has fewer bytes than are to be mapped: touching the
// others would be a fault.
func errShort(have int64, want int) error {
	return fmt.Errorf("%w: the file has %d bytes, not %d", io.ErrUnexpectedEOF, have, want)
}

// Bytes returns the content. It is not to be written to, and not to be read after
// Close.
func (m *Mapping) Bytes() []byte { return m.data }

// Release tells the operating system that the pages that were read so far are not needed
// soon: they no longer count as memory of the process, and are there again, from the
// system's cache, when they are touched. It may be called while others read. Where it
// can't be told it does nothing.
func (m *Mapping) Release() {
	if m.unmap != nil {
		release(m.data)
	}
}

// Close gives the memory back. Later calls do nothing.
func (m *Mapping) Close() error {
	data, unmap := m.data, m.unmap
	m.data, m.unmap = nil, nil
	if unmap == nil {
		return nil
	}
	return os.NewSyscallError("munmap", unmap(data))
}
