// Importcloudtrail reads AWS CloudTrail log files into a store of traces.
//
//	go run ./examples/importcloudtrail -dir DIR PATH…
//
// A PATH is a file, or a folder of which all files below are read whose names end in
// .json, .jsonl or .ndjson, also with .gz. The store is in DIR/store and is made if
// there is none. Importing a file again changes nothing.
//
// Faults go to standard error, each with its file and place. Standard output ends
// with the line
//
//	read=2900 stored=2900 already=0 failed=0
//
// which counts events: read were understood; stored are new; already were in the
// store; failed could not be read or stored, where a file that ends too early or is
// broken counts as one. The exit status is 0 if nothing failed, 1 if something did,
// and 2 if the command was not understood.
package main

import (
	"context"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}
