package sqlite

import (
	"context"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/peers/internal/group"
)

// Log is a [contest.Durable].
type Log struct {
	file  *file
	group *group.Committer[contest.Record]
}

// OpenDurable opens the log in dir, which is empty or holds what an earlier Open or
// OpenDurable made. It has the table and the indexes of [Open].
func OpenDurable(ctx context.Context, dir string) (*Log, error) {
	f, err := openFile(ctx, dir, durable)
	if err != nil {
		return nil, err
	}
	l := &Log{file: f}
	l.group = group.New(func(waiting []contest.Record) error {
		return f.add(context.Background(), len(waiting), func(i int) contest.Record { return waiting[i] })
	})
	return l, nil
}

// Info says how it is set up.
func (*Log) Info() contest.Info {
	return info("table and indexes of the database; WAL of 32 MiB, synchronous=FULL; one goroutine takes all traces that wait into one transaction")
}

// AppendOne returns when r is committed.
func (l *Log) AppendOne(ctx context.Context, r contest.Record) error { return l.group.Add(ctx, r) }

// Close closes the file.
func (l *Log) Close() error {
	l.group.Close()
	return l.file.close()
}
