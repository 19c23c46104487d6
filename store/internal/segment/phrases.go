package segment

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// The symbols of a phrase code. Numbers of decimal or hexadecimal digits that are no
// phrase follow their symbol as plain bits.
const (
	symbolEnd     = 256       // of a text
	symbolUUID    = 257       // 128 bits
	symbolDecimal = 258       // and the following: 1 to 18 decimal digits
	symbolHex     = 258 + 18  // and the following: 4 to 32 lower-case hexadecimal digits
	symbolPhrase  = 276 + 29  // and the following: the phrases
	symbolLimit   = 1<<16 - 1 // symbols at most

	maxDecimal = 18
	minHex     = 4
	maxHex     = 32

	maxCode     = 15 // bits of a code at most
	primaryBits = 11 // of the table that decodes short codes

	maxPhrase  = 192 // bytes of a phrase at most
	maxToken   = 32  // bytes of a token at most
	maxPhrases = 1 << 14

	maxDictionary = 4 << 20 // bytes of a dictionary at most
)

// decimalBits is the number of bits of n decimal digits.
var decimalBits = func() (t [maxDecimal + 1]uint) {
	for n := range t {
		t[n] = uint(bits.Len64(uint64(math.Pow10(n)) - 1))
	}
	return t
}()

// phraseTable is what decodes a phrase code.
type phraseTable struct {
	ends    []uint32 // of each phrase in bytes, behind one for its begin
	bytes   []byte
	pool    []byte                   // the phrases, every single byte, and room to copy beyond them
	primary [1 << primaryBits]uint64 // an entry, and the bits of its code
	limits  [maxCode + 2]uint32      // first code of a length that is no code of it, at 15 bits
	bases   [maxCode + 2]int         // index of the first symbol of a length, less its code
	symbols []uint16                 // in order of their codes
	lengths []byte                   // of the code of each symbol; 0 has none
}

// copied is how many bytes are copied at a time, whatever the length of a phrase.
const copied = 16

// entry returns what decoding a symbol does: the length of its text in bits 8 to 15 and
// the place of the text in the pool from bit 32 on; or, with the length 0, the symbol.
func (t *phraseTable) entry(symbol int) uint64 {
	switch {
	case symbol >= symbolPhrase:
		i := symbol - symbolPhrase
		return uint64(t.ends[i])<<32 | uint64(t.ends[i+1]-t.ends[i])<<8
	case symbol < 256:
		return uint64(len(t.bytes)+symbol)<<32 | 1<<8
	}
	return uint64(symbol) << 32
}

// parsePhrases reads a dictionary of phrases:
//
//	number of phrases; the length of each; their bytes; the length of each symbol's code
func parsePhrases(b []byte) (*phraseTable, bool) {
	n, used := uvarint(b)
	if used == 0 || n > symbolLimit-symbolPhrase || n > len(b) {
		return nil, false
	}
	b = b[used:]
	t := &phraseTable{ends: make([]uint32, 1, n+1)}
	total := 0
	for range n {
		v, used := uvarint(b)
		if used == 0 || v == 0 || v > maxPhrase {
			return nil, false
		}
		total += v
		t.ends = append(t.ends, uint32(total))
		b = b[used:]
	}
	if len(b) != total+symbolPhrase+n {
		return nil, false
	}
	t.pool = make([]byte, 0, total+256+copied)
	t.pool = append(t.pool, b[:total]...)
	for c := range 256 {
		t.pool = append(t.pool, byte(c))
	}
	t.pool = t.pool[:cap(t.pool)]
	t.bytes, t.lengths = t.pool[:total:total], slices.Clone(b[total:])
	ok := t.build()
	return t, ok
}

