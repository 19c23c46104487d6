package segment

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// The frame of a file.
const (
	magic      = "ctsseg\r\n"
	version    = 1
	headerSize = 32
	tailSize   = 32
	alignment  = 8

	// chunkSize is the number of bytes of a section that have one checksum.
	chunkSize = 64 << 10
)

// The kinds of sections.
const (
	sectionTimes       = 1 // sorted: time less the least, by row
	sectionRecords     = 2 // frames: record less time, by row
	sectionRows        = 3 // frames: row less ordinal, by ordinal
	sectionOrdinals    = 4 // frames: ordinal less row, by row
	sectionPositions   = 5 // sorted: position less the first, by ordinal
	sectionCodes       = 16
	sectionValues      = 17
	sectionPostings    = 18
	sectionHashes      = 19
	sectionFilter      = 20
	sectionTextBlocks  = 32
	sectionTextOffsets = 33
	sectionTextRows    = 34
	sectionTextSources = 35
	sectionDictionary  = 36
	sectionWords       = 37
	sectionWordBits    = 38
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// section is an entry of the directory of sections.
type section struct {
	kind, column   int
	offset, length int64
	sums           []byte // four bytes for each chunk; nil if the section checks itself
}

// hasSums says whether the chunks of a section have checksums in the directory.
// Text blocks carry their own.
func (s *section) hasSums() bool { return s.kind != sectionTextBlocks }

// footer is all that stands in the footer.
type footer struct {
	info     Info
	columns  []columnInfo
	sections []section
}

// columnInfo describes the stored form of a column.
type columnInfo struct {
	kind     Kind
	length   int    // of the dictionary
	constant string // the value, if kind is Const
}

func appendHeader(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint32(dst, version)
	dst = append(dst, make([]byte, headerSize-len(magic)-8)...)
	return binary.LittleEndian.AppendUint32(dst, checksum(dst[at:]))
}

func (f *footer) append(dst []byte) []byte {
	i := &f.info
	for _, v := range []uint64{
		uint64(i.Rows), i.FirstPosition, i.LastPosition, uint64(i.MinTime), uint64(i.MaxTime),
		uint64(i.MinRecord), uint64(i.MaxRecord), uint64(i.RawBytes), uint64(i.TextBytes),
	} {
		dst = binary.LittleEndian.AppendUint64(dst, v)
	}
	dst = binary.AppendUvarint(dst, uint64(i.Schema.Texts))
	dst = binary.AppendUvarint(dst, uint64(len(f.columns)))
	for k, c := range f.columns {
		s := i.Schema.Columns[k]
		dst = binary.AppendUvarint(dst, uint64(len(s.Name)))
		dst = append(dst, s.Name...)
		dst = append(dst, bitIf(s.Find, 1)|bitIf(s.ID, 2), byte(c.kind))
		dst = binary.AppendUvarint(dst, uint64(c.length))
		if c.kind == Const {
			dst = binary.AppendUvarint(dst, uint64(len(c.constant)))
			dst = append(dst, c.constant...)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(f.sections)))
	for _, s := range f.sections {
		dst = append(dst, byte(s.kind))
		dst = binary.AppendUvarint(dst, uint64(s.column))
		dst = binary.AppendUvarint(dst, uint64(s.offset))
		dst = binary.AppendUvarint(dst, uint64(s.length))
		dst = append(dst, s.sums...)
	}
	return dst
}

func bitIf(on bool, bit byte) byte {
	if on {
		return bit
	}
	return 0
}

// appendTail appends the last bytes of a file whose footer begins at an offset.
func appendTail(dst, foot []byte, offset int64) []byte {
	at := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(offset))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(foot)))
	dst = binary.LittleEndian.AppendUint32(dst, checksum(foot))
	dst = binary.LittleEndian.AppendUint32(dst, checksum(dst[at:]))
	return append(dst, magic...)
}

// parser takes a footer apart. After a fault all it returns is zero.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) bytes(n uint64) []byte {
	if p.bad || n > uint64(len(p.b)) {
		p.bad = true
		return nil
	}
	b := p.b[:n]
	p.b = p.b[n:]
	return b
}

func (p *parser) byte() byte {
	if b := p.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) uint64() uint64 {
	if b := p.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// uvarint reads a number that is at most limit.
func (p *parser) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(p.b)
	if p.bad || n <= 0 || v > limit {
		p.bad = true
		return 0
	}
	p.b = p.b[n:]
	return v
}

// parseFooter reads a footer that begins at an offset of the file.
func parseFooter(b []byte, offset int64) (*footer, bool) {
	p := parser{b: b}
	f := &footer{}
	i := &f.info
	rows := p.uint64()
	i.FirstPosition, i.LastPosition = p.uint64(), p.uint64()
	i.MinTime, i.MaxTime = int64(p.uint64()), int64(p.uint64())
	i.MinRecord, i.MaxRecord = int64(p.uint64()), int64(p.uint64())
	i.RawBytes, i.TextBytes = int64(p.uint64()), int64(p.uint64())
	i.Schema.Texts = int(p.uvarint(MaxTexts))
	if p.bad || rows == 0 || rows > MaxRows || i.LastPosition-i.FirstPosition < rows-1 || i.LastPosition < i.FirstPosition {
		return nil, false
	}
	i.Rows = int(rows)
	p.columns(f)
	p.sections(f, offset)
	return f, !p.bad && len(p.b) == 0
}

func (p *parser) columns(f *footer) {
	for range p.uvarint(MaxColumns) {
		var s Column
		var c columnInfo
		s.Name = string(p.bytes(p.uvarint(math.MaxUint8)))
		flags := p.byte()
		s.Find, s.ID = flags&1 != 0, flags&2 != 0
		c.kind = Kind(p.byte())
		c.length = int(p.uvarint(MaxRows))
		if c.kind == Const {
			c.constant = string(p.bytes(p.uvarint(MaxValue)))
		}
		if p.bad || c.kind > Unique || flags > 3 || c.length == 0 || c.length > f.info.Rows || s.Name == "" ||
			c.kind == Const && c.length != 1 || c.kind == Unique && c.length != f.info.Rows {
			p.bad = true
			return
		}
		f.info.Schema.Columns = append(f.info.Schema.Columns, s)
		f.columns = append(f.columns, c)
	}
}

func (p *parser) sections(f *footer, end int64) {
	last := int64(headerSize)
	for range p.uvarint(math.MaxUint32) {
		s := section{kind: int(p.byte()), column: int(p.uvarint(math.MaxUint16))}
		s.offset = int64(p.uvarint(uint64(end)))
		s.length = int64(p.uvarint(uint64(end)))
		if p.bad || s.offset < last || s.offset >= last+alignment || s.offset%alignment != 0 || s.length > end-s.offset {
			p.bad = true
			return
		}
		if s.hasSums() {
			s.sums = p.bytes(uint64((s.length + chunkSize - 1) / chunkSize * 4))
		}
		last = s.offset + s.length
		f.sections = append(f.sections, s)
	}
	if end < last || end >= last+alignment || end%alignment != 0 {
		p.bad = true
	}
}
