package s3obs_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/s3obs"
)

const (
	traceKey  = "CloudTraces/eu-de/2026/01/02/system/ECS/CloudTrace_eu-de_2026-01-02T03-04-05Z_0123456789abcdef.json.gz"
	digestKey = "CloudTraces/eu-de/2026/01/02/system/Digest/ECS/CloudTrace-Digest_eu-de_2026-01-02T03-04-05Z.json.gz"
)

// as returns credentials that have the printed rights and no others: temporary
// keys with the policy, or a new user's, whom the policy of the bucket lets in.
func (s *store) as(t *testing.T, bucket string, opts s3obs.PolicyOptions, roles ...s3obs.Role) aws.CredentialsProvider {
	t.Helper()
	var user aws.CredentialsProvider
	if !s.sts {
		opts.Principals, user = s.newUser(t)
	}
	policy, err := s3obs.Policy(bucket, &opts, roles...)
	if err != nil {
		t.Fatal(err)
	}
	if !s.sts {
		_, err := s.admin.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: &bucket, Policy: &policy})
		if err != nil {
			t.Fatal(err)
		}
		return user
	}
	client := sts.New(sts.Options{BaseEndpoint: &s.endpoint, Region: "us-east-1", Credentials: s3obs.StaticCredentials(s.accessKey, s.secretKey, "")})
	out, err := client.AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:xxx:xxx:xxx:xxxx"), RoleSessionName: aws.String("session"), Policy: &policy,
	})
	if err != nil {
		t.Fatal(err)
	}
	k := out.Credentials
	return s3obs.StaticCredentials(*k.AccessKeyId, *k.SecretAccessKey, *k.SessionToken)
}

// newUser makes a user without rights, by the administration interface of versitygw.
func (s *store) newUser(t *testing.T) (principals []string, keys aws.CredentialsProvider) {
	t.Helper()
	name, secret := rand.Text(), rand.Text()
	body := "<Account><Access>" + name + "</Access><Secret>" + secret + "</Secret><Role>user</Role></Account>"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, s.endpoint+"/create-user", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(body))
	req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	admin := aws.Credentials{AccessKeyID: s.accessKey, SecretAccessKey: s.secretKey}
	if err := v4.NewSigner().SignHTTP(t.Context(), admin, req, hex.EncodeToString(sum[:]), "s3", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("making a user: %s", resp.Status)
	}
	return []string{name}, s3obs.StaticCredentials(name, secret, "")
}

func (s *store) writeOnly(t *testing.T, bucket string) s3obs.Options {
	t.Helper()
	return s3obs.Options{Credentials: s.as(t, bucket, s3obs.PolicyOptions{}, s3obs.Writer), WriteOnly: true, PartSize: minPart}
}

func TestServersLetAWriterWrite(t *testing.T) {
	eachServer(t, func(t *testing.T, s *store) {
		bucket := s.bucket(t, true)
		writer := s.open(t, bucket, s.writeOnly(t, bucket))
		for _, size := range []int{3, minPart + 3} {
			data := random(size)
			key := traceKey + string(rune('a'+size%7))
			opts := &obs.PutOptions{IfAbsent: true}
			o, err := writer.Put(t.Context(), key, bytes.NewReader(data), opts)
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			if len(o.SHA256) != 32 || o.ModTime.IsZero() || o.ETag == "" {
				t.Errorf("%d bytes: the writer has no proof: %+v", size, o)
			}
			_, err = writer.Put(t.Context(), key, strings.NewReader("other"), opts)
			wantIs(t, "putting again", err, obs.ErrExists)
			_, err = writer.Put(t.Context(), key, bytes.NewReader(random(minPart+9)), opts)
			wantIs(t, "putting again in parts", err, obs.ErrExists)
			_, _, err = writer.Get(t.Context(), key)
			wantIs(t, "Get", err, obs.ErrDenied)
			_, err = writer.Head(t.Context(), key)
			wantIs(t, "Head", err, obs.ErrDenied)
			wantIs(t, "Delete", writer.Delete(t.Context(), key), obs.ErrDenied)
			versions, markers := s.versions(t, bucket, key)
			if len(versions) != 1 || len(markers) != 0 || *versions[0].Size != int64(size) {
				t.Errorf("%d bytes: %d versions and %d markers, want the one that was put", size, len(versions), len(markers))
			}
		}
		for _, err := range writer.List(t.Context(), "CloudTraces/", nil) {
			wantIs(t, "List", err, obs.ErrDenied)
		}
		for _, key := range []string{digestKey, "elsewhere/k"} {
			_, err := writer.Put(t.Context(), key, strings.NewReader("x"), nil)
			wantIs(t, "Put of "+key, err, obs.ErrDenied)
		}
	})
}

