package cts_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// textRule is something that no file of the project may contain.
type textRule struct {
	name    string
	pattern *regexp.Regexp
	because string
}

// The patterns are built so that this file does not match itself.
var textRules = []textRule{
	{
		"machine path",
		regexp.MustCompile(`(^|[^\w.\-])/(root|work)/[\w.]`),
		"a path of one machine means nothing on another",
	},
	{
		"left over",
		regexp.MustCompile(`(^|[^.\w])(TO` + `DO|FIX` + `ME)\b`),
		"say what is missing in an issue, and in the code only what is",
	},
}

func TestProjectTextFiles(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine that reads files: run without the race detector")
	}
	files := projectFiles(t)
	if !slices.Contains(files, "textfiles_test.go") {
		t.Fatalf("%d files found, and this one is not among them", len(files))
	}
	for _, name := range files {
		data, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, fault := range textFaults(data) {
			t.Errorf("%s:%s", name, fault)
		}
	}
}

func TestProjectTextFilesFire(t *testing.T) {
	tests := []struct {
		text   string
		faults int
	}{
		{"cd /wo" + "rk/main", 1},
		{"file:///ro" + "ot/x", 1},
		{"first\n/ro" + "ot/x\n", 1},
		{"// TO" + "DO: later", 1},
		{"../a/wo" + "rk/x, net/ro" + "ot/y and context." + "TO" + "DO()", 0},
		{`path.Join("/ro` + `ot", key) == "/ro` + `ot/"+key`, 0},
		{"a workaround at the root / of it", 0},
		{"\x00 binary /ro" + "ot/x", 0},
		{"\xff\xfe binary /ro" + "ot/x", 0},
	}
	for _, tt := range tests {
		if got := textFaults([]byte(tt.text)); len(got) != tt.faults {
			t.Errorf("%q: faults = %q, want %d", tt.text, got, tt.faults)
		}
	}
}

// textFaults returns "line: sentence" for each line that breaks a rule. Files
// that are no UTF-8 text have no lines.
func textFaults(data []byte) []string {
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return nil
	}
	var faults []string
	for i, line := range bytes.Split(data, []byte("\n")) {
		for _, rule := range textRules {
			if rule.pattern.Match(line) {
				faults = append(faults, fmt.Sprintf("%d: %s: %s", i+1, rule.name, rule.because))
			}
		}
	}
	return faults
}

// projectFiles lists the files of the project: all outside hidden caches, less
// what git ignores. It walks the folders even where git could list them: the
// go command then knows that these tests hang on every file, and does not
// answer from its cache when one has changed.
func projectFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == ".cache"):
			return filepath.SkipDir
		case d.Type().IsRegular():
			files = append(files, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	git := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	out, err := git.Output()
	if err != nil || len(out) == 0 {
		return files // no git, or not its work tree
	}
	known := make(map[string]bool)
	for name := range strings.SplitSeq(string(out), "\x00") {
		known[name] = true
	}
	return slices.DeleteFunc(files, func(name string) bool { return !known[name] })
}
