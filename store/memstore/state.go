package memstore

import (
	"bytes"
	"context"
	"fmt"

	"github.com/cloudtraceservice/cts"
)

// state is one named state.
type state struct {
	data       []byte
	generation uint64
}

// LoadState returns a named state, see [cts.StateStore]. The data is the caller's.
func (s *Store) LoadState(ctx context.Context, name string) (data []byte, generation uint64, err error) {
	if err := cts.CheckStateName(name); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitted(ctx); err != nil {
		return nil, 0, err
	}
	st := s.states[name]
	return bytes.Clone(st.data), st.generation, nil
}

// SaveState replaces a named state, see [cts.StateStore]. It copies data. States
// count towards [Options.MaxBytes].
func (s *Store) SaveState(ctx context.Context, name string, data []byte, generation uint64) (uint64, error) {
	if err := cts.CheckStateName(name); err != nil {
		return 0, err
	}
	if len(data) > cts.MaxStateBytes {
		return 0, fmt.Errorf("%w: state %q has %d bytes, at most %d", cts.ErrTooLarge, name, len(data), cts.MaxStateBytes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitted(ctx); err != nil {
		return 0, err
	}
	old := s.states[name]
	if generation != old.generation {
		return 0, fmt.Errorf("%w: state %q has generation %d, not %d", cts.ErrStateConflict, name, old.generation, generation)
	}
	growth := int64(len(data) - len(old.data))
	if old.generation == 0 {
		growth += int64(len(name))
	}
	if growth > 0 && s.bytes+growth > s.maxBytes {
		return 0, fmt.Errorf("%w: at most %d bytes", cts.ErrStoreFull, s.maxBytes)
	}
	s.bytes += growth
	s.stateBytes += growth
	s.states[name] = state{data: append([]byte{}, data...), generation: generation + 1}
	return generation + 1, nil
}
