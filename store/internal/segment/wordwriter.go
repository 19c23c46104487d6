package segment

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
	"slices"
)

// How much the filter of a group may grow with its rows: texts with more words than
// this are random data, in which nobody looks for words.
const (
	wordsPerRow = 64
	gramsPerRow = 16
)

// wordWriter makes the word filters of the texts that are added.
type wordWriter struct {
	prints int // bits; -1: make none
	block  int // in the group
	rows   int // in the group
	blocks int // before the group

	table        []uint64 // keys by their low bits; 0 is free
	places       []byte
	few          map[uint64][]byte // the blocks of keys at placeFew
	words, grams int               // in the table
	flags        byte

	seen   *[1 << 10]seenWord // words that were noted lately
	seed   maphash.Seed
	serial uint32 // of the open block, from 1 on
	group  uint32 // from 1 on

	directory []byte
	slots     []byte
}

// add adds the words of one text of the open block.
func (w *wordWriter) add(text string) {
	for i := 0; i < len(text); {
		if byteClass[text[i]] == 0 {
			i++
			continue
		}
		from := i
		for i++; i < len(text) && byteClass[text[i]] != 0; i++ {
		}
		w.word(text[from:i])
	}
}

func (w *wordWriter) word(word string) { w.note(wordKey(word), word) }

// seenWord is a word that was noted lately. Its second hash is one that nobody can find
// another word for: a word must not hide behind one with the same key.
type seenWord struct {
	key, second uint64
	serial      uint32 // of the block that is known to have it, and 1
	group       uint32 // of the group in which it is at placeMany with all of its grams, and 1
}

// note notes that the open block has a word, of which the key is given.
func (w *wordWriter) note(key uint64, word string) {
	if w.prints < 0 {
		return
	}
	w.begin()
	seen := &w.seen[key>>7&(1<<10-1)]
	second := maphash.String(w.seed, word)
	if seen.key != key || seen.second != second {
		*seen = seenWord{key: key, second: second}
	} else if seen.serial == w.serial || seen.group == w.group {
		return
	}
	many := w.flags&knowsWords == 0 || w.putWord(key)
	if w.flags&knowsGrams != 0 {
		eachGram(word, func(key uint64) { many = w.putGram(key) && many })
	}
	seen.serial = w.serial
	if many {
		seen.group = w.group
	}
}

// noteKeys notes that the open block has the words and grams of a phrase.
func (w *wordWriter) noteKeys(k *keyRange, keys []uint64) {
	if k.serial == w.serial && w.serial > 0 || k.group == w.group && w.group > 0 {
		return
	}
	w.begin()
	many := true
	if w.flags&knowsWords != 0 {
		for _, key := range keys[k.from:k.grams] {
			many = w.putWord(key) && many
		}
	}
	if w.flags&knowsGrams != 0 {
		for _, key := range keys[k.grams:k.to] {
			many = w.putGram(key) && many
		}
	}
	k.serial = w.serial
	if many {
		k.group = w.group
	}
}

// reset makes w empty. Serial and group go on, also behind what was given up half way: what
// phrases have noted of others is out of date.
func (w *wordWriter) reset(prints int) {
	w.prints = prints
	w.table, w.places, w.few, w.seen = nil, nil, nil, nil
	w.block, w.rows, w.blocks, w.words, w.grams, w.flags = 0, 0, 0, 0, 0, 0
	w.serial, w.group = w.serial+1, w.group+1
	w.directory, w.slots = w.directory[:0], w.slots[:0]
}

// begin makes the tables, when there is a word.
func (w *wordWriter) begin() {
	if w.table != nil {
		return
	}
	w.table, w.places = make([]uint64, 1<<13), make([]byte, 1<<13)
	w.flags = knowsWords | knowsGrams
	w.few = map[uint64][]byte{}
	w.seen, w.seed = new([1 << 10]seenWord), maphash.MakeSeed()
	w.serial, w.group = w.serial+1, w.group+1
}

func (w *wordWriter) putWord(key uint64) (many bool) {
	added, many := w.put(key)
	if added {
		w.words++
	}
	return many
}

func (w *wordWriter) putGram(key uint64) (many bool) {
	added, many := w.put(key)
	if added {
		w.grams++
	}
	return many
}

// put notes that the open block has a key, and returns whether the key is new, and
// whether it makes no difference any more which blocks of the group have it.
func (w *wordWriter) put(key uint64) (added, many bool) {
	at := key >> 7 & uint64(len(w.table)-1)
	for w.table[at] != 0 {
		if w.table[at] == key {
			w.move(at)
			return false, w.places[at] == placeMany
		}
		at = (at + 1) & uint64(len(w.table)-1)
	}
	w.table[at], w.places[at] = key, byte(w.block)
	if 2*(w.words+w.grams+1) > len(w.table) {
		w.grow()
	}
	return true, false
}

