package segment

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// writeTexts copies the blocks of all segments.
func (m *merger) writeTexts(o *output) error {
	if m.info.Schema.Texts == 0 {
		return nil
	}
	var list blockList
	var words mergedWords
	o.begin(sectionTextBlocks, 0)
	for i, s := range m.segs {
		t, err := s.Texts()
		if err != nil {
			return err
		}
		if t.texts == 0 {
			words.unknown(len(list.ends))
			list.appendEmpty(o, m.bases[i], m.bases[i+1])
			continue
		}
		if err := words.copy(s, len(list.ends)); err != nil {
			return err
		}
		if err := list.copyBlocks(o, t, m.bases[i]); err != nil {
			return err
		}
	}
	o.end()
	list.writeDirectory(o)
	words.write(o)
	return o.err
}

// copyBlocks copies the blocks of a segment whose first ordinal becomes base.
func (l *blockList) copyBlocks(o *output, t *Texts, base int) error {
	first := len(l.ends)
	at := l.size()
	for b := range t.blocks {
		offset, length := t.place(b)
		block := t.seg.data[offset : offset+length]
		if length < blockHeader || binary.LittleEndian.Uint32(block) != checksum(block[4:]) {
			return t.seg.damage(offset, max(1, length), "checksum mismatch in a text block")
		}
		if o.write(block); o.err != nil {
			return o.err
		}
		at += length
		_, last := t.Range(b)
		l.ends = append(l.ends, at)
		l.lasts = append(l.lasts, int64(base)+int64(last))
	}
	for _, s := range t.sources {
		l.addSource(uint32(first)+s.block, s.dict)
	}
	return nil
}

func (l *blockList) size() int64 {
	if n := len(l.ends); n > 0 {
		return l.ends[n-1]
	}
	return 0
}

// addSource says that the blocks from one on use a dictionary, nil for none.
func (l *blockList) addSource(block uint32, dict []byte) {
	index := 0
	if dict != nil {
		if index = slices.IndexFunc(l.dicts, func(d []byte) bool { return bytes.Equal(d, dict) }) + 1; index == 0 {
			l.dicts = append(l.dicts, dict)
			index = len(l.dicts)
		}
	}
	if n := len(l.sources); n == 0 || l.sources[n-1].index != uint32(index) {
		l.sources = append(l.sources, listSource{block, uint32(index)})
	}
}

// appendEmpty writes blocks for the ordinals from to to-1, which have no texts.
func (l *blockList) appendEmpty(o *output, from, to int) {
	const blockRows = 1024
	block := []byte{0, 0, 0, 0, 1, 0, 0, 0, methodStored, 0}
	binary.LittleEndian.PutUint32(block, checksum(block[4:]))
	if len(l.sources) == 0 {
		l.addSource(0, nil)
	}
	for ; from < to; from += blockRows {
		o.write(block)
		l.ends = append(l.ends, l.size()+int64(len(block)))
		l.lasts = append(l.lasts, int64(min(to, from+blockRows)))
	}
}

// mergedWords collects the word filters of segments.
type mergedWords struct {
	directory, slots []byte
	known            bool // any
}

// unknown adds a group that knows nothing, from a block on.
func (w *mergedWords) unknown(block int) {
	at := len(w.directory)
	w.directory = append(w.directory, make([]byte, groupHeader)...)
	binary.LittleEndian.PutUint32(w.directory[at:], uint32(block))
}

// copy adds the groups of a segment whose first block becomes a block.
func (w *mergedWords) copy(s *Segment, block int) error {
	// This verifies both sections.
	if _, err := s.Words(); err != nil {
		return err
	}
	directory, err := s.section(sectionWords, 0)
	if err != nil {
		return err
	}
	slots, err := s.section(sectionWordBits, 0)
	if err != nil {
		return err
	}
	if directory == nil {
		w.unknown(block)
		return nil
	}
	w.known = true
	for ; len(directory) > 0; directory = directory[groupHeader:] {
		at := len(w.directory)
		w.directory = append(w.directory, directory[:groupHeader]...)
		entry := w.directory[at:]
		binary.LittleEndian.PutUint32(entry, binary.LittleEndian.Uint32(entry)+uint32(block))
		binary.LittleEndian.PutUint64(entry[24:], binary.LittleEndian.Uint64(entry[24:])+uint64(len(w.slots)))
	}
	w.slots = append(w.slots, slots...)
	return nil
}

func (w *mergedWords) write(o *output) {
	if w.known {
		o.section(sectionWords, 0, w.directory)
		o.section(sectionWordBits, 0, w.slots)
	}
}
