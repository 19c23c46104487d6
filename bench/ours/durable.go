package ours

import (
	"context"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// Log is a file store that takes traces one at a time.
type Log struct {
	store *filestore.Store
}

var _ contest.Durable = (*Log)(nil)

// OpenDurable opens the store in dir with the default options: every append is synced.
func OpenDurable(_ context.Context, dir string) (*Log, error) {
	store, err := filestore.Open(dir, nil)
	return &Log{store: store}, err
}

// Info implements [contest.Contestant].
func (l *Log) Info() contest.Info {
	return contest.Info{Name: Name, Version: Version, Setup: "filestore with its default options: SyncCommit, one Append for each trace, appends that wait share a sync"}
}

// Close implements [contest.Contestant].
func (l *Log) Close() error { return l.store.Close() }

// AppendOne implements [contest.Durable].
func (l *Log) AppendOne(ctx context.Context, r contest.Record) error {
	_, err := l.store.Append(ctx, []cts.Entry{{Trace: r.Trace, JSON: r.JSON}})
	return err
}
