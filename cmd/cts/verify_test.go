package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts/digest"
)

func TestVerifyCleanBucket(t *testing.T) {
	w := newWorld(t)
	w.script(t, []step{
		{"verify --key $W/public.pem $W/bucket", exitClean, `note: chain-overdue .*checked: \d+ digests, 10 trace files, 20 traces, .*\nverdict: clean\n$`, ""},
		{"verify --key $W/public.pem --heads $W/heads.json --region eu-de $W/bucket", exitClean, `verdict: clean\n$`, ""},
		{"verify --key $W/public.pem -q $W/bucket", exitClean, `^verdict: clean\n$`, ""},
		{"verify --key $W/other.pem --key $W/public.pem --parallel 1 $W/bucket/", exitClean, `verdict: clean\n$`, ""},
		{"verify --key $W/public.pem --as-of 2024-06-19T13:00:00Z $W/bucket", exitClean, `note: chain-open .*\bopen\b.*verdict: clean\n$`, ""},
		{"verify --key $W/public.pem --grace 20000d --min-history 0 $W/bucket", exitClean, `note: chain-open .*verdict: clean\n$`, ""},
		{"verify --key $W/public.pem --from 2024-06-19T10:00 --to 2024-06-19T11:00:00Z $W/bucket", exitClean, `verdict: clean\n$`, ""},
	})
}

// Each thing that somebody may do to a bucket is found, and named.
func TestVerifyFindsTampering(t *testing.T) {
	flip := func(t *testing.T, w *world, name string) {
		content := []byte(w.read(t, name))
		content[len(content)/2] ^= 1
		w.write(t, name, content)
	}
	remove := func(t *testing.T, w *world, name string) {
		t.Helper()
		if err := os.Remove(w.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		tamper func(t *testing.T, w *world) string // returns the object that must be named
		kind   digest.Kind
	}{
		"file changed": {func(t *testing.T, w *world) string { flip(t, w, "bucket/"+w.file); return w.file }, digest.FileChanged},
		"file deleted": {func(t *testing.T, w *world) string { remove(t, w, "bucket/"+w.file); return w.file }, digest.FileDeleted},
		"file cut": {func(t *testing.T, w *world) string {
			content := w.read(t, "bucket/"+w.file)
			w.write(t, "bucket/"+w.file, []byte(content[:len(content)-1]))
			return w.file
		}, digest.FileTruncated},
		"digest changed": {func(t *testing.T, w *world) string {
			name := w.objects(t, "/Digest/")[2]
			flip(t, w, name)
			return strings.TrimSuffix(strings.TrimPrefix(name, "bucket/"), digest.SignatureSuffix)
		}, ""},
		"digests cut off": {func(t *testing.T, w *world) string {
			digests := w.objects(t, "/Digest/")
			for _, name := range digests[len(digests)-2:] {
				remove(t, w, name)
			}
			return ""
		}, digest.DigestDeleted},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			object := test.tamper(t, w)
			got := w.cts(t, "", "verify", "--key", "$W/public.pem", "--heads", "$W/heads.json", "--save-heads", "$W/saved.json", "$W/bucket")
			if got.code != exitFound || !strings.Contains(got.out, "\nverdict: damaged") {
				t.Errorf("%+v", got)
			}
			if want := "damage: " + string(test.kind); !strings.Contains(got.out, want) || !strings.Contains(got.out, object) {
				t.Errorf("want %q and %q in:\n%s", want, object, got.out)
			}
			if _, err := os.Stat(w.path("saved.json")); err == nil {
				t.Error("the heads of a damaged bucket were saved")
			}
			report := w.json(t, exitFound, "verify", "--key", "$W/public.pem", "--heads", "$W/heads.json", "--json", "$W/bucket")
			if report.Verdict != "damaged" || len(report.Findings) == 0 || report.Findings[0].Severity != "damage" {
				t.Errorf("%+v", report)
			}
		})
	}
}

// jsonReport is what --json prints, as another program would read it.
type jsonReport struct {
	Verdict  string `json:"verdict"`
	Error    string `json:"error"`
	Findings []struct {
		Severity, Kind, Object, Reason string
	} `json:"findings"`
	Chains []struct {
		Chain, Tracker string
		Traces         int
		Head           digest.Head
	} `json:"chains"`
	Checked struct{ Digests, Files, Traces, Bytes int64 }
}

