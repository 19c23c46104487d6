package segment

import (
	"encoding/binary"
	"slices"
)

// TextReader is the memory for reading texts, which a caller owns and uses again. The
// zero value is ready. It is for one goroutine at a time. It remembers the last block,
// so that reading its rows one after the other opens it once.
type TextReader struct {
	seg     *Segment
	block   int
	whole   bool         // buf and index hold all rows of the block, and else one row
	phrases *phraseTable // if not whole
	size    int          // of the texts of the block
	streams []uint32     // if not whole, where the stream of each row begins in content
	content []byte       // if not whole, of the block, with slack behind it
	buf     []byte
	index   []uint32 // where each text begins in buf, and where the last ends
	from    uint32   // first ordinal
	rows    uint32
	ends    []uint32 // of the texts that Append appended
	texts   int
	result  [][]byte
	blocks  int64 // that were read
	read    int64 // bytes of them
}

// Loaded returns how many blocks were read with r since it was made or forgot, and how
// many bytes they have in the file.
func (r *TextReader) Loaded() (blocks, bytes int64) {
	if r == nil {
		return 0, 0
	}
	return r.blocks, r.read
}

// Forget makes the reader forget what it has read, and returns how many bytes of memory
// it has for reading more.
func (r *TextReader) Forget() int {
	r.seg, r.phrases, r.content = nil, nil, nil
	r.blocks, r.read = 0, 0
	clear(r.result[:cap(r.result)])
	return cap(r.buf) + 4*(cap(r.index)+cap(r.streams)+cap(r.ends))
}

// Read returns the texts of an ordinal. They are valid until the next call with the
// same TextReader, and must not be changed.
func (t *Texts) Read(ordinal uint32, r *TextReader) ([][]byte, error) {
	if t.texts == 0 {
		return nil, nil
	}
	return t.readIn(t.blockFor(ordinal, r), ordinal, r)
}

// readIn is Read of an ordinal that is in a block.
func (t *Texts) readIn(block int, ordinal uint32, r *TextReader) ([][]byte, error) {
	if r.seg != t.seg || r.block != block {
		if err := t.load(block, r); err != nil {
			return nil, err
		}
	}
	row := ordinal - r.from
	if row >= r.rows {
		return nil, t.seg.malformed(sectionTextRows, 0)
	}
	at := int(row) * r.texts
	if !r.whole {
		at = 0
		var ok bool
		if r.buf, r.index, ok = r.decodeRow(r.buf[:0], int(row), append(r.index[:0], 0)); !ok {
			r.seg = nil
			return nil, t.malformedBlock(block)
		}
	}
	r.result = r.result[:0]
	for i := range t.texts {
		var text []byte
		if i < r.texts {
			text = r.buf[r.index[at+i]:r.index[at+i+1]]
		}
		r.result = append(r.result, text)
	}
	return r.result, nil
}

// Append appends the texts of an ordinal to dst, one behind the other, and returns the
// extended slice with the length it has behind each text. The lengths are valid until
// the next call with the same TextReader.
func (t *Texts) Append(dst []byte, ordinal uint32, r *TextReader) ([]byte, []uint32, error) {
	if t.texts == 0 {
		return dst, nil, nil
	}
	block := t.blockFor(ordinal, r)
	if r.seg != t.seg || r.block != block {
		if err := t.load(block, r); err != nil {
			return dst, nil, err
		}
	}
	row := ordinal - r.from
	if row >= r.rows {
		return dst, nil, t.seg.malformed(sectionTextRows, 0)
	}
	r.ends = r.ends[:0]
	if r.whole {
		at := int(row) * r.texts
		from := r.index[at]
		dst = append(dst, r.buf[from:r.index[at+r.texts]]...)
		start := uint32(len(dst)) - (r.index[at+r.texts] - from)
		for _, end := range r.index[at+1 : at+r.texts+1] {
			r.ends = append(r.ends, start+end-from)
		}
	} else {
		var ok bool
		if dst, r.ends, ok = r.decodeRow(dst, int(row), r.ends); !ok {
			r.seg = nil
			return dst, nil, t.malformedBlock(block)
		}
	}
	for len(r.ends) < t.texts {
		r.ends = append(r.ends, uint32(len(dst)))
	}
	return dst, r.ends[:t.texts], nil
}

// blockFor returns the block of an ordinal, which often is the one that r has.
func (t *Texts) blockFor(ordinal uint32, r *TextReader) int {
	if r.seg == t.seg && ordinal-r.from < r.rows {
		return r.block
	}
	return t.Block(ordinal)
}

// Open reads all rows of a block, if r doesn't hold them. Bytes has them.
func (t *Texts) Open(block int, r *TextReader) error {
	if r.seg != t.seg || r.block != block {
		if err := t.load(block, r); err != nil {
			return err
		}
	}
	if r.whole {
		return nil
	}
	r.buf, r.index = r.buf[:0], append(r.index[:0], 0)
	for row := range int(r.rows) {
		var ok bool
		if r.buf, r.index, ok = r.decodeRow(r.buf, row, r.index); !ok {
			r.seg = nil
			return t.malformedBlock(block)
		}
	}
	r.whole = true
	return nil
}

func (t *Texts) malformedBlock(block int) error {
	offset, length := t.place(block)
	return t.seg.damage(offset, max(1, length), "malformed text block")
}

