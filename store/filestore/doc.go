// Package filestore keeps traces in a directory, so that an acknowledged trace is
// never lost: not by a kill, not by a power loss, not by a disk that fails.
//
// One process writes ([Open]) and holds the lock of the directory; others may read
// at the same time without it ([OpenReader]) and see only what no crash can undo.
// The stores implement [cts.Store], [cts.StateStore], [cts.Verifier], [cts.Aggregator],
// [cts.Follower], [cts.Consumers], [cts.Retainer], [cts.Statistician], [cts.Snapshotter]
// and [cts.Explainer].
//
// Traces are appended to a log of checksummed files. Appends that wait at the same
// time are written and synced together, so 64 goroutines pay for one sync and not
// for 64. What a failing disk does is described with [Store.Append], what damage
// does with [Store.Query] and [Store.After], and every byte in FORMAT.md.
//
// # Segments
//
// A log file that is finished is sealed in the background: its traces become an
// immutable segment, in which fields are columns with dictionaries and lists of the
// rows that have a value, and bodies lie apart, compressed so that one can be opened
// without its neighbours. Neighbouring segments are merged as the store grows. Queries
// find traces by any field without reading the others, and counts come from the columns
// ([Store.Aggregate]). [Store.Compact] does all that is left to do at once.
//
// [Store.Retain] drops the oldest segments; nothing is dropped otherwise.
//
// # Copies and repairs
//
// [Store.Snapshot] copies a store while it is in use. [Repair] is for one that Open
// refuses or in which Verify finds damage: it keeps what can be read, puts aside what is
// damaged, and deletes nothing. [Store.Statistics] tells what there is, and
// [Store.Explain] what a query had to look at.
//
// # Limits
//
// What is not sealed yet, about one or two log files, is read trace by trace, about 2 µs
// each. Its index is in memory. Opening reads the log, not the segments, which are mapped
// into memory. One file descriptor is held for each log file.
package filestore
