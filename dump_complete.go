package cts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cloudtraceservice/cts/obs"
)

// completeSlack is how long a trace may be on its way from its record time into the
// store. Trackers with durable delivery store within their AppendTimeout.
const completeSlack = time.Minute

// completeTo returns up to which record time all traces are in the bucket, once the
// cycle of w is. What lies behind it in the log was recorded later, up to the slack.
func (d *Dumper) completeTo(st *dumpState, w *window) int64 {
	to := w.newest
	if w.ended > 0 {
		to = w.ended
	}
	return d.completeUpTo(st, to)
}

// completeUpTo returns up to when all traces are in the bucket, if all behind the
// checkpoint were stored after to.
func (d *Dumper) completeUpTo(st *dumpState, to int64) int64 {
	to = min(to, d.opts.Clock().UnixMilli()) - completeSlack.Milliseconds()
	for _, q := range st.Quarantine {
		to = min(to, q.Oldest)
	}
	for _, b := range st.Behind {
		to = min(to, b.CompleteTo)
	}
	return max(to, st.CompleteTo)
}

// idle moves the time of completeness on while there is nothing to dump.
func (d *Dumper) idle(ctx context.Context) error {
	if d.state.Plan == nil && d.next != nil && d.next.empty() && d.next.ended > 0 {
		d.state.CompleteTo = d.completeUpTo(&d.state, d.next.ended) // saved with the next cycle
	}
	if d.opts.Clock().Sub(d.markedAt) < d.opts.MaxAge {
		return nil
	}
	return d.mark(ctx)
}

// marker is the object that says up to when the files of a store are complete.
type marker struct {
	Store      string   `json:"store"`
	Position   Position `json:"position"`
	CompleteTo int64    `json:"complete_to"`
	Written    int64    `json:"written"`
}

// mark replaces the marker, if it is wanted.
func (d *Dumper) mark(ctx context.Context) error {
	if !d.opts.CompleteMarker || !d.begun {
		return nil
	}
	now := d.opts.Clock()
	position := d.state.Position
	for _, q := range d.state.Quarantine {
		position = min(position, q.From)
	}
	for _, b := range d.state.Behind {
		position = min(position, b.Position)
	}
	data, err := json.Marshal(marker{Store: d.state.StoreID, Position: position, CompleteTo: d.state.CompleteTo, Written: now.UnixMilli()})
	if err != nil {
		return err
	}
	key := d.markerKey()
	if _, err := d.bucket.Put(ctx, key, bytes.NewReader(append(data, '\n')), &obs.PutOptions{ContentType: "application/json"}); err != nil {
		return fmt.Errorf("cts: complete-up-to marker: %w", err)
	}
	d.markedAt = now
	return nil
}

func (d *Dumper) markerKey() string {
	name := escapeSegment(d.source.ID())
	if d.opts.StateName != defaultStateName {
		name += "_" + d.opts.StateName
	}
	return "CloudTraces/" + d.opts.location() + "/Complete/" + name + ".json"
}
