package filestore

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

// noRoom reports whether err says that the disk or the quota is used up.
func noRoom(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED) || errors.Is(err, syscall.ENOSPC)
}
