package digest

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/gzip"
)

// Summary is what a digest says of a trace file, computed from the stored file.
type Summary struct {
	Size   int64             // stored bytes
	SHA256 [sha256.Size]byte // of the stored bytes
	MD5    [md5.Size]byte    // of the stored bytes
	Count  int64             // traces
	Root   [sha256.Size]byte // Merkle root over the traces, see [Tree]
}

// Summarize reads a stored trace file, a JSON array compressed with gzip or as it is, to
// its end. A content that is not such an array, or has an element of more than 1 MiB and
// some slack, is [ErrInvalid]; an error of r is returned as it is. It needs about 200 KiB
// and the largest element.
func Summarize(r io.Reader) (Summary, error) {
	s := newSummarizer()
	sum, fault, err := s.run(r, true, nil)
	if err == nil && fault != nil {
		err = fmt.Errorf("%w: %w", ErrInvalid, fault)
	}
	return sum, err
}

// summarizer is a Summarize that keeps its buffers from file to file.
type summarizer struct {
	source   sourceReader
	buffered *bufio.Reader
	unzip    *gzip.Reader
	elements *elements
	tree     Tree
}

// The sizes of a summarizer's buffers. One buffer holds many traces, so that few of them
// are moved when more is read.
const (
	sourceBuffer  = 64 << 10
	elementBuffer = 128 << 10
)

func newSummarizer() *summarizer {
	return &summarizer{
		source:   sourceReader{sha: sha256.New(), md5: md5.New()},
		buffered: bufio.NewReaderSize(nil, sourceBuffer),
		elements: newElements(elementBuffer),
	}
}

// run reads a file to its end. Size and hashes are right whenever err, which is the
// reader's, is nil; fault says what is wrong with the content, and count and root are of
// no use then. Every trace is shown to visit, which may stop it with an error that becomes
// the fault.
func (s *summarizer) run(r io.Reader, withMD5 bool, visit func(leaf []byte) error) (sum Summary, fault, err error) {
	s.source.reset(r, withMD5)
	s.buffered.Reset(&s.source)
	s.tree.Reset()
	fault = s.split(visit)
	if _, drained := io.Copy(io.Discard, s.buffered); drained != nil && s.source.err == nil {
		fault = errors.Join(fault, drained)
	}
	sum = Summary{Size: s.source.n, Count: s.tree.Len(), Root: s.tree.Root()}
	s.source.sha.Sum(sum.SHA256[:0])
	if withMD5 {
		s.source.md5.Sum(sum.MD5[:0])
	}
	return sum, fault, s.source.err
}

// split adds the traces to the tree.
func (s *summarizer) split(visit func(leaf []byte) error) error {
	content, err := s.content()
	if err != nil {
		return err
	}
	s.elements.reset(content)
	for {
		leaf, err := s.elements.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.tree.Add(leaf)
		if visit == nil {
			continue
		}
		if err := visit(leaf); err != nil {
			return err
		}
	}
}

// content returns what is stored, uncompressed.
func (s *summarizer) content() (io.Reader, error) {
	begin, _ := s.buffered.Peek(2) // of what is shorter the splitter says what is wrong
	if !bytes.Equal(begin, []byte{0x1f, 0x8b}) {
		return s.buffered, nil
	}
	if s.unzip != nil {
		return s.unzip, s.unzip.Reset(s.buffered)
	}
	unzip, err := gzip.NewReader(s.buffered)
	if err == nil {
		s.unzip = unzip
	}
	return unzip, err
}

// sourceReader hashes what passes, and remembers an error of its reader, to tell it from
// a fault of the content.
type sourceReader struct {
	r       io.Reader
	sha     hash.Hash
	md5     hash.Hash
	withMD5 bool
	n       int64
	err     error
}

func (s *sourceReader) reset(r io.Reader, withMD5 bool) {
	s.r, s.withMD5, s.n, s.err = r, withMD5, 0, nil
	s.sha.Reset()
	s.md5.Reset()
}

// Read implements io.Reader.
func (s *sourceReader) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.n += int64(n)
	_, _ = s.sha.Write(p[:n])
	if s.withMD5 {
		_, _ = s.md5.Write(p[:n])
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
