package obs_test

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cloudtraceservice/cts/obs"
)

func TestValidateKey(t *testing.T) {
	valid := []string{
		"a", "a/b", "CloudTraces/eu-de/2026/1/2/system/ECS/x_CloudTrace_eu-de_2026-01-02T03-04-05Z_0123456789abcdef.json.gz",
		"...", "a.", ".a", "a..b", "ä/日本", " ", "a b", strings.Repeat("k", 1024), "a\\b", "a:b", "%2e%2e/x",
	}
	for _, key := range valid {
		if err := obs.ValidateKey(key); err != nil {
			t.Errorf("%.40q: %v", key, err)
		}
	}
	invalid := []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "a/.", "a/..", "../a", "a/../b", "./a", "a\x00b", "a\nb", "\x7f", "a\u0085b",
		"\xff", "a/\xc3", strings.Repeat("k", 1025), strings.Repeat("ä", 513),
	}
	for _, key := range invalid {
		if err := obs.ValidateKey(key); !errors.Is(err, obs.ErrInvalidKey) {
			t.Errorf("%.40q: got %v, want ErrInvalidKey", key, err)
		}
	}
}

func FuzzValidateKey(f *testing.F) {
	for _, seed := range []string{"a/b", "../a", "a//b", "\x00", "a/./b", "日本"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if obs.ValidateKey(key) != nil {
			return
		}
		// A valid key is a clean relative path that stays below where it starts.
		if path.Clean(key) != key || path.Join("/base", key) != "/base/"+key || path.IsAbs(key) {
			t.Errorf("%q is valid and not clean", key)
		}
		if !utf8.ValidString(key) || len(key) > obs.MaxKey {
			t.Errorf("%q is valid", key)
		}
	})
}

func TestPutOptionsValidate(t *testing.T) {
	meta := func(key, value string) *obs.PutOptions {
		return &obs.PutOptions{Metadata: map[string]string{key: value}}
	}
	tests := []struct {
		name   string
		opts   *obs.PutOptions
		faults int
	}{
		{"nil", nil, 0},
		{"zero", &obs.PutOptions{}, 0},
		{"all", &obs.PutOptions{
			IfAbsent: true, ContentType: "application/json; charset=utf-8", ContentEncoding: "gzip",
			Metadata: map[string]string{"signature-algorithm": "SHA256withRSA", "x_1": "a b"}, SHA256: make([]byte, 32),
		}, 0},
		{"largest", meta("k", strings.Repeat("v", obs.MaxMetadata-1)), 0},
		{"too large", meta("k", strings.Repeat("v", obs.MaxMetadata)), 1},
		{"upper case", meta("Key", "v"), 1},
		{"no key", meta("", "v"), 1},
		{"key begins with a dash", meta("-k", "v"), 1},
		{"long key", meta(strings.Repeat("k", 129), "v"), 1},
		{"space in key", meta("a b", "v"), 1},
		{"no value", meta("k", ""), 1},
		{"newline in value", meta("k", "a\nb"), 1},
		{"value beyond ASCII", meta("k", "ä"), 1},
		{"space at the end", meta("k", "v "), 1},
		{"bad content type", &obs.PutOptions{ContentType: "a\r\nb"}, 1},
		{"long content encoding", &obs.PutOptions{ContentEncoding: strings.Repeat("e", 256)}, 1},
		{"short hash", &obs.PutOptions{SHA256: make([]byte, 31)}, 1},
		{"empty hash", &obs.PutOptions{SHA256: []byte{}}, 1},
		{"all at once", &obs.PutOptions{ContentType: "\x01", ContentEncoding: "\x01", SHA256: []byte{1}, Metadata: map[string]string{"K": "\x01"}}, 5},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.opts.Validate()
			if (err != nil) != (test.faults > 0) || err != nil && !errors.Is(err, obs.ErrInvalid) {
				t.Fatalf("got %v", err)
			}
			if err != nil && strings.Count(err.Error(), "\n")+1 != test.faults {
				t.Errorf("want %d faults, got:\n%v", test.faults, err)
			}
		})
	}
}

func TestValidateHidesValues(t *testing.T) {
	err := (&obs.PutOptions{Metadata: map[string]string{"token": "hunter2\n"}}).Validate()
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestError(t *testing.T) {
	err := error(&obs.Error{Op: "get", Key: "a\nb", Err: fmt.Errorf("%w: 404", obs.ErrNotExist)})
	if got, want := err.Error(), `obs: get "a\nb": object does not exist: 404`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	typed, ok := errors.AsType[*obs.Error](err)
	if !errors.Is(err, obs.ErrNotExist) || !ok || typed.Op != "get" {
		t.Errorf("%v does not unwrap", err)
	}
}
