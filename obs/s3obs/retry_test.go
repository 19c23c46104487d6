package s3obs_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/s3obs"
)

// always answers every request with an error.
func always(status int, code string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		answerError(w, status, code)
		return true
	}
}

// first answers the first n requests.
func first(n int32, answer func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	var count atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) bool {
		return count.Add(1) <= n && answer(w, r)
	}
}

// reset breaks the connection off.
func reset(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

func TestRetries(t *testing.T) {
	for _, test := range []struct {
		name   string
		before func(http.ResponseWriter, *http.Request) bool
		want   error
		puts   int
	}{
		{"throttled twice", first(2, always(503, "SlowDown")), nil, 3},
		{"429", first(1, always(429, "TooManyRequests")), nil, 2},
		{"500", first(1, always(500, "InternalError")), nil, 2},
		{"conflict of conditional puts", first(1, always(409, "ConditionalRequestConflict")), nil, 2},
		{"connection reset", first(2, reset), nil, 3},
		{"throttled for good", always(503, "SlowDown"), obs.ErrThrottled, 4},
		{"denied", always(403, "AccessDenied"), obs.ErrDenied, 1},
		{"bad digest", always(400, "BadDigest"), obs.ErrChecksum, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t)
			f.before = test.before
			c := f.open(t, s3obs.Options{MaxAttempts: 4, WriteOnly: true})
			o, err := c.Put(t.Context(), "k", bytes.NewReader(random(100_000)), nil)
			wantIs(t, "Put", err, test.want)
			if n := len(f.sent("PUT")); n != test.puts {
				t.Errorf("%d attempts, want %d", n, test.puts)
			}
			if err == nil && (o.Size != 100_000 || !bytes.Equal(f.objects["k"].content, random(100_000))) {
				t.Errorf("stored %d bytes, described as %+v", len(f.objects["k"].content), o)
			}
		})
	}
}

func TestContextEndsRetries(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.before = func(w http.ResponseWriter, _ *http.Request) bool {
		answerError(w, http.StatusServiceUnavailable, "SlowDown")
		cancel() // while the client is about to pause
		return true
	}
	c := f.open(t, s3obs.Options{MaxAttempts: 1000, MaxBackoff: time.Hour})
	_, err := c.Put(ctx, "k", strings.NewReader("x"), nil)
	wantIs(t, "Put", err, context.Canceled)
	if n := len(f.log()); n > 2 {
		t.Errorf("%d attempts after the context had ended", n)
	}
}

// TestLostAnswer stores the object and breaks off, so that the repeated put meets
// it. It must not look like a put that won.
func TestLostAnswer(t *testing.T) {
	f := newFake(t)
	f.before = first(1, func(w http.ResponseWriter, r *http.Request) bool {
		body, _ := readBody(r)
		f.mu.Lock()
		f.put(httptest.NewRecorder(), r, "k", body)
		f.mu.Unlock()
		return reset(w, r)
	})
	c := f.open(t, s3obs.Options{Conditional: s3obs.ConditionalRequire})
	_, err := c.Put(t.Context(), "k", strings.NewReader("x"), &obs.PutOptions{IfAbsent: true})
	wantIs(t, "Put", err, obs.ErrExists)
	if got := string(f.objects["k"].content); got != "x" {
		t.Errorf("stored %q", got)
	}
}

func TestSilentServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c, err := s3obs.New(t.Context(), "bucket", &s3obs.Options{
		Endpoint: "http://" + listener.Addr().String(), PathStyle: true, Credentials: s3obs.StaticCredentials("a", "b", ""),
		StallTimeout: 20 * time.Millisecond, MaxAttempts: 2, MaxBackoff: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Head(t.Context(), "k")
	if timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); !ok || !timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a timeout that is not the context's", err)
	}
}

