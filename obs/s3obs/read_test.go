package s3obs_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/s3obs"
)

// readBack reads an object, and returns what came before an error.
func readBack(t *testing.T, c *s3obs.Client, offset, length int64) (string, obs.Object, error) {
	t.Helper()
	r, o, err := c.GetRange(t.Context(), "k", offset, length)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if cerr := r.Close(); cerr != nil {
		t.Error(cerr)
	}
	return string(data), o, err
}

func TestDamageInTheStoreShows(t *testing.T) {
	for name, sum := range map[string]string{
		"another hash": base64.StdEncoding.EncodeToString(make([]byte, 32)),
		"hash":         "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=", // of "content"
		"of parts":     base64.StdEncoding.EncodeToString(make([]byte, 32)) + "-2",
		"not base64":   "",
	} {
		f := newFake(t)
		f.objects["k"] = fakeObject{content: []byte("content"), sha256: sum, etag: "e"}
		c := f.open(t, s3obs.Options{})
		got, o, err := readBack(t, c, 0, -1)
		want := error(nil)
		if name == "another hash" {
			want = obs.ErrChecksum
		}
		wantIs(t, name, err, want)
		if typed, ok := errors.AsType[*obs.Error](err); err != nil && (!ok || typed.Op != "get") {
			t.Errorf("%s: %T is not an *obs.Error of get", name, err)
		}
		if got != "content" || (o.SHA256 != nil) != strings.HasSuffix(name, "hash") {
			t.Errorf("%s: read %q, hash %x", name, got, o.SHA256)
		}
		// A part is not the whole.
		if got, o, err := readBack(t, c, 2, 3); got != "nte" || err != nil || o.SHA256 != nil || o.Size != 7 {
			t.Errorf("%s: the part is %q of %+v, %v", name, got, o, err)
		}
	}
}

func TestBrokenDownload(t *testing.T) {
	f := newFake(t)
	f.before = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", "10")
		w.Header().Set("X-Amz-Checksum-Sha256", "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=")
		_, err := io.WriteString(w, "cont")
		if err == nil {
			err = http.NewResponseController(w).Flush()
		}
		if err != nil {
			t.Error(err)
		}
		panic(http.ErrAbortHandler)
	}
	got, _, err := readBack(t, f.open(t, s3obs.Options{}), 0, -1)
	typed, ok := errors.AsType[*obs.Error](err)
	if got != "cont" || !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, obs.ErrChecksum) || !ok || typed.Key != "k" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestReadingEndsWithTheContext(t *testing.T) {
	f := newFake(t)
	done := make(chan struct{})
	defer close(done)
	f.before = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", "10")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-done
		return true
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, _, err := f.open(t, s3obs.Options{}).Get(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel()
	_, err = r.Read(make([]byte, 10))
	wantIs(t, "Read", err, context.Canceled)
}

func TestStoreThatIgnoresRanges(t *testing.T) {
	f := newFake(t)
	f.before = func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Range")
		return false
	}
	f.objects["k"] = fakeObject{content: []byte("0123456789"), etag: "e"}
	c := f.open(t, s3obs.Options{})
	for _, test := range []struct {
		offset, length int64
		want           string
	}{{3, 4, "3456"}, {3, -1, "3456789"}, {9, 100, "9"}, {10, 1, ""}, {50, -1, ""}, {0, 2, "01"}} {
		got, o, err := readBack(t, c, test.offset, test.length)
		if got != test.want || err != nil || o.Size != 10 {
			t.Errorf("[%d, +%d): %q of %+v, %v; want %q", test.offset, test.length, got, o, err, test.want)
		}
	}
}

func TestFramingIsNoEncoding(t *testing.T) {
	f := newFake(t)
	c := f.open(t, s3obs.Options{})
	for kept, want := range map[string]string{"aws-chunked": "", "aws-chunked,gzip": "gzip", "gzip, aws-chunked": "gzip", "gzip": "gzip", "gzip, br": "gzip,br"} {
		f.objects["k"] = fakeObject{content: []byte("x"), etag: "e", header: http.Header{"Content-Encoding": {kept}}}
		_, o, err := readBack(t, c, 0, -1)
		head, herr := c.Head(t.Context(), "k")
		if err != nil || herr != nil || o.ContentEncoding != want || head.ContentEncoding != want {
			t.Errorf("%q: Get says %q, Head %q, want %q; %v, %v", kept, o.ContentEncoding, head.ContentEncoding, want, err, herr)
		}
	}
}

func TestReadRefusesWithoutAsking(t *testing.T) {
	f := newFake(t)
	c := f.open(t, s3obs.Options{})
	_, _, err := c.GetRange(t.Context(), "k", -1, 1)
	wantIs(t, "offset", err, obs.ErrInvalid)
	_, _, err = c.Get(t.Context(), "a//b")
	wantIs(t, "key", err, obs.ErrInvalidKey)
	if got := f.log(); len(got) != 0 {
		t.Errorf("requests: %q", got)
	}
}

// TestAnswerWithoutSize is a proxy that changes the content on the way.
func TestAnswerWithoutSize(t *testing.T) {
	f := newFake(t)
	f.before = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("ETag", "e")
		err := http.NewResponseController(w).Flush()
		if err == nil {
			_, err = io.WriteString(w, "content")
		}
		if err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
			t.Error(err)
		}
		return true
	}
	c := f.open(t, s3obs.Options{})
	if _, o, err := c.Get(t.Context(), "k"); err == nil {
		t.Errorf("Get: %+v and no error", o)
	}
	if o, err := c.Head(t.Context(), "k"); err == nil {
		t.Errorf("Head: %+v and no error", o)
	}
}
