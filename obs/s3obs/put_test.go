package s3obs_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/obstest"
	"github.com/cloudtraceservice/cts/obs/s3obs"
)

func TestContract(t *testing.T) {
	const slow = "ListMany" // needed once
	for name, test := range map[string]struct {
		opts   s3obs.Options
		fake   func(t *testing.T, f *fake)
		cannot []string
	}{
		"default":                      {},
		"trailers":                     {opts: s3obs.Options{Checksums: s3obs.ChecksumTrailers}, fake: func(t *testing.T, f *fake) { f.overTLS(t) }, cannot: []string{slow}},
		"without checksums in answers": {fake: func(_ *testing.T, f *fake) { f.noChecksums = true }, cannot: []string{slow}},
		// What is left without the header does not win races.
		"header off":     {opts: s3obs.Options{Conditional: s3obs.ConditionalOff}, cannot: []string{slow, "IfAbsentRace"}},
		"header refused": {fake: func(_ *testing.T, f *fake) { f.ifNoneMatch = refuseHeader }, cannot: []string{slow, "IfAbsentRace"}},
		"header ignored": {fake: func(_ *testing.T, f *fake) { f.ifNoneMatch = ignoreHeader }, cannot: []string{slow, "IfAbsentRace"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obstest.Run(t, func(t *testing.T) obs.Client {
				if slices.Contains(test.cannot, path.Base(t.Name())) {
					t.Skip("slow, or not promised: see Conditional")
				}
				f := newFake(t)
				if test.fake != nil {
					test.fake(t, f)
				}
				return f.open(t, test.opts)
			})
		})
	}
}

func TestEveryPutHasChecksums(t *testing.T) {
	for _, tls := range []bool{false, true} {
		f := newFake(t)
		if tls {
			f.overTLS(t)
		}
		var mu sync.Mutex
		bodies := map[*http.Request][]byte{}
		f.before = func(_ http.ResponseWriter, r *http.Request) bool {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			mu.Lock()
			bodies[r] = body
			mu.Unlock()
			return false
		}
		c := f.open(t, s3obs.Options{PartSize: minPart})
		for _, size := range []int{0, 1, 100_000, minPart, 2*minPart + 1} {
			if _, err := c.Put(t.Context(), "k", bytes.NewReader(random(size)), nil); err != nil {
				t.Fatal(err)
			}
		}
		puts := f.sent("PUT")
		if len(puts) != 4+3 {
			t.Errorf("%d puts and parts", len(puts))
		}
		for _, r := range puts {
			sum, sum5 := sha256.Sum256(bodies[r]), md5.Sum(bodies[r])
			want := []string{base64.StdEncoding.EncodeToString(sum5[:]), base64.StdEncoding.EncodeToString(sum[:]), hex.EncodeToString(sum[:])}
			got := []string{r.Header.Get("Content-Md5"), r.Header.Get("X-Amz-Checksum-Sha256"), r.Header.Get("X-Amz-Content-Sha256")}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("TLS %t, %s of %d bytes (-want +got):\n%s", tls, requestName(r), len(bodies[r]), diff)
			}
			if r.Header.Get("Content-Encoding") != "" || r.Header.Get("X-Amz-Trailer") != "" || int(r.ContentLength) != len(bodies[r]) {
				t.Errorf("TLS %t: %s is framed: %v", tls, requestName(r), r.Header)
			}
		}
	}
}

