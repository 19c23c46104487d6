package limits

import (
	"bytes"
	"crypto/sha256"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/cloudtraceservice/cts/bench/contest"
)

// Raw is what one processor does with the JSON of traces.
type Raw struct {
	Name   string
	Rate   float64 // MB/s of JSON
	Bytes  float64 // per trace that come out, 0 where nothing does
	Nanos  float64 // per trace
	Traces int
}

// Text puts the JSON of records into one text, a line each.
func Text(records []contest.Record) []byte {
	n := 0
	for _, r := range records {
		n += len(r.JSON) + 1
	}
	text := make([]byte, 0, n)
	for _, r := range records {
		text = append(append(text, r.JSON...), '\n')
	}
	return text
}

// Measures are the raw figures there are, each as a function over a text that returns
// how many bytes come out.
func Measures() []Measure {
	zip := func(level int) func([]byte) (int64, error) {
		return func(text []byte) (int64, error) {
			out := counter{}
			w, err := gzip.NewWriterLevel(&out, level)
			return out.through(w, err, text)
		}
	}
	zst := func(level zstd.EncoderLevel) func([]byte) (int64, error) {
		return func(text []byte) (int64, error) {
			out := counter{}
			w, err := zstd.NewWriter(&out, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1))
			return out.through(w, err, text)
		}
	}
	return []Measure{
		{"memcpy", copies},
		{"SHA-256", func(text []byte) (int64, error) { _ = sha256.Sum256(text); return 0, nil }},
		{"gzip -1", zip(1)},
		{"gzip -6", zip(6)},
		{"zstd fastest", zst(zstd.SpeedFastest)},
		{"zstd default", zst(zstd.SpeedDefault)},
		{"zstd better", zst(zstd.SpeedBetterCompression)},
	}
}

// Measure is one thing to do with a text.
type Measure struct {
	Name string
	Do   func(text []byte) (int64, error)
}

var sinkBuffer = make([]byte, ringBytes)

// copies copies the text in pieces of the size of a trace to other memory.
func copies(text []byte) (int64, error) {
	const piece = 886
	at := 0
	for len(text) > 0 {
		n := min(piece, len(text))
		if at+n > len(sinkBuffer) {
			at = 0
		}
		copy(sinkBuffer[at:], text[:n])
		text = text[n:]
		at += n
	}
	return 0, nil
}

// Run takes the time of a measure over the JSON of so many traces.
func (m Measure) Run(text []byte, traces int) (Raw, error) {
	begun := time.Now()
	n, err := m.Do(text)
	took := time.Since(begun)
	return Raw{
		Name: m.Name, Traces: traces,
		Rate:  float64(len(text)) / took.Seconds() / 1e6,
		Bytes: float64(n) / float64(traces),
		Nanos: float64(took) / float64(traces),
	}, err
}

// counter counts bytes.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

func (c *counter) through(w io.WriteCloser, err error, text []byte) (int64, error) {
	if err != nil {
		return 0, err
	}
	if _, err := w.Write(text); err != nil {
		return 0, err
	}
	err = w.Close()
	return c.n, err
}

// Compressed is what [Unzip] reads.
type Compressed struct{ members [][]byte }

// Add compresses the JSON of records with gzip -6.
func (c *Compressed) Add(records []contest.Record) error {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzipLevel)
	if err != nil {
		return err
	}
	if _, err := w.Write(Text(records)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	c.members = append(c.members, b.Bytes())
	return nil
}

// Unzip is the limit of verifying: it unpacks everything and computes SHA-256 of it,
// on one processor. It returns the time.
func (c *Compressed) Unzip() (time.Duration, error) {
	begun := time.Now()
	h := sha256.New()
	for _, m := range c.members {
		r, err := gzip.NewReader(bytes.NewReader(m))
		if err != nil {
			return 0, err
		}
		if _, err := io.Copy(h, r); err != nil { //nolint:gosec // it is what Add compressed
			return 0, err
		}
	}
	return time.Since(begun), nil
}