// build makes the tables from the lengths of the codes, which are canonical: shorter
// ones first, and those of one length in order of the symbols.
func (t *phraseTable) build() bool {
	var counts [maxCode + 1]int
	for _, l := range t.lengths {
		if l > maxCode {
			return false
		}
		counts[l]++
	}
	code, index := uint32(0), 0
	for l := 1; l <= maxCode; l++ {
		code <<= 1
		t.bases[l] = index - int(code)
		code += uint32(counts[l])
		index += counts[l]
		if code > 1<<l {
			return false
		}
		t.limits[l] = code << (maxCode - l)
	}
	t.symbols = make([]uint16, 0, index)
	for l := 1; l <= maxCode; l++ {
		for s, have := range t.lengths {
			if int(have) != l {
				continue
			}
			if l <= primaryBits {
				first := (len(t.symbols) - t.bases[l]) << (primaryBits - l)
				entry := t.entry(s) | uint64(l)
				for i := range 1 << (primaryBits - l) {
					t.primary[first+i] = entry
				}
			}
			t.symbols = append(t.symbols, uint16(s))
		}
	}
	return true
}

// phrase returns the bytes of a symbol from symbolPhrase on.
func (t *phraseTable) phrase(symbol int) []byte {
	i := symbol - symbolPhrase
	return t.bytes[t.ends[i]:t.ends[i+1]]
}

// decode appends the texts of a row to dst, and to ends the length of dst behind each.
// Stream is that of the row and at least slack bytes behind it, whatever they are. It is
// false if the stream is damaged or has more than most bytes of texts.
func (t *phraseTable) decode(dst, stream []byte, texts, most int, ends []uint32) ([]byte, []uint32, bool) {
	bit, size := uint64(0), uint64(len(stream)-slack)*8
	n := len(dst)
	limit := n + most
	dst = dst[:cap(dst)]
	for texts > 0 {
		if bit >= size || n > limit {
			return dst[:n], ends, false
		}
		// A load has at least 57 bits, enough for codes as long as 42 are not used up.
		word := binary.BigEndian.Uint64(stream[bit>>3:]) << (bit & 7)
		for used := uint64(0); used <= 57-maxCode && texts > 0; {
			entry := t.primary[word>>(64-primaryBits)]
			if entry == 0 {
				if entry = t.long(uint32(word >> (64 - maxCode))); entry == 0 {
					return dst[:n], ends, false
				}
			}
			length := entry & 0xff
			word <<= length
			used += length
			bit += length
			if size := int(entry >> 8 & 0xff); size > 0 {
				if len(dst)-n < maxPhrase+copied {
					dst = growTo(dst, n)
				}
				from := int(entry >> 32)
				*(*[copied]byte)(dst[n:]) = *(*[copied]byte)(t.pool[from:])
				if size > copied {
					copy(dst[n+copied:n+size], t.pool[from+copied:])
				}
				n += size
				continue
			}
			if symbol := int(entry >> 32); symbol != symbolEnd {
				var ok bool
				if dst, bit, ok = decodeNumber(dst[:n], stream, bit, symbol); !ok {
					return dst, ends, false
				}
				n, dst = len(dst), dst[:cap(dst)]
				break
			}
			ends = append(ends, uint32(n))
			texts--
		}
	}
	return dst[:n], ends, bit <= size
}

// growTo returns dst with more room behind its first n bytes.
func growTo(dst []byte, n int) []byte {
	dst = slices.Grow(dst[:n], max(n, 8*maxPhrase))
	return dst[:cap(dst)]
}

// long decodes a code that the primary table doesn't have. The result is like an element
// of that table, and 0 if there is no such code.
func (t *phraseTable) long(code uint32) uint64 {
	for l := primaryBits + 1; l <= maxCode; l++ {
		if code < t.limits[l] {
			i := t.bases[l] + int(code>>(maxCode-l))
			if uint(i) >= uint(len(t.symbols)) {
				return 0
			}
			return t.entry(int(t.symbols[i])) | uint64(l)
		}
	}
	return 0
}

