package limits

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"github.com/cloudtraceservice/cts/bench/contest"
)

// Gzip is the limit of dumping: gzip of the JSON, as it is, on all processors, written
// to one file for each.
type Gzip struct{}

var _ contest.Dumper = Gzip{}

const gzipLevel = 6

// Info implements [contest.Contestant].
func (Gzip) Info() contest.Info {
	return contest.Info{Name: Name, Version: "none", Setup: "the JSON of the traces, made before, through klauspost gzip -6 on all processors, to one file for each, not synced"}
}

// Close implements [contest.Contestant].
func (Gzip) Close() error { return nil }

// Dump implements [contest.Dumper].
func (Gzip) Dump(ctx context.Context, records []contest.Record, dir string) (int64, error) {
	parts := runtime.GOMAXPROCS(0)
	sizes := make([]int64, parts)
	group, _ := errgroup.WithContext(ctx)
	for i := range parts {
		share := records[len(records)*i/parts : len(records)*(i+1)/parts]
		group.Go(func() (err error) {
			sizes[i], err = gzipFile(filepath.Join(dir, strconv.Itoa(i)+".json.gz"), share)
			return err
		})
	}
	err := group.Wait()
	var total int64
	for _, n := range sizes {
		total += n
	}
	return total, err
}

func gzipFile(name string, records []contest.Record) (size int64, err error) {
	f, err := os.Create(name) //nolint:gosec // in the directory of the benchmark
	if err != nil {
		return 0, err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	z, err := gzip.NewWriterLevel(f, gzipLevel)
	if err != nil {
		return 0, err
	}
	for _, r := range records {
		if _, err := z.Write(r.JSON); err != nil {
			return 0, err
		}
		if _, err := z.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
	}
	if err := z.Close(); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
