package digest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// Proof shows that one trace is in a sealed trace file, to somebody who has the trace and
// the public key and neither the bucket nor the other traces of the file. As JSON it is
// one small file, see VERIFY.md.
type Proof struct {
	Version   int       `json:"version"` // 1
	Object    string    `json:"object"`  // key of the trace file
	Index     int64     `json:"index"`   // of the trace in the file, from 0
	Path      []string  `json:"path"`    // hashes from the leaf's sibling to the root's child, hex (RFC 6962, 2.1.1)
	Digest    []byte    `json:"digest"`  // the stored digest that lists the file, as it is
	Signature Signature `json:"signature"`
}

// proofVersion is the version that this release writes and reads.
const proofVersion = 1

// maxProof bounds a proof: a digest in base64, and some.
const maxProof = MaxBytes/3*4 + 64<<10

// ErrProof means that a proof does not hold: the trace is not the one it was made for, or
// one of both was changed.
var ErrProof = errors.New("digest: proof does not hold")

// ErrNoTrace is returned by [Prove] when no sealed trace matches.
var ErrNoTrace = errors.New("digest: no such trace in a sealed trace file")

// ParseProof parses what AppendJSON wrote. What is no proof is [ErrInvalid], [ErrVersion]
// or [ErrTooLarge]. That a proof can be parsed does not mean that it holds.
func ParseProof(content []byte) (*Proof, error) {
	if len(content) > maxProof {
		return nil, fmt.Errorf("%w: a proof of %d bytes", ErrTooLarge, len(content))
	}
	p := &Proof{}
	if err := json.Unmarshal(content, p); err != nil {
		return nil, parseError(err)
	}
	if p.Version != proofVersion {
		return nil, fmt.Errorf("%w: a proof of version %d, this release reads %d", ErrVersion, p.Version, proofVersion)
	}
	if p.Index < 0 || len(p.Path) > 64 || slices.ContainsFunc(p.Path, func(s string) bool { return !isHex(s, 64) }) {
		return nil, fmt.Errorf("%w: index or path of the proof is none", ErrInvalid)
	}
	return p, nil
}

// AppendJSON appends p as JSON on one line, with a newline at its end.
func (p *Proof) AppendJSON(b []byte) []byte {
	line, err := json.Marshal(p)
	if err != nil { // numbers, strings and bytes
		return b
	}
	return append(append(b, line...), '\n')
}

// Verify returns nil if the trace is in the trace file Object, as number Index, and that
// file is in a digest signed with one of the keys. The trace is given as it stands in the
// file, but for white space around it. Otherwise the error is [ErrProof]; [ErrKey] if the
// key that signed is not among the keys; [ErrSignature] if it did not sign this digest; or
// [ErrInvalid] if the digest is none.
func (p *Proof) Verify(trace []byte, keys []*PublicKey) error {
	d, err := Read(p.Digest)
	if err != nil {
		return fmt.Errorf("the digest in the proof: %w", err)
	}
	if d.Extension == nil {
		return fmt.Errorf("%w: the digest in the proof has no Merkle roots", ErrInvalid)
	}
	i := slices.IndexFunc(keys, func(k *PublicKey) bool { return k != nil && k.ID() == d.Extension.KeyID })
	if i < 0 {
		return fmt.Errorf("%w: the digest in the proof is signed with key %s, which was not given", ErrKey, d.Extension.KeyID)
	}
	if err := CheckSignature(keys[i], d, p.Digest, p.Signature.Signature); err != nil {
		return fmt.Errorf("the digest in the proof: %w", err)
	}
	return p.included(d, bytes.TrimSpace(trace))
}

// included checks the audit path.
func (p *Proof) included(d *Digest, trace []byte) error {
	i := slices.IndexFunc(d.Files, func(f File) bool { return f.Object == p.Object })
	if i < 0 {
		return fmt.Errorf("%w: the digest does not list the trace file %.300q", ErrProof, p.Object)
	}
	file := d.Extension.Files[i]
	if p.Index < 0 || p.Index >= file.Count {
		return fmt.Errorf("%w: the trace file has %d traces, and this is number %d", ErrProof, file.Count, p.Index)
	}
	path := make([][]byte, len(p.Path))
	for i, s := range p.Path {
		hash, err := hex.DecodeString(s)
		if err != nil {
			return fmt.Errorf("%w: its path is not in hex", ErrProof)
		}
		path[i] = hash
	}
	root, err := hex.DecodeString(file.Root)
	if err != nil {
		return fmt.Errorf("%w: the root is not in hex", ErrProof)
	}
	leaf := LeafHash(trace)
	err = proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(p.Index), uint64(file.Count), leaf[:], path, root)
	if err != nil {
		return fmt.Errorf("%w: this trace is not number %d of the trace file", ErrProof, p.Index)
	}
	return nil
}
