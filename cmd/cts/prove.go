package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

// proveFlags are the choices of the command prove.
type proveFlags struct {
	bucketFlags
	id       string
	tracker  string
	service  string
	object   string
	from, to moment
	region   string
	out      string
	trace    string
	check    string
	keys     []string
}

// prove returns the command that makes and checks proofs.
func (p *program) prove() *cobra.Command {
	f := &proveFlags{from: moment{now: time.Now}, to: moment{now: time.Now}}
	cmd := &cobra.Command{
		Use: `prove --id ID [flags] BUCKET
  cts prove --check PROOF --key PUBLIC.pem TRACE.json`,
		Short: "Prove that one trace was sealed, without showing the others",
		Long: `Prove makes a proof that one trace was sealed: a small file with the signed digest and
the hashes that lead from the trace to it. Whoever has the proof, the trace and the
public key can check it, without the bucket and without seeing any other trace.

Making it: the trace file with the trace is searched for, from the time on that the id says
if it is one that this project made. It is quicker if you say more: the file (--object), when
the trace was sealed (--from, --to), or its folders (--tracker, --service). The proof goes
to standard output or into --out. --trace writes the trace, byte for byte as it was sealed, which
whoever checks the proof needs too. With --key the proof is checked at once.

Checking it: --check names the proof, and TRACE.json holds the trace; "-" is standard
input. White space around the trace is of no matter; inside, every byte counts.

` + readHelp + `

` + momentHelp + `

` + exitHelp,
		Example: `  cts prove --id 019042a4-7b1c-7000-8000-2f6f6c1d3a55 \
      --out proof.json --trace trace.json ./bucket
  cts prove --id 019042a4-7b1c-7000-8000-2f6f6c1d3a55 \
      --from 2024-06-19 --to 2024-06-20 s3://audit > proof.json
  cts prove --check proof.json --key public.pem trace.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.check != "" {
				return p.checkProof(f, args[0])
			}
			return p.makeProof(cmd.Context(), f, args[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.id, "id", "", "trace_id of the trace")
	flags.StringVar(&f.object, "object", "", "`KEY` of the trace file that it is in (default: all are searched)")
	flags.Var(&f.from, "from", "search what was sealed from this time on")
	flags.Var(&f.to, "to", "search what was sealed before this time")
	flags.StringVar(&f.tracker, "tracker", "", "search only files in this tracker's folder")
	flags.StringVar(&f.service, "service", "", "search only files in this service's folder")
	flags.StringVar(&f.region, "region", "", "search only this region, the folder below CloudTraces")
	flags.StringVar(&f.out, "out", "-", "`FILE` to write the proof to, which must not be there yet")
	flags.StringVar(&f.trace, "trace", "", "`FILE` to write the trace to, which must not be there yet")
	flags.StringVar(&f.check, "check", "", "`FILE` with a proof to check")
	flags.StringArrayVar(&f.keys, "key", nil, "`FILE` with a public key (PEM) that digests may be signed with; may be repeated")
	f.add(flags)
	return cmd
}

// makeProof makes a proof from a bucket.
func (p *program) makeProof(ctx context.Context, f *proveFlags, name string) (err error) {
	if f.id == "" {
		return usagef("--id is missing: the trace_id of the trace to prove (or --check, to check a proof)")
	}
	keys, err := p.readPublicKeys(f.keys)
	if err != nil {
		return err
	}
	bucket, closeBucket, err := openBucket(ctx, name, f.bucketFlags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBucket()) }()
	proof, trace, err := findProof(ctx, bucket, f)
	switch {
	case errors.Is(err, digest.ErrNoTrace) && damaged(err):
		p.complain(err)
		return errFound
	case err != nil:
		return err
	}
	if len(keys) > 0 {
		if err := proof.Verify(trace, keys); err != nil {
			p.complain(fmt.Errorf("the bucket does not prove it: %w", err))
			return errFound
		}
	}
	if f.trace != "" {
		if err := writeNew(f.trace, trace, 0o600); err != nil {
			return err
		}
	}
	text := proof.AppendJSON(nil)
	if f.out == "-" {
		_, err := p.stdout.Write(text)
		return err
	}
	return writeNew(f.out, text, 0o644)
}

// findProof searches from the time on that the id says, and then everywhere.
func findProof(ctx context.Context, bucket obs.Client, f *proveFlags) (*digest.Proof, []byte, error) {
	o := &digest.ProveOptions{
		Find: isTrace(f.id), Object: f.object, From: f.from.Time, To: f.to.Time, Region: f.region, Tracker: f.tracker, Service: f.service,
	}
	if id, err := uuid.Parse(f.id); err == nil && id.Version() == 7 && f.object == "" {
		o.Recorded = time.Unix(id.Time().UnixTime())
		proof, trace, err := digest.Prove(ctx, bucket, o)
		if !errors.Is(err, digest.ErrNoTrace) {
			return proof, trace, err
		}
		o.Recorded = time.Time{}
	}
	return digest.Prove(ctx, bucket, o)
}

// damaged reports whether a search that found nothing has met what is not as it was sealed.
func damaged(err error) bool {
	return errors.Is(err, digest.ErrInvalid) || errors.Is(err, digest.ErrSignature) || errors.Is(err, digest.ErrTooLarge)
}

// isTrace returns a function that finds the trace with an id.
func isTrace(id string) func(text []byte) bool {
	written, _ := json.Marshal(id)
	written = written[1 : len(written)-1]
	return func(text []byte) bool {
		if !bytes.Contains(text, written) { // the decoder would take far longer to say so
			return false
		}
		t, err := cts.NewDecoder(bytes.NewReader(text), nil).Next()
		return err == nil && t.ID == id
	}
}

// checkProof checks a proof.
func (p *program) checkProof(f *proveFlags, path string) error {
	switch {
	case f.id != "":
		return usagef("--id makes a proof and --check checks one: give one of them")
	case len(f.keys) == 0:
		return usagef("--key is missing: the public key of whoever sealed the trace")
	case path == "-" && f.check == "-":
		return usagef("standard input can't be both the proof and the trace")
	}
	keys, err := p.readPublicKeys(f.keys)
	if err != nil {
		return err
	}
	text, err := p.readFile(f.check, maxProof)
	if err != nil {
		return err
	}
	trace, err := p.readFile(path, maxTrace)
	if err != nil {
		return err
	}
	proof, err := digest.ParseProof(text)
	if err == nil {
		err = proof.Verify(trace, keys)
	}
	if err != nil {
		fmt.Fprintf(p.stdout, "not proven: %s\n", printable(err.Error()))
		return errFound
	}
	return p.printProven(proof)
}

// printProven says what a proof that holds has proven.
func (p *program) printProven(proof *digest.Proof) error {
	d, err := digest.Read(proof.Digest)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "proven: it is number %d of the traces in %s, sealed by %s with key %s\n",
		proof.Index+1, printable(proof.Object), d.End.Time().Format(time.RFC3339), d.Extension.KeyID)
	return nil
}
