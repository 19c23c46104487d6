package segment

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// The word filter. Words are maximal runs of ASCII letters, digits and bytes from
// 0x80 on. Blocks of texts are taken together in groups of at most 254. For each
// group a static function maps every word, and every four bytes of a word (a gram)
// that are not all hexadecimal digits, to the only block of the group that has it, to
// "few", or to "many". What a few blocks have is mapped once more for each part of the
// group that has it. Of what the group doesn't have, it says so but for one of 16.
const (
	groupBlocks = 254
	placeBits   = 8
	placeFew    = 254
	placeMany   = 255
	maxFew      = 8  // blocks
	partBlocks  = 16 // of a part of a group
	groupParts  = 16
	gramBytes   = 4
	groupHeader = 32

	knowsWords = 1
	knowsGrams = 2
)

// Words answers which blocks of texts may have a word or a substring.
type Words struct {
	blocks int
	groups []wordGroup
}

// wordGroup is the filter of a group:
//
//	0   4  first block
//	4   1  1: knows words; 2: knows grams
//	5   1  bits of the fingerprints
//	6   2  zero
//	8   8  seed
//	16  4  length of a segment
//	20  4  number of segments a value can begin in
//	24  8  first byte of the slots in the section of slots
type wordGroup struct {
	block  int
	flags  byte
	prints uint
	fuse   fuse
	slots  []byte // packed, of prints + 8 bits each
}

// Words returns the word filter. The first call reads and verifies it. A segment
// without one answers that every block may have everything.
func (s *Segment) Words() (*Words, error) { return s.words.get(s.makeWords) }

func (s *Segment) makeWords() (*Words, error) {
	t, err := s.Texts()
	if err != nil {
		return nil, err
	}
	w := &Words{blocks: t.blocks}
	directory, err := s.section(sectionWords, 0)
	if err != nil {
		return nil, err
	}
	slots, err := s.section(sectionWordBits, 0)
	if err != nil {
		return nil, err
	}
	if directory == nil {
		w.groups = []wordGroup{{}}
		return w, nil
	}
	if len(directory)%groupHeader != 0 || len(directory) == 0 {
		return nil, s.malformed(sectionWords, 0)
	}
	for ; len(directory) > 0; directory = directory[groupHeader:] {
		g, ok := parseGroup(directory[:groupHeader], slots)
		last := -1
		if n := len(w.groups); n > 0 {
			last = w.groups[n-1].block
		}
		if !ok || g.block <= last || g.block >= t.blocks || last < 0 && g.block != 0 {
			return nil, s.malformed(sectionWords, 0)
		}
		w.groups = append(w.groups, g)
	}
	return w, nil
}

func parseGroup(b, slots []byte) (wordGroup, bool) {
	g := wordGroup{block: int(binary.LittleEndian.Uint32(b)), flags: b[4], prints: uint(b[5])}
	g.fuse = fuse{seed: binary.LittleEndian.Uint64(b[8:]), length: binary.LittleEndian.Uint32(b[16:])}
	count := uint64(binary.LittleEndian.Uint32(b[20:]))
	at := binary.LittleEndian.Uint64(b[24:])
	if g.flags == 0 {
		return g, true
	}
	span := count * uint64(g.fuse.length)
	if bits.OnesCount32(g.fuse.length) != 1 || count == 0 || span > math.MaxInt32 || g.prints > 16 || at > uint64(len(slots)) {
		return g, false
	}
	g.fuse.span = uint32(span)
	size := uint64(packedSize(int(span)+2*int(g.fuse.length), g.prints+placeBits))
	if size > uint64(len(slots))-at {
		return g, false
	}
	g.slots = slots[at : at+size]
	return g, true
}

// Groups returns the number of groups, whose blocks follow each other.
func (w *Words) Groups() int { return len(w.groups) }

// Range returns the blocks from to to-1 of a group.
func (w *Words) Range(group int) (from, to int) {
	if uint(group) >= uint(len(w.groups)) {
		return 0, 0
	}
	if to = w.blocks; group+1 < len(w.groups) {
		to = w.groups[group+1].block
	}
	return w.groups[group].block, to
}

// Find returns the blocks from to to-1 of a group in which all are that may have what is
// looked for, and none if from is to.
func (w *Words) Find(group int, n *Needle) (from, to int) {
	from, _ = w.Range(group)
	set := w.find(group, n)
	first, last := -1, -1
	for i, word := range set {
		if word == 0 {
			continue
		}
		if first < 0 {
			first = i*64 + bits.TrailingZeros64(word)
		}
		last = i*64 + 63 - bits.LeadingZeros64(word)
	}
	if first < 0 {
		return from, from
	}
	if last == len(set)*64-1 {
		// Only groups that know nothing have more blocks than the set.
		_, to = w.Range(group)
		return from + first, to
	}
	return from + first, from + last + 1
}

// Blocks appends the blocks of a group that may have what is looked for, in ascending
// order. They are often fewer than those that Find returns.
func (w *Words) Blocks(dst []uint32, group int, n *Needle) []uint32 {
	from, to := w.Range(group)
	set := w.find(group, n)
	for b := from; b < to; b++ {
		if i := min(b-from, len(set)*64-1); set[i/64]>>(i%64)&1 != 0 {
			dst = append(dst, uint32(b))
		}
	}
	return dst
}

