package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudtraceservice/cts/digest"
)

// keysFlags are the choices of the commands under keys.
type keysFlags struct {
	bucketFlags
	rootKey string
	root    string
	at      moment
	region  string
	replace bool
}

// keys returns the commands that keep a history of keys.
func (p *program) keys() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Keep the history of keys, so that keys can change and be revoked",
		Long: `A history of keys says which keys signed digests from when until when. It is a file,
signed with a root key that is used for nothing else, and lies in the bucket too. Who
verifies keeps the fingerprint of the root key alone: keys then change, and are revoked,
without handing out anything anew.

  cts keygen ./root                                             the root key, once; keep it offline
  cts keygen ./keys                                             a key for the service
  cts keys add --root-key root/private.pem keys.json keys/public.pem
  cts keys publish keys.json ./bucket                           puts it where verify looks for it
  cts verify --root FINGERPRINT ./bucket

When the key of a service is to change: add the new one, publish, let the service sign with
it, and retire the old one. A key that somebody else may have is revoked: nothing that it
ever signed counts any more. Each change raises the serial of the history; publish it each
time, and tell the serial to those who verify (--min-history), so that nobody can put an
older one back.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.keysAdd(), p.keysRetire(), p.keysRevoke(), p.keysShow(), p.keysPublish())
	return cmd
}

const rootKeyHelp = "`FILE` with the private root key (PEM)"

func (p *program) keysAdd() *cobra.Command {
	f := &keysFlags{at: moment{now: time.Now}}
	cmd := &cobra.Command{
		Use:   "add --root-key ROOT.pem [flags] HISTORY PUBLIC.pem",
		Short: "Add a key to a history, or begin one",
		Long: `Add puts the public key of a service into the file HISTORY, which it makes if it is not
there. What the key signs counts from --from on: say when the service began to sign with
it, or will. The keys before it stay good until they are retired.

` + momentHelp + `

` + exitHelp,
		Example: `  cts keys add --root-key root/private.pem --from 2024-06-19 keys.json keys/public.pem`,
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return p.editHistory(f, args[0], true, func(h *digest.KeyHistory) error {
				keys, err := p.readPublicKeys(args[1:])
				if err != nil {
					return err
				}
				return h.Add(keys[0], f.when())
			})
		},
	}
	cmd.Flags().StringVar(&f.rootKey, "root-key", "", rootKeyHelp)
	cmd.Flags().Var(&f.at, "from", "what the key signs counts from this time on (default: now)")
	return cmd
}

func (p *program) keysRetire() *cobra.Command {
	f := &keysFlags{at: moment{now: time.Now}}
	cmd := &cobra.Command{
		Use:   "retire --root-key ROOT.pem [flags] HISTORY KEY",
		Short: "Say that a key signs no longer; what it signed stays good",
		Long: `Retire says that a service has stopped to sign with a key. What it signed until then stays
good. KEY is the file with the public key, or its key id.

` + momentHelp + `

` + exitHelp,
		Example: `  cts keys retire --root-key root/private.pem --until 1h keys.json keys/public.pem`,
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return p.editKey(f, args, func(h *digest.KeyHistory, id string) error { return h.Retire(id, f.when()) })
		},
	}
	cmd.Flags().StringVar(&f.rootKey, "root-key", "", rootKeyHelp)
	cmd.Flags().Var(&f.at, "until", "the last time that a digest with its signature ends at (default: now)")
	return cmd
}

func (p *program) keysRevoke() *cobra.Command {
	f := &keysFlags{}
	cmd := &cobra.Command{
		Use:   "revoke --root-key ROOT.pem HISTORY KEY",
		Short: "Say that nothing counts that a key ever signed",
		Long: `Revoke is for a key that somebody else may have: nothing that it signed counts any more,
and verify reports each of its digests. There is no way back. KEY is the file with the
public key, or its key id.

` + exitHelp,
		Example: `  cts keys revoke --root-key root/private.pem keys.json 5fd924625f6ab16a19cc9807c7c506ae`,
		Args:    cobra.ExactArgs(2),
		RunE:    func(_ *cobra.Command, args []string) error { return p.editKey(f, args, (*digest.KeyHistory).Revoke) },
	}
	cmd.Flags().StringVar(&f.rootKey, "root-key", "", rootKeyHelp)
	return cmd
}

func (p *program) keysShow() *cobra.Command {
	f := &keysFlags{}
	cmd := &cobra.Command{
		Use:   "show [--root FINGERPRINT] HISTORY",
		Short: "Print a history of keys",
		Long: `Show checks the signature of a history and prints it. Without --root anybody may have
signed it: compare the fingerprint with the one you know.

` + exitHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return p.showHistory(f, args[0]) },
	}
	cmd.Flags().StringVar(&f.root, "root", "", "`FINGERPRINT` that the root key must have: 64 hex digits")
	return cmd
}

func (p *program) keysPublish() *cobra.Command {
	f := &keysFlags{}
	cmd := &cobra.Command{
		Use:   "publish [flags] HISTORY BUCKET",
		Short: "Put a history into a bucket, where verify finds it",
		Long: `Publish puts a history into each region of a bucket, as CloudTraces/REGION/Keys/keys.json,
and reads it back. It replaces an older history of the same root key, and nothing else.

` + bucketHelp + `

