package segment

import (
	"encoding/binary"
	"sort"

	"github.com/klauspost/compress/zstd"
)

// The methods of text blocks.
const (
	methodStored  = 0
	methodZstd    = 1
	methodPhrases = 2
)

const (
	// blockHeader is the length of what stands in front of a block's content: its
	// checksum, the length of its texts (with lengths in front, but for methodPhrases),
	// the method.
	blockHeader = 4 + 4 + 1
	// maxBlock is the most bytes of the texts of a block.
	maxBlock = 2*MaxText + 1<<20
)

// Texts reads the texts of a segment, which lie in blocks of rows whose ordinals
// follow each other.
type Texts struct {
	seg     *Segment
	texts   int
	blocks  int
	data    []byte
	offset  int64 // of data in the file
	ends    frames
	rows    frames
	sources []source
	zstd    lazy[zstd.Decoder]
}

// source says which dictionary of phrases the blocks from some block on need.
type source struct {
	block   uint32
	index   uint32 // of the dictionary; 0 is none
	dict    []byte
	phrases *lazy[phraseTable]
}

// Texts returns the reader of texts. The first call reads and verifies the directory
// of blocks. The blocks are verified each time they are read.
func (s *Segment) Texts() (*Texts, error) { return s.texts.get(s.makeTexts) }

func (s *Segment) makeTexts() (*Texts, error) {
	t := &Texts{seg: s, texts: s.foot.info.Schema.Texts}
	if t.texts == 0 {
		return t, nil
	}
	var parts [4][]byte
	for i, kind := range [...]int{sectionTextBlocks, sectionTextOffsets, sectionTextRows, sectionTextSources} {
		b, err := s.section(kind, 0)
		if err != nil {
			return nil, err
		}
		if b == nil {
			return nil, s.malformed(kind, 0)
		}
		parts[i] = b
	}
	t.data, t.offset = parts[0], s.foot.sections[s.lookup(sectionTextBlocks, 0)].offset
	if len(parts[3]) < 4 {
		return nil, s.malformed(sectionTextSources, 0)
	}
	blocks := binary.LittleEndian.Uint32(parts[3])
	if blocks == 0 || int64(blocks) > int64(s.Rows()) {
		return nil, s.malformed(sectionTextSources, 0)
	}
	t.blocks = int(blocks)
	offsets, ok := parseFrames(parts[1], t.blocks+1)
	if !ok {
		return nil, s.malformed(sectionTextOffsets, 0)
	}
	rows, ok := parseFrames(parts[2], t.blocks+1)
	if !ok {
		return nil, s.malformed(sectionTextRows, 0)
	}
	t.ends, t.rows = offsets, rows
	if t.rows.value(0) != 0 || t.rows.value(t.blocks) != uint64(s.Rows()) {
		return nil, s.malformed(sectionTextRows, 0)
	}
	err := t.loadSources(parts[3][4:], func(index int) ([]byte, error) { return s.section(sectionDictionary, index) })
	return t, err
}

// loadSources reads the list of sources: for each the first block and the index of
// its dictionary, which the function returns.
func (t *Texts) loadSources(b []byte, dictionary func(index int) ([]byte, error)) error {
	tables := map[uint32]*lazy[phraseTable]{}
	for ; len(b) >= 8; b = b[8:] {
		src := source{block: binary.LittleEndian.Uint32(b), index: binary.LittleEndian.Uint32(b[4:])}
		if len(t.sources) == 0 && src.block != 0 || len(t.sources) > 0 && src.block <= t.sources[len(t.sources)-1].block {
			return t.seg.malformed(sectionTextSources, 0)
		}
		if src.index > 0 {
			dict, err := dictionary(int(src.index))
			if err != nil {
				return err
			}
			if dict == nil {
				return t.seg.malformed(sectionDictionary, int(src.index))
			}
			src.dict = dict
		}
		if tables[src.index] == nil {
			tables[src.index] = new(lazy[phraseTable])
		}
		src.phrases = tables[src.index]
		t.sources = append(t.sources, src)
	}
	if len(b) != 0 || len(t.sources) == 0 {
		return t.seg.malformed(sectionTextSources, 0)
	}
	return nil
}

// Blocks returns the number of blocks.
func (t *Texts) Blocks() int { return t.blocks }

// Block returns the block of an ordinal.
func (t *Texts) Block(ordinal uint32) int {
	// Blocks are nearly of one size, so that the place can be guessed.
	rows := uint64(t.seg.Rows())
	lo, hi := 0, t.blocks
	guess := int(uint64(ordinal) * uint64(t.blocks) / rows)
	for step := 1; lo < hi && guess >= lo && guess < hi; step *= 2 {
		from, to := t.Range(guess)
		switch {
		case ordinal < from:
			hi = guess
			guess -= step
		case ordinal >= to:
			lo = guess + 1
			guess += step
		default:
			return guess
		}
	}
	b := lo + sort.Search(hi-lo, func(b int) bool { return t.rows.value(lo+b+1) > uint64(ordinal) })
	return max(0, min(b, t.blocks-1))
}

// Range returns the ordinals from to to-1 of a block.
func (t *Texts) Range(block int) (from, to uint32) {
	limit := uint64(t.seg.Rows())
	f, e := min(limit, t.rows.value(block)), min(limit, t.rows.value(block+1))
	return uint32(f), uint32(max(f, e))
}

// source returns the source of a block.
func (t *Texts) source(block int) *source {
	i := sort.Search(len(t.sources), func(i int) bool { return int(t.sources[i].block) > block })
	return &t.sources[max(0, i-1)]
}

// newDecoder returns a decoder that many goroutines may use.
func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(4), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxBlock), zstd.WithDecodeAllCapLimit(true), zstd.IgnoreChecksum(true))
}

// table returns the phrases of a source.
func (t *Texts) table(src *source) (*phraseTable, error) {
	return src.phrases.get(func() (*phraseTable, error) {
		p, ok := openDictionary(src.dict)
		if !ok {
			return nil, t.seg.malformed(sectionDictionary, int(src.index))
		}
		return p, nil
	})
}

// Dictionary returns the last dictionary of phrases that the texts are written with,
// for Options.Dictionary, and nil if there is none.
func (t *Texts) Dictionary() []byte {
	for i := len(t.sources) - 1; i >= 0; i-- {
		if d := t.sources[i].dict; d != nil {
			return d
		}
	}
	return nil
}
