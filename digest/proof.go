package digest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/cloudtraceservice/cts/obs"
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

// ProveOptions say which trace [Prove] is to find.
type ProveOptions struct {
	// Find reports whether this is the trace. It is shown the exact bytes of traces,
	// which it must not keep. Required.
	Find func(trace []byte) bool

	// Object is the key of the trace file to look into.
	// Default: "", all files in the time range.
	Object string

	// From and To are the time range [From, To) of the end times of the digests that
	// are looked into. With Object, From is the day of its key at least.
	// Default: zero, from the beginning; zero, to the end.
	From, To time.Time

	// Region is as in VerifyOptions.
	// Default: "", all.
	Region string
}

// Prove finds the first trace that matches and returns a proof for it, and its bytes. The
// trace file and the signature object are compared with the digest, so that what Prove
// returns holds under the key that the digest names; whether that key is to be trusted is
// for Verify to say, and whether the rest of the bucket is in order for the function
// [Verify].
//
// Without a match the error is [ErrNoTrace]. Digests and trace files that are damaged or
// not there are passed over; if then nothing matches, the error names the first of them
// too. It needs 32 bytes for each trace of one file.
func Prove(ctx context.Context, bucket obs.Client, opts *ProveOptions) (*Proof, []byte, error) {
	if opts == nil || opts.Find == nil {
		return nil, nil, fmt.Errorf("digest: prove: %w: Find is required", ErrInvalid)
	}
	p := &prover{bucket: bucket, opts: *opts, summarizer: newSummarizer()}
	found, trace, err := p.run(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("digest: prove: %w", err)
	}
	return found, trace, nil
}

// prover is one run of Prove.
type prover struct {
	bucket     obs.Client
	opts       ProveOptions
	summarizer *summarizer
	leaves     [][sha256.Size]byte
	passed     error // the first object that was passed over
}

func (p *prover) run(ctx context.Context) (*Proof, []byte, error) {
	from, to := minStamp, maxStamp
	if !p.opts.From.IsZero() {
		from = StampOf(p.opts.From)
	}
	if !p.opts.To.IsZero() {
		to = StampOf(p.opts.To)
	}
	if info, ok := ParseKey(p.opts.Object); ok {
		from = max(from, info.Date)
	}
	roots, err := bucketRoots(ctx, p.bucket, p.opts.Region)
	if err != nil {
		return nil, nil, err
	}
	for _, root := range roots {
		for d, err := range days(ctx, p.bucket, root, from) {
			if err != nil {
				return nil, nil, err
			}
			if d.date >= to {
				break
			}
			found, trace, err := p.day(ctx, d, from, to)
			if found != nil || err != nil {
				return found, trace, err
			}
		}
	}
	return nil, nil, errors.Join(ErrNoTrace, p.passed)
}

// day looks into the digests of a day.
func (p *prover) day(ctx context.Context, d day, from, to Stamp) (*Proof, []byte, error) {
	digests, err := digestKeys(ctx, p.bucket, d)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range digests {
		if k.info.Time < from || k.info.Time >= to {
			continue
		}
		found, trace, err := p.digest(ctx, k.key)
		if found != nil || err != nil {
			return found, trace, err
		}
	}
	return nil, nil, nil
}

// digest looks into the trace files of a digest.
func (p *prover) digest(ctx context.Context, key string) (*Proof, []byte, error) {
	stored, object, err := getObject(ctx, p.bucket, key, MaxBytes)
	if err != nil {
		return nil, nil, p.pass(key, err)
	}
	d, err := Read(stored)
	if err != nil {
		return nil, nil, p.pass(key, err)
	}
	if d.Extension == nil {
		return nil, nil, nil
	}
	for i, f := range d.Files {
		if p.opts.Object != "" && f.Object != p.opts.Object {
			continue
		}
		index, trace, err := p.file(ctx, f.Object, d.Extension.Files[i])
		if err != nil {
			if err := p.pass(f.Object, err); err != nil {
				return nil, nil, err
			}
			continue
		}
		if index < 0 {
			continue
		}
		signature, err := p.signature(ctx, key, d, stored, object.Metadata)
		if err != nil {
			return nil, nil, p.pass(key, err)
		}
		return &Proof{Version: proofVersion, Object: f.Object, Index: index, Path: p.path(index), Digest: stored, Signature: signature}, trace, nil
	}
	return nil, nil, nil
}

