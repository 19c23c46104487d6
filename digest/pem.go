package digest

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

const (
	pemPrivate = "PRIVATE KEY"
	pemPublic  = "PUBLIC KEY"
	maxPEM     = 64 << 10
)

// GenerateKey makes a new key of the algorithm, [Ed25519] or [RSA]. An RSA key has the
// given bits, 2048, 3072 or 4096, or 3072 if bits is 0; of an Ed25519 key bits is 0.
func GenerateKey(algorithm string, bits int) (*Signer, error) {
	switch {
	case algorithm == Ed25519 && bits == 0:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("digest: making a key: %w", err)
		}
		return NewSigner(key)
	case algorithm == RSA && (bits == 0 || bits == 2048 || bits == 3072 || bits == 4096):
		if bits == 0 {
			bits = 3072
		}
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return nil, fmt.Errorf("digest: making a key: %w", err)
		}
		return NewSigner(key)
	}
	return nil, fmt.Errorf("%w: %.20q of %d bits: want Ed25519, or SHA256withRSA of 2048, 3072 or 4096", ErrKey, algorithm, bits)
}

// MarshalPrivateKeyPEM returns the private key as PKCS#8 (RFC 5958) in PEM (RFC 7468),
// not encrypted: keep it in a file that nobody else may read. A key that lives
// elsewhere is [ErrKey].
func MarshalPrivateKeyPEM(s *Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return nil, fmt.Errorf("%w: it can't be written down", ErrKey)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: der}), nil
}

// MarshalPublicKeyPEM returns the public key as SubjectPublicKeyInfo (RFC 5280) in PEM.
func MarshalPublicKeyPEM(k *PublicKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: k.spki})
}

// ParsePrivateKeyPEM parses one private key, PKCS#8 in PEM. Anything else is [ErrKey];
// the error shows nothing of it.
func ParsePrivateKeyPEM(text []byte) (*Signer, error) {
	der, err := parsePEM(text, pemPrivate)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: it is no private key in PKCS#8", ErrKey)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: it is neither RSA nor Ed25519", ErrKey)
	}
	return NewSigner(signer)
}

// ParsePublicKeyPEM parses one public key, SubjectPublicKeyInfo in PEM. Anything else
// is [ErrKey].
func ParsePublicKeyPEM(text []byte) (*PublicKey, error) {
	der, err := parsePEM(text, pemPublic)
	if err != nil {
		return nil, err
	}
	return ParsePublicKey(der)
}

// ParsePublicKey parses a public key, SubjectPublicKeyInfo in DER. Anything else is
// [ErrKey].
func ParsePublicKey(spki []byte) (*PublicKey, error) {
	if len(spki) > maxPEM {
		return nil, fmt.Errorf("%w: %d bytes are too many", ErrKey, len(spki))
	}
	key, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, fmt.Errorf("%w: it is no SubjectPublicKeyInfo", ErrKey)
	}
	k, err := NewPublicKey(key)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(k.spki, spki) { // or one key had several ids
		return nil, fmt.Errorf("%w: its encoding is not the usual one", ErrKey)
	}
	return k, nil
}

// parsePEM returns the content of the one block of the kind.
func parsePEM(text []byte, kind string) ([]byte, error) {
	if len(text) > maxPEM {
		return nil, fmt.Errorf("%w: %d bytes are too many", ErrKey, len(text))
	}
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return nil, fmt.Errorf("%w: it is not PEM", ErrKey)
	case block.Type != kind:
		return nil, fmt.Errorf("%w: a PEM block of another type: want %q", ErrKey, kind)
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, fmt.Errorf("%w: something follows the PEM block", ErrKey)
	}
	return block.Bytes, nil
}
