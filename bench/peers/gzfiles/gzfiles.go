// Package gzfiles is what people do who keep their trail in compressed files: JSON
// lines in .gz files named after the times in them, asked with zgrep, zcat and jq.
package gzfiles

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cloudtraceservice/cts/bench/contest"
)

// A file is closed when it has so many traces or bytes of JSON.
const (
	fileTraces = 40_000
	fileBytes  = 64 << 20
)

// stampLayout is how a file's name tells times: UTC, to the millisecond.
const stampLayout = "20060102T150405.000Z"

// programs are what the questions are asked with.
var programs = []string{"sh", "zgrep", "zcat", "grep", "jq", "sort", "uniq", "wc"}

// DB is a folder of files. It implements [contest.Database]. Load and Finish are for
// one goroutine, Ask for any number.
type DB struct {
	dir     string
	traces  int    // of one file
	files   []file // in the order of loading
	next    batch
	writers errgroup.Group
}

// file is one file of the folder.
type file struct {
	number   int
	from, to int64 // times of the first and last trace, milliseconds since 1970
	name     string
}

// batch is what the next file will hold.
type batch struct {
	text     []byte
	traces   int
	from, to int64
}

// Open opens the folder dir. It fails where one of the programs is missing.
func Open(_ context.Context, dir string) (*DB, error) {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return nil, fmt.Errorf("gzfiles: %w", err)
		}
	}
	db := &DB{dir: dir, traces: fileTraces}
	db.writers.SetLimit(runtime.GOMAXPROCS(0))
	if err := db.findFiles(); err != nil {
		return nil, err
	}
	return db, nil
}

// findFiles reads the names of the folder's files, which is all there is of an index.
func (db *DB) findFiles() error {
	names, err := filepath.Glob(filepath.Join(db.dir, "*.jsonl.gz"))
	if err != nil {
		return fmt.Errorf("gzfiles: %w", err)
	}
	db.files = nil
	for _, name := range names {
		f, err := parseName(name)
		if err != nil {
			return err
		}
		db.files = append(db.files, f)
	}
	slices.SortFunc(db.files, func(a, b file) int { return cmp.Compare(a.number, b.number) })
	return nil
}

func (db *DB) fileOf(b *batch, number int) file {
	stamp := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(stampLayout) }
	name := fmt.Sprintf("%06d_%s_%s.jsonl.gz", number, stamp(b.from), stamp(b.to))
	return file{number: number, from: b.from, to: b.to, name: filepath.Join(db.dir, name)}
}

func parseName(name string) (file, error) {
	parts := strings.SplitN(strings.TrimSuffix(filepath.Base(name), ".jsonl.gz"), "_", 3)
	if len(parts) != 3 {
		return file{}, fmt.Errorf("gzfiles: %s is none of these files", name)
	}
	number, err1 := strconv.Atoi(parts[0])
	from, err2 := time.Parse(stampLayout, parts[1])
	to, err3 := time.Parse(stampLayout, parts[2])
	if err := errors.Join(err1, err2, err3); err != nil {
		return file{}, fmt.Errorf("gzfiles: %s: %w", name, err)
	}
	return file{number: number, from: from.UnixMilli(), to: to.UnixMilli(), name: name}, nil
}

// Info implements [contest.Contestant].
func (db *DB) Info() contest.Info {
	version := "unknown"
	if out, err := exec.Command("jq", "--version").Output(); err == nil {
		version = strings.TrimSpace(string(out))
	}
	return contest.Info{
		Name:    "gzfiles",
		Version: version + ", zgrep of the system",
		Setup: fmt.Sprintf("JSON lines in .gz files of %d traces (compress/gzip, default level), each named after the times of its first and last trace; ", fileTraces) +
			"asked with zgrep -F for what is looked for as text, grep -F for the second such condition, jq for all else, sort and uniq -c for groups, LC_ALL=C, " +
			"as many files at a time as there are cores, newest first and no more than needed; lines parsed in Go; pages by cursor are not supported",
	}
}

// Load implements [contest.Database]. Files are compressed by as many goroutines as
// there are cores.
func (db *DB) Load(_ context.Context, records []contest.Record) error {
	for _, r := range records {
		b := &db.next
		if b.traces == 0 {
			b.from, b.to = r.Trace.Time, r.Trace.Time
		}
		b.from, b.to = min(b.from, r.Trace.Time), max(b.to, r.Trace.Time)
		b.text = append(append(b.text, r.JSON...), '\n')
		b.traces++
		if b.traces == db.traces || len(b.text) >= fileBytes {
			db.cut()
		}
	}
	return nil
}

// cut gives what is gathered to a writer.
func (db *DB) cut() {
	b := db.next
	if b.traces == 0 {
		return
	}
	number := 0
	if n := len(db.files); n > 0 {
		number = db.files[n-1].number + 1
	}
	f := db.fileOf(&b, number)
	db.files = append(db.files, f)
	db.next = batch{}
	db.writers.Go(func() error { return write(f.name, b.text) })
}

func write(name string, text []byte) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("gzfiles: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z := gzip.NewWriter(f)
	if _, err := bytes.NewReader(text).WriteTo(z); err != nil {
		return fmt.Errorf("gzfiles: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("gzfiles: %w", err)
	}
	return f.Sync()
}

// Finish implements [contest.Database].
func (db *DB) Finish(context.Context) error {
	db.cut()
	return db.writers.Wait()
}

// Reopen implements [contest.Database]: the folder is listed again.
func (db *DB) Reopen(context.Context) error { return db.findFiles() }

// Close implements [contest.Contestant].
func (db *DB) Close() error { return db.writers.Wait() }

var _ contest.Database = (*DB)(nil)
