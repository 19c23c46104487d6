//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// syncDir makes the entries of dir durable. A file system that has no sync for
// directories says so with EINVAL or ENOTSUP, and there is nothing to do then.
func syncDir(open opener, dir string) error {
	f, err := open(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// lockDir locks the descriptor of the directory itself, so that no removed
// file takes the lock with it. flock belongs to the open file: a second open in
// the same process is refused too, and the kernel frees it when a process ends.
func lockDir(open opener, dir string) (io.Closer, error) {
	f, err := open(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	var lerr error
	err = conn.Control(func(fd uintptr) {
		for {
			if lerr = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(lerr, syscall.EINTR) {
				return
			}
		}
	})
	if err == nil {
		err = lerr
	}
	if err == nil {
		return f, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
}
