package s3obs_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/s3obs"
)

// answers is what a store answers to requests of these names, as status and body,
// or status and code.
type answers map[string]struct {
	status int
	body   string
}

func (a answers) before(w http.ResponseWriter, r *http.Request) bool {
	answer, ok := a[requestName(r)]
	switch {
	case !ok:
		return false
	case answer.status == http.StatusOK:
		answerXML(w, "Answer", answer.body)
	default:
		answerError(w, answer.status, answer.body)
	}
	return true
}

const (
	askBucket     = "HEAD "
	askVersioning = "GET ?versioning"
	askEncryption = "GET ?encryption"
	askLock       = "GET ?object-lock"
	headProbe     = "HEAD CloudTraces/cts-check"
	putProbe      = "PUT CloudTraces/cts-check"
	deleteProbe   = "DELETE CloudTraces/cts-check"

	versioned = "<Status>Enabled</Status>"
	encrypted = "<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>key</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule>"
	locked    = "<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Years>1</Years></DefaultRetention></Rule>"
)

func TestCheckBucket(t *testing.T) {
	const year = 365 * 24 * time.Hour
	yes, no := s3obs.Yes, s3obs.No
	plain := s3obs.Report{
		Bucket: "bucket", Exists: yes, Writable: yes, Readable: yes, PutIfAbsent: yes, Checksum: yes, Versioned: no, Deletable: yes,
	}
	for _, test := range []struct {
		name    string
		answers answers
		header  int
		opts    s3obs.Options
		want    *s3obs.Want
		report  func(r *s3obs.Report)
		errs    []error
		says    []string
	}{
		{name: "plain", want: nil, report: func(*s3obs.Report) {}},
		{
			name: "evidence",
			answers: answers{
				askVersioning: {200, versioned}, askEncryption: {200, encrypted}, askLock: {200, locked}, deleteProbe: {403, "AccessDenied"},
			},
			want: s3obs.Evidence(year),
			report: func(r *s3obs.Report) {
				r.Versioned, r.Encryption, r.KMSKeyID, r.Lock, r.Retention, r.Deletable = yes, s3obs.EncryptionKMS, "key", s3obs.LockCompliance, year, no
				r.Notes = []string{"the probe CloudTraces/cts-check stays in the bucket"}
			},
		},
		{
			name: "nothing of it", want: &s3obs.Want{Encryption: s3obs.EncryptionS3, Versioned: true, Lock: s3obs.LockGovernance, Retention: year, NoDelete: true},
			report: func(*s3obs.Report) {}, errs: []error{s3obs.ErrNotAsWanted},
			says: []string{"encryption is none found, wanted AES256", "versioning is off", "object lock is none found, wanted GOVERNANCE", "may delete"},
		},
		{
			name: "locked for too short", answers: answers{askLock: {200, locked}}, want: &s3obs.Want{Lock: s3obs.LockCompliance, Retention: year + 1},
			report: func(r *s3obs.Report) { r.Lock, r.Retention = s3obs.LockCompliance, year }, errs: []error{s3obs.ErrNotAsWanted},
			says: []string{"objects are locked for 8760h0m0s, wanted"},
		},
		{
			name: "no right to ask", answers: answers{
				askBucket: {403, ""}, askVersioning: {403, "AccessDenied"}, askEncryption: {403, "AccessDenied"}, askLock: {403, "AccessDenied"}, headProbe: {403, ""},
			},
			want: &s3obs.Want{Versioned: true},
			report: func(r *s3obs.Report) {
				r.Versioned, r.Readable = s3obs.Unknown, no
				r.Notes = []string{
					"versioning: reading it is denied; allow s3:GetBucketVersioning",
					"default encryption: reading it is denied; allow s3:GetEncryptionConfiguration",
					"default object lock: reading it is denied; allow s3:GetBucketObjectLockConfiguration",
				}
			},
			errs: []error{s3obs.ErrNotAsWanted}, says: []string{"allow s3:GetBucketVersioning"},
		},
		{
			name: "store that can't tell", answers: answers{askVersioning: {501, "NotImplemented"}, askEncryption: {405, "MethodNotAllowed"}, askLock: {400, "InvalidRequest"}},
			report: func(r *s3obs.Report) {
				r.Versioned = s3obs.Unknown
				r.Notes = []string{
					"versioning: the store does not tell (NotImplemented)", "default encryption: the store does not tell (MethodNotAllowed)",
					"default object lock: the store does not tell (InvalidRequest)",
				}
			},
		},
		{
			name: "header refused", header: refuseHeader, want: &s3obs.Want{NoReplace: true},
			report: func(r *s3obs.Report) { r.PutIfAbsent = no }, errs: []error{s3obs.ErrNotAsWanted}, says: []string{"does not honour If-None-Match"},
		},
		{
			name: "header ignored", header: ignoreHeader, want: &s3obs.Want{NoReplace: true},
			report: func(r *s3obs.Report) { r.PutIfAbsent = no }, errs: []error{s3obs.ErrNotAsWanted}, says: []string{"does not honour If-None-Match"},
		},
		{
			name: "encryption of the probe", opts: s3obs.Options{Encryption: s3obs.EncryptionKMS, KMSKeyID: "mine"}, want: &s3obs.Want{Encryption: s3obs.EncryptionS3},
			report: func(r *s3obs.Report) { r.Encryption, r.KMSKeyID = s3obs.EncryptionKMS, "mine" },
		},
		{
			name: "lock that is ignored", opts: s3obs.Options{Lock: s3obs.LockCompliance, Retention: year}, want: &s3obs.Want{Lock: s3obs.LockCompliance},
			report: func(r *s3obs.Report) {
				r.Notes = []string{"object lock: it was asked for, and the probe shows none: the store ignores it, or reading it needs s3:GetObjectRetention"}
			},
			errs: []error{s3obs.ErrNotAsWanted},
		},
		{
			name: "not writable", answers: answers{putProbe: {403, "AccessDenied"}},
			report: func(r *s3obs.Report) {
				r.Writable, r.Readable, r.PutIfAbsent, r.Checksum, r.Deletable = no, 0, 0, 0, 0
			},
			errs: []error{s3obs.ErrNotAsWanted, obs.ErrDenied}, says: []string{"not writable"},
		},
		{
			name: "reader", want: &s3obs.Want{ReadOnly: true, NoDelete: true},
			report: func(r *s3obs.Report) {
				r.Writable, r.Readable, r.PutIfAbsent, r.Checksum, r.Deletable = 0, 0, 0, 0, 0
			},
		},
		{
			name: "no bucket", answers: answers{askBucket: {404, ""}},
			report: func(r *s3obs.Report) { *r = s3obs.Report{Bucket: "bucket", Exists: no} },
			errs:   []error{s3obs.ErrNotAsWanted, obs.ErrNoBucket},
		},
		{
			name: "no bucket and no right to ask", answers: answers{askBucket: {403, ""}, askVersioning: {404, "NoSuchBucket"}},
			report: func(r *s3obs.Report) { *r = s3obs.Report{Bucket: "bucket", Exists: no} },
			errs:   []error{s3obs.ErrNotAsWanted, obs.ErrNoBucket},
		},
		{
			name: "throttled", answers: answers{askLock: {503, "SlowDown"}},
			report: func(r *s3obs.Report) { *r = s3obs.Report{Bucket: "bucket", Exists: yes, Versioned: no} },
			errs:   []error{obs.ErrThrottled},
		},
		{
			name: "bad key", want: &s3obs.Want{ProbeKey: "../x"},
			report: func(r *s3obs.Report) { *r = s3obs.Report{Bucket: "bucket", Exists: yes, Versioned: no} },
			errs:   []error{obs.ErrInvalidKey},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t)
			f.ifNoneMatch, f.before = test.header, test.answers.before
			got, err := f.open(t, test.opts).CheckBucket(t.Context(), test.want)
			want := plain
			test.report(&want)
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (err != nil) != (len(test.errs) > 0) {
				t.Fatalf("got %v, want %v", err, test.errs)
			}
			for _, want := range test.errs {
				wantIs(t, "CheckBucket", err, want)
			}
			for _, text := range test.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("the error does not say %q:\n%v", text, err)
				}
			}
		})
	}
}

