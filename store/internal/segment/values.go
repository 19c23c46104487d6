package segment

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// The encodings of a table of values.
const (
	encodeUUID  = 0 // canonical lower-case UUID text as 16 bytes
	encodeHex   = 1 // a prefix common to all, and lower-case hexadecimal of one length as bytes
	encodeText  = 2 // a prefix common to all, and the rest of each
	encodeFront = 3 // ascending values in blocks of 8, each as what it adds to the one before
)

// Flags of a table of values.
const (
	emptyFirst = 1 // value 0 is "", and not stored
	emptyBits  = 2 // a bit for each value says that it is "", and its stored form counts for nothing
)

const (
	valuesHeader = 24
	frontValues  = 8   // of one block of encodeFront
	maxHexWidth  = 255 // bytes of a value of encodeHex
)

// values is a table of strings with random access:
//
//	0   1  encoding
//	1   1  flags
//	2   2  bytes of a stored value (encodeUUID, encodeHex)
//	4   4  length of the prefix
//	8   8  number of values, with the empty ones
//	16  8  length of the offsets (encodeText, encodeFront)
//	24     prefix; bits of emptyBits; then the stored values, or offsets and bytes
type values struct {
	encoding, flags byte
	n               int // values
	stored          int // values less the one of emptyFirst
	width           int
	prefix          []byte
	empty           []byte
	offsets         frames
	data            []byte
}

// parseValues reads a table of n values. The function reads its offsets.
func parseValues(section []byte, n int, offsetsOf func(section []byte, n int) (frames, bool)) (values, bool) {
	if len(section) < valuesHeader || binary.LittleEndian.Uint64(section[8:]) != uint64(n) {
		return values{}, false
	}
	t := values{encoding: section[0], flags: section[1], n: n, stored: n, width: int(binary.LittleEndian.Uint16(section[2:]))}
	prefix := uint64(binary.LittleEndian.Uint32(section[4:]))
	offsets := binary.LittleEndian.Uint64(section[16:])
	rest := section[valuesHeader:]
	if t.encoding > encodeFront || t.flags > emptyFirst|emptyBits || prefix > uint64(len(rest)) {
		return values{}, false
	}
	t.prefix, rest = rest[:prefix], rest[prefix:]
	if t.flags&emptyFirst != 0 {
		t.stored--
	}
	if t.flags&emptyBits != 0 {
		size := (n + 7) / 8
		if size > len(rest) {
			return values{}, false
		}
		t.empty, rest = rest[:size], rest[size:]
	}
	if t.stored < 0 || offsets > uint64(len(rest)) {
		return values{}, false
	}
	if t.encoding == encodeUUID || t.encoding == encodeHex {
		t.data = rest
		return t, t.width > 0 && uint64(len(rest)) == uint64(t.stored)*uint64(t.width) && (t.encoding == encodeHex || t.width == 16)
	}
	entries := t.stored
	if t.encoding == encodeFront {
		entries = (entries + frontValues - 1) / frontValues
	}
	at, ok := offsetsOf(rest[:offsets], entries+1)
	t.offsets, t.data = at, rest[offsets:]
	return t, ok
}

// appendKeyForm appends what of a table tells how keys are made of values: its first
// 8 bytes and the prefix.
func appendKeyForm(dst, section []byte) []byte {
	dst = append(dst, section[:8]...)
	return append(dst, section[valuesHeader:valuesHeader+binary.LittleEndian.Uint32(section[4:])]...)
}

// parseKeyForm reads what appendKeyForm wrote, and returns what stands behind it.
func parseKeyForm(b []byte) (t values, rest []byte, ok bool) {
	if len(b) < 8 || uint64(binary.LittleEndian.Uint32(b[4:])) > uint64(len(b)-8) {
		return values{}, nil, false
	}
	t.encoding, t.flags, t.width = b[0], b[1], int(binary.LittleEndian.Uint16(b[2:]))
	size := 8 + int(binary.LittleEndian.Uint32(b[4:]))
	t.prefix = b[8:size]
	return t, b[size:], t.encoding <= encodeFront && t.flags <= emptyFirst|emptyBits
}

// index returns the stored index of value i, and false for "".
func (t *values) index(i int) (int, bool) {
	if t.flags&emptyFirst != 0 {
		i--
	}
	if uint(i) >= uint(t.stored) || len(t.empty) > 0 && t.empty[i>>3]>>(i&7)&1 != 0 {
		return 0, false
	}
	return i, true
}

// span returns the bytes between two offsets.
func (t *values) span(i int) []byte {
	from, to := t.offsets.value(i), t.offsets.value(i+1)
	if from > to || to > uint64(len(t.data)) {
		return nil
	}
	return t.data[from:to]
}

