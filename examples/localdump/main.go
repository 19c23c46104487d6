// Localdump shows an audit trail at work. It starts a small service on loopback,
// wraps it in the middleware, drives requests at it, asks the trail the questions
// that an operator asks, dumps it into a folder that serves as the bucket, seals it
// with signed digests, and checks that the bucket holds exactly what was recorded.
//
//	go run ./examples/localdump [-dir DIR] [-requests N]
//
// The last line says how it went; the exit code is 0 only if everything agrees. What is
// left in DIR can be checked again, now or later, here or in a copy:
//
//	go run ./cmd/cts verify --key DIR/public.pem DIR/bucket
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/cloudtraceservice/cts/examples/internal/demo"
	"github.com/cloudtraceservice/cts/obs/dirobs"
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
	dir := flags.String("dir", "", "folder for the store, the keys and the bucket; a temporary one if empty")
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
	if err := dump(ctx, out, *dir, *requests); err != nil {
		fmt.Fprintln(errs, "localdump:", err)
		return 1
	}
	return 0
}

// dump runs the demonstration into the folder.
func dump(ctx context.Context, out io.Writer, dir string, requests int) (err error) {
	folder := filepath.Join(dir, "bucket")
	bucket, err := dirobs.Open(folder, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bucket.Close()) }()
	fmt.Fprintf(out, "The store is in %s, the bucket in %s.\n", demo.StoreDir(dir), folder)
	fmt.Fprintf(out, "Check the bucket again with: go run ./cmd/cts verify --key %s %s\n", demo.PublicKey(dir), folder)
	return demo.Run(ctx, out, demo.Options{Dir: dir, Bucket: bucket, BucketName: "bucket", Region: "local-1", Requests: requests})
}
