package ctshttp

import (
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/redact"
)

// bodyCopy passes on the body of a request and keeps the begin of what was read.
type bodyCopy struct {
	body     io.ReadCloser
	limit    int
	redactor *redact.Redactor

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
	rec.body = &bodyCopy{body: r.Body, limit: limit, redactor: rec.m.opts.Redactor}
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
		b.kept = append(b.kept, p[:min(n, b.limit+bodyMargin-len(b.kept))]...)
		b.mu.Unlock()
	}
	return n, err
}

// bodyMargin is how much more than the limit is kept until the secrets are out: a
// secret that the limit cuts in two must be seen whole to be known.
const bodyMargin = 16 << 10

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
	text, found := b.redactor.Any(string(b.kept))
	for _, f := range found {
		field := "request"
		if f.Path != "" {
			field += "." + f.Path
		}
		tr.Ext.Redacted = append(tr.Ext.Redacted, cts.Mark{Field: field, Length: f.Length, Hash: f.Hash})
	}
	end := len(text)
	if len(b.kept) > b.limit {
		end = min(end, b.limit)
	}
	for end < len(text) && end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	tr.Request = text[:end]
	if b.read > int64(b.limit) {
		tr.Ext.Cut = append(tr.Ext.Cut, cts.Mark{Field: "request", Length: int(max(b.read, tr.ContentLength))})
	}
}
