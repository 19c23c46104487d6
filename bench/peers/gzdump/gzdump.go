// Package gzdump is the dump that people write first: encoding/json into
// compress/gzip, one trace a line.
package gzdump

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
)

const (
	writers    = 2      // goroutines, each on a file of its own
	fileTraces = 50_000 // traces of one file
)

// dumper implements [contest.Dumper].
type dumper struct{}

// New returns a dumper. It may be used by one goroutine at a time.
func New() contest.Dumper { return dumper{} }

// Info implements [contest.Contestant].
func (dumper) Info() contest.Info {
	return contest.Info{
		Name: "gzdump", Version: runtime.Version(),
		Setup: fmt.Sprintf("encoding/json of a plain struct (not this project's marshaler) into compress/gzip at its default level, one trace a line, files of %d traces, ", fileTraces) +
			fmt.Sprintf("%d goroutines with a file each at a time, no fsync", writers),
	}
}

// Close implements [contest.Contestant].
func (dumper) Close() error { return nil }

// row is a trace without its methods, so that encoding/json encodes it field by field
// as it does with anybody's struct.
type row struct {
	*fields
	Ext *extension `json:"ext,omitempty"`
}

type fields cts.Trace

type extension struct {
	Version int `json:"v"`
	cts.Ext
}

// Dump implements [contest.Dumper]. The files are named in the order of the records.
func (dumper) Dump(ctx context.Context, records []contest.Record, dir string) (int64, error) {
	files := (len(records) + fileTraces - 1) / fileTraces
	sizes := make([]int64, files)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range files {
		part := records[i*fileTraces : min((i+1)*fileTraces, len(records))]
		group.Go(func() error {
			var err error
			sizes[i], err = write(ctx, filepath.Join(dir, fmt.Sprintf("traces-%05d.jsonl.gz", i)), part)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, fmt.Errorf("gzdump: %w", err)
	}
	sum := int64(0)
	for _, n := range sizes {
		sum += n
	}
	return sum, nil
}

// write writes one file and returns its size.
func write(ctx context.Context, name string, records []contest.Record) (size int64, err error) {
	f, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z := gzip.NewWriter(f)
	lines := bufio.NewWriterSize(z, 64<<10)
	e := json.NewEncoder(lines)
	for i, r := range records {
		if i%1000 == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err := encode(e, r.Trace); err != nil {
			return 0, err
		}
	}
	if err := errors.Join(lines.Flush(), z.Close()); err != nil {
		return 0, err
	}
	return f.Seek(0, io.SeekEnd)
}

// encode writes one line. Members that a struct has no field for, which traces read
// from files may have, are written by the trace itself.
func encode(e *json.Encoder, t *cts.Trace) error {
	if t.Unknown != "" || t.User.Unknown != "" || t.User.Domain.Unknown != "" || t.Ext.Foreign != "" {
		return e.Encode(t)
	}
	r := row{fields: (*fields)(t)}
	if !t.Ext.IsZero() {
		r.Ext = &extension{Version: cts.ExtVersion, Ext: t.Ext}
	}
	return e.Encode(&r)
}
