package cts

import (
	"context"
	"errors"
	"time"

	"github.com/cloudtraceservice/cts/obs"
)

// TransferState says whether traces get into the bucket (status of a tracker in CTS).
type TransferState string

// The states of the transfer.
const (
	TransferEnabled TransferState = "enabled" // they do
	TransferError   TransferState = "error"   // they don't, and the Detail says why
)

// What may be wrong when the state of the transfer is error. The first three are
// the words of CTS.
const (
	DetailBucketPolicy = "bucketPolicyError" // the bucket denies access: obs.ErrDenied
	DetailNoBucket     = "noBucket"          // the bucket is gone: obs.ErrNoBucket
	DetailArrears      = "arrears"           // the account is in arrears: obs.ErrArrears
	DetailBucketFull   = "bucketFull"        // there is no room in the bucket: obs.ErrFull
	DetailThrottled    = "throttled"         // the bucket has asked for fewer calls for longer than MaxAge
	DetailBucket       = "bucketError"       // anything else with the bucket, for longer than MaxAge
	DetailCheckpoint   = "checkpointError"   // the state is not this Dumper's, or another Dumper has it too
	DetailStore        = "storeError"        // the store can't be read or written, for longer than MaxAge
	DetailSettings     = "settingsError"     // DumperOptions.Tracker returned something that is not valid
	DetailQuarantine   = "filesQuarantined"  // everything else gets through, and some files are set aside
)

// DumperStatus is the state of a Dumper at one moment: that after its last cycle, and
// the Lag that of now.
type DumperStatus struct {
	State  TransferState // whether traces get into the bucket
	Detail string        // what is wrong if they don't, one of the Detail words

	Position          Position      // everything up to it is verified in the bucket, but for what is quarantined, Behind, or counted as Damaged, Lost and Passed
	Read              Position      // up to where the log was read; Read - Position is how many positions the bucket lags behind, at least
	Waiting           int           // traces read that are not in the bucket, but for those in quarantine
	WaitingBytes      int64         // of their JSON
	OldestUndelivered time.Time     // when the oldest of them was recorded; zero if none waits
	Lag               time.Duration // how long ago that is

	// CompleteTo never goes back: of the traces that were in the store when it was worked out, all that
	// were recorded before it are in the bucket, but for what is counted as Damaged,
	// Lost and Passed. A trace that reaches the store more than a minute after it was
	// recorded, as from a queue while the store failed, can come in below it. It is zero
	// while it is not known.
	CompleteTo time.Time

	Quarantined    int       // trace files that are set aside, see Dumper.Quarantined
	Behind         int       // trackers that are behind, see Dumper.Behind
	OpenChains     int       // chains of digests that are open; without Validation, files that are dumped are in none of them
	DigestsWaiting int       // digest files that are made and could not be put so far; one of each chain at most
	Unsealed       int64     // traces in the bucket that no digest file covers yet; 0 without Validation
	OldestUnsealed time.Time // when the oldest of them was recorded; zero if there is none

	Files     int64 // trace files dumped by this Dumper
	Traces    int64 // traces in them
	Bytes     int64 // of their content, uncompressed
	Stored    int64 // of the objects
	Passed    int64 // traces of disabled trackers that were passed over
	Unread    int64 // files that were taken as delivered without a proof by hash
	Conflicts int64 // objects of others that lay under the names of files
	Digests   int64 // digest files put by this Dumper

	SealConflicts int64 // objects of others that lay under the names of digest files or signatures

	Damaged int64 // damaged places in the store that were passed over
	Lost    int64 // positions that retention took before they were dumped

	LastDump    time.Time // when a cycle was completed last
	LastError   error     // why the last cycle failed; nil when it did not
	LastErrorAt time.Time // when it failed
}

// Status returns the state of the Dumper. It may be called after Close.
func (d *Dumper) Status() DumperStatus {
	now := d.opts.Clock()
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.status
	if !st.OldestUndelivered.IsZero() {
		st.Lag = max(0, now.Sub(st.OldestUndelivered))
	}
	return st
}

// note keeps what Status reports. A cycle that its caller cancelled has not failed.
func (d *Dumper) note(ctx context.Context, err error) {
	canceled := ctx.Err() != nil && errors.Is(err, context.Canceled)
	now := d.opts.Clock()
	d.mu.Lock()
	d.observe()
	st := &d.status
	if !canceled {
		st.LastError = err
	}
	switch {
	case canceled:
	case err == nil:
		d.failingSince = time.Time{}
	default:
		st.LastErrorAt = now
		if d.failingSince.IsZero() {
			d.failingSince = now
		}
	}
	changed := d.judge(now)
	d.mu.Unlock()
	if err != nil && !canceled && d.opts.Events.Failed != nil {
		d.opts.Events.Failed(err)
	}
	if changed && d.opts.Events.StatusChanged != nil {
		d.opts.Events.StatusChanged(d.Status())
	}
}

