package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/cloudtrail"
)

// What one call of Import gets, at most.
const (
	batchEvents = 500
	batchBytes  = 8 << 20
)

// importer reads files and imports their events in batches.
type importer struct {
	tracker *cts.Tracker
	report  *report
	faults  io.Writer

	batch []*cts.Trace
	files []string // the file of each event of the batch
	bytes int
}

// paths imports the files below the paths, in order. An error is about the store or
// the context, and ends the import; faults of files are reported.
func (im *importer) paths(ctx context.Context, paths []string) error {
	for _, path := range paths {
		err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				im.fault(name, err)
				return nil
			case entry.IsDir() && entry.Name() == "CloudTrail-Digest" && name != path:
				return fs.SkipDir // beside the log files of a bucket; no events
			case entry.IsDir(), name != path && !isLogFile(name):
				return nil
			}
			return im.file(ctx, name)
		})
		if err != nil {
			return err
		}
	}
	return im.flush(ctx)
}

// isLogFile tells by its name whether a file in a folder is read.
func isLogFile(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".gz")
	switch filepath.Ext(name) {
	case ".json", ".jsonl", ".ndjson":
		return true
	}
	return false
}

// fault reports what could not be read or stored.
func (im *importer) fault(file string, err error) {
	im.report.failed++
	_, _ = fmt.Fprintf(im.faults, "%s: %v\n", file, err) // if that fails, the count still tells
}

// file imports one file.
func (im *importer) file(ctx context.Context, name string) error {
	f, err := os.Open(name)
	if err != nil {
		im.fault(name, err)
		return nil
	}
	defer func() { _ = f.Close() }() // it was only read
	for t, err := range cloudtrail.NewReader(f, nil).All() {
		if err != nil {
			im.fault(name, err)
			continue
		}
		im.report.add(t)
		im.batch = append(im.batch, t)
		im.files = append(im.files, name)
		im.bytes += len(t.Request) + len(t.Response) + len(t.Unknown)
		if len(im.batch) == batchEvents || im.bytes >= batchBytes {
			if err := im.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush imports the batch.
func (im *importer) flush(ctx context.Context) error {
	if len(im.batch) == 0 {
		return ctx.Err()
	}
	result, err := im.tracker.Import(ctx, im.batch)
	im.report.stored += result.Stored
	im.report.already += result.Existing
	for _, failure := range result.Failed {
		im.fault(im.files[failure.Index], fmt.Errorf("event %q: %w", im.batch[failure.Index].Ext.Source.ID, failure.Err))
	}
	if err != nil {
		im.report.failed += len(im.batch) - result.Stored - result.Existing - len(result.Failed)
	}
	im.batch, im.files, im.bytes = im.batch[:0], im.files[:0], 0
	return err
}
