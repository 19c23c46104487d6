package cts

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

// ValidationOptions switch validation on (is_support_validate of CTS): a [Dumper] then
// seals what it has delivered, with signed digests in the bucket beside the trace files.
// Whoever has the public key can tell later whether a trace was changed, added or taken
// away; see package digest. They are copied.
//
// There is one chain of digests for each tracker, named by the id of the store, so that
// several processes seal into one bucket without knowing of each other. It begins with
// the tracker's first file, which is sealed at once, and has a digest for every Interval
// from then on, also one in which nothing was delivered. What was missed because nothing
// ran is made up by the next run, some at a time. Where Region or Project has changed, the
// chains are ended in the old place, and begin anew in the new one. A Dumper that is closed leaves its chains open, and the next one on the same state
// goes on with them; only [Dumper.EndValidation] ends them. Opened without Validation, a
// Dumper leaves them alone: what it delivers is in no digest, and the chains go on when
// validation is switched on again.
//
// A trace is sealed when a digest with its file is in the bucket. Retention keeps what is
// not sealed, if the store has the ability [Consumers].
type ValidationOptions struct {
	// Signer signs the digests. Required.
	Signer *digest.Signer

	// BucketName is what digests call the bucket (digest_bucket): up to 256 bytes.
	// Default: "".
	BucketName string

	// ProjectID is the project_id of digests: up to 256 bytes.
	// Default: that of DumperOptions.Project.
	ProjectID string

	// Hash is the algorithm of the hashes that CTS has in digests: digest.SHA256, or
	// digest.MD5 for tools that know nothing else. A SHA-256 stands in each digest
	// anyway.
	// Default: digest.SHA256.
	Hash string

	// PerService makes one chain for each service of a tracker, as CTS does. End the
	// chains before this is changed, or those of before stay open.
	// Default: false, one chain for each tracker.
	PerService bool

	// Interval is the time that a digest spans: whole seconds, a minute at least.
	// Default: an hour, as CTS.
	Interval time.Duration

	// Policy is the hash of the policy that the traces are recorded under, which each
	// digest mentions: up to 256 bytes.
	// Default: "", none.
	Policy string

	// OtherKeys are the public keys of the other writers of the bucket, and earlier ones
	// of this one: with them, the Dumper checks the digests that it mentions in its own.
	// Those that it has no key for are mentioned as unchecked, and Verify draws no
	// conclusions from them.
	// Default: nil, only that of Signer.
	OtherKeys []*digest.PublicKey

	// WithoutHeads spares the Dumper from looking for other writers' digests in the
	// bucket, the newest of which it mentions in its own, so that no chain can vanish
	// unnoticed. It is for writers that may not list and read; for those that turn out
	// not to be allowed it makes no difference.
	// Default: false.
	WithoutHeads bool

	// Sealed is called with the head of a chain for each digest that is verified in the
	// bucket; after a kill perhaps again. Keep the heads where whoever can delete from
	// the bucket can't: Verify takes them, and finds digests that were cut off the end.
	// It is called by the goroutine that dumps, must return soon, and must not call the
	// Dumper.
	// Default: none.
	Sealed func(digest.Head)
}

const (
	minSealInterval = time.Minute
	maxSealText     = 256
)

// setDefaults fills in the defaults and returns all faults together.
func (o *ValidationOptions) setDefaults() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("cts: ValidationOptions."+format, args...))
	}
	if o.Signer == nil {
		fault("Signer: required; make a key with digest.GenerateKey")
	}
	if o.Interval == 0 {
		o.Interval = time.Hour
	}
	if o.Interval < minSealInterval || o.Interval%time.Second != 0 {
		fault("Interval: %v: want whole seconds, a minute at least", o.Interval)
	}
	fill(&o.Hash, digest.SHA256)
	if o.Hash != digest.SHA256 && o.Hash != digest.MD5 {
		fault("Hash: %.20q: want %q or %q", o.Hash, digest.SHA256, digest.MD5)
	}
	if slices.Contains(o.OtherKeys, nil) {
		fault("OtherKeys: one of them is nil")
	}
	for _, text := range []struct{ name, value string }{
		{"BucketName", o.BucketName}, {"ProjectID", o.ProjectID}, {"Policy", o.Policy},
	} {
		if len(text.value) > maxSealText || !utf8.ValidString(text.value) {
			fault("%s: want up to %d bytes of UTF-8", text.name, maxSealText)
		}
	}
	if o.Sealed == nil {
		o.Sealed = func(digest.Head) {}
	}
	return errors.Join(faults...)
}

