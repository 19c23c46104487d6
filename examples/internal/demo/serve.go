package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/ctshttp"
)

// serve runs the service with its audit trail, and the dumper beside it, while the
// clients make their requests.
func serve(ctx context.Context, out io.Writer, tracker *cts.Tracker, dumper *cts.Dumper, requests int) error {
	mux := newService().handler()
	audit, err := ctshttp.New(tracker, auditOptions(mux))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		// From outside to inside: who gets no further than authentication is seen by
		// the outer place; what a request was about, by the inner one.
		Handler:           audit.Outer(authenticate(authorize(audit.Inner(mux)))),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // the panic is in the audit trail
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	dumping, stopDumping := context.WithCancel(ctx)
	dumped := make(chan error, 1)
	go func() { dumped <- dumper.Run(dumping) }()

	t := &traffic{base: "http://" + listener.Addr().String(), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}, total: requests}
	err = watch(ctx, out, t)

	stopDumping()
	err = errors.Join(err, <-dumped, server.Shutdown(ctx))
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return errors.Join(err, audit.Flush(ctx))
}

// auditOptions say what the middleware can't know by itself: which services the
// routes belong to, and that the addresses of the clients come from a load balancer.
func auditOptions(mux *http.ServeMux) *ctshttp.Options {
	routes := map[string]ctshttp.Route{
		"POST /v1/{project_id}/users/{user_id}/password": {ServiceType: "IAM", Name: "changePassword"},
	}
	for service, patterns := range map[string][]string{
		"ECS": {
			"GET /v1/{project_id}/servers", "POST /v1/{project_id}/servers", "GET /v1/{project_id}/servers/{server_id}",
			"PUT /v1/{project_id}/servers/{server_id}", "DELETE /v1/{project_id}/servers/{server_id}",
		},
		"EVS": {
			"POST /v1/{project_id}/volumes", "POST /v1/{project_id}/volumes/{volume_id}/attach", "DELETE /v1/{project_id}/volumes/{volume_id}",
		},
	} {
		for _, pattern := range patterns {
			routes[pattern] = ctshttp.Route{ServiceType: service}
		}
	}
	return &ctshttp.Options{
		Mux: mux, Routes: routes,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
}

// watch drives the traffic and prints how far it is.
func watch(ctx context.Context, out io.Writer, t *traffic) error {
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- t.drive(ctx) }()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			fmt.Fprintf(out, "\r%d of %d requests in %v\n", t.done.Load(), t.total, time.Since(began).Round(time.Millisecond))
			return err
		case <-tick.C:
			fmt.Fprintf(out, "\r%d of %d requests", t.done.Load(), t.total)
		}
	}
}
