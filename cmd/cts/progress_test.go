package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/digest"
)

// The bar moves, and is gone at the end.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	bar := newProgress(&out)
	for i := range int64(100) {
		bar.show(digest.Progress{Digests: i, Files: i, Pending: 100 - i})
	}
	bar.show(digest.Progress{Digests: 100, Files: 100})
	shown := out.Len()
	if !strings.Contains(out.String(), "digests") {
		t.Errorf("nothing is shown: %q", &out)
	}
	bar.clear()
	if rest := out.String()[shown:]; strings.Trim(rest, "\r \x1b[2K") != "" {
		t.Errorf("%q is left", rest)
	}
	if isTerminal(&out) {
		t.Error("a buffer is taken for a terminal")
	}
}
