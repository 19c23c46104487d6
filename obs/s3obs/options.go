package s3obs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/cloudtraceservice/cts/obs"
)

// Encryption is how a store encrypts objects. The values are those of the S3 API.
type Encryption string

// The ways of encryption.
const (
	EncryptionDefault Encryption = ""        // as the bucket is configured
	EncryptionS3      Encryption = "AES256"  // SSE-S3: with a key of the store
	EncryptionKMS     Encryption = "aws:kms" // SSE-KMS: with a key of a key management service
)

// LockMode is the object lock of an object. The values are those of the S3 API.
type LockMode string

// The modes of object lock.
const (
	LockDefault    LockMode = ""           // as the bucket is configured
	LockGovernance LockMode = "GOVERNANCE" // removable with a right of its own
	LockCompliance LockMode = "COMPLIANCE" // removable by nobody before its time
)

// Checksums is how the checksum of an object travels.
type Checksums int

const (
	// ChecksumHeaders sends Content-MD5 and x-amz-checksum-sha256 as headers, which
	// every store takes. In FIPS 140-3 only mode Content-MD5 is left out.
	ChecksumHeaders Checksums = iota

	// ChecksumTrailers lets the SDK send the SHA-256 behind the body (aws-chunked)
	// over HTTPS. Stores of AWS's own generation take it; see the package's comment
	// for those that do not.
	ChecksumTrailers
)

// Conditional is how Put with IfAbsent keeps from replacing an object.
type Conditional int

const (
	// ConditionalAuto looks for the object first, and then puts with `If-None-Match:
	// *`. Where the store honours the header nothing is ever replaced, and as soon as
	// one of its answers shows so, the look is left out. Where the store answers that
	// it does not know the header, the put is made as with ConditionalOff. Where it
	// ignores the header silently, of two puts at the same moment the later one wins
	// and both may succeed; CheckBucket finds that out. A writer without the right
	// to read relies on the header alone.
	ConditionalAuto Conditional = iota

	// ConditionalRequire relies on `If-None-Match: *` alone, and saves the request
	// for the look. A store that answers that it does not know it is
	// [ErrNoConditionalPut]. Use it where CheckBucket says that the header is
	// honoured, and not for objects larger than Options.PartSize on Ceph.
	ConditionalRequire

	// ConditionalOff does not send the header. It looks for the object before the
	// put, and after it whether the object is the one that was put, else it says
	// [obs.ErrExists]. Between the looks another writer may replace the object, and
	// of two puts at the same moment both may succeed while the later one's
	// content stays. That is enough where one writer's keys are never another's.
	ConditionalOff
)

const (
	defaultPartSize     = 16 << 20
	defaultMaxAttempts  = 5
	defaultMaxBackoff   = 20 * time.Second
	defaultStallTimeout = time.Minute
	defaultRegion       = "us-east-1"

	minPartSize = 5 << 20
	maxPartSize = 5 << 30
	maxParts    = 10_000
)

// Options are the choices of [New].
type Options struct {
	// Endpoint is the URL of the store, such as
	// "https://obs.eu-de.otc.t-systems.com" or "http://127.0.0.1:9000", without
	// bucket and credentials.
	// Default: "", the SDK's: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the shared
	// configuration, else AWS S3 in the region.
	Endpoint string

	// Region is the store's region; requests are signed for it.
	// Default: "", the SDK's: AWS_REGION and the shared configuration, else
	// "us-east-1" if Endpoint is set.
	Region string

	// PathStyle puts the bucket into the path of the URL instead of the host name,
	// as MinIO, Ceph and versitygw want it unless they are configured with a domain.
	// Huawei OBS and AWS S3 want the host name.
	// Default: false; an endpoint that is an IP address has path style anyway.
	PathStyle bool

	// Credentials gives the keys to sign with; [StaticCredentials] makes one of a
	// given pair. It is asked again when keys expire.
	// Default: nil, the SDK's chain: environment, shared files, web identity,
	// container and instance roles.
	Credentials aws.CredentialsProvider

	// BucketOwner is the account id that must own the bucket, so that a bucket of
	// the same name made by somebody else gets no trace. Stores other than AWS S3
	// may ignore it.
	// Default: "", not checked.
	BucketOwner string

	// HTTPClient makes the requests to the store; those for credentials are not its.
	// It should limit how long it waits.
	// Default: nil, the SDK's, with TLS 1.2 or newer, HTTPS_PROXY, AWS_CA_BUNDLE and
	// StallTimeout.
	HTTPClient *http.Client

	// Encryption is asked for with every object. An answer that does not confirm it
	// is [ErrUnprotected].
	// Default: EncryptionDefault, the bucket's.
	Encryption Encryption

	// KMSKeyID is the key for EncryptionKMS: an id, ARN or alias.
	// Default: "", the store's default key.
	KMSKeyID string

	// StorageClass is asked for with every object, such as "STANDARD_IA".
	// Default: "", the bucket's.
	StorageClass string

	// Lock and Retention are asked for with every object: it can't be removed or
	// replaced before Retention has passed since the put. The bucket must have been
	// made with object lock. A Retention is needed exactly if a Lock is set.
	// Default: LockDefault and 0, the bucket's.
	Lock      LockMode
	Retention time.Duration

	// Checksums is how checksums travel.
	// Default: ChecksumHeaders.
	Checksums Checksums

	// Conditional is how Put with IfAbsent keeps from replacing an object.
	// Default: ConditionalAuto.
	Conditional Conditional

	// WriteOnly is for a writer without the right to read: Put asks for no
	// description of what it has put. The Object's ModTime is then the time of the
	// store's answer, which can differ by a second or so from what Head says, and
	// ContentType and ContentEncoding are as given. The look of ConditionalAuto is
	// left out too. Without it, a writer whose reading is denied works the same
	// way, after one denied request each time.
	// Default: false.
	WriteOnly bool

	// PartSize is the size in bytes of the parts of an object that is larger, from 5
	// MiB to 5 GiB. An object has at most 10,000 parts; a larger one is
	// [obs.ErrInvalid].
	// Default: 16 MiB, for objects up to 156 GiB.
	PartSize int64

	// MaxAttempts bounds how often one request is made: at first, and again after
	// failures that may pass, such as throttling, 5xx answers and broken
	// connections. One Put makes several requests if the object goes in parts.
	// Default: 5.
	MaxAttempts int

	// MaxBackoff bounds the random, growing pause between two attempts. The context
	// ends a pause.
	// Default: 20 seconds.
	MaxBackoff time.Duration

	// StallTimeout bounds how long a connection may go without a byte in either
	// direction, so that a dead server fails an attempt and a slow one does not. It
	// has no effect on a given HTTPClient.
	// Default: 1 minute.
	StallTimeout time.Duration

	// Now is the clock from which retention counts. It may be called concurrently.
	// Default: time.Now.
	Now func() time.Time
}

