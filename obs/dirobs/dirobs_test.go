package dirobs_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/dirobs"
	"github.com/cloudtraceservice/cts/obs/obstest"
)

var hexDigits = regexp.MustCompile(`[0-9a-f]{16}\.json`)

func openDir(t *testing.T, dir string) *dirobs.Client {
	t.Helper()
	c, err := dirobs.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestConformance(t *testing.T) {
	obstest.Run(t, func(t *testing.T) obs.Client { return openDir(t, t.TempDir()) })
}

func TestConformanceInMemory(t *testing.T) {
	obstest.Run(t, func(t *testing.T) obs.Client { return openFS(t, vfstest.NewMemFS()) })
}

func keys(t *testing.T, c *dirobs.Client, prefix string) []string {
	t.Helper()
	var keys []string
	for o, err := range c.List(t.Context(), prefix, nil) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

// recordOf returns the one record file of an object.
func recordOf(t *testing.T, dir, key string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, ".meta", filepath.FromSlash(key), "*.json"))
	if err != nil || len(found) != 1 {
		t.Fatalf("records of %q: %q, %v; want one", key, found, err)
	}
	return found[0]
}

func TestLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "bucket")
	c := openDir(t, dir)
	sum := sha256.Sum256([]byte("content"))
	o, err := c.Put(t.Context(), "d/k", strings.NewReader("content"), &obs.PutOptions{
		ContentType: "text/plain", ContentEncoding: "identity", Metadata: map[string]string{"a": "<b>"}, SHA256: sum[:],
	})
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "d", "k")); err != nil || string(data) != "content" {
		t.Errorf("the file holds %q, %v", data, err)
	}
	data, err := os.ReadFile(recordOf(t, dir, "d/k"))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"version":1,"key":"d/k","size":7,"sha256":"%x","mod_time":%q,"content_type":"text/plain","content_encoding":"identity","metadata":{"a":"\u003cb\u003e"}}`+"\n",
		sum, o.ModTime.UTC().Format(time.RFC3339Nano))
	if string(data) != want {
		t.Errorf("the record is\n%swant\n%s", data, want)
	}
	if runtime.GOOS == "windows" {
		return // no permission bits
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if want := map[bool]fs.FileMode{false: 0o600, true: 0o700 | fs.ModeDir}[e.IsDir()]; err == nil && info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestWhichRecordIsBelieved changes the file or its records behind the
// client's back.
func TestWhichRecordIsBelieved(t *testing.T) {
	long := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name     string
		change   func(file, record string) error
		metadata bool // are the metadata still there
		hash     bool // was the hash computed
	}{
		{"nothing", func(string, string) error { return nil }, true, false},
		{"copied without times", func(file, _ string) error { return os.Chtimes(file, long, long) }, true, true},
		{"other content", func(file, _ string) error {
			return errors.Join(os.WriteFile(file, []byte("CONTENT"), 0o600), os.Chtimes(file, long, long))
		}, false, true},
		{"other size", func(file, _ string) error { return os.WriteFile(file, []byte("content "), 0o600) }, false, false},
		{"record gone", func(_, record string) error { return os.RemoveAll(filepath.Dir(record)) }, false, false},
		{"record damaged", func(_, record string) error { return os.WriteFile(record, []byte("{"), 0o600) }, false, false},
		{"record too large", func(_, record string) error { return os.WriteFile(record, make([]byte, 1<<20), 0o600) }, false, false},
		{"record of another key", func(_, record string) error { return edit(record, "key", "other") }, false, false},
		{"record of a newer version", func(_, record string) error { return edit(record, "version", 2) }, false, false},
		{"record with an unknown field", func(_, record string) error { return edit(record, "new", "x") }, true, false},
		{"a second record of the same time", func(_, record string) error {
			return copyEdit(record, "0123456789abcdef.json", "sha256", strings.Repeat("00", 32))
		}, true, true},
		{"a stale record of the same content", func(_, record string) error {
			return copyEdit(record, "0123456789abcdef.json", "mod_time", long)
		}, true, false},
		{"a file of another name", func(_, record string) error {
			return copyEdit(record, "x.json", "metadata", map[string]string{"k": "wrong"})
		}, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			c := openDir(t, dir)
			put, err := c.Put(t.Context(), "d/k", strings.NewReader("content"), &obs.PutOptions{Metadata: map[string]string{"k": "v"}})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "d", "k")
			if err := test.change(file, recordOf(t, dir, "d/k")); err != nil {
				t.Fatal(err)
			}
			o, err := c.Head(t.Context(), "d/k")
			if err != nil || (o.Metadata["k"] == "v") != test.metadata || len(o.Metadata) > 1 {
				t.Errorf("metadata %v, %v; want them: %v", o.Metadata, err, test.metadata)
			}
			data, err := os.ReadFile(file)
			sum := sha256.Sum256(data)
			if err != nil || (o.SHA256 != nil) != test.hash || test.hash && !bytes.Equal(o.SHA256, sum[:]) {
				t.Errorf("hash %x; want it: %v", o.SHA256, test.hash)
			}
			if !bytes.Equal(put.SHA256, sha256Of("content")) {
				t.Errorf("Put reports %x", put.SHA256)
			}
		})
	}
}

func sha256Of(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

func edit(record, field string, value any) error {
	return copyEdit(record, filepath.Base(record), field, value)
}

// copyEdit writes a record beside another with one field changed.
func copyEdit(record, name, field string, value any) error {
	data, err := os.ReadFile(record)
	if err != nil {
		return err
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	fields[field] = value
	if data, err = json.Marshal(fields); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(filepath.Dir(record), name), data, 0o600)
}

// TestStaleRecordOfSameContent has a killed Put of the same content with other
// metadata, and a folder copied without its times: the later Put's win.
func TestStaleRecordOfSameContent(t *testing.T) {
	dir := t.TempDir()
	c := openDir(t, dir)
	if _, err := c.Put(t.Context(), "k", strings.NewReader("content"), &obs.PutOptions{Metadata: map[string]string{"k": "v"}}); err != nil {
		t.Fatal(err)
	}
	record := recordOf(t, dir, "k")
	old := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := copyEdit(record, "0123456789abcdef.json", "mod_time", old); err != nil {
		t.Fatal(err)
	}
	if err := edit(filepath.Join(filepath.Dir(record), "0123456789abcdef.json"), "metadata", map[string]string{"k": "stale"}); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(dir, "k"), old.Add(1), old.Add(1)); err != nil {
		t.Fatal(err)
	}
	for range 20 { // the order in which records are looked at is random
		if o, err := c.Head(t.Context(), "k"); err != nil || o.Metadata["k"] != "v" {
			t.Fatalf("got %v, %v", o.Metadata, err)
		}
	}
}

func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	c := openDir(t, dir)
	for _, name := range []string{"plain.txt", "sub/.hidden", ".tmp-x", "sub/.tmp-y", "line\nbreak"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("foreign"), 0o600); err != nil && runtime.GOOS != "windows" {
			t.Fatal(err)
		}
	}
	if got, want := keys(t, c, ""), []string{"plain.txt", "sub/.hidden", "sub/.tmp-y"}; !slices.Equal(got, want) {
		t.Errorf("List = %q, want %q", got, want)
	}
	if o, err := c.Head(t.Context(), "plain.txt"); err != nil || o.Size != 7 || o.Metadata != nil || o.SHA256 != nil {
		t.Errorf("Head = %+v, %v", o, err)
	}
	if err := c.Delete(t.Context(), "plain.txt"); err != nil {
		t.Error(err)
	}
}

func TestLeftovers(t *testing.T) {
	mem := vfstest.NewMemFS()
	start := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	now := start
	mem.SetNow(func() time.Time { return now })
	for _, name := range []string{".meta/.tmp-old", ".meta/k/.tmp-not-ours", ".meta/other", "k"} {
		if err := mem.WriteFile(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	now = start.Add(45 * time.Minute)
	if err := mem.WriteFile(".meta/.tmp-young", nil); err != nil {
		t.Fatal(err)
	}
	opts := &dirobs.Options{Now: func() time.Time { return now }}
	for _, step := range []struct {
		at   time.Duration
		want []string
	}{
		{time.Hour, []string{".meta/.tmp-old", ".meta/.tmp-young", ".meta/k/.tmp-not-ours", ".meta/other", "k"}},
		{time.Hour + 1, []string{".meta/.tmp-young", ".meta/k/.tmp-not-ours", ".meta/other", "k"}},
		{2 * time.Hour, []string{".meta/k/.tmp-not-ours", ".meta/other", "k"}},
	} {
		now = start.Add(step.at)
		if _, err := dirobs.OpenFS(mem, opts); err != nil {
			t.Fatal(err)
		}
		if got := mem.Files(); !slices.Equal(got, step.want) {
			t.Errorf("opened after %v there is %q, want %q", step.at, got, step.want)
		}
	}
}

// TestOldRecordsGo has records that killed puts left; a later change of the
// object removes the old ones and leaves those of puts that may be under way.
func TestOldRecordsGo(t *testing.T) {
	mem := vfstest.NewMemFS()
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	mem.SetNow(func() time.Time { now = now.Add(time.Second); return now })
	c, err := dirobs.OpenFS(mem, &dirobs.Options{Now: func() time.Time { return now }, LeftoverAge: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	record := []byte(`{"version":1,"key":"k","size":1,"sha256":"` + strings.Repeat("ab", 32) + `"}`)
	if err := mem.WriteFile(".meta/k/00000000000000aa.json", record); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	if err := mem.WriteFile(".meta/k/00000000000000bb.json", record); err != nil {
		t.Fatal(err)
	}
	if err := putVersion(t, c, "k", "v", false); err != nil {
		t.Fatal(err)
	}
	files := strings.Join(mem.Files(), " ")
	if strings.Contains(files, "aa.json") || !strings.Contains(files, "bb.json") || state(t, c, "k") != "v" {
		t.Errorf("left: %s", files)
	}
}

func TestOpenFaults(t *testing.T) {
	if _, err := dirobs.Open(t.TempDir(), &dirobs.Options{LeftoverAge: -1}); !errors.Is(err, obs.ErrInvalid) {
		t.Errorf("negative age: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if _, err := dirobs.Open(dir, nil); err == nil {
			t.Errorf("opened %s", dir)
		}
	}
}

func TestFolderRemoved(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows refuses to remove an open folder")
	}
	dir := filepath.Join(t.TempDir(), "bucket")
	c := openDir(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := putVersion(t, c, "k", "v", false); !errors.Is(err, obs.ErrNoBucket) {
		t.Errorf("got %v, want ErrNoBucket", err)
	}
}

func TestClosed(t *testing.T) {
	c := openDir(t, t.TempDir())
	if err := putVersion(t, c, "k", "v", false); err != nil {
		t.Fatal(err)
	}
	r, _, err := c.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Error(err)
	}
	if data, err := io.ReadAll(r); err != nil || len(data) != 1500 {
		t.Errorf("an open reader got %d bytes, %v", len(data), err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Head(t.Context(), "k"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Head after Close: %v", err)
	}
}