func TestServersLetAWriterBackIn(t *testing.T) {
	eachServer(t, func(t *testing.T, s *store) {
		bucket := s.bucket(t, false)
		// Without WriteOnly: the description is denied, and the put succeeds.
		opts := s.writeOnly(t, bucket)
		opts.WriteOnly = false
		c := s.open(t, bucket, opts)
		o, err := c.Put(t.Context(), traceKey, strings.NewReader("x"), &obs.PutOptions{IfAbsent: true, ContentType: "text/plain"})
		if err != nil || len(o.SHA256) != 32 || o.ContentType != "text/plain" {
			t.Errorf("got %+v, %v", o, err)
		}
		back := s.open(t, bucket, s3obs.Options{Credentials: s.as(t, bucket, s3obs.PolicyOptions{ReadBack: true}, s3obs.Writer)})
		if o, err := back.Head(t.Context(), traceKey); err != nil || o.Size != 1 {
			t.Errorf("with ReadBack: got %+v, %v", o, err)
		}
		wantIs(t, "Delete", back.Delete(t.Context(), traceKey), obs.ErrDenied)
	})
}

func TestServersLetASealerSealAndAReaderRead(t *testing.T) {
	eachServer(t, func(t *testing.T, s *store) {
		bucket := s.bucket(t, false)
		admin := s.open(t, bucket, s3obs.Options{})
		for _, key := range []string{traceKey, "elsewhere/k"} {
			if _, err := admin.Put(t.Context(), key, strings.NewReader("x"), nil); err != nil {
				t.Fatal(err)
			}
		}
		sealer := s.open(t, bucket, s3obs.Options{Credentials: s.as(t, bucket, s3obs.PolicyOptions{}, s3obs.Sealer)})
		if _, err := sealer.Put(t.Context(), digestKey, strings.NewReader("x"), &obs.PutOptions{IfAbsent: true}); err != nil {
			t.Errorf("a digest: %v", err)
		}
		_, err := sealer.Put(t.Context(), traceKey+"x", strings.NewReader("x"), nil)
		wantIs(t, "the sealer's trace file", err, obs.ErrDenied)
		readsTraces(t, sealer, 2)

		reader := s.open(t, bucket, s3obs.Options{Credentials: s.as(t, bucket, s3obs.PolicyOptions{}, s3obs.Reader)})
		readsTraces(t, reader, 2)
		_, err = reader.Put(t.Context(), digestKey, strings.NewReader("x"), nil)
		wantIs(t, "the reader's digest", err, obs.ErrDenied)
		if r, err := reader.CheckBucket(t.Context(), &s3obs.Want{ReadOnly: true}); err != nil || r.Exists != s3obs.Yes || r.Versioned != s3obs.No {
			t.Errorf("the reader's check: %v\n%s", err, r)
		}

		both := s.open(t, bucket, s3obs.Options{Credentials: s.as(t, bucket, s3obs.PolicyOptions{}, s3obs.Writer, s3obs.Sealer)})
		for _, key := range []string{traceKey + "y", digestKey + "y"} {
			if _, err := both.Put(t.Context(), key, strings.NewReader("x"), nil); err != nil {
				t.Errorf("writer and sealer: %v", err)
			}
		}
		wantIs(t, "Delete", both.Delete(t.Context(), traceKey), obs.ErrDenied)
	})
}

// readsTraces demands that a client finds n objects and reads one, and nothing
// elsewhere.
func readsTraces(t *testing.T, c *s3obs.Client, n int) {
	t.Helper()
	found := 0
	for _, err := range c.List(t.Context(), "CloudTraces/", nil) {
		if err != nil {
			t.Fatal(err)
		}
		found++
	}
	if o, err := c.Head(t.Context(), traceKey); err != nil || o.Size != 1 || found != n {
		t.Errorf("found %d objects, want %d; Head: %+v, %v", found, n, o, err)
	}
	_, _, err := c.Get(t.Context(), "elsewhere/k")
	wantIs(t, "Get elsewhere", err, obs.ErrDenied)
	for _, err := range c.List(t.Context(), "", nil) {
		wantIs(t, "List of all", err, obs.ErrDenied)
	}
	wantIs(t, "Delete", c.Delete(t.Context(), traceKey), obs.ErrDenied)
}

