package s3obs_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/s3obs"
)

func keysOf(t *testing.T, c *s3obs.Client, prefix, after string) ([]string, error) {
	t.Helper()
	var keys []string
	for o, err := range c.List(t.Context(), prefix, &obs.ListOptions{After: after}) {
		if err != nil {
			if o.Key != "" {
				t.Errorf("an object beside the error: %+v", o)
			}
			return keys, err
		}
		keys = append(keys, o.Key)
	}
	return keys, nil
}

func TestListPages(t *testing.T) {
	f := newFake(t)
	f.pageSize = 3
	var want []string
	modified := f.clock
	for i := range 10 {
		key := fmt.Sprintf("a b+%%/%d", i)
		f.objects[key] = fakeObject{etag: `"e"`, modified: modified}
		want = append(want, key)
	}
	c := f.open(t, s3obs.Options{})
	if got, err := keysOf(t, c, "a b+", ""); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	if n := len(f.log()); n != 4 {
		t.Errorf("%d requests, want 4 pages", n)
	}
	for o, err := range c.List(t.Context(), "", nil) {
		if err != nil || o.ETag != "e" || !o.ModTime.Equal(modified) {
			t.Errorf("got %+v, %v", o, err)
		}
		break
	}
	if n := len(f.log()); n != 1 {
		t.Errorf("%d requests for one object", n)
	}
	// Nothing can come after: nothing is asked.
	if got, err := keysOf(t, c, "a", "b"); err != nil || len(got) != 0 || len(f.log()) != 0 {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestListAsksForWhatStoresTake(t *testing.T) {
	f := newFake(t)
	c := f.open(t, s3obs.Options{})
	for _, test := range []struct{ prefix, after, askPrefix, askAfter string }{
		{"a/b", "", "a/b", ""},
		{"a/.", "", "a/", ""},
		{"a/..", "", "a/", ""},
		{"a/../b", "", "a/", ""},
		{"a//b", "", "a/", ""},
		{"/", "", "", ""},
		{"a/.b", "", "a/.b", ""},
		{"a/\xc3", "", "a/", ""},
		{"a/", "a/./b", "a/", "a/"},
		{"a/", "a/b", "a/", "a/b"},
		{"b/", "a/", "b/", ""},
		{"", "\xff", "", ""},
	} {
		f.log()
		if _, err := keysOf(t, c, test.prefix, test.after); err != nil {
			t.Errorf("%q after %q: %v", test.prefix, test.after, err)
			continue
		}
		query := f.sent("GET")[0].URL.Query()
		if query.Get("prefix") != test.askPrefix || query.Get("start-after") != test.askAfter {
			t.Errorf("List(%q) after %q asked for %v", test.prefix, test.after, query)
		}
	}
}

func TestBrokenLists(t *testing.T) {
	object := func(key string) string { return "<Contents><Key>" + key + "</Key></Contents>" }
	const more = "<IsTruncated>true</IsTruncated>"
	for name, body := range map[string]string{
		"more without a token":  object("a") + more,
		"the same page forever": object("a") + more + "<NextContinuationToken>t</NextContinuationToken>",
		"out of order":          object("b") + object("a"),
		"twice":                 object("a") + object("a"),
		"badly encoded":         "<EncodingType>url</EncodingType>" + object("%zz"),
		"not XML":               "<Contents>",
	} {
		f := newFake(t)
		f.before = func(w http.ResponseWriter, _ *http.Request) bool {
			answerXML(w, "ListBucketResult", body)
			return true
		}
		got, err := keysOf(t, f.open(t, s3obs.Options{MaxAttempts: 1}), "", "")
		if err == nil || len(got) > 2 {
			t.Errorf("%s: got %q and no error", name, got)
		}
	}
	f := newFake(t)
	f.before = func(w http.ResponseWriter, _ *http.Request) bool {
		answerXML(w, "ListBucketResult", object("a%2Fb")+object("c+d"))
		return true
	}
	if got, err := keysOf(t, f.open(t, s3obs.Options{}), "", ""); err != nil || strings.Join(got, " ") != "a%2Fb c+d" {
		t.Errorf("a store that does not encode: %q, %v", got, err)
	}
}
