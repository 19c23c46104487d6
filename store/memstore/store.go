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

// Store is a [cts.Store], [cts.StateStore] and [cts.Verifier] in memory. Its
// positions are dense: 1, 2, 3 and so on. What Append returned is as durable as it
// can be here, so After yields it.
type Store struct {
	id       string
	maxBytes int64

	mu      sync.Mutex // guards the fields below
	closed  bool
	bytes   int64     // JSON and states held
	records []record  // index + 1 is the position; elements never change, so a copy of the slice header is a snapshot
	ids     idmap.Map // id to position
	arena   arena     // holds the JSON of the records
	scratch []byte    // room to encode a trace that came without its JSON
	states  map[string]state

	orderMu sync.Mutex // guards order; locked before mu
	order   []int      // indices of records by (time, position), as far as queries needed them
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
	s := &Store{maxBytes: defaultMaxBytes, states: map[string]state{}}
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
// [cts.ErrClosed]. Iterators under way go on over what they began with. The error
// is always nil.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
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
func (s *Store) snapshot(ctx context.Context) ([]record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitted(ctx); err != nil {
		return nil, err
	}
	return s.records, nil
}

// Verify parses every trace and checks that the id map and the times agree with
// it. A trace is damaged if what was appended as its JSON was none.
func (s *Store) Verify(ctx context.Context) (cts.VerifyReport, error) {
	var report cts.VerifyReport
	records, err := s.snapshot(ctx)
	if err != nil {
		return report, err
	}
	for i, r := range records {
		if err := ctx.Err(); err != nil {
			return report, err
		}
		report.Bytes += int64(len(r.json))
		if err := s.check(i, r); err != nil {
			report.Damaged = append(report.Damaged, damaged(i, err))
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

func (s *Store) check(i int, r record) error {
	t, err := cts.ParseTrace(r.json)
	if err != nil {
		return errUnreadable // the cause may quote the record
	}
	s.mu.Lock()
	pos, ok := s.ids.Get(t.ID)
	s.mu.Unlock()
	if !ok || pos != uint64(position(i)) || t.Time != r.time || t.RecordTime != r.recordTime {
		return errDisagrees
	}
	return nil
}

// position returns the position of the record with the given index.
func position(i int) cts.Position { return cts.Position(i) + 1 }

// damaged returns the error for the record with the given index.
func damaged(i int, cause error) *cts.CorruptionError {
	return &cts.CorruptionError{File: "memory", First: position(i), Last: position(i), Err: cause}
}
