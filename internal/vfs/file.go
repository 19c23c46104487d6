package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// TempPrefix begins the name of every temporary file, so that what a killed
// process left behind can be recognised and removed.
const TempPrefix = ".tmp-"

// IsTemp reports whether the last element of name is that of a temporary file.
func IsTemp(name string) bool {
	return strings.HasPrefix(filepath.Base(name), TempPrefix)
}

// CreateTemp makes a new empty file in dir, opened for reading and writing,
// whose name is [TempPrefix] and 16 random hexadecimal digits. The caller
// closes it, and renames or removes it.
func CreateTemp(fsys FS, dir string, perm fs.FileMode) (File, error) {
	var f File
	var err error
	for range 16 {
		name := filepath.Join(dir, fmt.Sprintf("%s%016x", TempPrefix, rand.Uint64()))
		f, err = fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return f, err
}

// WriteFileAtomic makes data the content of the file name, replacing what was
// there: at any moment, also after a crash, name has the whole old content or
// the whole new one. After nil the new one is durable. The directory must exist.
//
// After an error the old content stands, with one exception: when only the
// last step, the sync of the directory, failed, the new content is visible and
// a crash may bring the old one back. The temporary file, which lies in the
// same directory, is removed on error; a kill leaves it to [RemoveTemp].
func WriteFileAtomic(fsys FS, name string, data []byte, perm fs.FileMode) (err error) {
	dir := filepath.Dir(name)
	f, err := CreateTemp(fsys, dir, perm)
	if err != nil {
		return err
	}
	tmp := f.Name()
	defer func() {
		if tmp != "" {
			err = errors.Join(err, fsys.Remove(tmp))
		}
	}()
	if err := writeSyncClose(f, data); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return err
	}
	tmp = ""
	return fsys.SyncDir(dir)
}

// writeSyncClose writes data to f, syncs and closes it, and closes it on every
// error too.
func writeSyncClose(f File, data []byte) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// ReadFile returns the content of a file of at most limit bytes, and
// [ErrTooLarge] for a larger one, of which no more than limit+1 bytes are read.
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, max(limit, limit+1)))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: %w of %d bytes", name, ErrTooLarge, limit)
	}
	return data, nil
}

// RemoveTemp removes the temporary files that lie directly in dir. The caller
// sees to it that nobody is writing one, as by holding the directory's lock.
// It goes on after an error and returns all of them.
func RemoveTemp(fsys FS, dir string) error {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !IsTemp(e.Name()) || e.IsDir() {
			continue
		}
		if err := fsys.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// RemoveDir removes an empty directory, and fails when name is a file, which
// Remove would remove. On systems with POSIX paths that is decided at the
// moment of removal, so that it holds against other processes too; on Windows a
// little before.
func RemoveDir(fsys FS, name string) error {
	info, err := fsys.Stat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "rmdir", Path: name, Err: syscall.ENOTDIR}
	}
	// A name with a slash at its end names a directory or nothing.
	return fsys.Remove(name + string(filepath.Separator))
}
