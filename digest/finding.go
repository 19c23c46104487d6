package digest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind says what a [Finding] is about.
type Kind string

// Damage: what should not be in a bucket that nobody touched.
const (
	FileChanged   Kind = "file-changed"   // a trace file has other bytes than were sealed
	FileTruncated Kind = "file-truncated" // a trace file is shorter than it was sealed
	FileDeleted   Kind = "file-deleted"   // a sealed trace file is not there
	FileMoved     Kind = "file-moved"     // a sealed trace file lies under another key
	FileAdded     Kind = "file-added"     // no digest mentions a file that one should
	FileRepeated  Kind = "file-repeated"  // a trace file is sealed twice
	FileContent   Kind = "file-content"   // a sealed trace file is no array of traces
	FileCount     Kind = "file-count"     // a sealed trace file has another number of traces than its digest says
	FileRoot      Kind = "file-root"      // a sealed trace file has another Merkle root than its digest says

	DigestDeleted Kind = "digest-deleted" // a digest is not there; one finding for each
	DigestChanged Kind = "digest-changed" // a digest has other bytes than its successor says, or is no digest
	DigestMoved   Kind = "digest-moved"   // a digest lies under another key or in another bucket than it says
	DigestForked  Kind = "digest-forked"  // there are two digests for one place in a chain

	SignatureMissing Kind = "signature-missing" // a digest has no signature, or no signature object
	SignatureWrong   Kind = "signature-wrong"   // a signature is not that of its digest
	SignatureAdded   Kind = "signature-added"   // a signature object lies beside no digest
	KeyUnknown       Kind = "key-unknown"       // a digest is signed with a key that is not trusted
	KeyInvalid       Kind = "key-invalid"       // a digest is signed with a revoked key, or outside its time

	ChainBroken   Kind = "chain-broken"   // a digest does not continue its predecessor
	ChainDeleted  Kind = "chain-deleted"  // a chain that others have seen is not there
	OrdinalGap    Kind = "ordinal-gap"    // traces are missing between two digests
	OrdinalBack   Kind = "ordinal-back"   // two digests count the same traces
	TimeBack      Kind = "time-back"      // a digest starts at another time than its predecessor ended
	HeadMismatch  Kind = "head-mismatch"  // a digest is not the one that others have seen
	WriterMissing Kind = "writer-missing" // an expected writer has no chain

	KeysInvalid Kind = "keys-invalid" // a key history is not signed by the root key, or older than the caller knows
)

// Failures: what kept something from being checked.
const (
	Unreadable   Kind = "unreadable"    // the store failed on an object
	Unsupported  Kind = "unsupported"   // a digest was written by a newer release
	NothingFound Kind = "nothing-found" // there is no digest, so nothing is proven
	FileUnproven Kind = "file-unproven" // a file is of a time and tracker without digests, and nobody said that validation was off
)

// Notes: what is in order, and worth knowing.
const (
	ChainOpen       Kind = "chain-open"       // what comes after the newest digest of a chain is not proven yet
	ChainOverdue    Kind = "chain-overdue"    // the same, and the next digest should have been there
	FileUnsealed    Kind = "file-unsealed"    // a file was delivered, and its digest is not due yet
	FileUnvalidated Kind = "file-unvalidated" // a file was delivered while validation was off, as digests or the caller say
	Expired         Kind = "expired"          // an object is not there, and older than the stated retention
	HeadUnchecked   Kind = "head-unchecked"   // a head lies outside of the time range, or its writer did not check it
	Foreign         Kind = "foreign"          // an object that no reader takes for a trace file
)

// Severity says what follows from a finding.
type Severity int

// The severities, the worst last.
const (
	Note    Severity = iota + 1 // nothing is wrong
	Failure                     // something could not be checked: look why, and verify again
	Damage                      // somebody or something changed the trail
)

// String returns "note", "failure" or "damage".
func (s Severity) String() string {
	switch s {
	case Note:
		return "note"
	case Failure:
		return "failure"
	case Damage:
		return "damage"
	}
	return fmt.Sprintf("Severity(%d)", int(s))
}

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Severity returns what follows from findings of this kind. One that this release does
// not know is [Damage].
func (k Kind) Severity() Severity {
	switch k {
	case ChainOpen, ChainOverdue, FileUnsealed, FileUnvalidated, Expired, HeadUnchecked, Foreign:
		return Note
	case Unreadable, Unsupported, NothingFound, FileUnproven:
		return Failure
	}
	return Damage
}

