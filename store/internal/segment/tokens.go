package segment

import "encoding/binary"

// eachToken calls token for each token of a text: a word or what stands between two,
// cut to pieces of at most 32 bytes.
func eachToken(text []byte, token func(from, to int)) {
	for from := 0; from < len(text); {
		to := tokenEnd(text, from)
		token(from, to)
		from = to
	}
}

// tokenEnd returns where the token ends that begins at a byte of a text.
func tokenEnd(text []byte, from int) int {
	rest := text[from:min(len(text), from+maxToken)]
	class := byteClass[rest[0]] & classWord
	for i, b := range rest {
		if byteClass[b]&classWord != class {
			return from + i
		}
	}
	return from + len(rest)
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
	if n > 8 {
		return hash(text[from:to])
	}
	var v uint64
	if from+8 <= len(text) {
		v = binary.LittleEndian.Uint64(text[from:]) & (^uint64(0) >> (64 - 8*n))
	} else {
		for i, b := range text[from:to] {
			v |= uint64(b) << (8 * i)
		}
	}
	return v*hashC ^ uint64(n)<<56
}
