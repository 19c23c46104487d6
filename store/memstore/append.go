package memstore

import (
	"bytes"
	"context"
	"fmt"

	"github.com/cloudtraceservice/cts"
)

// Append stores one batch, see [cts.Appender]. For an entry with JSON and a UUID
// as its id it allocates nothing but room for many traces at a time. An entry with
// neither Trace nor JSON is [cts.ErrInvalidTrace].
func (s *Store) Append(ctx context.Context, batch []cts.Entry) (cts.Appended, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitted(ctx); err != nil {
		return cts.Appended{}, err
	}
	before := mark{records: len(s.records), bytes: s.bytes, arena: s.arena}
	var done cts.Appended
	size := 0
	for i := range batch {
		in, err := s.read(batch[i])
		if err == nil {
			if size += len(in.json); size > cts.MaxBatchBytes {
				err = fmt.Errorf("%w: the batch is over %d bytes of JSON", cts.ErrTooLarge, cts.MaxBatchBytes)
			}
		}
		if err == nil {
			err = s.add(in, i, &done)
		}
		if err != nil {
			s.undo(before)
			return cts.Appended{}, err
		}
	}
	if done.Existing < len(batch) {
		s.wake()
	}
	return done, nil
}

// incoming is what an append needs of an entry. The id is in one of two forms,
// whichever is there without copying it.
type incoming struct {
	id         string
	rawID      []byte // when id is ""
	time       int64
	recordTime int64
	json       []byte
}

// read finds out what an entry is and whether it may be stored. The JSON it
// returns is valid until the next call.
func (s *Store) read(e cts.Entry) (incoming, error) {
	in := incoming{json: e.JSON}
	switch {
	case e.Trace != nil:
		if err := e.Trace.Validate(); err != nil {
			return in, err
		}
		in.id, in.time, in.recordTime = e.Trace.ID, e.Trace.Time, e.Trace.RecordTime
		if len(e.JSON) == 0 {
			in.json = s.encode(e.Trace)
		}
	case len(e.JSON) > 0:
		if err := in.peek(); err != nil {
			return in, err
		}
	default:
		return in, fmt.Errorf("%w: the entry has neither Trace nor JSON", cts.ErrInvalidTrace)
	}
	if len(in.json) > cts.MaxTraceBytes {
		return in, fmt.Errorf("%w: a trace of %d bytes of JSON, at most %d", cts.ErrTooLarge, len(in.json), cts.MaxTraceBytes)
	}
	return in, nil
}

// encode returns the JSON of t, valid until the next call.
func (s *Store) encode(t *cts.Trace) []byte {
	json := t.AppendJSON(s.scratch[:0])
	if s.scratch = json; cap(json) > 2*cts.MaxTraceBytes {
		s.scratch = nil
	}
	return json
}

// add stores one trace, unless it is there already.
func (s *Store) add(in incoming, index int, done *cts.Appended) error {
	pos, existing := s.find(in)
	if existing {
		if same, err := sameTrace(s.view().at(cts.Position(pos)).json, in.json); err != nil {
			return err
		} else if !same {
			return &cts.ConflictError{Index: index, ID: in.text()}
		}
		done.Existing++
	} else {
		if s.bytes+int64(len(in.json)) > s.maxBytes {
			return fmt.Errorf("%w: at most %d bytes", cts.ErrStoreFull, s.maxBytes)
		}
		s.bytes += int64(len(in.json))
		s.records = append(s.records, record{time: in.time, recordTime: in.recordTime, json: s.arena.copy(in.json)})
		pos = uint64(s.view().last())
		s.enter(in, pos)
	}
	if at := cts.Position(pos); done.First == 0 {
		done.First, done.Last = at, at
	} else {
		done.First, done.Last = min(done.First, at), max(done.Last, at)
	}
	return nil
}

// sameTrace reports whether two JSON texts are one trace but for what a Tracker
// stamps on it.
func sameTrace(a, b []byte) (bool, error) {
	if bytes.Equal(a, b) {
		return true, nil
	}
	stored, err := cts.ParseTrace(a)
	if err != nil {
		return false, nil //nolint:nilerr // what is stored can't be read, so it is another trace
	}
	offered, err := cts.ParseTrace(b)
	if err != nil {
		return false, err
	}
	return bytes.Equal(stored.AppendContent(nil), offered.AppendContent(nil)), nil
}

// mark is how far the store had got before a batch.
type mark struct {
	records int
	bytes   int64
	arena   arena
}

// undo removes what was added since m. Nobody has seen it: s.mu was held.
func (s *Store) undo(m mark) {
	for _, r := range s.records[m.records:] {
		if id, _, _, err := cts.PeekJSON(r.json); err == nil {
			s.ids.Delete(id)
		}
	}
	clear(s.records[m.records:])
	s.records, s.bytes, s.arena = s.records[:m.records], m.bytes, m.arena
}

func (s *Store) find(in incoming) (pos uint64, ok bool) {
	if in.id != "" {
		return s.ids.Get(in.id)
	}
	return s.ids.GetBytes(in.rawID)
}

func (s *Store) enter(in incoming, pos uint64) {
	if in.id != "" {
		s.ids.Put(in.id, pos)
		return
	}
	s.ids.PutBytes(in.rawID, pos)
}

func (in incoming) text() string {
	if in.id != "" {
		return in.id
	}
	return string(in.rawID)
}

// arena copies byte slices into chunks, so that a thousand traces are one
// allocation.
type arena struct {
	chunk []byte
}

const (
	firstChunk = 64 << 10
	chunkBytes = 1 << 20
)

// copy returns a copy of b.
func (a *arena) copy(b []byte) []byte {
	if len(b) > cap(a.chunk)-len(a.chunk) {
		if len(b) > chunkBytes/8 {
			return bytes.Clone(b)
		}
		size := min(max(firstChunk, 2*cap(a.chunk)), chunkBytes)
		a.chunk = make([]byte, 0, max(size, len(b)))
	}
	n := len(a.chunk)
	a.chunk = append(a.chunk, b...)
	return a.chunk[n:len(a.chunk):len(a.chunk)]
}
