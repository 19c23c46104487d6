package s3obs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/cloudtraceservice/cts/obs"
)

// Get implements [obs.Client]. What is read is compared with the checksum that the
// store keeps, if it keeps one of the whole object: where it differs, the last Read
// returns [obs.ErrChecksum] instead of [io.EOF]. A connection that breaks while
// reading is an error of Read; GetRange goes on from there.
func (c *Client) Get(ctx context.Context, key string) (io.ReadCloser, obs.Object, error) {
	return c.GetRange(ctx, key, 0, -1)
}

// GetRange implements [obs.Client]. Parts of an object are not compared with its
// checksum. A range that is empty or beyond the end costs a second request, or is
// one of Head.
func (c *Client) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, obs.Object, error) {
	r, o, err := c.get(ctx, key, offset, length)
	if err != nil {
		return nil, obs.Object{}, &obs.Error{Op: "get", Key: key, Err: err}
	}
	return r, o, nil
}

func (c *Client) get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, obs.Object, error) {
	if err := check(ctx, key); err != nil {
		return nil, obs.Object{}, err
	}
	if offset < 0 {
		return nil, obs.Object{}, fmt.Errorf("%w: offset %d is negative", obs.ErrInvalid, offset)
	}
	if length == 0 {
		return c.getNothing(ctx, key)
	}
	in := &s3.GetObjectInput{Bucket: &c.bucket, Key: &key}
	whole := offset == 0 && length < 0
	if whole {
		in.ChecksumMode = types.ChecksumModeEnabled
	} else {
		in.Range = byteRange(offset, length)
	}
	out, err := c.s3.GetObject(ctx, in)
	switch {
	case !whole && isBeyondEnd(err):
		return c.getNothing(ctx, key)
	case err != nil:
		return nil, obs.Object{}, classify(ctx, err)
	}
	if out.ContentLength == nil {
		return nil, obs.Object{}, errors.Join(errSize, out.Body.Close())
	}
	o := obs.Object{
		Key: key, Size: *out.ContentLength, ModTime: aws.ToTime(out.LastModified).UTC(), ETag: plainETag(out.ETag),
		ContentType: aws.ToString(out.ContentType), ContentEncoding: plainEncoding(out.ContentEncoding), Metadata: nonEmpty(out.Metadata),
		SHA256: fullSHA256(out.ChecksumSHA256, out.ChecksumType),
	}
	r := &reader{ctx: ctx, key: key, body: out.Body, left: o.Size}
	if whole {
		return r, o, nil
	}
	o.SHA256 = nil // of the range or of the whole: stores differ
	if total, ok := totalSize(out.ContentRange); ok {
		o.Size = total
		return r, o, nil
	}
	// The store has sent the whole object in spite of the range.
	if err := r.cut(offset, length); err != nil {
		return nil, obs.Object{}, errors.Join(err, r.Close())
	}
	return r, o, nil
}

// getNothing describes an object of which no byte is wanted.
func (c *Client) getNothing(ctx context.Context, key string) (io.ReadCloser, obs.Object, error) {
	o, err := c.head(ctx, key)
	if err != nil {
		return nil, obs.Object{}, err
	}
	return io.NopCloser(bytes.NewReader(nil)), o, nil
}

// byteRange is the header for [offset, offset+length), or to the end where length is
// negative or reaches beyond what an int64 can say.
func byteRange(offset, length int64) *string {
	text := "bytes=" + strconv.FormatInt(offset, 10) + "-"
	if length > 0 && offset <= math.MaxInt64-length {
		text += strconv.FormatInt(offset+length-1, 10)
	}
	return &text
}

// totalSize takes the size of the object from a Content-Range such as
// "bytes 0-3/10".
func totalSize(contentRange *string) (int64, bool) {
	_, total, ok := strings.Cut(aws.ToString(contentRange), "/")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(total, 10, 64)
	return n, err == nil && n >= 0
}

// reader is the content of an object. Its errors are of type *obs.Error.
type reader struct {
	ctx  context.Context
	key  string
	body io.ReadCloser
	left int64 // bytes that the store has announced
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.left -= int64(n)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && r.left > 0:
		err = io.ErrUnexpectedEOF
	case errors.Is(err, io.EOF):
		return n, io.EOF
	case r.left <= 0 && r.ctx.Err() == nil: // all was there: it is the checksum behind it
		err = fmt.Errorf("%w: %w", obs.ErrChecksum, err)
	}
	return n, &obs.Error{Op: "get", Key: r.key, Err: classify(r.ctx, err)}
}

// Close implements [io.Closer].
func (r *reader) Close() error { return r.body.Close() }

// cut leaves the part of the content that was asked for.
func (r *reader) cut(offset, length int64) error {
	if _, err := io.CopyN(io.Discard, r, offset); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if length >= 0 {
		r.left = min(r.left, length)
		r.body = &limited{io.LimitReader(r.body, length), r.body}
	}
	return nil
}

// limited reads from one and closes the other.
type limited struct {
	io.Reader
	io.Closer
}

// Head implements [obs.Client]. An absent object costs a second request, which
// tells whether the bucket is there.
func (c *Client) Head(ctx context.Context, key string) (obs.Object, error) {
	if err := check(ctx, key); err != nil {
		return obs.Object{}, &obs.Error{Op: "head", Key: key, Err: err}
	}
	o, err := c.head(ctx, key)
	if errors.Is(err, obs.ErrNotExist) && c.bucketIsGone(ctx) {
		err = obs.ErrNoBucket
	}
	if err != nil {
		return obs.Object{}, &obs.Error{Op: "head", Key: key, Err: err}
	}
	return o, nil
}

func (c *Client) head(ctx context.Context, key string) (obs.Object, error) {
	out, err := c.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &c.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return obs.Object{}, classify(ctx, err)
	}
	if out.ContentLength == nil {
		return obs.Object{}, errSize
	}
	return obs.Object{
		Key: key, Size: *out.ContentLength, ModTime: aws.ToTime(out.LastModified).UTC().Truncate(time.Second), ETag: plainETag(out.ETag),
		ContentType: aws.ToString(out.ContentType), ContentEncoding: plainEncoding(out.ContentEncoding), Metadata: nonEmpty(out.Metadata),
		SHA256: fullSHA256(out.ChecksumSHA256, out.ChecksumType),
	}, nil
}

// bucketIsGone asks after the bucket, because the answer to HEAD of an object
// does not tell which of the two is absent.
func (c *Client) bucketIsGone(ctx context.Context) bool {
	_, err := c.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &c.bucket})
	return statusOf(err) == http.StatusNotFound
}

// plainEncoding leaves out the framing of an upload that some stores keep as if it
// were the content's.
func plainEncoding(encoding *string) string {
	var kept []string
	for one := range strings.SplitSeq(aws.ToString(encoding), ",") {
		if one = strings.TrimSpace(one); one != "" && one != "aws-chunked" {
			kept = append(kept, one)
		}
	}
	return strings.Join(kept, ",")
}

func nonEmpty(metadata map[string]string) map[string]string {
	if len(metadata) == 0 {
		return nil
	}
	return maps.Clone(metadata)
}