// blockSet has a bit for each block of a group, and the last one for all behind it.
type blockSet [4]uint64

// find returns the blocks of a group that may have what is looked for.
func (w *Words) find(group int, n *Needle) (set blockSet) {
	from, to := w.Range(group)
	for k := range set {
		set[k] = mask(uint(max(0, min(to-from-64*k, 64))))
	}
	if from == to {
		return set
	}
	g := &w.groups[group]
	for i, key := range n.keys {
		known := byte(knowsGrams)
		if i < n.words {
			known = knowsWords
		}
		if g.flags&known == 0 {
			continue
		}
		only := g.blocks(key)
		empty := true
		for k := range set {
			set[k] &= only[k]
			empty = empty && set[k] == 0
		}
		if empty {
			return set
		}
	}
	return set
}

// blocks returns the blocks that may have a key.
func (g *wordGroup) blocks(key uint64) (set blockSet) {
	place, ok := g.lookup(key)
	switch {
	case !ok:
		return set
	case place == placeMany:
		return blockSet{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
	case place < placeFew:
		set[place/64] = 1 << (place % 64)
		return set
	}
	for part := range groupParts {
		place, ok := g.lookup(partKey(key, part))
		switch {
		case !ok:
		case place < placeFew:
			set[place/64] |= 1 << (place % 64)
		default:
			set[part/4] |= mask(partBlocks) << (part % 4 * partBlocks)
		}
	}
	return set
}

// lookup returns the place of a key, and false if the group doesn't have it.
func (g *wordGroup) lookup(key uint64) (int, bool) {
	a, b, c, mark := g.fuse.place(key)
	width := g.prints + placeBits
	v := readBits(g.slots, uint64(a)*uint64(width), width) ^
		readBits(g.slots, uint64(b)*uint64(width), width) ^
		readBits(g.slots, uint64(c)*uint64(width), width)
	return int(v & mask(placeBits)), v>>placeBits == uint64(mark)&mask(g.prints)
}

// Needle is what is looked for in texts. It can be used with any number of segments.
type Needle struct {
	words int // how many of the keys are words; grams follow
	keys  []uint64
}

// WordNeedle looks for texts that have a word: a run of ASCII letters, digits and bytes
// from 0x80 on that nothing of the kind touches. What isn't one word is in no text: such
// a Needle looks for the parts of it.
func WordNeedle(word string) *Needle { return newNeedle(" " + word + " ") }

// SubstringNeedle looks for texts that have a substring. If it has no word as a whole
// and no four bytes in a row that are letters, digits or bytes from 0x80 on, of which
// one at least is no hexadecimal digit, then every block may have it.
func SubstringNeedle(text string) *Needle { return newNeedle(text) }

func newNeedle(text string) *Needle {
	n := &Needle{}
	var grams []uint64
	eachWord(text, func(from, to int) {
		if from > 0 && to < len(text) {
			n.keys = append(n.keys, wordKey(text[from:to]))
		}
		eachGram(text[from:to], func(key uint64) { grams = append(grams, key) })
	})
	n.words = len(n.keys)
	n.keys = append(n.keys, grams...)
	return n
}

// Selective says whether there is anything to look for in the filter.
func (n *Needle) Selective() bool { return len(n.keys) > 0 }

// The classes of bytes in words.
const (
	classWord  = 1
	classPlain = 2 // hexadecimal digits
)

var byteClass = func() (t [256]byte) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			t[c] = classWord | classPlain
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= 0x80:
			t[c] = classWord
		}
	}
	return t
}()

// eachWord calls word for each word of a text.
func eachWord(text string, word func(from, to int)) {
	for i := 0; i < len(text); {
		if byteClass[text[i]] == 0 {
			i++
			continue
		}
		from := i
		for i++; i < len(text) && byteClass[text[i]] != 0; i++ {
		}
		word(from, i)
	}
}

// eachGram calls gram for each gram of a word that has a key.
func eachGram(word string, gram func(key uint64)) {
	plain := 0 // hexadecimal digits in a row before i
	for i := range len(word) {
		if plain++; byteClass[word[i]]&classPlain == 0 {
			plain = 0
		}
		if i >= gramBytes-1 && plain < gramBytes {
			gram(gramKey(word[i-gramBytes+1 : i+1]))
		}
	}
}

// wordKey is the key of a word; gramKey that of a gram. Neither is 0.
func wordKey(word string) uint64 { return hash(stringView(word)) | 1 }

// partKey is the key of what a few blocks have in a part of the group.
func partKey(key uint64, part int) uint64 { return fold(key^hashC, uint64(part)<<1^hashA) | 1 }

func gramKey(gram string) uint64 {
	g := uint64(gram[0]) | uint64(gram[1])<<8 | uint64(gram[2])<<16 | uint64(gram[3])<<24
	return fold(g^hashA, hashB)&^1 | 1<<63
}
