package ctshttp

import (
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/cloudtraceservice/cts"
)

// bodyCopy passes on the body of a request and keeps the begin of what was read.
type bodyCopy struct {
	body  io.ReadCloser
	limit int

	mu   sync.Mutex // a handler may leave a goroutine behind that goes on to read
	kept []byte
	read int64
}

// copyBody sees to it that the body of r is kept, if it is to be.
func (rec *record) copyBody(r *http.Request) *http.Request {
	limit := rec.m.opts.RequestBody
	if limit == 0 || readOnly(r.Method) || r.Body == nil || r.Body == http.NoBody || !isJSON(r.Header) {
		return r
	}
	rec.body = &bodyCopy{body: r.Body, limit: limit}
	r.Body = rec.body // r is the middleware's own copy
	return r
}

// isJSON reports whether a body is JSON that is not compressed.
func isJSON(h http.Header) bool {
	if h.Get("Content-Encoding") != "" {
		return false
	}
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (t == "application/json" || strings.HasPrefix(t, "application/") && strings.HasSuffix(t, "+json"))
}

// Read reads from the body and nothing else: what it returns is what the body did.
func (b *bodyCopy) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if n > 0 {
		b.mu.Lock()
		b.read += int64(n)
		b.kept = append(b.kept, p[:min(n, b.limit-len(b.kept))]...)
		b.mu.Unlock()
	}
	return n, err
}

// Close closes the body.
func (b *bodyCopy) Close() error { return b.body.Close() }

// fill writes what was kept into the trace, and marks it if it is not all that was
// read.
func (b *bodyCopy) fill(tr *cts.Trace) {
	if b == nil || tr.Request != "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	tr.Request = string(b.kept)
	if b.read > int64(len(b.kept)) {
		tr.Ext.Cut = append(tr.Ext.Cut, cts.Mark{Field: "request", Length: int(max(b.read, tr.ContentLength))})
	}
}
