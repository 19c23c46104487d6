package cts

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	stdhash "hash"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"golang.org/x/sync/errgroup"

	"github.com/cloudtraceservice/cts/digest"
)

// A trace file is compressed in parts while its traces are read, by several goroutines,
// so that a cycle of one large file keeps all of them busy too and only the compressed
// bytes are held; that the parts know nothing of each other costs about one percent of
// the size. The parts are DEFLATE blocks (RFC 1951), every part but the last ended
// by an empty stored block that brings it to a byte boundary; behind a header and before
// a trailer they are one gzip member (RFC 1952). Where a part ends depends on the content
// alone, so that the same content gives the same bytes.

// partBytes is the length of content from which on a part is compressed.
const partBytes = 256 << 10

// The content that is in no part yet is in chunks, the first ones of a file small, for
// there may be many files and few traces in each. Full chunks are used again, and none
// grows: a buffer that does is copied again and again while it fills.
const (
	firstChunk = 4 << 10
	fullChunk  = 64 << 10
)

// gzipHeader has neither name nor time.
var gzipHeader = [...]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// packer compresses for a Dumper. It keeps what can be used again.
type packer struct {
	workers int
	chunks  sync.Pool // of *[fullChunk]byte
	zippers sync.Pool // of *zipper
}

// zipper is a compressor with the room for what it writes.
type zipper struct {
	level int
	w     *flate.Writer
	b     bytes.Buffer
}

// packing compresses the files of one window. It must be waited for before what it
// made is read, and before it is given up.
type packing struct {
	*packer
	level int
	group errgroup.Group
	err   error // of what was done without the group
}

func (p *packer) begin(level int) *packing {
	g := &packing{packer: p, level: level}
	g.group.SetLimit(p.workers)
	return g
}

// wait returns when all parts are compressed.
func (p *packing) wait() error { return errors.Join(p.err, p.group.Wait()) }

// pack compresses content into a part, now or soon. It blocks while all workers are
// busy. The content is the packing's from now on.
func (p *packing) pack(content pieces, last bool) *filePart {
	part := &filePart{}
	work := func() error {
		data, err := p.deflate(content, last)
		part.data = pieces{data}
		p.recycle(content)
		return err
	}
	if p.workers > 1 {
		p.group.Go(work)
	} else if err := work(); err != nil {
		p.err = err
	}
	return part
}

// deflate compresses content independently of what came before.
func (p *packing) deflate(content pieces, last bool) ([]byte, error) {
	z, _ := p.zippers.Get().(*zipper)
	if z == nil || z.level != p.level {
		z = &zipper{level: p.level}
		var err error
		if z.w, err = flate.NewWriter(&z.b, p.level); err != nil {
			return nil, err
		}
	}
	z.b.Reset()
	z.w.Reset(&z.b)
	var err error
	for _, chunk := range content {
		if _, err = z.w.Write(chunk); err != nil {
			break
		}
	}
	switch {
	case err != nil:
	case last:
		err = z.w.Close()
	default:
		err = z.w.Flush()
	}
	if err != nil {
		return nil, err
	}
	data := bytes.Clone(z.b.Bytes())
	p.zippers.Put(z)
	return data, nil
}

// chunk returns room for content that has so many bytes already.
func (p *packer) chunk(before int64) []byte {
	if size := max(firstChunk, 2*before); size < fullChunk {
		return make([]byte, 0, size)
	}
	if c, _ := p.chunks.Get().(*[fullChunk]byte); c != nil {
		return c[:0]
	}
	return make([]byte, 0, fullChunk)
}

// recycle takes chunks back that nobody reads any more.
func (p *packer) recycle(chunks pieces) {
	for _, c := range chunks {
		if cap(c) == fullChunk {
			p.chunks.Put((*[fullChunk]byte)(c[:fullChunk]))
		}
	}
}

// filePart is a part of a trace file as it is stored.
type filePart struct{ data pieces }

// traceFile is a trace file being built: a JSON array on one line.
type traceFile struct {
	group

	plain  bool         // not compressed
	pack   *packing     // that compresses
	tree   *digest.Tree // over its traces; nil if nobody wants to know
	open   pieces       // the content that is in no part yet
	length int          // of that
	parts  []*filePart
	traces int
	bytes  int64 // of the content, those of open too
	oldest int64 // earliest record time
	hash   stdhash.Hash
	crc    uint32
	closed bool
}

func newTraceFile(g group, plain, sealed bool, pack *packing) *traceFile {
	f := &traceFile{group: g, plain: plain, pack: pack, hash: sha256.New()}
	if sealed {
		f.tree = new(digest.Tree)
	}
	return f
}

