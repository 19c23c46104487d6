package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudtraceservice/cts/digest"
)

// verifyFlags are the choices of the command verify.
type verifyFlags struct {
	bucketFlags
	keys      []string
	history   string
	root      string
	heads     []string
	saveHeads string
	writers   []string
	from, to  moment
	retention span
	grace     span
	asOf      moment
	serial    int64
	off       []string
	region    string
	bucket    string
	parallel  int
	known     []digest.Head // of the files of heads
	json      bool
	quiet     bool
}

// verify returns the command that checks a bucket.
func (p *program) verify() *cobra.Command {
	f := &verifyFlags{from: moment{now: time.Now}, to: moment{now: time.Now}, asOf: moment{now: time.Now}}
	cmd := &cobra.Command{
		Use:   "verify --key PUBLIC.pem [flags] BUCKET",
		Short: "Check that a bucket is complete and unchanged",
		Long: `Verify reads the digests of a bucket and every trace file that they mention, and checks
that each is there and is the one that was sealed: that nothing was changed, removed,
added, moved or renamed, that every digest is signed with one of your keys, and that no
digest is missing between two others.

` + readHelp + `

What a bucket alone can't tell is that its newest digests were cut off. Two things help:
the other writers of the bucket mention the digests that they have seen; and you can
keep the heads of one verification for the next (--save-heads, then --heads), or those
that the service hands out as it seals. Keep keys and heads where whoever can write to
the bucket can't change them.

Every finding is one line: its severity (damage, failure or note), what it is, the
object, and the reason. The last line is the verdict: clean, damaged, or not checked if
something could not be read or proven. A chain that is still written is reported as open:
what comes after its last digest is not proven yet. One whose next digest should have been
there is overdue; of an older copy of a bucket, say of when it is (--as-of).

With a history of keys in the bucket (cts help keys), --root names the key that it is signed
with and takes the place of --key.

Trace files from before validation was switched on, or while it was off, can't be told
from forged ones: they are not proven, unless you say when that was (--unvalidated).

` + momentHelp + `

` + exitHelp,
		Example: `  cts verify --key public.pem ./bucket
  cts verify --key public.pem --from 2024-06-01 --to 2024-07-01 s3://audit
  cts verify --key public.pem --save-heads heads.json s3://audit     the first time
  cts verify --key public.pem --heads heads.json --save-heads heads.json s3://audit
  cts verify --root 9f86d081884c7d65… --min-history 3 s3://audit
  cts verify --key public.pem --retention 365d --json ./copy | jq .verdict
  cts verify --key public.pem --as-of 2024-07-01 --unvalidated system=..2024-01-15 ./copy`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return p.runVerify(cmd.Context(), f, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.keys, "key", nil, "`FILE` with a public key (PEM) that digests may be signed with; may be repeated")
	flags.StringVar(&f.history, "key-history", "", "`FILE` with the signed history of keys (default: with --root, the one in the bucket)")
	flags.StringVar(&f.root, "root", "", "`FINGERPRINT` of the key that signed the history of keys: 64 hex digits")
	flags.StringArrayVar(&f.heads, "heads", nil, "`FILE` with heads of chains, one JSON object per line, that must be there; may be repeated")
	flags.StringVar(&f.saveHeads, "save-heads", "", "`FILE` to write the heads to that were seen, unless there is damage")
	flags.StringArrayVar(&f.writers, "writer", nil, "`ID` of a store that must have written; may be repeated")
	flags.Var(&f.from, "from", "check only what was sealed from this time on")
	flags.Var(&f.to, "to", "check only what was sealed before this time")
	flags.Var(&f.retention, "retention", "objects older than this may be gone, such as 365d (default: none may)")
	flags.Var(&f.grace, "grace", "how long before the newest digest a file without one may be, and how late a digest (default 2h, or twice the interval of digests)")
	flags.Var(&f.asOf, "as-of", "when the bucket was copied (default: it is as it is now)")
	flags.Int64Var(&f.serial, "min-history", 0, "`SERIAL` that the history of keys must have reached, so that nobody can put an older one back")
	flags.StringArrayVar(&f.off, "unvalidated", nil, "`TRACKER[=FROM..TO]`: validation was off for it, then or always; * is any tracker, and each time may be left out; may be repeated")
	flags.StringVar(&f.region, "region", "", "check only this region, the folder below CloudTraces")
	flags.StringVar(&f.bucket, "bucket-name", "", "the name that digests must give for their bucket (default: not checked)")
	flags.IntVar(&f.parallel, "parallel", 0, "files read at a time (default: one for each processor)")
	flags.BoolVar(&f.json, "json", false, "print the whole report as one JSON object")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print only damage, failures and the verdict, and no progress")
	f.add(flags)
	return cmd
}

// options reads the files that the flags name.
func (p *program) verifyOptions(f *verifyFlags) (*digest.VerifyOptions, error) {
	switch {
	case len(f.keys) == 0 && f.root == "":
		return nil, usagef("--key is missing: the public key of whoever seals the bucket (or --root, with a history of keys)")
	case f.history != "" && f.root == "":
		return nil, usagef("--key-history needs --root, or anybody could have written it")
	case !f.from.IsZero() && !f.to.IsZero() && !f.from.Before(f.to.Time):
		return nil, usagef("--to is not behind --from")
	case f.parallel < 0 || f.parallel > 1024:
		return nil, usagef("--parallel %d: want 1 to 1024", f.parallel)
	case f.serial < 0 || f.serial > 0 && f.root == "":
		return nil, usagef("--min-history must not be negative, and needs --root")
	}
	if err := checkFingerprint(&f.root); err != nil {
		return nil, err
	}
	off, err := unvalidated(f.off)
	if err != nil {
		return nil, err
	}
	keys, err1 := p.readPublicKeys(f.keys)
	heads, err2 := p.readHeads(f.heads)
	o := &digest.VerifyOptions{
		From: f.from.Time, To: f.to.Time, Keys: keys, RootFingerprint: f.root, Writers: f.writers, Heads: heads,
		BucketName: f.bucket, Region: f.region, Retention: time.Duration(f.retention), Parallel: f.parallel,
		Grace: time.Duration(f.grace), AsOf: f.asOf.Time, MinHistory: f.serial, Unvalidated: off,
	}
	var err3 error
	if f.history != "" {
		o.KeyHistory, err3 = p.readFile(f.history, maxHistory)
	}
	f.known = heads
	return o, errors.Join(err1, err2, err3)
}

// unvalidated reads the flags --unvalidated.
func unvalidated(texts []string) ([]digest.Span, error) {
	spans := make([]digest.Span, 0, len(texts))
	for _, text := range texts {
		tracker, times, limited := strings.Cut(text, "=")
		from, to, ranged := strings.Cut(times, "..")
		s := digest.Span{Tracker: tracker}
		bad := tracker == "" || limited != ranged
		for _, end := range []struct {
			text string
			at   *time.Time
		}{{from, &s.From}, {to, &s.To}} {
			at := moment{now: time.Now}
			if end.text != "" {
				bad = bad || at.Set(end.text) != nil
				*end.at = at.Time
			}
		}
		if bad || limited && !s.From.IsZero() && !s.To.IsZero() && !s.From.Before(s.To) {
			return nil, usagef("--unvalidated: want TRACKER or TRACKER=FROM..TO, such as system=..2024-06-19")
		}
		if tracker == "*" {
			s.Tracker = ""
		}
		spans = append(spans, s)
	}
	return spans, nil
}

func (p *program) runVerify(ctx context.Context, f *verifyFlags, name string) (err error) {
	o, err := p.verifyOptions(f)
	if err != nil {
		return err
	}
	bucket, closeBucket, err := openBucket(ctx, name, f.bucketFlags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBucket()) }()
	hide := func() {}
	if !f.quiet && isTerminal(p.stderr) {
		bar := newProgress(p.stderr)
		o.Progress, hide = bar.show, bar.clear
	}
	report, err := digest.Verify(ctx, bucket, o)
	hide()
	if report == nil {
		return err
	}
	return p.printReport(f, report, err)
}