// append appends value i.
func (t *values) append(dst []byte, i int) []byte {
	i, ok := t.index(i)
	if !ok {
		return dst
	}
	switch t.encoding {
	case encodeUUID:
		return appendUUID(dst, t.data[i*16:i*16+16])
	case encodeHex:
		dst = append(dst, t.prefix...)
		return appendHex(dst, t.data[i*t.width:(i+1)*t.width])
	case encodeText:
		dst = append(dst, t.prefix...)
		return append(dst, t.span(i)...)
	default:
		return appendFront(dst, t.span(i/frontValues), i%frontValues)
	}
}

// key appends the bytes that stand for value i in hashes and compares: those stored
// for it, and of encodeFront the value itself.
func (t *values) key(dst []byte, i int) []byte {
	i, ok := t.index(i)
	switch {
	case !ok:
		return dst
	case t.encoding <= encodeHex:
		return append(dst, t.data[i*t.width:(i+1)*t.width]...)
	case t.encoding == encodeText:
		return append(dst, t.span(i)...)
	default:
		return appendFront(dst, t.span(i/frontValues), i%frontValues)
	}
}

// keyBytes is key without a copy, for tables that aren't encodeFront.
func (t *values) keyBytes(i int) []byte {
	i, ok := t.index(i)
	switch {
	case !ok:
		return nil
	case t.encoding <= encodeHex:
		return t.data[i*t.width : (i+1)*t.width]
	case t.encoding == encodeText:
		return t.span(i)
	}
	return nil
}

// keyOf appends the key of a value. It is false if the table can't hold the value.
func (t *values) keyOf(dst []byte, value string) ([]byte, bool) {
	if value == "" {
		return dst, t.flags != 0 || t.encoding == encodeFront || t.encoding == encodeText && len(t.prefix) == 0
	}
	switch t.encoding {
	case encodeUUID:
		return parseUUID(dst, value)
	case encodeHex:
		if len(value) != len(t.prefix)+2*t.width || value[:len(t.prefix)] != string(t.prefix) {
			return dst, false
		}
		return parseHex(dst, value[len(t.prefix):])
	case encodeText:
		if len(value) <= len(t.prefix) || value[:len(t.prefix)] != string(t.prefix) {
			return dst, false
		}
		return append(dst, value[len(t.prefix):]...), true
	default:
		return append(dst, value...), true
	}
}

// find returns the index of a value in an ascending table.
func (t *values) find(value string) (int, bool) {
	if t.encoding <= encodeHex && value != "" {
		var buf [maxHexWidth + 1]byte
		key, ok := t.keyOf(buf[:0], value)
		if !ok {
			return 0, false
		}
		i := t.lowerKey(key)
		if i == t.stored || !bytes.Equal(t.data[i*t.width:(i+1)*t.width], key) {
			return 0, false
		}
		return i + t.n - t.stored, true
	}
	i, equal := t.lower(value)
	return i, equal
}

// lowerKey returns the stored index of the first key of a fixed width that is not
// less.
func (t *values) lowerKey(key []byte) int {
	lo, hi := 0, t.stored
	first := binary.BigEndian.Uint64(append(append(make([]byte, 0, maxHexWidth+9), key...), make([]byte, 8)...))
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		k := t.data[mid*t.width : (mid+1)*t.width]
		less := false
		if t.width >= 8 {
			v := binary.BigEndian.Uint64(k)
			less = v < first || v == first && bytes.Compare(k[8:], key[8:]) < 0
		} else {
			less = bytes.Compare(k, key) < 0
		}
		if less {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// lower returns the index of the first value of an ascending table that is not
// less, and whether it is equal.
func (t *values) lower(value string) (int, bool) {
	shift := t.n - t.stored
	if shift > 0 && value == "" {
		return 0, true
	}
	if t.encoding == encodeFront {
		i, equal := t.lowerFront(value)
		return i + shift, equal
	}
	// Values of encodeText are compared where they lie, behind their prefix.
	rest, ahead := value, 0
	text := t.encoding == encodeText
	if text {
		if strings.HasPrefix(value, bytesView(t.prefix)) {
			rest = value[len(t.prefix):]
		} else {
			ahead = strings.Compare(value, bytesView(t.prefix))
		}
	}
	var buf []byte
	lo, hi, equal := 0, t.stored, false
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		c := ahead
		if text && c == 0 {
			c = strings.Compare(rest, bytesView(t.span(mid)))
		} else if !text {
			buf = t.append(buf[:0], mid+shift)
			c = strings.Compare(value, bytesView(buf))
		}
		if c > 0 {
			lo = mid + 1
		} else {
			hi, equal = mid, c == 0
		}
	}
	return lo + shift, equal
}

// prefixRange returns the indices of an ascending table whose values begin with a
// prefix.
func (t *values) prefixRange(prefix string) (from, to int) {
	from, _ = t.lower(prefix)
	end := []byte(prefix)
	for len(end) > 0 && end[len(end)-1] == 0xff {
		end = end[:len(end)-1]
	}
	if len(end) == 0 {
		return from, t.n
	}
	end[len(end)-1]++
	to, _ = t.lower(string(end))
	return from, max(from, to)
}
