package digest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// ChainOptions say which chain it is.
type ChainOptions struct {
	// Writer is the id of the store that is dumped.
	Writer string

	// Tracker and Service are what the chain is over, as they are in the traces. An
	// empty Service is a chain over all services of the tracker, an empty Tracker
	// one over several trackers.
	Tracker, Service string

	// Generation tells chains of the same writer, tracker and service apart: the
	// number of them that have ended before.
	Generation int64
}

// ChainID returns the id of a chain: the first 16 bytes, in hex, of the SHA-256 over
// the lines "cts chain 1", writer, tracker, service and, unless it is 0, generation in
// decimal. Each line ends with a newline; a newline within one is written \n, and a
// backslash \\.
func ChainID(o ChainOptions) string {
	escape := strings.NewReplacer("\\", "\\\\", "\n", "\\n")
	lines := []string{"cts chain 1", o.Writer, o.Tracker, o.Service}
	if o.Generation != 0 {
		lines = append(lines, strconv.FormatInt(o.Generation, 10))
	}
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(escape.Replace(line) + "\n")
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:16])
}

// Chain is the state of a chain of digests at its writer: what the next digest needs
// to know of the last one, and the trace files that it is to list. It is plain data,
// to be saved as JSON wherever the writer keeps its checkpoint. It is not safe for
// concurrent use.
//
// The writer calls Add for each trace file that is verified in the bucket; Cut when a
// digest is due; and Advance. It saves the advanced chain together with the [Sealed]
// before it puts that, so that a kill at any moment leads to the same bytes again.
type Chain struct {
	ID         string        `json:"id"`
	Writer     string        `json:"writer"`
	Tracker    string        `json:"tracker"`
	Service    string        `json:"service,omitempty"`
	Generation int64         `json:"generation,omitempty"`
	Start      Stamp         `json:"start"`                 // of the next digest: the end of the last one
	Last       *Last         `json:"last,omitempty"`        // nil before the first digest
	Ended      bool          `json:"ended,omitempty"`       // the last digest was the ending one
	CompleteTo int64         `json:"complete_to,omitempty"` // of what is cut so far, see Complete
	Pending    []PendingFile `json:"pending,omitempty"`     // in no digest yet, in order of delivery
	Planned    *Sealed       `json:"planned,omitempty"`     // the writer's own: the last digest while it can't be put
}

// Last is what a chain keeps of its last digest.
type Last struct {
	Head          Head   `json:"head"`
	Bucket        string `json:"bucket,omitempty"`
	Object        string `json:"object"`
	Hash          string `json:"hash"`
	HashAlgorithm string `json:"hash_algorithm"`
	Signature     string `json:"signature"`
}

// PendingFile is a trace file that is verified in the bucket and waits for its digest.
type PendingFile struct {
	Object     string `json:"object"`                // its key
	Count      int64  `json:"count"`                 // traces in it, at least 1
	Root       string `json:"root"`                  // Merkle root over them, hex
	Size       int64  `json:"size"`                  // stored bytes
	SHA256     string `json:"sha256"`                // of the stored bytes, hex
	MD5        string `json:"md5,omitempty"`         // of the stored bytes, hex; only needed where digests use MD5
	Delivered  Stamp  `json:"delivered"`             // when it was verified; Add raises it to that of the file before
	Mark       uint64 `json:"mark"`                  // the writer's own, such as its position before the file; in no digest
	Oldest     int64  `json:"oldest,omitempty"`      // the writer's own, such as the record time of its oldest trace; in no digest
	CompleteTo int64  `json:"complete_to,omitempty"` // set by Complete
}

// NewChain returns a chain without digests that begins now.
func NewChain(o ChainOptions, now time.Time) *Chain {
	return &Chain{
		ID: ChainID(o), Writer: o.Writer, Tracker: o.Tracker, Service: o.Service, Generation: o.Generation, Start: StampOf(now),
	}
}

