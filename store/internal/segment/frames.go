package segment

import (
	"encoding/binary"
	"math/bits"
	"sort"
)

// headSize is the length of the head of each 128 values of frames and sorted: the
// least value, and the first bit of their stream times 256 with the width.
const headSize = 16

// heads are the heads of an array of n values and the stream behind them.
type heads struct {
	n    int
	head []byte
	data []byte
}

// parseFrames reads an array of n values in any order. It is false if section can't
// hold them.
func parseFrames(section []byte, n int) (frames, bool) {
	h, ok := parseHeads(section, n, 0)
	return frames{h}, ok
}

// parseSorted reads an array of n ascending values, of which the first of each run
// stands in its head alone.
func parseSorted(section []byte, n int) (sorted, bool) {
	h, ok := parseHeads(section, n, 1)
	return sorted{h}, ok
}

func parseHeads(section []byte, n, inHead int) (heads, bool) {
	size := (n + runRows - 1) / runRows * headSize
	if n < 0 || len(section) < size+slack {
		return heads{}, false
	}
	h := heads{n: n, head: section[:size], data: section[size:]}
	streamBits := uint64(len(h.data)-slack) * 8
	for b := 0; b < size; b += headSize {
		x := binary.LittleEndian.Uint64(h.head[b+8:])
		values := uint64(min(runRows, n-b/headSize*runRows) - inHead)
		if x&0xff > 64 || x>>8+values*(x&0xff+uint64(inHead)) > streamBits {
			return heads{}, false
		}
	}
	return h, true
}

func (h *heads) block(b int) (base, bit uint64, width uint) {
	p := h.head[b*headSize : b*headSize+headSize]
	x := binary.LittleEndian.Uint64(p[8:])
	return binary.LittleEndian.Uint64(p), x >> 8, uint(x & 0xff)
}

func appendHead(dst []byte, base, bit uint64, width uint) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, base)
	return binary.LittleEndian.AppendUint64(dst, bit<<8|uint64(width))
}

// frames is an array of integers in any order with random access: frame of
// reference in blocks of 128.
type frames struct{ heads }

func (f *frames) value(i int) uint64 {
	if uint(i) >= uint(f.n) {
		return 0
	}
	base, bit, width := f.block(i / runRows)
	return base + readBits(f.data, bit+uint64(i%runRows)*uint64(width), width)
}

// encodeFrames returns the form of n values that frames reads. Values are compared
// as signed numbers.
func encodeFrames(n int, value func(i int) int64) []byte {
	var head []byte
	var w bitWriter
	var block [runRows]int64
	for from := 0; from < n; from += runRows {
		vals := block[:min(runRows, n-from)]
		for i := range vals {
			vals[i] = value(from + i)
		}
		least, most := vals[0], vals[0]
		for _, v := range vals {
			least, most = min(least, v), max(most, v)
		}
		width := uint(bits.Len64(uint64(most - least)))
		head = appendHead(head, uint64(least), w.bits(), width)
		for _, v := range vals {
			w.write(uint64(v-least), width)
		}
	}
	return append(head, w.finish()...)
}

// sorted is an array of ascending integers with random access: runs of 128.
type sorted struct{ heads }

func (s *sorted) value(i int) uint64 {
	if uint(i) >= uint(s.n) {
		return 0
	}
	base, bit, low := s.block(i / runRows)
	n := min(runRows, s.n-i&^(runRows-1)) - 1
	if i %= runRows; i == 0 {
		return base
	}
	return base + readRun(s.data, bit, n, i-1, low)
}

// search returns the first index whose value is at least v.
func (s *sorted) search(v uint64) int {
	blocks := len(s.head) / headSize
	last, _, _ := s.block(blocks - 1)
	guess := blocks
	if v < last { // values often grow about evenly
		guess = int(float64(v) / float64(last) * float64(blocks))
	}
	b := searchFrom(blocks, guess, func(b int) bool {
		base, _, _ := s.block(b)
		return base >= v
	}) - 1
	if b < 0 {
		return 0
	}
	base, bit, low := s.block(b)
	n := min(runRows, s.n-b*runRows) - 1
	return b*runRows + 1 + searchRun(s.data, bit, n, low, v-base)
}

// searchFrom is sort.Search beginning at a guess: if that is close, only what is close to
// it is looked at.
func searchFrom(n, guess int, reached func(i int) bool) int {
	lo, hi := 0, n
	for step := 1; guess >= lo && guess < hi; step *= 2 {
		if reached(guess) {
			hi = guess
			guess -= step
		} else {
			lo = guess + 1
			guess += step
		}
	}
	return lo + sort.Search(hi-lo, func(i int) bool { return reached(lo + i) })
}

// encodeSorted returns the form of n ascending values that sorted reads.
func encodeSorted(n int, value func(i int) uint64) []byte {
	var head []byte
	var w bitWriter
	var block [runRows]uint64
	for from := 0; from < n; from += runRows {
		base := value(from)
		vals := block[:min(runRows, n-from)-1]
		var last uint64
		for i := range vals {
			last = value(from+1+i) - base
			vals[i] = last
		}
		low := runLow(len(vals), last)
		head = appendHead(head, base, w.bits(), low)
		w.writeRun(vals, low)
	}
	return append(head, w.finish()...)
}
