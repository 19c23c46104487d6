package digest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/cloudtraceservice/cts/obs"
)

// VerifyOptions are the choices of [Verify].
type VerifyOptions struct {
	// From and To are the time range [From, To), in whole seconds. Checked are the
	// digests whose hour, or whatever they span, has a part of it, with all their
	// trace files, and the trace files whose name has a time in it. The digest before
	// From is read too, for the chain to hold on to.
	// Default: zero, from the beginning; zero, to the end.
	From, To time.Time

	// Keys are the keys that digests may be signed with, at any time.
	// Default: nil; then a key history is required.
	Keys []*PublicKey

	// RootFingerprint is the pinned fingerprint of the root key of a key history, 64
	// hex digits: its keys are trusted besides Keys, each in its time.
	// Default: "", no key history is read.
	RootFingerprint string

	// KeyHistory is the signed key history.
	// Default: nil; with a RootFingerprint, what lies in the bucket under [KeysKey]
	// of each root. Those of several roots are taken together: a key that is revoked in
	// one is revoked, and of its times the narrowest count. A root may have none.
	KeyHistory []byte

	// MinHistory is the serial that the newest key history has at least: without it, who
	// can write to the bucket can put an older one back, in which a key is not revoked
	// yet. It needs the RootFingerprint.
	// Default: 0, any.
	MinHistory int64

	// Writers are ids of writers that must have a chain in the range.
	// Default: nil, any.
	Writers []string

	// Heads are heads of chains that were kept elsewhere: those digests must be there.
	// Without them nobody can tell that the newest digests of all chains are gone.
	// Default: nil, none.
	Heads []Head

	// BucketName must be what the digests call their bucket.
	// Default: "", not checked, as in a copy.
	BucketName string

	// Region is the one root below CloudTraces/ that is checked, such as "eu-de".
	// Default: "", all.
	Region string

	// Retention is how long the bucket's lifecycle keeps objects: an older one that is
	// not there is taken for expired, see [Expired]. It must not be longer than the
	// lifecycle's, or what expired is taken for deleted; a shorter one hides deletions.
	// Default: 0, forever.
	Retention time.Duration

	// Grace is how long before the newest digest of its tracker a trace file without
	// digest may be, and how late a digest may be. It must be longer than the interval of
	// digests and the delivery of a file together: it is taken for twice the interval of
	// the tracker's chains, as far as their digests tell it, if that is more.
	// Default: 2 hours.
	Grace time.Duration

	// Unvalidated are the times for which validation is known to have been off. Trace
	// files of them that no digest mentions are [FileUnvalidated], a note; others of a
	// time without digests are [FileUnproven].
	// Default: nil, none.
	Unvalidated []Span

	// AsOf is when the bucket was as it is, such as when it was copied. It takes the
	// place of the clock: digests that should have been there by then are overdue.
	// Default: zero, now; for overdue digests no later than To.
	AsOf time.Time

	// Now is the clock. It is called once.
	// Default: time.Now.
	Now func() time.Time

	// Parallel is how many objects are read at one time, 1 to 1,024. More than there
	// are processors pays where the bucket is far away.
	// Default: GOMAXPROCS.
	Parallel int

	// MaxFindings bounds Report.Findings; those beyond it are counted.
	// Default: 10,000.
	MaxFindings int

	// Progress is called after each digest and trace file, never by two goroutines at
	// one time. It must return soon.
	// Default: nil.
	Progress func(Progress)
}

// Span is a time [From, To) for which validation was off. A zero From is the beginning, a
// zero To the end.
type Span struct {
	Tracker  string // as it stands in the keys of trace files; "" is every tracker
	From, To time.Time
}

const (
	defaultGrace       = 2 * time.Hour
	defaultMaxFindings = 10_000
	maxParallel        = 1024
)

