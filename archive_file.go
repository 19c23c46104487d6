package cts

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"

	"github.com/cloudtraceservice/cts/obs"
)

// dumpReader reads trace files, one after the other, and yields what is wanted.
type dumpReader struct {
	ctx      context.Context
	bucket   obs.Client
	trustExt bool
	want     dumpFilter
	yield    func(DumpedTrace, error) bool
	left     bool // the caller left, or the context ended

	// Kept from file to file.
	in    *bufio.Reader
	unzip *gzip.Reader
}

// read yields the traces of one file and what is wrong with it. It returns false when
// the reading ends, by the caller's wish or the context's.
func (r *dumpReader) read(file dumpFile) bool {
	body, object, err := r.bucket.Get(r.ctx, file.key)
	if err != nil {
		return r.fail(&DumpFileError{Object: file.key, Lost: true, Err: err})
	}
	defer body.Close() //nolint:errcheck // only read from
	raw := &countedReader{r: contextReader{r.ctx, body}}
	index, whole, err := r.traces(file, raw)
	switch {
	case r.left:
		return false
	case raw.err == nil && raw.ended && raw.n < object.Size:
		raw.err = io.ErrUnexpectedEOF // the way to the store broke off, not the object
	case raw.err == nil && whole:
		return true
	}
	if raw.err != nil {
		return r.fail(&DumpFileError{Object: file.key, Index: index, Lost: true, Err: raw.err})
	}
	return r.fail(&DumpFileError{Object: file.key, Index: index, Lost: true, Damaged: true, Err: err})
}

// traces yields the traces of a file, and returns how many there were, whether that
// was all, and if not, why.
func (r *dumpReader) traces(file dumpFile, raw io.Reader) (index int, whole bool, err error) {
	content, err := r.open(raw)
	if err != nil {
		return 0, false, err
	}
	decoder := NewDecoder(content, &DecoderOptions{TrustExt: r.trustExt})
	for ; ; index++ {
		t, err := decoder.Next()
		switch {
		case decoder.err == nil:
			if r.left = !r.found(file, t, index, err); r.left {
				return index, false, nil
			}
		case !errors.Is(err, io.EOF):
			return index, false, err
		case decoder.at.offset == 0:
			return index, false, errEmptyFile
		default:
			return index, true, nil
		}
	}
}

// found yields one trace, if it is wanted, or why it can't be read.
func (r *dumpReader) found(file dumpFile, t *Trace, index int, err error) bool {
	if err != nil {
		return r.fail(&DumpFileError{Object: file.key, Index: index, Damaged: true, Err: err})
	}
	return !r.want.accepts(t, file) || r.yield(DumpedTrace{Trace: t, Object: file.key, Index: index}, nil)
}

// fail yields an error: the context's if that has ended, for then it is the reason.
func (r *dumpReader) fail(err *DumpFileError) bool {
	if ended := r.ctx.Err(); ended != nil {
		r.yield(DumpedTrace{}, ended)
		return false
	}
	return r.yield(DumpedTrace{}, err)
}

var errEmptyFile = errors.New("it is empty")

// open returns the content of a file: unzipped if it is compressed, whatever its name
// says, for a store or proxy may have unzipped it on the way.
func (r *dumpReader) open(raw io.Reader) (io.Reader, error) {
	if r.in == nil {
		r.in = bufio.NewReaderSize(raw, 64<<10)
	} else {
		r.in.Reset(raw)
	}
	switch magic, err := r.in.Peek(2); {
	case len(magic) == 0 && errors.Is(err, io.EOF):
		return nil, errEmptyFile
	case len(magic) < 2 || magic[0] != 0x1f || magic[1] != 0x8b:
		return r.in, nil // the decoder meets the error too, if there is one
	}
	if r.unzip == nil {
		r.unzip = new(gzip.Reader)
	}
	if err := r.unzip.Reset(r.in); err != nil {
		return nil, fmt.Errorf("unzipping it: %w", err)
	}
	return zipReader{r.unzip}, nil
}

// zipReader tells apart who found a fault: gzip or the decoder of traces.
type zipReader struct{ unzip *gzip.Reader }

func (z zipReader) Read(p []byte) (int, error) {
	n, err := z.unzip.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("unzipping it: %w", err)
	}
	return n, err
}

// contextReader ends with its context, also where the body behind it would not.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
