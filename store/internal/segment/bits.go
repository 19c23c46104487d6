package segment

import (
	"encoding/binary"
	"math/bits"
)

// slack is the number of zero bytes behind the last bits of a bit stream, so that
// every value can be read with one load of eight bytes.
const slack = 8

// runRows is the most values of one run, and the rows of one frame of reference.
const runRows = 128

// maxRunWords bounds the words in which the upper bits of one run can lie: a run of
// 128 values has at most 3*128 of them.
const maxRunWords = 9

// bitWriter appends bits to a stream, the lowest bit of each byte first.
type bitWriter struct {
	buf []byte
	acc uint64
	n   uint // bits in acc
}

// write appends the lowest width bits of v.
func (w *bitWriter) write(v uint64, width uint) {
	v &= mask(width)
	w.acc |= v << w.n
	if w.n+width < 64 {
		w.n += width
		return
	}
	w.buf = binary.LittleEndian.AppendUint64(w.buf, w.acc)
	w.acc = v >> (64 - w.n)
	w.n = w.n + width - 64
}

// one appends zeros zero bits and a one.
func (w *bitWriter) one(zeros uint64) {
	for ; zeros >= 63; zeros -= 63 {
		w.write(0, 63)
	}
	w.write(1<<zeros, uint(zeros)+1)
}

// bits returns how many bits have been written.
func (w *bitWriter) bits() uint64 { return uint64(len(w.buf))*8 + uint64(w.n) }

// finish returns the stream with its slack.
func (w *bitWriter) finish() []byte {
	for n := int(w.n+7) / 8; n > 0; n-- {
		w.buf = append(w.buf, byte(w.acc))
		w.acc >>= 8
	}
	w.acc, w.n = 0, 0
	return append(w.buf, make([]byte, slack)...)
}

// writeRun appends at most 128 ascending values in Elias-Fano form: the lowest low
// bits of each, and then for each as many zeros as its other bits grew and a one.
func (w *bitWriter) writeRun(values []uint64, low uint) {
	for _, v := range values {
		w.write(v, low)
	}
	var last uint64
	for _, v := range values {
		w.one(v>>low - last)
		last = v >> low
	}
}

// runLow is the number of low bits of n ascending values from 0 to last.
func runLow(n int, last uint64) uint {
	if n == 0 || last < uint64(n) {
		return 0
	}
	return uint(bits.Len64(last/uint64(n))) - 1
}

func mask(width uint) uint64 { return 1<<width - 1 }

// readBits returns width bits that begin at a bit of data, and 0 where data ends
// before them.
func readBits(data []byte, bit uint64, width uint) uint64 {
	p := bit >> 3
	if p+8 > uint64(len(data)) {
		return 0
	}
	s := uint(bit & 7)
	v := binary.LittleEndian.Uint64(data[p:]) >> s
	if s+width > 64 && p+8 < uint64(len(data)) {
		v |= uint64(data[p+8]) << (64 - s)
	}
	return v & mask(width)
}

// readRun returns value i of a run of n values that begins at a bit of data.
func readRun(data []byte, bit uint64, n, i int, low uint) uint64 {
	upper := selectOne(data, bit+uint64(n)*uint64(low), i) - uint64(i)
	return upper<<low | readBits(data, bit+uint64(i)*uint64(low), low)
}

// searchRun returns the first index of a run of n values whose value is at least v.
func searchRun(data []byte, bit uint64, n int, low uint, v uint64) int {
	from, to := 0, n
	for from < to {
		mid := int(uint(from+to) >> 1)
		if readRun(data, bit, n, mid, low) < v {
			from = mid + 1
		} else {
			to = mid
		}
	}
	return from
}

// selectOne returns how far behind a bit of data the i-th one lies, counted from 0.
func selectOne(data []byte, from uint64, i int) uint64 {
	p := from >> 3
	if p+8 > uint64(len(data)) {
		return uint64(i)
	}
	word := binary.LittleEndian.Uint64(data[p:]) &^ mask(uint(from&7))
	for range maxRunWords {
		ones := bits.OnesCount64(word)
		if i < ones {
			return p<<3 + selectInWord(word, i) - from
		}
		i -= ones
		p += 8
		if p+8 > uint64(len(data)) {
			break
		}
		word = binary.LittleEndian.Uint64(data[p:])
	}
	return uint64(i)
}

// selectInWord returns the place of the i-th one of a word that has more than i.
func selectInWord(word uint64, i int) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	s := word - word>>1&0x5555555555555555
	s = s&0x3333333333333333 + s>>2&0x3333333333333333
	s = (s + s>>4) & 0x0f0f0f0f0f0f0f0f * ones
	// Byte b of s is now the number of ones in bytes 0 to b.
	at := uint(bits.TrailingZeros64(((s|highs)-uint64(i+1)*ones)&highs)) &^ 7
	i -= int(s << 8 >> at & 0xff)
	b := word >> at
	for ; i > 0; i-- {
		b &= b - 1
	}
	return uint64(at) + uint64(bits.TrailingZeros64(b))
}