// Bytes returns the texts of all rows of the block that was opened last, one behind
// the other. What is not in them is in no row of the block.
func (r *TextReader) Bytes() []byte {
	if r.seg == nil || !r.whole || len(r.index) == 0 {
		return nil
	}
	return r.buf[r.index[0]:]
}

// load makes r the reader of a block, which is verified and, if it has to be as a
// whole, decompressed.
func (t *Texts) load(block int, r *TextReader) error {
	r.seg = nil
	from, to := t.Range(block)
	r.from, r.rows, r.block = from, to-from, block
	if t.texts == 0 {
		r.whole, r.texts, r.buf, r.index = true, 0, r.buf[:0], append(r.index[:0], 0)
		r.seg = t.seg
		return nil
	}
	content, method, size, err := t.content(block)
	if err != nil {
		return err
	}
	r.blocks++
	r.read += int64(blockHeader + len(content))
	if method == methodPhrases {
		err = t.loadPhrases(block, r, content, size)
	} else {
		err = t.loadWhole(block, r, content, method, size)
	}
	if err == nil {
		r.seg = t.seg
	}
	return err
}

// content returns the content of a block, whose checksum is right.
func (t *Texts) content(block int) (content []byte, method byte, size int, err error) {
	if uint(block) >= uint(t.blocks) {
		return nil, 0, 0, t.seg.malformed(sectionTextBlocks, 0)
	}
	offset, length := t.place(block)
	if length < blockHeader {
		return nil, 0, 0, t.seg.malformed(sectionTextOffsets, 0)
	}
	b := t.seg.data[offset : offset+length]
	if binary.LittleEndian.Uint32(b) != checksum(b[4:]) {
		return nil, 0, 0, t.seg.damage(offset, length, "checksum mismatch in a text block")
	}
	n := binary.LittleEndian.Uint32(b[4:])
	// What is made of n bytes is at most some ten thousand times n.
	if b[8] > methodPhrases || n > maxBlock || uint64(n) > 1<<12+uint64(length)<<16 {
		return nil, 0, 0, t.malformedBlock(block)
	}
	return b[blockHeader:], b[8], int(n), nil
}

// loadWhole reads a block of methodStored or methodZstd.
func (t *Texts) loadWhole(block int, r *TextReader, content []byte, method byte, size int) error {
	r.whole = true
	if method == methodStored {
		r.buf = append(r.buf[:0], content...)
	} else {
		decoder, err := t.zstd.get(newDecoder)
		if err != nil {
			return err
		}
		if cap(r.buf) < size {
			r.buf = make([]byte, 0, size+size/4)
		}
		out, err := decoder.DecodeAll(content, r.buf[:0:size])
		if err != nil || len(out) != size || size > 0 && &out[0] != &r.buf[:1][0] {
			return t.malformedBlock(block)
		}
		r.buf = r.buf[:size]
	}
	if !r.parse() {
		return t.malformedBlock(block)
	}
	return nil
}

// loadPhrases reads what stands in front of the streams of a block of methodPhrases.
func (t *Texts) loadPhrases(block int, r *TextReader, content []byte, size int) error {
	src := t.source(block)
	phrases, err := t.table(src)
	if err != nil {
		return err
	}
	r.whole, r.phrases, r.size = false, phrases, size
	texts, n := uvarint(content)
	if n == 0 || texts > MaxTexts {
		return t.malformedBlock(block)
	}
	r.texts, content = texts, content[n:]
	r.streams = append(r.streams[:0], 0)
	total := 0
	for range r.rows {
		v, n := uvarint(content)
		if n == 0 || v > len(content)-n {
			return t.malformedBlock(block)
		}
		total += v
		content = content[n:]
		r.streams = append(r.streams, uint32(total))
	}
	if total != len(content) {
		return t.malformedBlock(block)
	}
	if r.content = content; cap(content)-total < slack {
		r.content = slices.Concat(content, make([]byte, slack))
	}
	r.content = r.content[:total+slack]
	return nil
}

// decodeRow appends the texts of a row to dst, and to ends the length of dst behind each.
func (r *TextReader) decodeRow(dst []byte, row int, ends []uint32) ([]byte, []uint32, bool) {
	return r.phrases.decode(dst, r.content[r.streams[row]:r.streams[row+1]+slack], r.texts, r.size, ends)
}

// parse reads the lengths at the front of a block:
//
//	number of texts of each row; the length of each text of each row; the texts
func (r *TextReader) parse() bool {
	b := r.buf
	texts, n := uvarint(b)
	if n == 0 || texts > MaxTexts {
		return false
	}
	b = b[n:]
	r.texts, r.index = texts, r.index[:0]
	total := 0
	for range int(r.rows) * texts {
		length, n := uvarint(b)
		if n == 0 || length > len(b)-n {
			return false
		}
		r.index = append(r.index, uint32(total))
		total += length
		b = b[n:]
	}
	r.index = append(r.index, uint32(total))
	if total != len(b) {
		return false
	}
	first := uint32(len(r.buf) - len(b))
	for i := range r.index {
		r.index[i] += first
	}
	return true
}

// place returns where a block lies in the file.
func (t *Texts) place(block int) (offset, length int64) {
	from, to := t.ends.value(block), t.ends.value(block+1)
	if from > to || to > uint64(len(t.data)) {
		return t.offset, 0
	}
	return t.offset + int64(from), int64(to - from)
}
