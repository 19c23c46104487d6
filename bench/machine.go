package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// machine describes the machine, in lines.
func machine(dir string) []string {
	lines := []string{fmt.Sprintf("CPU: %s, %d cores for Go", field("/proc/cpuinfo", "model name", runtime.GOARCH), runtime.GOMAXPROCS(0))}
	if total := field("/proc/meminfo", "MemTotal", ""); total != "" {
		var kb int64
		if _, err := fmt.Sscan(total, &kb); err == nil {
			lines = append(lines, fmt.Sprintf("memory: %.1f GiB", float64(kb)/(1<<20)))
		}
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err == nil {
		lines = append(lines, "kernel: "+runtime.GOOS+" "+strings.TrimSpace(string(kernel)))
	} else {
		lines = append(lines, "system: "+runtime.GOOS)
	}
	return append(lines, "Go: "+runtime.Version(), "file system of the data: "+fileSystem(dir))
}

// field returns a value of a file with lines "name: value".
func field(file, name, otherwise string) string {
	f, err := os.Open(file) //nolint:gosec // of /proc
	if err != nil {
		return otherwise
	}
	defer func() { _ = f.Close() }() // it was only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if k, v, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return otherwise
}

// fileSystem returns type and options of the file system that a folder is on.
func fileSystem(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "unknown"
	}
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return "unknown"
	}
	best, found := "", "unknown"
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 4 || len(f[1]) < len(best) {
			continue
		}
		if dir == f[1] || strings.HasPrefix(dir, strings.TrimSuffix(f[1], "/")+"/") {
			best, found = f[1], f[2]+" ("+f[3]+")"
		}
	}
	return found
}
