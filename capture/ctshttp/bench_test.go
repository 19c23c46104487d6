package ctshttp_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/ctshttp"
)

// nowhere takes every trace and keeps none, so that what is measured is the
// middleware and the Tracker.
type nowhere struct{}

func (nowhere) Append(context.Context, []cts.Entry) (cts.Appended, error) { return cts.Appended{}, nil }

// discard is a http.ResponseWriter that keeps nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

func BenchmarkMiddleware(b *testing.B) {
	tracker, err := cts.Open(b.Context(), nowhere{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = tracker.Close(context.Background()) }()
	skipping, err := ctshttp.New(tracker, &ctshttp.Options{Skip: func(*http.Request) bool { return true }})
	if err != nil {
		b.Fatal(err)
	}
	plain, err := ctshttp.New(tracker, nil)
	if err != nil {
		b.Fatal(err)
	}
	both, err := ctshttp.New(tracker, nil)
	if err != nil {
		b.Fatal(err)
	}
	empty := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	routed := func(wrap func(http.Handler) http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/v1/servers/{server_id}", wrap(empty))
		return mux
	}
	same := func(h http.Handler) http.Handler { return h }
	for _, c := range []struct {
		name, method string
		h            http.Handler
	}{
		{"bare", http.MethodGet, routed(same)},
		{"skipped", http.MethodGet, skipping.Outer(routed(same))},
		{"outer/open", http.MethodGet, plain.Outer(routed(same))},
		{"outer/closed", http.MethodDelete, plain.Outer(routed(same))},
		{"both/open", http.MethodGet, both.Outer(routed(both.Inner))},
		{"both/closed", http.MethodDelete, both.Outer(routed(both.Inner))},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := request(c.method, "/v1/servers/0a1b2c3d?dry_run=true")
			r.Header.Set("User-Agent", "curl/8.5.0")
			w := discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				c.h.ServeHTTP(w, r)
			}
		})
	}
}
