package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/cloudtrail"
	"github.com/cloudtraceservice/cts/store/filestore"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// event returns an event with further members: text that begins with a comma.
func event(id int, members string) string {
	return fmt.Sprintf(`{"eventID":"e%d","eventTime":"2023-07-10T11:42:%02dZ","eventName":"GetUser","eventType":"AwsApiCall",
		"eventSource":"iam.amazonaws.com","recipientAccountId":"123456789012",
		"userIdentity":{"type":"IAMUser","userName":"alice"}%s}`, id, id%60, members)
}

// line returns an event on one line.
func line(id int) string { return strings.ReplaceAll(event(id, ""), "\n", " ") + "\n" }

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// folder writes files below a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// imported runs the command and returns its exit status, output and errors.
func imported(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, faults bytes.Buffer
	status = run(context.Background(), args, &out, &faults)
	return status, out.String(), faults.String()
}

func lastLine(output string) string {
	lines := strings.Split(strings.TrimSuffix(output, "\n"), "\n")
	return lines[len(lines)-1]
}

// expect runs the command and checks its exit status and last line.
func expect(t *testing.T, status int, last string, args ...string) (stdout, stderr string) {
	t.Helper()
	got, stdout, stderr := imported(t, args...)
	if got != status || lastLine(stdout) != last {
		t.Fatalf("status %d, last line %q, want %d, %q\n%s", got, lastLine(stdout), status, last, stderr)
	}
	return stdout, stderr
}

