package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cloudtraceservice/cts/digest"
)

// The names of the files of a key pair.
const (
	privateFile = "private.pem"
	publicFile  = "public.pem"
)

// algorithm is one that keygen knows.
type algorithm struct {
	name string // as keygen calls it
	sign string // as digests call it
	bits int
}

var algorithms = []algorithm{
	{"ed25519", digest.Ed25519, 0}, {"rsa-2048", digest.RSA, 2048}, {"rsa-3072", digest.RSA, 3072}, {"rsa-4096", digest.RSA, 4096},
}

// keygen returns the command that makes keys.
func (p *program) keygen() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "keygen [FOLDER]",
		Short: "Make the key pair that digests are signed with",
		Long: `Keygen makes a key pair and writes two files into FOLDER, which is made if it is not
there (default: the current one):

  private.pem  signs. Give it to the service that dumps its traces, and to nobody
               else; only you can read the file. It is not encrypted.
  public.pem   checks. Give it to everybody who shall verify the bucket, and keep a
               copy where whoever can write to the bucket can't change it.

Files that are there are never replaced: a digest that was signed with a key can be
checked with that key alone.

Algorithms: ed25519 (small and fast), rsa-2048, rsa-3072, rsa-4096 (what CTS itself and
older tools understand).`,
		Example: `  cts keygen                                a key pair in the current folder
  cts keygen --algorithm rsa-3072 ./keys    an RSA key pair in ./keys`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			folder := "."
			if len(args) == 1 {
				folder = args[0]
			}
			return p.makeKeys(name, folder)
		},
	}
	cmd.Flags().StringVar(&name, "algorithm", "ed25519", "ed25519, rsa-2048, rsa-3072 or rsa-4096")
	return cmd
}

func (p *program) makeKeys(name, folder string) error {
	for _, a := range algorithms {
		if a.name != name {
			continue
		}
		signer, err := digest.GenerateKey(a.sign, a.bits)
		if err != nil {
			return err
		}
		return p.writeKeys(signer, folder)
	}
	return usagef("--algorithm %q: want ed25519, rsa-2048, rsa-3072 or rsa-4096", name)
}

// writeKeys writes both files, or none.
func (p *program) writeKeys(signer *digest.Signer, folder string) error {
	private, err := digest.MarshalPrivateKeyPEM(signer)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	privatePath, publicPath := filepath.Join(folder, privateFile), filepath.Join(folder, publicFile)
	if err := writeNew(privatePath, private, 0o600); err != nil {
		return err
	}
	if err := writeNew(publicPath, digest.MarshalPublicKeyPEM(signer.Public()), 0o644); err != nil {
		return errors.Join(err, os.Remove(privatePath))
	}
	fmt.Fprintf(p.stdout, "private key  %s (keep it secret)\npublic key   %s\nalgorithm    %s\nkey id       %s\nfingerprint  %s\n",
		privatePath, publicPath, signer.Algorithm(), signer.KeyID(), signer.Public().Fingerprint())
	return nil
}

// writeNew writes a file that is not there yet, and has it on the disk when it returns.
func writeNew(path string, content []byte, perm fs.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and is not replaced", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
