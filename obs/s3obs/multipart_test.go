package s3obs_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/s3obs"
)

func TestParts(t *testing.T) {
	f := newFake(t)
	c := f.open(t, s3obs.Options{PartSize: minPart})
	data := random(2*minPart + 7)
	sum := sha256.Sum256(data[3:])
	body := bytes.NewReader(data)
	if _, err := body.Seek(3, 0); err != nil {
		t.Fatal(err)
	}
	o, err := c.Put(t.Context(), "k", body, &obs.PutOptions{SHA256: sum[:], Metadata: map[string]string{"k": "v"}})
	if err != nil || !bytes.Equal(f.objects["k"].content, data[3:]) {
		t.Fatalf("stored %d bytes, %v", len(f.objects["k"].content), err)
	}
	// The store tells the hash of the parts' hashes; Put knows what it stands for.
	if !bytes.Equal(o.SHA256, sum[:]) || o.Size != int64(len(data)-3) || o.Metadata["k"] != "v" {
		t.Errorf("got %+v", o)
	}
	if head, err := c.Head(t.Context(), "k"); err != nil || head.SHA256 != nil || head.ETag != o.ETag {
		t.Errorf("Head took a hash of parts for one of the content: %+v, %v", head, err)
	}
	want := []string{"POST k?uploads", "PUT k?partNumber?uploadId", "PUT k?partNumber?uploadId", "PUT k?partNumber?uploadId", "POST k?uploadId", "HEAD k", "HEAD k"}
	if got := f.log(); !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
	f.noChecksums = true
	if o, err := c.Put(t.Context(), "k", bytes.NewReader(data), nil); err != nil || o.SHA256 != nil {
		t.Errorf("a store that tells no hash: %x, %v", o.SHA256, err)
	}
}

func TestFailedPartsAreTakenBack(t *testing.T) {
	second := func(r *http.Request) bool { return r.URL.Query().Get("partNumber") == "2" }
	last := func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploadId") }
	for _, test := range []struct {
		name   string
		when   func(r *http.Request) bool
		status int
		code   string
		want   error
	}{
		{"part denied", second, 403, "AccessDenied", obs.ErrDenied},
		{"part throttled", second, 503, "SlowDown", obs.ErrThrottled},
		{"together denied", last, 403, "AccessDenied", obs.ErrDenied},
		{"together refused", last, 412, "PreconditionFailed", obs.ErrExists},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t)
			f.before = func(w http.ResponseWriter, r *http.Request) bool {
				if test.when(r) {
					answerError(w, test.status, test.code)
				}
				return test.when(r)
			}
			c := f.open(t, s3obs.Options{PartSize: minPart})
			_, err := c.Put(t.Context(), "k", bytes.NewReader(random(minPart+1)), nil)
			wantIs(t, "Put", err, test.want)
			if len(f.uploads) != 0 || len(f.objects) != 0 {
				t.Errorf("left: %d uploads, %d objects", len(f.uploads), len(f.objects))
			}
		})
	}
}

// TestErrorBehind200 is how S3 tells a failure of the last request that shows late.
func TestErrorBehind200(t *testing.T) {
	f := newFake(t)
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") {
			answerXML(w, "Error", "<Code>InternalError</Code><Message>later</Message>")
			return true
		}
		return false
	}
	_, err := f.open(t, s3obs.Options{PartSize: minPart}).Put(t.Context(), "k", bytes.NewReader(random(minPart+1)), nil)
	if err == nil || !strings.Contains(err.Error(), "InternalError") || len(f.uploads) != 0 {
		t.Errorf("got %v, %d uploads left", err, len(f.uploads))
	}
}

func TestUploadThatIsGone(t *testing.T) {
	f := newFake(t)
	f.after = func(r *http.Request, _ map[string]fakeObject) {
		if r.URL.Query().Get("partNumber") == "1" {
			clear(f.uploads)
		}
	}
	_, err := f.open(t, s3obs.Options{PartSize: minPart}).Put(t.Context(), "k", bytes.NewReader(random(minPart+1)), nil)
	if err == nil || errors.Is(err, obs.ErrNotExist) || strings.Contains(err.Error(), "left over") {
		t.Errorf("got %v", err)
	}
}

func TestCancelledPartsAreTakenBack(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.after = func(r *http.Request, _ map[string]fakeObject) {
		if r.URL.Query().Get("partNumber") == "1" {
			cancel()
		}
	}
	_, err := f.open(t, s3obs.Options{PartSize: minPart}).Put(ctx, "k", bytes.NewReader(random(minPart+1)), nil)
	wantIs(t, "Put", err, context.Canceled)
	if len(f.uploads) != 0 {
		t.Error("parts are left over")
	}
	f.after = nil
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete || r.URL.Query().Get("partNumber") == "2" {
			answerError(w, http.StatusForbidden, "AccessDenied")
			return true
		}
		return false
	}
	_, err = f.open(t, s3obs.Options{PartSize: minPart}).Put(t.Context(), "k", bytes.NewReader(random(minPart+1)), nil)
	wantIs(t, "Put", err, obs.ErrDenied)
	if !strings.Contains(err.Error(), "left over") {
		t.Errorf("the error does not tell of left-over parts: %v", err)
	}
}
