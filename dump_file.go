package cts

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cloudtraceservice/cts/obs"
)

// key returns the object key of a trace file (CTS, "Transferring traces to OBS").
// The 16 hex digits at its end are the beginning of a SHA-256 over everything that
// makes the file this one, the content above all: a key never names two contents. The
// number of the attempt is part of it, for a file whose key before was found taken.
func (d *Dumper) key(p *plan, f plannedFile, prefix string) string {
	var id []byte
	for _, part := range []string{d.source.ID(), f.Tracker, f.Service} {
		id = binary.AppendUvarint(id, uint64(len(part)))
		id = append(id, part...)
	}
	id = binary.BigEndian.AppendUint64(id, uint64(p.from))
	id = binary.BigEndian.AppendUint64(id, uint64(p.To))
	content, err := hex.DecodeString(f.SHA256)
	if err != nil { // of a state that somebody edited
		content = []byte(f.SHA256)
	}
	id = append(id, content...)
	if f.Attempt > 0 {
		id = binary.AppendUvarint(id, uint64(f.Attempt))
	}
	sum := sha256.Sum256(id)

	at := time.UnixMilli(p.Time).UTC()
	region := p.region
	fill(&region, d.opts.location())
	var b strings.Builder
	b.WriteString("CloudTraces/" + region + at.Format("/2006/01/02/") + escapeSegment(f.Tracker) + "/")
	if !f.Flat {
		b.WriteString(escapeSegment(f.Service) + "/")
	}
	if prefix != "" {
		b.WriteString(prefix + "_")
	}
	b.WriteString("CloudTrace_" + region + at.Format("_2006-01-02T15-04-05Z_") + hex.EncodeToString(sum[:8]) + ".json")
	if !f.Plain {
		b.WriteString(".gz")
	}
	return b.String()
}

// escapeSegment makes a segment of a key from any text, different ones from different
// texts: letters, digits, '_', '-' and '.' stand for themselves, every other byte is
// written %XX. So is the first byte of a text that would mean something else as a
// folder: a leading '.', and "Digest", which holds the digest files. The empty text is
// "%".
func escapeSegment(s string) string {
	if s == "" {
		return "%"
	}
	special := s[0] == '.' || s == "Digest"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.'
		if plain && !(special && i == 0) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() > maxSegment { // a folder name too long for file systems: its beginning and its hash
		sum := sha256.Sum256([]byte(s))
		return b.String()[:maxSegment-40] + "%~" + hex.EncodeToString(sum[:16])
	}
	return b.String()
}

const maxSegment = 200

// storedFile is what is known of a trace file in the bucket: of the bytes that are
// stored.
type storedFile struct {
	size   int64
	sha256 [sha256.Size]byte
	md5    [md5.Size]byte // if sealing wants it
	from   Position       // its traces are behind it
	at     int64          // when it was verified, milliseconds since 1970 UTC
	unread bool           // nothing but the name, or the put that was acknowledged, says that it is this
}

// put puts one file into the bucket, unless it is there, and verifies it.
func (d *Dumper) put(ctx context.Context, planned plannedFile, f *traceFile) (storedFile, error) {
	body := f.object()
	sent := storedFile{size: body.size()}
	sent.sha256, sent.md5 = body.sums(d.seal != nil && d.seal.wantsMD5())
	opts := &obs.PutOptions{
		IfAbsent: true, ContentType: "application/gzip", SHA256: sent.sha256[:],
		Metadata: map[string]string{"cts-traces": strconv.Itoa(planned.Traces), "cts-content-sha256": planned.SHA256},
	}
	if planned.Plain {
		opts.ContentType = "application/json"
	}
	object, err := d.bucket.Put(ctx, planned.Key, &piecesReader{pieces: body}, opts)
	switch {
	case errors.Is(err, obs.ErrExists):
		return d.verify(ctx, planned, sent, true)
	case err != nil:
		return storedFile{}, err
	case bytes.Equal(object.SHA256, sent.sha256[:]):
		return sent, nil
	}
	return d.verify(ctx, planned, sent, false)
}
