package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Version is the format version that this package writes and the only one that
// it reads.
const Version = 1

// HeaderSize is the length of the header with which every log file begins.
const HeaderSize = 64

// StoreID ties files, frames and marks to one store.
type StoreID [16]byte

// ErrHeader is returned for a file header that is damaged or that belongs to
// another file or store.
var ErrHeader = errors.New("log file header is damaged")

// VersionError is returned for a file that a newer release wrote.
type VersionError struct {
	Version uint32 // the version found
}

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("log file has format version %d, this release reads %d", e.Version, Version)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum returns the CRC-32C of b, the checksum of everything here.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// Header is what the header of a log file says.
type Header struct {
	Store  StoreID
	Number uint64 // of the file, as in its name
	First  uint64 // position of the first trace that the file may hold
}

// fileMagic begins every log file. The line end shows a transfer as text.
const fileMagic = "ctslog\r\n"

// Append appends the 64 bytes of the header:
//
//	0   8   "ctslog\r\n"
//	8   4   format version; this and all numbers are little endian
//	12  4   zero
//	16  8   number of the file
//	24  8   position of its first trace
//	32  16  id of the store
//	48  12  zero
//	60  4   CRC-32C of bytes 0 to 59
func (h Header) Append(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, fileMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, Version)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint64(dst, h.Number)
	dst = binary.LittleEndian.AppendUint64(dst, h.First)
	dst = append(dst, h.Store[:]...)
	dst = append(dst, make([]byte, 12)...)
	return binary.LittleEndian.AppendUint32(dst, Checksum(dst[at:]))
}

// ParseHeader reads a header. It fails with [ErrHeader], or with a
// [*VersionError] for one that is intact and of another version.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("%w: %d bytes of %d", ErrHeader, len(b), HeaderSize)
	}
	b = b[:HeaderSize]
	if string(b[:8]) != fileMagic || binary.LittleEndian.Uint32(b[60:]) != Checksum(b[:60]) {
		return Header{}, fmt.Errorf("%w: checksum or first bytes are wrong", ErrHeader)
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != Version {
		return Header{}, &VersionError{Version: v}
	}
	h := Header{Number: binary.LittleEndian.Uint64(b[16:]), First: binary.LittleEndian.Uint64(b[24:])}
	copy(h.Store[:], b[32:])
	if h.First == 0 {
		return Header{}, fmt.Errorf("%w: first position 0", ErrHeader)
	}
	return h, nil
}

// seed is the beginning of the checksum of every frame header of one file.
func seed(store StoreID, number uint64) uint32 {
	b := binary.LittleEndian.AppendUint64(store[:], number)
	return Checksum(b)
}