// observe takes over into the status what follows from the state and the windows; d.mu
// is held.
func (d *Dumper) observe() {
	if !d.begun { // the state is not known, and what was known is as good as before
		return
	}
	st := &d.status
	st.Position, st.Read = d.state.Position, d.state.Position
	st.Waiting, st.WaitingBytes, st.OldestUndelivered = 0, 0, time.Time{}
	wait := func(traces int, bytes, oldest int64, to Position) {
		st.Read = max(st.Read, to)
		if traces == 0 {
			return
		}
		st.Waiting += traces
		st.WaitingBytes += bytes
		if at := time.UnixMilli(oldest); st.OldestUndelivered.IsZero() || at.Before(st.OldestUndelivered) {
			st.OldestUndelivered = at
		}
	}
	if p := d.state.Plan; p != nil {
		for _, f := range p.Files {
			wait(f.Traces, f.Bytes, f.Oldest, p.To)
		}
	}
	if d.next != nil {
		wait(d.next.traces, d.next.bytes, d.next.oldest, d.next.to)
	}
	st.CompleteTo = time.Time{}
	if d.state.CompleteTo > 0 {
		st.CompleteTo = time.UnixMilli(d.state.CompleteTo)
	}
	d.quarantine = d.quarantine[:0:0]
	for _, q := range d.state.Quarantine {
		d.quarantine = append(d.quarantine, q.file())
	}
	st.Quarantined = len(d.quarantine)
	d.behindTrackers = d.behindTrackers[:0:0]
	for i := range d.state.Behind {
		d.behindTrackers = append(d.behindTrackers, d.state.Behind[i].public())
	}
	st.Behind = len(d.behindTrackers)
	st.OpenChains, st.DigestsWaiting = 0, 0
	for _, c := range d.state.Chains {
		if !c.Ended {
			st.OpenChains++
		}
		if c.Planned != nil {
			st.DigestsWaiting++
		}
	}
	st.Unsealed, st.OldestUnsealed = 0, time.Time{}
	if d.seal != nil {
		traces, oldest, _ := d.seal.unsealed(&d.state)
		if st.Unsealed = traces; traces > 0 {
			st.OldestUnsealed = time.UnixMilli(oldest)
		}
	}
}

// recovered takes note of a cycle that was completed: while a backlog is worked off, the
// status tells that traces get through again, but for what failed beside the delivery.
func (d *Dumper) recovered() {
	now := d.opts.Clock()
	d.mu.Lock()
	if d.status.LastError != nil {
		d.retriedAt = time.Time{} // what is set aside may fare better too
	}
	d.status.LastError = d.lastBeside
	if d.lastBeside == nil {
		d.failingSince = time.Time{}
	}
	changed := d.judge(now)
	d.mu.Unlock()
	if changed && d.opts.Events.StatusChanged != nil {
		d.opts.Events.StatusChanged(d.Status())
	}
}

// judge works out the state of the transfer, and reports whether it has changed; d.mu is
// held.
func (d *Dumper) judge(now time.Time) (changed bool) {
	st := &d.status
	before := *st
	st.State, st.Detail = d.verdict(now)
	return st.State != before.State || st.Detail != before.Detail
}

// verdict returns the state of the transfer; d.mu is held. What may pass is given MaxAge
// to do so.
func (d *Dumper) verdict(now time.Time) (TransferState, string) {
	if err := d.status.LastError; err != nil {
		detail, lasting := detailOf(err)
		if lasting || !d.failingSince.IsZero() && now.Sub(d.failingSince) >= d.opts.MaxAge {
			return TransferError, detail
		}
	}
	if len(d.behindTrackers) > 0 {
		return TransferError, d.behindTrackers[0].Detail
	}
	if d.status.Quarantined > 0 {
		return TransferError, DetailQuarantine
	}
	return TransferEnabled, ""
}

// detailOf returns the word for a failure, and whether somebody has to mend it.
func detailOf(err error) (detail string, lasting bool) {
	var bucket *obs.Error
	switch {
	case errors.Is(err, obs.ErrNoBucket):
		return DetailNoBucket, true
	case errors.Is(err, obs.ErrArrears):
		return DetailArrears, true
	case errors.Is(err, obs.ErrDenied):
		return DetailBucketPolicy, true
	case errors.Is(err, obs.ErrFull):
		return DetailBucketFull, true
	case errors.Is(err, errSettings):
		return DetailSettings, true
	case errors.Is(err, ErrForeignCheckpoint), errors.Is(err, ErrStateConflict), errors.Is(err, ErrVersion):
		return DetailCheckpoint, true
	case errors.Is(err, obs.ErrInvalidKey), errors.Is(err, obs.ErrInvalid), errors.Is(err, ErrConflict):
		return DetailBucket, true // more than the quarantine holds
	case errors.Is(err, obs.ErrThrottled):
		return DetailThrottled, false
	case errors.As(err, &bucket):
		return DetailBucket, false
	}
	return DetailStore, false
}

// unread counts a file that was taken as delivered without a proof.
func (d *Dumper) unread(stored storedFile) {
	if stored.unread {
		d.mu.Lock()
		d.status.Unread++
		d.mu.Unlock()
	}
}