` + exitHelp,
		Example: `  cts keys publish keys.json s3://audit
  cts keys publish --region eu-de keys.json ./bucket     before anything was dumped`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.publishHistory(cmd.Context(), f, args[0], args[1])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.root, "root", "", "`FINGERPRINT` that the root key must have: 64 hex digits (default: any)")
	flags.StringVar(&f.region, "region", "", "only this region, the folder below CloudTraces (default: all that are there)")
	flags.BoolVar(&f.replace, "replace", false, "replace whatever is there, also a newer history or one of another root key")
	f.add(flags)
	return cmd
}

// when returns the time that was given, or now.
func (f *keysFlags) when() digest.Stamp {
	if f.at.IsZero() {
		return digest.StampOf(f.at.now())
	}
	return digest.StampOf(f.at.Time)
}

// editKey changes a key of a history, which is named by its id or its file.
func (p *program) editKey(f *keysFlags, args []string, edit func(h *digest.KeyHistory, id string) error) error {
	return p.editHistory(f, args[0], false, func(h *digest.KeyHistory) error {
		id := args[1]
		if len(id) != 32 || !isHex(id) {
			keys, err := p.readPublicKeys(args[1:])
			if err != nil {
				return err
			}
			id = keys[0].ID()
		}
		return edit(h, id)
	})
}

// editHistory changes a history, signs it anew and replaces the file.
func (p *program) editHistory(f *keysFlags, path string, begin bool, edit func(h *digest.KeyHistory) error) error {
	if f.rootKey == "" {
		return usagef("--root-key is missing: the private key that signs the history")
	}
	if path == "-" {
		return usagef("HISTORY is changed where it is: it can't be standard input")
	}
	text, err := p.readFile(f.rootKey, maxKeyFile)
	if err != nil {
		return err
	}
	root, err := digest.ParsePrivateKeyPEM(text)
	if err != nil {
		return fmt.Errorf("%s: %w", f.rootKey, err)
	}
	h := &digest.KeyHistory{}
	signed, err := p.readFile(path, maxHistory)
	switch {
	case begin && errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if h, err = digest.VerifyKeyHistory(signed, root.Public().Fingerprint()); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := edit(h); err != nil {
		return err
	}
	if slices.ContainsFunc(h.Keys, func(r digest.KeyRecord) bool { return r.KeyID == root.KeyID() }) {
		return errors.New("the root key must not sign digests too: make a key of its own for it (cts keygen)")
	}
	if signed, err = digest.SignKeyHistory(root, *h); err != nil {
		return err
	}
	if err := replaceFile(path, signed); err != nil {
		return err
	}
	return p.printHistory(h, root.Public().Fingerprint())
}

// readHistory reads a history and checks its signature. It returns the fingerprint of the
// root key, which is the one that was given, if one was.
func (p *program) readHistory(f *keysFlags, path string) (signed []byte, h *digest.KeyHistory, fingerprint string, err error) {
	if err := checkFingerprint(&f.root); err != nil {
		return nil, nil, "", err
	}
	if signed, err = p.readFile(path, maxHistory); err != nil {
		return nil, nil, "", err
	}
	root, err := digest.KeyHistoryRoot(signed)
	if err == nil {
		if fingerprint = f.root; fingerprint == "" {
			fingerprint = root.Fingerprint()
		}
		h, err = digest.VerifyKeyHistory(signed, fingerprint)
	}
	if err != nil {
		return nil, nil, "", fmt.Errorf("%s: %w", path, err)
	}
	return signed, h, fingerprint, nil
}

func (p *program) showHistory(f *keysFlags, path string) error {
	_, h, fingerprint, err := p.readHistory(f, path)
	if errors.Is(err, digest.ErrSignature) {
		p.complain(err)
		return errFound
	}
	if err != nil {
		return err
	}
	return p.printHistory(h, fingerprint)
}

func (p *program) publishHistory(ctx context.Context, f *keysFlags, path, name string) (err error) {
	signed, h, fingerprint, err := p.readHistory(f, path)
	if err != nil {
		return err
	}
	bucket, closeBucket, err := openWritable(ctx, name, f.bucketFlags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBucket()) }()
	keys, err := digest.PublishKeyHistory(ctx, bucket, signed, fingerprint, &digest.PublishOptions{Region: f.region, Replace: f.replace})
	for _, key := range keys {
		fmt.Fprintln(p.stdout, "published   ", printable(key))
	}
	if errors.Is(err, digest.ErrConflict) {
		return fmt.Errorf("%w; look at what is there, and use --replace if it may go", err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "serial       %d\nverify with  --root %s --min-history %d\n", h.Serial, fingerprint, h.Serial)
	return err
}

// printHistory prints a history for people.
func (p *program) printHistory(h *digest.KeyHistory, fingerprint string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "root         %s\nserial       %d\n", fingerprint, h.Serial)
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "key id\talgorithm\tfrom\tuntil\tstate")
	for _, r := range h.Keys {
		until, state := "-", "in use"
		if r.Until != 0 {
			until, state = digest.Stamp(r.Until).Time().Format(time.RFC3339), "retired"
		}
		if r.Revoked {
			state = "revoked"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", r.KeyID, r.Algorithm, digest.Stamp(r.From).Time().Format(time.RFC3339), until, state)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(p.stdout, b.String())
	return err
}

// checkFingerprint checks the form of a fingerprint that was given, and takes capitals.
func checkFingerprint(text *string) error {
	*text = strings.ToLower(*text)
	if *text != "" && (len(*text) != 64 || !isHex(*text)) {
		return usagef("--root: want the fingerprint of a key, 64 hex digits, as keygen prints it")
	}
	return nil
}

// isHex reports whether a text has lower-case hex digits only.
func isHex(text string) bool { return strings.Trim(text, "0123456789abcdef") == "" }
