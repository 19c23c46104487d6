package cts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// errGivenUp is the cause with which Close ends the flusher.
var errGivenUp = errors.New("cts: the tracker was closed before the store took the traces")

// enqueue puts a prepared trace into the queue.
func (t *Tracker) enqueue(w *work) (Receipt, error) {
	ok := t.queue.put(w.json)
	if !ok && t.opts.WhenFull == Block {
		ctx, cancel := context.WithTimeout(context.Background(), t.opts.BlockTimeout)
		ok = t.queue.putWait(ctx, w.json)
		cancel()
	}
	if !ok && t.queue.isShut() { // Close did not wait for this trace
		t.lose(Gap{Count: 1, Exact: true, Bytes: int64(len(w.json))}, w.trace.RecordTime, reason(errGivenUp), ErrClosed)
		return Receipt{}, ErrClosed
	}
	if !ok {
		t.lose(Gap{Count: 1, Exact: true, Bytes: int64(len(w.json))}, w.trace.RecordTime, "queue full", ErrBackpressure)
		return Receipt{}, fmt.Errorf("%w: %d bytes are waiting for the store", ErrBackpressure, t.opts.QueueBytes)
	}
	return Receipt{ID: w.trace.ID}, nil
}

// append stores a prepared trace, with a due gap trace before it.
func (t *Tracker) append(ctx context.Context, w *work) (Receipt, error) {
	at, err := t.appendNow(ctx, w)
	switch {
	case err == nil:
		t.stats.stored.Add(1)
		return Receipt{ID: w.trace.ID, Position: at, Durable: true}, nil
	case errors.Is(err, ErrOutcomeUnknown):
		t.settle(w.json)
		return Receipt{ID: w.trace.ID}, err
	}
	t.lose(Gap{Count: 1, Exact: true, Bytes: int64(len(w.json))}, w.trace.RecordTime, reason(err), err)
	return Receipt{}, err
}

// appendNow appends a trace durably and returns its position. What became of it
// after an error is the caller's to note; a gap that went with it is noted here.
func (t *Tracker) appendNow(ctx context.Context, w *work) (Position, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.opts.AppendTimeout)
	defer cancel()
	done, err := t.appendBehindGap(ctx, append(w.entries[:1], Entry{Trace: &w.trace, JSON: w.json}))
	if err != nil {
		t.failed(1, err)
		return 0, fmt.Errorf("cts: recording %s: %w", w.trace.Name, err)
	}
	if t.attempts.reached(done.Last) {
		t.queue.signal() // for the flusher to move the low mark
	}
	return done.Last, nil
}

// appendBehindGap appends a batch, and before it the gap trace that is due. The
// first entry of the batch is room for that. The index of a [*ConflictError] counts
// from the second.
func (t *Tracker) appendBehindGap(ctx context.Context, batch []Entry) (Appended, error) {
	d, err := t.dueGap(ctx)
	if err != nil {
		return Appended{}, err
	}
	if d.gap.Count == 0 {
		batch = batch[1:]
	} else {
		batch[0] = Entry{JSON: d.json}
	}
	if len(batch) == 0 {
		return Appended{}, nil
	}
	done, err := t.store.Append(ctx, batch)
	t.losses.carried(d, err)
	if err != nil && d.gap.Count > 0 {
		err = withoutGap(err)
	}
	return done, err
}

// withoutGap returns the error of a batch as that of the batch less its gap trace.
func withoutGap(err error) error {
	var conflict *ConflictError
	if errors.As(err, &conflict) {
		return &ConflictError{Index: conflict.Index - 1, ID: conflict.ID}
	}
	return err
}

// dueGap returns the gap trace that is due, to be given back to carried; the zero
// declaration when none is. One that the store may have is appended first, by itself.
func (t *Tracker) dueGap(ctx context.Context) (declaration, error) {
	for {
		d, err := t.losses.carry(ctx)
		if err != nil || d.gap.Count == 0 {
			return d, err
		}
		if d.json != nil {
			_, err := t.store.Append(ctx, []Entry{{JSON: d.json}})
			t.losses.carried(d, err)
			if err != nil {
				return declaration{}, err
			}
			continue
		}
		now := t.now()
		id, err := t.ids.next(now)
		if err != nil {
			t.losses.carried(d, err)
			return declaration{}, fmt.Errorf("cts: making a trace id: %w", err)
		}
		tr := t.gapTrace(id, d.gap, now)
		d.json = tr.AppendJSON(nil)
		return d, nil
	}
}