// add appends a trace.
func (f *traceFile) add(json []byte, recordTime int64) {
	separator := byte(',')
	if f.traces == 0 {
		separator = '['
	}
	f.write(separator, json)
	if f.tree != nil {
		f.tree.Add(json)
	}
	if f.traces++; f.traces == 1 || recordTime < f.oldest {
		f.oldest = recordTime
	}
	if f.length >= partBytes {
		f.part(false)
	}
}

// write appends a byte and more to the content.
func (f *traceFile) write(first byte, more []byte) {
	last := f.room()
	f.open[last] = append(f.open[last], first)
	f.length += 1 + len(more)
	f.bytes += 1 + int64(len(more))
	for len(more) > 0 {
		last = f.room()
		chunk := f.open[last]
		n := min(len(more), cap(chunk)-len(chunk))
		f.open[last] = append(chunk, more[:n]...)
		more = more[n:]
	}
}

// room returns which chunk is the last; there is room in it.
func (f *traceFile) room() int {
	last := len(f.open) - 1
	if last < 0 || len(f.open[last]) == cap(f.open[last]) {
		f.open = append(f.open, f.pack.chunk(f.bytes))
		last++
	}
	return last
}

// part makes a part of what is open.
func (f *traceFile) part(last bool) {
	for _, chunk := range f.open {
		_, _ = f.hash.Write(chunk) // a hash never fails
		if !f.plain {
			f.crc = crc32.Update(f.crc, crc32.IEEETable, chunk)
		}
	}
	if f.plain {
		f.parts = append(f.parts, &filePart{data: f.open})
	} else {
		f.parts = append(f.parts, f.pack.pack(f.open, last))
	}
	f.open, f.length = nil, 0
}

// finish closes the array and returns the hash of the content.
func (f *traceFile) finish() (sum [sha256.Size]byte) {
	if !f.closed {
		f.write(']', nil)
		f.part(true)
		f.closed = true
	}
	return [sha256.Size]byte(f.hash.Sum(nil))
}

// object returns the file as it is stored. Its packing was waited for.
func (f *traceFile) object() pieces {
	var all pieces
	if !f.plain {
		all = append(all, gzipHeader[:])
	}
	for _, p := range f.parts {
		all = append(all, p.data...)
	}
	if !f.plain {
		trailer := binary.LittleEndian.AppendUint32(nil, f.crc)
		all = append(all, binary.LittleEndian.AppendUint32(trailer, uint32(f.bytes))) // modulo 2^32, as RFC 1952 says
	}
	return all
}

// pieces is the content of an object, one piece behind another.
type pieces [][]byte

func (p pieces) size() (n int64) {
	for _, piece := range p {
		n += int64(len(piece))
	}
	return n
}

// sums returns the hashes of the content; that of MD5 only if it is wanted.
func (p pieces) sums(wantMD5 bool) (sum [sha256.Size]byte, legacy [md5.Size]byte) {
	hash := sha256.New()
	for _, piece := range p {
		_, _ = hash.Write(piece)
	}
	hash.Sum(sum[:0])
	if wantMD5 {
		hash = md5.New()
		for _, piece := range p {
			_, _ = hash.Write(piece)
		}
		hash.Sum(legacy[:0])
	}
	return sum, legacy
}

// piecesReader reads pieces. It implements io.ReadSeeker.
type piecesReader struct {
	pieces pieces
	at     int64 // in the whole
	piece  int   // the piece at that place
	begin  int64 // where that begins
}

// Read implements io.Reader.
func (r *piecesReader) Read(b []byte) (int, error) {
	for r.piece < len(r.pieces) {
		if rest := r.pieces[r.piece][r.at-r.begin:]; len(rest) > 0 {
			n := copy(b, rest)
			r.at += int64(n)
			return n, nil
		}
		r.begin += int64(len(r.pieces[r.piece]))
		r.piece++
	}
	return 0, io.EOF
}

// Seek implements io.Seeker.
func (r *piecesReader) Seek(offset int64, whence int) (int64, error) {
	size := r.pieces.size()
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += size
	}
	if whence < io.SeekStart || whence > io.SeekEnd || offset < 0 || offset > size {
		return 0, errors.New("cts: seek outside of a trace file")
	}
	r.at, r.piece, r.begin = offset, 0, 0
	for r.piece < len(r.pieces) && r.begin+int64(len(r.pieces[r.piece])) <= offset {
		r.begin += int64(len(r.pieces[r.piece]))
		r.piece++
	}
	return offset, nil
}