// stored returns the imported traces of a store.
func stored(t *testing.T, dir string) map[string]*cts.Trace {
	t.Helper()
	s, err := filestore.Open(filepath.Join(dir, "store"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all, err := cts.Collect(s.Query(context.Background(), cts.Query{}))
	if err != nil {
		t.Fatal(err)
	}
	traces := map[string]*cts.Trace{}
	for _, tr := range all {
		if tr.Ext.Source.ID != "" {
			traces[tr.Ext.Source.ID] = tr
		}
	}
	return traces
}

func TestRunReadsEveryForm(t *testing.T) {
	data := folder(t, map[string]string{
		"a/records.json":              `{"Records":[` + event(1, "") + "," + event(2, "") + "]}",
		"a/b/array.json.gz":           zipped(t, "["+event(3, "")+","+event(4, "")+"]"),
		"a/b/lines.jsonl":             line(5) + line(6),
		"lines.NDJSON":                line(7),
		"lines.ndjson.gz":             zipped(t, line(8)) + zipped(t, line(9)),
		"lines.jsonl.gz":              line(10), // not compressed, whatever its name
		"empty.json":                  "",
		"notes.txt":                   "not a log file",
		"a/CloudTrail-Digest/d.json":  `{"digestS3Object":"x"}`,
		"other/explicit.log":          line(11),
		"other/again.json":            line(1) + line(11),
		"CloudTrail-Insight/one.json": line(12),
	})
	dir := t.TempDir()
	paths := []string{"-dir", dir, data, filepath.Join(data, "other", "explicit.log")}
	_, stderr := expect(t, 0, "read=14 stored=12 already=2 failed=0", paths...)
	if stderr != "" {
		t.Errorf("errors: %s", stderr)
	}
	if n := len(stored(t, dir)); n != 12 {
		t.Errorf("%d traces are stored, want 12", n)
	}
	expect(t, 0, "read=14 stored=0 already=14 failed=0", paths...)
}

func TestRunGoesOnBehindFaults(t *testing.T) {
	var many strings.Builder
	for id := range 600 {
		many.WriteString(line(1000 + id))
	}
	data := folder(t, map[string]string{
		"1-event.json":   "[" + event(1, "") + ",\n{\"eventID\":\"e2\"},\n" + event(3, "") + "]",
		"2-broken.json":  `{"Records":[` + line(4) + "," + line(5) + `{"eventID"]}`,
		"3-cut.json":     `{"Records":[` + line(6) + `,{"eventID":"e7","eventTi`,
		"4-cut.json.gz":  zipped(t, many.String())[:3000],
		"5-text.json":    "hello",
		"6-whole.json":   line(8),
		"7-another.json": event(8, `,"readOnly":true`) + line(9),
	})
	dir := t.TempDir()
	status, stdout, stderr := imported(t, "-dir", dir, data, filepath.Join(data, "absent"))
	var read, kept, already, failed int
	if _, err := fmt.Sscanf(lastLine(stdout), "read=%d stored=%d already=%d failed=%d", &read, &kept, &already, &failed); err != nil {
		t.Fatalf("last line %q: %v", lastLine(stdout), err)
	}
	zippedEvents := read - 8
	if status != 1 || zippedEvents < 1 || zippedEvents >= 600 || kept != read-1 || already != 0 || failed != 7 {
		t.Fatalf("status %d, %s", status, lastLine(stdout))
	}
	for _, want := range []string{
		`1-event\.json: cts: line 4, column 1 \(offset \d+\): member "eventTime": missing`,
		`2-broken\.json: cts: line 3, column 1 \(offset \d+\): expected ','`,
		`3-cut\.json: cts: line 2, column 26 \(offset \d+\): the text ends`,
		`4-cut\.json\.gz: cloudtrail: reading stopped at line \d+, column \d+ \(offset \d+\): unexpected EOF`,
		`5-text\.json: cts: line 1, column 1 \(offset 0\): expected a value`,
		`7-another\.json: event "e8": cts: trace \d+ of the batch: id .* is taken by another trace`,
		`absent: .*`,
	} {
		if !regexp.MustCompile(`(?m)^.*` + want + `$|` + want).MatchString(stderr) {
			t.Errorf("no error like %s in\n%s", want, stderr)
		}
	}
	if n := strings.Count(stderr, "\n"); n != 7 {
		t.Errorf("%d errors, want 7:\n%s", n, stderr)
	}
	if n := len(stored(t, dir)); n != kept {
		t.Errorf("%d traces are stored, want %d", n, kept)
	}
}

func TestRunKeepsLargeEventsWhole(t *testing.T) {
	large := event(1, `,"requestParameters":{"x":"`+strings.Repeat(`\"<é>`, 15<<10)+`"},
		"additionalEventData":{"y":"`+strings.Repeat("z", 100<<10)+`"},"userAgent":"`+strings.Repeat("u", 2<<10)+`"`)
	want, err := cloudtrail.Map([]byte(large))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	expect(t, 0, "read=1 stored=1 already=0 failed=0", "-dir", dir, folder(t, map[string]string{"a.json": large}))
	got := stored(t, dir)["e1"]
	if got == nil || got.Request != want.Request || got.Unknown != want.Unknown {
		t.Fatal("the event is not stored whole")
	}
	event, err := cloudtrail.Restore(got)
	original, _ := cloudtrail.Restore(want)
	if err != nil || !bytes.Equal(event, original) {
		t.Errorf("the event does not come back: %v", err)
	}
}

func TestRunReports(t *testing.T) {
	const secret = "FwoGZXIvYXdzEJr"
	text := event(1, `,"responseElements":{"credentials":{"sessionToken":"`+secret+`"}},"requestParameters":{"password":"`+secret+`"}`) +
		event(2, `,"errorCode":"NoSuchEntity","responseElements":{"credentials":{"sessionToken":"`+secret+`"}}`) +
		event(3, `,"errorMessage":"it broke"`) +
		`{"eventID":"e4","eventTime":"2023-07-10T11:42:00Z","eventName":"\u001b[2J\tX","userIdentity":{"accountId":"1"}}`
	dir := t.TempDir()
	stdout, stderr := expect(t, 0, "read=4 stored=4 already=0 failed=0", "-dir", dir, folder(t, map[string]string{"a.json": text}))
	want := `services (2 of 2)
  3  IAM
  1  (none)

names (2 of 2)
  3  GetUser
  1  "\x1b[2J\tX"

users (2 of 2)
  3  alice
  1  1

errors (2 of 2)
  1  (without a code)
  1  NoSuchEntity

redacted (2 of 2)
  2  response.credentials.sessionToken
  1  request.password

read=4 stored=4 already=0 failed=0
`
	if stdout != want || stderr != "" {
		t.Errorf("got\n%s%s\nwant\n%s", stdout, stderr, want)
	}
	mustNotContain(t, dir, []string{secret})
}

// mustNotContain looks for texts in all files below a directory.
func mustNotContain(t *testing.T, dir string, texts []string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(name)
		for i, text := range texts {
			if bytes.Contains(data, []byte(text)) {
				t.Errorf("%s contains secret number %d", name, i)
			}
		}
		return err
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files, error %v", files, err)
	}
}

func TestRunUsage(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		status int
	}{
		{nil, 2},
		{[]string{"-dir", "x"}, 2},
		{[]string{"path"}, 2},
		{[]string{"-bad"}, 2},
		{[]string{"-h"}, 0},
	} {
		status, stdout, stderr := imported(t, tt.args...)
		if status != tt.status || stdout != "" || !strings.Contains(stderr, "usage: importcloudtrail -dir DIR PATH") {
			t.Errorf("%q: status %d, want %d, output %q, errors %q", tt.args, status, tt.status, stdout, stderr)
		}
	}
}

