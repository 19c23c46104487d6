//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package vfs

import "os"

func mapFile(f *os.File, size int) ([]byte, func([]byte) error, error) {
	m, err := readMapping(f, size)
	if err != nil {
		return nil, nil, err
	}
	return m.data, nil, nil
}
