package dirobs_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/dirobs"
)

func TestReservedAndImpossibleKeys(t *testing.T) {
	c := openDir(t, t.TempDir())
	for _, key := range []string{".meta", ".meta/x", ".META/x", ".tmp-x", ".tmp-/x", ".TMP-1", "a/" + strings.Repeat("x", 256), strings.Repeat("x", 300) + "/a"} {
		_, err := c.Put(t.Context(), key, strings.NewReader(""), nil)
		if !errors.Is(err, obs.ErrInvalidKey) {
			t.Errorf("Put(%.20q): %v", key, err)
		}
	}
	for _, key := range []string{".meta/x", ".tmp-x"} {
		_, err := c.Head(t.Context(), key)
		if err = errors.Join(err, c.Delete(t.Context(), key)); !errors.Is(err, obs.ErrInvalidKey) {
			t.Errorf("%q: %v", key, err)
		}
		if got := keys(t, c, key); len(got) != 0 {
			t.Errorf("List(%q) = %q", key, got)
		}
	}
	for _, key := range []string{".metadata", "x/.meta/y", "x/.tmp-y", ".tm", "0123456789abcdef.json", "0123456789abcdef.json~/x"} {
		if err := putVersion(t, c, key, "v", true); err != nil || state(t, c, key) != "v" {
			t.Errorf("Put(%q): %v", key, err)
		}
	}
}

func TestKeyConflict(t *testing.T) {
	c := openDir(t, t.TempDir())
	if err := putVersion(t, c, "a/b", "v", false); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "a/b/c", "a/b/c/d"} {
		for _, ifAbsent := range []bool{true, false} {
			err := putVersion(t, c, key, "x", ifAbsent)
			if !errors.Is(err, dirobs.ErrKeyConflict) || !errors.Is(err, obs.ErrInvalidKey) || errors.Is(err, obs.ErrExists) {
				t.Errorf("Put(%q): got %v, want ErrKeyConflict", key, err)
			}
		}
	}
	if got := keys(t, c, ""); !slices.Equal(got, []string{"a/b"}) || state(t, c, "a/b") != "v" {
		t.Errorf("now there is %q", got)
	}
}

// TestEmptyFoldersAreNoObjects puts an object where killed puts left folders.
func TestEmptyFoldersAreNoObjects(t *testing.T) {
	for _, ifAbsent := range []bool{true, false} {
		dir := t.TempDir()
		for _, name := range []string{"a/b/c", "a/d"} {
			if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(name)), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		c := openDir(t, dir)
		if err := putVersion(t, c, "a", "v", ifAbsent); err != nil || state(t, c, "a") != "v" {
			t.Errorf("IfAbsent %v: %v", ifAbsent, err)
		}
	}
}

// TestRecordFoldersDoNotCollide has keys whose segments look like records.
func TestRecordFoldersDoNotCollide(t *testing.T) {
	seen := map[string]string{}
	for _, key := range []string{"a", "a/0123456789abcdef.json", "a/0123456789abcdef.json~", "a/0123456789ABCDEF.JSON", "a/0123456789abcdef.json/b", "a/x.json", "a/x.json/b"} {
		dir := dirobs.RecordDir(filepath.FromSlash(key))
		if other, ok := seen[dir]; ok {
			t.Errorf("%q and %q have the folder %s", key, other, dir)
		}
		seen[dir] = key
		if hexDigits.FindString(strings.ToLower(filepath.Base(dir))) == strings.ToLower(filepath.Base(dir)) {
			t.Errorf("the folder of %q has the name of a record: %s", key, dir)
		}
	}
}

func TestSymbolicLinks(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, target := range map[string]string{"out": outside, "file": filepath.Join(outside, "secret"), "in": "real", "up": "..", "dangling": filepath.Join(outside, "new")} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Skip("no symbolic links here:", err)
		}
	}
	c := openDir(t, dir)
	if err := putVersion(t, c, "real/x", "v", false); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"out/secret", "out/new", "file", "in/x", "in/new", "up/x", "dangling", "out"} {
		_, herr := c.Head(t.Context(), key)
		_, _, gerr := c.Get(t.Context(), key)
		for what, err := range map[string]error{"put": putVersion(t, c, key, "x", false), "put if absent": putVersion(t, c, key, "x", true), "head": herr, "get": gerr, "delete": c.Delete(t.Context(), key)} {
			if !errors.Is(err, obs.ErrDenied) {
				t.Errorf("%s %q: got %v, want ErrDenied", what, key, err)
			}
		}
		if got := keys(t, c, key); len(got) != 0 {
			t.Errorf("List(%q) = %q", key, got)
		}
	}
	if got := keys(t, c, ""); !slices.Equal(got, []string{"real/x"}) {
		t.Errorf("List = %q", got)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside there is %v, %v", entries, err)
	}
}

// TestSymbolicLinkInMeta checks that records do not leave the folder either.
func TestSymbolicLinkInMeta(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ".meta"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, ".meta", "k")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	c := openDir(t, dir)
	if err := putVersion(t, c, "k/x", "v", false); err == nil {
		t.Error("Put succeeded through a symbolic link")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
		t.Errorf("outside there is %v, %v", entries, err)
	}
}
