package segment

import (
	"bytes"
	"encoding/binary"

	"github.com/klauspost/compress/zstd"
)

// largeRow is how many bytes of texts give a row a block of its own.
const largeRow = 64 << 10

// sampleBytes is how many bytes of texts are looked at to choose how to compress them.
const sampleBytes = 1 << 20

// textWriter collects texts into compressed blocks.
type textWriter struct {
	opts    Options
	texts   int
	rows    int    // of the open block
	lengths []byte // of the open block
	content []byte // of the open block

	waiting [][]byte // blocks that wait for the choice of a code
	waits   int      // bytes of them
	started bool     // the encoder is there

	words   wordWriter
	encoder *zstd.Encoder
	level   int          // of the encoder
	coder   *phraseCoder // nil: zstd alone
	dict    []byte       // that the coder, or known, was made of
	known   *phraseCoder // of the segment before
	block   TextReader   // of the block that is being written
	raw     []byte
	zstds   []byte
	out     blockList
}

// blockList is the directory of the blocks that are being written, and in a Writer
// the blocks.
type blockList struct {
	data    []byte
	ends    []int64 // of each block
	lasts   []int64 // ordinal behind each block
	sources []listSource
	dicts   [][]byte // dictionary 1, 2, …
}

type listSource struct{ block, index uint32 }

// reset makes t empty.
func (t *textWriter) reset(opts Options) {
	t.opts = opts
	t.rows, t.lengths, t.content = 0, t.lengths[:0], t.content[:0]
	t.waiting, t.waits, t.started = nil, 0, false
	t.words.reset(opts.WordBits)
	if t.coder != nil {
		t.known, t.coder = t.coder, nil
	}
	t.out = blockList{data: t.out.data[:0], ends: t.out.ends[:0], lasts: t.out.lasts[:0]}
}

func (t *textWriter) add(texts []string) error {
	size := 0
	for _, s := range texts {
		size += len(s)
	}
	if size > largeRow || t.rows > 0 && len(t.content)+size > t.opts.BlockBytes+t.opts.BlockBytes/4 {
		if err := t.flush(); err != nil {
			return err
		}
	}
	for _, s := range texts {
		t.lengths = binary.AppendUvarint(t.lengths, uint64(len(s)))
		t.content = append(t.content, s...)
	}
	t.rows++
	if t.rows == t.opts.BlockRows || len(t.content) >= t.opts.BlockBytes {
		return t.flush()
	}
	return nil
}

// flush ends the open block.
func (t *textWriter) flush() error {
	if t.rows == 0 {
		return nil
	}
	t.raw = binary.AppendUvarint(t.raw[:0], uint64(t.texts))
	t.raw = append(append(t.raw, t.lengths...), t.content...)
	last := int64(t.rows)
	if n := len(t.out.lasts); n > 0 {
		last += t.out.lasts[n-1]
	}
	t.out.lasts = append(t.out.lasts, last)
	t.rows, t.lengths, t.content = 0, t.lengths[:0], t.content[:0]
	if t.started {
		t.write(t.raw)
		return nil
	}
	t.waiting = append(t.waiting, append([]byte(nil), t.raw...))
	if t.waits += len(t.raw); t.waits >= sampleBytes {
		return t.start()
	}
	return nil
}

// start chooses how to compress, and writes the blocks that waited.
func (t *textWriter) start() error {
	if err := t.makeEncoder(); err != nil {
		return err
	}
	dict := t.phrases()
	index := uint32(0)
	if dict != nil {
		index, t.out.dicts = 1, [][]byte{dict}
	}
	t.out.sources = []listSource{{0, index}}
	t.started = true
	for _, raw := range t.waiting {
		t.write(raw)
	}
	t.waiting = nil
	return nil
}

func (t *textWriter) makeEncoder() (err error) {
	if t.encoder != nil && t.level == t.opts.Level {
		return nil
	}
	t.level = t.opts.Level
	level := [...]zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault, zstd.SpeedBetterCompression}[t.level-1]
	t.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithEncoderLevel(level), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
	return err
}

// tryBytes is how many bytes of blocks are written both ways to see which is smaller.
const tryBytes = 128 << 10

