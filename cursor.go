package cts

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

// Scan is one run of a query inside a store: where it begins, where it must not go,
// and the cursors of what it yields. It is what a [Reader] needs besides
// [Query.Match].
type Scan struct {
	Ceiling Position // the last position that the run may yield

	order   Order
	query   Query
	storeID string
	bound   sync.Once
	binding [32]byte // hash of the query and the store, made when a cursor is read or made
	resumed bool
	time    int64 // of the trace that the cursor stands behind
	pos     Position
}

// Scan begins a run of q in the store with the given id, whose last visible
// position is last. It fails with [ErrBadQuery], or with [ErrBadCursor] for a
// cursor that belongs elsewhere.
func (q Query) Scan(storeID string, last Position) (*Scan, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	s := &Scan{Ceiling: last, order: q.Order, query: q, storeID: storeID}
	if q.Cursor == "" {
		return s, nil
	}
	if err := s.resume(q.Cursor); err != nil {
		return nil, err
	}
	if s.Ceiling > last {
		return nil, fmt.Errorf("%w: it was made when the store reached to position %d, now it ends at %d", ErrBadCursor, s.Ceiling, last)
	}
	return s, nil
}

// Start returns the place behind which the run begins, in its order, and whether
// there is one: a run without a cursor begins at the first trace.
func (s *Scan) Start() (time int64, pos Position, ok bool) { return s.time, s.pos, s.resumed }

// Includes reports whether the run may yield a trace with this time and position:
// it is not behind the ceiling, and behind the cursor.
func (s *Scan) Includes(time int64, pos Position) bool {
	if pos > s.Ceiling {
		return false
	}
	if !s.resumed {
		return true
	}
	if time != s.time {
		return (time > s.time) == (s.order == Oldest)
	}
	return pos != s.pos && (pos > s.pos) == (s.order == Oldest)
}

// Entry returns what the run yields for a trace. A store that drops the bodies for
// [Query.HeadsOnly] passes t without them. The JSON may be nil if it is what
// [Trace.AppendJSON] writes for t.
func (s *Scan) Entry(pos Position, t *Trace, json []byte) Entry {
	return Entry{Position: pos, Trace: t, JSON: json, scan: s}
}

// A cursor is base64url, without padding, of 33 bytes:
//
//	0   1 byte   version, 1
//	1   8 bytes  ceiling, big endian like all numbers here
//	9   8 bytes  time of the last trace that was yielded
//	17  8 bytes  its position
//	25  8 bytes  first bytes of SHA-256 over the query's and store's hash and the 25 bytes before
const (
	cursorVersion = 1
	cursorBody    = 25
	cursorBytes   = 33
)

func (s *Scan) cursor(time int64, pos Position) string {
	b := make([]byte, 0, cursorBytes)
	b = append(b, cursorVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(s.Ceiling))
	b = binary.BigEndian.AppendUint64(b, uint64(time))
	b = binary.BigEndian.AppendUint64(b, uint64(pos))
	sum := s.cursorSum(b)
	return base64.RawURLEncoding.EncodeToString(append(b, sum[:]...))
}

func (s *Scan) cursorSum(body []byte) (sum [cursorBytes - cursorBody]byte) {
	s.bound.Do(func() {
		s.binding = sha256.Sum256(s.query.appendIdentity(append([]byte(s.storeID), 0)))
	})
	full := sha256.Sum256(append(s.binding[:], body...))
	copy(sum[:], full[:])
	return sum
}

func (s *Scan) resume(cursor string) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) != cursorBytes || len(cursor) != base64.RawURLEncoding.EncodedLen(cursorBytes) { // the decoder passes over line breaks
		return fmt.Errorf("%w: it is not a cursor", ErrBadCursor)
	}
	if b[0] != cursorVersion {
		return fmt.Errorf("%w: version %d, this release reads %d", ErrBadCursor, b[0], cursorVersion)
	}
	if [cursorBytes - cursorBody]byte(b[cursorBody:]) != s.cursorSum(b[:cursorBody]) {
		return fmt.Errorf("%w: it was made by another query or store", ErrBadCursor)
	}
	s.Ceiling = Position(binary.BigEndian.Uint64(b[1:]))
	s.time = int64(binary.BigEndian.Uint64(b[9:]))
	s.pos = Position(binary.BigEndian.Uint64(b[17:]))
	s.resumed = true
	return nil
}

// damages collects the corruption that an iterator yields between traces.
type damages struct {
	errs []error
	more int
}

// add takes err if it is damage that the iterator goes on past.
func (d *damages) add(err error) bool {
	var damage *CorruptionError
	if !errors.As(err, &damage) {
		return false
	}
	if len(d.errs) < 100 {
		d.errs = append(d.errs, err)
	} else {
		d.more++
	}
	return true
}

// merge takes what another has collected.
func (d *damages) merge(other *damages) {
	for _, err := range other.errs {
		d.add(err)
	}
	d.more += other.more
}

func (d *damages) err() error {
	if d.more > 0 {
		d.errs = append(d.errs, fmt.Errorf("%w: %d damaged places more", ErrCorrupt, d.more))
	}
	return errors.Join(d.errs...)
}
