//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package vfs

import (
	"errors"
	"fmt"
	"io"
)

func syncDir(open opener, dir string) error {
	return fmt.Errorf("sync of directory %s: %w on this operating system", dir, errors.ErrUnsupported)
}

func lockDir(open opener, dir string) (io.Closer, error) {
	return nil, fmt.Errorf("lock of directory %s: %w on this operating system", dir, errors.ErrUnsupported)
}
