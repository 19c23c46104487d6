package workload_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/plain"
	"github.com/cloudtraceservice/cts/bench/workload"
)

func write(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func lines(s *workload.Source) []byte {
	var b bytes.Buffer
	for _, r := range collect(s, 100) {
		b.Write(r.JSON)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func TestFilesOfTracesComeBackAsTheyWere(t *testing.T) {
	text := lines(workload.Trail(1, 2000, 0))
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"traces.jsonl": text, "traces.json.gz": zipped.Bytes()} {
		path := write(t, name, content)
		for _, p := range []string{path, filepath.Dir(path)} {
			s, err := workload.Files(p)
			if err != nil {
				t.Fatal(err)
			}
			if s.Count != 2000 || !bytes.Equal(lines(s), text) {
				t.Errorf("%s: %d traces, or other ones", name, s.Count)
			}
		}
	}
}

func TestFilesTakesATraceOnceAndReportsWhatItCannotRead(t *testing.T) {
	text := lines(workload.Uniform(1, 10))
	path := write(t, "traces.jsonl", append(append(text, text...), `{"trace_id":"x","trace_name":"n","time":"never"}`...))
	s, err := workload.Files(path)
	if s == nil || s.Count != 10 {
		t.Fatalf("%v, %v", s, err)
	}
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the error does not name the file: %v", err)
	}
	if s, err := workload.Files(write(t, "empty.json", nil)); s != nil || err == nil {
		t.Errorf("no traces: %v, %v", s, err)
	}
	if _, err := workload.Files("does-not-exist"); err == nil {
		t.Error("a file that is not there: no error")
	}
}

func TestRealCloudTrail(t *testing.T) {
	const dir = "../../../shared/data/cloudtrail-invictus"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the CloudTrail data is not here: ", err)
	}
	s, err := workload.Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.Count < 2800 {
		t.Errorf("%d traces", s.Count)
	}
	if len(s.Words) == 0 || len(s.Parts) == 0 {
		t.Error("no rare words were found")
	}
	records := collect(s, 1000)
	for _, w := range s.Words {
		if n := plain.Ask(records, contest.Question{Word: w, Count: true}).Count; n == 0 {
			t.Error("a rare word is in no trace")
		}
	}
	for _, p := range s.Parts {
		if n := plain.Ask(records, contest.Question{Substring: p, Count: true}).Count; n == 0 {
			t.Error("a rare text is in no trace")
		}
	}
	names, ids := map[string]string{}, map[string]string{}
	for _, r := range records {
		u := r.Trace.User
		if n, ok := names[u.ID]; u.ID != "" && ok && n != u.Name {
			t.Error("a user id with two names")
		}
		if u.UserName != "" && u.UserName != u.Name {
			t.Error("a user with two names")
		}
		names[u.ID], ids[u.Name] = u.Name, u.ID
	}
}
