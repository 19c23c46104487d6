package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/memobs"
)

// A folder of a bucket reads as a bucket of its own, and nothing can be changed in it.
func TestReadOnlyFolder(t *testing.T) {
	ctx := t.Context()
	whole := memobs.New(nil)
	for _, key := range []string{"a/1", "copy/a/1", "copy/a/2", "copy/b/1", "copy2/a/1"} {
		if _, err := whole.Put(ctx, key, strings.NewReader("content of "+key), nil); err != nil {
			t.Fatal(err)
		}
	}
	for folder, want := range map[string][]string{
		"":      {"a/1", "copy/a/1", "copy/a/2", "copy/b/1", "copy2/a/1"},
		"copy/": {"a/1", "a/2", "b/1"},
		"none/": nil,
	} {
		b := readOnly{bucketFolder{whole, folder}}
		if diff := cmp.Diff(want, listKeys(t, b, "", nil)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", folder, diff)
		}
	}
	b := readOnly{bucketFolder{whole, "copy/"}}
	if diff := cmp.Diff([]string{"a/2"}, listKeys(t, b, "a/", &obs.ListOptions{After: "a/1"})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if o, err := b.Head(ctx, "a/2"); err != nil || o.Key != "a/2" {
		t.Errorf("%+v, %v", o, err)
	}
	for name, get := range map[string]func() (io.ReadCloser, obs.Object, error){
		"get":       func() (io.ReadCloser, obs.Object, error) { return b.Get(ctx, "a/2") },
		"get range": func() (io.ReadCloser, obs.Object, error) { return b.GetRange(ctx, "a/2", 0, -1) },
	} {
		body, o, err := get()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(body)
		if err != nil || o.Key != "a/2" || string(content) != "content of copy/a/2" {
			t.Errorf("%s: %+v %s %v", name, o, content, err)
		}
	}
	if _, err := b.Head(ctx, "a/9"); !errors.Is(err, obs.ErrNotExist) {
		t.Errorf("an absent object: %v", err)
	}
	if _, err := b.Put(ctx, "a/2", bytes.NewReader(nil), nil); !errors.Is(err, obs.ErrDenied) {
		t.Errorf("Put: %v", err)
	}
	if err := b.Delete(ctx, "a/2"); !errors.Is(err, obs.ErrDenied) {
		t.Errorf("Delete: %v", err)
	}
	if diff := cmp.Diff([]string{"a/1", "a/2", "b/1"}, listKeys(t, b, "", nil)); diff != "" {
		t.Errorf("after changes (-want +got):\n%s", diff)
	}
}

func listKeys(t *testing.T, b obs.Client, prefix string, opts *obs.ListOptions) (keys []string) {
	t.Helper()
	for o, err := range b.List(t.Context(), prefix, opts) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

// A command that is interrupted says so, and does not call it damage.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{
		{"verify", "--key", w.path("public.pem"), w.path("bucket")},
		{"prove", "--id", someID, w.path("bucket")},
	} {
		var out, errs bytes.Buffer
		if code := run(ctx, args, strings.NewReader(""), &out, &errs); code != exitFailed || !strings.Contains(errs.String(), "interrupted") {
			t.Errorf("%q: exit code %d\n%s%s", args, code, &out, &errs)
		}
	}
}