// decodeNumber appends the digits that follow a symbol.
func decodeNumber(dst, stream []byte, bit uint64, symbol int) ([]byte, uint64, bool) {
	take := func(width uint) uint64 {
		if bit>>3+8 > uint64(len(stream)) {
			bit = uint64(len(stream)) * 8
			return 0
		}
		v := binary.BigEndian.Uint64(stream[bit>>3:]) << (bit & 7) >> (64 - width)
		bit += uint64(width)
		return v
	}
	switch {
	case symbol == symbolUUID:
		var b [16]byte
		for i := range 4 {
			binary.BigEndian.PutUint32(b[i*4:], uint32(take(32)))
		}
		dst = appendUUID(dst, b[:])
	case symbol >= symbolHex:
		for n := symbol - symbolHex + minHex; n > 0; n -= 8 {
			k := min(n, 8)
			text := hexOf(bits.ReverseBytes32(uint32(take(uint(k)*4) << (32 - k*4))))
			dst = binary.LittleEndian.AppendUint64(dst, text)[:len(dst)+k]
		}
	default:
		n := symbol - symbolDecimal + 1
		width := decimalBits[n]
		v := uint64(0)
		if width > 32 {
			v = take(width-32) << 32
			width = 32
		}
		v |= take(width)
		at := len(dst)
		dst = append(dst, "000000000000000000"[:n]...)
		for i := at + n - 1; i >= at; i-- {
			dst[i] += byte(v % 10)
			v /= 10
		}
	}
	return dst, bit, bit <= uint64(len(stream)-slack)*8
}

// appendPhrases is the inverse of parsePhrases.
func appendPhrases(phrases []string, lengths []byte) []byte {
	out := binary.AppendUvarint(nil, uint64(len(phrases)))
	for _, p := range phrases {
		out = binary.AppendUvarint(out, uint64(len(p)))
	}
	for _, p := range phrases {
		out = append(out, p...)
	}
	return append(out, lengths...)
}

// codeLengths returns the lengths of a Huffman code for symbols of these counts. A
// count of 0 gets none.
func codeLengths(counts []uint32) []byte {
	lengths := make([]byte, len(counts))
	type leaf struct {
		count  uint64
		symbol int
	}
	for shift := uint(0); ; shift++ {
		var leaves []leaf
		for s, c := range counts {
			if c > 0 {
				leaves = append(leaves, leaf{uint64(c>>shift) + 1, s})
			}
		}
		slices.SortFunc(leaves, func(a, b leaf) int {
			return cmp.Or(cmp.Compare(a.count, b.count), cmp.Compare(a.symbol, b.symbol))
		})
		n := len(leaves)
		if n == 1 {
			lengths[leaves[0].symbol] = 1
			return lengths
		}
		// Nodes 0 to n-1 are the leaves, the others their parents in ascending order.
		weights, parents := make([]uint64, n, 2*n), make([]int, 2*n)
		for i, l := range leaves {
			weights[i] = l.count
		}
		nextLeaf, nextNode := 0, n
		least := func() int {
			if nextLeaf < n && (nextNode >= len(weights) || weights[nextLeaf] <= weights[nextNode]) {
				nextLeaf++
				return nextLeaf - 1
			}
			nextNode++
			return nextNode - 1
		}
		for len(weights) < 2*n-1 {
			a, b := least(), least()
			parents[a], parents[b] = len(weights), len(weights)
			weights = append(weights, weights[a]+weights[b])
		}
		depths := make([]int, 2*n)
		deepest := 0
		for i := 2*n - 3; i >= 0; i-- {
			depths[i] = depths[parents[i]] + 1
			if i < n {
				lengths[leaves[i].symbol] = byte(min(depths[i], math.MaxUint8))
				deepest = max(deepest, depths[i])
			}
		}
		if deepest <= maxCode {
			return lengths
		}
	}
}

// openDictionary reads a section of a dictionary: the length of what parsePhrases
// reads, and that compressed with zstd.
func openDictionary(section []byte) (*phraseTable, bool) {
	if len(section) < 4 {
		return nil, false
	}
	size := binary.LittleEndian.Uint32(section)
	if size > maxDictionary {
		return nil, false
	}
	decoder, err := newDecoder()
	if err != nil {
		return nil, false
	}
	defer decoder.Close()
	b, err := decoder.DecodeAll(section[4:], make([]byte, 0, size))
	if err != nil || len(b) != int(size) {
		return nil, false
	}
	return parsePhrases(b)
}

// packDictionary is the inverse of openDictionary.
func packDictionary(phrases []byte, encoder *zstd.Encoder) []byte {
	return encoder.EncodeAll(phrases, binary.LittleEndian.AppendUint32(nil, uint32(len(phrases))))
}