// runReader reads values of a run that follow each other.
type runReader struct {
	data []byte
	low  uint
	lows uint64 // bit of the next value's low bits
	p    uint64 // byte behind word
	word uint64 // upper bits not yet read
	at   uint64 // bit of the first bit of word, less where the upper bits begin
	ones uint64
}

func newRunReader(data []byte, bit uint64, n int, low uint) runReader {
	from := bit + uint64(n)*uint64(low)
	r := runReader{data: data, low: low, lows: bit, p: from >> 3}
	if r.p+8 > uint64(len(data)) {
		return r
	}
	r.word = binary.LittleEndian.Uint64(data[r.p:]) &^ mask(uint(from&7))
	r.at = r.p<<3 - from
	r.p += 8
	return r
}

// skip passes over n values.
func (r *runReader) skip(n int) {
	r.lows += uint64(n) * uint64(r.low)
	r.ones += uint64(n)
	for {
		have := bits.OnesCount64(r.word)
		if n < have {
			break
		}
		n -= have
		if r.p+8 > uint64(len(r.data)) {
			r.word = 0
			return
		}
		r.word = binary.LittleEndian.Uint64(r.data[r.p:])
		r.p += 8
		r.at += 64
	}
	for ; n > 0; n-- {
		r.word &= r.word - 1
	}
}

// fill writes the next values to dst, each added to a base and at most last. Low bits are
// fewer than 32. Nothing is read of r after it.
func (r *runReader) fill(dst []uint32, base uint64, last uint32) {
	data, low, lows, word, at := r.data, r.low&31, r.lows, r.word, r.at-r.ones
	m := mask(low)
	for i := range dst {
		for word == 0 {
			if r.p+8 > uint64(len(data)) {
				break // bytes made to deceive
			}
			word = binary.LittleEndian.Uint64(data[r.p:])
			r.p += 8
			at += 64
		}
		v := (at + uint64(bits.TrailingZeros64(word))) << low
		word &= word - 1
		at--
		if p := lows >> 3; p+8 <= uint64(len(data)) {
			v |= binary.LittleEndian.Uint64(data[p:]) >> (lows & 7) & m
		}
		lows += uint64(low)
		dst[i] = uint32(min(base+v, uint64(last)))
	}
}

// next returns the next value, 0 behind the end.
func (r *runReader) next() uint64 {
	for r.word == 0 {
		if r.p+8 > uint64(len(r.data)) {
			return 0
		}
		r.word = binary.LittleEndian.Uint64(r.data[r.p:])
		r.p += 8
		r.at += 64
	}
	upper := r.at + uint64(bits.TrailingZeros64(r.word)) - r.ones
	r.word &= r.word - 1
	r.ones++
	v := upper<<r.low | readBits(r.data, r.lows, r.low)
	r.lows += uint64(r.low)
	return v
}

// packBits returns values at a fixed width, with slack.
func packBits(values []uint32, width uint) []byte {
	w := bitWriter{buf: make([]byte, 0, packedSize(len(values), width))}
	if width == 0 {
		return w.finish()
	}
	for _, v := range values {
		w.write(uint64(v), width)
	}
	return w.finish()
}

// packedSize is the length of what packBits returns for n values.
func packedSize(n int, width uint) int { return int((uint64(n)*uint64(width)+7)/8) + slack }

// unpackBits writes the values from, from+1, … of a packed array to dst. The array
// must hold them and its slack.
func unpackBits(dst []uint32, data []byte, from int, width uint) {
	switch width {
	case 0:
		clear(dst)
		return
	case 8:
		for i, b := range data[from : from+len(dst)] {
			dst[i] = uint32(b)
		}
		return
	case 16:
		data = data[from*2:]
		for i := range dst {
			dst[i] = uint32(binary.LittleEndian.Uint16(data[i*2:]))
		}
		return
	}
	m := uint32(mask(width))
	bit := uint64(from) * uint64(width)
	if width <= 14 {
		// Four values from each load.
		for len(dst) >= 4 {
			v := binary.LittleEndian.Uint64(data[bit>>3:]) >> (bit & 7)
			dst[0] = uint32(v) & m
			dst[1] = uint32(v>>width) & m
			dst[2] = uint32(v>>(2*width)) & m
			dst[3] = uint32(v>>(3*width)) & m
			dst = dst[4:]
			bit += 4 * uint64(width)
		}
	}
	for i := range dst {
		dst[i] = uint32(binary.LittleEndian.Uint64(data[bit>>3:])>>(bit&7)) & m
		bit += uint64(width)
	}
}
