package cts

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"

	"github.com/cloudtraceservice/cts/obs"
)

// What proves that a trace file is in the bucket, in this order: the hash that the
// bucket reports of what it stored, in the answer to the put or of the object; the
// bytes read back. A writer that may not read, at a bucket that reports no hash, has
// one more: an object that was there under the name, which holds the hash of the
// content, and which the bucket says is complete.

// verify compares an object with what was sent under its key. One of an earlier try may
// have been compressed by another release; its content decides.
func (d *Dumper) verify(ctx context.Context, planned plannedFile, sent storedFile, existed bool) (storedFile, error) {
	object, err := d.bucket.Head(ctx, planned.Key)
	if err == nil && bytes.Equal(object.SHA256, sent.sha256[:]) {
		return sent, nil
	}
	if err == nil || errors.Is(err, obs.ErrDenied) {
		var same bool
		same, err = d.compare(ctx, planned.Key, sent)
		if err == nil && same {
			return sent, nil
		}
	}
	if errors.Is(err, obs.ErrDenied) && (existed || d.opts.TrustPut) {
		sent.unread = true
		return sent, nil
	}
	if err != nil {
		return storedFile{}, fmt.Errorf("reading it back: %w", err)
	}
	stored, err := d.inspect(ctx, planned)
	if errors.Is(err, ErrConflict) && !existed { // it was put just now
		err = fmt.Errorf("reading it back: %w", obs.ErrChecksum)
	}
	return stored, err
}

// compare reports whether an object has the bytes that were sent.
func (d *Dumper) compare(ctx context.Context, key string, sent storedFile) (bool, error) {
	body, _, err := d.bucket.Get(ctx, key)
	if err != nil {
		return false, err
	}
	defer body.Close() //nolint:errcheck // only read from
	hash := sha256.New()
	n, err := io.Copy(hash, io.LimitReader(body, sent.size+1))
	return n == sent.size && [sha256.Size]byte(hash.Sum(nil)) == sent.sha256, err
}

// inspect reads a planned file in the bucket, however it was compressed. An absent one
// is [obs.ErrNotExist], one with another content is [ErrConflict], if it is that twice:
// reading can go wrong too.
func (d *Dumper) inspect(ctx context.Context, planned plannedFile) (storedFile, error) {
	first, same, err := d.examine(ctx, planned)
	if err != nil || same {
		return first, err
	}
	second, same, err := d.examine(ctx, planned)
	if err != nil || same {
		return second, err
	}
	if first != second {
		return storedFile{}, fmt.Errorf("reading it back: two readings differ: %w", io.ErrUnexpectedEOF)
	}
	return storedFile{}, ErrConflict
}

// examine reads an object once, and reports whether it has the planned content.
func (d *Dumper) examine(ctx context.Context, planned plannedFile) (stored storedFile, same bool, err error) {
	body, object, err := d.bucket.Get(ctx, planned.Key)
	if err != nil {
		return stored, false, fmt.Errorf("reading it back: %w", err)
	}
	defer body.Close() //nolint:errcheck // only read from
	limit := planned.Bytes + maxOverhead
	read := &countedReader{r: io.LimitReader(body, limit)}
	sums, legacy := sha256.New(), md5.New()
	all := io.TeeReader(read, io.MultiWriter(sums, legacy))
	same = planned.isIn(all)
	_, _ = io.Copy(io.Discard, all) // what is behind the content; read keeps the error
	switch {
	case read.err != nil:
		return stored, false, fmt.Errorf("reading it back: %w", read.err)
	case read.n < min(object.Size, limit): // the way to the store broke off, not the object
		return stored, false, fmt.Errorf("reading it back: %w", io.ErrUnexpectedEOF)
	}
	stored.size = read.n
	sums.Sum(stored.sha256[:0])
	legacy.Sum(stored.md5[:0])
	return stored, same && read.n == object.Size, nil
}

// maxOverhead is more than compression ever adds to a content of up to some GiB.
const maxOverhead = 1 << 20

// isIn reports whether r yields the planned content, stored as planned.
func (f plannedFile) isIn(r io.Reader) bool {
	if !f.Plain {
		unzip, err := gzip.NewReader(r)
		if err != nil {
			return false
		}
		r = unzip
	}
	hash := sha256.New()
	n, err := io.Copy(hash, io.LimitReader(r, f.Bytes+1))
	return err == nil && n == f.Bytes && hex.EncodeToString(hash.Sum(nil)) == f.SHA256
}

// countedReader remembers how a body ended, to tell a failure of the object store
// from a fault of the object's content.
type countedReader struct {
	r     io.Reader
	n     int64
	ended bool
	err   error
}

// Read implements io.Reader.
func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if errors.Is(err, io.EOF) {
		c.ended = true
	} else if err != nil {
		c.err = err
	}
	return n, err
}
