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

// Want is what a bucket must be for [Client.CheckBucket] to succeed, beside being
// there. The zero value wants to write.
type Want struct {
	// ReadOnly is for a reader: no probe is put.
	// Default: false, the bucket must be writable.
	ReadOnly bool

	// Encryption is how objects must be encrypted: because Options ask for it, or
	// because the bucket does. EncryptionS3 is satisfied by EncryptionKMS too.
	// Default: EncryptionDefault, not checked.
	Encryption Encryption

	// Versioned wants versioning to be on.
	// Default: false, not checked.
	Versioned bool

	// Lock wants objects to be locked, because Options ask for it or because the
	// bucket does by default, for Retention at least. LockGovernance is satisfied by
	// LockCompliance too.
	// Default: LockDefault and 0, not checked.
	Lock      LockMode
	Retention time.Duration

	// NoDelete wants the credentials to have no right to delete.
	// Default: false, not checked.
	NoDelete bool

	// NoReplace wants the store to honour `If-None-Match: *`.
	// Default: false, not checked.
	NoReplace bool

	// ProbeKey is the object that is put to try out what is allowed. The default lies
	// where the policies of [Policy] allow a Writer to put; one who is a Sealer alone
	// needs another, such as "CloudTraces/check/Digest/probe".
	// Default: "CloudTraces/cts-check".
	ProbeKey string
}

const defaultProbeKey = defaultPrefix + "cts-check"

// Evidence is the profile of a bucket whose objects are evidence: each is locked in
// compliance mode for the retention at least, so that nobody can remove or
// replace it before its time, and the credentials of the writer have no right to
// delete. See [Want].
func Evidence(retention time.Duration) *Want {
	return &Want{Versioned: true, Lock: LockCompliance, Retention: retention, NoDelete: true}
}

// Answer is what was found out.
type Answer int

// The answers. Unknown is one that the rights or the store did not give.
const (
	Unknown Answer = iota
	Yes
	No
)

// String returns "unknown", "yes" or "no".
func (a Answer) String() string {
	switch a {
	case Yes:
		return "yes"
	case No:
		return "no"
	}
	return "unknown"
}

// Report is what [Client.CheckBucket] found.
type Report struct {
	// Bucket is its name.
	Bucket string

	// Exists says whether the bucket is there.
	Exists Answer

	// Writable says whether an object could be put, with the encryption, storage
	// class and lock of Options.
	Writable Answer

	// Readable says whether the probe's description could be read.
	Readable Answer

	// PutIfAbsent says whether the store honours `If-None-Match: *`.
	PutIfAbsent Answer

	// Checksum says whether the store answers a put with the SHA-256 of the
	// content, which is a writer's proof without the right to read.
	Checksum Answer

	// Versioned says whether versioning is on.
	Versioned Answer

	// Encryption and KMSKeyID are those of the probe, or what the bucket does by
	// default. EncryptionDefault means none, or unknown.
	Encryption Encryption
	KMSKeyID   string

	// Lock and Retention, to the minute, are those of the probe, or what the bucket
	// does by default. LockDefault means none, or unknown.
	Lock      LockMode
	Retention time.Duration

	// Deletable says whether the probe could be deleted, be it behind a delete
	// marker.
	Deletable Answer

	// Notes say why something is unknown, or what was left behind.
	Notes []string
}

// String returns the report in lines for a person.
func (r *Report) String() string {
	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "%-14s %s\n", name, value) }
	line("bucket", r.Bucket)
	line("exists", r.Exists.String())
	line("writable", r.Writable.String())
	line("readable", r.Readable.String())
	line("put if absent", r.PutIfAbsent.String())
	line("checksum", r.Checksum.String())
	line("versioned", r.Versioned.String())
	line("encryption", strings.TrimSpace(orNone(string(r.Encryption))+" "+r.KMSKeyID))
	if r.Lock == LockDefault {
		line("lock", "none found")
	} else {
		line("lock", fmt.Sprintf("%s for %s", r.Lock, r.Retention))
	}
	line("deletable", r.Deletable.String())
	for _, note := range r.Notes {
		line("note", note)
	}
	return b.String()
}