// TestCheckTeaches shows that what the check found out about the header is used.
func TestCheckTeaches(t *testing.T) {
	f := newFake(t)
	f.ifNoneMatch = ignoreHeader
	c := f.open(t, s3obs.Options{})
	if _, err := c.CheckBucket(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	f.log()
	if _, err := c.Put(t.Context(), "k", strings.NewReader("x"), ifAbsent); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.log(), " "); got != "HEAD k PUT k HEAD k HEAD k" {
		t.Errorf("requests: %s", got)
	}
}

func TestCheckEndsWithTheContext(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			cancel()
		}
		return false
	}
	r, err := f.open(t, s3obs.Options{}).CheckBucket(ctx, nil)
	if r == nil || !errors.Is(err, context.Canceled) || errors.Is(err, s3obs.ErrNotAsWanted) {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestReportForPeople(t *testing.T) {
	r := &s3obs.Report{
		Bucket: "trail", Exists: s3obs.Yes, Writable: s3obs.No, Encryption: s3obs.EncryptionKMS, KMSKeyID: "key-1",
		Lock: s3obs.LockCompliance, Retention: 24 * time.Hour, Notes: []string{"one", "two"},
	}
	const want = `bucket         trail
exists         yes
writable       no
readable       unknown
put if absent  unknown
checksum       unknown
versioned      unknown
encryption     aws:kms key-1
lock           COMPLIANCE for 24h0m0s
deletable      unknown
note           one
note           two
`
	if diff := cmp.Diff(want, r.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := (&s3obs.Report{}).String(); strings.Count(got, "none found") != 2 {
		t.Errorf("got\n%s", got)
	}
}
