package s3obs_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/s3obs"
)

var ifAbsent = &obs.PutOptions{IfAbsent: true}

// TestAutoLearns shows that the look is left out once the header is known to be
// honoured.
func TestAutoLearns(t *testing.T) {
	f := newFake(t)
	c := f.open(t, s3obs.Options{})
	put := func(key string, want error, requests ...string) {
		t.Helper()
		_, err := c.Put(t.Context(), key, strings.NewReader("x"), ifAbsent)
		wantIs(t, "Put", err, want)
		if got := f.log(); !slices.Equal(got, requests) {
			t.Errorf("%s: requests %q, want %q", key, got, requests)
		}
	}
	put("a", nil, "HEAD a", "PUT a", "HEAD a")
	put("a", obs.ErrExists, "HEAD a")
	// Another writer comes between look and put: only the header keeps its object.
	f.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			f.mu.Lock()
			f.objects["b"] = fakeObject{content: []byte("theirs"), etag: "e"}
			f.mu.Unlock()
		}
		return false
	}
	put("b", obs.ErrExists, "HEAD b", "PUT b")
	f.before = nil
	put("b", obs.ErrExists, "PUT b")
	put("c", nil, "PUT c", "HEAD c")
	if got := string(f.objects["b"].content); got != "theirs" {
		t.Errorf("b is %q", got)
	}
}

func TestStoreWithoutTheHeader(t *testing.T) {
	f := newFake(t)
	f.ifNoneMatch = refuseHeader
	c := f.open(t, s3obs.Options{PartSize: minPart})
	for _, size := range []int{3, minPart + 3} {
		for i, want := range []error{nil, obs.ErrExists} {
			_, err := c.Put(t.Context(), "k", bytes.NewReader(random(size)), ifAbsent)
			wantIs(t, "Put", err, want)
			if len(f.objects) != 1 || len(f.uploads) != 0 {
				t.Fatalf("try %d of %d bytes: %d objects, %d uploads", i, size, len(f.objects), len(f.uploads))
			}
		}
		delete(f.objects, "k")
	}
	// The refusal was met once: then the header is left out.
	if got := f.log(); !slices.Equal(got[:4], []string{"HEAD k", "PUT k", "PUT k", "HEAD k"}) {
		t.Errorf("requests: %q", got)
	}
	f.log()
	if _, err := c.Put(t.Context(), "k", strings.NewReader("x"), ifAbsent); err != nil {
		t.Error(err)
	}
	for _, r := range f.sent("PUT") {
		if r.Header.Get("If-None-Match") != "" {
			t.Error("the header was sent again")
		}
	}
	for _, opts := range []s3obs.Options{{Conditional: s3obs.ConditionalRequire}, {WriteOnly: true}} {
		_, err := f.open(t, opts).Put(t.Context(), "new", strings.NewReader("x"), ifAbsent)
		wantIs(t, "required", err, s3obs.ErrNoConditionalPut)
	}
	if _, ok := f.objects["new"]; ok {
		t.Error("it was put all the same")
	}
}

// TestReplacedAtTheSameMoment has another writer win after the put.
func TestReplacedAtTheSameMoment(t *testing.T) {
	for _, size := range []int{3, minPart + 3} {
		f := newFake(t)
		f.after = func(r *http.Request, objects map[string]fakeObject) {
			if _, ok := objects["k"]; ok && r.Header.Get("If-None-Match") != "" {
				t.Error("ConditionalOff sent the header")
			} else if ok {
				objects["k"] = fakeObject{content: []byte("theirs"), etag: "theirs"}
			}
		}
		c := f.open(t, s3obs.Options{Conditional: s3obs.ConditionalOff, PartSize: minPart})
		_, err := c.Put(t.Context(), "k", bytes.NewReader(random(size)), ifAbsent)
		wantIs(t, "Put", err, obs.ErrExists)
	}
}

// TestPartsOnAStoreThatIgnoresTheHeader is Ceph: the object comes while the parts
// are sent.
func TestPartsOnAStoreThatIgnoresTheHeader(t *testing.T) {
	f := newFake(t)
	c := f.open(t, s3obs.Options{PartSize: minPart})
	if _, err := c.Put(t.Context(), "small", strings.NewReader("x"), ifAbsent); err != nil {
		t.Fatal(err)
	}
	_, err := f.open(t, s3obs.Options{Conditional: s3obs.ConditionalRequire}).Put(t.Context(), "small", strings.NewReader("x"), ifAbsent)
	wantIs(t, "the header is honoured for puts", err, obs.ErrExists)
	f.ifNoneMatch = ignoreHeader
	f.after = func(r *http.Request, objects map[string]fakeObject) {
		if r.URL.Query().Get("partNumber") == "2" {
			objects["k"] = fakeObject{content: []byte("theirs"), etag: "theirs"}
		}
	}
	_, err = c.Put(t.Context(), "k", bytes.NewReader(random(minPart+3)), ifAbsent)
	wantIs(t, "Put", err, obs.ErrExists)
	if got := string(f.objects["k"].content); got != "theirs" || len(f.uploads) != 0 {
		t.Errorf("the object has %d bytes now, %d uploads", len(got), len(f.uploads))
	}
	// What the look found says nothing of the header.
	_, err = c.Put(t.Context(), "small", strings.NewReader("other"), ifAbsent)
	wantIs(t, "Put", err, obs.ErrExists)
	if got := string(f.objects["small"].content); got != "x" {
		t.Errorf("the small object is %q now", got)
	}
}

func TestLookThatFails(t *testing.T) {
	for status, test := range map[int]struct {
		auto, off error
	}{
		http.StatusForbidden:          {nil, obs.ErrDenied},
		http.StatusServiceUnavailable: {obs.ErrThrottled, obs.ErrThrottled},
	} {
		f := newFake(t)
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead {
				w.WriteHeader(status)
			}
			return r.Method == http.MethodHead
		}
		_, err := f.open(t, s3obs.Options{}).Put(t.Context(), "a", strings.NewReader("x"), ifAbsent)
		wantIs(t, "ConditionalAuto", err, test.auto)
		_, err = f.open(t, s3obs.Options{Conditional: s3obs.ConditionalOff}).Put(t.Context(), "b", strings.NewReader("x"), ifAbsent)
		wantIs(t, "ConditionalOff", err, test.off)
		if _, ok := f.objects["b"]; ok {
			t.Error("without a look it was put")
		}
	}
}
