package dirobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/obs"
)

// Get implements [obs.Client].
func (c *Client) Get(ctx context.Context, key string) (io.ReadCloser, obs.Object, error) {
	return c.GetRange(ctx, key, 0, -1)
}

// GetRange implements [obs.Client].
func (c *Client) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, obs.Object, error) {
	f, o, err := c.open(ctx, key)
	if err != nil {
		return nil, obs.Object{}, fail("get", key, err)
	}
	if offset < 0 {
		err := fmt.Errorf("%w: offset %d is negative", obs.ErrInvalid, offset)
		return nil, obs.Object{}, fail("get", key, errors.Join(err, f.Close()))
	}
	offset = min(offset, o.Size)
	if length < 0 || length > o.Size-offset {
		length = o.Size - offset
	}
	r := &reader{ctx: ctx, key: key, f: f, part: io.NewSectionReader(f, offset, length)}
	return r, o, nil
}

// reader reads a part of a file.
type reader struct {
	ctx  context.Context
	key  string
	f    vfs.File
	part *io.SectionReader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, fail("get", r.key, err)
	}
	n, err := r.part.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fail("get", r.key, err)
	}
	return n, err
}

func (r *reader) Close() error {
	if err := r.f.Close(); err != nil {
		return fail("get", r.key, err)
	}
	return nil
}

// Head implements [obs.Client].
func (c *Client) Head(ctx context.Context, key string) (obs.Object, error) {
	f, o, err := c.open(ctx, key)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return obs.Object{}, fail("head", key, err)
	}
	return o, nil
}

// open opens an object and finds its record. The caller closes the file.
func (c *Client) open(ctx context.Context, key string) (vfs.File, obs.Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, obs.Object{}, err
	}
	path, err := objectPath(key)
	if err != nil {
		return nil, obs.Object{}, err
	}
	for range maxAttempts {
		f, o, stable, err := c.openOnce(ctx, path, key)
		if err != nil {
			return nil, obs.Object{}, err
		}
		if stable {
			return f, o, nil
		}
		if err := f.Close(); err != nil {
			return nil, obs.Object{}, err
		}
	}
	return nil, obs.Object{}, errors.New("the object was replaced again and again while it was opened; try again")
}

// openOnce opens the file at path and finds the record for it. If after that
// another file has the path, the record may have been removed with the one
// opened, or be one of the other with the same size and time, and it reports
// that the result is not stable: while the file opened is the one at the path,
// its record is there.
func (c *Client) openOnce(ctx context.Context, path, key string) (_ vfs.File, o obs.Object, stable bool, err error) {
	if _, err := c.checkObject(path); err != nil {
		return nil, o, false, err
	}
	f, err := c.fs.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, o, false, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, o, false, err
	}
	if !info.Mode().IsRegular() {
		return nil, o, false, obs.ErrNotExist
	}
	records, err := c.records(path, key)
	if err != nil {
		return nil, o, false, err
	}
	r, sum, err := match(f, info, records, copyContext(ctx))
	if err != nil {
		return nil, o, false, err
	}
	now, err := c.fs.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, o, false, err
	}
	return f, object(key, info, r, sum), err == nil && sameFile(info, now), nil
}

// sameFile reports whether two descriptions are of one file with one content,
// by its identity where the file system has one.
func sameFile(a, b fs.FileInfo) bool {
	if a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()) {
		return false
	}
	return os.SameFile(a, b) || a.Sys() == nil && b.Sys() == nil
}

// copier copies all of a reader to a writer.
type copier func(w io.Writer, r io.Reader) (int64, error)

// copyContext returns a copier that stops when the context ends.
func copyContext(ctx context.Context) copier {
	return func(w io.Writer, r io.Reader) (int64, error) {
		return io.CopyBuffer(struct{ io.Writer }{w}, ctxReader{ctx, r}, make([]byte, 128<<10))
	}
}

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
