// Package bbolt is bbolt as a contestant: a bucket with the traces, and one for each
// field that is asked for, in one B+ tree file.
package bbolt

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/peers/internal/kv"
	"github.com/cloudtraceservice/cts/bench/peers/internal/row"
	"github.com/cloudtraceservice/cts/bench/peers/internal/version"
)

const setup = "a bucket of traces (by time and load order; the value has the fields that are asked for, request, response and message, and the other members as JSON) and index buckets " +
	"(time with user; service, name, resource id, user with address as value, address, each with time; rating with user, and with service and name, of traces that are not normal); " +
	"freelist as a map, memory mapped once for all; "

// mapped is so large that the file need not be mapped anew while it grows. Windows
// would make the file as large.
const mapped = 32 << 30

func path(dir string) string { return filepath.Join(dir, "traces.bolt") }

// open opens a file with all buckets.
func open(file string, change func(*bbolt.Options)) (*bbolt.DB, error) {
	db, err := openBare(file, change)
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for s := kv.Traces; s < kv.Spaces; s++ {
			if _, err := tx.CreateBucketIfNotExists(bucket(s)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bbolt: %w", err), db.Close())
	}
	return db, nil
}

// openBare opens a file as it is.
func openBare(file string, change func(*bbolt.Options)) (*bbolt.DB, error) {
	o := *bbolt.DefaultOptions
	o.FreelistType = bbolt.FreelistMapType
	if runtime.GOOS != "windows" {
		o.InitialMmapSize = mapped
	}
	o.NoStatistics = true
	change(&o)
	db, err := bbolt.Open(file, 0o600, &o)
	if err != nil {
		return nil, fmt.Errorf("bbolt: %w", err)
	}
	return db, nil
}

// bucket is the name of a space's.
func bucket(s kv.Space) []byte { return []byte{byte(s)} }

// entries are those of many traces, to be put into the tree in the order of keys.
type entries struct {
	writer kv.Writer
	list   []entry
	bytes  []byte // the list's memory, or the last part of it
}

type entry struct {
	space      kv.Space
	key, value []byte
}

// add adds the entries of a trace.
func (e *entries) add(r contest.Record, seq uint64) error {
	t := row.Of(r)
	return e.writer.Write(&t, seq, func(s kv.Space, key, value []byte) error {
		e.list = append(e.list, entry{s, e.copy(key), e.copy(value)})
		return nil
	})
}

// copy returns a copy of b that is not changed until reset.
func (e *entries) copy(b []byte) []byte {
	if cap(e.bytes)-len(e.bytes) < len(b) {
		e.bytes = make([]byte, 0, max(1<<20, len(b)))
	}
	at := len(e.bytes)
	e.bytes = append(e.bytes, b...)
	return e.bytes[at:len(e.bytes):len(e.bytes)]
}

// put puts all entries into their buckets: in the order of keys, so that each page is
// found and changed once.
func (e *entries) put(tx *bbolt.Tx) error {
	slices.SortFunc(e.list, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.space, b.space), bytes.Compare(a.key, b.key))
	})
	var in *bbolt.Bucket
	var at kv.Space
	for _, x := range e.list {
		if x.space != at {
			at, in = x.space, tx.Bucket(bucket(x.space))
			if at == kv.Traces || at == kv.Times {
				in.FillPercent = 0.9 // new keys come at the end
			}
		}
		if err := in.Put(x.key, x.value); err != nil {
			return err
		}
	}
	return nil
}

// reset forgets all entries, once the transaction that holds them is over.
func (e *entries) reset() {
	clear(e.list)
	e.list, e.bytes = e.list[:0], e.bytes[:0]
}

func info(how string) contest.Info {
	return contest.Info{Name: "bbolt", Version: version.Of("go.etcd.io/bbolt"), Setup: setup + how}
}