// Finding is one thing that [Verify] found out. It has no byte of a trace.
type Finding struct {
	Kind   Kind   `json:"kind"`
	Object string `json:"object,omitempty"` // key of the object it is about; "" if nothing tells it
	Chain  string `json:"chain,omitempty"`  // 32 hex digits, or 16 where only the key of a digest tells it
	Seq    int64  `json:"seq,omitempty"`    // of the digest it is about or that mentions the object; 0 if there is none
	Reason string `json:"reason"`           // for people
}

// Severity returns that of the kind.
func (f Finding) Severity() Severity { return f.Kind.Severity() }

// String returns the finding on one line.
func (f Finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %s", f.Severity(), f.Kind)
	if f.Object != "" {
		b.WriteString(" " + f.Object)
	}
	if f.Seq > 0 {
		fmt.Fprintf(&b, " (digest %d of chain %.16s)", f.Seq, f.Chain)
	} else if f.Chain != "" {
		fmt.Fprintf(&b, " (chain %.16s)", f.Chain)
	}
	return b.String() + ": " + f.Reason
}

// compare orders findings: the worst first, then by object.
func (f Finding) compare(g Finding) int {
	return cmp.Or(
		cmp.Compare(g.Severity(), f.Severity()), cmp.Compare(f.Object, g.Object), cmp.Compare(f.Chain, g.Chain),
		cmp.Compare(f.Seq, g.Seq), cmp.Compare(f.Kind, g.Kind), cmp.Compare(f.Reason, g.Reason),
	)
}

// ChainReport is what [Verify] saw of one chain in the time range.
type ChainReport struct {
	Chain   string    `json:"chain"`
	Writer  string    `json:"writer"`
	Tracker string    `json:"tracker"`
	Service string    `json:"service,omitempty"`
	Start   time.Time `json:"start"` // of the first digest in the range
	End     time.Time `json:"end"`   // of the last one
	Digests int64     `json:"digests"`
	Files   int64     `json:"files"`
	Traces  int64     `json:"traces"`
	Open    bool      `json:"open"`              // it goes on after End, and what comes is not proven yet
	Overdue bool      `json:"overdue,omitempty"` // Open, and the next digest should have been there
	Ended   bool      `json:"ended"`             // its last digest says that validation was switched off
	Head    Head      `json:"head"`              // of the last digest: worth keeping outside of the bucket
}

// Report is what [Verify] found.
type Report struct {
	// Findings are in order: damage, failures, notes, each by object.
	Findings []Finding `json:"findings"`

	// More is the number of findings beyond VerifyOptions.MaxFindings, which were not
	// kept, and MoreDamage how many of them are not notes. The worst are kept.
	More       int64 `json:"more,omitempty"`
	MoreDamage int64 `json:"more_damage,omitempty"`

	// Chains are the chains with a trusted digest in the range, in order of writer,
	// tracker, service and start.
	Chains []ChainReport `json:"chains"`

	// Checked is what was read.
	Checked Progress `json:"checked"`
}

// Progress counts what was checked so far.
type Progress struct {
	Digests int64 `json:"digests"`
	Files   int64 `json:"files"`
	Traces  int64 `json:"traces"`
	Bytes   int64 `json:"bytes"` // of stored trace files
	Pending int64 `json:"-"`     // trace files that digests mention and that are not checked yet
}

// OK reports whether everything could be checked and nothing is damaged. There may be
// notes: chains that are still open above all.
func (r *Report) OK() bool {
	return r.MoreDamage == 0 && r.Worst() <= Note
}

// Worst returns the severity of the worst finding kept, or 0 if there is none.
func (r *Report) Worst() Severity {
	worst := Severity(0)
	for _, f := range r.Findings {
		worst = max(worst, f.Severity())
	}
	return worst
}

func (r *Report) sort() {
	slices.SortFunc(r.Findings, Finding.compare)
	slices.SortFunc(r.Chains, func(a, b ChainReport) int {
		return cmp.Or(cmp.Compare(a.Writer, b.Writer), cmp.Compare(a.Tracker, b.Tracker),
			cmp.Compare(a.Service, b.Service), a.Start.Compare(b.Start), cmp.Compare(a.Chain, b.Chain))
	})
}