// sealing is the part of a Dumper that seals. It is used under the Dumper's turn.
type sealing struct {
	opts   ValidationOptions
	root   string // what the keys of its digests begin with
	finder *digest.HeadFinder
	probes int // which chain's digest is tried first, of those that could not be put
}

// newSealing returns the sealing of d.
func newSealing(d *Dumper, v *ValidationOptions) (*sealing, error) {
	o := *v
	fill(&o.ProjectID, d.opts.Project)
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	root := sealRoots + d.opts.location()
	keys := append(slices.Clone(o.OtherKeys), o.Signer.Public())
	o.OtherKeys = nil
	return &sealing{opts: o, root: root, finder: digest.NewHeadFinder(d.bucket, root, keys...)}, nil
}

// sealRoots is what is above the roots of digests.
const sealRoots = "CloudTraces/"

// rootOf returns the root that a chain is in: where its last digest is, or else its first
// file.
func (s *sealing) rootOf(c *digest.Chain) string {
	object := ""
	switch {
	case c.Last != nil:
		object = c.Last.Object
	case len(c.Pending) > 0:
		object = c.Pending[0].Object
	}
	if info, ok := digest.ParseKey(object); ok {
		return info.Root
	}
	return s.root
}

// left reports whether a chain is in a root that the Dumper has left because Region or
// Project has changed. It is ended there.
func (s *sealing) left(c *digest.Chain) bool { return s.rootOf(c) != s.root }

// errNoValidation is what sealing by hand comes to without validation.
var errNoValidation = errors.New("cts: the Dumper does not seal: give DumperOptions.Validation")

// Seal is [Dumper.Flush], and then seals everything that is delivered, with a digest that
// ends now for each chain that has something to seal. When it returns nil, every trace
// that the store had synced when it was called is sealed, but for what is counted as
// Damaged, Lost and Quarantined, and for trackers that are Behind. It needs validation to be on.
func (d *Dumper) Seal(ctx context.Context) error { return d.sealAll(ctx, cutPending) }

// EndValidation is [Dumper.Seal], and ends all chains with that: their last digests say
// that nothing follows (digest_end of CTS). Call it when validation is switched off. A
// file that is delivered afterwards begins a new chain.
func (d *Dumper) EndValidation(ctx context.Context) error { return d.sealAll(ctx, cutEnding) }

func (d *Dumper) sealAll(ctx context.Context, cut cutKind) error {
	if d.seal == nil {
		return errNoValidation
	}
	if err := d.Flush(ctx); err != nil {
		return err
	}
	ctx, leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err = d.resume(ctx); err == nil {
		err = d.sealChains(ctx, cut, math.MaxInt)
	}
	d.note(ctx, err)
	return err
}

// delivered takes note in st, which is about to be saved with the new checkpoint, of a
// file that is verified in the bucket.
func (s *sealing) delivered(st *dumpState, file plannedFile, stored storedFile) {
	if file.Root == "" { // planned by a Dumper without validation
		return
	}
	at := time.UnixMilli(stored.at)
	pending := digest.PendingFile{
		Object: file.Key, Count: int64(file.Traces), Root: file.Root, Size: stored.size, SHA256: hex.EncodeToString(stored.sha256[:]),
		Delivered: digest.StampOf(at), Mark: uint64(stored.from), Oldest: file.Oldest,
	}
	if s.wantsMD5() {
		pending.MD5 = hex.EncodeToString(stored.md5[:])
	}
	s.chain(st, file.Tracker, file.Service, at).Add(pending)
}

