package s3obs

import (
	"context"
	"crypto/fips140"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/cloudtraceservice/cts/obs"
)

// content is a body that was read once, and what it hashes to.
type content struct {
	body   io.ReadSeeker
	start  int64 // where the body stood
	size   int64
	sha256 [sha256.Size]byte
	parts  []part // at least one, each but the last of the part size
}

// part is a stretch of a content.
type part struct {
	offset, size int64
	sha256       [sha256.Size]byte
	md5          [md5.Size]byte // zeros in FIPS 140-3 only mode
}

// readContent reads the body to its end. Its faults are the body's own.
func readContent(ctx context.Context, body io.ReadSeeker, partSize int64) (*content, error) {
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	c := &content{body: body, start: start}
	from := ctxReader{ctx, body}
	whole := sha256.New()
	for {
		p, err := hashPart(from, partSize, whole, len(c.parts) == 0)
		if err != nil {
			return nil, err
		}
		if p.size > 0 || len(c.parts) == 0 {
			if len(c.parts) == maxParts {
				return nil, fmt.Errorf("%w: the body has more than %d parts of %d bytes: raise PartSize", obs.ErrInvalid, maxParts, partSize)
			}
			p.offset = c.size
			c.parts = append(c.parts, p)
			c.size += p.size
		}
		if p.size < partSize {
			break
		}
	}
	whole.Sum(c.sha256[:0])
	return c, ctx.Err()
}

// hashPart reads up to size bytes. The first part needs no SHA-256 of its own: it
// is what the whole hashes to so far.
func hashPart(from io.Reader, size int64, whole hash.Hash, first bool) (part, error) {
	own := sha256.New()
	to := []io.Writer{whole}
	if !first {
		to = append(to, own)
	}
	var sum hash.Hash
	if !fips140.Enforced() {
		sum = md5.New()
		to = append(to, sum)
	}
	var p part
	n, err := io.Copy(io.MultiWriter(to...), io.LimitReader(from, size))
	p.size = n
	if first {
		own = whole
	}
	own.Sum(p.sha256[:0])
	if sum != nil {
		sum.Sum(p.md5[:0])
	}
	return p, err
}

// contentMD5 is the header of a part, nil where there is no MD5.
func (p *part) contentMD5() *string {
	if fips140.Enforced() {
		return nil
	}
	text := base64.StdEncoding.EncodeToString(p.md5[:])
	return &text
}

// open returns a reader of one part.
func (c *content) open(p *part) *section {
	return &section{body: c.body, start: c.start + p.offset, size: p.size, moved: true}
}

// section is a stretch of a body. It takes the body along only when it is read, so
// that one section at a time can be in use.
type section struct {
	body        io.ReadSeeker
	start, size int64
	offset      int64 // in the section
	moved       bool  // the body is not at offset
}

// Read implements [io.Reader]. All its errors but [io.EOF] are a *bodyError.
func (s *section) Read(p []byte) (int, error) {
	if s.offset >= s.size {
		return 0, io.EOF
	}
	if s.moved {
		if _, err := s.body.Seek(s.start+s.offset, io.SeekStart); err != nil {
			return 0, &bodyError{err}
		}
		s.moved = false
	}
	n, err := s.body.Read(p[:min(int64(len(p)), s.size-s.offset)])
	s.offset += int64(n)
	switch {
	case errors.Is(err, io.EOF) && s.offset < s.size:
		return n, &bodyError{fmt.Errorf("%w: the body is shorter when it is read again", obs.ErrInvalid)}
	case errors.Is(err, io.EOF):
		return n, nil
	case err != nil:
		return n, &bodyError{err}
	}
	return n, nil
}

// Seek implements [io.Seeker].
func (s *section) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.offset
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("%w: seek before the beginning of the body", obs.ErrInvalid)
	}
	s.moved = s.moved || offset != s.offset
	s.offset = offset
	return offset, nil
}

// bodyError is the failure of a caller's body, which no repetition mends.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return e.err.Error() }

func (e *bodyError) Unwrap() error { return e.err }

// RetryableError tells the SDK's retryer not to try again.
func (e *bodyError) RetryableError() bool { return false }

// ctxReader fails once its context has ended.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
