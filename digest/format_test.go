package digest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts/digest"
)

// goodDigest returns the content of a digest with a predecessor, files and heads.
func goodDigest(tb testing.TB) []byte {
	tb.Helper()
	c := digest.NewChain(digest.ChainOptions{Writer: chainWriter, Tracker: "system"}, chainBegin)
	chainCut(tb, c, chainOptions(tb, c.Start+3600))
	c.Add(chainFile(1, 3, c.Start.Time()))
	c.Add(chainFile(2, 4, c.Start.Time()))
	o := chainOptions(tb, c.Start+3600)
	o.Heads = []digest.Head{{Chain: strings.Repeat("0f", 16), Seq: 9, SHA256: strings.Repeat("ab", 32), Count: 12}}
	_, d := chainCut(tb, c, o)
	content, err := json.Marshal(d)
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

func TestParseRefuses(t *testing.T) {
	good := string(goodDigest(t))
	if _, err := digest.Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	d, err := digest.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	x := d.Extension
	swap := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not in the digest", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	tests := map[string]string{
		"newline":            good + "\n",
		"blank":              swap(`{"project`, `{ "project`),
		"unknown field":      swap(`{"project`, `{"x":1,"project`),
		"unknown extension":  swap(`"version":1`, `"version":1,"x":1`),
		"twice":              swap(`"digest_end":false`, `"digest_end":false,"digest_end":false`),
		"other case":         swap(`"digest_end":false`, `"Digest_end":false`),
		"start":              swap(`"digest_start_time":"2026-11-22T23-00-00Z"`, `"digest_start_time":"2026-11-22T23-00-01Z"`),
		"end":                swap(`"digest_end_time":"2026-11-23T00-00-00Z"`, `"digest_end_time":"2026-11-23T00-00-01Z"`),
		"end before start":   swap(`"digest_start_time":"2026-11-22T23-00-00Z"`, `"digest_start_time":"2026-11-24T23-00-00Z"`),
		"object":             swap(d.Object, "CloudTraces/x"),
		"bucket":             swap(`"digest_bucket":"bucket"`, `"digest_bucket":"other"`),
		"algorithm":          swap(`"Ed25519"`, `"none"`),
		"no predecessor":     swap(`"previous_digest_hash_value":"`, `"previous_digest_hash_value":"0`),
		"signature in words": swap(`"previous_digest_signature":"`, `"previous_digest_signature":"zz`),
		"behind an end":      swap(`"previous_digest_end":false`, `"previous_digest_end":true`),
		"previous object":    swap(`"previous_digest_object":"CloudTraces/`, `"previous_digest_object":"Other/`),
		"no files":           swap(`"log_files":[`, `"log_files":null,"x":[`),
		"chain":              swap(x.Chain, strings.ToUpper(x.Chain)),
		"first of a chain":   swap(`"seq":2`, `"seq":1`),
		"seq 0":              swap(`"seq":2`, `"seq":0`),
		"hash":               swap(`"hash":"SHA-256"`, `"hash":"SHA-1"`),
		"first":              swap(`"first":1,"count":7`, `"first":2,"count":7`),
		"negative":           swap(`"first":1,"count":7`, `"first":1,"count":-7`),
		"overflow":           swap(`"first":1,"count":7`, `"first":9223372036854775807,"count":7`),
		"count":              swap(`"first":1,"count":7`, `"first":1,"count":8`),
		"file's first":       swap(`"first":4,"count":4`, `"first":5,"count":4`),
		"file's count":       swap(`"first":4,"count":4`, `"first":4,"count":0`),
		"file's size":        swap(`"size":9`, `"size":0`),
		"file's root":        swap(x.Files[0].Root, "ab"),
		"file's sha256":      swap(`"sha256":"`+x.Files[0].SHA256, `"sha256":"`+x.Files[1].SHA256),
		"file's object":      swap(d.Files[0].Object, "../x"),
		"file twice":         swap(d.Files[0].Object, d.Files[1].Object),
		"file's bucket":      swap(`{"bucket":"bucket"`, `{"bucket":"other"`),
		"one file less":      swap(`"files":[{"first":1`, `"files":[{"first":0,"count":0,"root":"","size":0,"sha256":""},{"first":1`),
		"key id":             swap(x.KeyID, "ab"),
		"own head":           swap(x.Heads[0].Chain, x.Chain),
		"head's hash":        swap(strings.Repeat("ab", 32), "ab"),
		"head's object":      swap(`"count":12`, `"count":12,"object":"x"`),
		"type":               swap(`"seq":2`, `"seq":"2"`),
		"time":               swap("2026-11-22T23-00-00Z", "2026-11-22T23:00:00Z"),
		"no JSON":            good[:len(good)-1],
	}
	for name, content := range tests {
		if _, err := digest.Parse([]byte(content)); !errors.Is(err, digest.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if _, err := digest.Parse([]byte(swap(`"version":1`, `"version":2`))); !errors.Is(err, digest.ErrVersion) {
		t.Errorf("a newer version: %v", err)
	}
	if _, err := digest.Parse(bytes.Repeat([]byte(" "), digest.MaxBytes+1)); !errors.Is(err, digest.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

// sample reads a file of genuine samples of CTS.
func sample(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "shared", "data", "cts-samples", "digest", name))
	if err != nil {
		t.Skipf("the samples of CTS are not here: %v", err)
	}
	return content
}

func TestParseGenuine(t *testing.T) {
	d, err := digest.Parse(sample(t, "otc-digest-file-2017.json"))
	if err != nil {
		t.Fatal(err)
	}
	if d.Extension != nil || d.End.Time() != time.Date(2017, 3, 28, 2, 9, 17, 0, time.UTC) || d.End-d.Start != 3600 || len(d.Files) != 1 ||
		d.SignatureAlgorithm != digest.RSA || d.HashAlgorithm() != digest.MD5 || d.Head(nil) != (digest.Head{}) {
		t.Errorf("parsed: %+v", d)
	}
	info, ok := digest.ParseKey(d.Object)
	want := digest.KeyInfo{
		Kind: digest.DigestFile, Root: "CloudTraces/eu-de-01", Date: digest.StampOf(time.Date(2017, 3, 28, 0, 0, 0, 0, time.UTC)),
		Service: "EVS", Prefix: "mylog", Region: "eu-de-01", Time: d.End, Gzip: true,
	}
	if diff := cmp.Diff(want, info); !ok || diff != "" {
		t.Errorf("key of the digest: %v\n%s", ok, diff)
	}
	info, ok = digest.ParseKey(d.Files[0].Object)
	want.Kind, want.Tracker, want.Service, want.ID = digest.TraceFile, "ECS", "", "0faa86bc40071242"
	if diff := cmp.Diff(want, info); !ok || diff != "" {
		t.Errorf("key of the trace file: %v\n%s", ok, diff)
	}
	got, err := d.SigningString([]byte("stored"))
	hash, _ := digest.Hash(digest.MD5, []byte("stored"))
	if want := "2017-03-28T02-09-17Z" + d.Object + hash + d.PreviousSignature; err != nil || got != want {
		t.Errorf("signing string %q, %v", got, err)
	}
}

func TestParseKey(t *testing.T) {
	day := digest.StampOf(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC))
	at := day + 3*3600 + 4*60 + 5
	const name = "CloudTrace_eu-de_2026-01-02T03-04-05Z_0123456789abcdef.json.gz"
	const digestName = "CloudTrace-Digest_eu-de_2026-01-02T03-04-05Z_0123456789abcdef.json.gz"
	tests := map[string]digest.KeyInfo{
		"CloudTraces/eu-de/2026/01/02/system/ECS/" + name:                         {Kind: digest.TraceFile, Tracker: "system", Service: "ECS"},
		"CloudTraces/eu-de/2026/1/2/system/" + name:                               {Kind: digest.TraceFile, Tracker: "system"},
		"CloudTraces/eu-de/2026/01/02/%44igest/%/p_q_" + name:                     {Kind: digest.TraceFile, Tracker: "%44igest", Service: "%", Prefix: "p_q"},
		"CloudTraces/eu-de/2026/01/02/system/ECS/CloudTrace-Digest_" + name:       {Kind: digest.TraceFile, Tracker: "system", Service: "ECS", Prefix: "CloudTrace-Digest"},
		"CloudTraces/eu-de/2026/01/02/system/Digest/" + digestName:                {Kind: digest.DigestFile, Tracker: "system"},
		"CloudTraces/eu-de/2026/01/02/system/Digest/ECS/CloudTrace_" + digestName: {Kind: digest.DigestFile, Tracker: "system", Service: "ECS", Prefix: "CloudTrace"},
		"CloudTraces/eu-de/2026/01/02/Digest/ECS/" + digestName:                   {Kind: digest.DigestFile, Service: "ECS"},
		"CloudTraces/eu-de/2026/01/02/system/Digest/" + digestName + ".sig":       {Kind: digest.SignatureFile, Tracker: "system"},
		"CloudTraces/eu-de/2026/01/02/" + name:                                    {Kind: digest.TraceFile},
		"CloudTraces/eu-de/eu-de-sub/2026/01/02/system/ECS/" + name:               {Kind: digest.TraceFile, Root: "CloudTraces/eu-de/eu-de-sub", Tracker: "system", Service: "ECS"},
		"CloudTraces/eu-de/2026/01/02/system/ECS/_" + name:                        {Kind: digest.TraceFile, Tracker: "system", Service: "ECS"},
	}
	for key, want := range tests {
		if want.Root == "" {
			want.Root = "CloudTraces/eu-de"
		}
		want.Date, want.Time, want.Region, want.ID, want.Gzip = day, at, "eu-de", "0123456789abcdef", true
		got, ok := digest.ParseKey(key)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%s: %v\n%s", key, ok, diff)
		}
	}
	for key, kind := range map[string]digest.ObjectKind{
		digest.KeysKey("CloudTraces/eu-de"):        digest.KeysFile,
		"CloudTraces/eu-de/Complete/0b7f8a52.json": digest.CompleteFile,
	} {
		if got, ok := digest.ParseKey(key); !ok || got.Kind != kind || got.Root != "CloudTraces/eu-de" {
			t.Errorf("%s: %+v, %v", key, got, ok)
		}
	}
	plain, ok := digest.ParseKey("CloudTraces/eu-de/2026/01/02/system/ECS/CloudTrace_eu-de_2026-01-02T03-04-05Z_0123456789abcdef.json")
	if !ok || plain.Gzip {
		t.Errorf("not compressed: %+v, %v", plain, ok)
	}
	for _, key := range []string{
		"", "CloudTraces", "CloudTraces/eu-de/2026/01/02", "Other/eu-de/2026/01/02/system/ECS/" + name, "CloudTraces//2026/01/02/system/ECS/" + name,
		"CloudTraces/eu-de/2026/13/02/system/ECS/" + name, "CloudTraces/eu-de/2026/02/30/system/ECS/" + name, "CloudTraces/eu-de/x/01/02/system/ECS/" + name,
		"CloudTraces/eu-de/2026/01/02/a/b/c/" + name, "CloudTraces/eu-de/2026/01/02/system/Digest/" + name, "CloudTraces/eu-de/2026/01/02/system/ECS/" + digestName,
		"CloudTraces/eu-de/2026/01/02/system/ECS/" + name + ".sig", "CloudTraces/eu-de/2026/01/02/system//" + name, "CloudTraces/eu-de/2026/01/02/a/b/Digest/" + digestName,
		"CloudTraces/eu-de/2026/01/02/system/Digest/Digest/" + digestName, "CloudTraces/eu-de/2026/01/02/system/ECS/x.json.gz",
		"CloudTraces/eu-de/2026/01/02/system/ECS/CloudTrace_eu-de_2026-01-02T03:04:05Z_0123456789abcdef.json.gz",
		"CloudTraces/eu-de/2026/01/02/system/ECS/XCloudTrace_eu-de_2026-01-02T03-04-05Z_0123456789abcdef.json.gz", "CloudTraces/eu-de/2026/01/02/system/ECS/CloudTrace__2026-01-02T03-04-05Z.json.gz",
	} {
		if info, ok := digest.ParseKey(key); ok {
			t.Errorf("%q is taken for %+v", key, info)
		}
	}
}