// Next returns the chain that begins now where c has ended: the same with the next
// generation. It begins no earlier than c ended.
func (c *Chain) Next(now time.Time) *Chain {
	o := ChainOptions{Writer: c.Writer, Tracker: c.Tracker, Service: c.Service, Generation: c.Generation + 1}
	return NewChain(o, latest(now, c.Start.Time()))
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// Add appends a trace file that was verified. A clock that went back is not followed:
// no file is delivered before the last one or the chain's beginning.
func (c *Chain) Add(f PendingFile) {
	f.Delivered = max(f.Delivered, c.Start)
	if n := len(c.Pending); n > 0 {
		f.Delivered = max(f.Delivered, c.Pending[n-1].Delivered)
	}
	f.CompleteTo = 0
	c.Pending = append(c.Pending, f)
}

// Complete takes note that every trace of the writer and tracker that was recorded
// before to, in milliseconds since 1970 UTC, is in the files added so far. The first
// digest that has all of these says so. A lower to than before changes nothing.
func (c *Chain) Complete(to int64) {
	known := &c.CompleteTo
	if n := len(c.Pending); n > 0 {
		known = &c.Pending[n-1].CompleteTo
	}
	*known = max(*known, to)
}

// maxMadeUp is how many digests of one interval each are made up for a time in which
// the writer did not run. At an interval of an hour that is 31 days.
const maxMadeUp = 31 * 24

// DueEnd returns the end of the next digest, if now has reached it: an interval, of at
// least a second, behind the last one. Call it again after each Advance: a writer that
// did not run for hours makes up each of them. If it missed more than 744 intervals (31
// days of hours), the first digest spans what is beyond that.
func (c *Chain) DueEnd(now time.Time, interval time.Duration) (end Stamp, due bool) {
	step := max(Stamp(interval/time.Second), 1)
	missed := (StampOf(now) - c.Start) / step
	if c.Ended || missed < 1 {
		return c.Start + step, false
	}
	return c.Start + step*max(missed-maxMadeUp+1, 1), true
}

// ShortEnd returns the end of a digest that is cut now, before an interval is over, and
// has everything that was delivered: at least a second behind its start and behind
// every delivery.
func (c *Chain) ShortEnd(now time.Time) Stamp {
	end := max(StampOf(now), c.Start+1)
	if n := len(c.Pending); n > 0 {
		end = max(end, c.Pending[n-1].Delivered+1)
	}
	return end
}

// CutOptions say how a digest is cut.
type CutOptions struct {
	// End is its end time; the files delivered before that are in it. It must be
	// later than the chain's Start. Required.
	End Stamp

	// Ending makes it the last digest of the chain.
	// Default: false.
	Ending bool

	// Signer signs it. Required.
	Signer *Signer

	// Layout is where it goes.
	Layout Layout

	// Bucket and ProjectID are what it says of these.
	// Default: empty.
	Bucket, ProjectID string

	// Hash is the algorithm of the hashes that CTS has in digests, SHA256 or MD5. A
	// pending file that was added without its MD5 keeps SHA-256.
	// Default: SHA256.
	Hash string

	// Policy is the hash of the policy that the traces were recorded under.
	// Default: "", none.
	Policy string

	// Heads are heads of other chains, in any order. Those of this chain, and what
	// is over MaxHeads, are left out; of those that are Unchecked the first.
	// Default: nil, none.
	Heads []Head
}

// Cut makes the next digest of the chain, which it does not change. The error matches
// [ErrInvalid] if the options or the chain are no good, [ErrTooLarge], or is that of
// the signer.
func (c *Chain) Cut(o *CutOptions) (*Sealed, error) {
	hash := o.Hash
	if hash == "" {
		hash = SHA256
	}
	switch {
	case o.Signer == nil:
		return nil, fmt.Errorf("%w: no signer", ErrInvalid)
	case c.Ended:
		return nil, fmt.Errorf("%w: the chain has ended", ErrInvalid)
	}
	d, n := c.digest(o, hash)
	stored, err := d.encode()
	if err != nil {
		return nil, fmt.Errorf("digest: cutting a digest of chain %.32s: %w", c.ID, err)
	}
	return d.seal(o.Signer, stored, c.Pending[:n])
}

// digest returns the next digest and how many of the pending files are in it.
func (c *Chain) digest(o *CutOptions, hash string) (d *Digest, n int) {
	n, _ = slices.BinarySearchFunc(c.Pending, o.End, func(f PendingFile, end Stamp) int { return int(f.Delivered - end) })
	d = &Digest{
		ProjectID: o.ProjectID, Start: c.Start, End: o.End, Bucket: o.Bucket, Object: o.Layout.Key(c.ID, o.End),
		SignatureAlgorithm: o.Signer.Algorithm(), Ending: o.Ending, Files: make([]File, 0, n),
		Extension: &Extension{
			Version: Version, Chain: c.ID, Writer: c.Writer, Tracker: c.Tracker, Service: c.Service, Seq: 1, Hash: hash, First: 1,
			Files: make([]FileDetail, 0, n), KeyID: o.Signer.KeyID(), Policy: o.Policy, CompleteTo: c.CompleteTo, Heads: c.others(o.Heads),
		},
	}
	x := d.Extension
	if last := c.Last; last != nil {
		d.PreviousBucket, d.PreviousObject, d.PreviousSignature = last.Bucket, last.Object, last.Signature
		d.PreviousHash, d.PreviousHashAlgorithm = last.Hash, last.HashAlgorithm
		x.Seq, x.First = last.Head.Seq+1, last.Head.Count+1
	}
	for _, f := range c.Pending[:n] {
		file := File{Bucket: o.Bucket, Object: f.Object, Hash: f.SHA256, HashAlgorithm: SHA256}
		if hash == MD5 && f.MD5 != "" {
			file.Hash, file.HashAlgorithm = f.MD5, MD5
		}
		d.Files = append(d.Files, file)
		x.Files = append(x.Files, FileDetail{First: x.First + x.Count, Count: f.Count, Root: f.Root, Size: f.Size, SHA256: f.SHA256})
		x.Count += f.Count
		x.CompleteTo = max(x.CompleteTo, f.CompleteTo)
	}
	return d, n
}

// others returns the heads of other chains in order, one for each: the newest that was
// checked, or else the newest.
func (c *Chain) others(heads []Head) []Head {
	best := map[string]Head{}
	for _, h := range heads {
		old, ok := best[h.Chain]
		better := !ok || old.Unchecked && !h.Unchecked || old.Unchecked == h.Unchecked && h.Seq > old.Seq
		if h.Chain != c.ID && better && h.Check() == nil {
			best[h.Chain] = h
		}
	}
	if len(best) == 0 {
		return nil
	}
	sorted := slices.SortedFunc(maps.Values(best), func(a, b Head) int { return strings.Compare(a.Chain, b.Chain) })
	return chooseHeads(sorted)
}

// seal returns the digest, signed, with what the writer knows of its files.
func (d *Digest) seal(signer *Signer, stored []byte, files []PendingFile) (*Sealed, error) {
	s := &Sealed{Ending: d.Ending, Files: len(files), Count: d.Extension.Count, CompleteTo: d.Extension.CompleteTo, Start: d.Start}
	for i, f := range files {
		if s.Mark = min(s.Mark, f.Mark); i == 0 {
			s.Mark = f.Mark
		}
		if f.Oldest != 0 && (s.Oldest == 0 || f.Oldest < s.Oldest) {
			s.Oldest = f.Oldest
		}
	}
	if err := s.sign(d, stored, signer); err != nil {
		return nil, err
	}
	return s, nil
}

// sign fills in what depends on the stored bytes of the digest.
func (s *Sealed) sign(d *Digest, stored []byte, signer *Signer) error {
	message, err := d.SigningString(stored)
	if err != nil {
		return err
	}
	signature, err := signer.Sign([]byte(message))
	if err != nil {
		return err
	}
	hash, err := Hash(d.Extension.Hash, stored)
	if err != nil {
		return err
	}
	s.Key, s.Bytes, s.End, s.Algorithm, s.KeyID = d.Object, stored, d.End, d.SignatureAlgorithm, d.Extension.KeyID
	s.Last = Last{
		Head: d.Head(stored), Bucket: d.Bucket, Object: d.Object, Hash: hash, HashAlgorithm: d.Extension.Hash, Signature: signature,
	}
	return nil
}

// ErrOutOfOrder means that a digest is not the next one of the chain.
var ErrOutOfOrder = errors.New("digest: not the next digest of the chain")

// Advance moves the chain behind a digest that was cut from it. One that is not the
// next is [ErrOutOfOrder], and the chain is as before.
func (c *Chain) Advance(s *Sealed) error {
	seq := int64(1)
	if c.Last != nil {
		seq = c.Last.Head.Seq + 1
	}
	head := s.Last.Head
	if c.Ended || head.Chain != c.ID || head.Seq != seq || s.Start != c.Start || s.Files > len(c.Pending) {
		return fmt.Errorf("%w: chain %.32s goes on with number %d", ErrOutOfOrder, c.ID, seq)
	}
	last := s.Last
	c.Last, c.Start, c.Ended, c.CompleteTo = &last, s.End, s.Ending, s.CompleteTo
	c.Pending = slices.Clone(c.Pending[s.Files:]) // so that no copy of the chain is changed
	return nil
}

// encode returns the digest as it is stored. One that Parse would not take, such as with
// a name that is not valid UTF-8, is refused.
func (d *Digest) encode() ([]byte, error) {
	content, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if _, err := Parse(content); err != nil {
		return nil, err
	}
	return compress(content)
}

// compress returns content as one gzip member without name and time.
func compress(content []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w.ModTime = time.Unix(0, 0) // the zero time would be written as one in 2042
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
