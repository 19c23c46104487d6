package wal

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/cloudtraceservice/cts/internal/vfs"
)

var (
	// ErrUncertain is wrapped by the error of an append that may be found by a
	// later process or not. Without it, nothing of the append will be.
	ErrUncertain = errors.New("it is unknown whether the frames will be found again")

	// ErrGone is wrapped by an error that tells that a log file was removed,
	// renamed or replaced while it was written.
	ErrGone = errors.New("log file was taken away while it was in use")
)

// Config is what a [Log] is opened with. The functions may be nil and are called by
// the goroutine that uses the Log.
type Config struct {
	FS       vfs.FS
	Dir      string // the directory of the log files, which exists
	Store    StoreID
	MaxFile  int64 // a file that would become larger is followed by a new one, if there is anything in it
	MaxDirty int64 // most bytes that may wait for a sync; more are synced at once

	// Opened tells of every file that was made; it is the caller's to close.
	Opened func(*File)
	// Moved tells that the records from the position on, which were written to
	// another file and not synced there, are now in this one, at offsets changed
	// by delta.
	Moved func(from uint64, to *File, delta int64)
	// Abandoned tells that no more is written to the old file because of err, and
	// the next one stands for it.
	Abandoned func(old, next string, err error)
	// Failed tells of every operation that failed, whatever becomes of it.
	Failed func(op, file string, err error)
}

// Log is the end of a write-ahead log where frames are written. It is used by one
// goroutine at a time.
//
// It keeps the bytes that are not synced in memory. After a failed sync the kernel
// may have dropped what it could not write, so a file whose sync failed is never
// written again: a new file begins at the first position that was not synced, with
// the kept bytes.
type Log struct {
	cfg    Config
	number uint64 // of the newest file that was or may have been made
	file   *File  // nil when a new one is due
	end    int64  // where the next frame goes
	mark   Mark   // what is synced; its file is the current one or the one abandoned last
	tail   []byte // the bytes of that file from the mark to end
	sealed uint32 // seed with which tail is sealed
	next   uint64 // position of the next record
	bytes  int64  // that were added to files
}

// NewLog returns a log that goes on at what is synced, in a new file. Number is that
// of the newest file there is or was, 0 for none.
func NewLog(cfg Config, number uint64, synced Mark) *Log {
	if cfg.Opened == nil {
		cfg.Opened = func(*File) {}
	}
	if cfg.Moved == nil {
		cfg.Moved = func(uint64, *File, int64) {}
	}
	if cfg.Abandoned == nil {
		cfg.Abandoned = func(string, string, error) {}
	}
	if cfg.Failed == nil {
		cfg.Failed = func(string, string, error) {}
	}
	return &Log{cfg: cfg, number: number, next: synced.Next, mark: synced}
}

// Continue makes the log go on in the file that it was given the mark of, instead
// of a new one. It is called before anything else.
func (l *Log) Continue(f *File) { l.file, l.end = f, l.mark.Offset }

// Next returns the position that the next record gets.
func (l *Log) Next() uint64 { return l.next }

// Synced returns the mark of what is synced.
func (l *Log) Synced() Mark { return l.mark }

// Bytes returns the number of bytes that the log added to its files.
func (l *Log) Bytes() int64 { return l.bytes }

// Dirty returns the number of bytes that are written and not synced.
func (l *Log) Dirty() int64 { return int64(len(l.tail)) }

// Append writes frames behind each other, the first at position Next, with one
// write, and syncs them if asked. It returns the file and the offset of the first
// frame.
//
// After an error nothing of the frames was taken and Next is what it was. They
// won't be found again unless the error is [ErrUncertain]. What was appended before
// and not synced is kept, and the next call tries again in a new file.
func (l *Log) Append(frames []Frame, sync bool) (*File, int64, error) {
	size := int64(0)
	count := uint64(0)
	for _, f := range frames {
		size += FrameSize + int64(len(f.Payload))
		count += uint64(f.Count)
	}
	if err := l.makeRoom(size); err != nil {
		return nil, 0, err
	}
	kept, first := len(l.tail), l.next
	l.sealed = seed(l.cfg.Store, l.file.Header.Number)
	l.tail = appendFrames(l.tail, frames, l.sealed, l.mark.Offset)
	if _, err := l.file.f.WriteAt(l.tail[kept:], l.end); err != nil {
		l.cfg.Failed("write", l.file.Name(), err)
		l.tail = l.tail[:kept]
		return nil, 0, l.rollBack(err)
	}
	file, at := l.file, l.end
	l.end += size
	l.bytes += size
	l.next += count
	if !sync {
		return file, at, nil
	}
	synced := l.mark.Offset
	if err := l.Sync(); err != nil {
		l.tail = l.tail[:kept]
		l.next = first
		return nil, 0, err
	}
	if l.file != file {
		file, at = l.file, at+HeaderSize-synced
	}
	return file, at, nil
}

