package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/cloudtraceservice/cts/internal/vfs"
)

// How the prepared files of a log are sized. A file is prepared once a log uses the
// one it has, and is a few times as large: a log that hardly grows holds no space
// that it does not need, and a busy one has files of full size after a few.
const (
	maxSpares   = 2        // files that are kept ready
	leastRoom   = 1 << 20  // of a prepared file
	roomGrowth  = 4        // times the file in use
	leastUse    = 64 << 10 // appended to a file without room before one is prepared
	zeroPiece   = 1 << 20  // written and synced at a time, so that no append waits long behind it
	sparePrefix = vfs.TempPrefix
)

// errStopped ends the preparing of a file when the log is closed.
var errStopped = errors.New("log is closed")

// spare is a file that waits to become a log file: its bytes are on the disk, zeros
// or those of an earlier use. Its name is a temporary one, so the next process
// removes what a killed one left.
type spare struct {
	path string
	size int64
}

// failure is an operation that failed in the background.
type failure struct {
	op, file string
	err      error
}

// spares are the prepared files of a log. They are safe for concurrent use.
type spares struct {
	fsys vfs.FS
	dir  string
	run  func(task func())

	mu     sync.Mutex
	idle   []spare
	want   int64         // size that the next file should have
	coming int           // files that are being prepared or recycled
	ended  int           // files whose preparing has ended, well or not
	flight chan struct{} // closed when the file that is being prepared is done; nil if none is
	failed []failure     // that nobody was told yet
	closed bool
}

// ready reports whether there is a spare.
func (s *spares) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.idle) > 0
}

// take returns a spare, which is the caller's then.
func (s *spares) take() (spare, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.idle)
	if n == 0 {
		return spare{}, false
	}
	sp := s.idle[n-1]
	s.idle = s.idle[:n-1]
	return sp, true
}

// failures returns what failed since it was called last.
func (s *spares) failures() []failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	failed := s.failed
	s.failed = nil
	return failed
}

// prepare begins to prepare a file of a size, unless there is a spare or will be.
func (s *spares) prepare(size int64) {
	s.mu.Lock()
	s.want = size
	if s.closed || s.flight != nil || len(s.idle)+s.coming > 0 {
		s.mu.Unlock()
		return
	}
	done := make(chan struct{})
	s.flight = done
	s.coming++
	s.mu.Unlock()
	s.run(func() {
		defer close(done)
		sp, err := s.zeroed(size)
		s.arrived(sp, err)
		s.mu.Lock()
		s.flight = nil
		s.mu.Unlock()
	})
}

// count returns how many files were prepared so far, or failed to be.
func (s *spares) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// settle waits for the file that is being prepared, and reports whether there is a
// spare or any file was prepared, or failed to be, since there were so many: a disk
// that was full may have room then.
func (s *spares) settle(since int) bool {
	s.mu.Lock()
	flight := s.flight
	s.mu.Unlock()
	if flight != nil {
		<-flight
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.idle) > 0 || s.ended != since
}

// arrived takes a file that was to become a spare.
func (s *spares) arrived(sp spare, err error) {
	s.mu.Lock()
	s.coming--
	keep := err == nil && !s.closed
	if keep {
		s.idle = append(s.idle, sp)
	}
	s.mu.Unlock()
	if !keep && sp.path != "" {
		if rerr := s.fsys.Remove(sp.path); rerr != nil {
			s.fail("remove", sp.path, rerr)
		}
	}
	s.mu.Lock()
	s.ended++ // now that its room is there or given back
	s.mu.Unlock()
	if err != nil && !errors.Is(err, errStopped) {
		s.fail("prepare", sp.path, err)
	}
}

func (s *spares) fail(op, path string, err error) {
	file := sparePrefix + "*"
	if path != "" {
		file = filepath.Base(path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = append(s.failed, failure{op, file, err})
}

// zeroed makes a file of zeros, all of it durable. After an error it is there too if
// its path is.
func (s *spares) zeroed(size int64) (spare, error) {
	f, err := vfs.CreateTemp(s.fsys, s.dir, filePerm)
	if err != nil {
		return spare{}, err
	}
	err = s.fill(f, 0, size)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return spare{path: f.Name(), size: size}, err
}

// fill writes zeros from one offset to another and syncs them.
func (s *spares) fill(f vfs.File, from, to int64) error {
	zeros := make([]byte, max(0, min(to-from, zeroPiece)))
	for from < to {
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return errStopped
		}
		n, err := f.WriteAt(zeros[:min(to-from, zeroPiece)], from)
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}

// recycle makes a spare of a log file, or removes it.
func (s *spares) recycle(f *File) error {
	size, err := f.Size()
	if err == nil {
		err = f.named()
	}
	keep := err == nil && f.Err == nil && !f.abandoned.Load() && s.expect(size)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		if keep {
			s.arrived(spare{}, errStopped)
		}
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	if !keep {
		return errors.Join(s.fsys.Remove(f.path), s.fsys.SyncDir(s.dir))
	}
	// Its old name must be gone for good before a byte of it changes: a crash that
	// brought the name back would find another file's content there.
	sp := spare{path: filepath.Join(s.dir, sparePrefix+f.Name()), size: size}
	if err := s.fsys.Rename(f.path, sp.path); err != nil {
		s.arrived(spare{}, errStopped)
		return err
	}
	if err = s.fsys.SyncDir(s.dir); err == nil {
		err = s.topUp(&sp)
	}
	if err == nil {
		s.arrived(sp, nil)
		return nil
	}
	s.arrived(spare{}, errStopped)
	if rerr := s.fsys.Remove(sp.path); errors.Is(err, errStopped) {
		err = rerr
	} else {
		err = errors.Join(err, rerr)
	}
	return err
}

// expect reports whether a file of a size is worth keeping, and counts it then. One
// that is much smaller than what is wanted would have to be written as well.
func (s *spares) expect(size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.idle)+s.coming >= maxSpares || size < s.want/2 {
		return false
	}
	s.coming++
	return true
}

// topUp gives a file that was cut to its content the size that is wanted.
func (s *spares) topUp(sp *spare) error {
	s.mu.Lock()
	want := s.want
	s.mu.Unlock()
	if sp.size >= want {
		return nil
	}
	f, err := s.fsys.OpenFile(sp.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = s.fill(f, sp.size, want)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	sp.size = want
	return err
}

// use gives a spare the content that a log file begins with, durable, and then the
// name of that file, durable too. It closes before it renames, which Windows asks for.
func (s *spares) use(sp spare, path string, content []byte) error {
	f, err := s.fsys.OpenFile(sp.path, os.O_RDWR, 0)
	if err == nil {
		if _, err = f.WriteAt(content, 0); err == nil {
			err = f.Sync()
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	if err == nil {
		err = s.fsys.Rename(sp.path, path)
	}
	if err != nil {
		return errors.Join(err, s.fsys.Remove(sp.path))
	}
	return s.fsys.SyncDir(s.dir)
}

// close waits for the file that is being prepared and removes all spares. Files that
// are recycled later are removed too.
func (s *spares) close() {
	s.mu.Lock()
	s.closed = true
	flight, idle := s.flight, s.idle
	s.idle = nil
	s.mu.Unlock()
	if flight != nil {
		<-flight
	}
	for _, sp := range idle {
		if err := s.fsys.Remove(sp.path); err != nil {
			s.fail("remove", sp.path, err)
		}
	}
}
