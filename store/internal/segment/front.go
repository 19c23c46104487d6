package segment

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"unsafe"
)

// bytesView is b as a string that shares its memory, for compares.
func bytesView(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// stringView is s as bytes that share its memory, for reading.
func stringView(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// uvarint reads a number at the front of b. It returns how many bytes it has, and
// 0 if b doesn't hold one that is less than 1<<31.
func uvarint(b []byte) (int, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return int(b[0]), 1
	}
	v, n := binary.Uvarint(b)
	if n <= 0 || v >= 1<<31 {
		return 0, 0
	}
	return int(v), n
}

// frontEntry reads an entry of a block: how many bytes it shares with the value
// before, and what it adds. The first shares nothing and doesn't say so.
func frontEntry(block []byte, first bool) (shared int, added, rest []byte, ok bool) {
	if !first {
		v, n := uvarint(block)
		if n == 0 {
			return 0, nil, nil, false
		}
		shared, block = v, block[n:]
	}
	v, n := uvarint(block)
	if n == 0 || v > len(block)-n {
		return 0, nil, nil, false
	}
	return shared, block[n : n+v], block[n+v:], true
}

// appendFront appends value i of a block.
func appendFront(dst, block []byte, i int) []byte {
	at := len(dst)
	for k := 0; ; k++ {
		shared, added, p := 0, 0, 0
		if k > 0 {
			if len(block) > 0 && block[0] < 0x80 {
				shared, p = int(block[0]), 1
			} else if shared, p = uvarint(block); p == 0 {
				return dst[:at]
			}
		}
		if p < len(block) && block[p] < 0x80 {
			added, p = int(block[p]), p+1
		} else {
			v, n := uvarint(block[p:])
			if n == 0 {
				return dst[:at]
			}
			added, p = v, p+n
		}
		if added > len(block)-p || shared > len(dst)-at {
			return dst[:at]
		}
		dst = append(dst[:at+shared], block[p:p+added]...)
		if k == i {
			return dst
		}
		block = block[p+added:]
	}
}

// lowerFront returns the stored index of the first value that is not less.
func (t *values) lowerFront(value string) (int, bool) {
	lo, hi := 0, (t.stored+frontValues-1)/frontValues
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		_, first, _, _ := frontEntry(t.span(mid), true)
		if strings.Compare(bytesView(first), value) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return 0, false
	}
	block := t.span(lo - 1)
	from := (lo - 1) * frontValues
	matched := 0 // bytes that the value before, which is less, has in common with value
	for k := range min(frontValues, t.stored-from) {
		shared, added, rest, ok := frontEntry(block, k == 0)
		switch {
		case !ok || shared < matched:
			return from + k, false
		case shared == matched:
			n := commonPrefix(added, value[matched:])
			if n == len(added) && matched+n == len(value) {
				return from + k, true
			}
			if matched+n == len(value) || n < len(added) && added[n] > value[matched+n] {
				return from + k, false
			}
			matched += n
		}
		block = rest
	}
	return min(t.stored, from+frontValues), false
}

func commonPrefix(a []byte, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// encodeFrontValues returns offsets and bytes of ascending values from first on.
func encodeFrontValues(list valueList, first int) (offsets, data []byte) {
	var at []int64
	var value, last []byte
	for i := first; i < list.Len(); i++ {
		value = list.Value(value[:0], i)
		shared := 0
		if (i-first)%frontValues == 0 {
			at = append(at, int64(len(data)))
		} else {
			shared = commonPrefix(value, bytesView(last))
			data = binary.AppendUvarint(data, uint64(shared))
		}
		data = binary.AppendUvarint(data, uint64(len(value)-shared))
		data = append(data, value[shared:]...)
		last = append(last[:0], value...)
	}
	at = append(at, int64(len(data)))
	return encodeFrames(len(at), func(i int) int64 { return at[i] }), data
}

// hexValue is the value of each hexadecimal digit, and 255 of what is none.
var hexValue = func() (t [256]byte) {
	copy(t[:], bytes.Repeat([]byte{255}, 256))
	for i := range byte(10) {
		t['0'+i] = i
	}
	for i := range byte(6) {
		t['a'+i] = 10 + i
	}
	return t
}()

// hexOf returns the hexadecimal text of four bytes, the first of each in the lowest bits.
func hexOf(b uint32) uint64 {
	const ones = 0x0101010101010101
	x := uint64(b)
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x>>4 | x<<8) & (0x0f * ones)      // a digit in each byte
	letters := (x + 0x06*ones) >> 4 & ones // that are over 9
	return x + '0'*ones + letters*('a'-'0'-10)
}

func appendHex(dst, b []byte) []byte {
	for ; len(b) >= 4; b = b[4:] {
		dst = binary.LittleEndian.AppendUint64(dst, hexOf(binary.LittleEndian.Uint32(b)))
	}
	for _, c := range b {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(hexOf(uint32(c))))
	}
	return dst
}

// parseHex appends the bytes that lower-case hexadecimal text stands for.
func parseHex[T string | []byte](dst []byte, s T) ([]byte, bool) {
	if len(s)%2 != 0 {
		return dst, false
	}
	for i := 0; i < len(s); i += 2 {
		hi, lo := hexValue[s[i]], hexValue[s[i+1]]
		if hi|lo > 15 {
			return dst, false
		}
		dst = append(dst, hi<<4|lo)
	}
	return dst, true
}

const uuidLength = 36

// uuidHexAt are the places of the 16 bytes in the text of a UUID.
var uuidHexAt = [16]byte{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

func appendUUID(dst, b []byte) []byte {
	b = b[:16]
	n := len(dst)
	dst = slices.Grow(dst, uuidLength)[:n+uuidLength]
	s := (*[uuidLength]byte)(dst[n:]) // written where it stays: reading it again at once would wait for the writes
	second, third := hexOf(binary.LittleEndian.Uint32(b[4:])), hexOf(binary.LittleEndian.Uint32(b[8:]))
	binary.LittleEndian.PutUint64(s[0:], hexOf(binary.LittleEndian.Uint32(b)))
	binary.LittleEndian.PutUint32(s[9:], uint32(second))
	binary.LittleEndian.PutUint32(s[14:], uint32(second>>32))
	binary.LittleEndian.PutUint32(s[19:], uint32(third))
	binary.LittleEndian.PutUint32(s[24:], uint32(third>>32))
	binary.LittleEndian.PutUint64(s[28:], hexOf(binary.LittleEndian.Uint32(b[12:])))
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return dst
}

// parseUUID appends the 16 bytes of canonical lower-case UUID text.
func parseUUID[T string | []byte](dst []byte, s T) ([]byte, bool) {
	if len(s) != uuidLength || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return dst, false
	}
	var b [16]byte
	var bad byte
	for i, at := range uuidHexAt {
		hi, lo := hexValue[s[at]], hexValue[s[at+1]]
		bad |= hi | lo
		b[i] = hi<<4 | lo
	}
	if bad > 15 {
		return dst, false
	}
	return append(dst, b[:]...), true
}