// move notes that the open block has the key of a slot too.
func (w *wordWriter) move(at uint64) {
	key, p := w.table[at], w.places[at]
	switch {
	case p == placeMany || int(p) == w.block:
		return
	case p < placeFew:
		w.places[at] = placeFew
		w.few[key] = append(make([]byte, 0, maxFew), p, byte(w.block))
		return
	}
	blocks := w.few[key]
	switch {
	case int(blocks[len(blocks)-1]) == w.block:
	case len(blocks) == maxFew:
		w.places[at] = placeMany
		delete(w.few, key)
	default:
		w.few[key] = append(blocks, byte(w.block))
	}
}

// addParts adds the keys of what a few blocks have to the table.
func (w *wordWriter) addParts() {
	for _, key := range slices.Sorted(maps.Keys(w.few)) {
		for _, block := range w.few[key] {
			sub := partKey(key, int(block)/partBlocks)
			w.block = int(block)
			if added, _ := w.put(sub); added {
				w.words++
			} else if at := w.slot(sub); w.places[at] == placeFew {
				w.places[at] = placeMany
			}
		}
	}
}

// slot returns where a key of the table is.
func (w *wordWriter) slot(key uint64) uint64 {
	at := key >> 7 & uint64(len(w.table)-1)
	for w.table[at] != key {
		at = (at + 1) & uint64(len(w.table)-1)
	}
	return at
}

func (w *wordWriter) grow() {
	table, places := w.table, w.places
	w.table, w.places = make([]uint64, 2*len(table)), make([]byte, 2*len(table))
	for i, key := range table {
		if key == 0 {
			continue
		}
		at := key >> 7 & uint64(len(w.table)-1)
		for w.table[at] != 0 {
			at = (at + 1) & uint64(len(w.table)-1)
		}
		w.table[at], w.places[at] = key, places[i]
	}
}

// endBlock says that the open block, of so many rows, is complete.
func (w *wordWriter) endBlock(rows int) {
	if w.prints < 0 {
		return
	}
	w.block++
	w.serial++
	w.rows += rows
	if w.words > 1024+wordsPerRow*w.rows || w.grams > 1024+gramsPerRow*w.rows {
		w.thin()
	}
	if w.block == groupBlocks {
		w.endGroup()
	}
}

// thin gives up the kind of keys that are too many.
func (w *wordWriter) thin() {
	drop := uint64(1) // words have the lowest bit
	if w.grams > 1024+gramsPerRow*w.rows {
		w.flags &^= knowsGrams
		w.grams, drop = 0, 0
	} else {
		w.flags &^= knowsWords
		w.words = 0
	}
	table, places := w.table, w.places
	w.table, w.places = make([]uint64, len(table)), make([]byte, len(table))
	for i, key := range table {
		if key == 0 || key&1 == drop {
			delete(w.few, key)
			continue
		}
		at := key >> 7 & uint64(len(w.table)-1)
		for w.table[at] != 0 {
			at = (at + 1) & uint64(len(w.table)-1)
		}
		w.table[at], w.places[at] = key, places[i]
	}
}

// endGroup writes the filter of the group.
func (w *wordWriter) endGroup() {
	if w.block == 0 {
		return
	}
	blocks := w.block
	w.addParts()
	w.block = blocks
	keys := make([]uint64, 0, w.words+w.grams)
	for _, key := range w.table {
		if key != 0 {
			keys = append(keys, key)
		}
	}
	w.encode(keys)
	clear(w.table)
	clear(w.few)
	w.blocks += w.block
	w.block, w.rows, w.words, w.grams = 0, 0, 0, 0
	w.flags = knowsWords | knowsGrams
	w.group++
}

func (w *wordWriter) encode(keys []uint64) {
	var f fuse
	flags := w.flags
	width := uint(w.prints) + placeBits
	b, ok := newFuseBuilder(&f, keys)
	if !ok {
		flags = 0
	}
	w.directory = binary.LittleEndian.AppendUint32(w.directory, uint32(w.blocks))
	w.directory = append(w.directory, flags, byte(w.prints), 0, 0)
	w.directory = binary.LittleEndian.AppendUint64(w.directory, f.seed)
	w.directory = binary.LittleEndian.AppendUint32(w.directory, f.length)
	w.directory = binary.LittleEndian.AppendUint32(w.directory, f.span/f.length)
	w.directory = binary.LittleEndian.AppendUint64(w.directory, uint64(len(w.slots)))
	if flags == 0 {
		return
	}
	slots := make([]uint32, len(f.slots))
	for i := len(b.order) - 1; i >= 0; i-- {
		x, y, z, mark := f.place(b.order[i])
		value := uint32(mark)&uint32(mask(uint(w.prints)))<<placeBits | uint32(w.places[w.slot(b.order[i])])
		slots[b.slots[i]] = 0
		slots[b.slots[i]] = value ^ slots[x] ^ slots[y] ^ slots[z]
	}
	w.slots = append(w.slots, packBits(slots, width)...)
}

// write ends the last group and writes the sections.
func (w *wordWriter) write(o *output) {
	if w.prints < 0 {
		return
	}
	w.endGroup()
	if len(w.directory) > 0 {
		o.section(sectionWords, 0, w.directory)
		o.section(sectionWordBits, 0, w.slots)
	}
}
