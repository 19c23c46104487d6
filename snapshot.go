package cts

import (
	"context"
	"fmt"
)

// Snapshotter is the optional ability of a [Store] to copy itself while it is used.
// Applications call [Snapshot].
//
// Snapshot makes a store in dir, a folder that is absent or empty, that holds every
// trace whose Append returned before Snapshot was called, everything that is
// retained, the named states and the consumers, each as it was at one moment, none
// of them newer than the traces. It has the id of the store, so it can take its place.
// Only one of the two may go on to be written: two that both do give one position to
// two traces. Traces that are appended meanwhile may be in it or not.
//
// When it returns nil, the copy is complete and durable. After an error, or when the
// process ends on the way, what is there is refused by whoever opens it, or there is
// nothing. Appends and queries go on meanwhile. It fails with [ErrClosed], with
// [ErrStoreFull] when the disk has no room, or with the error of ctx.
type Snapshotter interface {
	// Snapshot copies the store to a folder.
	Snapshot(ctx context.Context, dir string) error
}

// Snapshot copies a store to a folder, see [Snapshotter]; without that ability it is
// [ErrNotSupported].
func Snapshot(ctx context.Context, r Reader, dir string) error {
	able, ok := ability[Snapshotter](r)
	if !ok {
		return fmt.Errorf("%w: it makes no snapshots", ErrNotSupported)
	}
	return able.Snapshot(ctx, dir)
}