// withDefaults returns a checked copy.
func (o *VerifyOptions) withDefaults() (VerifyOptions, error) {
	var c VerifyOptions
	if o != nil {
		c = *o
	}
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...))
	}
	if !c.From.IsZero() && !c.To.IsZero() && !c.From.Before(c.To) {
		fault("From is not before To")
	}
	if len(c.Keys) == 0 && c.RootFingerprint == "" {
		fault("there are neither Keys nor a RootFingerprint, so that no signature can be checked")
	}
	if c.KeyHistory != nil && c.RootFingerprint == "" {
		fault("a KeyHistory needs the RootFingerprint")
	}
	if c.MinHistory < 0 || c.MinHistory > 0 && c.RootFingerprint == "" {
		fault("MinHistory is negative, or without the RootFingerprint")
	}
	for i, s := range c.Unvalidated {
		if !s.From.IsZero() && !s.To.IsZero() && !s.From.Before(s.To) {
			fault("Unvalidated %d: From is not before To", i)
		}
	}
	for i, k := range c.Keys {
		if k == nil {
			fault("key %d is nil", i)
		}
	}
	for i, h := range c.Heads {
		if err := h.Check(); err != nil {
			faults = append(faults, fmt.Errorf("head %d: %w", i, err))
		}
	}
	if c.Retention < 0 || c.Grace < 0 || c.MaxFindings < 0 {
		fault("Retention, Grace or MaxFindings is negative")
	}
	if c.Parallel < 0 || c.Parallel > maxParallel {
		fault("Parallel is %d: want up to %d", c.Parallel, maxParallel)
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	if c.Parallel == 0 {
		c.Parallel = runtime.GOMAXPROCS(0)
	}
	if c.MaxFindings == 0 {
		c.MaxFindings = defaultMaxFindings
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the one default of the injected clock
	}
	return c, errors.Join(faults...)
}

// Verify checks a bucket, or a copy of it in a folder (dirobs), against its digests and
// reports everything that is not as it was sealed, each thing with its object and the
// reason. It changes nothing and trusts nothing but the keys: not names, metadata, times
// of objects, or digests whose signature does not hold.
//
// Report.OK tells whether nothing is damaged. What Verify can and can't find, and what
// takes heads kept elsewhere, is in VERIFY.md.
//
// The error is about Verify itself: faults of the options, all together ([ErrInvalid]); a
// key history that is not good; the context's; a list that fails; or objects that the
// store failed on, which are findings ([Unreadable]) too. The report has what was found
// until then, and is nil only if the options are at fault.
//
// Memory is bounded by Parallel times about 2 MiB, the digests that are read ahead, the
// findings, some 300 bytes for each sealed trace file of the three days being looked at, and
// about 100 MB for files that no digest mentions. Of more of these, and of a bucket with very
// many files a day, everything is listed twice, and digests are read twice.
func Verify(ctx context.Context, bucket obs.Client, opts *VerifyOptions) (*Report, error) {
	return verify(ctx, bucket, opts, maxOpen)
}

