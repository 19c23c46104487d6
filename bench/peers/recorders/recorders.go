// Package recorders is what a Go service uses to record operations when it has no
// audit library: loggers and the audit packages of HashiCorp and Kubernetes. Each
// records the same 24 fields of a trace as structured fields, leaves out the empty
// ones, stamps the time of recording, and writes JSON through a buffer in memory.
package recorders

import (
	"bufio"
	"context"
	"io"
	"runtime/debug"
	"sync"
)

// bufferBytes is the size of each one's buffer: the default of zap's.
const bufferBytes = 256 << 10

// buffered is a writer that many goroutines use. Its writes are whole records.
type buffered struct {
	mu sync.Mutex
	w  *bufio.Writer
}

func newBuffered(w io.Writer) *buffered { return &buffered{w: bufio.NewWriterSize(w, bufferBytes)} }

// Write implements io.Writer.
func (b *buffered) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.w.Write(p)
}

// Flush writes what is in the buffer. It is the method of several recorders.
func (b *buffered) Flush(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.w.Flush()
}

// Close is the method of the recorders that have nothing to stop.
func (b *buffered) Close() error { return b.Flush(context.Background()) }

// version returns the version of a module in this program.
func version(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == module {
				return m.Version
			}
		}
	}
	return "unknown"
}
