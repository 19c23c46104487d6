package digest_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts/digest"
)

// rsaSigner returns one RSA key for all tests.
var rsaSigner = func() func(tb testing.TB) *digest.Signer {
	var signer *digest.Signer
	return func(tb testing.TB) *digest.Signer {
		tb.Helper()
		if signer == nil {
			s, err := digest.GenerateKey(digest.RSA, 2048)
			if err != nil {
				tb.Fatal(err)
			}
			signer = s
		}
		return signer
	}
}()

func TestSigner(t *testing.T) {
	for _, s := range []*digest.Signer{chainSigner(t), rsaSigner(t)} {
		t.Run(s.Algorithm(), func(t *testing.T) {
			signature, err := s.Sign([]byte("message"))
			if err != nil {
				t.Fatal(err)
			}
			key := s.Public()
			if err := key.Check([]byte("message"), signature); err != nil {
				t.Error(err)
			}
			if signature != strings.ToLower(signature) || s.KeyID() != key.ID() || s.Algorithm() != key.Algorithm() {
				t.Errorf("signature %s of key %s", signature, s.KeyID())
			}
			sum := sha256.Sum256(key.SPKI())
			if hex.EncodeToString(sum[:]) != key.Fingerprint() || key.ID() != key.Fingerprint()[:32] {
				t.Errorf("fingerprint %s, id %s", key.Fingerprint(), key.ID())
			}
			for name, bad := range map[string][2]string{
				"message": {"messagE", signature}, "signature": {"message", signature[2:]}, "hex": {"message", "x" + signature[1:]}, "none": {"message", ""},
			} {
				if err := key.Check([]byte(bad[0]), bad[1]); !errors.Is(err, digest.ErrSignature) {
					t.Errorf("another %s: %v", name, err)
				}
			}
		})
	}
	signature, err := chainSigner(t).Sign([]byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	if err := rsaSigner(t).Public().Check([]byte("message"), signature); !errors.Is(err, digest.ErrSignature) {
		t.Errorf("signature of another key: %v", err)
	}
}

func TestCheckSignature(t *testing.T) {
	c := digest.NewChain(digest.ChainOptions{Writer: chainWriter, Tracker: "system"}, chainBegin)
	o := chainOptions(t, c.Start+60)
	o.Signer, o.Hash = rsaSigner(t), digest.MD5
	s, d := chainCut(t, c, o)
	md5, err := digest.Hash(digest.MD5, s.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.SigningString(s.Bytes); err != nil || got != "2026-11-22T22-01-00Z"+s.Key+md5 {
		t.Errorf("signing string %q, %v", got, err)
	}
	if err := digest.CheckSignature(chainSigner(t).Public(), d, s.Bytes, s.Last.Signature); !errors.Is(err, digest.ErrSignature) {
		t.Errorf("another algorithm: %v", err)
	}
	d.Extension.KeyID = strings.Repeat("0", 32)
	if err := digest.CheckSignature(o.Signer.Public(), d, s.Bytes, s.Last.Signature); !errors.Is(err, digest.ErrSignature) {
		t.Errorf("another key: %v", err)
	}
	d.Extension.Hash = "CRC"
	if _, err := d.SigningString(s.Bytes); !errors.Is(err, digest.ErrInvalid) {
		t.Errorf("unknown hash: %v", err)
	}
}

// faultyKey signs with another key than it says.
type faultyKey struct {
	public crypto.PublicKey
	err    error
}

func (k faultyKey) Public() crypto.PublicKey { return k.public }

func (k faultyKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, ed25519.SignatureSize), k.err
}

func TestSignerRefuses(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	huge := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 4096), E: 65537}
	for name, key := range map[string]crypto.Signer{
		"nil": nil, "ECDSA": ec, "short Ed25519": ed25519.PrivateKey("short"), "RSA too large to sign": faultyKey{public: huge},
		"no key": faultyKey{public: "x"}, "short public": faultyKey{public: ed25519.PublicKey("short")},
	} {
		if _, err := digest.NewSigner(key); !errors.Is(err, digest.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	small := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}
	for name, key := range map[string]crypto.PublicKey{"small RSA": small, "nil": nil, "nil RSA": (*rsa.PublicKey)(nil), "no modulus": &rsa.PublicKey{}, "ECDSA": ec.Public()} {
		if _, err := digest.NewPublicKey(key); !errors.Is(err, digest.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	broken, err := digest.NewSigner(faultyKey{public: public})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := broken.Sign([]byte("m")); !errors.Is(err, digest.ErrSignature) {
		t.Errorf("a key module that signs wrong: %v", err)
	}
	failing, err := digest.NewSigner(faultyKey{public: public, err: io.ErrClosedPipe})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := failing.Sign([]byte("m")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a key module that fails: %v", err)
	}
	c := digest.NewChain(digest.ChainOptions{Writer: chainWriter, Tracker: "system"}, chainBegin)
	o := chainOptions(t, c.Start+60)
	o.Signer = failing
	if _, err := c.Cut(o); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("cut with a key module that fails: %v", err)
	}
	if _, err := digest.MarshalPrivateKeyPEM(failing); !errors.Is(err, digest.ErrKey) {
		t.Errorf("writing down a key that lives elsewhere: %v", err)
	}
}

func TestKeyPEM(t *testing.T) {
	for _, s := range []*digest.Signer{chainSigner(t), rsaSigner(t)} {
		private, err := digest.MarshalPrivateKeyPEM(s)
		if err != nil {
			t.Fatal(err)
		}
		public := digest.MarshalPublicKeyPEM(s.Public())
		again, err := digest.ParsePrivateKeyPEM(private)
		if err != nil || again.KeyID() != s.KeyID() {
			t.Errorf("private key: %v", err)
		}
		key, err := digest.ParsePublicKeyPEM(public)
		if err != nil || key.Fingerprint() != s.Public().Fingerprint() {
			t.Errorf("public key: %v", err)
		}
		for name, err := range map[string]error{
			"public as private": second(digest.ParsePrivateKeyPEM(public)), "private as public": second(digest.ParsePublicKeyPEM(private)),
			"two keys": second(digest.ParsePublicKeyPEM(append(bytes.Clone(public), public...))), "cut": second(digest.ParsePrivateKeyPEM(private[:60])),
			"too long": second(digest.ParsePrivateKeyPEM(make([]byte, 1<<20))), "DER too long": second(digest.ParsePublicKey(make([]byte, 1<<20))),
			"no PEM":    second(digest.ParsePublicKeyPEM([]byte("x"))),
			"junk":      second(digest.ParsePublicKeyPEM(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("junk")}))),
			"junk, too": second(digest.ParsePrivateKeyPEM(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("junk")}))),
		} {
			if !errors.Is(err, digest.ErrKey) || strings.Contains(err.Error(), "junk") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := digest.ParsePrivateKeyPEM(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); !errors.Is(err, digest.ErrKey) {
		t.Errorf("ECDSA: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestGenerateKey(t *testing.T) {
	s, err := digest.GenerateKey(digest.Ed25519, 0)
	if err != nil || s.Algorithm() != digest.Ed25519 {
		t.Errorf("Ed25519: %v", err)
	}
	for _, bad := range []struct {
		algorithm string
		bits      int
	}{{digest.Ed25519, 256}, {digest.RSA, 1024}, {digest.RSA, 8192}, {"ECDSA", 0}, {"", 0}} {
		if _, err := digest.GenerateKey(bad.algorithm, bad.bits); !errors.Is(err, digest.ErrKey) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestGenuineSignature checks that the published signature of a digest of CTS is one
// under the published key: what it signs was not published, so the block inside is what
// can be looked at (RFC 8017, section 9.2, with the DigestInfo of SHA-256).
func TestGenuineSignature(t *testing.T) {
	var material struct {
		Key      string            `json:"rsa_public_key_spki_base64"`
		Metadata map[string]string `json:"object_metadata"`
	}
	if err := json.Unmarshal(sample(t, "signature-material.json"), &material); err != nil {
		t.Fatal(err)
	}
	spki, err := base64.StdEncoding.DecodeString(material.Key)
	if err != nil {
		t.Fatal(err)
	}
	key, err := digest.ParsePublicKey(spki)
	if err != nil {
		t.Fatal(err)
	}
	if key.Algorithm() != digest.RSA || material.Metadata[digest.MetaSignatureAlgorithm] != digest.RSA {
		t.Errorf("algorithm %s, %v", key.Algorithm(), material.Metadata)
	}
	d, err := digest.Parse(sample(t, "otc-digest-file-2017.json"))
	if err != nil {
		t.Fatal(err)
	}
	signature, ok := new(big.Int).SetString(d.PreviousSignature, 16)
	if !ok {
		t.Fatal("the signature is not in hex")
	}
	parsed, err := x509.ParsePKIXPublicKey(key.SPKI())
	if err != nil {
		t.Fatal(err)
	}
	public, ok := parsed.(*rsa.PublicKey)
	if !ok {
		t.Fatalf("a %T", parsed)
	}
	block := new(big.Int).Exp(signature, big.NewInt(int64(public.E)), public.N).FillBytes(make([]byte, public.Size()))
	info, err := hex.DecodeString("3031300d060960864801650304020105000420")
	if err != nil {
		t.Fatal(err)
	}
	want := append(append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, public.Size()-3-len(info)-sha256.Size)...), 0)
	if want = append(want, info...); !bytes.HasPrefix(block, want) || len(block) != len(want)+sha256.Size {
		t.Error("the block under the signature is none of PKCS #1 v1.5 with a SHA-256")
	}
}

func TestParseSignature(t *testing.T) {
	c := digest.NewChain(digest.ChainOptions{Writer: chainWriter, Tracker: "system"}, chainBegin)
	s, _ := chainCut(t, c, chainOptions(t, c.Start+60))
	good := s.Signature().AppendJSON(nil)
	got, err := digest.ParseSignature(good)
	if diff := cmp.Diff(s.Signature(), got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	text := string(good)
	for name, bad := range map[string]string{
		"no newline": strings.TrimSpace(text), "two": text + text, "empty": "", "null": "null", "field": strings.Replace(text, "{", `{"x":1,`, 1),
		"upper case": strings.ToUpper(text), "key id": strings.Replace(text, s.KeyID, "", 1), "signature": strings.Replace(text, s.Last.Signature, "abc", 1),
		"long": text + strings.Repeat(" ", 1<<14),
	} {
		if _, err := digest.ParseSignature([]byte(bad)); !errors.Is(err, digest.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyHistory(t *testing.T) {
	root, old, current := rsaSigner(t), chainSigner(t), rsaSigner(t)
	history := digest.KeyHistory{Keys: []digest.KeyRecord{digest.NewKeyRecord(old.Public(), 100), digest.NewKeyRecord(current.Public(), 200)}}
	history.Keys[0].Until, history.Serial = 300, 7
	signed, err := digest.SignKeyHistory(root, history)
	if err != nil {
		t.Fatal(err)
	}
	got, err := digest.VerifyKeyHistory(signed, root.Public().Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	history.Version = 1
	if diff := cmp.Diff(&history, got); diff != "" {
		t.Error(diff)
	}
	for end, want := range map[digest.Stamp][2]bool{99: {}, 100: {true, false}, 200: {true, true}, 300: {true, true}, 301: {false, true}} {
		if got := [2]bool{got.Keys[0].Valid(end), got.Keys[1].Valid(end)}; got != want {
			t.Errorf("valid at %d: %v", end, got)
		}
	}
	if key, err := got.Keys[0].Key(); err != nil || key.ID() != old.KeyID() {
		t.Errorf("key: %v", err)
	}
	got.Keys[1].Revoked = true
	if got.Keys[1].Valid(250) {
		t.Error("a revoked key is valid")
	}
	if _, err := digest.VerifyKeyHistory(signed, old.Public().Fingerprint()); !errors.Is(err, digest.ErrSignature) {
		t.Errorf("another root: %v", err)
	}
	changed := bytes.Replace(signed, []byte(`"from":100`), []byte(`"from":101`), 1)
	if _, err := digest.VerifyKeyHistory(changed, root.Public().Fingerprint()); !errors.Is(err, digest.ErrSignature) {
		t.Errorf("changed: %v", err)
	}
	if _, err := digest.VerifyKeyHistory(make([]byte, 5<<20), root.Public().Fingerprint()); !errors.Is(err, digest.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	for name, spoil := range map[string]func(*digest.KeyHistory){
		"twice":     func(h *digest.KeyHistory) { h.Keys = append(h.Keys, h.Keys[0]) },
		"until":     func(h *digest.KeyHistory) { h.Keys[0].Until = 99 },
		"from":      func(h *digest.KeyHistory) { h.Keys[0].From = -1 },
		"key id":    func(h *digest.KeyHistory) { h.Keys[0].KeyID = h.Keys[1].KeyID },
		"algorithm": func(h *digest.KeyHistory) { h.Keys[0].Algorithm = digest.RSA },
		"key":       func(h *digest.KeyHistory) { h.Keys[0].PublicKey = "AAAA" },
		"base64":    func(h *digest.KeyHistory) { h.Keys[0].PublicKey = "*" },
		"version":   func(h *digest.KeyHistory) { h.Version = 2 },
		"serial":    func(h *digest.KeyHistory) { h.Serial = -1 },
		"too many":  func(h *digest.KeyHistory) { h.Keys = make([]digest.KeyRecord, 5000) },
	} {
		h := digest.KeyHistory{Keys: append([]digest.KeyRecord(nil), history.Keys...)}
		spoil(&h)
		_, err := digest.SignKeyHistory(root, h)
		if !errors.Is(err, digest.ErrInvalid) && !errors.Is(err, digest.ErrKey) && !errors.Is(err, digest.ErrVersion) && !errors.Is(err, digest.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzKeyPEM(f *testing.F) {
	private, err := digest.MarshalPrivateKeyPEM(chainSigner(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(private)
	f.Add(digest.MarshalPublicKeyPEM(chainSigner(f).Public()))
	f.Add(digest.MarshalPublicKeyPEM(rsaSigner(f).Public()))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := digest.ParsePrivateKeyPEM(text); err == nil {
			if again, err := digest.MarshalPrivateKeyPEM(s); err != nil || second(digest.ParsePrivateKeyPEM(again)) != nil {
				t.Errorf("a private key can't be written again: %v", err)
			}
		} else if !errors.Is(err, digest.ErrKey) {
			t.Errorf("private: error of no kind: %v", err)
		}
		key, err := digest.ParsePublicKeyPEM(text)
		if err != nil {
			if !errors.Is(err, digest.ErrKey) {
				t.Errorf("public: error of no kind: %v", err)
			}
			return
		}
		again, err := digest.ParsePublicKeyPEM(digest.MarshalPublicKeyPEM(key))
		if err != nil || again.Fingerprint() != key.Fingerprint() {
			t.Errorf("public key: %v", err)
		}
	})
}

func FuzzVerifyKeyHistory(f *testing.F) {
	root := chainSigner(f)
	signed, err := digest.SignKeyHistory(root, digest.KeyHistory{Keys: []digest.KeyRecord{digest.NewKeyRecord(root.Public(), 1)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add([]byte(`{"history":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := digest.VerifyKeyHistory(text, root.Public().Fingerprint())
		if (err == nil) != bytes.Equal(text, signed) || (err == nil) != (h != nil) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func FuzzParseSignature(f *testing.F) {
	f.Add([]byte(`{"signature":"ab","signature_algorithm":"Ed25519","key_id":"00","digest_sha256":"00"}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := digest.ParseSignature(text)
		if err == nil && !bytes.Equal(s.AppendJSON(nil), text) || err != nil && !errors.Is(err, digest.ErrInvalid) {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	})
}
