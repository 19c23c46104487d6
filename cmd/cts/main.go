// Cts is the operator's command for audit trails that package cts keeps: it makes the
// keys that digests are signed with, checks that a bucket of dumped traces is complete
// and unchanged, and proves that one trace is in it. `cts help` tells how.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signal.Ignore(syscall.SIGPIPE) // whoever does not read the report to its end gets the right exit code still
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
