package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// The exit codes of every command.
const (
	exitClean  = 0 // done, and nothing is wrong
	exitFailed = 1 // it could not be done
	exitUsage  = 2 // it was not said how
	exitFound  = 3 // tampering or damage was found
)

const exitHelp = `Exit status:
  0  done, and nothing is wrong
  1  it could not be done: a file or the bucket can't be reached, or the like
  2  the command line is wrong
  3  tampering or damage was found`

// errFound ends a command that has reported tampering or damage.
var errFound = errors.New("tampering or damage was found")

// usageError is a fault of the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// usagef returns a fault of the command line.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// program is what a run of the command has of its process.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	began          bool // a command runs: its errors are no longer those of the command line
}

// run is the command, less the process: it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{stdin: stdin, stdout: stdout, stderr: stderr}
	root := p.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitClean
	case errors.Is(err, errFound):
		return exitFound
	case errors.As(err, &usage) || !p.began:
		p.complain(err)
		fmt.Fprintln(stderr, `Try "cts help".`)
		return exitUsage
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "cts: interrupted")
	default:
		p.complain(err)
	}
	return exitFailed
}

// complain tells people of an error. What it names may come from the bucket.
func (p *program) complain(err error) {
	fmt.Fprintln(p.stderr, "cts:", printableLines(err.Error()))
}

// command returns the tree of commands.
func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "cts",
		Short: "Keys, checks and proofs for the buckets that an audit trail is dumped into",
		Long: `Cts looks after the buckets into which audit trails are dumped: folders or object
stores with trace files, and with signed digests that tell which files there are.

` + exitHelp,
		Example: `  cts keygen ./keys                                  make a key pair, once
  cts verify --key keys/public.pem ./bucket          is everything there, and unchanged?
  cts prove --id 019a… --out proof.json ./bucket     prove that one trace was in it
  cts keys                                           how keys are changed and revoked`,
		Version:           version(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.AddCommand(p.verify(), p.prove(), p.keygen(), p.keys())
	p.tellBegin(root)
	return root
}

// tellBegin makes the commands say that they run.
func (p *program) tellBegin(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			p.began = true
			return run(cmd, args)
		}
	}
	for _, below := range cmd.Commands() {
		p.tellBegin(below)
	}
}

// version returns the version of the module that the command was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
