// Package pebble is Pebble as a contestant: a key per trace, and one in an index for
// each field that is asked for, in one LSM tree.
package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble"
	"github.com/cockroachdb/pebble/bloom"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/peers/internal/kv"
	"github.com/cloudtraceservice/cts/bench/peers/internal/row"
	"github.com/cloudtraceservice/cts/bench/peers/internal/version"
)

const setup = "one key per trace (time and load order; the value has the fields that are asked for, request, response and message, and the other members as JSON) and hand-made index keys " +
	"(time with user; service, name, resource id, user with address as value, address, each with time; rating with user, and with service and name, of traces that are not normal); " +
	"options after CockroachDB's: 256 MiB block cache, 64 MiB memtables, 16 KiB blocks, snappy (zstd in the last level takes a third off the disk and doubles the time to read), bloom filters above the last level; "

// options are those of CockroachDB, as far as they are for a store of this size, with
// blocks half as large for reading single traces. The last level, which nearly all
// data is in, has no filters.
func options(cache *pebble.Cache) *pebble.Options {
	o := &pebble.Options{
		Cache:                       cache,
		FormatMajorVersion:          pebble.FormatNewest,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               64 << 20,
		Levels:                      make([]pebble.LevelOptions, 7),
		Logger:                      quiet{},
		MaxConcurrentCompactions:    func() int { return 2 },
		MemTableSize:                64 << 20,
		MemTableStopWritesThreshold: 4,
	}
	for i := range o.Levels {
		l := &o.Levels[i]
		l.BlockSize = 16 << 10
		l.IndexBlockSize = 256 << 10
		l.FilterPolicy = bloom.FilterPolicy(10)
		l.FilterType = pebble.TableFilter
		l.Compression = pebble.SnappyCompression
		l.TargetFileSize = 2 << 20 << i
	}
	o.Levels[6].FilterPolicy = nil
	return o
}

// quiet logs nothing.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("pebble: "+format, args...)) // Pebble doesn't expect a return
}

// tree is an open database that numbers its traces.
type tree struct {
	db *pebble.DB

	mu     sync.Mutex
	next   uint64 // number of the next trace
	leased uint64 // first number that may have been given by a later opening
}

// lease is how many numbers are taken at a time, so that they go on upwards after a
// crash.
const lease = 1 << 20

// leaseKey holds the first number that was not leased.
var leaseKey = []byte{0}

func openTree(dir string, change func(*pebble.Options)) (*tree, error) {
	cache := pebble.NewCache(256 << 20)
	defer cache.Unref() // the database holds it
	o := options(cache)
	change(o)
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("pebble: %w", err)
	}
	t := &tree{db: db, next: 1}
	value, closer, err := db.Get(leaseKey)
	if err == nil {
		t.next = binary.BigEndian.Uint64(value)
		err = closer.Close()
	} else if errors.Is(err, pebble.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pebble: %w", err), db.Close())
	}
	t.leased = t.next
	return t, nil
}

// numbers returns the first of n numbers that no trace has. A lease is written like the
// traces that it is for.
func (t *tree) numbers(n int, how *pebble.WriteOptions) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := t.next
	if end := first + uint64(n); end > t.leased {
		leased := end + lease
		if err := t.db.Set(leaseKey, binary.BigEndian.AppendUint64(nil, leased), how); err != nil {
			return 0, fmt.Errorf("pebble: %w", err)
		}
		t.leased = leased
	}
	t.next += uint64(n)
	return first, nil
}

// add puts records into one batch and commits it.
func (t *tree) add(w *writer, records []contest.Record, how *pebble.WriteOptions) error {
	seq, err := t.numbers(len(records), how)
	if err != nil {
		return err
	}
	b := t.db.NewBatch()
	for i := range records {
		r := row.Of(records[i])
		err := w.Write(&r, seq+uint64(i), func(s kv.Space, key, value []byte) error {
			w.full = append(append(w.full[:0], byte(s)), key...)
			return b.Set(w.full, value, nil)
		})
		if err != nil {
			return errors.Join(fmt.Errorf("pebble: %w", err), b.Close())
		}
	}
	if err := b.Commit(how); err != nil {
		return errors.Join(fmt.Errorf("pebble: commit: %w", err), b.Close())
	}
	if err := b.Close(); err != nil {
		return fmt.Errorf("pebble: %w", err)
	}
	return nil
}

// writer makes entries, with the space as the first byte of the key.
type writer struct {
	kv.Writer
	full []byte
}

func (t *tree) close() error {
	if err := t.db.Close(); err != nil {
		return fmt.Errorf("pebble: close: %w", err)
	}
	return nil
}

func info(how string) contest.Info {
	return contest.Info{Name: "pebble", Version: version.Of("github.com/cockroachdb/pebble"), Setup: setup + how}
}
