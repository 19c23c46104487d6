package cts

import "time"

// DumperEvents are called by the Dumper. Each may be nil. They are called by the
// goroutine that dumps, one at a time, must return soon, and must not call the Dumper.
// What they report is in [Dumper.Status] too.
type DumperEvents struct {
	FileDumped    func(FileInfo)         // a trace file is verified in the bucket; again when its cycle is repeated by another process
	Failed        func(error)            // a cycle failed; it is tried again
	Damaged       func(*CorruptionError) // traces could not be read and will be in no file; once for each place
	Lost          func(Loss)             // retention took traces that were not dumped; the Dumper goes on behind them
	Conflict      func(key string)       // an alarm: another object lies under the name of a trace file, which is put under another
	Quarantined   func(QuarantinedFile)  // an alarm: a trace file was refused for good and is set aside
	StatusChanged func(DumperStatus)     // State or Detail is another than before
}

// FileInfo describes a trace file in the bucket.
type FileInfo struct {
	Key     string // object key
	Tracker string // tracker_name of its traces
	Service string // their service_type; "" without service folders
	Traces  int    // how many
	Bytes   int64  // of the content, uncompressed
	Stored  int64  // of the object, compressed
}

// QuarantinedFile is a trace file that the bucket refuses for good, see
// [Dumper.RetryQuarantined]. Its traces are in the store.
type QuarantinedFile struct {
	Key         string    // object key that was refused
	Tracker     string    // tracker_name of its traces
	Service     string    // their service_type; "" without service folders
	Traces      int       // how many
	First, Last Position  // its traces lie in between
	Since       time.Time // when it was refused first
	Reason      string    // why, the last time
}
