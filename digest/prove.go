package digest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/cloudtraceservice/cts/obs"
)

// ProveOptions say which trace [Prove] is to find.
type ProveOptions struct {
	// Find reports whether this is the trace. It is shown the exact bytes of traces,
	// which it must not keep. Required.
	Find func(trace []byte) bool

	// Object is the key of the trace file to look into.
	// Default: "", all files in the time range.
	Object string

	// Recorded is when the trace was recorded, such as what its id says. Digests that ended
	// before, and trace files that were cut before, are passed over, with a minute of slack;
	// and so are those digests of a chain that come behind one that says that everything up
	// to then is in it. So a wrong time, a clock that was wrong, or a digest that somebody
	// made up, for none is checked here, may make Prove miss the trace: then leave it out.
	// Default: zero, not known.
	Recorded time.Time

	// Tracker and Service are those of the trace as they stand in the keys of trace files:
	// other files are not read.
	// Default: "", any.
	Tracker, Service string

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
	p := newProver(bucket, *opts)
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
	from, to   Stamp
	recorded   Stamp           // minStamp if that is not known
	complete   map[string]bool // chains that have nothing more, by the 16 digits in the keys of their digests
	looked     bool            // into the one file that was asked for
	summarizer *summarizer
	leaves     [][sha256.Size]byte
	passed     error // the first object that was passed over
}

// recordedSlack is how much earlier than it says a trace may have been recorded, by the
// clock of what cuts files and digests.
const recordedSlack = 60

func newProver(bucket obs.Client, opts ProveOptions) *prover {
	p := &prover{
		bucket: bucket, opts: opts, from: minStamp, to: maxStamp, recorded: minStamp,
		complete: map[string]bool{}, summarizer: newSummarizer(),
	}
	if !opts.From.IsZero() {
		p.from = StampOf(opts.From)
	}
	if !opts.To.IsZero() {
		p.to = StampOf(opts.To)
	}
	if info, ok := ParseKey(opts.Object); ok {
		p.from = max(p.from, info.Date)
	}
	if !opts.Recorded.IsZero() {
		p.recorded = StampOf(opts.Recorded) - recordedSlack
		p.from = max(p.from, p.recorded)
	}
	return p
}

func (p *prover) run(ctx context.Context) (*Proof, []byte, error) {
	roots, err := bucketRoots(ctx, p.bucket, p.opts.Region)
	if err != nil {
		return nil, nil, err
	}
	for _, root := range roots {
		for d, err := range days(ctx, p.bucket, root, p.from) {
			if err != nil {
				return nil, nil, err
			}
			if d.date >= p.to {
				break
			}
			found, trace, err := p.day(ctx, d)
			if found != nil || err != nil {
				return found, trace, err
			}
			if p.looked {
				return nil, nil, errors.Join(ErrNoTrace, p.passed)
			}
		}
	}
	return nil, nil, errors.Join(ErrNoTrace, p.passed)
}

// day looks into the digests of a day.
func (p *prover) day(ctx context.Context, d day) (*Proof, []byte, error) {
	digests, err := digestKeys(ctx, p.bucket, d)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range digests {
		if k.info.Time < p.from || k.info.Time >= p.to || p.complete[k.info.chainName()] {
			continue
		}
		found, trace, err := p.digest(ctx, k)
		if found != nil || err != nil || p.looked {
			return found, trace, err
		}
	}
	return nil, nil, nil
}

// digest looks into the trace files of a digest.
func (p *prover) digest(ctx context.Context, k keyed) (*Proof, []byte, error) {
	key := k.key
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
		if !p.wants(f.Object) {
			continue
		}
		p.looked = p.opts.Object != ""
		index, trace, err := p.file(ctx, f.Object, d.Extension.Files[i])
		if err != nil {
			p.looked = false // another digest may list it as it is
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
			p.looked = false
			return nil, nil, p.pass(key, err)
		}
		return &Proof{Version: proofVersion, Object: f.Object, Index: index, Path: p.path(index), Digest: stored, Signature: signature}, trace, nil
	}
	if p.recorded > minStamp && d.Extension.CompleteTo/1000 > int64(p.recorded)+2*recordedSlack && d.Object == key {
		p.complete[k.info.chainName()] = true
	}
	return nil, nil, nil
}

// wants reports whether the trace may be in a file.
func (p *prover) wants(key string) bool {
	if p.opts.Object != "" {
		return key == p.opts.Object
	}
	info, ok := ParseKey(key)
	return !ok || info.Time >= p.recorded &&
		(p.opts.Tracker == "" || p.opts.Tracker == info.Tracker) && (p.opts.Service == "" || p.opts.Service == info.Service)
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
	if object.Size != detail.Size {
		return -1, nil, fmt.Errorf("%w: the trace file has another size than when it was sealed", ErrInvalid)
	}
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
	case sum.Size < detail.Size:
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