// StaticCredentials gives one pair of keys, and the session token of temporary
// ones, else "". It does not show them when it is printed.
func StaticCredentials(accessKeyID, secretAccessKey, sessionToken string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{
			AccessKeyID: accessKeyID, SecretAccessKey: secretAccessKey, SessionToken: sessionToken, Source: "s3obs.StaticCredentials",
		}, nil
	})
}

// filled returns a copy with defaults in the place of zeros.
func (o *Options) filled() Options {
	var f Options
	if o != nil {
		f = *o
	}
	if f.PartSize == 0 {
		f.PartSize = defaultPartSize
	}
	if f.MaxAttempts == 0 {
		f.MaxAttempts = defaultMaxAttempts
	}
	if f.MaxBackoff == 0 {
		f.MaxBackoff = defaultMaxBackoff
	}
	if f.StallTimeout == 0 {
		f.StallTimeout = defaultStallTimeout
	}
	if f.Now == nil {
		f.Now = time.Now //nolint:forbidigo // the one default of the injected clock
	}
	return f
}

// validate returns all faults of filled options and of the bucket's name.
func (o *Options) validate(bucket string) error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("%w: "+format, append([]any{obs.ErrInvalid}, args...)...))
		}
	}
	fault(!validBucket(bucket), "the bucket's name %.80q is not 3 to 63 letters, digits, '.', '-' and '_'", bucket)
	if o.Endpoint != "" {
		fault(!validEndpoint(o.Endpoint), "Endpoint is not a URL of http or https with a host, and without user, path and query")
	}
	fault(o.Encryption != EncryptionDefault && o.Encryption != EncryptionS3 && o.Encryption != EncryptionKMS,
		"Encryption %.40q is not known", o.Encryption)
	fault(o.KMSKeyID != "" && o.Encryption != EncryptionKMS, "KMSKeyID is set and Encryption is not EncryptionKMS")
	fault(o.Lock != LockDefault && o.Lock != LockGovernance && o.Lock != LockCompliance, "Lock %.40q is not known", o.Lock)
	fault(o.Retention < 0, "Retention is negative")
	fault((o.Lock != LockDefault) != (o.Retention != 0), "Lock and Retention go together")
	fault(o.Checksums != ChecksumHeaders && o.Checksums != ChecksumTrailers, "Checksums %d is not known", o.Checksums)
	fault(o.Conditional < ConditionalAuto || o.Conditional > ConditionalOff, "Conditional %d is not known", o.Conditional)
	fault(o.WriteOnly && o.Conditional == ConditionalOff, "WriteOnly and ConditionalOff exclude each other: looking is reading")
	fault(o.PartSize < minPartSize || o.PartSize > maxPartSize, "PartSize is not %d to %d bytes", minPartSize, int64(maxPartSize))
	fault(o.MaxAttempts < 0, "MaxAttempts is negative")
	fault(o.MaxBackoff < 0, "MaxBackoff is negative")
	fault(o.StallTimeout < 0, "StallTimeout is negative")
	return errors.Join(faults...)
}

func validBucket(name string) bool {
	return len(name) >= 3 && len(name) <= 63 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == ""
}

func validEndpoint(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil &&
		(u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == ""
}
