//go:build !linux || !(amd64 || arm64)

package vfs

import (
	"errors"
	"os"
)

func sameInode(string, *os.File) (bool, error) { return false, errors.ErrUnsupported }
