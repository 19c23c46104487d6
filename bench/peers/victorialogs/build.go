package victorialogs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

const (
	// Version is the release of the server. It comes from the module of
	// VictoriaMetrics, the last one that holds the whole of VictoriaLogs and that the
	// module proxy has.
	Version = "v1.121.0"

	module = "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-logs"
)

// Binary returns the path of the server's program. The first call on a machine builds
// it with the go command in a scratch module, which needs the module proxy once, and
// keeps it in the folder cts-bench of the user's cache.
func Binary(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("victorialogs: no cache folder for the program: %w", err)
	}
	cache = filepath.Join(cache, "cts-bench")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", fmt.Errorf("victorialogs: %w", err)
	}
	path := filepath.Join(cache, "victoria-logs-"+Version)
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, build(ctx, cache, path)
}

// build makes the program beside its final place and renames it, so that two runs at
// the same time don't see each other's half.
func build(ctx context.Context, cache, path string) error {
	scratch, err := os.MkdirTemp(cache, "build-")
	if err != nil {
		return fmt.Errorf("victorialogs: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	made := filepath.Join(scratch, filepath.Base(path))
	for _, args := range [][]string{
		{"mod", "init", "scratch"},
		{"get", "-tool", module + "@" + Version},
		{"build", "-o", made, module},
	} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = scratch
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod -buildvcs=false", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("victorialogs: go %s: %w: %s", args[0], err, last(out, 500))
		}
	}
	if err := os.Rename(made, path); err != nil {
		return fmt.Errorf("victorialogs: %w", err)
	}
	return nil
}

// last returns the end of a program's output.
func last(out []byte, n int) []byte {
	return out[max(0, len(out)-n):]
}