func TestLayoutRoundTrip(t *testing.T) {
	id := strings.Repeat("ab", 16)
	for _, l := range []digest.Layout{
		{Root: "CloudTraces/eu-de", Tracker: "system", Region: "eu-de"},
		{Root: "CloudTraces/eu-de-p", Tracker: "%", Service: "ECS", Prefix: "a_b", Region: "eu-de_p"},
	} {
		key := l.Key(id, digest.StampOf(chainBegin))
		info, ok := digest.ParseKey(key)
		back := digest.Layout{Root: info.Root, Tracker: info.Tracker, Service: info.Service, Prefix: info.Prefix, Region: info.Region}
		if !ok || back != l || info.ID != id[:16] || info.Time != digest.StampOf(chainBegin) || info.Kind != digest.DigestFile || !info.Gzip {
			t.Errorf("%s: %+v", key, info)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(goodDigest(f))
	f.Add([]byte(`{"digest_object":"x","digest_end_time":"2017-03-28T02-09-17Z"}`))
	f.Add([]byte(`{"cts":{}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, content []byte) {
		d, err := digest.Parse(content)
		if err != nil {
			if !errors.Is(err, digest.ErrInvalid) && !errors.Is(err, digest.ErrVersion) && !errors.Is(err, digest.ErrTooLarge) {
				t.Errorf("error of no kind: %v", err)
			}
			return
		}
		if _, err := digest.Read(content); err != nil && content[0] == '{' {
			t.Errorf("Read: %v", err)
		}
		if d.Extension == nil {
			return
		}
		again, err := json.Marshal(d)
		if err != nil || !bytes.Equal(again, content) {
			t.Errorf("not written as it was: %v", err)
		}
		if err := d.Head(content).Check(); err != nil {
			t.Error(err)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add("CloudTraces/eu-de/2026/01/02/system/ECS/CloudTrace_eu-de_2026-01-02T03-04-05Z_0123456789abcdef.json.gz")
	f.Add("CloudTraces/eu-de/2026/1/2/Digest/ECS/p_CloudTrace-Digest_eu-de_2026-01-02T03-04-05Z.json.gz")
	f.Add("CloudTraces/eu-de-01/2017/3/28/Digest/EVS/mylog_CloudTrace-Digest_eu-de-01/_2017-03-28T02-09-17Z.json.gz")
	f.Add("CloudTraces/a/b/Keys/keys.json")
	f.Fuzz(func(t *testing.T, key string) {
		info, ok := digest.ParseKey(key)
		if !ok {
			if info != (digest.KeyInfo{}) {
				t.Errorf("%q: %+v and no key", key, info)
			}
			return
		}
		if info.Kind == 0 || !strings.HasPrefix(key, info.Root+"/") || strings.Contains(info.Tracker+info.Service, "/") ||
			!strings.Contains(key, info.ID) || (info.Kind == digest.DigestFile || info.Kind == digest.SignatureFile) != strings.Contains(key, "/Digest/") && info.Root == "CloudTraces/eu-de" {
			t.Errorf("%q: %+v", key, info)
		}
		if info.Kind != digest.DigestFile || info.Tracker == "" || len(info.ID) == 0 {
			return
		}
		l := digest.Layout{Root: info.Root, Tracker: info.Tracker, Service: info.Service, Prefix: info.Prefix, Region: info.Region}
		again, ok := digest.ParseKey(l.Key(info.ID, info.Time))
		info.Date, info.Gzip = again.Date, true // padded, of the time, and compressed
		if !ok || again != info {
			t.Errorf("%q: %+v\n%+v", key, info, again)
		}
	})
}

func FuzzParseStamp(f *testing.F) {
	f.Add("2017-03-28T01-09-17Z")
	f.Add("0000-01-01T00-00-00Z")
	f.Fuzz(func(t *testing.T, s string) {
		at, err := digest.ParseStamp(s)
		if err != nil {
			return
		}
		text, err := at.MarshalText()
		if err != nil || string(text) != s || at.String() != s {
			t.Errorf("%q is written %q, %v", s, text, err)
		}
	})
}
