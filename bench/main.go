// Bench measures, on one machine and in one run, how this project stands against what
// people would use instead, and against the limits of the hardware:
//
//	go run . -n 1000000
//
// Every ratio is written so that more than 1 means that this project is ahead; rows in
// which it is behind come first. The exit code is 1 when contestants gave different
// answers or failed, 2 when the arguments are wrong, 0 otherwise: it says nothing about
// time.
//
//	-n N             traces (1,000,000; 20,000 with -quick)
//	-workload LIST   uniform, trail or both (uniform,trail)
//	-input PATH      real CloudTrail or CTS files instead, or folders of them; further paths may follow the flags
//	-rows REGEX      only rows whose "group: name" matches
//	-peers REGEX     only peers whose name matches; this project always takes part
//	-quick           a run of two minutes that shows that everything works, not how fast it is
//	-budget TIME     for the answers of one contestant to one row of questions (2s)
//	-seed N          of everything that is drawn (1)
//	-dir DIR         where the data is kept meanwhile (a temporary folder)
//	-json FILE       the rows as a JSON array
//	-svg DIR         a chart for each group
//	-markdown FILE   everything as a page, with the notes of NOTES.md
//
// # How it is built
//
// Package contest says what a contestant can do; ours and peers/* are the contestants,
// limits the least that the hardware needs. Package workload makes the traces, questions
// draws from them what is asked. Each contestant runs in a process of its own (package
// child), which is this program once more. The files stage_*.go of this package are the
// parts of a run, report writes what came out.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cloudtraceservice/cts/bench/child"
	"github.com/cloudtraceservice/cts/bench/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == child.Argument {
		os.Exit(child.Serve(context.Background(), contestants())) //nolint:gocritic // nothing is left to be done
	}
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK     = 0
	exitErrors = 1
	exitUsage  = 2
)

// run is the program. It writes the table to stdout and what it is doing to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opts, err := parse(args, stderr)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "bench:", err)
		return exitUsage
	}
	b := &bench{options: opts, out: stderr, all: contestants(), patience: 30 * time.Minute}
	b.report.Begun, b.report.Command = time.Now(), opts.command()
	if err := b.measure(ctx); err != nil {
		b.report.Incomplete = err.Error()
		b.report.Fail("%v", err)
	}
	b.report.Took = time.Since(b.report.Begun)
	if err := b.write(stdout); err != nil {
		_, _ = fmt.Fprintln(stderr, "bench:", err)
		return exitErrors
	}
	if len(b.report.Errors) > 0 {
		return exitErrors
	}
	return exitOK
}

// bench is one run.
type bench struct {
	options
	all      child.Contestants
	report   report.Run
	out      io.Writer // what is being done
	patience time.Duration
	work     string // the folder of this run's data
	folders  int
}

// measure runs all stages.
func (b *bench) measure(ctx context.Context) (err error) {
	if b.work, err = os.MkdirTemp(b.dir, "cts-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	b.report.Machine = machine(b.work)
	for _, line := range b.report.Machine {
		b.say("%s", line)
	}
	workloads, err := b.workloads()
	if err != nil {
		return err
	}
	stages := []func(context.Context) error{
		func(ctx context.Context) error { return b.recording(ctx, workloads[0]) },
		func(ctx context.Context) error { return b.appending(ctx, workloads[0]) },
	}
	for _, w := range workloads {
		stages = append(stages,
			func(ctx context.Context) error { return b.databases(ctx, w) },
			func(ctx context.Context) error { return b.dumping(ctx, w) },
			func(ctx context.Context) error { return b.raw(ctx, w) })
	}
	last := workloads[len(workloads)-1]
	stages = append(stages,
		func(ctx context.Context) error { return b.again(ctx, last) },
		func(ctx context.Context) error { return b.growth(ctx, last) })
	for _, stage := range stages {
		if err := stage(ctx); err != nil {
			return err
		}
	}
	return nil
}

// say tells what is being done.
func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.out, "%6.1fs  "+format+"\n", append([]any{time.Since(b.report.Begun).Seconds()}, args...)...) // to a terminal
}

// folder makes an empty folder.
func (b *bench) folder(name string) (string, error) {
	b.folders++
	dir := filepath.Join(b.work, fmt.Sprintf("%03d-%s", b.folders, name))
	return dir, os.Mkdir(dir, 0o700)
}

// write writes the results wherever they are wanted.
func (b *bench) write(stdout io.Writer) error {
	errs := []error{report.WriteTable(stdout, &b.report)}
	if b.json != "" {
		errs = append(errs, toFile(b.json, func(w io.Writer) error { return report.WriteJSON(w, b.report.Rows) }))
	}
	if b.svg != "" {
		err := os.MkdirAll(b.svg, 0o750)
		if err == nil {
			_, err = report.WriteCharts(b.svg, &b.report)
		}
		errs = append(errs, err)
	}
	if b.markdown != "" {
		notes, err := os.ReadFile("NOTES.md")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
		errs = append(errs, toFile(b.markdown, func(w io.Writer) error { return report.WriteMarkdown(w, &b.report, string(notes)) }))
	}
	return errors.Join(errs...)
}

// toFile replaces a file by what is written.
func toFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.Create(name) //nolint:gosec // where the user asked for it
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(f)
}
