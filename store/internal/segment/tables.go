package segment

import (
	"encoding/binary"
	"slices"
)

// valueList is a list of values to write.
type valueList interface {
	Len() int
	Value(room []byte, i int) []byte // which may be in room
}

// shape is what the values of a list have in common.
type shape struct {
	prefix      []byte // of all that aren't empty, shorter than each of them
	length      int    // of each that isn't empty; -1 if they differ
	empty       int    // how many are empty
	bytes       int64
	uuids, hex  bool
	seen        bool
	ascending   bool // the list is a dictionary
	frontLength int64
}

// shapeOf looks at each value once.
func shapeOf(list valueList, ascending bool) shape {
	s := shape{uuids: true, ascending: ascending}
	var buf, last []byte
	var scratch [16]byte
	for i := range list.Len() {
		buf = list.Value(buf[:0], i)
		s.bytes += int64(len(buf))
		if len(buf) == 0 {
			s.empty++
			continue
		}
		if s.uuids {
			_, s.uuids = parseUUID(scratch[:0], buf)
		}
		if ascending {
			s.frontLength += int64(len(buf) - commonPrefix(buf, bytesView(last)) + 2)
			last = append(last[:0], buf...)
		}
		if !s.seen {
			s.seen, s.prefix, s.length = true, append([]byte(nil), buf[:len(buf)-1]...), len(buf)
			continue
		}
		s.prefix = s.prefix[:min(commonPrefix(s.prefix, bytesView(buf)), len(buf)-1)]
		if len(buf) != s.length {
			s.length = -1
		}
	}
	s.uuids = s.uuids && s.seen
	s.hex = !s.uuids && s.hexPrefix(list)
	return s
}

// hexPrefix finds out whether every value is the prefix and hexadecimal digits, and
// cuts the prefix so that they are of even number.
func (s *shape) hexPrefix(list valueList) bool {
	if s.length <= 0 {
		return false
	}
	p := len(s.prefix)
	if (s.length-p)%2 != 0 {
		if p--; p < 0 || hexValue[s.prefix[p]] > 15 {
			return false
		}
	}
	if (s.length-p)/2 > maxHexWidth {
		return false
	}
	var buf, scratch []byte
	for i := range list.Len() {
		if buf = list.Value(buf[:0], i); len(buf) == 0 {
			continue
		}
		var ok bool
		if scratch, ok = parseHex(scratch[:0], buf[p:]); !ok {
			return false
		}
	}
	s.prefix = s.prefix[:p]
	return true
}

// frontFrom is how many bytes a dictionary has before it is worth the time to read
// values that are stored as differences.
const frontFrom = 16 << 10

func (s *shape) encoding() byte {
	switch {
	case s.uuids:
		return encodeUUID
	case s.hex:
		return encodeHex
	case s.ascending && s.bytes >= frontFrom && s.frontLength*5 < s.bytes*4:
		return encodeFront
	}
	return encodeText
}

// encodeValues returns the table of a list. An ascending one holds each value once,
// so that only its first can be "".
func encodeValues(list valueList, ascending bool) []byte {
	if keys, ok := list.(*mergedKeys); ok {
		return keys.table()
	}
	s := shapeOf(list, ascending)
	encoding := s.encoding()
	prefix, flags, width, first := s.prefix, byte(0), 0, 0
	switch encoding {
	case encodeUUID:
		width, prefix = 16, nil
	case encodeHex:
		width = (s.length - len(prefix)) / 2
	case encodeFront:
		prefix = nil
	}
	if s.empty > 0 && ascending {
		flags, first = emptyFirst, 1
	} else if s.empty > 0 {
		flags = emptyBits
	}
	if len(prefix) > 1<<16 {
		prefix = prefix[:1<<16]
	}
	var offsets, data []byte
	switch encoding {
	case encodeUUID, encodeHex:
		data = encodeFixed(list, encoding, first, len(prefix), width)
	case encodeFront:
		offsets, data = encodeFrontValues(list, first)
	default:
		offsets, data = encodeTexts(list, first, len(prefix), s.bytes)
	}
	out := appendTableHead(nil, encoding, flags, width, prefix, list.Len(), len(offsets), (list.Len()+7)/8+len(offsets)+len(data))
	if flags == emptyBits {
		out = appendEmptyBits(out, list)
	}
	return append(append(out, offsets...), data...)
}

// appendTableHead appends what stands before the bits of empty values: the header and the
// prefix. There will be so many bytes behind it.
func appendTableHead(out []byte, encoding, flags byte, width int, prefix []byte, n, offsets, behind int) []byte {
	out = slices.Grow(out, valuesHeader+len(prefix)+behind)
	out = append(out, encoding, flags)
	out = binary.LittleEndian.AppendUint16(out, uint16(width))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(prefix)))
	out = binary.LittleEndian.AppendUint64(out, uint64(n))
	out = binary.LittleEndian.AppendUint64(out, uint64(offsets))
	return append(out, prefix...)
}

func appendEmptyBits(out []byte, list valueList) []byte {
	at := len(out)
	out = append(out, make([]byte, (list.Len()+7)/8)...)
	var buf []byte
	for i := range list.Len() {
		if buf = list.Value(buf[:0], i); len(buf) == 0 {
			out[at+i/8] |= 1 << (i % 8)
		}
	}
	return out
}

func encodeFixed(list valueList, encoding byte, first, prefix, width int) []byte {
	data := make([]byte, 0, (list.Len()-first)*width)
	var buf []byte
	for i := first; i < list.Len(); i++ {
		buf = list.Value(buf[:0], i)
		switch {
		case len(buf) == 0:
			data = append(data, make([]byte, width)...)
		case encoding == encodeUUID:
			data, _ = parseUUID(data, buf)
		default:
			data, _ = parseHex(data, buf[prefix:])
		}
	}
	return data
}

func encodeTexts(list valueList, first, prefix int, size int64) (offsets, data []byte) {
	at := make([]int64, 0, list.Len()-first+1)
	data = make([]byte, 0, size)
	var buf []byte
	for i := first; i < list.Len(); i++ {
		at = append(at, int64(len(data)))
		if buf = list.Value(buf[:0], i); len(buf) > 0 {
			data = append(data, buf[prefix:]...)
		}
	}
	at = append(at, int64(len(data)))
	return encodeFrames(len(at), func(i int) int64 { return at[i] }), data
}
