package cts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/cloudtraceservice/cts/obs"
)

// traceFile is a trace file being built: a JSON array on one line.
type traceFile struct {
	group
	content []byte
	traces  int
	closed  bool
}

func (f *traceFile) add(json []byte) {
	separator := byte(',')
	if f.traces == 0 {
		separator = '['
	}
	f.content = append(append(f.content, separator), json...)
	f.traces++
}

// finish closes the array and returns the hash of the content.
func (f *traceFile) finish() [sha256.Size]byte {
	if !f.closed {
		f.content = append(f.content, ']')
		f.closed = true
	}
	return sha256.Sum256(f.content)
}

// key returns the object key of a trace file (CTS, "Transferring traces to OBS").
// The 16 hex digits at its end are the beginning of a SHA-256 over everything that
// makes the file this one, the content above all: a key never names two contents.
func (d *Dumper) key(p *plan, g group, content [sha256.Size]byte) string {
	var id []byte
	for _, part := range []string{d.source.ID(), g.tracker, g.service} {
		id = binary.AppendUvarint(id, uint64(len(part)))
		id = append(id, part...)
	}
	id = binary.BigEndian.AppendUint64(id, uint64(d.state.Position))
	id = binary.BigEndian.AppendUint64(id, uint64(p.To))
	sum := sha256.Sum256(append(id, content[:]...))

	at := time.UnixMilli(p.Time).UTC()
	var b strings.Builder
	b.WriteString("CloudTraces/" + d.opts.Region + at.Format("/2006/01/02/") + escapeSegment(g.tracker) + "/")
	if !p.Flat {
		b.WriteString(escapeSegment(g.service) + "/")
	}
	if d.opts.Prefix != "" {
		b.WriteString(d.opts.Prefix + "_")
	}
	b.WriteString("CloudTrace_" + d.opts.Region + at.Format("_2006-01-02T15-04-05Z_") + hex.EncodeToString(sum[:8]) + ".json.gz")
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

// put puts one file into the bucket, unless it is there, and reads it back.
func (d *Dumper) put(ctx context.Context, planned plannedFile, f *traceFile) (FileInfo, error) {
	compressed, err := compress(f.content, d.opts.Level)
	if err != nil {
		return FileInfo{}, err
	}
	sum := sha256.Sum256(compressed)
	_, err = d.bucket.Put(ctx, planned.Key, bytes.NewReader(compressed), &obs.PutOptions{
		IfAbsent: true, ContentType: "application/gzip", SHA256: sum[:],
		Metadata: map[string]string{"cts-traces": strconv.Itoa(planned.Traces), "cts-content-sha256": planned.SHA256},
	})
	if err != nil && !errors.Is(err, obs.ErrExists) {
		return FileInfo{}, err
	}
	stored, err := d.verify(ctx, planned, sum, int64(len(compressed)))
	if err != nil {
		return FileInfo{}, err
	}
	return FileInfo{
		Key: planned.Key, Tracker: planned.Tracker, Service: planned.Service,
		Traces: planned.Traces, Bytes: planned.Bytes, Stored: stored,
	}, nil
}

// verify reads an object back and compares it with what was sent. An object of an
// earlier try may have been compressed by another release; its content decides.
func (d *Dumper) verify(ctx context.Context, planned plannedFile, sent [sha256.Size]byte, size int64) (int64, error) {
	body, _, err := d.bucket.Get(ctx, planned.Key)
	if err != nil {
		return 0, fmt.Errorf("reading it back: %w", err)
	}
	defer body.Close() //nolint:errcheck // only read from
	hash := sha256.New()
	n, err := io.Copy(hash, io.LimitReader(body, size+1))
	if err != nil {
		return 0, fmt.Errorf("reading it back: %w", err)
	}
	if n == size && [sha256.Size]byte(hash.Sum(nil)) == sent {
		return n, nil
	}
	return d.inspect(ctx, planned)
}

// inspect reads a planned file in the bucket, however it was compressed, and returns
// the size of the object. An absent one is [obs.ErrNotExist], one with another content
// is [ErrConflict].
func (d *Dumper) inspect(ctx context.Context, planned plannedFile) (int64, error) {
	body, object, err := d.bucket.Get(ctx, planned.Key)
	if err != nil {
		return 0, fmt.Errorf("reading it back: %w", err)
	}
	defer body.Close() //nolint:errcheck // only read from
	read := &countedReader{r: body}
	same := planned.unzips(read)
	switch {
	case read.err != nil:
		return 0, fmt.Errorf("reading it back: %w", read.err)
	case same:
		return object.Size, nil
	case read.ended && read.n < object.Size: // the way to the store broke off, not the object
		return 0, fmt.Errorf("reading it back: %w", io.ErrUnexpectedEOF)
	}
	return 0, fmt.Errorf("%w: compare it with the plan in state %s, move it away, and the dump goes on", ErrConflict, d.opts.StateName)
}

// unzips reports whether r yields the planned content, compressed with gzip.
func (f plannedFile) unzips(r io.Reader) bool {
	unzip, err := gzip.NewReader(r)
	if err != nil {
		return false
	}
	hash := sha256.New()
	n, err := io.Copy(hash, io.LimitReader(unzip, f.Bytes+1))
	return err == nil && n == f.Bytes && hex.EncodeToString(hash.Sum(nil)) == f.SHA256
}

// countedReader remembers how a body ended, to tell a failure of the object store
// from a fault of the object's content.
type countedReader struct {
	r     io.Reader
	n     int64
	ended bool
	err   error
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if errors.Is(err, io.EOF) {
		c.ended = true
	} else if err != nil {
		c.err = err
	}
	return n, err
}

// compress returns content as one gzip member without name and time, so that the
// same content gives the same bytes.
func compress(content []byte, level int) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		return nil, err
	}
	w.ModTime = time.Unix(0, 0) // the zero time would be written as one in 2042
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
