package wal

import (
	"encoding/binary"
	"hash/crc32"
	"iter"
)

// FrameSize is the length of the header in front of a frame's payload.
const FrameSize = 40

// MaxPayload is the most bytes that the payload of one frame may have.
const MaxPayload = 32 << 20

// Frame is what is written whole or not at all: some records at consecutive
// positions.
type Frame struct {
	First   uint64 // position of the first record
	Count   uint32 // records in the payload, at least 1
	Payload []byte // what AppendRecord wrote for each of them
	Sum     uint32 // Checksum(Payload)
}

// frameMagic begins every frame header. Its first and last byte occur in no UTF-8
// text, so that no record content can be taken for a frame.
const frameMagic = "\xffct\xfe"

// frameHeader is the header of a frame:
//
//	0   4  magic FF 63 74 FE
//	4   4  CRC-32C of bytes 8 to 39, begun with store id and file number
//	8   4  length of the payload
//	12  4  number of records
//	16  8  position of the first record
//	24  8  offset in this file up to which it was synced when this was written
//	32  4  CRC-32C of the payload
//	36  4  zero
type frameHeader struct {
	length, count uint32
	first         uint64
	synced        int64
	sum           uint32
}

func (h frameHeader) append(dst []byte, seed uint32) []byte {
	at := len(dst)
	dst = append(dst, frameMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint32(dst, h.length)
	dst = binary.LittleEndian.AppendUint32(dst, h.count)
	dst = binary.LittleEndian.AppendUint64(dst, h.first)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.synced))
	dst = binary.LittleEndian.AppendUint32(dst, h.sum)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	binary.LittleEndian.PutUint32(dst[at+4:], crc32.Update(seed, castagnoli, dst[at+8:]))
	return dst
}

// parseFrameHeader reads the header of a frame at the given offset of a file.
func parseFrameHeader(b []byte, seed uint32, offset int64) (frameHeader, bool) {
	if len(b) < FrameSize || string(b[:4]) != frameMagic ||
		binary.LittleEndian.Uint32(b[4:]) != crc32.Update(seed, castagnoli, b[8:FrameSize]) {
		return frameHeader{}, false
	}
	h := frameHeader{
		length: binary.LittleEndian.Uint32(b[8:]),
		count:  binary.LittleEndian.Uint32(b[12:]),
		first:  binary.LittleEndian.Uint64(b[16:]),
		synced: int64(binary.LittleEndian.Uint64(b[24:])),
		sum:    binary.LittleEndian.Uint32(b[32:]),
	}
	ok := h.length <= MaxPayload && h.count > 0 && h.count <= h.length && h.first > 0 &&
		h.first+uint64(h.count) > h.first && h.synced >= HeaderSize && h.synced <= offset
	return h, ok
}

// appendFrames appends frames as they stand in the file that has the seed.
func appendFrames(dst []byte, frames []Frame, seed uint32, synced int64) []byte {
	for _, f := range frames {
		h := frameHeader{length: uint32(len(f.Payload)), count: f.Count, first: f.First, synced: synced, sum: f.Sum}
		dst = h.append(dst, seed)
		dst = append(dst, f.Payload...)
	}
	return dst
}

// reseal turns frames written for one file into frames of another one, in which
// nothing but the header is synced.
func reseal(frames []byte, from, to uint32) {
	for at := 0; at+FrameSize <= len(frames); {
		h, ok := parseFrameHeader(frames[at:], from, 1<<62)
		if !ok {
			return
		}
		h.synced = HeaderSize
		h.append(frames[at:at], to)
		at += FrameSize + int(h.length)
	}
}

// RecordOverhead is the most bytes that a record takes besides its data.
const RecordOverhead = binary.MaxVarintLen32 + sumSize

const sumSize = 4

// AppendRecord appends a record: the length of data as uvarint, the CRC-32C of
// data, data.
func AppendRecord(dst, data []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(data)))
	dst = binary.LittleEndian.AppendUint32(dst, Checksum(data))
	return append(dst, data...)
}

// Record is one record of a payload.
type Record struct {
	Offset int    // of its checksum in the payload; the data follows it
	Data   []byte // part of the payload
	OK     bool   // whether the checksum is right
}

// Records yields the records of a payload. It ends at the end of the payload, or
// where no record can be: the caller counts.
func Records(payload []byte) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for at := 0; at < len(payload); {
			size, n := binary.Uvarint(payload[at:])
			if n <= 0 || size > uint64(len(payload)) || at+n+sumSize+int(size) > len(payload) {
				return
			}
			at += n
			end := at + sumSize + int(size)
			data, ok := CheckRecord(payload[at:end])
			if !yield(Record{Offset: at, Data: data, OK: ok}) {
				return
			}
			at = end
		}
	}
}

// CheckRecord takes a record without its length, as it is read back from the
// offset of its checksum, and returns its data and whether the checksum is right.
func CheckRecord(b []byte) (data []byte, ok bool) {
	if len(b) < sumSize {
		return nil, false
	}
	data = b[sumSize:len(b):len(b)]
	return data, binary.LittleEndian.Uint32(b) == Checksum(data)
}

// RecordSize is the number of bytes that [CheckRecord] wants for data of n bytes.
func RecordSize(n int) int { return sumSize + n }
