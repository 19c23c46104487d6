package s3obs

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/cloudtraceservice/cts/obs"
)

// upload is one Put.
type upload struct {
	key     string
	content *content
	opts    *obs.PutOptions
}

// receipt is what a store answers when it has an object.
type receipt struct {
	etag   string
	sha256 []byte // the store's; nil if it tells none
	time   time.Time
}

// Put implements [obs.Client]. PutOptions.SHA256 is compared before anything is
// sent. See the package's comment for how content is checked, and [Conditional] for
// IfAbsent.
func (c *Client) Put(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
	o, err := c.put(ctx, key, body, opts)
	if err != nil {
		return obs.Object{}, &obs.Error{Op: "put", Key: key, Err: err}
	}
	return o, nil
}

func (c *Client) put(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
	if err := check(ctx, key); err != nil {
		return obs.Object{}, err
	}
	if opts == nil {
		opts = &obs.PutOptions{}
	}
	if err := opts.Validate(); err != nil {
		return obs.Object{}, err
	}
	if body == nil {
		return obs.Object{}, fmt.Errorf("%w: the body is nil", obs.ErrInvalid)
	}
	content, err := readContent(ctx, body, c.opts.PartSize)
	if err != nil {
		return obs.Object{}, err
	}
	if opts.SHA256 != nil && !bytes.Equal(opts.SHA256, content.sha256[:]) {
		return obs.Object{}, obs.ErrChecksum
	}
	u := &upload{key: key, content: content, opts: opts}
	r, err := c.store(ctx, u)
	if err != nil {
		return obs.Object{}, err
	}
	return c.describe(ctx, u, r), nil
}

// store puts the object, and keeps from replacing one if that is asked for.
func (c *Client) store(ctx context.Context, u *upload) (receipt, error) {
	header, look := c.guards(u)
	if look {
		if err := c.absent(ctx, u.key, header); err != nil {
			return receipt{}, err
		}
	}
	r, err := c.send(ctx, u, header)
	switch {
	case header && statusOf(err) == http.StatusPreconditionFailed: // the store's answer, not the look's
		c.honours.Store(headerHonoured)
	case header && isNotImplemented(err):
		if c.opts.Conditional == ConditionalRequire || c.opts.WriteOnly {
			return receipt{}, fmt.Errorf("%w: %w", ErrNoConditionalPut, err)
		}
		c.honours.Store(headerNotImplemented)
		header = false
		r, err = c.send(ctx, u, false)
	}
	if err == nil && u.opts.IfAbsent && !header {
		err = c.stillThere(ctx, u.key, r)
	}
	return r, err
}

// guards says how an object is kept from being replaced: by the header, and by a
// look before. Ceph honours the header for puts and ignores it for parts, so that
// nothing learnt of the one holds for the other.
func (c *Client) guards(u *upload) (header, look bool) {
	if !u.opts.IfAbsent {
		return false, false
	}
	honours := c.honours.Load()
	switch {
	case c.opts.Conditional == ConditionalRequire || c.opts.WriteOnly:
		return true, false
	case c.opts.Conditional == ConditionalOff || honours == headerNotImplemented:
		return false, true
	}
	return true, honours != headerHonoured || len(u.content.parts) > 1
}

// absent returns [obs.ErrExists] if the object is there. A denied look is passed
// over if the store will be asked by the header.
func (c *Client) absent(ctx context.Context, key string, header bool) error {
	_, err := c.head(ctx, key)
	switch {
	case err == nil:
		return obs.ErrExists
	case errors.Is(err, obs.ErrNotExist), header && errors.Is(err, obs.ErrDenied):
		return nil
	}
	return fmt.Errorf("looking for the object: %w", err)
}

// stillThere looks whether the object is the one that was put.
func (c *Client) stillThere(ctx context.Context, key string, r receipt) error {
	o, err := c.head(ctx, key)
	switch {
	case err != nil:
		return fmt.Errorf("looking for the object after the put: %w", err)
	case o.ETag != r.etag:
		return fmt.Errorf("%w: another writer replaced it at the same moment", obs.ErrExists)
	}
	return nil
}

// send puts the object in one request or in parts.
func (c *Client) send(ctx context.Context, u *upload, header bool) (receipt, error) {
	if len(u.content.parts) > 1 {
		return c.sendParts(ctx, u, header)
	}
	return c.sendWhole(ctx, u, header)
}

