package demo

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cloudtraceservice/cts/digest"
)

// PublicKey returns the name of the file with the public key that checks what was sealed.
func PublicKey(dir string) string { return filepath.Join(dir, "public.pem") }

// loadKeys returns the key that signs digests, which is made in the first run. A service
// would have it from where it has its other secrets.
func loadKeys(dir string) (*digest.Signer, error) {
	private := filepath.Join(dir, "private.pem")
	text, err := os.ReadFile(private)
	if err == nil {
		return digest.ParsePrivateKeyPEM(text)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	signer, err := digest.GenerateKey(digest.Ed25519, 0)
	if err != nil {
		return nil, err
	}
	if text, err = digest.MarshalPrivateKeyPEM(signer); err != nil {
		return nil, err
	}
	if err := os.WriteFile(PublicKey(dir), digest.MarshalPublicKeyPEM(signer.Public()), 0o644); err != nil { //nolint:gosec // everybody may read it
		return nil, err
	}
	return signer, os.WriteFile(private, text, 0o600)
}
