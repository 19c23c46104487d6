package filestore

import (
	"bytes"
	"fmt"
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
	done    chan outcome

	// Set by the committer.
	frame    []item // the items that are not stored yet, as they stand in payload
	appended cts.Appended
	leans    bool // on traces of the same commit
}

// item is one trace of a batch.
type item struct {
	id           string
	time, record int64
	start, end   int // of its record in payload
	json         int // where in payload its JSON begins
}

// outcome is what becomes of a batch.
type outcome struct {
	appended cts.Appended
	err      error
}

func (b *batch) text(it item) []byte { return b.payload[it.json:it.end] }

// scratch holds room to encode a trace that came without its JSON.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// newBatch validates and encodes what Append was given. It keeps none of it.
func newBatch(entries []cts.Entry) (*batch, error) {
	size, total := 0, 0
	for i := range entries {
		size += len(entries[i].JSON) + wal.RecordOverhead
	}
	b := &batch{payload: make([]byte, 0, size), items: make([]item, 0, len(entries))}
	room, _ := scratch.Get().(*[]byte)
	defer scratch.Put(room)
	for i := range entries {
		json, it, err := encode(entries[i], room)
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
	b.done = make(chan outcome, 1)
	return b, nil
}

// encode returns the JSON of an entry, which may be in room, and what the index
// needs to know of it.
func encode(e cts.Entry, room *[]byte) (json []byte, it item, err error) {
	json = e.JSON
	switch {
	case e.Trace != nil:
		if err := e.Trace.Validate(); err != nil {
			return nil, it, err
		}
		it = item{id: e.Trace.ID, time: e.Trace.Time, record: e.Trace.RecordTime}
		if len(json) == 0 {
			json = e.Trace.AppendJSON((*room)[:0])
			if cap(json) <= cts.MaxTraceBytes {
				*room = json[:0]
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
