//go:build !linux

package limits

import "os"

// syncData syncs the file: there is no fdatasync here.
func syncData(f *os.File) error { return f.Sync() }