// settle keeps a trace of which it is not known whether the store has it. It is
// appended again, under the same id, until that is known. Without room for it, it is
// lost as far as anybody can tell, and the count of the gap an upper bound.
func (t *Tracker) settle(json []byte) {
	if !t.queue.putReserved(item{json: bytes.Clone(json)}, t.opts.QueueBytes) {
		t.lose(Gap{Count: 1, Bytes: int64(len(json))}, t.now(), "outcome of the append unknown and the queue full", ErrOutcomeUnknown)
	}
}

func (t *Tracker) now() int64 { return t.opts.Clock().UnixMilli() }

// lose notes a loss at one moment.
func (t *Tracker) lose(g Gap, at int64, reason string, err error) {
	g.From, g.To = at, at
	t.losses.add(g, reason)
	if f := t.opts.Events.Lost; f != nil {
		f(LostInfo{Count: g.Count, Bytes: g.Bytes, Reason: reason, Err: err})
	}
}

func (t *Tracker) failed(traces int, err error) {
	t.stats.fail(err, t.opts.Clock())
	if f := t.opts.Events.AppendFailed; f != nil {
		f(AppendFailedInfo{Traces: traces, Err: err})
	}
}

// reason names the cause of a loss in the few words that a gap trace carries.
func reason(err error) string {
	for _, known := range []struct {
		err  error
		text string
	}{
		{ErrStoreFull, "store full"},
		{ErrClosed, "store closed"},
		{ErrReadOnly, "store read-only"},
		{ErrIDConflict, "id conflict"},
		{ErrTooLarge, "trace too large for the store"},
		{ErrInvalidTrace, "trace refused by the store"},
		{errGivenUp, "tracker closed in a hurry"},
		{context.DeadlineExceeded, "store too slow"},
	} {
		if errors.Is(err, known.err) {
			return known.text
		}
	}
	return "store failed"
}

// Bounds of one batch of the flusher: large enough to share a sync among many
// traces, small enough to make room in the queue again soon.
const (
	batchTraces = 4096
	batchBytes  = 4 << 20
)

