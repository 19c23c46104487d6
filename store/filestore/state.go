package filestore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
)

const (
	stateMagic   = "ctsstate"
	stateVersion = 1
	stateHeader  = 32
	stateSuffix  = ".state"
)

// stateText returns the content of a state file:
//
//	0   8  "ctsstate"
//	8   4  format version; this and all numbers are little endian
//	12  4  CRC-32C of store id, name, bytes 16 to 31 and the data
//	16  8  generation
//	24  8  length of the data
//	32  …  the data
func stateText(id uuid.UUID, name string, data []byte, generation uint64) []byte {
	b := make([]byte, 0, stateHeader+len(data))
	b = append(b, stateMagic...)
	b = binary.LittleEndian.AppendUint32(b, stateVersion)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, generation)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	b = append(b, data...)
	binary.LittleEndian.PutUint32(b[12:], stateSum(b, id, name))
	return b
}

func stateSum(b []byte, id uuid.UUID, name string) uint32 {
	return crc32c(bytes.Join([][]byte{id[:], []byte(name), b[16:]}, nil))
}

var errState = errors.New("the state is damaged; remove the file to begin without it")

// parseState reads the content of a state file. The data is part of b.
func parseState(b []byte, id uuid.UUID, name string) (data []byte, generation uint64, err error) {
	if len(b) < stateHeader || string(b[:8]) != stateMagic {
		return nil, 0, errState
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v > stateVersion {
		return nil, 0, fmt.Errorf("%w: state %q has version %d, this release reads %d; use a newer release", cts.ErrVersion, name, v, stateVersion)
	}
	generation = binary.LittleEndian.Uint64(b[16:])
	data = b[stateHeader:]
	if binary.LittleEndian.Uint32(b[8:]) != stateVersion || binary.LittleEndian.Uint32(b[12:]) != stateSum(b, id, name) ||
		binary.LittleEndian.Uint64(b[24:]) != uint64(len(data)) || generation == 0 {
		return nil, 0, errState
	}
	return data, generation, nil
}

// stateFiles are the named states of a store.
type stateFiles struct {
	dir directory
	id  uuid.UUID

	mu sync.Mutex
	// unsettled names the states whose new content is seen and may not be
	// durable, because the sync of the folder failed: it is written once more
	// before anybody builds on it.
	unsettled map[string]bool
}

// stateFile returns the name of a state's file. Its suffix keeps a name that ends
// with a dot, which Windows drops.
func stateFile(name string) string { return stateName + "/" + name + stateSuffix }

// load reads a state; mu is held.
func (s *stateFiles) load(name string) (data []byte, generation uint64, err error) {
	file := stateFile(name)
	b, err := vfs.ReadFile(s.dir.fs, s.dir.path(file), stateHeader+cts.MaxStateBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, nil
	case errors.Is(err, vfs.ErrTooLarge):
		return nil, 0, &cts.CorruptionError{File: file, Err: err}
	case err != nil:
		return nil, 0, fmt.Errorf("filestore: %w", err)
	}
	data, generation, err = parseState(b, s.id, name)
	if errors.Is(err, errState) {
		return nil, 0, &cts.CorruptionError{File: file, Err: err}
	}
	if err == nil && s.unsettled[name] {
		err = s.write(name, b)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("filestore: state %q: %w", name, err)
	}
	return data, generation, nil
}

// write writes the content of a state's file; mu is held.
func (s *stateFiles) write(name string, content []byte) error {
	if s.unsettled == nil {
		s.unsettled = map[string]bool{}
	}
	s.unsettled[name] = true
	if err := vfs.WriteFileAtomic(s.dir.fs, s.dir.path(stateFile(name)), content, filePerm); err != nil {
		return err
	}
	delete(s.unsettled, name)
	return nil
}

// holds reports whether the file of a state has the content, after a write that
// failed. When it is certain that it has not, the old state is settled again.
func (s *stateFiles) holds(name string, content []byte) bool {
	b, err := vfs.ReadFile(s.dir.fs, s.dir.path(stateFile(name)), stateHeader+cts.MaxStateBytes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || bytes.Equal(b, content) {
		return true
	}
	delete(s.unsettled, name)
	return false
}

// LoadState returns a named state, see [cts.StateStore]. The data is the caller's.
// A damaged file is a [*cts.CorruptionError]; it stays until somebody removes it.
func (s *Store) LoadState(ctx context.Context, name string) (data []byte, generation uint64, err error) {
	if err := s.stateCall(ctx, name); err != nil {
		return nil, 0, err
	}
	s.states.mu.Lock()
	defer s.states.mu.Unlock()
	if s.closed.Load() {
		return nil, 0, cts.ErrClosed
	}
	return s.states.load(name)
}

// SaveState replaces a named state durably, see [cts.StateStore]. After an error
// other than [cts.ErrStateConflict] the old state stands, unless it is
// [cts.ErrOutcomeUnknown]; load it again to know.
func (s *Store) SaveState(ctx context.Context, name string, data []byte, generation uint64) (uint64, error) {
	if err := s.stateCall(ctx, name); err != nil {
		return 0, err
	}
	if s.follower != nil {
		return 0, cts.ErrReadOnly
	}
	if len(data) > cts.MaxStateBytes {
		return 0, fmt.Errorf("filestore: %w: state %q has %d bytes, at most %d", cts.ErrTooLarge, name, len(data), cts.MaxStateBytes)
	}
	if s.opts.Sync != SyncCommit { // a state must not outlive the traces that it speaks of
		if err := s.Sync(ctx); err != nil {
			return 0, err
		}
	}
	s.states.mu.Lock()
	defer s.states.mu.Unlock()
	if s.closed.Load() { // the lock may be given back already
		return 0, cts.ErrClosed
	}
	_, current, err := s.states.load(name)
	if err != nil {
		return 0, err
	}
	if generation != current {
		return 0, fmt.Errorf("filestore: %w: state %q has generation %d, not %d", cts.ErrStateConflict, name, current, generation)
	}
	content := stateText(s.uuid, name, data, generation+1)
	err = s.states.write(name, content)
	switch {
	case err == nil:
		return generation + 1, nil
	case s.states.holds(name, content):
		return 0, fmt.Errorf("filestore: state %q: %w: %w", name, cts.ErrOutcomeUnknown, storeFull(err))
	}
	return 0, fmt.Errorf("filestore: state %q: %w", name, storeFull(err))
}

// stateCall checks what every call on states must.
func (s *Store) stateCall(ctx context.Context, name string) error {
	if s.closed.Load() {
		return cts.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := cts.CheckStateName(name); err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	return nil
}
