package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
)

const (
	consumersName = "CONSUMERS"
	consumersHead = "cts consumers"
	maxConsumers  = 1 << 20 // bytes of the file
)

// consumers keeps the file CONSUMERS.
type consumers struct{ mu sync.Mutex }

// consumersText returns the content of CONSUMERS:
//
//	cts consumers
//	version 1
//	store 01907a3c-5b1e-7c40-8a51-2f0e6d9c4b17
//	consumer dumper 4711
//	crc32c 0f1e2d3c
//
// with a line for each consumer, in order of their names. The last line is the CRC-32C
// of the lines before.
func consumersText(store string, positions map[string]cts.Position) []byte {
	b := fmt.Appendf(nil, "%s\nversion %d\nstore %s\n", consumersHead, formatVersion, store)
	for _, name := range slices.Sorted(maps.Keys(positions)) {
		b = fmt.Appendf(b, "consumer %s %d\n", name, positions[name])
	}
	return fmt.Appendf(b, "crc32c %08x\n", crc32c(b))
}

// parseConsumers reads the content of CONSUMERS.
func parseConsumers(b []byte, store string) (map[string]cts.Position, error) {
	at := strings.LastIndex(string(b), "crc32c ")
	if at < 0 || string(b[at:]) != fmt.Sprintf("crc32c %08x\n", crc32c(b[:at])) {
		return nil, errors.New("its checksum is wrong")
	}
	lines := strings.Split(strings.TrimSuffix(string(b[:at]), "\n"), "\n")
	if len(lines) < 3 || lines[0] != consumersHead || lines[2] != "store "+store {
		return nil, errors.New("it is not the list of this store's consumers")
	}
	if version, err := number(lines[1], "version "); err != nil || version > formatVersion {
		return nil, errors.Join(err, fmt.Errorf("%w: the consumers have version %d, this release knows %d", cts.ErrVersion, version, formatVersion))
	}
	positions := map[string]cts.Position{}
	for _, line := range lines[3:] {
		words := strings.Split(line, " ")
		if len(words) != 3 || words[0] != "consumer" || cts.CheckStateName(words[1]) != nil {
			return nil, errors.New("it has a line that is not known")
		}
		pos, err := strconv.ParseUint(words[2], 10, 64)
		if err != nil {
			return nil, errors.New("a consumer has a position that can't be read")
		}
		positions[words[1]] = cts.Position(pos)
	}
	return positions, nil
}

func (s *Store) readConsumers() (map[string]cts.Position, error) {
	b, err := vfs.ReadFile(s.dir.fs, s.dir.path(consumersName), maxConsumers)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return map[string]cts.Position{}, nil
	case errors.Is(err, vfs.ErrTooLarge):
		return nil, &cts.CorruptionError{File: consumersName, Err: err}
	case err != nil:
		return nil, fmt.Errorf("filestore: %w", err)
	}
	positions, err := parseConsumers(b, s.ID())
	if errors.Is(err, cts.ErrVersion) {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	if err != nil {
		return nil, &cts.CorruptionError{File: consumersName, Err: fmt.Errorf(
			"%w; call Repair, which makes it anew: until then nothing is dropped", err)}
	}
	return positions, nil
}

// SetConsumer registers a consumer or moves it, see [cts.Consumers]. It is durable when
// it returns.
func (s *Store) SetConsumer(ctx context.Context, name string, pos cts.Position) error {
	return s.changeConsumers(ctx, name, func(positions map[string]cts.Position) bool {
		old, ok := positions[name]
		positions[name] = pos
		return !ok || old != pos
	})
}

// RemoveConsumer removes a consumer, if it is there.
func (s *Store) RemoveConsumer(ctx context.Context, name string) error {
	return s.changeConsumers(ctx, name, func(positions map[string]cts.Position) bool {
		_, ok := positions[name]
		delete(positions, name)
		return ok
	})
}

func (s *Store) changeConsumers(ctx context.Context, name string, change func(map[string]cts.Position) bool) error {
	if err := cts.CheckStateName(name); err != nil {
		return err
	}
	s.consumers.mu.Lock()
	defer s.consumers.mu.Unlock()
	if err := s.changeable(ctx); err != nil {
		return err
	}
	positions, err := s.readConsumers()
	if err != nil || !change(positions) {
		return err
	}
	if err := vfs.WriteFileAtomic(s.dir.fs, s.dir.path(consumersName), consumersText(s.ID(), positions), filePerm); err != nil {
		return fmt.Errorf("filestore: %w", storeFull(err))
	}
	return nil
}

// changeable reports why the store can't be changed, if it can't.
func (s *Store) changeable(ctx context.Context) error {
	switch {
	case s.closed.Load():
		return cts.ErrClosed
	case s.follower != nil:
		return cts.ErrReadOnly
	}
	return ctx.Err()
}

