//go:build !linux

package vfs

import "os"

// syncData makes content and size durable; on macOS os.File.Sync uses
// F_FULLFSYNC, which also empties the drive's cache.
func syncData(f *os.File) error { return f.Sync() }
