package filestore

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// batch is one Append on its way to the log, encoded in memory of its own.
type batch struct {
	payload []byte // the records, one behind the other
	items   []item
	sum     uint32 // checksum of payload
	size    int64  // bytes of payload when it was admitted
	flush   bool   // an empty batch that asks for a sync
	rotate  bool   // one that asks for a new log file besides
	done    chan outcome

	// Set by the committer.
	frame []item       // the items that are not stored yet, as they stand in payload
	first cts.Position // of the frame
	known cts.Appended // the items that are stored already
	leans bool         // on traces that were not published yet, also to be refused
	err   error
}

// item is one trace of a batch.
type item struct {
	id           string
	time, record int64
	start, end   int          // of its record in payload
	json         int          // where in payload its JSON begins
	sifted       cts.Position // no segment has the id below it, see sift
	marks        marks
}

// outcome is what becomes of a batch.
type outcome struct {
	appended cts.Appended
	err      error
}

func (b *batch) text(it item) []byte { return b.payload[it.json:it.end] }

// scratch holds room to encode a trace that came without its JSON.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// answer gives the batch back to its Append, whose own it is from now on.
func (b *batch) answer() {
	if b.err != nil {
		b.done <- outcome{err: b.err}
		return
	}
	a := b.known
	if n := cts.Position(len(b.frame)); n > 0 {
		if a.First == 0 {
			a.First = b.first
		}
		a.First, a.Last = min(a.First, b.first), max(a.Last, b.first+n-1)
	}
	b.done <- outcome{appended: a}
}

// batchPool holds batches that are done. Every store has its own: a channel can't be
// shared by the bubbles of testing/synctest.
type batchPool struct{ pool sync.Pool }

func (p *batchPool) get() *batch {
	if b, ok := p.pool.Get().(*batch); ok {
		return b
	}
	return &batch{done: make(chan outcome, 1)}
}

// maxRoom bounds the memory that is kept for later batches.
const maxRoom = 64 << 10

// put takes back a batch that was answered.
func (p *batchPool) put(b *batch) {
	if cap(b.payload) > maxRoom || cap(b.items) > maxRoom/64 {
		return
	}
	clear(b.items)
	*b = batch{payload: b.payload[:0], items: b.items[:0], done: b.done}
	p.pool.Put(b)
}

// newBatch validates and encodes what Append was given. It keeps none of it.
func (p *batchPool) newBatch(entries []cts.Entry) (*batch, error) {
	size, total := 0, 0
	for i := range entries {
		size += len(entries[i].JSON) + wal.RecordOverhead
	}
	b := p.get()
	b.payload = slices.Grow(b.payload, size)
	b.items = slices.Grow(b.items, len(entries))
	space, _ := scratch.Get().(*[]byte)
	defer scratch.Put(space)
	for i := range entries {
		json, it, err := encode(entries[i], space)
		if err != nil {
			return nil, err
		}
		if total += len(json); total > cts.MaxBatchBytes {
			return nil, fmt.Errorf("filestore: %w: the batch has more than %d bytes of JSON", cts.ErrTooLarge, cts.MaxBatchBytes)
		}
		it.start = len(b.payload)
		b.payload = wal.AppendRecord(b.payload, json)
		it.end = len(b.payload)
		it.json = it.end - len(json)
		b.items = append(b.items, it)
	}
	b.sum, b.size = wal.Checksum(b.payload), int64(len(b.payload))
	return b, nil
}

// encode returns the JSON of an entry, which may be in space, and what the index
// needs to know of it.
func encode(e cts.Entry, space *[]byte) (json []byte, it item, err error) {
	json = e.JSON
	switch {
	case e.Trace != nil:
		if err := e.Trace.Validate(); err != nil {
			return nil, it, err
		}
		it = item{id: e.Trace.ID, time: e.Trace.Time, record: e.Trace.RecordTime}
		it.marks.of(e.Trace)
		if len(json) == 0 {
			json = e.Trace.AppendJSON((*space)[:0])
			if cap(json) <= cts.MaxTraceBytes {
				*space = json[:0]
			}
		}
	case len(json) > 0:
		if it.id, it.time, it.record, err = cts.PeekJSON(json); err != nil {
			return nil, it, err
		}
		if err := (&cts.Trace{ID: it.id, Name: "-", Time: it.time, RecordTime: it.record}).Validate(); err != nil {
			return nil, it, err
		}
	default:
		return nil, it, fmt.Errorf("filestore: %w: the entry has neither Trace nor JSON", cts.ErrInvalidTrace)
	}
	if len(json) > cts.MaxTraceBytes {
		return nil, it, fmt.Errorf("filestore: %w: a trace has %d bytes of JSON, at most %d", cts.ErrTooLarge, len(json), cts.MaxTraceBytes)
	}
	return json, it, nil
}

// compact removes the records that are not in the frame from the payload.
func (b *batch) compact() {
	if len(b.frame) == len(b.items) {
		return
	}
	payload := make([]byte, 0, len(b.payload))
	for i, it := range b.frame {
		shift := len(payload) - it.start
		payload = append(payload, b.payload[it.start:it.end]...)
		it.start, it.json, it.end = it.start+shift, it.json+shift, it.end+shift
		b.frame[i] = it
	}
	b.payload, b.sum = payload, wal.Checksum(payload)
}

// sameTrace reports whether two JSON texts are one trace but for what a Tracker
// stamps on it.
func sameTrace(stored, offered []byte) (bool, error) {
	if bytes.Equal(stored, offered) {
		return true, nil
	}
	a, err := cts.ParseTrace(stored)
	if err != nil {
		return false, nil //nolint:nilerr // what is stored can't be read, so it is another trace
	}
	b, err := cts.ParseTrace(offered)
	if err != nil {
		return false, err
	}
	return bytes.Equal(a.AppendContent(nil), b.AppendContent(nil)), nil
}
