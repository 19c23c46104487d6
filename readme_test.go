package cts_test

import (
	"os"
	"strings"
	"testing"
)

// The Go code in the README is the body of an example, so that it compiles and runs.
func TestReadmeCodeIsTheExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(readme), "```go\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("the README has no Go code")
	}
	have := unindent(string(example))
	for _, block := range blocks {
		code, _, _ := strings.Cut(block, "```")
		if !strings.Contains(have, unindent(code)) {
			t.Errorf("this code of the README is not in example_readme_test.go:\n%s", code)
		}
	}
}

// Symbols that the README tells readers to look up exist.
func TestReadmeNamesSymbolsThatExist(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, reading, ok := strings.Cut(string(readme), "## Reading the source")
	if !ok {
		t.Fatal("the README has no section about reading the source")
	}
	reading, _, _ = strings.Cut(reading, "\n## ")
	named := 0
	for line := range strings.Lines(reading) {
		var file string
		var source []byte
		for i, part := range strings.Split(line, "`") {
			switch {
			case i%2 == 0:
			case strings.HasSuffix(part, ".go"):
				file = part
				if source, err = os.ReadFile(file); err != nil {
					t.Errorf("the README names a file that is not there: %v", err)
				}
			default:
				named++
				if name := part[strings.LastIndexByte(part, '.')+1:]; !strings.Contains(string(source), name) {
					t.Errorf("%s has no %s", file, part)
				}
			}
		}
	}
	if named < 10 {
		t.Errorf("the README names %d symbols, want at least 10", named)
	}
}

func unindent(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		b.WriteString(strings.TrimSpace(line))
		b.WriteByte('\n')
	}
	return b.String()
}
