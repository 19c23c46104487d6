package s3obs_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/s3obs"
)

const minPart = 5 << 20

// random returns n bytes that are the same each time.
func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b) //nolint:errcheck // it never fails
	return b
}

func TestServersVouchForContent(t *testing.T) {
	eachServer(t, func(t *testing.T, s *store) {
		for name, opts := range map[string]s3obs.Options{
			"headers":    {PartSize: minPart},
			"trailers":   {PartSize: minPart, Checksums: s3obs.ChecksumTrailers},
			"write only": {PartSize: minPart, WriteOnly: true},
		} {
			t.Run(name, func(t *testing.T) {
				c := s.open(t, s.bucket(t, false), opts)
				for _, size := range []int{0, 1, minPart, minPart + 1, 2*minPart + 12345} {
					data := random(size)
					sum := sha256.Sum256(data)
					o, err := c.Put(t.Context(), "k", bytes.NewReader(data), &obs.PutOptions{SHA256: sum[:], Metadata: map[string]string{"k": "v"}})
					if err != nil {
						t.Fatalf("%d bytes: %v", size, err)
					}
					if !bytes.Equal(o.SHA256, sum[:]) || o.Size != int64(size) || o.Metadata["k"] != "v" {
						t.Errorf("%d bytes: Put tells %+v, want the SHA-256 %x", size, o, sum)
					}
					r, got, err := c.Get(t.Context(), "k")
					if err != nil {
						t.Fatal(err)
					}
					back, err := io.ReadAll(r)
					if err != nil || !bytes.Equal(back, data) || r.Close() != nil || got.ETag != o.ETag {
						t.Errorf("%d bytes: got %d, %v, ETag %s; want ETag %s", size, len(back), err, got.ETag, o.ETag)
					}
				}
			})
		}
	})
}

func TestServersKeepFromReplacingParts(t *testing.T) {
	eachServer(t, func(t *testing.T, s *store) {
		bucket := s.bucket(t, false)
		first, second := random(2*minPart), append(random(2*minPart), 'x')
		for _, conditional := range []s3obs.Conditional{s3obs.ConditionalAuto, s3obs.ConditionalRequire, s3obs.ConditionalOff} {
			c := s.open(t, bucket, s3obs.Options{PartSize: minPart, Conditional: conditional})
			key := "k" + string(rune('0'+conditional))
			opts := &obs.PutOptions{IfAbsent: true}
			if _, err := c.Put(t.Context(), key, bytes.NewReader(first), opts); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Put(t.Context(), key, bytes.NewReader(second), opts); !errors.Is(err, obs.ErrExists) {
				t.Errorf("mode %d: got %v, want ErrExists", conditional, err)
			}
			if o, err := c.Head(t.Context(), key); err != nil || o.Size != int64(len(first)) {
				t.Errorf("mode %d: the object is now %+v, %v", conditional, o, err)
			}
		}
		out, err := s.admin.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &bucket})
		if err != nil || len(out.Uploads) != 0 {
			t.Errorf("refused puts left %d uploads over, %v", len(out.Uploads), err)
		}
	})
}