func TestRunWithoutAStore(t *testing.T) {
	dir := folder(t, map[string]string{"store": "a file in the way", "a.json": line(1)})
	_, stderr := expect(t, 1, "read=0 stored=0 already=0 failed=0", "-dir", dir, filepath.Join(dir, "a.json"))
	if stderr == "" {
		t.Error("no error is shown")
	}
}

func TestRunStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, faults bytes.Buffer
	data := folder(t, map[string]string{"a.json": line(1) + line(2)})
	status := run(ctx, []string{"-dir", t.TempDir(), data}, &out, &faults)
	if status != 1 || !strings.Contains(faults.String(), context.Canceled.Error()) || !strings.HasPrefix(lastLine(out.String()), "read=") {
		t.Errorf("status %d, errors %q, last line %q", status, faults.String(), lastLine(out.String()))
	}
}

// fullStore has room for a number of batches.
type fullStore struct {
	cts.Appender
	batches int
}

func (s *fullStore) Append(ctx context.Context, batch []cts.Entry) (cts.Appended, error) {
	if len(batch) > 1 {
		if s.batches--; s.batches < 0 {
			return cts.Appended{}, cts.ErrStoreFull
		}
	}
	return s.Appender.Append(ctx, batch)
}

func TestImporterCountsWhatTheStoreRefuses(t *testing.T) {
	store := memstore.New(nil)
	defer store.Close()
	ctx := context.Background()
	tracker, err := cts.Open(ctx, &fullStore{store, 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tracker.Close(ctx) }() // the store is full
	var text strings.Builder
	for id := range 1300 {
		text.WriteString(line(id))
	}
	im := &importer{tracker: tracker, report: newReport(), faults: io.Discard}
	err = im.paths(ctx, []string{folder(t, map[string]string{"a.json": text.String(), "b.json": line(2000)})})
	if !errors.Is(err, cts.ErrStoreFull) {
		t.Errorf("error %v, want the store's", err)
	}
	if r := im.report; r.read != 1000 || r.stored != 500 || r.already != 0 || r.failed != 500 {
		t.Errorf("read=%d stored=%d already=%d failed=%d, want 1000, 500, 0 and 500", r.read, r.stored, r.already, r.failed)
	}
}

func TestRunOutputFails(t *testing.T) {
	var faults bytes.Buffer
	data := folder(t, map[string]string{"a.json": line(1)})
	status := run(context.Background(), []string{"-dir", t.TempDir(), data}, brokenWriter{}, &faults)
	if status != 1 || !strings.Contains(faults.String(), errPipe.Error()) {
		t.Errorf("status %d, errors %q", status, faults.String())
	}
}

var errPipe = errors.New("nobody reads this")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errPipe }
