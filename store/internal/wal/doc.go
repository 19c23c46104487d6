// Package wal writes and reads the files of a write-ahead log: headers, frames,
// records and the mark of what is synced. It knows bytes and positions and not
// what they mean.
//
// The bytes are described in FORMAT.md of package filestore, the only user. The
// promises of this package are these:
//
//   - What [Log.Sync] returned nil for is found by [Scan] after any crash.
//   - A frame is there whole or not at all; a frame of another file, of another
//     store or of an earlier use of the same space is never taken for one.
//   - A log file has its name only once its header, and what was written with it,
//     is durable. A header that can't be read is therefore always damage.
//   - What a process cuts off the end of a file does not come back, and what an
//     earlier use of the space left behind the end is nothing.
//   - A log file changes its space for another one only when its name is gone for
//     good, so that no crash shows one file's content under another one's name.
//   - Frames at or behind the first position of a later file were never
//     acknowledged from the file they are in, or were written again in the later
//     one; readers pass over them.
package wal
