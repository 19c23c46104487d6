package segment

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// fuse is a binary fuse filter with fingerprints of 8 bits (Graf and Lemire, 2022):
// 9 to 10 bits for each value, and 1 of 256 values that are not there passes.
//
//	0   8  seed
//	8   4  length of a segment, a power of two
//	12  4  number of segments a value can begin in
//	16     a fingerprint for each slot
type fuse struct {
	seed   uint64
	length uint32 // of a segment
	span   uint32 // first slots
	slots  []byte
}

const fuseHeader = 16

func parseFuse(section []byte) (fuse, bool) {
	if len(section) < fuseHeader {
		return fuse{}, false
	}
	f := fuse{
		seed:   binary.LittleEndian.Uint64(section),
		length: binary.LittleEndian.Uint32(section[8:]),
		slots:  section[fuseHeader:],
	}
	count := uint64(binary.LittleEndian.Uint32(section[12:]))
	span := count * uint64(f.length)
	ok := bits.OnesCount32(f.length) == 1 && count > 0 && span+2*uint64(f.length) == uint64(len(f.slots)) && span <= math.MaxInt32
	f.span = uint32(span)
	return f, ok
}

// place returns the three slots of a hash, and its fingerprint.
func (f *fuse) place(h uint64) (a, b, c uint32, mark byte) {
	h = fold(h^f.seed, hashA)
	hi, _ := bits.Mul64(h, uint64(f.span))
	a = uint32(hi)
	b = (a + f.length) ^ uint32(h>>18)&(f.length-1)
	c = (a + 2*f.length) ^ uint32(h)&(f.length-1)
	return a, b, c, byte(h ^ h>>32)
}

// has says whether a hash may be among those the filter was made of.
func (f *fuse) has(h uint64) bool {
	a, b, c, mark := f.place(h)
	if int(c) >= len(f.slots) || int(b) >= len(f.slots) || int(a) >= len(f.slots) {
		return true
	}
	return f.slots[a]^f.slots[b]^f.slots[c] == mark
}

// size chooses the segments for n hashes.
func (f *fuse) size(n int) {
	f.length = 4
	factor := 1.125
	if n > 1 {
		log := math.Log(float64(n))
		f.length = 1 << min(18, uint(math.Floor(log/math.Log(3.33)+2.25)))
		factor = max(factor, 0.875+0.25*math.Log(1e6)/log)
	}
	capacity := uint32(math.Round(float64(n) * factor))
	count := max(3, (capacity+f.length-1)/f.length) - 2
	f.span = count * f.length
	f.slots = make([]byte, f.span+2*f.length)
}

// fuseTries is how many seeds are tried. One fails with a probability of about 1 %.
const fuseTries = 64

// encodeFuse returns the filter of hashes, each of which stands there once, and nil
// if none can be made.
func encodeFuse(hashes []uint64) []byte {
	var f fuse
	b, ok := newFuseBuilder(&f, hashes)
	if !ok {
		return nil
	}
	b.fill()
	out := binary.LittleEndian.AppendUint64(make([]byte, 0, fuseHeader+len(f.slots)), f.seed)
	out = binary.LittleEndian.AppendUint32(out, f.length)
	out = binary.LittleEndian.AppendUint32(out, f.span/f.length)
	return append(out, f.slots...)
}

// newFuseBuilder chooses the segments and the seed of a filter for hashes, each of
// which stands there once. It is false if there is none.
func newFuseBuilder(f *fuse, hashes []uint64) (*fuseBuilder, bool) {
	f.size(len(hashes))
	b := &fuseBuilder{
		f: f, xors: make([]uint64, len(f.slots)), counts: make([]byte, len(f.slots)),
		slots: make([]uint32, 0, len(hashes)), order: make([]uint64, 0, len(hashes)),
	}
	for try := range uint64(fuseTries) {
		f.seed = fold(try+1, hashC) ^ hashB
		if b.peel(hashes) {
			return b, true
		}
	}
	return nil, false
}

// fuseBuilder finds an order of the hashes in which each has a slot of its own.
type fuseBuilder struct {
	f      *fuse
	xors   []uint64 // of the hashes that have a slot
	counts []byte   // how many hashes have a slot; 255 and more can't be peeled
	order  []uint64 // hashes as they were peeled
	slots  []uint32 // that each had alone
}

func (b *fuseBuilder) peel(hashes []uint64) bool {
	clear(b.xors)
	clear(b.counts)
	b.order, b.slots = b.order[:0], b.slots[:0]
	for _, h := range hashes {
		x, y, z, _ := b.f.place(h)
		for _, s := range [3]uint32{x, y, z} {
			b.xors[s] ^= h
			if b.counts[s]++; b.counts[s] == math.MaxUint8 {
				return false
			}
		}
	}
	var queue []uint32
	for s := range b.counts {
		queue = append(queue, uint32(s))
		for len(queue) > 0 {
			s := queue[len(queue)-1]
			queue = queue[:len(queue)-1]
			if b.counts[s] != 1 {
				continue
			}
			h := b.xors[s]
			b.order, b.slots = append(b.order, h), append(b.slots, s)
			x, y, z, _ := b.f.place(h)
			for _, o := range [3]uint32{x, y, z} {
				b.xors[o] ^= h
				if b.counts[o]--; b.counts[o] == 1 {
					queue = append(queue, o)
				}
			}
		}
	}
	return len(b.order) == len(hashes)
}

func (b *fuseBuilder) fill() {
	clear(b.f.slots)
	for i := len(b.order) - 1; i >= 0; i-- {
		x, y, z, mark := b.f.place(b.order[i])
		s := b.f.slots
		s[b.slots[i]] = 0
		s[b.slots[i]] = mark ^ s[x] ^ s[y] ^ s[z]
	}
}
