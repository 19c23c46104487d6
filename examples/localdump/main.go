// Localdump shows an audit trail at work. It starts a small service on loopback,
// wraps it in the middleware, drives requests at it, asks the trail the questions
// that an operator asks, dumps it into a folder that serves as the bucket, and checks
// that the trace files hold exactly what was recorded.
//
//	go run ./examples/localdump [-dir DIR] [-requests N]
//
// The last line says how it went; the exit code is 0 only if everything agrees.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/ctshttp"
	"github.com/cloudtraceservice/cts/obs/dirobs"
	"github.com/cloudtraceservice/cts/store/filestore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program, less the process: it returns the exit code.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("localdump", flag.ContinueOnError)
	flags.SetOutput(errs)
	dir := flags.String("dir", "", "folder for the store and the bucket; a temporary one if empty")
	requests := flags.Int("requests", 2000, "requests to make")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *requests < 1 || flags.NArg() > 0 {
		fmt.Fprintln(errs, "localdump: -requests is at least 1, and there are no arguments")
		return 2
	}
	if *dir == "" {
		made, err := os.MkdirTemp("", "localdump-")
		if err != nil {
			fmt.Fprintln(errs, "localdump:", err)
			return 1
		}
		*dir = made
	}
	fmt.Fprintf(out, "The store is in %s, the bucket in %s.\n", filepath.Join(*dir, "store"), filepath.Join(*dir, "bucket"))
	if err := demo(ctx, out, *dir, *requests); err != nil {
		fmt.Fprintln(errs, "localdump:", err)
		return 1
	}
	return 0
}

// demo goes the whole way of the traces, from the handler to the bucket.
func demo(ctx context.Context, out io.Writer, dir string, requests int) (err error) {
	store, err := filestore.Open(filepath.Join(dir, "store"), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	bucket, err := dirobs.Open(filepath.Join(dir, "bucket"), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bucket.Close()) }()
	tracker, err := cts.Open(ctx, store, &cts.TrackerOptions{ServiceType: "DEMO"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tracker.Close(context.WithoutCancel(ctx))) }()
	dumper, err := cts.NewDumper(store, bucket, &cts.DumperOptions{Prefix: "demo", Region: "local-1", MaxTraces: 1000, MaxAge: time.Minute})
	if err != nil {
		return err
	}

	if err := serve(ctx, out, tracker, dumper, requests); err != nil {
		return err
	}
	if err := tracker.Flush(ctx); err != nil {
		return err
	}
	if err := answer(ctx, out, store); err != nil {
		return err
	}
	boot := tracker.Status().Writer.Boot
	if err := tracker.Close(ctx); err != nil { // the stop is a trace too, and to be dumped
		return err
	}
	if err := dumper.Flush(ctx); err != nil {
		return err
	}
	c, err := check(ctx, store, bucket, boot)
	verified := "ok"
	offered := tracker.Status().Offered
	if err == nil && (offered != int64(requests) || c.stored != requests || c.dumped != requests) {
		err = fmt.Errorf("made %d requests, %d were recorded, %d are stored, %d are dumped", requests, offered, c.stored, c.dumped)
	}
	if err != nil {
		verified = "failed"
	}
	fmt.Fprintf(out, "\nrecorded=%d stored=%d dumped=%d files=%d own=%d verified=%s\n", offered, c.stored, c.dumped, c.files, c.own, verified)
	return err
}

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