// phrases makes the coder, if texts like those that wait are smaller in its code than
// compressed with zstd, and returns the dictionary.
func (t *textWriter) phrases() []byte {
	if t.opts.NoPhrases {
		return nil
	}
	dict := t.opts.Dictionary
	if t.known != nil && bytes.Equal(dict, t.dict) {
		t.coder = t.known
		return dict
	}
	if table, ok := openDictionary(dict); ok {
		t.use(newPhraseCoder(table), dict)
		return dict
	}
	blocks := make([]TextReader, len(t.waiting))
	for i, raw := range t.waiting {
		blocks[i].buf, blocks[i].rows = raw, uint32(t.rowsOf(i))
		if !blocks[i].parse() {
			return nil
		}
	}
	plain := trainPhrases(blocks)
	dict = packDictionary(plain, t.encoder)
	table, ok := parsePhrases(plain)
	if !ok || len(plain) > maxDictionary {
		return nil
	}
	coder := newPhraseCoder(table)
	tried, small, zstds := 0, 0, 0
	for i := 0; i < len(blocks) && tried < tryBytes; i++ {
		tried += len(t.waiting[i])
		small += len(coder.block(nil, &blocks[i]))
		t.raw = t.encoder.EncodeAll(t.waiting[i], t.raw[:0])
		zstds += len(t.raw)
	}
	// The dictionary counts by the share of it that these blocks have.
	cost := len(dict)
	if t.waits >= sampleBytes {
		cost /= 8
	}
	if float64(small)+float64(cost)*float64(tried)/float64(t.waits+1) > float64(zstds) {
		return nil
	}
	t.use(coder, dict)
	return dict
}

// use makes a coder that of the texts and of the word writer.
func (t *textWriter) use(coder *phraseCoder, dict []byte) {
	coder.words = newPhraseWords(coder.table, &t.words)
	t.coder, t.dict, t.known = coder, dict, nil
}

// rowsOf returns the number of rows of block i.
func (t *textWriter) rowsOf(i int) int64 {
	if i == 0 {
		return t.out.lasts[0]
	}
	return t.out.lasts[i] - t.out.lasts[i-1]
}

// write compresses a block.
func (t *textWriter) write(raw []byte) {
	at := len(t.out.data)
	b := binary.LittleEndian.AppendUint32(t.out.data, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(raw)))
	b = append(b, methodZstd)
	rows := t.rowsOf(len(t.out.ends))
	t.block.buf, t.block.rows = raw, uint32(rows)
	switch ok := t.block.parse(); {
	case ok && t.coder != nil:
		b[at+8] = methodPhrases
		b = t.coder.block(b, &t.block) // which gives the words to the word writer
	case ok:
		for i := range len(t.block.index) - 1 {
			t.words.add(bytesView(raw[t.block.index[i]:t.block.index[i+1]]))
		}
	}
	t.words.endBlock(int(rows))
	// What phrases don't make smaller by half may be large and repeat itself.
	if b[at+8] != methodPhrases || len(b)-at > len(raw)/2 {
		t.zstds = t.encoder.EncodeAll(raw, t.zstds[:0])
		if b[at+8] != methodPhrases || len(t.zstds) < len(b)-at-blockHeader {
			b[at+8] = methodZstd
			b = append(b[:at+blockHeader], t.zstds...)
		}
	}
	if len(b)-at-blockHeader >= len(raw) {
		b[at+8] = methodStored
		b = append(b[:at+blockHeader], raw...)
	}
	binary.LittleEndian.PutUint32(b[at:], checksum(b[at+4:]))
	t.out.data = b
	t.out.ends = append(t.out.ends, int64(len(b)))
}

// finish returns the blocks of all rows.
func (t *textWriter) finish() (*blockList, error) {
	if err := t.flush(); err != nil {
		return nil, err
	}
	if !t.started {
		if err := t.start(); err != nil {
			return nil, err
		}
	}
	return &t.out, nil
}

// writeDirectory writes the sections that say where the blocks are.
func (l *blockList) writeDirectory(o *output) {
	n := len(l.ends)
	at := func(list []int64) func(i int) int64 {
		return func(i int) int64 {
			if i == 0 {
				return 0
			}
			return list[i-1]
		}
	}
	o.section(sectionTextOffsets, 0, encodeFrames(n+1, at(l.ends)))
	o.section(sectionTextRows, 0, encodeFrames(n+1, at(l.lasts)))
	b := binary.LittleEndian.AppendUint32(nil, uint32(n))
	for _, s := range l.sources {
		b = binary.LittleEndian.AppendUint32(b, s.block)
		b = binary.LittleEndian.AppendUint32(b, s.index)
	}
	o.section(sectionTextSources, 0, b)
	for i, d := range l.dicts {
		o.section(sectionDictionary, i+1, d)
	}
}
