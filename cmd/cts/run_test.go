package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs/dirobs"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// world is a folder with keys, a sealed bucket and what belongs to it:
//
//	public.pem other.pem   the key of the bucket, and another one
//	bucket/                five sealed hours, of which the last one is short
//	heads.json             the heads that were handed out
//
// In arguments, $W is the folder, $ID the id of a trace and $FILE the key of its file.
type world struct {
	dir, id, file string
	sealed        []digest.Head
}

const someID = "trace-2-1"

// newWorld makes a world; each test that changes it has its own. The trace may have
// another id.
func newWorld(t *testing.T, id ...string) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), id: append(id, someID)[0]}
	signer, err := digest.GenerateKey(digest.Ed25519, 0)
	if err != nil {
		t.Fatal(err)
	}
	other, err := digest.GenerateKey(digest.Ed25519, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "public.pem", digest.MarshalPublicKeyPEM(signer.Public()))
	w.write(t, "other.pem", digest.MarshalPublicKeyPEM(other.Public()))
	bucket, err := dirobs.Open(filepath.Join(w.dir, "bucket"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	now := time.Date(2024, 6, 19, 8, 30, 0, 0, time.UTC)
	store := memstore.New(nil)
	dumper, err := cts.NewDumper(store, bucket, &cts.DumperOptions{
		Region: "eu-de", Clock: func() time.Time { return now },
		Events: &cts.DumperEvents{FileDumped: func(f cts.FileInfo) {
			if w.file == "" && now.Hour() == 10 && f.Service == "ECS" {
				w.file = f.Key
			}
		}},
		Validation: &cts.ValidationOptions{Signer: signer, Sealed: func(h digest.Head) { w.sealed = append(w.sealed, h) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	for hour := range 5 {
		for i := range 4 {
			tr := &cts.Trace{
				ID: strings.ReplaceAll(fmt.Sprintf("trace-%d-%d", hour, i), someID, w.id), Name: "deleteServer",
				ServiceType: []string{"ECS", "EVS"}[i/2], Time: now.UnixMilli(), RecordTime: now.UnixMilli(),
			}
			if _, err := store.Append(t.Context(), []cts.Entry{{Trace: tr}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := dumper.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Hour)
	}
	heads, err := json.Marshal(w.sealed[len(w.sealed)-1])
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "heads.json", heads)
	if w.file == "" {
		t.Fatal("no file with the trace was dumped")
	}
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, filepath.FromSlash(name)) }

func (w *world) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(w.path(name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *world) read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(w.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// objects returns the names of the objects whose key has a part, in order.
func (w *world) objects(t *testing.T, part string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(w.path("bucket/CloudTraces"), func(path string, d os.DirEntry, err error) error {
		if name, _ := filepath.Rel(w.dir, path); err == nil && !d.IsDir() && strings.Contains(filepath.ToSlash(name), part) {
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil || len(names) == 0 {
		t.Fatalf("no object has %q in its key: %v", part, err)
	}
	return names
}

// result is what a run of the command came to.
type result struct {
	code        int
	out, errors string
}

// cts runs the command; "$W" and the like in arguments are replaced.
func (w *world) cts(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	replace := strings.NewReplacer("$W", w.dir, "$ID", w.id, "$FILE", w.file)
	given := make([]string, len(args))
	for i, a := range args {
		given[i] = replace.Replace(a)
	}
	var out, errs bytes.Buffer
	code := run(t.Context(), given, strings.NewReader(stdin), &out, &errs)
	return result{code, out.String(), errs.String()}
}

// step is one line of a script: a command line, its exit code, and what its outputs
// must match; "" matches nothing but an empty output, "*" anything.
type step struct {
	line        string
	code        int
	out, errors string
}

func (w *world) script(t *testing.T, steps []step) {
	t.Helper()
	for _, s := range steps {
		got := w.cts(t, "", strings.Fields(s.line)...)
		if got.code != s.code || !matches(s.out, got.out) || !matches(s.errors, got.errors) {
			t.Errorf("cts %s\nexit code %d, want %d\noutput, which must match %q:\n%s\nerrors, which must match %q:\n%s",
				s.line, got.code, s.code, s.out, got.out, s.errors, got.errors)
		}
	}
}

func matches(pattern, text string) bool {
	switch pattern {
	case "*":
		return true
	case "":
		return text == ""
	}
	return regexp.MustCompile("(?s)" + pattern).MatchString(text)
}

func TestCommandLine(t *testing.T) {
	w := &world{dir: t.TempDir()}
	w.script(t, []step{
		{"", exitClean, `verify .*prove .*keygen|keygen .*prove .*verify`, ""},
		{"help", exitClean, `Exit status:\n  0 .*  3 `, ""},
		{"--version", exitClean, `^cts version `, ""},
		{"nonsense", exitUsage, "", `unknown command "nonsense".*Try "cts help"`},
		{"--nonsense", exitUsage, "", `unknown flag: --nonsense`},
		{"help verify", exitClean, `BUCKET is a folder.*2024-06-19.*Exit status:.*Examples:.*--retention 365d`, ""},
		{"verify --help", exitClean, `Usage:\n  cts verify --key PUBLIC.pem`, ""},
		{"prove --help", exitClean, `cts prove --check PROOF --key PUBLIC.pem TRACE.json`, ""},
		{"keygen --help", exitClean, `private.pem  signs`, ""},
		{"verify", exitUsage, "", `accepts 1 arg`},
		{"verify --key k a b", exitUsage, "", `accepts 1 arg`},
		{"verify $W", exitUsage, "", `--key is missing`},
		{"verify --key", exitUsage, "", `flag needs an argument`},
		{"verify --key k --from yesterday $W", exitUsage, "", `want a time such as`},
		{"verify --key k --from 2024-06-19 --to 2024-06-18 $W", exitUsage, "", `--to is not behind --from`},
		{"verify --key k --retention long $W", exitUsage, "", `want a time span`},
		{"verify --key k --retention -5h $W", exitUsage, "", `want a time span`},
		{"verify --key k --parallel -1 $W", exitUsage, "", `--parallel -1: want 1 to 1024`},
		{"verify --key k --parallel 1000000 $W", exitUsage, "", `--parallel 1000000: want 1 to 1024`},
		{"prove --id i s3:/bucket", exitUsage, "", `BUCKET "s3:/bucket": want a folder, or s3://NAME`},
		{"prove --id i S3://bucket", exitUsage, "", `want a folder, or s3://NAME`},
		{"prove --id i s3:bucket", exitUsage, "", `want a folder, or s3://NAME`},
		{"verify --key k --key-history h $W", exitUsage, "", `--key-history needs --root`},
		{"verify --root r --min-history -1 $W", exitUsage, "", `--min-history`},
		{"verify --key k --grace 0s $W", exitUsage, "", `want a time span`},
		{"verify --key k --as-of never $W", exitUsage, "", `want a time such as`},
		{"prove --check p --key $W/none t", exitFailed, "", `none`},
		{"prove", exitUsage, "", `accepts 1 arg`},
		{"prove $W", exitUsage, "", `--id is missing`},
		{"prove --check p --id i t", exitUsage, "", `give one of them`},
		{"prove --check p t", exitUsage, "", `--key is missing`},
		{"prove --check - --key k -", exitUsage, "", `can't be both`},
		{"keys", exitClean, `cts keys add .*cts keys publish .*add .*publish .*retire .*revoke .*show`, ""},
		{"keys nonsense", exitUsage, "", `unknown command "nonsense".*Try "cts help"`},
		{"keys add h k", exitUsage, "", `--root-key is missing`},
		{"keys add --root-key r - k", exitUsage, "", `can't be standard input`},
		{"keys add --root-key r h", exitUsage, "", `accepts 2 arg`},
		{"keys retire h", exitUsage, "", `accepts 2 arg`},
		{"keys revoke h", exitUsage, "", `accepts 2 arg`},
		{"keys show", exitUsage, "", `accepts 1 arg`},
		{"keys show --root 00 h", exitUsage, "", `--root: want the fingerprint`},
		{"keys publish h", exitUsage, "", `accepts 2 arg`},
		{"verify --root xyz $W", exitUsage, "", `--root: want the fingerprint`},
		{"keygen a b", exitUsage, "", `accepts at most 1 arg`},
		{"keygen --algorithm dsa $W", exitUsage, "", `want ed25519, rsa-2048, rsa-3072 or rsa-4096`},
	})
	if left, err := os.ReadDir(w.dir); err != nil || len(left) > 0 {
		t.Errorf("wrong command lines left %v, %v", left, err)
	}
}

// The help of every command fits into a terminal.
func TestHelpIsNotTooWide(t *testing.T) {
	w := &world{}
	for _, name := range []string{"", "verify", "prove", "keygen", "keys", "keys add", "keys retire", "keys revoke", "keys show", "keys publish"} {
		help := w.cts(t, "", strings.Fields("help "+name)...)
		text, _, _ := strings.Cut(help.out, "Flags:")
		for line := range strings.Lines(text) {
			if len([]rune(line)) > 101 {
				t.Errorf("help %s: %q", name, line)
			}
		}
	}
}