func (w *world) json(t *testing.T, code int, args ...string) (r jsonReport) {
	t.Helper()
	got := w.cts(t, "", args...)
	if err := json.Unmarshal([]byte(got.out), &r); err != nil || got.code != code {
		t.Fatalf("%v\n%+v", err, got)
	}
	return r
}

func TestVerifyJSON(t *testing.T) {
	w := newWorld(t)
	r := w.json(t, exitClean, "verify", "--key", "$W/public.pem", "--json", "$W/bucket")
	if r.Verdict != "clean" || r.Error != "" || r.Checked.Files != 10 || r.Checked.Traces != 20 || r.Checked.Bytes == 0 {
		t.Errorf("%+v", r)
	}
	if len(r.Chains) != 1 || r.Chains[0].Tracker != "system" || r.Chains[0].Traces != 20 || r.Chains[0].Head.SHA256 != w.sealed[len(w.sealed)-1].SHA256 {
		t.Errorf("%+v", r.Chains)
	}
	if len(r.Findings) != 1 || r.Findings[0].Kind != "chain-overdue" || r.Findings[0].Severity != "note" || r.Findings[0].Reason == "" {
		t.Errorf("%+v", r.Findings)
	}
	w.write(t, "empty", nil)
	if err := os.Mkdir(w.path("nothing"), 0o700); err != nil {
		t.Fatal(err)
	}
	r = w.json(t, exitFailed, "verify", "--key", "$W/public.pem", "--json", "$W/nothing")
	if r.Verdict != "not checked" || len(r.Findings) != 1 || r.Findings[0].Kind != "nothing-found" || r.Chains == nil {
		t.Errorf("%+v", r)
	}
}

