//go:build !windows

package filestore

import (
	"errors"
	"syscall"
)

// noRoom reports whether err says that the disk or the quota is used up.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
