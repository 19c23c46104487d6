package redact_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts/redact"
)

// realData returns the files that match a pattern under the folder of real audit
// trails, which lies beside the repository.
func realData(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("..", "..", "shared", "data", filepath.FromSlash(pattern)))
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Skipf("no real data: %s is absent", pattern)
	}
	return names
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// cloudTrailEvents returns every event of the real CloudTrail files, as it stands.
func cloudTrailEvents(t *testing.T) []json.RawMessage {
	t.Helper()
	var events []json.RawMessage
	for _, name := range realData(t, "cloudtrail-invictus/CloudTrail/*.json") {
		var file struct{ Records []json.RawMessage }
		if err := json.Unmarshal([]byte(readFile(t, name)), &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		events = append(events, file.Records...)
	}
	return events
}

// maskTokens is the naive way: it replaces the strings under sessionToken.
func maskTokens(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		for key, child := range v {
			if _, ok := child.(string); ok && key == "sessionToken" {
				v[key] = redact.Mask
				n++
				continue
			}
			n += maskTokens(child)
		}
	case []any:
		for _, child := range v {
			n += maskTokens(child)
		}
	}
	return n
}

func parse(t *testing.T, s string) any {
	t.Helper()
	var v any
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("not JSON: %v", err)
	}
	return v
}

// checkMasked compares what was redacted with the naive way. It prints no values.
func checkMasked(t *testing.T, in, out string, found []redact.Finding) int {
	t.Helper()
	want := parse(t, in)
	n := maskTokens(want)
	if n != len(found) {
		t.Errorf("%d findings, want %d: %v", len(found), n, found)
	}
	for _, f := range found {
		if f.Rule != redact.RuleKey || !strings.HasSuffix(f.Path, "sessionToken") || f.Length < 100 {
			t.Errorf("finding %+v, want one under sessionToken", f)
		}
	}
	if !cmp.Equal(parse(t, out), want) {
		t.Errorf("something besides session tokens changed in an event of %d bytes", len(in))
	}
	return len(found)
}

func TestCloudTrailEvents(t *testing.T) {
	r := newRedactor(t, nil)
	total, parts := 0, 0
	events := cloudTrailEvents(t)
	for _, event := range events {
		out, found := r.JSON(string(event))
		total += checkMasked(t, string(event), out, found)

		var e struct{ RequestParameters, ResponseElements json.RawMessage }
		if err := json.Unmarshal(event, &e); err != nil {
			t.Fatal(err)
		}
		for _, part := range []json.RawMessage{e.RequestParameters, e.ResponseElements} {
			if len(part) == 0 {
				continue
			}
			out, found := r.Any(string(part))
			parts += checkMasked(t, string(part), out, found)
		}
	}
	if len(events) != 2900 || total != 36 || parts != 36 {
		t.Errorf("%d events, %d findings in them, %d in their parts; want 2900, 36, 36", len(events), total, parts)
	}
}

// TestCloudTrailAsString looks at the events as they stand in the request field of
// a trace: JSON inside a JSON string, twice.
func TestCloudTrailAsString(t *testing.T) {
	r := newRedactor(t, nil)
	total := 0
	for _, event := range cloudTrailEvents(t) {
		once, err := json.Marshal(map[string]string{"request": string(event)})
		if err != nil {
			t.Fatal(err)
		}
		twice, err := json.Marshal([]string{string(once)})
		if err != nil {
			t.Fatal(err)
		}
		out, found := r.JSON(string(twice))
		total += len(found)
		var outer []string
		var inner map[string]string
		if err := json.Unmarshal([]byte(out), &outer); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(outer[0]), &inner); err != nil {
			t.Fatal(err)
		}
		checkMasked(t, string(event), inner["request"], found)
		for _, f := range found {
			if !strings.HasPrefix(f.Path, "[0].request.") {
				t.Errorf("path %s, want it to go on from [0].request", f.Path)
			}
		}
	}
	if total != 36 {
		t.Errorf("%d findings, want 36", total)
	}
}

// TestCloudTrailStrings looks at every string of every event as free text: the
// rules for forms alone must find nothing.
func TestCloudTrailStrings(t *testing.T) {
	r := newRedactor(t, nil)
	var walk func(v any)
	strs := 0
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, child := range v {
				if key != "sessionToken" {
					walk(child)
				}
			}
		case []any:
			for _, child := range v {
				walk(child)
			}
		case json.Number:
			walk(v.String())
		case string:
			strs++
			for name, do := range map[string]func(string) (string, []redact.Finding){
				"Text": r.Text, "Any": r.Any, "URL": r.URL, "Query": r.Query,
			} {
				if out, found := do(v); out != v || len(found) > 0 {
					t.Errorf("%s: %v in a string of %d bytes", name, found, len(v))
				}
			}
		}
	}
	for _, event := range cloudTrailEvents(t) {
		walk(parse(t, string(event)))
	}
	if strs < 50000 {
		t.Errorf("%d strings looked at, want more", strs)
	}
}

func TestCTSSamples(t *testing.T) {
	r := newRedactor(t, nil)
	for _, pattern := range []string{"cts-samples/management/*.json", "cts-samples/malformed/*", "cts-samples/docs/*"} {
		for _, name := range realData(t, pattern) {
			in := readFile(t, name)
			for form, do := range map[string]func(string) (string, []redact.Finding){"JSON": r.JSON, "Text": r.Text} {
				if out, found := do(in); out != in || found != nil {
					t.Errorf("%s as %s: %+v, want nothing", filepath.Base(name), form, found)
				}
			}
		}
	}
}

func TestKubernetesAudit(t *testing.T) {
	r := newRedactor(t, nil)
	in := readFile(t, realData(t, "k8s-audit/demo.log")[0])
	if out, found := r.JSON(in); out != in || found != nil {
		t.Errorf("the file: %+v, want nothing", found)
	}
	for line := range strings.Lines(in) {
		if out, found := r.Any(line); out != line || found != nil {
			t.Errorf("a line: %+v, want nothing", found)
		}
	}
}
