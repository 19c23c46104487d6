package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs/dirobs"
	"github.com/cloudtraceservice/cts/store/filestore"
)

var lastLine = regexp.MustCompile(`(?m)^recorded=(\d+) stored=(\d+) dumped=(\d+) files=(\d+) own=(\d+) verified=(\w+)\n\z`)

// drill runs the program and returns its last line's values and its whole output.
func drill(t *testing.T, code int, args ...string) ([]string, string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(t.Context(), args, &out, &errs); got != code {
		t.Fatalf("exit code %d, want %d\n%s%s", got, code, out.String(), errs.String())
	}
	return lastLine.FindStringSubmatch(out.String()), out.String() + errs.String()
}

func TestEverythingAgrees(t *testing.T) {
	dir := t.TempDir()
	got, out := drill(t, 0, "-dir", dir, "-requests", "1000")
	if len(got) == 0 || got[1] != "1000" || got[2] != "1000" || got[3] != "1000" || got[6] != "ok" {
		t.Fatalf("last line: %v\n%s", got, out)
	}
	for _, question := range []string{"Who deleted", "What changed on", "ten minutes", "All failures", "What crashed?", "fail most"} {
		if !strings.Contains(out, question) {
			t.Errorf("it does not ask %q", question)
		}
	}
	// A second run in the same folder goes on with the same store and bucket.
	if got, out = drill(t, 0, "-dir", dir, "-requests", "50"); len(got) == 0 || got[1] != "50" || got[3] != "50" {
		t.Fatalf("second run: %v\n%s", got, out)
	}
}

// A former run was killed in the middle of a request. What this run makes of that is
// stored and dumped, and not counted among its own requests.
func TestAfterAKill(t *testing.T) {
	dir := t.TempDir()
	store, err := filestore.Open(filepath.Join(dir, "store"), nil)
	if err != nil {
		t.Fatal(err)
	}
	tracker, err := cts.Open(t.Context(), store, nil)
	if err == nil {
		_, err = tracker.Begin(t.Context(), &cts.Trace{Name: "deleteServer", ServiceType: "ECS"})
	}
	if err = errors.Join(err, store.Close()); err != nil { // without a word to the tracker
		t.Fatal(err)
	}
	if got, out := drill(t, 0, "-dir", dir, "-requests", "50"); len(got) == 0 || got[2] != "50" || got[3] != "50" {
		t.Fatalf("%v\n%s", got, out)
	}
}

// The passwords and tokens that the clients send are nowhere in the folder.
func TestNoSecretsOnDisk(t *testing.T) {
	dir := t.TempDir()
	drill(t, 0, "-dir", dir, "-requests", "200")
	seen := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		for _, secret := range []string{"correct horse", "token-of-"} {
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("%s holds %q", path, secret)
			}
		}
		seen++
		return err
	})
	if err != nil || seen < 5 {
		t.Fatalf("%d files, %v", seen, err)
	}
}

// A trace file or digest that somebody changed, and one that is gone, are found.
func TestTamperingIsFound(t *testing.T) {
	const files, digests = "ECS/*.json.gz", "Digest/*.json.gz"
	change := func(path string) error { return os.WriteFile(path, []byte("nothing to see"), 0o600) }
	for name, test := range map[string]struct {
		which  string
		tamper func(path string) error
	}{
		"file gone": {files, os.Remove}, "file changed": {files, change},
		"digest gone": {digests, os.Remove}, "digest changed": {digests, change},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			drill(t, 0, "-dir", dir, "-requests", "50")
			found, err := filepath.Glob(filepath.Join(dir, "bucket", "CloudTraces", "*", "*", "*", "*", "*", filepath.FromSlash(test.which)))
			if err != nil || len(found) == 0 {
				t.Fatalf("%d objects, %v", len(found), err)
			}
			if err := test.tamper(found[0]); err != nil {
				t.Fatal(err)
			}
			if got, out := drill(t, 1, "-dir", dir, "-requests", "10"); len(got) == 0 || got[6] != "failed" {
				t.Errorf("last line: %v\n%s", got, out)
			}
		})
	}
}

// Whoever has the public key, and nothing else of what the program knew, finds the bucket
// clean.
func TestPublicKeyIsLeft(t *testing.T) {
	dir := t.TempDir()
	drill(t, 0, "-dir", dir, "-requests", "50")
	text, err := os.ReadFile(filepath.Join(dir, "public.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := digest.ParsePublicKeyPEM(text)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := dirobs.Open(filepath.Join(dir, "bucket"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	report, err := digest.Verify(t.Context(), bucket, &digest.VerifyOptions{Keys: []*digest.PublicKey{key}})
	if err != nil || !report.OK() || report.Checked.Traces < 50 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-requests", "0"}, {"surplus"}, {"-nonsense"}} {
		drill(t, 2, args...)
	}
}