func (c *Client) sendWhole(ctx context.Context, u *upload, header bool) (receipt, error) {
	in, with := c.putInput(u, header)
	out, err := c.s3.PutObject(ctx, in, with...)
	if err != nil {
		return receipt{}, classify(ctx, err)
	}
	if err := c.confirmed(out.ServerSideEncryption, out.SSEKMSKeyId); err != nil {
		return receipt{}, err
	}
	sum := fullSHA256(out.ChecksumSHA256, out.ChecksumType)
	if sum != nil && !bytes.Equal(sum, u.content.sha256[:]) {
		return receipt{}, fmt.Errorf("%w: the store says that it has other content", obs.ErrChecksum)
	}
	return c.receipt(out.ETag, sum, out.ResultMetadata), nil
}

// putInput is the request for an object in one piece.
func (c *Client) putInput(u *upload, header bool) (*s3.PutObjectInput, []func(*s3.Options)) {
	whole := &u.content.parts[0]
	in := &s3.PutObjectInput{
		Bucket: &c.bucket, Key: &u.key, Body: u.content.open(whole), ContentLength: &whole.size,
		ContentType: optional(u.opts.ContentType), ContentEncoding: optional(u.opts.ContentEncoding), Metadata: u.opts.Metadata,
		StorageClass: types.StorageClass(c.opts.StorageClass), ObjectLockMode: types.ObjectLockMode(c.opts.Lock), ObjectLockRetainUntilDate: c.retainUntil(),
		ServerSideEncryption: types.ServerSideEncryption(c.opts.Encryption), SSEKMSKeyId: optional(c.opts.KMSKeyID),
	}
	if header {
		in.IfNoneMatch = aws.String("*")
	}
	if c.opts.Checksums == ChecksumTrailers {
		in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256
		return in, nil
	}
	in.ChecksumSHA256, in.ContentMD5 = base64Of(whole.sha256[:]), whole.contentMD5()
	return in, []func(*s3.Options){signPayload(whole)}
}

func (c *Client) receipt(etag *string, sum []byte, metadata middleware.Metadata) receipt {
	at, ok := awsmiddleware.GetServerTime(metadata)
	if !ok {
		at = c.opts.Now()
	}
	return receipt{etag: plainETag(etag), sha256: sum, time: at.UTC().Truncate(time.Second)}
}

// describe describes an object that was put, as Head does it if reading is allowed
// and the object has not been replaced since.
func (c *Client) describe(ctx context.Context, u *upload, r receipt) obs.Object {
	own := obs.Object{
		Key: u.key, Size: u.content.size, ModTime: r.time, ETag: r.etag, SHA256: r.sha256,
		ContentType: u.opts.ContentType, ContentEncoding: u.opts.ContentEncoding,
	}
	if len(u.opts.Metadata) > 0 {
		own.Metadata = map[string]string{}
		for key, value := range u.opts.Metadata {
			own.Metadata[key] = value
		}
	}
	if c.opts.WriteOnly {
		return own
	}
	o, err := c.head(ctx, u.key)
	if err != nil || o.ETag != r.etag || o.Size != own.Size {
		return own // the put has succeeded all the same
	}
	if o.SHA256 == nil {
		o.SHA256 = r.sha256
	}
	return o
}

// confirmed checks the answer of the store for the encryption that was asked for.
// A key may be confirmed by its ARN, and an alias by the key behind it.
func (c *Client) confirmed(got types.ServerSideEncryption, keyID *string) error {
	want, key := c.opts.Encryption, c.opts.KMSKeyID
	switch {
	case want == EncryptionDefault:
	case string(got) != string(want):
		return fmt.Errorf("%w: asked for %s, got %q", ErrUnprotected, want, got)
	case key != "" && !strings.Contains(key, "alias/") && !strings.HasSuffix(aws.ToString(keyID), key):
		return fmt.Errorf("%w: with another key", ErrUnprotected)
	}
	return nil
}

func (c *Client) retainUntil() *time.Time {
	if c.opts.Lock == LockDefault {
		return nil
	}
	until := c.opts.Now().Add(c.opts.Retention).UTC()
	return &until
}

// signPayload puts the hash of a part into the signature, over HTTPS too. It
// spares the SDK reading the part to hash it.
func signPayload(p *part) func(*s3.Options) {
	sum := hex.EncodeToString(p.sha256[:])
	return s3.WithAPIOptions(func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("s3obs.signPayload",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				return next.HandleInitialize(v4.SetPayloadHash(ctx, sum), in)
			}), middleware.Before)
	})
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func base64Of(sum []byte) *string {
	text := base64.StdEncoding.EncodeToString(sum)
	return &text
}

func plainETag(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }

// fullSHA256 decodes the hash of a whole content, and returns nil for a hash of
// parts' hashes, which ends in a dash and their number, or none.
func fullSHA256(text *string, kind types.ChecksumType) []byte {
	sum, err := base64.StdEncoding.DecodeString(aws.ToString(text))
	if err != nil || len(sum) != 32 || kind == types.ChecksumTypeComposite {
		return nil
	}
	return sum
}