func TestServersAreChecked(t *testing.T) {
	eachServer(t, func(t *testing.T, s *store) {
		bucket := s.bucket(t, false)
		c := s.open(t, bucket, s3obs.Options{})
		r, err := c.CheckBucket(t.Context(), &s3obs.Want{NoReplace: true})
		if err != nil {
			t.Fatalf("%v\n%s", err, r)
		}
		want := s3obs.Report{
			Bucket: bucket, Exists: s3obs.Yes, Writable: s3obs.Yes, Readable: s3obs.Yes, PutIfAbsent: s3obs.Yes,
			Checksum: s3obs.Yes, Versioned: s3obs.No, Deletable: s3obs.Yes,
		}
		if r.String() != want.String() && s.kms {
			t.Errorf("got\n%swant\n%s", r, &want)
		}
		if r.Writable != s3obs.Yes || r.PutIfAbsent != s3obs.Yes || r.Checksum != s3obs.Yes || r.Deletable != s3obs.Yes {
			t.Errorf("got\n%s", r)
		}
		for o, err := range c.List(t.Context(), "", nil) {
			t.Errorf("the check left %q, %v", o.Key, err)
		}
		r, err = c.CheckBucket(t.Context(), s3obs.Evidence(time.Hour))
		wantIs(t, "Evidence of a plain bucket", err, s3obs.ErrNotAsWanted)
		for _, text := range []string{"versioning is off", "object lock is none", "may delete"} {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("the error does not say that %s:\n%v\n%s", text, err, r)
			}
		}
		kms := s.open(t, bucket, s3obs.Options{Encryption: s3obs.EncryptionKMS})
		r, err = kms.CheckBucket(t.Context(), &s3obs.Want{Encryption: s3obs.EncryptionKMS})
		if s.kms && err != nil || !s.kms && !errors.Is(err, s3obs.ErrNotAsWanted) {
			t.Errorf("SSE-KMS: %v\n%s", err, r)
		}
	})
}

func TestServersHoldEvidence(t *testing.T) {
	eachServer(t, func(t *testing.T, s *store) {
		bucket := s.bucket(t, true)
		_, err := s.admin.PutObjectLockConfiguration(t.Context(), &s3.PutObjectLockConfigurationInput{
			Bucket: &bucket, ObjectLockConfiguration: &types.ObjectLockConfiguration{
				ObjectLockEnabled: types.ObjectLockEnabledEnabled,
				Rule:              &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{Mode: types.ObjectLockRetentionModeCompliance, Days: aws.Int32(2)}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		const day = 24 * time.Hour
		writer := s.open(t, bucket, s.writeOnly(t, bucket))
		for range 2 {
			r, err := writer.CheckBucket(t.Context(), s3obs.Evidence(2*day))
			if err != nil {
				t.Fatalf("%v\n%s", err, r)
			}
			if r.Deletable != s3obs.No || r.Readable != s3obs.No || r.Lock != s3obs.LockCompliance || r.Retention != 2*day || r.PutIfAbsent != s3obs.Yes {
				t.Errorf("got\n%s", r)
			}
		}
		if versions, _ := s.versions(t, bucket, "CloudTraces/cts-check"); len(versions) != 1 {
			t.Errorf("two checks left %d probes", len(versions))
		}
		_, err = writer.CheckBucket(t.Context(), s3obs.Evidence(3*day))
		wantIs(t, "a longer retention", err, s3obs.ErrNotAsWanted)

		admin := s.open(t, bucket, s3obs.Options{})
		r, err := admin.CheckBucket(t.Context(), s3obs.Evidence(2*day))
		wantIs(t, "the administrator", err, s3obs.ErrNotAsWanted)
		if r.Deletable != s3obs.Yes || !strings.Contains(err.Error(), "may delete") {
			t.Errorf("got %v\n%s", err, r)
		}
		if versions, markers := s.versions(t, bucket, "CloudTraces/cts-check"); len(versions) != 1 || len(markers) != 0 {
			t.Errorf("the administrator's check left %d probes and %d markers", len(versions), len(markers))
		}
	})
}

func TestServersLockWhatAWriterPuts(t *testing.T) {
	eachServer(t, func(t *testing.T, s *store) {
		bucket := s.bucket(t, true)
		opts := s3obs.Options{
			Credentials: s.as(t, bucket, s3obs.PolicyOptions{Lock: true, ReadBack: true}, s3obs.Writer),
			Lock:        s3obs.LockCompliance, Retention: time.Hour,
		}
		c := s.open(t, bucket, opts)
		if _, err := c.Put(t.Context(), traceKey, strings.NewReader("x"), &obs.PutOptions{IfAbsent: true}); err != nil {
			t.Fatal(err)
		}
		key := traceKey
		kept, err := s.admin.GetObjectRetention(t.Context(), &s3.GetObjectRetentionInput{Bucket: &bucket, Key: &key})
		if err != nil || kept.Retention.Mode != types.ObjectLockRetentionModeCompliance {
			t.Errorf("retention %+v, %v", kept, err)
		}
		if r, err := c.CheckBucket(t.Context(), s3obs.Evidence(time.Hour)); err != nil {
			t.Errorf("%v\n%s", err, r)
		}
	})
}