// makeRoom sees to it that there is a file to write size bytes to.
func (l *Log) makeRoom(size int64) error {
	full := l.file != nil && l.end > HeaderSize && l.end+size > l.cfg.MaxFile
	if full || int64(len(l.tail))+size > l.cfg.MaxDirty && len(l.tail) > 0 {
		if err := l.Sync(); err != nil {
			return withoutUncertain(err)
		}
	}
	if full && l.file != nil && l.end+size > l.cfg.MaxFile && l.end > HeaderSize {
		l.file = nil // never written again: its successor may exist from now on
	}
	if l.file == nil {
		return withoutUncertain(l.open())
	}
	return nil
}

// withoutUncertain is for errors before anything of the frames was written.
func withoutUncertain(err error) error {
	var e *uncertainError
	if errors.As(err, &e) {
		return e.cause
	}
	return err
}

type uncertainError struct{ cause error }

func (e *uncertainError) Error() string   { return fmt.Sprintf("%v: %v", ErrUncertain, e.cause) }
func (e *uncertainError) Unwrap() []error { return []error{ErrUncertain, e.cause} }

// rollBack removes what a failed write may have left, for good, so that no later
// process takes it for acknowledged.
func (l *Log) rollBack(cause error) error {
	op, err := "truncate", l.file.f.Truncate(l.end)
	if err == nil {
		op, err = "sync", l.file.sync()
	}
	if err == nil {
		l.allSynced()
		return cause
	}
	l.cfg.Failed(op, l.file.Name(), err)
	if oerr := l.replace(err); oerr != nil {
		return &uncertainError{errors.Join(cause, err, oerr)}
	}
	return cause
}

// Sync makes everything durable that was appended. When the file fails, all that is
// not synced is written to a new one. Only if that fails too it returns an error,
// which is [ErrUncertain]; the next call tries again.
func (l *Log) Sync() error {
	if len(l.tail) == 0 {
		return nil
	}
	if l.file == nil {
		if err := l.open(); err != nil {
			return &uncertainError{err}
		}
		return nil
	}
	err := l.file.sync()
	if err == nil {
		l.allSynced()
		return nil
	}
	l.cfg.Failed("sync", l.file.Name(), err)
	if oerr := l.replace(err); oerr != nil {
		return &uncertainError{errors.Join(err, oerr)}
	}
	return nil
}

// allSynced notes that the file is synced up to its end.
func (l *Log) allSynced() {
	l.mark = Mark{File: l.file.Header.Number, Offset: l.end, Next: l.next}
	const keep = 16 << 20
	if cap(l.tail) > keep {
		l.tail = nil
	}
	l.tail = l.tail[:0]
}

// replace abandons the file because of err and opens another one.
func (l *Log) replace(cause error) error {
	old := l.file.Name()
	l.file = nil
	if err := l.open(); err != nil {
		return err
	}
	l.cfg.Abandoned(old, l.file.Name(), cause)
	return nil
}

// open makes the next file, which begins with what is not synced, all of it
// durable. Until the header and that are durable it has a temporary name. A number
// is never used twice: of a file that failed half way nobody knows what a crash
// will leave.
func (l *Log) open() error {
	if l.number == math.MaxUint64 {
		return errors.New("log file numbers are used up")
	}
	h := Header{Store: l.cfg.Store, Number: l.number + 1, First: l.mark.Next}
	l.number++
	content := h.Append(make([]byte, 0, HeaderSize+len(l.tail)))
	content = append(content, l.tail...)
	if len(l.tail) > 0 {
		reseal(content[HeaderSize:], l.sealed, seed(h.Store, h.Number))
	}
	path := filepath.Join(l.cfg.Dir, FileName(h.Number))
	fail := func(op string, err error) error {
		l.cfg.Failed(op, FileName(h.Number), err)
		return err
	}
	// WriteFileAtomic closes before it renames, which Windows asks for.
	if err := vfs.WriteFileAtomic(l.cfg.FS, path, content, filePerm); err != nil {
		return fail("create", err)
	}
	f, err := Open(l.cfg.FS, l.cfg.Dir, h.Store, h.Number, true)
	if err != nil {
		return fail("open", err)
	}
	if f.Err != nil || f.Header != h {
		return fail("open", errors.Join(ErrGone, f.Close()))
	}
	delta, moved := HeaderSize-l.mark.Offset, len(l.tail) > 0
	l.file, l.end = f, int64(len(content))
	l.bytes += l.end
	l.allSynced()
	l.cfg.Opened(f)
	if moved {
		l.cfg.Moved(h.First, f, delta)
	}
	return nil
}
