package pebble

import (
	"context"
	"sync"

	"github.com/cockroachdb/pebble"

	"github.com/cloudtraceservice/cts/bench/contest"
)

// Log is a [contest.Durable].
type Log struct {
	*tree
	writers sync.Pool
}

// OpenDurable opens the log in dir, which is empty or holds what an earlier Open or
// OpenDurable made. It has the keys of [Open].
func OpenDurable(_ context.Context, dir string) (*Log, error) {
	t, err := openTree(dir, func(*pebble.Options) {})
	if err != nil {
		return nil, err
	}
	return &Log{tree: t, writers: sync.Pool{New: func() any { return &writer{} }}}, nil
}

// Info says how it is set up.
func (*Log) Info() contest.Info {
	return info("each trace is one batch with its index keys, committed with Sync; Pebble syncs its log once for all that wait")
}

// AppendOne returns when r is committed.
func (l *Log) AppendOne(_ context.Context, r contest.Record) error {
	w, _ := l.writers.Get().(*writer)
	defer l.writers.Put(w)
	return l.add(w, []contest.Record{r}, pebble.Sync)
}

// Close closes the log.
func (l *Log) Close() error { return l.close() }
