package ctshttp

import (
	"net/http"

	"github.com/cloudtraceservice/cts"
)

// maxClientID is the most bytes of an id from a client.
const maxClientID = 128

// correlation collects the ids of a request. What its context has already, from
// code that stands before the middleware, stays.
func (o *Options) correlation(r *http.Request) cts.Correlation {
	c, _ := cts.CorrelationFrom(r.Context())
	if c.RequestID == "" {
		c.RequestID = o.NewRequestID(r)
	}
	if c.ClientID == "" {
		c.ClientID = clientID(r.Header.Get(o.ClientIDHeader))
	}
	if c.W3CTraceID == "" {
		if sent := r.Header["Traceparent"]; len(sent) == 1 {
			c.W3CTraceID, c.W3CSpanID, _ = parseTraceparent(sent[0])
		}
	}
	return c
}

// clientID returns an id that is short and printable, and nothing of any other.
func clientID(s string) string {
	if len(s) > maxClientID {
		return ""
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return ""
		}
	}
	return s
}

// parseTraceparent reads the header of W3C Trace Context, section 3.2:
//
//	version "-" trace-id "-" parent-id "-" trace-flags
//
// in 2, 32, 16 and 2 lower-case hex digits. Version ff, a trace-id or parent-id of
// zeros only, and anything behind the flags of version 00 make it invalid. A later
// version may have more behind another "-".
func parseTraceparent(s string) (traceID, spanID string, ok bool) {
	const size = 2 + 1 + 32 + 1 + 16 + 1 + 2
	if len(s) < size || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return "", "", false
	}
	version, trace, span, flags := s[:2], s[3:35], s[36:52], s[53:55]
	if !lowerHex(version) || !lowerHex(trace) || !lowerHex(span) || !lowerHex(flags) || version == "ff" {
		return "", "", false
	}
	if len(s) > size && (version == "00" || s[size] != '-') {
		return "", "", false
	}
	if zeros(trace) || zeros(span) {
		return "", "", false
	}
	return trace, span, true
}

func lowerHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func zeros(s string) bool {
	for _, c := range []byte(s) {
		if c != '0' {
			return false
		}
	}
	return true
}
