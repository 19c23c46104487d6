package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// OpenReader opens the store in a directory for reading, without the lock and while
// another process may write. It shows what no crash can undo: what the file MARK
// says is synced. Each call of Query, After and Verify reads that file again and
// then what was added to the log. Append and SaveState fail with [cts.ErrReadOnly].
//
// It changes nothing in the directory. Without a store there, the error is
// [fs.ErrNotExist].
func OpenReader(dir string, opts *Options) (*Store, error) {
	s, err := newStore(dir, opts)
	if err != nil {
		return nil, err
	}
	n, err := s.dir.readIdentity(false)
	if errors.Is(err, errNoStore) {
		return nil, fmt.Errorf("filestore: %s: %w: %w", dir, errNoStore, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	s.uuid = n.id
	s.states.id = n.id
	s.follower = newFollower(s.dir, wal.StoreID(n.id))
	if err := s.follower.refresh(s); err != nil {
		return nil, errors.Join(err, s.files.close())
	}
	return s, nil
}

// follower reads a log on that another process writes.
type follower struct {
	dir directory
	id  wal.StoreID

	mu     sync.Mutex
	index  index
	loader loader
	files  []followed
	mark   wal.Mark // that was read last
}

// followed is a log file that is read on.
type followed struct {
	*wal.File
	read  int64 // up to where it was read
	ended bool  // a later file is synced: nothing is added any more
}

func newFollower(dir directory, id wal.StoreID) *follower {
	f := &follower{dir: dir, id: id}
	f.loader = loader{
		next:  1,
		trace: func(pos cts.Position, at ref, _ string, _ []byte) { f.index.add(pos, at) },
		lost:  func(damage *cts.CorruptionError, _ []stretch) { f.index.lose(damage) },
	}
	return f
}

// refresh reads what was synced since the last time and shows it.
func (f *follower) refresh(s *Store) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	mark, err := wal.ReadMark(f.dir.fs, f.dir.path(markName), f.id)
	if err != nil && !errors.Is(err, wal.ErrNoMark) {
		return fmt.Errorf("filestore: %w", err)
	}
	marked := err == nil
	if marked && mark == f.mark {
		return nil
	}
	opened, err := f.open(mark.File, marked)
	s.files.add(opened...)
	if err != nil {
		return err
	}
	if !marked {
		if mark, err = f.proven(); err != nil {
			return err
		}
	}
	if err := f.advance(mark); err != nil {
		return err
	}
	if marked {
		f.mark = mark
	}
	f.index.synced = f.index.last
	s.view.Store(f.index.snapshot())
	return nil
}

// open opens the log files that are new, up to the one of the mark if there is one.
func (f *follower) open(last uint64, marked bool) ([]*wal.File, error) {
	numbers, err := wal.List(f.dir.fs, f.dir.path(logName))
	if err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	var opened []*wal.File
	for _, number := range numbers {
		n := len(f.files)
		if marked && number > last || n > 0 && number <= f.files[n-1].Header.Number {
			continue
		}
		file, _, err := openLogFile(f.dir, f.id, number, false)
		if err != nil {
			return opened, err
		}
		opened = append(opened, file)
		f.files = append(f.files, followed{File: file, read: wal.HeaderSize})
		f.index.slot(file)
	}
	return opened, nil
}

// proven returns a mark for a log that has none: all files but the last are synced,
// and the last one as far as its own frames say.
func (f *follower) proven() (wal.Mark, error) {
	if len(f.files) == 0 {
		return wal.Mark{}, nil
	}
	last := f.files[len(f.files)-1].File
	size, err := last.Size()
	if err != nil {
		return wal.Mark{}, fmt.Errorf("filestore: %w", err)
	}
	_, synced, err := wal.Tail(last, last.Header, size, 0)
	if err != nil {
		return wal.Mark{}, fmt.Errorf("filestore: %s/%s: %w", logName, last.Name(), err)
	}
	return wal.Mark{File: last.Header.Number, Offset: synced, Next: last.Header.First}, nil
}

// advance reads the log up to the mark.
func (f *follower) advance(mark wal.Mark) error {
	for i, limit := range limits(f.index.files) {
		file := &f.files[i]
		if file.ended {
			continue
		}
		to, err := file.Size()
		if err != nil {
			return fmt.Errorf("filestore: %w", err)
		}
		if file.Header.Number == mark.File {
			to = min(to, mark.Offset)
		}
		if to > file.read {
			if err := f.loader.read(file.File, uint32(i), file.read, to, limit); err != nil {
				return err
			}
			f.index.bytes += to - file.read
			file.read = to
		}
		file.ended = file.Header.Number < mark.File
	}
	name, offset := logName+"/"+wal.FileName(mark.File), int64(0)
	if n := len(f.files); n > 0 && f.files[n-1].Header.Number == mark.File {
		offset = f.files[n-1].read
	}
	f.loader.end(cts.Position(mark.Next), name, offset)
	f.index.mark = mark
	return nil
}
