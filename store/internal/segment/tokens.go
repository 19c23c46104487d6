package segment

import (
	"encoding/binary"
	"math/bits"
)

// tokenList has the tokens of a text: the words and what stands between them, cut to pieces
// of at most maxToken bytes.
type tokenList struct {
	ends   []int32
	hashes []uint64
}

// begin returns where a token begins.
func (l *tokenList) begin(i int) int32 {
	if i == 0 {
		return 0
	}
	return l.ends[i-1]
}

// split makes l the list of the tokens of a text.
func (l *tokenList) split(text []byte) {
	ends, hashes := l.ends[:0], l.hashes[:0]
	from, before := 0, uint64(0)
	for base := 0; from < len(text); base += 64 {
		rest := text[base:min(len(text), base+64)]
		words := wordMask(rest)
		changes := words ^ (words<<1 | before)
		if before = words >> 63; base == 0 {
			changes &^= 1
		}
		if end := uint64(1) << len(rest); end != 0 { // the text ends here
			changes = changes&(end-1) | end
		}
		for ; changes != 0; changes &= changes - 1 {
			to := base + bits.TrailingZeros64(changes)
			for to-from > maxToken {
				ends, hashes = append(ends, int32(from+maxToken)), append(hashes, tokenMix(text, from, from+maxToken))
				from += maxToken
			}
			ends, hashes = append(ends, int32(to)), append(hashes, tokenMix(text, from, to))
			from = to
		}
	}
	l.ends, l.hashes = ends, hashes
}

// wordMask returns which of at most 64 bytes are of the class of words, the first one in
// the lowest bit.
func wordMask(text []byte) (words uint64) {
	const ones, highest = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(text); i += 8 { // eight bytes at a time; the highest bit of each is its answer
		v := binary.LittleEndian.Uint64(text[i:])
		plain := v &^ highest
		lower := plain | 0x20*ones
		letters := (lower + (0x80-'a')*ones) &^ (lower + (0x80-'z'-1)*ones)
		digits := (plain + (0x80-'0')*ones) &^ (plain + (0x80-'9'-1)*ones)
		word := (letters | digits | v) & highest >> 7
		words |= word * 0x0102040810204080 >> 56 << i
	}
	for ; i < len(text); i++ {
		words |= uint64(byteClass[text[i]]&classWord) << i
	}
	return words
}

// tokenSet gives tokens numbers from 0 on.
type tokenSet struct {
	slots  []tokenSlot
	tokens []string
}

// tokenSlot is a token in the hash table. A hash of 0 is free.
type tokenSlot struct {
	hash uint64
	id   int32
}

func newTokenSet() *tokenSet { return &tokenSet{slots: make([]tokenSlot, 1<<10)} }

func tokenHash(token []byte) uint64 { return hash(token) | 1 }

// slot returns where a token is or would be.
func (s *tokenSet) slot(h uint64, token []byte) *tokenSlot {
	last := uint64(len(s.slots) - 1)
	at := &s.slots[h>>8&last]
	for i := h >> 8; at.hash != 0 && (at.hash != h || s.tokens[at.id] != string(token)); at = &s.slots[i&last] {
		i++
	}
	return at
}

// add returns the number of a token, which gets one if it has none. The memory of the
// token must stay as it is.
func (s *tokenSet) add(token []byte) int32 {
	h := tokenHash(token)
	at := s.slot(h, token)
	if at.hash != 0 {
		return at.id
	}
	if 2*len(s.tokens) >= len(s.slots) {
		s.grow()
		at = s.slot(h, token)
	}
	*at = tokenSlot{hash: h, id: int32(len(s.tokens))}
	s.tokens = append(s.tokens, bytesView(token))
	return at.id
}

func (s *tokenSet) grow() {
	old := s.slots
	s.slots = make([]tokenSlot, 2*len(old))
	for _, o := range old {
		if o.hash != 0 {
			*s.slot(o.hash, stringView(s.tokens[o.id])) = o
		}
	}
}

// tokenMix returns a hash of a token of a text that takes less time than the others.
func tokenMix(text []byte, from, to int) uint64 {
	n := uint(to - from)
	var v uint64
	switch {
	case n > 8:
		return hash(text[from:to])
	case to >= 8:
		v = binary.LittleEndian.Uint64(text[to-8:]) >> (64 - 8*n)
	case from+8 <= len(text):
		v = binary.LittleEndian.Uint64(text[from:]) & (^uint64(0) >> (64 - 8*n))
	default:
		for i, b := range text[from:to] {
			v |= uint64(b) << (8 * i)
		}
	}
	return v*hashC ^ uint64(n)<<56
}
