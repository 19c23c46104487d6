package s3obs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/cloudtraceservice/cts/obs"
)

// Client is a bucket behind the S3 API. It implements [obs.Client]; any number may
// be open on one bucket, in any number of processes. It has no goroutines of its
// own, and its memory does not grow with the size of objects: a Put keeps 48
// bytes for each part, a List one page of a thousand objects.
//
// Errors wrap the SDK's, which name the store's code, status and request id.
type Client struct {
	s3     *s3.Client
	bucket string
	opts   Options

	// honours is what the store's answers have shown of `If-None-Match: *`.
	honours atomic.Int32
}

const (
	headerUnknown int32 = iota
	headerHonoured
	headerNotImplemented
)

var _ obs.Client = (*Client)(nil)

// New returns a client of the bucket. It reads the SDK's configuration from the
// environment and shared files, and asks the store nothing: that is for
// [Client.CheckBucket]. The context bounds only this call. Nil opts are the
// defaults. All faults of the options are reported together, as [obs.ErrInvalid].
func New(ctx context.Context, bucket string, opts *Options) (*Client, error) {
	c := &Client{bucket: bucket, opts: opts.filled()}
	if err := c.opts.validate(bucket); err != nil {
		return nil, err
	}
	cfg, err := c.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("s3obs: configuration of the SDK: %w", err)
	}
	if cfg.Region == "" {
		return nil, fmt.Errorf("%w: no region: set Region or AWS_REGION", obs.ErrInvalid)
	}
	c.s3 = s3.NewFromConfig(cfg, c.configure)
	return c, nil
}

func (c *Client) load(ctx context.Context) (aws.Config, error) {
	with := []func(*config.LoadOptions) error{config.WithHTTPClient(newHTTPClient(c.opts.StallTimeout))}
	if c.opts.Credentials != nil {
		with = append(with, config.WithCredentialsProvider(c.opts.Credentials))
	}
	switch {
	case c.opts.Region != "":
		with = append(with, config.WithRegion(c.opts.Region))
	case c.opts.Endpoint != "":
		with = append(with, config.WithDefaultRegion(defaultRegion))
	}
	return config.LoadDefaultConfig(ctx, with...)
}

// configure sets what the environment must not decide.
func (c *Client) configure(o *s3.Options) {
	if c.opts.Endpoint != "" {
		o.BaseEndpoint = &c.opts.Endpoint
	}
	if c.opts.HTTPClient != nil {
		o.HTTPClient = c.opts.HTTPClient
	}
	o.UsePathStyle = c.opts.PathStyle
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	if c.opts.Checksums == ChecksumTrailers {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
	}
	// Get asks for the checksum itself. With a range some stores would tell that of
	// the whole, which the SDK would compare with the part.
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	o.Retryer = newRetryer(c.opts.MaxAttempts, c.opts.MaxBackoff)
	o.RetryMaxAttempts = c.opts.MaxAttempts
	o.Logger = logging.Nop{}
	o.DisableLogOutputChecksumValidationSkipped = true
	if c.opts.BucketOwner != "" {
		o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("X-Amz-Expected-Bucket-Owner", c.opts.BucketOwner))
	}
}

// newRetryer adds to what the SDK repeats the answers that ask for it in other
// words.
func newRetryer(attempts int, backoff time.Duration) *retry.Standard {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.MaxBackoff = backoff
		o.Retryables = append(o.Retryables,
			retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusTooManyRequests: {}}},
			retry.RetryableErrorCode{Codes: map[string]struct{}{"ConditionalRequestConflict": {}, "OperationAborted": {}}})
	})
}

// newHTTPClient is the SDK's, on connections that do not stall.
func newHTTPClient(stall time.Duration) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithReadTimeout(0).WithTransportOptions(func(t *http.Transport) {
		dial := t.DialContext
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &movingConn{Conn: conn, stall: stall}, nil
		}
	})
}

// movingConn fails once no byte has gone in either direction for a time. A write
// moves the deadline of a read that waits, so that a long upload does not look like
// a server that does not answer.
type movingConn struct {
	net.Conn
	stall time.Duration
}

func (c *movingConn) Read(p []byte) (int, error) {
	if err := c.move(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *movingConn) Write(p []byte) (int, error) {
	if err := c.move(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *movingConn) move() error {
	return c.SetDeadline(time.Now().Add(c.stall)) //nolint:forbidigo // the deadline of a socket is the system's
}

// check is what every method begins with.
func check(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return obs.ValidateKey(key)
}

// Delete implements [obs.Client]. In a bucket with versioning the object is hidden
// behind a delete marker. An object under lock is [obs.ErrDenied].
func (c *Client) Delete(ctx context.Context, key string) error {
	if err := c.delete(ctx, key); err != nil {
		return &obs.Error{Op: "delete", Key: key, Err: err}
	}
	return nil
}

func (c *Client) delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	_, err := c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &c.bucket, Key: &key})
	err = classify(ctx, err)
	switch {
	case errors.Is(err, obs.ErrNotExist):
		return nil
	case statusOf(err) == http.StatusBadRequest && codeOf(err) == "InvalidRequest": // how MinIO says it
		return fmt.Errorf("%w: the object is locked: %w", obs.ErrDenied, err)
	}
	return err
}
