package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	"github.com/cloudtraceservice/cts/internal/vfs"
)

// Mark names the end of what is synced: everything in earlier files and in this
// file below the offset, and so every position below Next.
type Mark struct {
	File   uint64 // number of the log file
	Offset int64  // in it
	Next   uint64 // the position that is assigned next
}

// before reports whether m says less than n.
func (m Mark) before(n Mark) bool {
	if m.Next != n.Next {
		return m.Next < n.Next
	}
	return m.File < n.File || m.File == n.File && m.Offset < n.Offset
}

// ErrNoMark is returned when a mark file is absent or says nothing that could be
// believed.
var ErrNoMark = errors.New("mark is missing or damaged")

const (
	markMagic  = "ctsmark\n"
	markSize   = 64
	markStride = 512 // a slot never shares a disk sector with the other one
	markFile   = 2 * markStride
)

// append appends one slot of a mark file:
//
//	0   8   "ctsmark\n"
//	8   4   format version; this and all numbers are little endian
//	12  4   zero
//	16  8   number of the log file
//	24  8   offset in it
//	32  8   next position
//	40  20  zero
//	60  4   CRC-32C of bytes 0 to 59, begun with that of the store id
//
// A file has slots at 0 and 512, is 1,024 bytes long, and means the slot that says
// more of those that are intact.
func (m Mark) append(dst []byte, store StoreID) []byte {
	at := len(dst)
	dst = append(dst, markMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, Version)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint64(dst, m.File)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Offset))
	dst = binary.LittleEndian.AppendUint64(dst, m.Next)
	dst = append(dst, make([]byte, 20)...)
	return binary.LittleEndian.AppendUint32(dst, markSum(dst[at:], store))
}

func markSum(b []byte, store StoreID) uint32 {
	return crc32.Update(Checksum(store[:]), castagnoli, b)
}

// parseMark reads one slot.
func parseMark(b []byte, store StoreID) (Mark, bool) {
	if len(b) < markSize || string(b[:8]) != markMagic || binary.LittleEndian.Uint32(b[8:]) != Version ||
		binary.LittleEndian.Uint32(b[60:]) != markSum(b[:60], store) {
		return Mark{}, false
	}
	m := Mark{
		File:   binary.LittleEndian.Uint64(b[16:]),
		Offset: int64(binary.LittleEndian.Uint64(b[24:])),
		Next:   binary.LittleEndian.Uint64(b[32:]),
	}
	return m, m.Offset >= 0 && m.Next > 0
}

// ParseMark reads the content of a mark file and returns the slot that says more,
// with its index. It fails with [ErrNoMark].
func ParseMark(b []byte, store StoreID) (m Mark, slot int, err error) {
	slot = -1
	for i := range 2 {
		if len(b) < i*markStride {
			break
		}
		s, ok := parseMark(b[i*markStride:], store)
		if ok && (slot < 0 || m.before(s)) {
			m, slot = s, i
		}
	}
	if slot < 0 {
		return Mark{}, -1, fmt.Errorf("%w: neither of its slots is intact", ErrNoMark)
	}
	return m, slot, nil
}

// ReadMark reads a mark file. It fails with [ErrNoMark], also when there is none.
func ReadMark(fsys vfs.FS, name string, store StoreID) (Mark, error) {
	b, err := vfs.ReadFile(fsys, name, markFile)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, vfs.ErrTooLarge):
		return Mark{}, fmt.Errorf("%w: %w", ErrNoMark, err)
	case err != nil:
		return Mark{}, err
	}
	m, _, err := ParseMark(b, store)
	return m, err
}

// MarkFile is a mark file open for writing. It is not safe for concurrent use.
type MarkFile struct {
	f     vfs.File
	store StoreID
	slot  int // the one to write next
	last  Mark
}

// OpenMark opens a mark file and makes one, with the mark in it, when it is absent
// or damaged. The making is durable, but for the sync of the directory when it was
// there already.
func OpenMark(fsys vfs.FS, name string, store StoreID, first Mark) (*MarkFile, error) {
	m, slot := Mark{}, -1
	b, err := vfs.ReadFile(fsys, name, markFile)
	if err == nil {
		m, slot, err = ParseMark(b, store)
	}
	switch {
	case err == nil:
	case errors.Is(err, os.ErrNotExist), errors.Is(err, ErrNoMark), errors.Is(err, vfs.ErrTooLarge):
		m, slot = first, 0
		content := make([]byte, markFile)
		first.append(content[:0], store)
		if err := vfs.WriteFileAtomic(fsys, name, content, 0o600); err != nil {
			return nil, err
		}
	default:
		return nil, err
	}
	f, err := fsys.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &MarkFile{f: f, store: store, slot: 1 - slot, last: m}, nil
}

// Write records that everything up to m is synced, which it must be. It does not
// sync: a mark that a crash takes back is older than the truth and never newer.
// It does nothing when the mark says as much already. After an error the mark is
// the old one.
func (f *MarkFile) Write(m Mark) error {
	if !f.last.before(m) {
		return nil
	}
	if _, err := f.f.WriteAt(m.append(nil, f.store), int64(f.slot)*markStride); err != nil {
		return err
	}
	f.slot, f.last = 1-f.slot, m
	return nil
}

// Sync makes the mark durable, so that a power loss after a proper end does not make
// it older.
func (f *MarkFile) Sync() error { return f.f.Sync() }

// Close closes the file.
func (f *MarkFile) Close() error { return f.f.Close() }
