package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestRunRealData(t *testing.T) {
	data := filepath.FromSlash("../../../shared/data/cloudtrail-invictus")
	files, _ := filepath.Glob(filepath.Join(data, "CloudTrail", "*.json"))
	if len(files) == 0 {
		t.Skip("no real CloudTrail files in ../shared/data, next to the project")
	}
	var tokens []string
	pattern := regexp.MustCompile(`"sessionToken"\s*:\s*"([^"\\]+)"`)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range pattern.FindAllSubmatch(text, -1) {
			tokens = append(tokens, string(match[1]))
		}
	}
	if len(tokens) != 36 {
		t.Fatalf("%d session tokens found in the files, want 36", len(tokens))
	}
	dir := t.TempDir()
	stdout, stderr := expect(t, 0, "read=2900 stored=2900 already=0 failed=0", "-dir", dir, data)
	if stderr != "" {
		t.Errorf("errors: %s", stderr)
	}
	if !regexp.MustCompile(`redacted \(1 of 1\)\n +36  response\.credentials\.sessionToken\n\nread=`).MatchString(stdout) {
		t.Error("the 36 session tokens are not listed as the only redaction")
	}
	mustNotContain(t, dir, tokens)
	expect(t, 0, "read=2900 stored=0 already=2900 failed=0", "-dir", dir, data)
	mustNotContain(t, dir, tokens)
	if n := len(stored(t, dir)); n != 2900 {
		t.Errorf("%d traces are stored, want 2900", n)
	}
}
