// Package parquet is a folder of Parquet files as a contestant: written and read with
// parquet-go, which has no query engine, so the scan over its columns is here.
package parquet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/cloudtraceservice/cts/bench/contest"
)

const (
	fileRows  = 256 << 10 // rows of one file
	groupRows = 32 << 10  // rows of one row group
	pageBytes = 64 << 10  // bytes of one page before compression
	bloomBits = 10        // bits of a bloom filter per value

	// dictionaryBytes is the size up to which a row group has a dictionary of a column.
	dictionaryBytes = 1 << 20
)

// sizes are those of files, row groups and pages. Tests use small ones.
type sizes struct{ fileRows, groupRows, pageBytes int }

// bloomColumns have bloom filters in each row group.
var bloomColumns = []string{"trace_id", "resource_id", "user_name"}

// DB is a folder of files. It implements [contest.Database]. Load and Finish are for
// one goroutine, Ask for any number.
type DB struct {
	dir     string
	sizes   sizes
	pending []contest.Record
	written int // number of the next file
	writers errgroup.Group
	files   []*os.File
	groups  []*group // the newest first
}

// Open opens the folder dir.
func Open(ctx context.Context, dir string) (*DB, error) {
	db := &DB{dir: dir, sizes: sizes{fileRows, groupRows, pageBytes}}
	db.writers.SetLimit(writers)
	if err := db.Reopen(ctx); err != nil {
		return nil, err
	}
	db.written = len(db.files)
	return db, nil
}

// writers is the number of files that are written at a time.
const writers = 2

// Info implements [contest.Contestant].
func (db *DB) Info() contest.Info {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/parquet-go/parquet-go" {
				version = "parquet-go " + m.Version
			}
		}
	}
	return contest.Info{
		Name:    "parquet",
		Version: version,
		Setup: fmt.Sprintf("files of %d rows sorted by time, row groups of %d rows, pages of %d KiB, zstd (default level), dictionaries for few-valued columns, delta encodings for the others, UUIDs as 16 bytes, ",
			fileRows, groupRows, pageBytes>>10) +
			"bloom filters on trace_id, resource_id and user_name; two files written at a time; page indexes place time ranges and pass over pages of one value; " +
			"conditions read their own columns only, then all columns of the rows of the answer (without the texts for heads); row groups on all cores, files open, nothing cached",
	}
}

// Load implements [contest.Database]. Whole files are written by two goroutines.
func (db *DB) Load(_ context.Context, batch []contest.Record) error {
	for len(batch) > 0 {
		n := min(len(batch), db.sizes.fileRows-len(db.pending))
		db.pending, batch = append(db.pending, batch[:n]...), batch[n:]
		if len(db.pending) == db.sizes.fileRows {
			db.cut()
		}
	}
	return nil
}

// cut gives what is pending to a writer.
func (db *DB) cut() {
	if len(db.pending) == 0 {
		return
	}
	records, name := db.pending, filepath.Join(db.dir, fmt.Sprintf("%06d.parquet", db.written))
	db.pending = nil
	db.written++
	db.writers.Go(func() error { return write(name, records, db.sizes) })
}

// write writes one file, in the order of time and, within a millisecond, of loading.
func write(name string, records []contest.Record, sizes sizes) (err error) {
	slices.SortStableFunc(records, func(a, b contest.Record) int { return cmp.Compare(a.Trace.Time, b.Trace.Time) })
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := parquet.NewGenericWriter[row](f, writerOptions(sizes)...)
	rows := make([]row, 0, 1024)
	for part := range slices.Chunk(records, cap(rows)) {
		rows = rows[:0]
		for _, r := range part {
			rows = append(rows, rowOf(r.Trace))
		}
		if _, err := w.Write(rows); err != nil {
			return fmt.Errorf("parquet: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	return f.Sync()
}

func writerOptions(s sizes) []parquet.WriterOption {
	var blooms []parquet.BloomFilterColumn
	for _, c := range bloomColumns {
		blooms = append(blooms, parquet.SplitBlockFilter(bloomBits, c))
	}
	return []parquet.WriterOption{
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault}),
		parquet.MaxRowsPerRowGroup(int64(s.groupRows)),
		parquet.PageBufferSize(s.pageBytes),
		parquet.DictionaryMaxBytes(dictionaryBytes),
		parquet.BloomFilters(blooms...),
		parquet.SortingWriterConfig(parquet.SortingColumns(parquet.Ascending("time"))),
	}
}

// Finish implements [contest.Database].
func (db *DB) Finish(ctx context.Context) error {
	db.cut()
	if err := db.writers.Wait(); err != nil {
		return err
	}
	return db.Reopen(ctx)
}

// Reopen implements [contest.Database]: the footers and page indexes of all files are
// read again.
func (db *DB) Reopen(context.Context) error {
	if err := db.closeFiles(); err != nil {
		return err
	}
	names, err := filepath.Glob(filepath.Join(db.dir, "*.parquet"))
	if err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	slices.Sort(names)
	for number, name := range names {
		if err := db.openFile(number, name); err != nil {
			return fmt.Errorf("parquet: %s: %w", name, err)
		}
	}
	slices.SortFunc(db.groups, func(a, b *group) int { return cmp.Or(cmp.Compare(b.max, a.max), cmp.Compare(b.number, a.number)) })
	return nil
}

func (db *DB) openFile(number int, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	db.files = append(db.files, f)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	pf, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		return err
	}
	for i, rg := range pf.RowGroups() {
		g, err := newGroup(number*fileRows+i, rg)
		if err != nil {
			return err
		}
		db.groups = append(db.groups, g)
	}
	return nil
}

func (db *DB) closeFiles() error {
	var errs []error
	for _, f := range db.files {
		errs = append(errs, f.Close())
	}
	db.files, db.groups = nil, nil
	return errors.Join(errs...)
}

// Close implements [contest.Contestant].
func (db *DB) Close() error { return errors.Join(db.writers.Wait(), db.closeFiles()) }

var _ contest.Database = (*DB)(nil)
