package limits

import (
	"crypto/sha256"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"
)

// UnzipFiles is the limit of verifying a bucket: it reads the compressed files of a
// folder, unpacks them and computes SHA-256 of what was in them, on all processors. It
// returns the time.
func UnzipFiles(dir string) (time.Duration, error) {
	var names []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(name, ".gz") && filepath.Base(filepath.Dir(name)) != "Digest" {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for _, name := range names {
		work.Go(func() error { return unzipFile(name) })
	}
	err = work.Wait()
	return time.Since(begun), err
}

func unzipFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read from
	r, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	_, err = io.Copy(sha256.New(), r) //nolint:gosec // it is what the dumper compressed
	return err
}