// TestEnvironmentDoesNotDecide has the SDK's variables ask for trailers.
func TestEnvironmentDoesNotDecide(t *testing.T) {
	t.Setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "WHEN_SUPPORTED")
	t.Setenv("AWS_RESPONSE_CHECKSUM_VALIDATION", "WHEN_SUPPORTED")
	t.Setenv("AWS_MAX_ATTEMPTS", "7")
	f := newFake(t)
	f.overTLS(t)
	c := f.open(t, s3obs.Options{MaxAttempts: 2})
	if _, err := c.Put(t.Context(), "k", strings.NewReader("x"), nil); err != nil {
		t.Fatal(err)
	}
	if r := f.sent("PUT")[0]; r.Header.Get("X-Amz-Trailer") != "" {
		t.Errorf("the environment decided: %v", r.Header)
	}
	f.log()
	f.before = always(http.StatusServiceUnavailable, "SlowDown")
	_, err := c.Head(t.Context(), "k")
	wantIs(t, "Head", err, obs.ErrThrottled)
	if n := len(f.log()); n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
}

func TestTrailers(t *testing.T) {
	f := newFake(t)
	f.overTLS(t)
	c := f.open(t, s3obs.Options{Checksums: s3obs.ChecksumTrailers, PartSize: minPart})
	for _, size := range []int{100, minPart + 1} {
		data := random(size)
		sum := sha256.Sum256(data)
		o, err := c.Put(t.Context(), "k", bytes.NewReader(data), nil)
		if err != nil || !bytes.Equal(o.SHA256, sum[:]) {
			t.Errorf("%d bytes: %+v, %v", size, o, err)
		}
		for _, r := range f.sent("PUT") {
			if r.Header.Get("X-Amz-Trailer") != "x-amz-checksum-sha256" {
				t.Errorf("%s has no trailer: %v", requestName(r), r.Header)
			}
		}
		f.log()
	}
}

func TestDamageOnTheWayIsRefused(t *testing.T) {
	f := newFake(t)
	f.before = func(_ http.ResponseWriter, r *http.Request) bool {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if len(body) > 0 && r.Method == http.MethodPut {
			body[len(body)/2] ^= 1
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		return false
	}
	for _, opts := range []s3obs.Options{{PartSize: minPart}, {PartSize: minPart, Checksums: s3obs.ChecksumTrailers}} {
		c := f.open(t, opts)
		for _, size := range []int{100, minPart + 100} {
			_, err := c.Put(t.Context(), "k", bytes.NewReader(random(size)), nil)
			wantIs(t, "Put", err, obs.ErrChecksum)
		}
	}
	if len(f.objects) != 0 || len(f.uploads) != 0 {
		t.Errorf("left: %d objects, %d uploads", len(f.objects), len(f.uploads))
	}
}

func TestStoreWithOtherContent(t *testing.T) {
	const other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for name, size := range map[string]int{"whole": 10, "part": minPart + 1} {
		f := newFake(t)
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut {
				return false
			}
			w.Header().Set("ETag", "e")
			w.Header().Set("X-Amz-Checksum-Sha256", other)
			return true
		}
		_, err := f.open(t, s3obs.Options{PartSize: minPart}).Put(t.Context(), "k", bytes.NewReader(random(size)), nil)
		wantIs(t, name, err, obs.ErrChecksum)
	}
	f := newFake(t)
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || !r.URL.Query().Has("uploadId") {
			return false
		}
		answerXML(w, "CompleteMultipartUploadResult", "<ETag>e</ETag><ChecksumSHA256>"+other+"-2</ChecksumSHA256>")
		return true
	}
	_, err := f.open(t, s3obs.Options{PartSize: minPart}).Put(t.Context(), "k", bytes.NewReader(random(minPart+1)), nil)
	wantIs(t, "parts together", err, obs.ErrChecksum)
}

// unsteadyBody reads otherwise the second time.
type unsteadyBody struct {
	*bytes.Reader
	seeks  int
	second func(p []byte, n int, err error) (int, error)
}

func (b *unsteadyBody) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekStart {
		b.seeks++
	}
	return b.Reader.Seek(offset, whence)
}

func (b *unsteadyBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if b.seeks > 0 {
		return b.second(p, n, err)
	}
	return n, err
}