// wantsMD5 reports whether delivered needs the MD5 of the stored bytes.
func (s *sealing) wantsMD5() bool { return s.opts.Hash == digest.MD5 }

// maxChains and maxChainBytes bound the chains of a Dumper, and with them its state. What
// belongs to none of so many goes into the tracker's chain, or one over all trackers that
// have none.
const (
	maxChains     = 256
	maxChainBytes = MaxStateBytes / 8
)

// chain returns the open chain for the files of a tracker and service.
func (s *sealing) chain(st *dumpState, tracker, service string, now time.Time) *digest.Chain {
	if !s.opts.PerService {
		service = ""
	}
	names := []group{{tracker, service}, {tracker, ""}, {}}
	for i, name := range names {
		at := st.newestChain(name)
		switch {
		case at < 0:
		case st.Chains[at].Ended && st.Chains[at].Planned == nil && !st.sealing(st.Chains[at]):
			st.Chains[at] = st.Chains[at].Next(now)
			return st.Chains[at]
		case !st.Chains[at].Ended && !s.left(st.Chains[at]):
			return st.Chains[at]
		}
		if len(st.Chains) < maxChains && st.chainBytes() < maxChainBytes || i == len(names)-1 {
			c := digest.NewChain(digest.ChainOptions{Writer: st.StoreID, Tracker: name.tracker, Service: name.service}, now)
			if at >= 0 { // of that one, something is still to be put
				c = st.Chains[at].Next(now)
			}
			st.Chains = append(st.Chains, c)
			return c
		}
	}
	return nil
}

// newestChain returns which chain is the newest over a tracker and service, -1 if there is
// none.
func (st *dumpState) newestChain(name group) int {
	newest := -1
	for at, c := range st.Chains {
		if c.Tracker == name.tracker && c.Service == name.service && (newest < 0 || c.Generation > st.Chains[newest].Generation) {
			newest = at
		}
	}
	return newest
}

// sealing reports whether the digest that is being put is one of the chain.
func (st *dumpState) sealing(c *digest.Chain) bool {
	return st.Sealed != nil && st.Sealed.Head().Chain == c.ID
}

// withoutEnded returns the chains less those that have ended, have nothing to be put, and
// have a successor.
func (st *dumpState) withoutEnded() []*digest.Chain {
	return slices.DeleteFunc(slices.Clone(st.Chains), func(c *digest.Chain) bool {
		newest := st.Chains[st.newestChain(group{c.Tracker, c.Service})]
		return c.Ended && c.Planned == nil && !st.sealing(c) && newest.Generation > c.Generation
	})
}

// unsealed returns how many delivered traces are not sealed, the record time of the
// oldest of them in milliseconds (0 for none), and the position up to which everything
// that is dumped is sealed.
func (s *sealing) unsealed(st *dumpState) (traces, oldest int64, sealedTo Position) {
	sealedTo = st.Position
	add := func(count, from int64, mark uint64) {
		traces += count
		if from != 0 && (oldest == 0 || from < oldest) {
			oldest = from
		}
		sealedTo = min(sealedTo, Position(mark))
	}
	planned := []*digest.Sealed{st.Sealed}
	for _, c := range st.Chains {
		for _, f := range c.Pending {
			add(f.Count, f.Oldest, f.Mark)
		}
		planned = append(planned, c.Planned)
	}
	for _, p := range planned {
		if p != nil && p.Files > 0 {
			add(p.Count, p.Oldest, p.Mark)
		}
	}
	return traces, oldest, sealedTo
}

// denied reports whether a writer may not look for the digests of others.
func denied(err error) bool { return errors.Is(err, obs.ErrDenied) }
