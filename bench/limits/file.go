package limits

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/cloudtraceservice/cts/bench/contest"
)

// File is the limit of loading: the JSON of each batch in one write, and one sync at
// the end. It answers nothing.
type File struct {
	file *os.File
	text []byte
}

var _ contest.Database = (*File)(nil)

// Open makes the file in dir, or opens it again.
func Open(_ context.Context, dir string) (*File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "traces.jsonl"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // in the directory of the benchmark
	if err != nil {
		return nil, err
	}
	return &File{file: f}, nil
}

// Info implements [contest.Contestant].
func (f *File) Info() contest.Info {
	return contest.Info{Name: Name, Version: "none", Setup: "the JSON of each batch in one write, one fdatasync at the end"}
}

// Load implements [contest.Database].
func (f *File) Load(_ context.Context, batch []contest.Record) error {
	f.text = f.text[:0]
	for _, r := range batch {
		f.text = append(append(f.text, r.JSON...), '\n')
	}
	_, err := f.file.Write(f.text)
	return err
}

// Finish implements [contest.Database].
func (f *File) Finish(context.Context) error { return syncData(f.file) }

// Reopen implements [contest.Database].
func (f *File) Reopen(context.Context) error { return nil }

// Ask implements [contest.Database]: it is not supported.
func (f *File) Ask(context.Context, contest.Question) (contest.Answer, error) {
	return contest.Answer{}, contest.ErrUnsupported
}

// Close implements [contest.Contestant].
func (f *File) Close() error { return errors.Join(f.file.Close()) }
