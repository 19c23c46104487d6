package wal

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"sync/atomic"

	"github.com/cloudtraceservice/cts/internal/vfs"
)

var (
	// ErrUncertain is wrapped by the error of an append that may be found by a
	// later process or not. Without it, nothing of the append will be.
	ErrUncertain = errors.New("it is unknown whether the frames will be found again")

	// ErrGone is wrapped by an error that tells that a log file was removed,
	// renamed or replaced while it was written.
	ErrGone = errors.New("log file was taken away while it was in use")

	// ErrReused is returned for a file whose space became another log file's.
	ErrReused = errors.New("log file was used again")

	// ErrInUse is returned for a file that is still written.
	ErrInUse = errors.New("log file is in use")
)

// Config is what a [Log] is opened with. The functions may be nil and are called by
// the goroutine that uses the Log.
type Config struct {
	FS       vfs.FS
	Dir      string // the directory of the log files, which exists
	Store    StoreID
	MaxFile  int64 // a file that would become larger is followed by a new one, if there is anything in it
	MaxDirty int64 // most bytes that may wait for a sync; more are synced at once
	MaxRoom  int64 // most bytes that a file is prepared with; 0 is MaxFile

	// Run runs what the log does in the background, which ends before Close
	// returns. Default: a goroutine.
	Run func(task func())

	// NoRoom tells of an error that says that the disk is full. Default: none does.
	NoRoom func(error) bool

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
//
// It writes to files that have their size already, because a sync is twice as fast
// when no size changes with it: zeros written in the background, or a file that was
// passed to [Log.Recycle]. Where there is none it writes to a file that grows.
type Log struct {
	cfg    Config
	spares *spares
	number atomic.Uint64 // of the newest file that was or may have been made
	file   *File         // nil when a new one is due
	begun  int64         // where in it this Log began
	end    int64         // where the next frame goes
	room   int64         // size of the file if it was prepared; it grows behind that
	again  int64         // no file is prepared before bytes is that, after a failure
	tight  bool          // the disk is full
	mark   Mark          // what is synced; its file is the current one or the one abandoned last
	tail   tail          // the bytes of that file from the mark to end
	sealed uint32        // seed with which tail is sealed
	next   uint64        // position of the next record
	bytes  int64         // that were added to files
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
	if cfg.Run == nil {
		cfg.Run = func(task func()) { go task() }
	}
	if cfg.NoRoom == nil {
		cfg.NoRoom = func(error) bool { return false }
	}
	if cfg.MaxRoom == 0 || cfg.MaxRoom > cfg.MaxFile {
		cfg.MaxRoom = cfg.MaxFile
	}
	l := &Log{cfg: cfg, next: synced.Next, mark: synced, spares: &spares{fsys: cfg.FS, dir: cfg.Dir, run: cfg.Run}}
	l.number.Store(number)
	return l
}

// Continue makes the log go on in the file that it was given the mark of, instead
// of a new one. It is called before anything else.
func (l *Log) Continue(f *File) { l.file, l.begun, l.end = f, l.mark.Offset, l.mark.Offset }

// Next returns the position that the next record gets.
func (l *Log) Next() uint64 { return l.next }

// Synced returns the mark of what is synced.
func (l *Log) Synced() Mark { return l.mark }

// Bytes returns the number of bytes that the log added to its files.
func (l *Log) Bytes() int64 { return l.bytes }

// Dirty returns the number of bytes that are written and not synced.
func (l *Log) Dirty() int64 { return l.tail.size }

// Append writes frames behind each other, the first at position Next, with one
// write, and syncs them if asked. It returns the file and the offset of the first
// frame.
//
// After an error nothing of the frames was taken and Next is what it was. They
// won't be found again unless the error is [ErrUncertain]. What was appended before
// and not synced is kept, and the next call tries again in a new file.
func (l *Log) Append(frames []Frame, sync bool) (*File, int64, error) {
	prepared := l.spares.count()
	file, at, err := l.append(frames, sync)
	if err != nil && l.cfg.NoRoom(err) && !errors.Is(err, ErrUncertain) && l.spares.settle(prepared) {
		// What was prepared took the room, and holds it or gave it back.
		l.tight = true
		file, at, err = l.append(frames, sync)
		l.tight = false
	}
	l.prepare()
	return file, at, err
}

func (l *Log) append(frames []Frame, sync bool) (*File, int64, error) {
	size := int64(0)
	count := uint64(0)
	for _, f := range frames {
		size += FrameSize + int64(len(f.Payload))
		count += uint64(f.Count)
	}
	if err := l.makeRoom(size); err != nil {
		return nil, 0, err
	}
	first := l.next
	l.sealed = seed(l.cfg.Store, l.file.Header.Number)
	if _, err := l.file.f.WriteAt(l.tail.add(frames, size, l.sealed, l.mark.Offset), l.end); err != nil {
		l.cfg.Failed("write", l.file.Name(), err)
		l.tail.undo(size)
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
		l.tail.undo(size)
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
	full := l.full(size)
	if full || l.tail.size+size > l.cfg.MaxDirty && l.tail.size > 0 {
		if err := l.Sync(); err != nil {
			return withoutUncertain(err)
		}
	}
	if full && l.full(size) {
		l.trim()
		l.file = nil // never written again: its successor may exist from now on
	}
	if l.file == nil {
		return withoutUncertain(l.open())
	}
	return nil
}

// full reports whether the next size bytes belong in another file: because this one
// would become too large, or would grow while a file that need not is ready.
func (l *Log) full(size int64) bool {
	if l.file == nil || l.end == HeaderSize {
		return false
	}
	return l.end+size > l.cfg.MaxFile || l.end+size > l.room && (l.used() || l.tight) && l.spares.ready()
}

// used reports whether so much was appended to the file that a prepared one is worth
// its space.
func (l *Log) used() bool {
	if l.end < l.room {
		return l.end >= l.room/2
	}
	return l.end-l.begun >= l.worth()
}

// worth is how much goes into a file without room before one is prepared.
func (l *Log) worth() int64 { return min(leastUse, l.cfg.MaxFile/16) }

// prepare has the next file prepared when this one is well used.
func (l *Log) prepare() {
	l.tell()
	if l.file == nil || l.bytes < l.again || l.cfg.MaxRoom < 2*l.worth() || !l.used() {
		return
	}
	size := min(max(roomGrowth*max(l.room, l.end), leastRoom), l.cfg.MaxRoom)
	l.spares.prepare(size)
}

// tell passes on what failed in the background, which is tried again only after some
// more use.
func (l *Log) tell() {
	for _, f := range l.spares.failures() {
		l.again = l.bytes + min(leastRoom, l.cfg.MaxFile)
		l.cfg.Failed(f.op, f.file, f.err)
	}
}

// trim gives back what the file has behind its end, all of which is synced. If a
// crash undoes it, there are bytes that are no frames of the file.
func (l *Log) trim() {
	if l.room <= l.end {
		return
	}
	if err := l.file.f.Truncate(l.end); err != nil {
		l.cfg.Failed("truncate", l.file.Name(), err)
	}
	l.room = l.end
}

// Close ends what the log does in the background and gives back the space that was
// prepared. It syncs nothing and leaves the files open. Afterwards only Recycle may
// be called, which removes the file.
func (l *Log) Close() {
	l.spares.close()
	if l.file != nil && l.tail.size == 0 {
		l.trim()
	}
	l.file = nil
	l.tell()
}

// Recycle takes a file out of the log whose frames are kept elsewhere, durably, and
// uses its space for a later file, or removes it. It closes the file, which nobody may
// read any more in this process; another process may, see [File.CheckHeader]. No mark
// that was written may name the file, nor a later one be without a synced frame.
// It may be called by any goroutine at any time, and takes as long as writing the
// difference to the size that is wanted.
//
// After an error the file may still be there under its name; it fails with [ErrInUse]
// for the newest file and with [ErrGone] for one that was taken away.
func (l *Log) Recycle(f *File) error {
	if f.Header.Number >= l.number.Load() {
		return fmt.Errorf("%s: %w", f.Name(), ErrInUse)
	}
	return l.spares.recycle(f)
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
		l.room = l.end
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
	if l.tail.size == 0 {
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
	l.tail.clear()
}

// replace abandons the file because of err and opens another one.
func (l *Log) replace(cause error) error {
	old := l.file.Name()
	l.file.abandoned.Store(true)
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
// will leave. If a spare can't be used, a file that grows takes its place.
func (l *Log) open() error {
	if sp, ok := l.spares.take(); ok && l.create(&sp) == nil {
		return nil
	}
	return l.create(nil)
}

// create makes the next file, of a spare if there is one.
func (l *Log) create(sp *spare) error {
	number := l.number.Load()
	if number == math.MaxUint64 {
		return errors.New("log file numbers are used up")
	}
	h := Header{Store: l.cfg.Store, Number: number + 1, First: l.mark.Next}
	l.number.Store(h.Number)
	content := h.Append(make([]byte, 0, HeaderSize+l.tail.size))
	content = l.tail.appendTo(content)
	if l.tail.size > 0 {
		reseal(content[HeaderSize:], l.sealed, seed(h.Store, h.Number))
	}
	f, err := l.place(h, content, sp)
	if err != nil {
		return err
	}
	delta, moved := HeaderSize-l.mark.Offset, l.tail.size > 0
	l.file, l.begun, l.end, l.room = f, 0, int64(len(content)), 0
	if sp != nil {
		l.room = sp.size
	}
	l.bytes += l.end
	l.allSynced()
	l.cfg.Opened(f)
	if moved {
		l.cfg.Moved(h.First, f, delta)
	}
	return nil
}

// place makes the file of a header with its first content, durable, and opens it.
func (l *Log) place(h Header, content []byte, sp *spare) (*File, error) {
	fail := func(op string, err error) (*File, error) {
		l.cfg.Failed(op, FileName(h.Number), err)
		return nil, err
	}
	path := filepath.Join(l.cfg.Dir, FileName(h.Number))
	var err error
	if sp != nil {
		err = l.spares.use(*sp, path, content)
	} else {
		// It closes before it renames, which Windows asks for.
		err = vfs.WriteFileAtomic(l.cfg.FS, path, content, filePerm)
	}
	if err != nil {
		return fail("create", err)
	}
	f, err := Open(l.cfg.FS, l.cfg.Dir, h.Store, h.Number, true)
	if err != nil {
		return fail("open", err)
	}
	if f.Err != nil || f.Header != h {
		return fail("open", errors.Join(ErrGone, f.Close()))
	}
	return f, nil
}