// Consumers returns the position of each consumer.
func (s *Store) Consumers(ctx context.Context) (map[string]cts.Position, error) {
	if s.closed.Load() {
		return nil, cts.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.consumers.mu.Lock()
	defer s.consumers.mu.Unlock()
	return s.readConsumers()
}

// Retain drops the oldest segments, see [cts.Retainer]. Its unit is a segment: what is
// in the log is not dropped before it is sealed, see [Store.Compact]. The bytes are
// those of the segment files and of what is in the log. Calls of Query, After and so on
// that are under way see to their end what they began with.
func (s *Store) Retain(ctx context.Context, r cts.Retention) (cts.Retained, error) {
	if err := r.Validate(); err != nil {
		return cts.Retained{}, err
	}
	s.consumers.mu.Lock()
	defer s.consumers.mu.Unlock()
	if err := s.changeable(ctx); err != nil {
		return cts.Retained{}, err
	}
	positions, err := s.readConsumers()
	if err != nil {
		return cts.Retained{}, err
	}
	return s.keeper.drop(r, positions)
}

// drop drops the segments that need not be kept.
func (k *keeper) drop(r cts.Retention, positions map[string]cts.Position) (done cts.Retained, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	m := k.manifest.clone()
	done.Oldest = m.oldest
	n := m.due(r, k.size())
	names := slices.Sorted(maps.Keys(positions))
	if name := hindmost(names, positions); name != "" && !r.Force {
		for i, s := range m.segments[:n] {
			if s.last > positions[name] {
				n, done.HeldBy = i, name
				break
			}
		}
	}
	if n == 0 {
		return done, nil
	}
	dropped := m.segments[:n]
	m.segments = m.segments[n:]
	old := m.oldest
	m.oldest = dropped[n-1].last + 1
	m.lost = slices.DeleteFunc(m.lost, func(l *cts.CorruptionError) bool { return l.Last < m.oldest })
	done.Oldest = m.oldest
	for _, s := range dropped {
		done.Traces += int64(s.rows)
		done.Bytes += s.bytes
	}
	v := k.store.view.Load()
	for _, name := range names {
		at := max(positions[name], old-1)
		if at >= m.oldest-1 {
			continue
		}
		loss := cts.Loss{Consumer: name, First: at + 1, Last: m.oldest - 1}
		for _, s := range v.segments {
			if s.info.last < m.oldest {
				loss.Traces += s.behind(at)
			}
		}
		done.Lost = append(done.Lost, loss)
	}
	if err := k.commit(m); err != nil {
		return cts.Retained{Oldest: old}, err
	}
	k.store.committer.dropSegments(m.oldest)
	return done, nil
}

// behind returns how many traces of the segment are behind a position, all of them if
// the segment can't tell.
func (s *sealed) behind(pos cts.Position) int64 {
	n := int64(s.info.rows)
	if pos < s.info.first {
		return n
	}
	if pos >= s.info.last {
		return 0
	}
	_ = s.guarded(func() error {
		if err := s.prepare(); err != nil {
			return err
		}
		n -= int64(s.order.Load().SearchPosition(uint64(pos) + 1))
		return nil
	})
	return n
}

// due returns how many segments need not be kept, whoever has not passed them, of a
// store of that many bytes.
func (m *manifest) due(r cts.Retention, bytes int64) int {
	for i, s := range m.segments {
		if s.maxRecord >= r.Before && (r.MaxBytes == 0 || bytes <= r.MaxBytes) {
			return i
		}
		bytes -= s.bytes
	}
	return len(m.segments)
}

// size returns the bytes of segments and log.
func (k *keeper) size() int64 {
	c := k.store.committer
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.segmentBytes + c.logBytes()
}

// hindmost returns the consumer with the lowest position, "" if there is none.
func hindmost(names []string, positions map[string]cts.Position) (name string) {
	for _, n := range names {
		if name == "" || positions[n] < positions[name] {
			name = n
		}
	}
	return name
}

// dropSegments takes the segments below a position out of the index.
func (c *committer) dropSegments(oldest cts.Position) {
	c.mu.Lock()
	var old []*sealed
	c.index.segments = slices.DeleteFunc(slices.Clone(c.index.segments), func(s *sealed) bool {
		if s.info.last >= oldest {
			return false
		}
		old = append(old, s)
		c.index.sealed -= int64(s.info.rows)
		c.segmentBytes -= s.info.bytes
		return true
	})
	c.index.holes = slices.DeleteFunc(slices.Clone(c.index.holes), func(h *cts.CorruptionError) bool { return h.Last < oldest })
	c.index.oldest = oldest
	c.show()
	c.mu.Unlock()
	c.retire(old)
}
