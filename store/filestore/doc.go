// Package filestore keeps traces in a directory, so that an acknowledged trace is
// never lost: not by a kill, not by a power loss, not by a disk that fails.
//
// One process writes ([Open]) and holds the lock of the directory; others may read
// at the same time without it ([OpenReader]) and see only what no crash can undo.
// The stores implement [cts.Store], [cts.StateStore] and [cts.Verifier].
//
// Traces are appended to a log of checksummed files. Appends that wait at the same
// time are written and synced together, so 64 goroutines pay for one sync and not
// for 64. What a failing disk does is described with [Store.Append], what damage
// does with [Store.Query] and [Store.After], and every byte in FORMAT.md.
//
// # Limits
//
// The index is in memory: about 100 bytes for each trace of a writer and 40 for
// one of a reader. Opening reads the whole log. One file descriptor is held for
// each log file.
package filestore
