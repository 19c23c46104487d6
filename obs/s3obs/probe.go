package s3obs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/cloudtraceservice/cts/obs"
)

// probeText is the content of the probe, for whoever finds it.
const probeText = "This object was put to check whether the bucket can hold an audit trail.\n"

// probe tries out a bucket on one object.
type probe struct {
	*Client
	key      string
	report   *Report
	versions []string // that were made
}

// run fails if the probe can't be put.
func (p *probe) run(ctx context.Context) error {
	if err := p.put(ctx); err != nil {
		return err
	}
	if err := p.look(ctx); err != nil {
		return err
	}
	return p.remove(ctx)
}

// put puts the probe if it is absent, twice: that a second put is refused shows
// that the header is honoured.
func (p *probe) put(ctx context.Context) error {
	first, err := p.try(ctx, true)
	if isNotImplemented(err) {
		p.report.PutIfAbsent = No
		first, err = p.try(ctx, false)
	}
	switch {
	case errors.Is(err, obs.ErrExists): // it is left over from an earlier check
		p.report.Writable, p.report.PutIfAbsent = Yes, Yes
	case err != nil:
		p.report.Writable = No
		if errors.Is(err, obs.ErrNoBucket) {
			p.report.Exists = No
		}
		return err
	default:
		p.report.Writable = Yes
		p.learn(first)
	}
	p.report.Exists = Yes
	if p.report.PutIfAbsent == Unknown {
		_, err := p.try(ctx, true)
		switch {
		case errors.Is(err, obs.ErrExists):
			p.report.PutIfAbsent = Yes
		case err == nil:
			p.report.PutIfAbsent = No
		default:
			return err
		}
	}
	if p.report.PutIfAbsent == Yes {
		p.honours.Store(headerHonoured)
	} else {
		p.honours.Store(headerNotImplemented)
	}
	return nil
}

// try puts the probe as Put would put it.
func (p *probe) try(ctx context.Context, header bool) (*s3.PutObjectOutput, error) {
	content, err := readContent(ctx, strings.NewReader(probeText), p.opts.PartSize)
	if err != nil {
		return nil, err
	}
	in, with := p.putInput(&upload{key: p.key, content: content, opts: &obs.PutOptions{ContentType: "text/plain"}}, header)
	out, err := p.s3.PutObject(ctx, in, with...)
	if err != nil {
		return nil, classify(ctx, err)
	}
	if version := aws.ToString(out.VersionId); version != "" {
		p.versions = append(p.versions, version)
	}
	return out, nil
}

// learn takes what the answer to the put tells.
func (p *probe) learn(out *s3.PutObjectOutput) {
	p.report.Checksum = No
	if fullSHA256(out.ChecksumSHA256, out.ChecksumType) != nil {
		p.report.Checksum = Yes
	}
	if p.opts.Encryption != EncryptionDefault {
		// A store that was asked and does not confirm it has not done it, whatever
		// the bucket's configuration says.
		p.report.Encryption, p.report.KMSKeyID = EncryptionDefault, ""
	}
	p.encrypted(out.ServerSideEncryption, out.SSEKMSKeyId)
}

// encrypted notes how the probe is encrypted, if the store tells.
func (p *probe) encrypted(by types.ServerSideEncryption, keyID *string) {
	if by != "" {
		p.report.Encryption, p.report.KMSKeyID = Encryption(by), aws.ToString(keyID)
	}
}

// look reads the description of the probe, as far as that is allowed.
func (p *probe) look(ctx context.Context) error {
	out, err := p.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &p.bucket, Key: &p.key, ChecksumMode: types.ChecksumModeEnabled})
	err = classify(ctx, err)
	switch {
	case errors.Is(err, obs.ErrDenied):
		p.report.Readable = No
		return nil
	case err != nil:
		return fmt.Errorf("reading the probe: %w", err)
	}
	p.report.Readable = Yes
	p.encrypted(out.ServerSideEncryption, out.SSEKMSKeyId)
	if p.report.Checksum == Unknown && fullSHA256(out.ChecksumSHA256, out.ChecksumType) != nil {
		p.report.Checksum = Yes
	}
	switch {
	case out.ObjectLockMode != "" && out.ObjectLockRetainUntilDate != nil && out.LastModified != nil:
		p.report.Lock = LockMode(out.ObjectLockMode)
		p.report.Retention = out.ObjectLockRetainUntilDate.Sub(*out.LastModified).Round(time.Minute)
	case p.opts.Lock != LockDefault:
		p.report.note("object lock: it was asked for, and the probe shows none: the store ignores it, or reading it needs s3:GetObjectRetention")
	}
	return nil
}

// remove tries to delete the probe, and to take away everything of it if that is
// allowed.
func (p *probe) remove(ctx context.Context) error {
	out, err := p.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &p.bucket, Key: &p.key})
	err = classify(ctx, err)
	switch {
	case errors.Is(err, obs.ErrDenied), statusOf(err) == http.StatusBadRequest:
		p.report.Deletable = No
		p.report.note("the probe %s stays in the bucket", p.key)
		return nil
	case err != nil:
		return fmt.Errorf("deleting the probe: %w", err)
	}
	p.report.Deletable = Yes
	if !aws.ToBool(out.DeleteMarker) {
		return nil
	}
	// The marker goes first: if a version stays, the next check meets it.
	for _, version := range append([]string{aws.ToString(out.VersionId)}, p.versions...) {
		if !p.removed(ctx, version) {
			p.report.note("the probe %s stays in the bucket, in versions", p.key)
			break
		}
	}
	return ctx.Err()
}

// removed tries to remove one version of the probe.
func (p *probe) removed(ctx context.Context, version string) bool {
	_, err := p.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &p.bucket, Key: &p.key, VersionId: &version})
	return err == nil
}