func orNone(s string) string {
	if s == "" {
		return "none found"
	}
	return s
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// CheckBucket says what the bucket is, and whether that is what is wanted: call it
// before the first trace. Nil wants the defaults. The report is never nil and says
// what was found out up to an error.
//
// It asks for the bucket's configuration, and puts a small object, the probe, as
// Put would put it: with the encryption and lock of Options. Then it tries to
// replace the probe under `If-None-Match: *` and to delete it. What must not be
// allowed is tried, so a store's access log shows a denied deletion. A probe that
// can't be deleted stays, and is met again by the next call, which puts no other.
//
// The error joins one [ErrNotAsWanted] for each thing that is not as wanted or
// that could not be found out, with what to do about it. Beside it, [obs.ErrNoBucket]
// and [obs.ErrDenied] match where they are the reason. Another error means that the
// store could not be asked.
func (c *Client) CheckBucket(ctx context.Context, want *Want) (*Report, error) {
	if want == nil {
		want = &Want{}
	}
	r := &Report{Bucket: c.bucket}
	if err := c.inspect(ctx, want, r); err != nil {
		return r, fmt.Errorf("s3obs: check of bucket %s: %w", c.bucket, err)
	}
	return r, nil
}

func (c *Client) inspect(ctx context.Context, want *Want, r *Report) error {
	if err := c.findBucket(ctx, r); err != nil {
		return err
	}
	for _, find := range []func(context.Context, *Report) error{c.findVersioning, c.findEncryption, c.findLock} {
		if err := find(ctx, r); err != nil {
			return err
		}
	}
	var faults []error
	if !want.ReadOnly {
		p := &probe{Client: c, key: want.ProbeKey, report: r}
		if p.key == "" {
			p.key = defaultProbeKey
		}
		if err := obs.ValidateKey(p.key); err != nil {
			return fmt.Errorf("ProbeKey: %w", err)
		}
		if err := p.run(ctx); err != nil {
			if ctx.Err() != nil {
				return err
			}
			faults = append(faults, fmt.Errorf("%w: it is not writable: %w", ErrNotAsWanted, err))
		}
	}
	if r.Exists == Unknown && len(faults) == 0 {
		faults = append(faults, fmt.Errorf("%w: whether it is there could not be found out: %w to ask", ErrNotAsWanted, obs.ErrDenied))
	}
	return errors.Join(append(faults, want.missing(r)...)...)
}

// missing returns an error for everything that a writable bucket lacks.
func (w *Want) missing(r *Report) []error {
	var faults []error
	lacks := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("%w: "+format, append([]any{ErrNotAsWanted}, args...)...))
		}
	}
	encrypted := r.Encryption == w.Encryption || w.Encryption == EncryptionS3 && r.Encryption == EncryptionKMS
	lacks(w.Encryption != EncryptionDefault && !encrypted,
		"its encryption is %s, wanted %s: set Options.Encryption, or the bucket's default encryption", orNone(string(r.Encryption)), w.Encryption)
	lacks(w.Versioned && r.Versioned == No, "versioning is off: turn it on")
	lacks(w.Versioned && r.Versioned == Unknown, "whether versioning is on could not be found out: allow s3:GetBucketVersioning")
	locked := r.Lock == w.Lock || w.Lock == LockGovernance && r.Lock == LockCompliance
	lacks(w.Lock != LockDefault && !locked,
		"its object lock is %s, wanted %s: use a bucket that was made with object lock, and set Options.Lock or the bucket's default retention",
		orNone(string(r.Lock)), w.Lock)
	lacks(w.Lock != LockDefault && locked && r.Retention < w.Retention, "objects are locked for %s, wanted %s", r.Retention, w.Retention)
	if !w.ReadOnly {
		lacks(w.NoDelete && r.Deletable == Yes, "the credentials may delete: take s3:DeleteObject away from them")
		lacks(w.NoDelete && r.Deletable == Unknown && r.Writable == Yes, "whether the credentials may delete could not be found out")
		lacks(w.NoReplace && r.PutIfAbsent != Yes && r.Writable == Yes, "the store does not honour If-None-Match: two writers must not share keys")
	}
	return faults
}