// Delays between attempts to store a batch.
const (
	firstRetry = 10 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// linger is how long the flusher lets queued traces gather, unless they are many or
// somebody waits: a batch costs about as much as thirty traces.
const linger = time.Millisecond

// flush is the Tracker's one goroutine: it stores what is in the queue.
func (t *Tracker) flush(ctx context.Context) {
	defer close(t.stopped)
	defer t.queue.shut()
	f := flusher{Tracker: t}
	gather := time.NewTimer(linger)
	gather.Stop()
	for {
		select {
		case <-t.queue.more:
			gather.Reset(linger)
			continue
		case <-gather.C:
		case <-t.queue.wake:
		case <-ctx.Done():
			return
		}
		l := t.queue.take()
		t.queue.finish(l, f.load(ctx, l))
		t.saveLowMark(ctx)
	}
}

// flusher holds the memory of batches under way.
type flusher struct {
	*Tracker
	items   []item
	entries []Entry
	bytes   int
	gaveUp  error // why traces of this load were given up, if it was not for what they are
}

// load stores one load: the due gap first, then what had room reserved, then the
// rest in order, then the gap of what was lost on the way. The error says why some
// of it had to be given up.
func (f *flusher) load(ctx context.Context, l load) error {
	f.gaveUp = nil
	for _, it := range l.reserved {
		f.add(ctx, it)
	}
	for _, c := range l.chunks {
		from := 0
		for _, end := range c.ends {
			f.add(ctx, item{json: c.buf[from:end:end]})
			from = end
		}
	}
	f.send(ctx)
	if f.gaveUp == nil && f.losses.pending() > 0 {
		f.persist(ctx, nil)
	}
	return f.gaveUp
}

// add puts a trace into the batch, which it sends first if that is full.
func (f *flusher) add(ctx context.Context, it item) {
	if len(f.items) == batchTraces || f.bytes+len(it.json) > batchBytes {
		f.send(ctx)
	}
	f.items = append(f.items, it)
	f.bytes += len(it.json)
}

func (f *flusher) send(ctx context.Context) {
	if len(f.items) > 0 {
		f.persist(ctx, f.items)
	}
	clear(f.items)
	f.items, f.bytes = f.items[:0], 0
}

// persist stores a batch, and the due gap before it. It tries again for as long as
// there is hope; traces without hope are lost.
func (f *flusher) persist(ctx context.Context, items []item) {
	for delay := firstRetry; ; delay = min(2*delay, lastRetry) {
		err := f.append(ctx, items)
		if err == nil {
			f.settled(items)
			return
		}
		f.failed(len(items), err)
		if cause := noHope(ctx, err); cause != nil {
			if ctx.Err() != nil { // Close gave up: before room is made, that nobody takes it
				f.queue.shut()
			}
			f.gaveUp = cause
			f.giveUp(items, cause)
			return
		}
		if at, found := culprit(items, err); found {
			f.giveUp(items[at:at+1], err)
			if at > 0 {
				f.persist(ctx, items[:at])
			}
			if items = items[at+1:]; len(items) == 0 {
				return
			}
			continue
		}
		if len(items) > 1 && refused(err) {
			f.persist(ctx, items[:len(items)/2])
			items = items[len(items)/2:]
			continue
		}
		retry := time.NewTimer(delay)
		select {
		case <-retry.C:
		case <-ctx.Done():
			retry.Stop()
		}
	}
}

// noHope returns why no append can succeed any more, nil if one can.
func noHope(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, ErrClosed), errors.Is(err, ErrReadOnly):
		return err
	}
	return nil
}

// refused reports whether an append failed for what one of its traces is.
func refused(err error) bool {
	return errors.Is(err, ErrTooLarge) || errors.Is(err, ErrInvalidTrace)
}

// culprit returns the trace for which an append failed, if it is known.
func culprit(items []item, err error) (int, bool) {
	var conflict *ConflictError
	if errors.As(err, &conflict) {
		return conflict.Index, conflict.Index >= 0 && conflict.Index < len(items)
	}
	return 0, len(items) == 1 && refused(err)
}

func (f *flusher) append(ctx context.Context, items []item) error {
	ctx, cancel := context.WithTimeout(ctx, f.opts.AppendTimeout)
	defer cancel()
	f.entries = append(f.entries[:0], Entry{}) // room for a gap
	for _, it := range items {
		f.entries = append(f.entries, Entry{JSON: it.json})
	}
	done, err := f.appendBehindGap(ctx, f.entries)
	clear(f.entries)
	if err == nil {
		f.attempts.reached(done.Last)
	}
	return err
}

// settled notes that traces are stored.
func (f *flusher) settled(items []item) {
	for _, it := range items {
		if it.role == ended {
			f.attempts.remove(it.attempt)
		}
	}
	f.stats.stored.Add(int64(len(items)))
	f.releaseRoom(items)
}

// giveUp notes that traces are lost. An attempt whose outcome is lost stays open:
// the next Open finds it.
func (f *flusher) giveUp(items []item, err error) {
	if len(items) == 0 {
		return
	}
	f.lose(Gap{Count: int64(len(items)), Exact: true, Bytes: int64(size(items))}, f.now(), reason(err), err)
	for _, it := range items {
		if it.role == ended { // its attempt stays open in the store: the next Open finds it
			f.attempts.drop(it.attempt, true)
		}
	}
	f.releaseRoom(items)
}

func (f *flusher) releaseRoom(items []item) { f.queue.release(len(items), size(items)) }

// size returns the bytes of traces.
func size(items []item) int {
	n := 0
	for _, it := range items {
		n += len(it.json)
	}
	return n
}
