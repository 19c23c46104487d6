// Package kv is how a careful engineer keeps traces in an ordered key-value store:
// one key per trace, and one in an index for each field that is asked for. Pebble and
// bbolt share it.
package kv

import (
	"encoding/binary"

	"github.com/cloudtraceservice/cts/bench/peers/internal/row"
)

// Space is one index, or the traces themselves: a bucket, or a byte before the key.
type Space byte

// The spaces. The key of a trace is its [Key]; the key of an index is one or two
// values, each with its length before it, and the Key of the trace.
const (
	Traces    Space = iota + 1 // the row
	Times                      // the user; narrow, for counting and for what is passed over
	Services                   // by service
	Names                      // by trace name
	Resources                  // by resource id
	Users                      // by user, with the address as value
	Addresses                  // by source address
	BadUsers                   // by rating and user, of traces that are not normal
	BadNames                   // by rating, service and name, of traces that are not normal
	Spaces                     // one more than the last
)

// String returns the name of the space.
func (s Space) String() string {
	return [Spaces]string{"", "traces", "times", "services", "names", "resources", "users", "addresses", "bad users", "bad names"}[s]
}

// KeyLen is the length of a [Key].
const KeyLen = 11

// Key is where a trace stands in the order of answers: six bytes of time in
// milliseconds and five bytes of the number in the order of loading, big-endian.
type Key [KeyLen]byte

// KeyOf returns the key of the trace that was loaded as number seq.
func KeyOf(time int64, seq uint64) (k Key) {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(time))
	binary.BigEndian.PutUint64(b[8:], seq)
	copy(k[:6], b[2:8])
	copy(k[6:], b[11:])
	return k
}

// time returns the time of a key.
func (k *Key) time() int64 {
	var b [8]byte
	copy(b[2:], k[:6])
	return int64(binary.BigEndian.Uint64(b[:]))
}

// last returns the key at the end of an index key.
func last(indexKey []byte) (k Key) {
	copy(k[:], indexKey[len(indexKey)-KeyLen:])
	return k
}

// prefix appends what all index keys of some values begin with.
func prefix(dst []byte, values ...string) []byte {
	for _, v := range values {
		dst = binary.AppendUvarint(dst, uint64(len(v)))
		dst = append(dst, v...)
	}
	return dst
}

// Writer makes the entries of traces. It is for one goroutine.
type Writer struct {
	key, value []byte
}

// Write calls put for each entry of the trace that was loaded as number seq. What put
// gets is valid only during the call. Empty values are in no index but that of services,
// which counts all traces.
func (w *Writer) Write(r *row.Row, seq uint64, put func(s Space, key, value []byte) error) error {
	k := KeyOf(r.Time, seq)
	w.value = r.Append(w.value[:0])
	if err := put(Traces, k[:], w.value); err != nil {
		return err
	}
	w.value = append(w.value[:0], r.User...)
	if err := put(Times, k[:], w.value); err != nil {
		return err
	}
	for _, e := range [...]struct {
		space        Space
		value, extra string
	}{
		{Services, r.Service, ""},
		{Names, r.Name, ""},
		{Resources, r.ResourceID, ""},
		{Users, r.User, r.SourceIP},
		{Addresses, r.SourceIP, ""},
	} {
		if e.value == "" && e.space != Services {
			continue
		}
		w.key = append(prefix(w.key[:0], e.value), k[:]...)
		w.value = append(w.value[:0], e.extra...)
		if err := put(e.space, w.key, w.value); err != nil {
			return err
		}
	}
	if r.Rating == "normal" {
		return nil
	}
	w.key = append(prefix(w.key[:0], r.Rating, r.User), k[:]...)
	if err := put(BadUsers, w.key, nil); err != nil {
		return err
	}
	w.key = append(prefix(w.key[:0], r.Rating, r.Service, r.Name), k[:]...)
	return put(BadNames, w.key, nil)
}