func TestBodyThatChanges(t *testing.T) {
	errDisk := errors.New("disk failed")
	for name, test := range map[string]struct {
		second func(p []byte, n int, err error) (int, error)
		want   error
	}{
		"other bytes": {func(p []byte, n int, err error) (int, error) {
			if n > 0 {
				p[0] ^= 1
			}
			return n, err
		}, obs.ErrChecksum},
		"shorter": {func([]byte, int, error) (int, error) { return 0, io.EOF }, obs.ErrInvalid},
		"failing": {func([]byte, int, error) (int, error) { return 0, errDisk }, errDisk},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			for _, size := range []int{1000, 2 * minPart} {
				body := &unsteadyBody{Reader: bytes.NewReader(random(size)), second: test.second}
				_, err := f.open(t, s3obs.Options{PartSize: minPart}).Put(t.Context(), "k", body, nil)
				wantIs(t, "Put", err, test.want)
			}
			if len(f.objects) != 0 || len(f.uploads) != 0 {
				t.Errorf("left: %d objects, %d uploads", len(f.objects), len(f.uploads))
			}
			if n := len(f.sent("PUT")); n > 2 {
				t.Errorf("%d attempts: a body's fault was tried again", n)
			}
		})
	}
}

func TestProtectionIsAskedFor(t *testing.T) {
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	opts := s3obs.Options{
		PartSize: minPart, Encryption: s3obs.EncryptionKMS, KMSKeyID: "alias/trail", StorageClass: "STANDARD_IA", BucketOwner: "111122223333",
		Lock: s3obs.LockCompliance, Retention: 48 * time.Hour, Now: func() time.Time { return now },
	}
	want := map[string]string{
		"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "alias/trail", "X-Amz-Storage-Class": "STANDARD_IA",
		"X-Amz-Object-Lock-Mode": "COMPLIANCE", "X-Amz-Object-Lock-Retain-Until-Date": "2026-05-08T07:08:09Z",
		"Content-Type": "text/plain", "Content-Encoding": "gzip", "X-Amz-Meta-K": "v",
	}
	f := newFake(t)
	c := f.open(t, opts)
	put := &obs.PutOptions{ContentType: "text/plain", ContentEncoding: "gzip", Metadata: map[string]string{"k": "v"}}
	for name, size := range map[string]int{"PUT k": 10, "POST k?uploads": minPart + 1} {
		if _, err := c.Put(t.Context(), "k", bytes.NewReader(random(size)), put); err != nil {
			t.Fatal(err)
		}
		sent := f.sent(name)
		if len(sent) != 1 {
			t.Fatalf("%d requests %s", len(sent), name)
		}
		for header, value := range want {
			if got := sent[0].Header.Get(header); got != value {
				t.Errorf("%s: %s is %q, want %q", name, header, got, value)
			}
		}
		for _, r := range f.sent("") {
			if r.Header.Get("X-Amz-Expected-Bucket-Owner") != "111122223333" {
				t.Errorf("%s names no owner", requestName(r))
			}
		}
		f.log()
	}
}

func TestEncryptionMustBeConfirmed(t *testing.T) {
	const arn = "arn:aws:kms:eu-de:1:key/0123"
	for _, test := range []struct {
		name       string
		encryption s3obs.Encryption
		key        string
		answered   string
		answerKey  string
		want       error
	}{
		{"default", s3obs.EncryptionDefault, "", "", "", nil},
		{"confirmed", s3obs.EncryptionS3, "", "AES256", "", nil},
		{"ignored", s3obs.EncryptionS3, "", "", "", s3obs.ErrUnprotected},
		{"another way", s3obs.EncryptionKMS, "", "AES256", "", s3obs.ErrUnprotected},
		{"key by ARN", s3obs.EncryptionKMS, arn, "aws:kms", arn, nil},
		{"key by id", s3obs.EncryptionKMS, "0123", "aws:kms", arn, nil},
		{"key by alias", s3obs.EncryptionKMS, "alias/x", "aws:kms", arn, nil},
		{"another key", s3obs.EncryptionKMS, "4567", "aws:kms", arn, s3obs.ErrUnprotected},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, size := range []int{10, minPart + 1} {
				f := newFake(t)
				f.confirms = &[2]string{test.answered, test.answerKey}
				c := f.open(t, s3obs.Options{Encryption: test.encryption, KMSKeyID: test.key, PartSize: minPart, WriteOnly: true})
				_, err := c.Put(t.Context(), "k", bytes.NewReader(random(size)), nil)
				wantIs(t, "Put", err, test.want)
				if len(f.uploads) != 0 {
					t.Error("parts are left over")
				}
			}
		})
	}
}