// What can't be read or is not what it should be is told, with another exit code than
// that of tampering.
func TestVerifyFails(t *testing.T) {
	w := newWorld(t)
	w.write(t, "garbage", []byte("nothing to see\n"))
	w.write(t, "badhead", []byte("\n{\"chain\":\"x\",\"seq\":1}\n"))
	if err := os.Mkdir(w.path("nothing"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.script(t, []step{
		{"verify --key $W/public.pem $W/none", exitFailed, "", `opening the bucket: .*none`},
		{"verify --key $W/public.pem $W/garbage", exitFailed, "", `garbage is no folder`},
		{"verify --key $W/public.pem $W/nothing", exitFailed, `failure: nothing-found.*verdict: not checked`, `not everything could be checked`},
		{"verify --key $W/none.pem $W/bucket", exitFailed, "", `none.pem`},
		{"verify --key $W/garbage --heads $W/garbage --heads $W/badhead $W/bucket", exitFailed, "", `garbage: .*not PEM.*garbage, line 1: .*badhead, line 2: `},
		{"verify --root " + strings.Repeat("0", 64) + " --key-history $W/garbage $W/bucket", exitFailed, `verdict: not checked\n`, `key history`},
		{"verify --key $W/public.pem gs://bucket", exitUsage, "", `want a folder, or s3://NAME`},
		{"verify --key $W/public.pem s3://", exitUsage, "", `the bucket's name`},
		{"verify --key $W/other.pem $W/bucket", exitFound, `damage: key-unknown .*verdict: damaged`, ""},
		{"verify --key $W/public.pem --bucket-name other $W/bucket", exitFound, `damage: digest-moved .*verdict: damaged`, ""},
		{"verify --key $W/public.pem --writer nobody $W/bucket", exitFound, `damage: writer-missing: .*verdict: damaged`, ""},
	})
	if _, err := os.Stat(w.path("none")); err == nil {
		t.Error("a folder that was not there was made")
	}
}

// Heads that one verification saves are what the next one needs.
func TestVerifySavesHeads(t *testing.T) {
	w := newWorld(t)
	w.script(t, []step{{"verify --key $W/public.pem --save-heads $W/saved.json -q $W/bucket", exitClean, "*", ""}})
	var saved digest.Head
	if err := json.Unmarshal([]byte(w.read(t, "saved.json")), &saved); err != nil {
		t.Fatal(err)
	}
	newest := w.sealed[len(w.sealed)-1]
	if saved.Chain != newest.Chain || saved.Seq != newest.Seq || saved.SHA256 != newest.SHA256 || saved.Count != newest.Count {
		t.Errorf("saved %+v, want %+v", saved, newest)
	}
	// A look at an earlier part does not forget the newer head.
	before := w.read(t, "saved.json")
	w.script(t, []step{{
		"verify --key $W/public.pem --from 2024-06-19T08:00 --to 2024-06-19T09:00 --heads $W/saved.json --save-heads $W/saved.json $W/bucket", exitClean, "*", "",
	}})
	if diff := cmp.Diff(before, w.read(t, "saved.json")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	digests := w.objects(t, "/Digest/")
	for _, name := range digests[len(digests)-2:] {
		if err := os.Remove(w.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	w.script(t, []step{
		{"verify --key $W/public.pem --heads $W/saved.json $W/bucket", exitFound, "digest-deleted", ""},
		{"verify --key $W/public.pem --as-of 2024-06-19T13:00 --save-heads $W/none/saved.json $W/bucket", exitFailed, "verdict: clean", "none"},
	})
	if left, err := os.ReadDir(w.dir); err != nil || len(left) != 5 {
		t.Errorf("%v, %v: want no scratch files", left, err)
	}
}

// Files from before validation was switched on are proven by nothing.
func TestVerifyUnvalidated(t *testing.T) {
	w := newWorld(t)
	content, key := w.read(t, "bucket/"+w.file), strings.Replace(w.file, "T10-", "T01-", 1)
	if key == w.file {
		t.Fatal(key)
	}
	w.write(t, "bucket/"+key, []byte(content))
	w.script(t, []step{
		{"verify --key $W/public.pem $W/bucket", exitFailed, `failure: file-unproven .*verdict: not checked \(failures: 1\)`, "not everything"},
		{"verify --key $W/public.pem --unvalidated data --unvalidated system=..2024-06-19T01:00 $W/bucket", exitFailed, `failure: file-unproven`, "not everything"},
		{"verify --key $W/public.pem --unvalidated system=..2024-06-19T08:30 $W/bucket", exitClean, `note: file-unvalidated .*verdict: clean`, ""},
		{"verify --key $W/public.pem --unvalidated *=2024-06-19..2024-06-20 $W/bucket", exitClean, `note: file-unvalidated .*verdict: clean`, ""},
		{"verify --key $W/public.pem --unvalidated system $W/bucket", exitClean, `note: file-unvalidated .*verdict: clean`, ""},
	})
	for _, bad := range []string{"", "=", "=2024-06-19..", "system=", "system=2024-06-19", "system=x..", "system=..x", "system=2024-06-20..2024-06-19"} {
		got := w.cts(t, "", "verify", "--key", "$W/public.pem", "--unvalidated", bad, "$W/bucket")
		if got.code != exitUsage || !strings.Contains(got.errors, "--unvalidated: want TRACKER") {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

// A key history that was changed is found, and is no failure.
func TestVerifyKeyHistory(t *testing.T) {
	w := newWorld(t)
	root, err := digest.GenerateKey(digest.Ed25519, 0)
	if err != nil {
		t.Fatal(err)
	}
	key, err := digest.ParsePublicKeyPEM([]byte(w.read(t, "public.pem")))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := digest.SignKeyHistory(root, digest.KeyHistory{Serial: 3, Keys: []digest.KeyRecord{digest.NewKeyRecord(key, 0)}})
	if err != nil {
		t.Fatal(err)
	}
	history := "bucket/" + digest.KeysKey("CloudTraces/eu-de")
	if err := os.MkdirAll(filepath.Dir(w.path(history)), 0o700); err != nil {
		t.Fatal(err)
	}
	w.write(t, history, signed)
	fingerprint := root.Public().Fingerprint()
	w.script(t, []step{
		{"verify --root " + fingerprint + " --min-history 3 $W/bucket", exitClean, `verdict: clean`, ""},
		{"verify --root " + fingerprint + " --min-history 4 $W/bucket", exitFound, `damage: keys-invalid.*verdict: damaged`, ""},
		{"verify --min-history 4 --key $W/public.pem $W/bucket", exitUsage, "", `--min-history`},
	})
	w.write(t, history, []byte(strings.Replace(string(signed), `"serial":3`, `"serial":4`, 1)))
	w.script(t, []step{
		{"verify --root " + fingerprint + " $W/bucket", exitFound, `damage: keys-invalid CloudTraces/eu-de/Keys/keys.json.*verdict: damaged`, ""},
		{"verify --root " + fingerprint + " --key $W/public.pem $W/bucket", exitFound, `damage: keys-invalid`, ""},
	})
	if err := os.Remove(w.path(history)); err != nil {
		t.Fatal(err)
	}
	w.script(t, []step{{"verify --root " + fingerprint + " $W/bucket", exitFailed, `verdict: not checked`, `key history`}})
}

// brokenPipe is where nobody reads.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// The exit code tells of damage even where the report can't be written, and that it was not
// written where there is none.
func TestVerifyUnwritable(t *testing.T) {
	w := newWorld(t)
	for _, damaged := range []bool{false, true} {
		if damaged {
			if err := os.Remove(w.path("bucket/" + w.file)); err != nil {
				t.Fatal(err)
			}
		}
		for _, format := range []string{"--json", "--quiet"} {
			var errs bytes.Buffer
			code := run(t.Context(), []string{"verify", "--key", w.path("public.pem"), format, w.path("bucket")}, strings.NewReader(""), brokenPipe{}, &errs)
			want := map[bool]int{false: exitFailed, true: exitFound}[damaged]
			if code != want || !strings.Contains(errs.String(), io.ErrClosedPipe.Error()) || strings.Count(errs.String(), "closed pipe") != 1 {
				t.Errorf("damaged %v, %s: %d, %s", damaged, format, code, errs.String())
			}
		}
	}
}

// Heads are those of digests that have numbers: genuine ones of CTS have none.
func TestSaveHeadsWithoutNumbers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "heads.json")
	err := saveHeads(path, nil, &digest.Report{Chains: []digest.ChainReport{{Chain: "CloudTraces/eu-de/system/"}}})
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(path); err != nil || len(content) > 0 {
		t.Errorf("%v: %s", err, content)
	}
}

func TestMoments(t *testing.T) {
	now := time.Date(2024, 6, 19, 8, 30, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2024-06-01": "2024-06-01T00:00:00Z", "2024-06-01T08:30": "2024-06-01T08:30:00Z", "2024-06-01T08:30:15": "2024-06-01T08:30:15Z",
		"2024-06-01T08:30:15+02:00": "2024-06-01T06:30:15Z", "90m": "2024-06-19T07:00:00Z", "30d": "2024-05-20T08:30:00Z",
		"": "", "d": "", "-1d": "", "0h": "", "1.5d": "", "99999999999d": "", "2024-13-01": "", "yesterday": "", "1": "",
	} {
		m := moment{now: func() time.Time { return now }}
		err := m.Set(text)
		if got := m.UTC().Format(time.RFC3339); (err != nil) != (want == "") || err == nil && got != want {
			t.Errorf("%q: %s, %v, want %q", text, got, err, want)
		}
		if err == nil && m.String() != text {
			t.Errorf("%q shows as %q", text, m.String())
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"CloudTraces/eu/é": "CloudTraces/eu/é", "a\x1b[31m\nb\x7f\u009b\u202e": "a�[31m�b���",
	} {
		if got := printable(in); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got, want := printableLines("a\x1b\n\tb"), "a�\n  b"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	w := &world{dir: t.TempDir()}
	if got := w.cts(t, "", "verify", "--key", "k", "\x1b[31m://"); got.code != exitFailed && got.code != exitUsage || strings.Contains(got.errors, "\x1b") {
		t.Errorf("%+v", got)
	}
	if got := w.cts(t, "", "verify", "--key", "\x1b[31m", w.dir); got.code != exitFailed || strings.Contains(got.errors, "\x1b") {
		t.Errorf("%+v", got)
	}
}