// verify is Verify with so many files that no digest mentions kept in memory.
func verify(ctx context.Context, bucket obs.Client, opts *VerifyOptions, maxOpen int) (*Report, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("digest: verify: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	v := newVerifier(bucket, o, cancel)
	v.ledger.maxOpen = maxOpen
	v.startWorkers(ctx)
	err = v.run(ctx)
	if err == nil {
		err = v.failed
	} else if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	v.report.sort()
	if err != nil {
		return v.report, fmt.Errorf("digest: verify: %w", err)
	}
	return v.report, nil
}

// verifier is one run of Verify. The fields from mu on are shared with the workers; the
// others belong to the goroutine that walks through the bucket.
type verifier struct {
	bucket obs.Client
	VerifyOptions
	from, to   Stamp // to is maxStamp without To
	now        time.Time
	due        time.Time // by when digests are overdue
	keys       keyring
	histories  int                    // that were good
	serial     int64                  // of the newest of them
	chains     map[string]*chainState // by the 16 digits in the keys of their digests
	ledger     *ledger
	wanted     map[string]map[int64]claim // heads that no digest was seen for yet, by chain and seq
	lostChains int                        // of which only heads tell
	strangers  int                        // chains that began with a digest that can't be trusted
	earlier    map[string]*beginnings     // by root
	outcome    *outcome                   // once the digests were read
	jobs       chan fileJob
	workers    sync.WaitGroup
	abort      context.CancelCauseFunc

	mu       sync.Mutex
	report   *Report
	kept     [Damage + 1]int // findings by severity
	absent   []fileJob       // trace files that are not there
	failures int
	failed   error // the first of them
}

func newVerifier(bucket obs.Client, o VerifyOptions, abort context.CancelCauseFunc) *verifier {
	v := &verifier{
		bucket: bucket, VerifyOptions: o, from: minStamp, to: maxStamp, now: o.Now(), keys: keyring{},
		chains: map[string]*chainState{}, ledger: newLedger(), earlier: map[string]*beginnings{}, wanted: map[string]map[int64]claim{},
		jobs: make(chan fileJob, 4*o.Parallel), abort: abort, report: &Report{},
	}
	if !o.AsOf.IsZero() {
		v.now = o.AsOf
	}
	if v.due = v.now; !o.To.IsZero() && o.To.Before(v.due) {
		v.due = o.To
	}
	if !o.From.IsZero() {
		v.from = StampOf(o.From)
	}
	if !o.To.IsZero() {
		v.to = StampOf(o.To.Add(time.Second - 1))
	}
	for _, k := range o.Keys {
		v.keys[k.ID()] = keyTerm{key: k}
	}
	return v
}

// run walks through the bucket and then draws the conclusions.
func (v *verifier) run(ctx context.Context) error {
	roots, err := v.walk(ctx)
	if err == nil {
		err = v.settleHeads(ctx)
	}
	close(v.jobs)
	v.workers.Wait()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	defer v.stopBeginnings()
	if err := v.settleFiles(ctx, roots); err != nil {
		return err
	}
	v.settleChains(ctx)
	return nil
}

// walk reads the digests of every root, day by day.
func (v *verifier) walk(ctx context.Context) (roots []string, err error) {
	if roots, err = v.roots(ctx); err != nil {
		return nil, err
	}
	if err := v.trust(ctx, roots); err != nil {
		return nil, err
	}
	for _, h := range v.Heads {
		v.claimed(claim{Head: h, by: "the heads given"})
	}
	for _, root := range roots {
		if err := v.walkRoot(ctx, root); err != nil {
			return nil, err
		}
	}
	return roots, nil
}

// found takes down a finding. If there is no room, the worse ones are kept.
func (v *verifier) found(f Finding) {
	v.mu.Lock()
	defer v.mu.Unlock()
	severity := f.Severity()
	if len(v.report.Findings) < v.MaxFindings {
		v.report.Findings = append(v.report.Findings, f)
		v.kept[severity]++
		return
	}
	if lowest := v.lowest(); lowest < severity { // severity is then that of the one left out
		i := slices.IndexFunc(v.report.Findings, func(g Finding) bool { return g.Severity() == lowest })
		v.report.Findings[i] = f
		v.kept[severity]++
		v.kept[lowest]--
		severity = lowest
	}
	v.report.More++
	if severity > Note {
		v.report.MoreDamage++
	}
}

// lowest returns the lowest severity of the findings that are kept.
func (v *verifier) lowest() Severity {
	for s := Note; s < Damage; s++ {
		if v.kept[s] > 0 {
			return s
		}
	}
	return Damage
}

// maxFailures is how many objects the store may fail on before Verify gives up.
const maxFailures = 100

// unreadable takes down that the store failed on an object.
func (v *verifier) unreadable(key string, err error) {
	v.found(Finding{Kind: Unreadable, Object: key, Reason: "the store failed: " + err.Error()})
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failures++
	if v.failed == nil {
		v.failed = fmt.Errorf("some objects could not be read, the first: %w", err)
	}
	if v.failures > maxFailures {
		v.abort(v.failed)
	}
}

// progress counts what was checked and tells the caller.
func (v *verifier) progress(add Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := &v.report.Checked
	c.Digests += add.Digests
	c.Files += add.Files
	c.Traces += add.Traces
	c.Bytes += add.Bytes
	c.Pending += add.Pending
	if v.Progress != nil && add.Digests+add.Files > 0 {
		v.Progress(*c)
	}
}

// expired reports whether an object that was put at a time, or before, may have been
// removed by the lifecycle.
func (v *verifier) expired(put Stamp) bool {
	return v.Retention > 0 && put.Time().Add(v.Retention).Before(v.now)
}
