package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/cloudtraceservice/cts/internal/vfs"
)

const (
	fileSuffix = ".log"
	filePerm   = 0o600
)

// FileName returns the name of a log file: the number in at least eight digits.
func FileName(number uint64) string { return fmt.Sprintf("%08d%s", number, fileSuffix) }

// List returns the numbers of the log files in a directory in ascending order.
// Files with other names are passed over. An absent directory has none.
func List(fsys vfs.FS, dir string) ([]uint64, error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var numbers []uint64
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), fileSuffix)
		n, err := strconv.ParseUint(digits, 10, 64)
		if ok && err == nil && n > 0 && FileName(n) == e.Name() {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// File is an open log file. ReadAt is safe for concurrent use.
type File struct {
	Header Header // Number and Store are right even when Err is set
	Err    error  // [ErrHeader] when the header is damaged; Header.First is 0 then

	f         vfs.File
	fsys      vfs.FS
	path      string
	abandoned atomic.Bool // a failed sync left its cache and the disk apart
}

// Open opens a log file, for writing too if asked. A damaged header is no error
// but told in File.Err; an intact one of another version is a [*VersionError].
func Open(fsys vfs.FS, dir string, store StoreID, number uint64, write bool) (*File, error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	path := filepath.Join(dir, FileName(number))
	f, err := fsys.OpenFile(path, flag, 0)
	if err != nil {
		return nil, err
	}
	file := &File{f: f, fsys: fsys, path: path}
	if err := file.readHeader(store, number); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return file, nil
}

func (f *File) readHeader(store StoreID, number uint64) error {
	b := make([]byte, HeaderSize)
	n, err := f.f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	f.Header, err = ParseHeader(b[:n])
	if err == nil && (f.Header.Number != number || f.Header.Store != store) {
		err = fmt.Errorf("%w: it belongs to another file or store", ErrHeader)
	}
	if errors.Is(err, ErrHeader) {
		f.Err, err = err, nil
		f.Header = Header{Number: number, Store: store}
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", FileName(number), err)
	}
	return err
}

// CheckHeader reads the header again and fails with [ErrHeader] if it is damaged now,
// and with [ErrReused] if it is that of another file: the space of this one has been
// used again.
//
// A process that reads without the lock calls it after a read that no checksum ties
// to the file, such as that of one record. Nil means that what was read before the
// call was this file's: of a file that is used again the header is written first.
func (f *File) CheckHeader() error {
	var b [HeaderSize]byte
	n, err := f.f.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	h, err := ParseHeader(b[:n])
	switch {
	case err == nil && h.Store == f.Header.Store && h.Number > f.Header.Number:
		err = fmt.Errorf("%w, as %s", ErrReused, FileName(h.Number))
	case err == nil && h != f.Header:
		err = ErrHeader
	}
	return err
}

// Name returns the name of the file without its directory.
func (f *File) Name() string { return FileName(f.Header.Number) }

// ReadAt implements [io.ReaderAt].
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

// Size returns the size of the file.
func (f *File) Size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }

// Cut removes what is behind end, and makes everything before it durable, also
// what an earlier process wrote: the bytes from synced on are written once more,
// because a sync that failed in that process may have left them in memory alone,
// marked as written.
func (f *File) Cut(synced, size, end int64) error {
	if end < size {
		if err := f.f.Truncate(end); err != nil {
			return err
		}
	}
	buf := make([]byte, windowSize)
	for off := synced; off < end; {
		n, err := f.f.ReadAt(buf[:min(int64(len(buf)), end-off)], off)
		if n == 0 {
			return fmt.Errorf("read at offset %d: %w", off, err)
		}
		if _, err := f.f.WriteAt(buf[:n], off); err != nil {
			return err
		}
		off += int64(n)
	}
	return f.sync()
}

// sync makes the file durable and sees to it that it is still the file which the
// next process will find.
func (f *File) sync() error {
	if err := f.f.Sync(); err != nil {
		return err
	}
	return f.named()
}

// named fails with [ErrGone] if the file has lost its name.
func (f *File) named() error {
	same, err := vfs.Named(f.fsys, f.path, f.f)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	if !same {
		return fmt.Errorf("%w: another file has its name", ErrGone)
	}
	return nil
}