// pass takes note of an object that is of no use. It returns the error if that is not the
// object's but the way's to the store.
func (p *prover) pass(key string, err error) error {
	err = fmt.Errorf("%s: %w", key, err)
	known := isAbsent(err) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrVersion) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrSignature)
	if !known {
		return err
	}
	if p.passed == nil {
		p.passed = err
	}
	return nil
}

// file looks for the trace in a file. It returns -1 if it is not there.
func (p *prover) file(ctx context.Context, key string, detail FileDetail) (index int64, trace []byte, err error) {
	body, object, err := p.bucket.Get(ctx, key)
	if err != nil {
		return -1, nil, err
	}
	defer body.Close() //nolint:errcheck // only read from
	index = -1
	p.leaves = p.leaves[:0]
	sum, fault, err := p.summarizer.run(io.LimitReader(body, detail.Size+1), false, func(leaf []byte) error {
		if int64(len(p.leaves)) == detail.Count {
			return errTooMany
		}
		if index < 0 && p.opts.Find(leaf) {
			index, trace = int64(len(p.leaves)), bytes.Clone(leaf)
		}
		p.leaves = append(p.leaves, LeafHash(leaf))
		return nil
	})
	switch {
	case err != nil:
		return -1, nil, err
	case sum.Size < min(object.Size, detail.Size):
		return -1, nil, io.ErrUnexpectedEOF
	case fault != nil || sum.Size != detail.Size || hex.EncodeToString(sum.SHA256[:]) != detail.SHA256 || hex.EncodeToString(sum.Root[:]) != detail.Root:
		return -1, nil, fmt.Errorf("%w: the trace file is not as it was sealed", ErrInvalid)
	}
	return index, trace, nil
}

// signature returns the signature of a digest, from its signature object or its metadata.
func (p *prover) signature(ctx context.Context, key string, d *Digest, stored []byte, metadata map[string]string) (Signature, error) {
	sum := sha256.Sum256(stored)
	s := Signature{
		Signature: metadata[MetaSignature], Algorithm: d.SignatureAlgorithm, KeyID: d.Extension.KeyID, DigestSHA256: hex.EncodeToString(sum[:]),
	}
	content, _, err := getObject(ctx, p.bucket, key+SignatureSuffix, maxSignature)
	switch {
	case isAbsent(err) && s.Signature != "":
		return s, nil
	case isAbsent(err):
		return Signature{}, fmt.Errorf("%w: the digest has no signature", ErrSignature)
	case err != nil:
		return Signature{}, err
	}
	beside, err := ParseSignature(content)
	if err != nil {
		return Signature{}, err
	}
	s.Signature = beside.Signature
	if s != beside {
		return Signature{}, fmt.Errorf("%w: the signature object is of another digest", ErrSignature)
	}
	return s, nil
}

// path returns the audit path of a leaf: the siblings on its way to the root, the lowest
// first (RFC 6962, section 2.1.1).
func (p *prover) path(index int64) []string {
	var path []string
	begin, end := 0, len(p.leaves)
	for i := int(index); end-begin > 1; {
		split := begin + largestPower(end-begin)
		var sibling [sha256.Size]byte
		if i < split {
			sibling = rootOf(p.leaves[split:end])
			end = split
		} else {
			sibling = rootOf(p.leaves[begin:split])
			begin = split
		}
		path = append(path, hex.EncodeToString(sibling[:]))
	}
	slices.Reverse(path)
	return path
}

// largestPower returns the largest power of two that is smaller than n.
func largestPower(n int) int {
	p := 1
	for 2*p < n {
		p *= 2
	}
	return p
}

// rootOf returns the root over leaves by their hashes.
func rootOf(leaves [][sha256.Size]byte) [sha256.Size]byte {
	var t Tree
	for _, l := range leaves {
		t.addHash(l)
	}
	return t.Root()
}
