package segment

import (
	"encoding/binary"
	"math/bits"
)

// The constants of hash: odd, with about half of their bits set.
const (
	hashA = 0xa0761d6478bd642f
	hashB = 0xe7037ed1a0b428db
	hashC = 0x8ebc6af09c88c6e3
)

// hash is the hash function of the format: FORMAT.md describes it. It is quick and
// spreads well, and resists nobody who looks for collisions: what stands on it
// must stay right when hashes are equal.
func hash(b []byte) uint64 {
	h := uint64(len(b)) ^ hashC
	for len(b) > 16 {
		h = fold(binary.LittleEndian.Uint64(b)^hashA, binary.LittleEndian.Uint64(b[8:])^h)
		b = b[16:]
	}
	var x, y uint64
	switch {
	case len(b) >= 8:
		x = binary.LittleEndian.Uint64(b)
		y = binary.LittleEndian.Uint64(b[len(b)-8:])
	case len(b) >= 4:
		x = uint64(binary.LittleEndian.Uint32(b))
		y = uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	case len(b) > 0:
		x = uint64(b[0])<<16 | uint64(b[len(b)/2])<<8 | uint64(b[len(b)-1])
	}
	h = fold(x^hashA, y^h)
	return fold(h^hashB, hashC)
}

// fold multiplies to 128 bits and folds them to 64.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
