//go:build unix

package dirobs

import (
	"io/fs"
	"strconv"
	"syscall"
)

// fileNumber returns the inode number where info has one.
func fileNumber(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return strconv.FormatUint(uint64(st.Ino), 16) //nolint:unconvert // its type differs between systems
}