func TestServersEncrypt(t *testing.T) {
	eachServer(t, func(t *testing.T, s *store) {
		bucket := s.bucket(t, false)
		for name, opts := range map[string]s3obs.Options{
			"SSE-S3":         {Encryption: s3obs.EncryptionS3},
			"SSE-KMS":        {Encryption: s3obs.EncryptionKMS},
			"SSE-KMS by key": {Encryption: s3obs.EncryptionKMS, KMSKeyID: "key-1"},
		} {
			t.Run(name, func(t *testing.T) {
				opts.PartSize = minPart
				c := s.open(t, bucket, opts)
				for _, size := range []int{3, minPart + 3} {
					data := random(size)
					_, err := c.Put(t.Context(), "k", bytes.NewReader(data), nil)
					if !s.kms {
						if !errors.Is(err, s3obs.ErrUnprotected) {
							t.Fatalf("a store without encryption: got %v, want ErrUnprotected", err)
						}
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					key := "k"
					head, err := s.admin.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
					if err != nil || string(head.ServerSideEncryption) != string(opts.Encryption) {
						t.Errorf("it is encrypted with %q, %v", head.ServerSideEncryption, err)
					}
					r, _, err := c.Get(t.Context(), "k")
					if err != nil {
						t.Fatal(err)
					}
					if back, err := io.ReadAll(r); err != nil || !bytes.Equal(back, data) || r.Close() != nil {
						t.Errorf("got %d bytes, %v", len(back), err)
					}
				}
			})
		}
		if !s.kms {
			return
		}
		c := s.open(t, bucket, s3obs.Options{Encryption: s3obs.EncryptionKMS, KMSKeyID: "no-such-key"})
		if _, err := c.Put(t.Context(), "other", strings.NewReader("x"), nil); err == nil {
			t.Error("a key that is not there was taken")
		}
	})
}

func TestServersLock(t *testing.T) {
	eachServer(t, func(t *testing.T, s *store) {
		bucket := s.bucket(t, true)
		c := s.open(t, bucket, s3obs.Options{Lock: s3obs.LockCompliance, Retention: time.Hour, PartSize: minPart})
		for key, size := range map[string]int{"small": 3, "parts": minPart + 3} {
			if _, err := c.Put(t.Context(), key, bytes.NewReader(random(size)), nil); err != nil {
				t.Fatal(err)
			}
			versions, _ := s.versions(t, bucket, key)
			if len(versions) != 1 {
				t.Fatalf("%d versions", len(versions))
			}
			id := versions[0].VersionId
			kept, err := s.admin.GetObjectRetention(t.Context(), &s3.GetObjectRetentionInput{Bucket: &bucket, Key: &key, VersionId: id})
			if err != nil || kept.Retention.Mode != types.ObjectLockRetentionModeCompliance || time.Until(*kept.Retention.RetainUntilDate) < 50*time.Minute {
				t.Errorf("%s: retention %+v, %v", key, kept, err)
			}
			bypass := true
			_, err = s.admin.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: &key, VersionId: id, BypassGovernanceRetention: &bypass})
			if err == nil {
				t.Errorf("%s: the administrator deleted a version under compliance lock", key)
			}
			// Hiding and replacing leave the version.
			if err := c.Delete(t.Context(), key); err != nil && !errors.Is(err, obs.ErrDenied) {
				t.Errorf("%s: Delete: %v", key, err)
			}
			if _, err := c.Put(t.Context(), key, strings.NewReader("other"), nil); err != nil && !errors.Is(err, obs.ErrDenied) {
				t.Errorf("%s: Put: %v", key, err)
			}
			versions, _ = s.versions(t, bucket, key)
			if last := versions[len(versions)-1]; *last.VersionId != *id || *last.Size != int64(size) {
				t.Errorf("%s: the locked version is gone: %d versions", key, len(versions))
			}
		}
		unlocked := s.open(t, s.bucket(t, false), s3obs.Options{Lock: s3obs.LockCompliance, Retention: time.Hour})
		if _, err := unlocked.Put(t.Context(), "k", strings.NewReader("x"), nil); err == nil {
			t.Error("a bucket without object lock took a locked object")
		}
	})
}

func TestMetadataLimitOfMinIO(t *testing.T) {
	s := newStore(t, servers[0])
	c := s.open(t, s.bucket(t, false), s3obs.Options{})
	for over, want := range []error{nil, obs.ErrInvalid} {
		value := strings.Repeat("v", 2048-len("x-amz-meta-k")+over)
		_, err := c.Put(t.Context(), "k", strings.NewReader("x"), &obs.PutOptions{Metadata: map[string]string{"k": value}})
		if !errors.Is(err, want) {
			t.Errorf("%d bytes over the limit: got %v, want %v", over, err, want)
		}
	}
}

func TestServersRefuse(t *testing.T) {
	eachServer(t, func(t *testing.T, s *store) {
		nowhere := s.open(t, "cts-no-such-bucket", s3obs.Options{})
		stranger := s.open(t, s.bucket(t, false), s3obs.Options{Credentials: s3obs.StaticCredentials("NOBODY", "NOBODYNOBODY", "")})
		for name, test := range map[string]struct {
			c    *s3obs.Client
			want error
		}{"no bucket": {nowhere, obs.ErrNoBucket}, "no right": {stranger, obs.ErrDenied}} {
			t.Run(name, func(t *testing.T) {
				_, err := test.c.Put(t.Context(), "k", strings.NewReader("x"), nil)
				wantIs(t, "Put", err, test.want)
				_, err = test.c.Put(t.Context(), "k", strings.NewReader("x"), &obs.PutOptions{IfAbsent: true})
				wantIs(t, "Put with IfAbsent", err, test.want)
				_, _, err = test.c.Get(t.Context(), "k")
				wantIs(t, "Get", err, test.want)
				_, err = test.c.Head(t.Context(), "k")
				wantIs(t, "Head", err, test.want)
				for _, err := range test.c.List(t.Context(), "", nil) {
					wantIs(t, "List", err, test.want)
				}
				wantIs(t, "Delete", test.c.Delete(t.Context(), "k"), test.want)
				_, err = test.c.CheckBucket(t.Context(), nil)
				wantIs(t, "CheckBucket", err, test.want)
				wantIs(t, "CheckBucket", err, s3obs.ErrNotAsWanted)
			})
		}
	})
}

func wantIs(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}
