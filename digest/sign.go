package digest

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// The signature algorithms, as they are written in digests.
const (
	// RSA is RSASSA-PKCS1-v1_5 over SHA-256 (RFC 8017), as CTS signs.
	RSA = "SHA256withRSA"

	// Ed25519 is pure Ed25519 (RFC 8032).
	Ed25519 = "Ed25519"
)

// The bits of a modulus that a signing and a checking key may have. A signature of
// 4096 bits is the largest that fits into the metadata of an object with the rest.
const (
	minRSABits        = 2048
	maxRSABits        = 4096
	maxForeignRSABits = 8192
)

// PublicKey is a key that signatures are checked with. It is safe for concurrent use.
type PublicKey struct {
	key         crypto.PublicKey // *rsa.PublicKey or ed25519.PublicKey
	spki        []byte
	fingerprint string
}

// NewPublicKey returns key, an *rsa.PublicKey of 2048 to 8192 bits or an
// ed25519.PublicKey. Another one is [ErrKey].
func NewPublicKey(key crypto.PublicKey) (*PublicKey, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k == nil || k.N == nil || k.N.BitLen() < minRSABits || k.N.BitLen() > maxForeignRSABits || k.E < 3 || k.E%2 == 0 {
			return nil, fmt.Errorf("%w: an RSA key needs %d to %d bits", ErrKey, minRSABits, maxForeignRSABits)
		}
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%w: an Ed25519 key has %d bytes", ErrKey, ed25519.PublicKeySize)
		}
		key = ed25519.PublicKey(bytes.Clone(k))
	default:
		return nil, fmt.Errorf("%w: it is neither RSA nor Ed25519", ErrKey)
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	sum := sha256.Sum256(spki)
	return &PublicKey{key: key, spki: spki, fingerprint: hex.EncodeToString(sum[:])}, nil
}

// Fingerprint returns the SHA-256 of the key as SubjectPublicKeyInfo (RFC 5280), 64
// hex digits.
func (k *PublicKey) Fingerprint() string { return k.fingerprint }

// ID returns the first 32 hex digits of the fingerprint: the key_id of digests.
func (k *PublicKey) ID() string { return k.fingerprint[:32] }

// Algorithm returns [RSA] or [Ed25519].
func (k *PublicKey) Algorithm() string {
	if _, ok := k.key.(*rsa.PublicKey); ok {
		return RSA
	}
	return Ed25519
}

// SPKI returns the key as SubjectPublicKeyInfo in DER.
func (k *PublicKey) SPKI() []byte { return bytes.Clone(k.spki) }

// Check returns [ErrSignature] unless signature, in hex, was made over message with the
// private part of this key.
func (k *PublicKey) Check(message []byte, signature string) error {
	raw, err := hex.DecodeString(signature)
	if err != nil {
		return fmt.Errorf("%w: it is not in hex", ErrSignature)
	}
	ok := false
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		sum := sha256.Sum256(message)
		ok = rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], raw) == nil
	case ed25519.PublicKey:
		ok = ed25519.Verify(key, message, raw)
	}
	if !ok {
		return fmt.Errorf("%w: key %s", ErrSignature, k.ID())
	}
	return nil
}

// CheckSignature returns [ErrSignature] unless signature, in hex, is that of the digest
// d with the stored bytes under key. A digest that names another algorithm or key than
// this one is [ErrSignature] too.
func CheckSignature(key *PublicKey, d *Digest, stored []byte, signature string) error {
	if d.SignatureAlgorithm != key.Algorithm() {
		return fmt.Errorf("%w: the digest is signed with another algorithm", ErrSignature)
	}
	if d.Extension != nil && d.Extension.KeyID != key.ID() {
		return fmt.Errorf("%w: the digest names another key", ErrSignature)
	}
	message, err := d.SigningString(stored)
	if err != nil {
		return err
	}
	return key.Check([]byte(message), signature)
}

// Signer signs digests. It is safe for concurrent use if its key is, as those of the
// standard library are.
type Signer struct {
	key    crypto.Signer
	public *PublicKey
}

