package memstore

import (
	"context"
	"maps"
	"slices"

	"github.com/cloudtraceservice/cts"
)

// SetConsumer registers a consumer or moves it, see [cts.Consumers].
func (s *Store) SetConsumer(ctx context.Context, name string, pos cts.Position) error {
	if err := cts.CheckStateName(name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitted(ctx); err != nil {
		return err
	}
	s.consumers[name] = pos
	return nil
}

// RemoveConsumer removes a consumer, if it is there.
func (s *Store) RemoveConsumer(ctx context.Context, name string) error {
	if err := cts.CheckStateName(name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitted(ctx); err != nil {
		return err
	}
	delete(s.consumers, name)
	return nil
}

// Consumers returns the position of each consumer.
func (s *Store) Consumers(ctx context.Context) (map[string]cts.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitted(ctx); err != nil {
		return nil, err
	}
	return maps.Clone(s.consumers), nil
}

// Retain drops the oldest traces, see [cts.Retainer]. Its unit is one trace, and its
// bytes are those of the JSON; named states do not count. Iterators under way go on
// over what they began with.
func (s *Store) Retain(ctx context.Context, r cts.Retention) (cts.Retained, error) {
	if err := r.Validate(); err != nil {
		return cts.Retained{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitted(ctx); err != nil {
		return cts.Retained{}, err
	}
	var done cts.Retained
	due := s.due(r)
	names := slices.Sorted(maps.Keys(s.consumers))
	if at, name := s.hindmost(names); !r.Force && name != "" && max(at, s.dropped) < due {
		due, done.HeldBy = max(at, s.dropped), name
	}
	for _, name := range names {
		if at := max(s.consumers[name], s.dropped); at < due {
			done.Lost = append(done.Lost, cts.Loss{Consumer: name, First: at + 1, Last: due, Traces: int64(due - at)})
		}
	}
	done.Traces, done.Bytes = s.drop(due)
	done.Oldest = s.dropped + 1
	return done, nil
}

// hindmost returns the consumer with the lowest position, "" if there is none.
func (s *Store) hindmost(names []string) (at cts.Position, name string) {
	for _, n := range names {
		if pos := s.consumers[n]; name == "" || pos < at {
			at, name = pos, n
		}
	}
	return at, name
}

// due returns the last position that need not be kept, whoever has not passed it.
func (s *Store) due(r cts.Retention) cts.Position {
	n := 0
	bytes := s.bytes - s.stateBytes
	for _, rec := range s.records {
		if rec.recordTime >= r.Before && (r.MaxBytes == 0 || bytes <= r.MaxBytes) {
			break
		}
		bytes -= int64(len(rec.json))
		n++
	}
	return s.dropped + cts.Position(n)
}

// drop drops the traces up to a position and returns how many they were.
func (s *Store) drop(to cts.Position) (traces, bytes int64) {
	n := int(to - s.dropped)
	if n == 0 {
		return 0, 0
	}
	for _, rec := range s.records[:n] {
		bytes += int64(len(rec.json))
		if id, _, _, err := cts.PeekJSON(rec.json); err == nil {
			s.ids.Delete(id)
		}
	}
	s.records = slices.Clone(s.records[n:]) // the room of the others is free when no iterator has them
	s.bytes -= bytes
	s.dropped = to
	return int64(n), bytes
}