// findBucket fails if there is no bucket or the store can't be asked.
func (c *Client) findBucket(ctx context.Context, r *Report) error {
	_, err := c.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &c.bucket})
	switch status := statusOf(err); {
	case err == nil:
		r.Exists = Yes
		return nil
	case status == http.StatusForbidden:
		return nil // a later answer tells
	case status == http.StatusNotFound:
		r.Exists = No
		return fmt.Errorf("%w: %w: make it, or mend its name, Region or Endpoint: %w", ErrNotAsWanted, obs.ErrNoBucket, err)
	}
	return classify(ctx, err)
}

// unanswered notes why the store did not tell something, and returns the error if
// it could not be asked at all.
func (c *Client) unanswered(ctx context.Context, r *Report, what, right string, err error) error {
	err = classify(ctx, err)
	switch {
	case errors.Is(err, obs.ErrNoBucket):
		r.Exists = No
		return fmt.Errorf("%w: %w", ErrNotAsWanted, err)
	case errors.Is(err, obs.ErrDenied):
		r.note("%s: reading it is denied; allow %s", what, right)
	case isNotImplemented(err), statusOf(err) >= 400 && statusOf(err) < 500 && ctx.Err() == nil:
		r.note("%s: the store does not tell (%s)", what, codeOf(err))
	default:
		return err
	}
	return nil
}

func (c *Client) findVersioning(ctx context.Context, r *Report) error {
	out, err := c.s3.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &c.bucket})
	if err != nil {
		return c.unanswered(ctx, r, "versioning", "s3:GetBucketVersioning", err)
	}
	r.Exists, r.Versioned = Yes, No
	if out.Status == types.BucketVersioningStatusEnabled {
		r.Versioned = Yes
	}
	return nil
}

func (c *Client) findEncryption(ctx context.Context, r *Report) error {
	out, err := c.s3.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: &c.bucket})
	switch {
	case codeOf(err) == "ServerSideEncryptionConfigurationNotFoundError":
		r.Exists = Yes
		return nil
	case err != nil:
		return c.unanswered(ctx, r, "default encryption", "s3:GetEncryptionConfiguration", err)
	}
	r.Exists = Yes
	if out.ServerSideEncryptionConfiguration == nil {
		return nil
	}
	for _, rule := range out.ServerSideEncryptionConfiguration.Rules {
		if by := rule.ApplyServerSideEncryptionByDefault; by != nil {
			r.Encryption, r.KMSKeyID = Encryption(by.SSEAlgorithm), aws.ToString(by.KMSMasterKeyID)
		}
	}
	return nil
}

func (c *Client) findLock(ctx context.Context, r *Report) error {
	out, err := c.s3.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &c.bucket})
	switch code := codeOf(err); {
	case code == "ObjectLockConfigurationNotFoundError", code == "NoSuchObjectLockConfiguration":
		r.Exists = Yes
		return nil
	case err != nil:
		return c.unanswered(ctx, r, "default object lock", "s3:GetBucketObjectLockConfiguration", err)
	}
	r.Exists = Yes
	if out.ObjectLockConfiguration == nil || out.ObjectLockConfiguration.Rule == nil {
		return nil
	}
	if by := out.ObjectLockConfiguration.Rule.DefaultRetention; by != nil {
		const day = 24 * time.Hour
		r.Lock = LockMode(by.Mode)
		r.Retention = time.Duration(aws.ToInt32(by.Days))*day + time.Duration(aws.ToInt32(by.Years))*365*day
	}
	return nil
}
