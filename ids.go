package cts

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"sync"

	"github.com/google/uuid"
)

// idSource makes the ids of traces: UUIDs of version 7 (RFC 9562), whose first 48
// bits are the time in milliseconds, so that ids sort about as the traces do. The
// 74 random bits come from a buffered source: one system call serves 256 ids.
type idSource struct {
	mu  sync.Mutex
	src *bufio.Reader
	id  uuid.UUID // the last one: here it need not be allocated
}

func newIDSource(r io.Reader) *idSource {
	if r == nil {
		r = rand.Reader
	}
	return &idSource{src: bufio.NewReaderSize(r, 4096)}
}

func (s *idSource) next(ms int64) (string, error) {
	s.mu.Lock()
	_, err := io.ReadFull(s.src, s.id[6:])
	id := s.id
	s.mu.Unlock()
	if err != nil {
		return "", err
	}
	binary.BigEndian.PutUint16(id[:2], uint16(ms>>32))
	binary.BigEndian.PutUint32(id[2:6], uint32(ms))
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id.String(), nil
}

// idSpace is the name space of derived ids.
var idSpace = uuid.MustParse("5b0c1c9e-6f5e-5d0a-9d3b-5a1d1f2c7e10")

// deriveID returns an id that depends on the parts alone: a UUID of version 8 from
// the SHA-256 of the name space and the parts. Recording the same thing twice
// thereby stores it once.
func deriveID(parts ...string) string {
	var name []byte
	for _, p := range parts {
		name = binary.AppendUvarint(name, uint64(len(p)))
		name = append(name, p...)
	}
	return uuid.NewHash(sha256.New(), idSpace, name, 8).String()
}

// ImportedID returns the trace id that [Tracker.Import] gives to the record that
// has this id in its source.
func ImportedID(s Source) string { return deriveID("import", s.Name, s.ID) }
