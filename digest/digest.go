package digest

import (
	"bytes"
	"crypto/md5" //nolint:gosec // a choice that CTS makes; SHA-256 stands beside it
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// The reasons for which the functions of this package fail, to be told apart with
// errors.Is. Errors of the bucket are wrapped as they are.
var (
	// ErrInvalid means that a digest, signature object or key history is not one, or
	// contradicts itself.
	ErrInvalid = errors.New("digest: invalid")

	// ErrVersion means that it was written by a newer release. Use that.
	ErrVersion = errors.New("digest: format version is not supported")

	// ErrKey means that a key is of no use here: neither RSA of 2048 to 4096 bits nor
	// Ed25519, or no key at all.
	ErrKey = errors.New("digest: unusable key")

	// ErrSignature means that a signature was not made by this key over this content.
	ErrSignature = errors.New("digest: signature does not match")

	// ErrConflict means that the bucket holds another object under the name of a
	// digest or signature object. Names contain the chain and the end time, so
	// somebody wrote it by hand, or two processes seal with copies of one state.
	// Of a key history, that another one is there that it may not replace.
	ErrConflict = errors.New("digest: bucket holds another object under this name")

	// ErrSignatureConflict is an [ErrConflict] over a signature object. The digest
	// itself is in the bucket, with the signature in its metadata.
	ErrSignatureConflict = fmt.Errorf("%w: signature object", ErrConflict)

	// ErrTooLarge means that a digest is over MaxBytes, or lists more than a digest
	// may.
	ErrTooLarge = errors.New("digest: too large")
)

// MaxBytes is the largest number of bytes of a digest, uncompressed; stored, it has
// no more either.
const MaxBytes = 16 << 20

// MaxFiles is the largest number of trace files in one digest, and MaxHeads that of
// heads of other chains.
const (
	MaxFiles = 20_000
	MaxHeads = 1000
)

// The hash algorithms of digests, as they are written.
const (
	SHA256 = "SHA-256"
	MD5    = "MD5"
)

// Version is the version of the extension that this release writes and reads.
const Version = 1

// Digest is the content of a digest file: the fields of CTS in the order of CTS, and
// one of our own. FORMAT.md describes each.
type Digest struct {
	ProjectID             string     `json:"project_id"`
	Start                 Stamp      `json:"digest_start_time"`
	End                   Stamp      `json:"digest_end_time"`
	Bucket                string     `json:"digest_bucket"`
	Object                string     `json:"digest_object"` // its own key
	SignatureAlgorithm    string     `json:"digest_signature_algorithm"`
	Ending                bool       `json:"digest_end"` // the last of its chain
	PreviousBucket        string     `json:"previous_digest_bucket"`
	PreviousObject        string     `json:"previous_digest_object"`
	PreviousHash          string     `json:"previous_digest_hash_value"` // hex, of the stored bytes
	PreviousHashAlgorithm string     `json:"previous_digest_hash_algorithm"`
	PreviousSignature     string     `json:"previous_digest_signature"` // hex
	PreviousEnding        bool       `json:"previous_digest_end"`
	Files                 []File     `json:"log_files"`
	Extension             *Extension `json:"cts,omitempty"` // nil in a genuine digest of CTS
}

// File is one trace file in a digest.
type File struct {
	Bucket        string `json:"bucket"`
	Object        string `json:"object"`         // its key
	Hash          string `json:"log_hash_value"` // hex, of the stored bytes
	HashAlgorithm string `json:"log_hash_algorithm"`
}

// Extension is what a digest of this project says beyond those of CTS.
type Extension struct {
	Version    int          `json:"version"`
	Chain      string       `json:"chain"`   // 32 hex digits, see [ChainID]
	Writer     string       `json:"writer"`  // id of the store that is dumped
	Tracker    string       `json:"tracker"` // as it is in the traces; "" is a chain over several
	Service    string       `json:"service,omitempty"`
	Seq        int64        `json:"seq"`   // 1 for the first of a chain
	Hash       string       `json:"hash"`  // which hash of this digest is signed: SHA256 or MD5
	First      int64        `json:"first"` // ordinal in the chain of the first trace of this digest, from 1
	Count      int64        `json:"count"` // traces in this digest
	Files      []FileDetail `json:"files"` // parallel to Digest.Files
	KeyID      string       `json:"key_id"`
	Policy     string       `json:"policy,omitempty"`
	CompleteTo int64        `json:"complete_to,omitempty"` // ms since 1970 UTC
	Heads      []Head       `json:"heads,omitempty"`       // of other chains, in order of Chain
}

// FileDetail is what the extension says of one trace file.
type FileDetail struct {
	First  int64  `json:"first"` // ordinal of its first trace
	Count  int64  `json:"count"` // traces in it
	Root   string `json:"root"`  // Merkle root over its traces, 64 hex digits
	Size   int64  `json:"size"`  // stored bytes
	SHA256 string `json:"sha256"`
}

// Head is the newest digest of a chain at some moment: whoever keeps heads elsewhere
// can tell later that newer digests than that one are still there. As JSON it is one
// line of a file of heads.
type Head struct {
	Chain  string `json:"chain"`
	Seq    int64  `json:"seq"`
	SHA256 string `json:"sha256"`           // of the stored digest object, hex
	Count  int64  `json:"count"`            // traces in the chain so far: ordinal of the last one
	Object string `json:"object,omitempty"` // key of that digest, if known

	// Unchecked is set in digests for a head whose signature the writer had no key for:
	// anybody who may write to the bucket can have made it up.
	Unchecked bool `json:"unchecked,omitempty"`
}

// maxOrdinal bounds the numbers of digests and traces in a chain. No chain gets there, and
// every reader of JSON can tell it from its neighbours.
const maxOrdinal = 1 << 53

// Check reports, as [ErrInvalid], what is wrong with the form of h.
func (h Head) Check() error {
	switch {
	case !isHex(h.Chain, 32):
		return fmt.Errorf("%w: head: chain is not 32 lower-case hex digits", ErrInvalid)
	case !isHex(h.SHA256, 64):
		return fmt.Errorf("%w: head: sha256 is not 64 lower-case hex digits", ErrInvalid)
	case h.Seq < 1 || h.Seq > maxOrdinal || h.Count < 0 || h.Count > maxOrdinal:
		return fmt.Errorf("%w: head: seq %d or count %d is out of range", ErrInvalid, h.Seq, h.Count)
	}
	if h.Object == "" {
		return nil
	}
	if info, ok := ParseKey(h.Object); !ok || info.Kind != DigestFile || info.ID != h.Chain[:16] {
		return fmt.Errorf("%w: head: object is no key of a digest of its chain", ErrInvalid)
	}
	return nil
}

// Read reads a stored digest: JSON compressed with gzip, or as it is. See [Parse].
func Read(stored []byte) (*Digest, error) {
	if len(stored) > MaxBytes {
		return nil, fmt.Errorf("%w: a stored digest of %d bytes", ErrTooLarge, len(stored))
	}
	if len(stored) == 0 || stored[0] == '{' {
		return Parse(stored)
	}
	unzip, err := gzip.NewReader(bytes.NewReader(stored))
	if err != nil {
		return nil, fmt.Errorf("%w: neither gzip nor JSON: %w", ErrInvalid, err)
	}
	content, err := io.ReadAll(io.LimitReader(unzip, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return Parse(content)
}

// Parse parses the content of a digest. A genuine digest of CTS, which has no
// extension, is taken as it comes, with unknown fields passed over. One of this
// project is checked: it is written exactly as this release writes it, down to the
// byte, and does not contradict itself. The error matches [ErrInvalid], [ErrVersion]
// or [ErrTooLarge]. It shares no memory with content.
func Parse(content []byte) (*Digest, error) {
	if len(content) > MaxBytes {
		return nil, fmt.Errorf("%w: a digest of more than %d bytes", ErrTooLarge, MaxBytes)
	}
	if countValues(content) > maxValues {
		return nil, fmt.Errorf("%w: a digest of more than %d values", ErrTooLarge, maxValues)
	}
	d := &Digest{}
	if err := json.Unmarshal(content, d); err != nil {
		return nil, parseError(err)
	}
	if d.Extension == nil {
		if err := d.checkCTS(); err != nil {
			return nil, err
		}
		return d, nil
	}
	if d.Extension.Version != Version {
		return nil, fmt.Errorf("%w: version %d, this release reads %d", ErrVersion, d.Extension.Version, Version)
	}
	again, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !bytes.Equal(again, content) {
		return nil, fmt.Errorf("%w: it is not written as digests are: a field is unknown, missing, twice or misplaced", ErrInvalid)
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	return d, nil
}

// maxValues is how many values a digest may have. One of MaxFiles files and MaxHeads heads
// has about 200,000. Anybody can put more into 16 MiB, which takes far more memory as values.
const maxValues = 500_000

// countValues returns about how many values there are in JSON: the commas outside of strings.
func countValues(content []byte) int {
	n := 0
	for i := 0; i < len(content); i++ {
		switch content[i] {
		case ',':
			n++
		case '"':
			end := stringEnd(content, i+1)
			if end < 0 {
				return n
			}
			i = end - 1
		}
	}
	return n
}

// parseError says what is wrong without showing the content.
func parseError(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("%w: no JSON from offset %d on", ErrInvalid, syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Errorf("%w: field %s has another type", ErrInvalid, kind.Field)
	case errors.Is(err, ErrInvalid):
		return err
	}
	return fmt.Errorf("%w: no digest", ErrInvalid)
}

// Head returns the head that d is, given its stored bytes. It is for digests with an
// extension, and the zero Head for others.
func (d *Digest) Head(stored []byte) Head {
	x := d.Extension
	if x == nil {
		return Head{}
	}
	sum := sha256.Sum256(stored)
	return Head{Chain: x.Chain, Seq: x.Seq, SHA256: hex.EncodeToString(sum[:]), Count: x.First + x.Count - 1, Object: d.Object}
}

// HashAlgorithm returns which hash of the stored digest is signed: what the extension
// says, and MD5 in a genuine digest of CTS unless its trace files are hashed otherwise.
func (d *Digest) HashAlgorithm() string {
	switch {
	case d.Extension != nil:
		return d.Extension.Hash
	case d.PreviousHashAlgorithm != "":
		return d.PreviousHashAlgorithm
	case len(d.Files) > 0:
		return d.Files[0].HashAlgorithm
	}
	return MD5
}

// SigningString returns what the signature of d is made over, as CTS does it: end
// time, own key, hash of the stored bytes in hex, and the signature of the previous
// digest in hex, without separators. An unknown hash algorithm is [ErrInvalid].
func (d *Digest) SigningString(stored []byte) (string, error) {
	hash, err := Hash(d.HashAlgorithm(), stored)
	if err != nil {
		return "", err
	}
	return d.End.String() + d.Object + hash + d.PreviousSignature, nil
}

// Hash returns the hash of data, named as in digests, in lower-case hex. Another
// algorithm than [SHA256] and [MD5] is [ErrInvalid].
func Hash(algorithm string, data []byte) (string, error) {
	switch algorithm {
	case SHA256:
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:]), nil
	case MD5:
		sum := md5.Sum(data) //nolint:gosec // see the import
		return hex.EncodeToString(sum[:]), nil
	}
	return "", fmt.Errorf("%w: hash algorithm %.20q", ErrInvalid, algorithm)
}

// isHex reports whether s is n lower-case hex digits.
func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
