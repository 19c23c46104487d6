package vfs

import "syscall"

// release can only fail for memory that is not mapped, and is a hint.
func release(data []byte) { _ = syscall.Madvise(data, syscall.MADV_DONTNEED) }
