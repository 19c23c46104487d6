package ctshttp

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/redact"
)

// Mode says what happens to a request that can't be recorded.
type Mode uint8

// The modes.
const (
	// ByMethod is FailOpen for GET, HEAD, OPTIONS and TRACE, and FailClosed for
	// all other methods, those that nobody knows included.
	ByMethod Mode = iota

	// FailClosed: the attempt is in the store before the handler is called. If it
	// can't be, the handler is not called and the client gets 503 Service
	// Unavailable with Retry-After.
	FailClosed

	// FailOpen: the handler is called in any case and the request is recorded
	// afterwards. If it can't be, the response is not changed; that requests were
	// served unrecorded is itself recorded as soon as something can be again, see
	// [TraceFailOpenEntered].
	FailOpen
)

// Route names the operation that a request asks for. Empty fields are filled in by
// the naming rule of this package, see the package comment.
type Route struct {
	Pattern      string        // the route's pattern, as http.ServeMux writes it: "DELETE /v1/servers/{id}"
	Name         string        // trace_name: deleteServer
	ServiceType  string        // service_type: ECS
	ResourceType string        // resource_type: server
	ResourceID   string        // resource_id
	ResourceName string        // resource_name
	IDValue      string        // name of the path value that is the resource_id: server_id
	EventType    cts.EventType // event_type
	ReadOnly     cts.Bool      // read_only
}

// Options configure a [Middleware]. A nil pointer and the zero value have the
// defaults. They are copied. The functions are called by many goroutines at a time
// and must not keep the request.
type Options struct {
	// Mode chooses per request what happens if it can't be recorded. It is asked
	// at the place that begins attempts, which knows the Pattern if it stands
	// behind the router; and by an outer place that leaves that to inner ones, of
	// the requests that came through none. Default: ByMethod for every request.
	Mode func(*http.Request) Mode

	// Skip reports requests that are not to be recorded, such as health checks.
	// It is asked once per request, at the first place that sees it. Default:
	// none.
	Skip func(*http.Request) bool

	// Route names a request's operation where http.ServeMux does not, that is with
	// other routers. It is asked at both places, before the handler is called, and
	// what it returns goes before everything else; a zero Route leaves the naming
	// to the rest. Names must not contain what clients choose freely. Default:
	// none.
	Route func(*http.Request) Route

	// Routes are names for routes by their pattern. Pattern is ignored in the
	// values, and ResourceID too in favour of IDValue if that is set. Default:
	// none.
	Routes map[string]Route

	// Mux is the router that tells an outer place which route a request will take.
	// It is needed only where Outer begins attempts and something stands between
	// it and the router. Default: the handler given to Outer, if it is an
	// *http.ServeMux.
	Mux *http.ServeMux

	// BeginOutside lets the outer place begin attempts though there are inner
	// ones: then no route that lacks an inner place can act unrecorded, but
	// requests that authentication refuses have an attempt too, and attempts name
	// no actor; the outcome does. Default: false.
	BeginOutside bool

	// ServiceType is the service_type of all traces. Default: that of the Tracker.
	ServiceType string

	// TrustedProxies are the networks of proxies whose X-Forwarded-For is
	// believed, see [Middleware]. Default: none, and source_ip is the other end of
	// the connection.
	TrustedProxies []netip.Prefix

	// NewRequestID makes the request_id. It is never called for a request whose
	// context has one already, see cts.WithCorrelation. Default: a random UUID.
	NewRequestID func(*http.Request) string

	// ClientIDHeader is the request header with the client's own id, which is kept
	// in ext.client_id. Default: "X-Request-Id".
	ClientIDHeader string

	// ResponseHeader is the response header that gets the request_id; "-" is
	// none. Default: "X-Request-Id".
	ResponseHeader string

	// TraceHeader is the response header that gets the trace_id of the attempt,
	// for requests that have one. Default: none.
	TraceHeader string

	// RequestBody is how many bytes of a JSON request body are recorded, for
	// methods that change something: what the handler has read of it. It is
	// redacted by its JSON keys as every trace is. 0 records none. Default: 0.
	RequestBody int

	// RetryAfter is what a client that was refused with 503 is told to wait,
	// rounded up to seconds. Default: 1 s.
	RetryAfter time.Duration

	// Redactor takes secrets out of the URL. Default: redact.New(nil).
	Redactor *redact.Redactor

	// Clock tells the time. Default: time.Now.
	Clock func() time.Time
}

// withDefaults returns a copy with all defaults filled in, or all faults together.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	c.Routes = maps.Clone(c.Routes)
	c.TrustedProxies = slices.Clone(c.TrustedProxies)
	fill(&c.ClientIDHeader, "X-Request-Id")
	fill(&c.ResponseHeader, "X-Request-Id")
	if c.RetryAfter == 0 {
		c.RetryAfter = time.Second
	}
	if c.Mode == nil {
		c.Mode = func(*http.Request) Mode { return ByMethod }
	}
	if c.NewRequestID == nil {
		c.NewRequestID = func(*http.Request) string { return uuid.NewString() }
	}
	if c.Clock == nil {
		c.Clock = time.Now //nolint:forbidigo // the one default of the injected clock
	}
	var faults []error
	if c.Redactor == nil {
		r, err := redact.New(nil)
		if err != nil {
			faults = append(faults, fmt.Errorf("ctshttp: Options.Redactor: %w", err))
		}
		c.Redactor = r
	}
	return c, errors.Join(append(faults, c.faults()...)...)
}

func (o *Options) faults() []error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("ctshttp: Options."+format, args...))
	}
	for i, p := range o.TrustedProxies {
		if !p.IsValid() {
			fault("TrustedProxies: entry %d is not a network", i)
		}
	}
	for _, h := range []struct{ field, name string }{
		{"ClientIDHeader", o.ClientIDHeader}, {"ResponseHeader", o.ResponseHeader}, {"TraceHeader", o.TraceHeader},
	} {
		if !headerName(h.name) {
			fault("%s: %q is not the name of a header", h.field, h.name)
		}
	}
	if o.RequestBody < 0 || o.RetryAfter < 0 {
		fault("RequestBody and RetryAfter must not be negative")
	}
	for pattern := range o.Routes {
		if pattern == "" {
			fault("Routes: a pattern is empty")
		}
	}
	return faults
}

// headerName reports whether s is empty or a token, RFC 9110 section 5.6.2.
func headerName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-' || c == '_' || c == '.' || c == '!' || c == '~':
		default:
			return false
		}
	}
	return true
}

// mode settles what Mode left to the method.
func (o *Options) mode(r *http.Request) Mode {
	if m := o.Mode(r); m == FailClosed || m == FailOpen {
		return m
	}
	if readOnly(r.Method) {
		return FailOpen
	}
	return FailClosed
}

// readOnly reports whether a method is safe, RFC 9110 section 9.2.1.
func readOnly(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "":
		return true
	}
	return false
}

// fill sets an empty field.
func fill[T ~string](field *T, value T) {
	if *field == "" {
		*field = value
	}
}