// NewSigner returns a Signer with an RSA key of 2048 to 4096 bits or an Ed25519 key;
// another one is [ErrKey]. The key may live elsewhere, such as in a hardware module or
// a key service: only Public and Sign are called, Sign with crypto.SHA256 and the hash
// for RSA, and with crypto.Hash(0) and the message for Ed25519.
func NewSigner(key crypto.Signer) (*Signer, error) {
	if key == nil {
		return nil, fmt.Errorf("%w: it is nil", ErrKey)
	}
	if k, ok := key.(ed25519.PrivateKey); ok && len(k) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("%w: an Ed25519 private key has %d bytes", ErrKey, ed25519.PrivateKeySize)
	}
	public, err := NewPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	if k, ok := public.key.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSABits {
		return nil, fmt.Errorf("%w: an RSA key to sign with has %d bits at most", ErrKey, maxRSABits)
	}
	return &Signer{key: key, public: public}, nil
}

// Public returns the public key.
func (s *Signer) Public() *PublicKey { return s.public }

// KeyID returns the id of the public key.
func (s *Signer) KeyID() string { return s.public.ID() }

// Algorithm returns [RSA] or [Ed25519].
func (s *Signer) Algorithm() string { return s.public.Algorithm() }

// Sign returns the signature over message, in lower-case hex. It is checked before it
// is returned, so that a faulty key module is found at once.
func (s *Signer) Sign(message []byte) (string, error) {
	signed, hash := message, crypto.Hash(0)
	if s.Algorithm() == RSA {
		sum := sha256.Sum256(message)
		signed, hash = sum[:], crypto.SHA256
	}
	raw, err := s.key.Sign(rand.Reader, signed, hash)
	if err != nil {
		return "", fmt.Errorf("digest: signing with key %s: %w", s.KeyID(), err)
	}
	signature := hex.EncodeToString(raw)
	if err := s.public.Check(message, signature); err != nil {
		return "", fmt.Errorf("the signing key made a wrong signature: %w", err)
	}
	return signature, nil
}

// The metadata keys of a digest object that carry its signature.
const (
	MetaSignature          = "meta-signature"
	MetaSignatureAlgorithm = "meta-signature-algorithm"
	MetaKeyID              = "meta-key-id"
)

// Signature is the content of a signature object: the signature of a digest, for a
// bucket that was copied without its metadata.
type Signature struct {
	Signature    string `json:"signature"` // hex
	Algorithm    string `json:"signature_algorithm"`
	KeyID        string `json:"key_id"`
	DigestSHA256 string `json:"digest_sha256"` // of the stored digest, hex
}

// maxSignature bounds a signature object.
const maxSignature = 8 << 10

// AppendJSON appends s as it is stored: JSON on one line, with a newline at its end.
func (s Signature) AppendJSON(b []byte) []byte {
	line, err := json.Marshal(s)
	if err != nil { // four strings
		return b
	}
	return append(append(b, line...), '\n')
}

// ParseSignature parses a signature object. What is not exactly as AppendJSON writes
// it is [ErrInvalid].
func ParseSignature(content []byte) (Signature, error) {
	var s Signature
	if len(content) > maxSignature {
		return s, fmt.Errorf("%w: a signature object of %d bytes", ErrInvalid, len(content))
	}
	if err := json.Unmarshal(content, &s); err != nil {
		return Signature{}, parseError(err)
	}
	n := len(s.Signature)
	switch {
	case !bytes.Equal(s.AppendJSON(nil), content):
		return Signature{}, fmt.Errorf("%w: it is not written as signature objects are", ErrInvalid)
	case n == 0 || n%2 != 0 || !isHex(s.Signature, n) || !isHex(s.KeyID, 32) || !isHex(s.DigestSHA256, 64):
		return Signature{}, fmt.Errorf("%w: signature, key_id or digest_sha256 is not in hex", ErrInvalid)
	}
	return s, nil
}
