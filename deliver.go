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
	if !ok {
		t.lose(1, len(w.json), w.trace.RecordTime, "queue full", ErrBackpressure)
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
	t.lose(1, len(w.json), w.trace.RecordTime, reason(err), err)
	return Receipt{}, err
}

// appendNow appends a trace durably and returns its position. What became of it
// after an error is the caller's to note; a gap that went with it is noted here.
func (t *Tracker) appendNow(ctx context.Context, w *work) (Position, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.opts.AppendTimeout)
	defer cancel()
	batch := w.entries[:0]
	gap, gapJSON := t.dueGap(w.trace.RecordTime)
	if gapJSON != nil {
		batch = append(batch, Entry{JSON: gapJSON})
	}
	batch = append(batch, Entry{Trace: &w.trace, JSON: w.json})
	done, err := t.store.Append(ctx, batch)
	if err == nil {
		t.stats.declare(gap.Count)
		if t.attempts.reached(done.Last) {
			t.queue.signal() // for the flusher to move the low mark
		}
		return done.Last, nil
	}
	if gapJSON != nil {
		if errors.Is(err, ErrOutcomeUnknown) {
			t.stats.declare(gap.Count)
			t.queue.putReserved(item{json: gapJSON, role: own})
		} else {
			t.losses.putBack(gap)
		}
	}
	t.failed(len(batch), err)
	return 0, fmt.Errorf("cts: recording %s: %w", w.trace.Name, err)
}

// settle keeps a trace of which it is not known whether the store has it. It is
// appended again, under the same id, until that is known.
func (t *Tracker) settle(json []byte) {
	if _, waiting := t.queue.size(); waiting+len(json) > t.opts.QueueBytes {
		t.lose(1, len(json), t.now(), "outcome of the append unknown and the queue full", ErrOutcomeUnknown)
		return
	}
	t.queue.putReserved(item{json: bytes.Clone(json)})
}

// dueGap returns the gap trace that is due, nil if none is.
func (t *Tracker) dueGap(ms int64) (Gap, []byte) {
	gap, due := t.losses.take()
	if !due {
		return Gap{}, nil
	}
	id, err := t.ids.next(ms)
	if err != nil { // no randomness now: next time
		t.losses.putBack(gap)
		return Gap{}, nil
	}
	tr := t.gapTrace(id, gap, ms)
	return gap, tr.AppendJSON(nil)
}

func (t *Tracker) now() int64 { return t.opts.Clock().UnixMilli() }

func (t *Tracker) lose(count, bytes int, at int64, reason string, err error) {
	t.losses.add(int64(count), int64(bytes), at, reason)
	if f := t.opts.Events.Lost; f != nil {
		f(LostInfo{Count: int64(count), Bytes: int64(bytes), Reason: reason, Err: err})
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

// flush is the Tracker's one goroutine: it stores what is in the queue.
func (t *Tracker) flush(ctx context.Context) {
	defer close(t.stopped)
	f := flusher{Tracker: t}
	for {
		select {
		case <-t.queue.wake:
		case <-ctx.Done():
			return
		}
		l := t.queue.take()
		f.load(ctx, l)
		t.queue.finish(l)
		t.saveLowMark(ctx)
	}
}

// flusher holds the memory of batches under way.
type flusher struct {
	*Tracker
	items   []item
	entries []Entry
	bytes   int
	gap     Gap // what the fresh gap trace in items declares
}

// load stores one load: the due gap first, then what had room reserved, then the
// rest in order.
func (f *flusher) load(ctx context.Context, l load) {
	if gap, json := f.dueGap(f.now()); json != nil {
		f.gap = gap
		f.add(ctx, item{json: json, role: freshGap})
	}
	for _, it := range l.reserved {
		f.add(ctx, it)
	}
	from := 0
	for _, end := range l.ends {
		f.add(ctx, item{json: l.buf[from:end:end]})
		from = end
	}
	f.send(ctx)
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
	f.persist(ctx, f.items)
	clear(f.items)
	f.items, f.bytes = f.items[:0], 0
}

// persist stores a batch. It tries again for as long as there is hope; traces
// without hope are lost.
func (f *flusher) persist(ctx context.Context, items []item) {
	for delay := firstRetry; len(items) > 0; delay = min(2*delay, lastRetry) {
		err := f.append(ctx, items)
		if err == nil {
			f.settled(items)
			return
		}
		f.failed(len(items), err)
		var conflict *ConflictError
		switch {
		case ctx.Err() != nil:
			f.giveUp(items, context.Cause(ctx))
			return
		case errors.Is(err, ErrClosed), errors.Is(err, ErrReadOnly):
			f.giveUp(items, err)
			return
		case errors.As(err, &conflict) && conflict.Index >= 0 && conflict.Index < len(items):
			f.giveUp(items[conflict.Index:conflict.Index+1], err)
			f.persist(ctx, items[:conflict.Index])
			items = items[conflict.Index+1:]
			continue
		case errors.Is(err, ErrTooLarge), errors.Is(err, ErrInvalidTrace):
			if len(items) == 1 {
				f.giveUp(items, err)
				return
			}
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

func (f *flusher) append(ctx context.Context, items []item) error {
	f.entries = f.entries[:0]
	for _, it := range items {
		f.entries = append(f.entries, Entry{JSON: it.json})
	}
	done, err := f.store.Append(ctx, f.entries)
	clear(f.entries)
	if err == nil {
		f.attempts.reached(done.Last)
	}
	return err
}

// settled notes that traces are stored.
func (f *flusher) settled(items []item) {
	for _, it := range items {
		switch it.role {
		case freshGap:
			f.stats.declare(f.gap.Count)
			f.gap = Gap{}
		case ended:
			f.attempts.remove(it.attempt)
			f.stats.stored.Add(1)
		case offered:
			f.stats.stored.Add(1)
		}
	}
	f.releaseRoom(items)
}

// giveUp notes that traces are lost.
func (f *flusher) giveUp(items []item, err error) {
	lost, size := 0, 0
	for _, it := range items {
		switch it.role {
		case freshGap:
			f.losses.putBack(f.gap)
			f.gap = Gap{}
			continue
		case own:
			continue
		case ended, offered: // an attempt whose outcome is lost stays open: the next Open finds it
		}
		lost++
		size += len(it.json)
	}
	if lost > 0 {
		f.lose(lost, size, f.now(), reason(err), err)
	}
	f.releaseRoom(items)
}

func (f *flusher) releaseRoom(items []item) {
	traces, size := 0, 0
	for _, it := range items {
		if it.role != freshGap {
			traces++
			size += len(it.json)
		}
	}
	f.queue.release(traces, size)
}
