// Package limits does the least that the work of a row needs on this machine: what no
// contestant can be better than without leaving something out.
package limits

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/cloudtraceservice/cts/bench/contest"
)

// Name is the name of every limit among the contestants.
const Name = "limit"

// logBytes is the size of the file that is written over and over.
const logBytes = 256 << 20

// Log is a bare group commit: records are copied to a buffer, one goroutine writes what
// has come together to a file that was filled with zeros before, syncs it, and lets
// the waiting go on. There are no checksums, ids or indexes. At its end the file is
// written from the beginning again, as a log that recycles its files does.
type Log struct {
	file *os.File
	at   int64

	mu      sync.Mutex
	wake    *sync.Cond
	current *group
	spare   []byte
	closed  bool
	done    chan struct{}
}

// group is what is written together.
type group struct {
	text []byte
	done chan struct{}
	err  error
}

var _ contest.Durable = (*Log)(nil)

// OpenDurable makes the file in dir.
func OpenDurable(_ context.Context, dir string) (*Log, error) {
	f, err := os.Create(filepath.Join(dir, "log")) //nolint:gosec // in the directory of the benchmark
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 4<<20)
	for written := 0; written < logBytes; written += len(zeros) {
		if _, err := f.Write(zeros); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	if err := f.Sync(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l := &Log{file: f, current: newGroup(), done: make(chan struct{})}
	l.wake = sync.NewCond(&l.mu)
	go l.write()
	return l, nil
}

func newGroup() *group { return &group{done: make(chan struct{})} }

// Info implements [contest.Contestant].
func (l *Log) Info() contest.Info {
	return contest.Info{
		Name: Name, Version: "none",
		Setup: "length and JSON into a shared buffer, one write and one fdatasync for all that wait, into a file of 256 MiB that was filled with zeros before and is written from the beginning again at its end",
	}
}

// AppendOne implements [contest.Durable].
func (l *Log) AppendOne(_ context.Context, r contest.Record) error {
	l.mu.Lock()
	g := l.current
	g.text = binary.AppendUvarint(g.text, uint64(len(r.JSON)))
	g.text = append(g.text, r.JSON...)
	l.mu.Unlock()
	l.wake.Signal()
	<-g.done
	return g.err
}

// write writes group after group.
func (l *Log) write() {
	defer close(l.done)
	for {
		l.mu.Lock()
		for len(l.current.text) == 0 && !l.closed {
			l.wake.Wait()
		}
		g := l.current
		if len(g.text) == 0 {
			l.mu.Unlock()
			return
		}
		l.current = newGroup()
		l.current.text, l.spare = l.spare[:0], nil
		l.mu.Unlock()

		if l.at+int64(len(g.text)) > logBytes {
			l.at = 0
		}
		_, err := l.file.WriteAt(g.text, l.at)
		if err == nil {
			err = syncData(l.file)
		}
		l.at += int64(len(g.text))
		g.err = err
		l.mu.Lock()
		l.spare = g.text
		l.mu.Unlock()
		close(g.done)
	}
}

// Close implements [contest.Contestant].
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.wake.Signal()
	<-l.done
	return l.file.Close()
}
