package ours

import (
	"context"
	"errors"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/store/filestore"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// Recorder is a Tracker with queued delivery.
type Recorder struct {
	tracker *cts.Tracker
	store   cts.Store
	setup   string
}

var _ contest.Recorder = (*Recorder)(nil)

// Recorders differ in where the traces go and in whether secrets are taken out.
type Recorders struct {
	Memory    bool // into a memstore, not a filestore
	Redaction bool // switched on, as it is by default
}

// Open opens the recorder on dir.
func (o Recorders) Open(ctx context.Context, dir string) (contest.Recorder, error) {
	r := &Recorder{setup: "Tracker with queued delivery"}
	if o.Memory {
		r.store = memstore.New(&memstore.Options{MaxBytes: 4 << 30})
		r.setup += " into a memstore"
	} else {
		store, err := filestore.Open(dir, nil)
		if err != nil {
			return nil, err
		}
		r.store = store
		r.setup += " into a filestore at its default, SyncCommit"
	}
	if o.Redaction {
		r.setup += ", redaction on, as is the default"
	} else {
		r.setup += ", redaction off, as no other recorder has it"
	}
	var err error
	r.tracker, err = cts.Open(ctx, r.store, &cts.TrackerOptions{
		Delivery: cts.Queued, BlockTimeout: time.Minute, WithoutRedaction: !o.Redaction,
	})
	if err != nil {
		return nil, errors.Join(err, r.store.Close())
	}
	return r, nil
}

// Info implements [contest.Contestant].
func (r *Recorder) Info() contest.Info {
	return contest.Info{Name: Name, Version: Version, Setup: r.setup}
}

// Close implements [contest.Contestant].
func (r *Recorder) Close() error {
	return errors.Join(r.tracker.Close(context.Background()), r.store.Close())
}

// Record implements [contest.Recorder].
func (r *Recorder) Record(ctx context.Context, t *cts.Trace) error {
	_, err := r.tracker.Record(ctx, t)
	return err
}

// Flush implements [contest.Recorder].
func (r *Recorder) Flush(ctx context.Context) error { return r.tracker.Flush(ctx) }