func TestAnswersBecomeReasons(t *testing.T) {
	reasons := []error{
		obs.ErrNotExist, obs.ErrExists, obs.ErrDenied, obs.ErrThrottled, obs.ErrNoBucket, obs.ErrArrears, obs.ErrFull, obs.ErrInvalidKey, obs.ErrInvalid, obs.ErrChecksum,
	}
	for _, test := range []struct {
		status int
		code   string
		want   error
	}{
		{404, "NoSuchKey", obs.ErrNotExist},
		{404, "NoSuchBucket", obs.ErrNoBucket},
		{404, "NoSuchUpload", nil},
		{401, "Unauthorized", obs.ErrDenied},
		{403, "AccessDenied", obs.ErrDenied},
		{403, "SignatureDoesNotMatch", obs.ErrDenied},
		{403, "SomethingNew", obs.ErrDenied},
		{403, "InArrearOrInsufficientBalance", obs.ErrArrears},
		{403, "AccountProblem", obs.ErrArrears},
		{403, "UserProjectAccountProblem", obs.ErrArrears},
		{403, "UserDisable", obs.ErrArrears},
		{402, "SomethingNew", obs.ErrArrears},
		{403, "QuotaExceeded", obs.ErrFull},
		{403, "InvalidObjectState", nil},
		{503, "SlowDown", obs.ErrThrottled},
		{503, "SomethingNew", obs.ErrThrottled},
		{429, "SomethingNew", obs.ErrThrottled},
		{507, "XMinioStorageFull", obs.ErrFull},
		{507, "SomethingNew", obs.ErrFull},
		{400, "KeyTooLongError", obs.ErrInvalidKey},
		{400, "XMinioInvalidObjectName", obs.ErrInvalidKey},
		{409, "ObjectParentIsFile", obs.ErrInvalidKey},
		{400, "XAmzContentChecksumMismatch", obs.ErrChecksum},
		{400, "MetadataTooLarge", obs.ErrInvalid},
		{400, "EntityTooLarge", obs.ErrInvalid},
		{500, "InternalError", nil},
		{301, "PermanentRedirect", nil},
	} {
		f := newFake(t)
		f.before = always(test.status, test.code)
		c := f.open(t, s3obs.Options{MaxAttempts: 1})
		_, put := c.Put(t.Context(), "k", strings.NewReader("x"), nil)
		_, _, get := c.Get(t.Context(), "k")
		for op, err := range map[string]error{"put": put, "get": get} {
			typed, ok := errors.AsType[*obs.Error](err)
			if !ok || typed.Op != op || typed.Key != "k" {
				t.Errorf("%d %s: %T is not an *obs.Error of %s", test.status, test.code, err, op)
			}
			if !strings.Contains(err.Error(), test.code) {
				t.Errorf("the error does not name %s: %v", test.code, err)
			}
			for _, reason := range reasons {
				if errors.Is(err, reason) != (reason == test.want) { //nolint:errorlint // the very reason is meant
					t.Errorf("%s: %d %s: Is(%v) is %t", op, test.status, test.code, reason, errors.Is(err, reason))
				}
			}
			if strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the secret shows: %v", err)
			}
		}
	}
}

func TestHeadTellsWhatIsAbsent(t *testing.T) {
	f := newFake(t)
	c := f.open(t, s3obs.Options{})
	_, err := c.Head(t.Context(), "k")
	wantIs(t, "absent object", err, obs.ErrNotExist)
	f.before = always(404, "")
	_, err = c.Head(t.Context(), "k")
	wantIs(t, "absent bucket", err, obs.ErrNoBucket)
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		status := http.StatusNotFound
		if requestName(r) == "HEAD " {
			status = http.StatusForbidden
		}
		w.WriteHeader(status)
		return true
	}
	_, err = c.Head(t.Context(), "k")
	wantIs(t, "absent object, and no right to ask after the bucket", err, obs.ErrNotExist)
	for status, want := range map[int]error{403: obs.ErrDenied, 503: obs.ErrThrottled} {
		f.before = always(status, "")
		_, err = c.Head(t.Context(), "k")
		wantIs(t, "status without code", err, want)
	}
}

func TestDelete(t *testing.T) {
	f := newFake(t)
	c := f.open(t, s3obs.Options{})
	for _, test := range []struct {
		status int
		code   string
		want   error
	}{
		{404, "NoSuchKey", nil},
		{404, "NoSuchBucket", obs.ErrNoBucket},
		{403, "AccessDenied", obs.ErrDenied},
		{400, "InvalidRequest", obs.ErrDenied}, // the object lock of MinIO
	} {
		f.before = always(test.status, test.code)
		wantIs(t, test.code, c.Delete(t.Context(), "k"), test.want)
	}
}
