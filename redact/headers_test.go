package redact_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts/redact"
)

func TestHeaders(t *testing.T) {
	r := newRedactor(t, &redact.Options{Headers: []string{"x-tenant", "X-Token", "Token"}, HashKey: []byte("0123456789abcdef")})
	in := http.Header{
		"User-Agent":      {"curl/8 Bearer abcdef12"},
		"Referer":         {"https://example.com/?token=abc"},
		"X-Request-Id":    {"r-1", "r-2"},
		"X-Tenant":        {"t", `{"pwd":"x"}`, `[{"pin":1}]`},
		"Token":           {"abc", "", "***"},
		"Authorization":   {"Bearer abc", ""},
		"authorization":   {"put in by hand"},
		"Cookie":          {"sid=1"},
		"X-Auth-Token":    {"abc"},
		"X-Unknown":       {"Bearer abcdef12"},
		"Accept-Encoding": nil,
	}
	before := in.Clone()
	out, found := r.Headers(in)
	if diff := cmp.Diff(before, in); diff != "" {
		t.Errorf("the input changed:\n%s", diff)
	}
	want := http.Header{
		"User-Agent":   {"curl/8 Bearer ********"},
		"Referer":      {"https://example.com/?token=********"},
		"X-Request-Id": {"r-1", "r-2"},
		"X-Tenant":     {"t", `{"pwd":"********"}`, `[{"pin":"********"}]`},
		"Token":        {"********", "", "***"},
	}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wantFound := []string{
		"header Authorization", "header Cookie", "key Referer.token", "key Token", "bearer User-Agent",
		"header X-Auth-Token", "key X-Tenant.pwd", "key X-Tenant[0].pin", "header Authorization",
	}
	if diff := cmp.Diff(wantFound, brief(found)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if found[0].Hash != r.Hash("Bearer abc") || found[0].Length != len("Bearer abc") {
		t.Errorf("%+v, want hash and length of the value", found[0])
	}
	if again, found := r.Headers(out); !cmp.Equal(again, out) || found != nil {
		t.Errorf("a second pass: %v, %+v", again, found)
	}
	if out, found := r.Headers(nil); out != nil || found != nil {
		t.Errorf("of nil: %v, %v", out, found)
	}
	if out, found := r.Headers(http.Header{}); out == nil || len(out) != 0 || found != nil {
		t.Errorf("of an empty header: %v, %v", out, found)
	}
}

// TestNeverKept asserts that no header that carries credentials can pass, whether it
// is on the list of those allowed or asked for.
func TestNeverKept(t *testing.T) {
	allowed := newRedactor(t, nil).AllowedHeaders()
	if !slices.IsSorted(allowed) || !slices.Contains(allowed, "User-Agent") {
		t.Errorf("AllowedHeaders() = %v", allowed)
	}
	for _, name := range allowed {
		if name != http.CanonicalHeaderKey(name) {
			t.Errorf("%s is not in canonical form", name)
		}
	}
	r := newRedactor(t, nil)
	for _, name := range []string{
		"Authorization", "AUTHORIZATION", "Cookie", "Set-Cookie", "Proxy-Authorization", "X-Auth-Token", "X-Api-Key",
		"X-Subject-Token", "X-Amz-Security-Token", "X-Vault-Token", "X-Csrf-Token", "Apikey",
	} {
		if _, err := redact.New(&redact.Options{Headers: []string{name}}); err == nil {
			t.Errorf("%s can be asked for", name)
		}
		if out, found := r.Headers(http.Header{name: {"abc"}}); len(out) != 0 || len(found) != 1 || found[0].Rule != redact.RuleHeader {
			t.Errorf("%s: %v, %+v", name, out, found)
		}
	}
}
