package memstore

import (
	"context"
	"errors"
	"sync"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/idmap"
)

// Options are the settings of a [Store]. The nil pointer means the defaults.
type Options struct {
	// MaxBytes bounds what is kept: the JSON of all traces and the named states,
	// in bytes. What would exceed it fails with [cts.ErrStoreFull]. The store needs
	// about 120 bytes per trace beside that. Default: 256 MiB, also for values
	// below 1.
	MaxBytes int64

	// NewID makes the id of the store, a UUID in canonical form. It is called
	// once. Default: a random UUID, version 4.
	NewID func() string
}

const defaultMaxBytes = 256 << 20

// Store is a [cts.Store], [cts.StateStore], [cts.Verifier], [cts.Follower],
// [cts.Consumers] and [cts.Retainer] in memory. Its positions are dense: 1, 2, 3 and
// so on. What Append returned is as durable as it
// can be here, so After yields it.
type Store struct {
	id       string
	maxBytes int64

	mu      sync.Mutex // guards the fields below
	closed  bool
	bytes   int64        // JSON and states held
	dropped cts.Position // the last position that retention dropped
	records []record     // those behind it; elements never change, so a copy of the slice header is a snapshot
	ids     idmap.Map    // id to position
	arena   arena        // holds the JSON of the records
	scratch []byte       // room to encode a trace that came without its JSON

	states     map[string]state
	stateBytes int64 // of bytes, those of states
	consumers  map[string]cts.Position
	grown      chan struct{} // closed when there is more to follow; nil if nobody waits

	orderMu      sync.Mutex     // guards the fields below; locked before mu
	order        []cts.Position // positions by (time, position), as far as queries needed them
	orderedAbove cts.Position   // dropped, when order was made
}

// record is one trace.
type record struct {
	time       int64
	recordTime int64
	json       []byte
}

// New returns an empty store. It needs no Close, but fails all calls after one, as
// other stores do.
func New(opts *Options) *Store {
	s := &Store{maxBytes: defaultMaxBytes, states: map[string]state{}, consumers: map[string]cts.Position{}}
	newID := uuid.NewString
	if opts != nil {
		if opts.MaxBytes > 0 {
			s.maxBytes = opts.MaxBytes
		}
		if opts.NewID != nil {
			newID = opts.NewID
		}
	}
	s.id = newID()
	return s
}

// ID returns the id that the store was made with.
func (s *Store) ID() string { return s.id }

// Close waits for appends under way and makes all later calls fail with
// [cts.ErrClosed]. Iterators under way go on over what they began with; what follows
// the log ends with that error. The error of Close is always nil.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake()
	return nil
}

// admitted reports why a call can't be served, if so. s.mu is held.
func (s *Store) admitted(ctx context.Context) error {
	if s.closed {
		return cts.ErrClosed
	}
	return ctx.Err()
}

// snapshot returns all traces stored now.
func (s *Store) snapshot(ctx context.Context) (view, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitted(ctx); err != nil {
		return view{}, err
	}
	return s.view(), nil
}

// view returns all traces stored now. s.mu is held.
func (s *Store) view() view { return view{records: s.records, dropped: s.dropped} }

// view is the traces that were stored at one moment.
type view struct {
	records []record
	dropped cts.Position // before the first
}

// last returns the last position that was given to a trace.
func (v view) last() cts.Position { return v.dropped + cts.Position(len(v.records)) }

// at returns the trace at a position that is retained.
func (v view) at(pos cts.Position) record { return v.records[pos-v.dropped-1] }

// Verify parses every trace and checks that the id map and the times agree with
// it. A trace is damaged if what was appended as its JSON was none.
func (s *Store) Verify(ctx context.Context) (cts.VerifyReport, error) {
	var report cts.VerifyReport
	v, err := s.snapshot(ctx)
	if err != nil {
		return report, err
	}
	for i, r := range v.records {
		if err := ctx.Err(); err != nil {
			return report, err
		}
		report.Bytes += int64(len(r.json))
		pos := v.dropped + cts.Position(i) + 1
		if err := s.check(pos, r); err != nil {
			report.Damaged = append(report.Damaged, damaged(pos, err))
			continue
		}
		report.Traces++
	}
	return report, nil
}

var (
	errUnreadable = errors.New("the JSON of the trace can't be read")
	errDisagrees  = errors.New("the index disagrees with the trace")
)

func (s *Store) check(at cts.Position, r record) error {
	t, err := cts.ParseTrace(r.json)
	if err != nil {
		return errUnreadable // the cause may quote the record
	}
	s.mu.Lock()
	pos, ok := s.ids.Get(t.ID)
	gone := at <= s.dropped // meanwhile
	s.mu.Unlock()
	if !gone && (!ok || pos != uint64(at)) || t.Time != r.time || t.RecordTime != r.recordTime {
		return errDisagrees
	}
	return nil
}

// damaged returns the error for the trace at a position.
func damaged(pos cts.Position, cause error) *cts.CorruptionError {
	return &cts.CorruptionError{File: "memory", First: pos, Last: pos, Err: cause}
}
