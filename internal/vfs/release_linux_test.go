package vfs_test

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts/internal/vfs"
)

// resident returns what /proc says of how much of a mapped file is in memory.
func resident(t *testing.T, name string) string {
	t.Helper()
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skipf("no list of mappings: %v", err)
	}
	defer maps.Close()
	found := false
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		line := lines.Text()
		found = found || strings.HasSuffix(line, name)
		if size, ok := strings.CutPrefix(line, "Rss:"); ok && found {
			return strings.TrimSpace(size)
		}
	}
	t.Fatalf("%s is not mapped", name)
	return ""
}

// TestRelease checks that the pages that were read no longer count after Release.
func TestRelease(t *testing.T) {
	name := filepath.Join(t.TempDir(), "released")
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	f := openWith(t, vfs.OS, name, content)
	m, err := vfs.Map(f, int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if !bytes.Equal(m.Bytes(), content) {
		t.Error("another content")
	}
	if got := resident(t, name); got != "256 kB" {
		t.Errorf("all of 256 KiB was read, and %s is in memory", got)
	}
	if m.Release(); resident(t, name) != "0 kB" {
		t.Errorf("%s is in memory after Release", resident(t, name))
	}
}
