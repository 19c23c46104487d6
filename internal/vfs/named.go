package vfs

import (
	"errors"
	"io/fs"
	"os"
)

// Named reports whether an open file is still the one that a name leads to, so that
// what is written to it is found by the next process: nobody has removed, renamed or
// replaced it. An error is that of looking, [fs.ErrNotExist] for a name that is gone.
//
// On Linux it does not ask for the times of the file. Since 6.13 the kernel keeps them
// coarse until somebody has looked, and whoever writes and looks in turns pays a third
// of a sync for exact times that nobody reads. A file system that gives files no
// identity is compared by size.
func Named(fsys FS, name string, f File) (bool, error) {
	if _, ok := fsys.(osFS); ok {
		if of, ok := f.(osFile); ok {
			same, err := sameInode(name, of.File)
			if !errors.Is(err, errors.ErrUnsupported) {
				return same, err
			}
		}
	}
	named, err := fsys.Stat(name)
	if err != nil {
		return false, err
	}
	open, err := f.Stat()
	if err != nil {
		return false, err
	}
	return sameInfo(named, open), nil
}

func sameInfo(a, b fs.FileInfo) bool {
	if a.Sys() == nil || b.Sys() == nil {
		return a.Size() == b.Size()
	}
	return os.SameFile(a, b)
}
