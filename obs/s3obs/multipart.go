package s3obs

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/cloudtraceservice/cts/obs"
)

// abortTimeout bounds how long a failed Put takes its parts back, also when its
// context has ended.
const abortTimeout = 30 * time.Second

// sendParts puts an object in parts, one after the other. Nothing is visible before
// the last request; what failed is taken back.
func (c *Client) sendParts(ctx context.Context, u *upload, header bool) (receipt, error) {
	begun, err := c.beginParts(ctx, u)
	if err != nil {
		return receipt{}, classify(ctx, err)
	}
	id := begun.UploadId
	r, err := c.sendAll(ctx, u, begun, header)
	if err == nil {
		return r, nil
	}
	if aborted := c.abort(ctx, u.key, id); aborted != nil {
		err = fmt.Errorf("%w (and its parts are left over: %w)", err, aborted)
	}
	return receipt{}, err
}

func (c *Client) beginParts(ctx context.Context, u *upload) (*s3.CreateMultipartUploadOutput, error) {
	return c.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &c.bucket, Key: &u.key, ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
		ContentType: optional(u.opts.ContentType), ContentEncoding: optional(u.opts.ContentEncoding), Metadata: u.opts.Metadata,
		StorageClass: types.StorageClass(c.opts.StorageClass), ObjectLockMode: types.ObjectLockMode(c.opts.Lock), ObjectLockRetainUntilDate: c.retainUntil(),
		ServerSideEncryption: types.ServerSideEncryption(c.opts.Encryption), SSEKMSKeyId: optional(c.opts.KMSKeyID),
	})
}

func (c *Client) sendAll(ctx context.Context, u *upload, begun *s3.CreateMultipartUploadOutput, header bool) (receipt, error) {
	id := begun.UploadId
	done := make([]types.CompletedPart, len(u.content.parts))
	for i := range u.content.parts {
		out, err := c.sendPart(ctx, u, id, i)
		if err != nil {
			return receipt{}, fmt.Errorf("part %d: %w", i+1, err)
		}
		// AWS confirms the encryption at the beginning and with each part, MinIO with
		// the parts alone.
		by, key := begun.ServerSideEncryption, begun.SSEKMSKeyId
		if by == "" {
			by, key = out.ServerSideEncryption, out.SSEKMSKeyId
		}
		if err := c.confirmed(by, key); err != nil {
			return receipt{}, err
		}
		done[i] = types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: out.ETag, ChecksumSHA256: out.ChecksumSHA256}
	}
	// The upload may have taken long: look once more, for stores that ignore the
	// header here.
	if _, look := c.guards(u); look {
		if err := c.absent(ctx, u.key, header); err != nil {
			return receipt{}, err
		}
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &c.bucket, Key: &u.key, UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
	}
	if header {
		in.IfNoneMatch = aws.String("*")
	}
	out, err := c.s3.CompleteMultipartUpload(ctx, in)
	if err != nil {
		return receipt{}, classify(ctx, err)
	}
	sum, err := u.content.vouched(done, aws.ToString(out.ChecksumSHA256))
	if err != nil {
		return receipt{}, err
	}
	return c.receipt(out.ETag, sum, out.ResultMetadata), nil
}

func (c *Client) sendPart(ctx context.Context, u *upload, id *string, i int) (*s3.UploadPartOutput, error) {
	p := &u.content.parts[i]
	in := &s3.UploadPartInput{
		Bucket: &c.bucket, Key: &u.key, UploadId: id, PartNumber: aws.Int32(int32(i + 1)), Body: u.content.open(p), ContentLength: &p.size,
	}
	var with []func(*s3.Options)
	if c.opts.Checksums == ChecksumTrailers {
		in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256
	} else {
		in.ChecksumSHA256, in.ContentMD5 = base64Of(p.sha256[:]), p.contentMD5()
		with = append(with, signPayload(p))
	}
	out, err := c.s3.UploadPart(ctx, in, with...)
	switch {
	case err != nil:
		return nil, classify(ctx, err)
	case out.ChecksumSHA256 != nil && *out.ChecksumSHA256 != *base64Of(p.sha256[:]):
		return nil, fmt.Errorf("%w: the store says that it has other content", obs.ErrChecksum)
	}
	return out, nil
}

// vouched returns the SHA-256 of the whole if the store vouches for it: by it, or
// by the hash of the hashes of all parts, which were computed from the same bytes
// as the whole. It returns nil if the store tells neither, and [obs.ErrChecksum] if
// it tells another.
func (c *content) vouched(done []types.CompletedPart, told string) ([]byte, error) {
	sums := sha256.New()
	for i := range c.parts {
		if done[i].ChecksumSHA256 == nil {
			return nil, nil
		}
		sums.Write(c.parts[i].sha256[:])
	}
	ofParts := base64.StdEncoding.EncodeToString(sums.Sum(nil))
	switch told {
	case "":
		return nil, nil
	case *base64Of(c.sha256[:]), ofParts, fmt.Sprintf("%s-%d", ofParts, len(c.parts)):
		return c.sha256[:], nil
	}
	return nil, fmt.Errorf("%w: the store says that it has other content", obs.ErrChecksum)
}

func (c *Client) abort(ctx context.Context, key string, id *string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	_, err := c.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &c.bucket, Key: &key, UploadId: id})
	if codeOf(err) == "NoSuchUpload" {
		return nil
	}
	return classify(ctx, err)
}
