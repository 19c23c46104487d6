package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// run does what the command line says and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("importcloudtrail", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", "", "`directory` of the store, which is in its folder \"store\" (required)")
	flags.Usage = func() {
		_, _ = io.WriteString(stderr, "usage: importcloudtrail -dir DIR PATH…\n") // the status tells too
		flags.PrintDefaults()
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case *dir == "" || flags.NArg() == 0:
		flags.Usage()
		return 2
	}
	im := &importer{report: newReport(), faults: stderr}
	err := importInto(ctx, filepath.Join(*dir, "store"), im, flags.Args())
	err = errors.Join(err, im.report.write(stdout))
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err) // the status tells too
	}
	if err != nil || im.report.failed > 0 {
		return 1
	}
	return 0
}

// importInto opens the store and a tracker on it, and imports the files below the
// paths.
func importInto(ctx context.Context, dir string, im *importer, paths []string) (err error) {
	store, err := filestore.Open(dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	im.tracker, err = cts.Open(ctx, witness{Store: store, report: im.report}, &cts.TrackerOptions{
		// An event has at most 256 KiB: with these limits none is cut.
		Limits: cts.Limits{Body: cts.MaxTraceBytes, Unknown: cts.MaxTraceBytes},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, im.tracker.Close(context.WithoutCancel(ctx))) }()
	return im.paths(ctx, paths)
}