func TestWriteOnlyDoesNotRead(t *testing.T) {
	f := newFake(t)
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			answerError(w, http.StatusForbidden, "AccessDenied")
			return true
		}
		return false
	}
	data := []byte("content")
	sum := sha256.Sum256(data)
	put := &obs.PutOptions{IfAbsent: true, ContentType: "text/plain", ContentEncoding: "gzip", Metadata: map[string]string{"k": "v"}}
	want := obs.Object{
		Key: "k", Size: 7, ModTime: f.clock.Add(time.Second), ETag: "9a0364b9e99bb480dd25e1f0284c8555", SHA256: sum[:],
		ContentType: "text/plain", ContentEncoding: "gzip", Metadata: map[string]string{"k": "v"},
	}
	c := f.open(t, s3obs.Options{WriteOnly: true})
	got, err := c.Put(t.Context(), "k", bytes.NewReader(data), put)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	_, err = c.Put(t.Context(), "k", bytes.NewReader(data), put)
	wantIs(t, "again", err, obs.ErrExists)
	if got := f.log(); !slices.Equal(got, []string{"PUT k", "PUT k"}) {
		t.Errorf("requests: %q", got)
	}
	// Without WriteOnly it works the same way, after requests that are denied.
	got, err = f.open(t, s3obs.Options{}).Put(t.Context(), "k2", bytes.NewReader(data), put)
	if err != nil || got.ETag != want.ETag || !bytes.Equal(got.SHA256, sum[:]) || got.Metadata["k"] != "v" {
		t.Errorf("got %+v, %v", got, err)
	}
	if got := f.log(); !slices.Equal(got, []string{"HEAD k2", "PUT k2", "HEAD k2"}) {
		t.Errorf("requests: %q", got)
	}
}

// TestPutDescribesItsOwn has the object replaced or deleted before it is described.
func TestPutDescribesItsOwn(t *testing.T) {
	for name, change := range map[string]func(objects map[string]fakeObject){
		"replaced": func(objects map[string]fakeObject) {
			objects["k"] = fakeObject{content: []byte("other"), etag: `"other"`}
		},
		"deleted": func(objects map[string]fakeObject) { delete(objects, "k") },
	} {
		f := newFake(t)
		f.after = func(_ *http.Request, objects map[string]fakeObject) { change(objects) }
		o, err := f.open(t, s3obs.Options{}).Put(t.Context(), "k", strings.NewReader("mine"), nil)
		if err != nil || o.Size != 4 || o.ETag == "other" || o.ModTime.IsZero() || len(o.SHA256) != 32 {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

func TestNothingIsSentOnAFaultOfTheCaller(t *testing.T) {
	f := newFake(t)
	c := f.open(t, s3obs.Options{})
	sum := sha256.Sum256([]byte("right"))
	_, err := c.Put(t.Context(), "k", strings.NewReader("wrong"), &obs.PutOptions{SHA256: sum[:]})
	wantIs(t, "hash", err, obs.ErrChecksum)
	_, err = c.Put(t.Context(), "../k", strings.NewReader("x"), nil)
	wantIs(t, "key", err, obs.ErrInvalidKey)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Put(ctx, "k", strings.NewReader("x"), nil)
	wantIs(t, "context", err, context.Canceled)
	if got := f.log(); len(got) != 0 {
		t.Errorf("requests: %q", got)
	}
}
