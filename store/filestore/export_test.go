package filestore

import "context"

// Inline returns options whose store does in the goroutine that writes what others do
// in the background, so that its operations on files have one order.
func Inline(o Options) Options {
	o.run = func(task func()) { task() }
	return o
}

// Unsealed returns options whose store leaves everything in the log, for tests of the
// log.
func Unsealed(o Options) Options {
	o.unsealed = true
	return o
}

// Seal seals everything, without merging: what was appended since the last call becomes
// a segment.
func Seal(ctx context.Context, s *Store) error { return s.sealEverything(ctx) }

// Unmerged returns options whose store does not merge segments.
func Unmerged(o Options) Options {
	o.unmerged = true
	return o
}
