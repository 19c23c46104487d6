package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/google/uuid"

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
		return nil, errors.Join(err, s.pins.close())
	}
	return s, nil
}

// follower reads a store on that another process writes.
type follower struct {
	dir directory
	id  wal.StoreID

	mu       sync.Mutex
	index    index
	loader   loader
	files    []followed
	mark     wal.Mark // that was read last
	manifest *manifest
}

// followed is a log file that is read on.
type followed struct {
	*wal.File
	read  int64 // up to where it was read
	ended bool  // a later file is synced: nothing is added any more
}

func newFollower(dir directory, id wal.StoreID) *follower {
	return &follower{dir: dir, id: id, manifest: &manifest{id: uuid.UUID(id), oldest: 1, next: 1}}
}

// refresh reads what was synced since the last time and shows it.
func (f *follower) refresh(s *Store) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		m, _, err := f.dir.readManifest(uuid.UUID(f.id))
		if err != nil {
			return err
		}
		if f.loader.trace == nil || m.generation != f.manifest.generation {
			if err := f.restart(s, m); err != nil {
				return err
			}
		}
		err = f.readOn(s)
		// The writer seals log files and uses them for something else: what was read
		// counts if the manifest is still the one that was read before.
		again, _, merr := f.dir.readManifest(uuid.UUID(f.id))
		switch {
		case merr != nil:
			return merr
		case again.generation != f.manifest.generation:
			continue
		case err != nil:
			return err
		}
		f.index.synced = max(f.index.last, f.manifest.next-1)
		s.view.Store(f.index.snapshot())
		return nil
	}
}

// restart begins with the segments of a manifest and an empty log.
func (f *follower) restart(s *Store, m *manifest) error {
	old := f.index
	opened := &recovery{dir: f.dir, manifest: m, open: func(n segmentInfo) *sealed {
		for _, s := range old.segments {
			if s.info == n {
				return s
			}
		}
		return nil
	}}
	if err := opened.openSegments(); err != nil {
		return err
	}
	index := opened.index
	index.epoch = old.epoch + 1
	for _, seg := range index.segments {
		if !slices.Contains(old.segments, seg) {
			pinAll(&s.pins, seg)
		}
	}
	files := f.files
	f.index, f.files, f.mark, f.manifest = index, nil, wal.Mark{}, m
	f.loader = loader{
		next: m.next, floor: m.next,
		trace: func(pos cts.Position, at ref, _ string, _ []byte) { f.index.add(pos, at) },
		lost:  func(damage *cts.CorruptionError, _ []stretch) { f.index.lose(damage) },
	}
	s.view.Store(f.index.snapshot()) // before what it no longer shows is closed
	for _, file := range files {
		s.pins.retire(file.File, file.Close)
	}
	for _, seg := range old.segments {
		if !slices.Contains(index.segments, seg) {
			s.pins.retire(seg, seg.Close)
		}
	}
	return nil
}

// readOn reads what was added to the log.
func (f *follower) readOn(s *Store) error {
	mark, err := wal.ReadMark(f.dir.fs, f.dir.path(markName), f.id)
	if err != nil && !errors.Is(err, wal.ErrNoMark) {
		return fmt.Errorf("filestore: %w", err)
	}
	marked := err == nil
	if marked && mark == f.mark {
		return nil
	}
	opened, err := f.open(mark.File, marked)
	pinAll(&s.pins, opened...)
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
		if errors.Is(err, fs.ErrNotExist) {
			continue // taken out of the log since it was listed; if it should be there, its traces are missing
		}
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
	end, err := wal.Tail(last, last.Header, size, 0)
	if err != nil {
		return wal.Mark{}, fmt.Errorf("filestore: %s/%s: %w", logName, last.Name(), err)
	}
	return wal.Mark{File: last.Header.Number, Offset: end.Synced, Next: last.Header.First}, nil
}

// advance reads the log up to the mark.
func (f *follower) advance(mark wal.Mark) error {
	for i, limit := range limits(f.index.files) {
		file := &f.files[i]
		if file.ended || limit != 0 && limit <= f.manifest.next {
			continue // all of it was read, or is in segments
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

// sealedMeanwhile returns the JSON of a trace that was in the log when the view was
// made, and that the writer has sealed since.
func (s *Store) sealedMeanwhile(pos cts.Position) ([]byte, error) {
	pinned, ok := s.pins.acquire()
	if !ok {
		return nil, cts.ErrClosed
	}
	defer pinned.release()
	if err := s.follower.refresh(s); err != nil {
		return nil, err
	}
	v := s.view.Load()
	for _, seg := range v.segments {
		if pos < seg.info.first || pos > seg.info.last {
			continue
		}
		var json []byte
		err := seg.guarded(func() error {
			r, err := newTraceReader(seg)
			if err != nil {
				return err
			}
			order := seg.order.Load()
			ordinal := order.SearchPosition(uint64(pos))
			if ordinal == seg.info.rows || order.PositionAt(uint32(ordinal)) != uint64(pos) {
				return seg.lost(pos, pos, errMissing)
			}
			json, err = r.jsonOf(order.Row(uint32(ordinal)))
			return err
		})
		return json, err
	}
	return nil, &cts.PositionGoneError{Position: pos - 1, Oldest: v.oldest}
}

// bodies returns what reads traces of the log.
func (s *Store) bodies() bodyReader {
	if s.follower != nil {
		return bodyReader{reader: s}
	}
	return bodyReader{}
}
