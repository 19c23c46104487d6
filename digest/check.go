package digest

import (
	"errors"
	"fmt"

	"github.com/cloudtraceservice/cts/obs"
)

// checkCTS checks what even a genuine digest of CTS must have to be of any use.
func (d *Digest) checkCTS() error {
	switch {
	case d.Object == "" || d.End == 0:
		return fmt.Errorf("%w: it names neither itself nor its end", ErrInvalid)
	case len(d.Files) > MaxFiles:
		return fmt.Errorf("%w: a digest of more than %d trace files", ErrTooLarge, MaxFiles)
	}
	return nil
}

// check checks a digest with an extension against itself.
func (d *Digest) check() error {
	if len(d.Files) > MaxFiles || len(d.Extension.Heads) > MaxHeads {
		return fmt.Errorf("%w: a digest of %d trace files and %d heads", ErrTooLarge, len(d.Files), len(d.Extension.Heads))
	}
	err := errors.Join(d.checkSelf(), d.checkPrevious(), d.checkFiles(), d.checkHeads())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

var errFault = errors.New("it contradicts itself or its form")

func fault(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errFault}, args...)...)
}

func (d *Digest) checkSelf() error {
	x := d.Extension
	info, ok := ParseKey(d.Object)
	switch {
	case d.End <= d.Start:
		return fault("it ends at %v and starts at %v", d.End, d.Start)
	case !ok || info.Kind != DigestFile || info.Time != d.End:
		return fault("its object is no key of a digest with this end time")
	case !isHex(x.Chain, 32) || info.ID != x.Chain[:16]:
		return fault("its chain is not 32 hex digits, of which the key has the first 16")
	case d.SignatureAlgorithm != RSA && d.SignatureAlgorithm != Ed25519:
		return fault("signature algorithm %.20q", d.SignatureAlgorithm)
	case !isHex(x.KeyID, 32):
		return fault("its key_id is not 32 hex digits")
	case x.Hash != SHA256 && x.Hash != MD5:
		return fault("hash algorithm %.20q", x.Hash)
	case x.Seq < 1 || x.First < 1 || x.Count < 0 || x.CompleteTo < 0:
		return fault("seq %d, first %d, count %d or complete_to %d is out of range", x.Seq, x.First, x.Count, x.CompleteTo)
	case x.Seq > maxOrdinal || x.First > maxOrdinal || x.Count > maxOrdinal-x.First:
		return fault("first %d and count %d are out of range", x.First, x.Count)
	}
	return nil
}

// checkPrevious checks that the first digest of a chain has no predecessor, and every
// other one has.
func (d *Digest) checkPrevious() error {
	if d.Extension.Seq == 1 {
		if d.PreviousBucket+d.PreviousObject+d.PreviousHash+d.PreviousHashAlgorithm+d.PreviousSignature != "" || d.PreviousEnding || d.Extension.First != 1 {
			return fault("it is the first of its chain and has a predecessor")
		}
		return nil
	}
	info, ok := ParseKey(d.PreviousObject)
	switch {
	case !ok || info.Kind != DigestFile || info.Time != d.Start:
		return fault("its previous object is no key of a digest that ends where it starts")
	case !isHash(d.PreviousHashAlgorithm, d.PreviousHash):
		return fault("the hash of its previous digest is none")
	case len(d.PreviousSignature)%2 != 0 || d.PreviousSignature == "" || !isHex(d.PreviousSignature, len(d.PreviousSignature)):
		return fault("the signature of its previous digest is not in hex")
	case d.PreviousEnding:
		return fault("it comes behind the end of its chain")
	}
	return nil
}

func (d *Digest) checkFiles() error {
	x := d.Extension
	if d.Files == nil || x.Files == nil || len(d.Files) != len(x.Files) {
		return fault("log_files and files are not parallel lists")
	}
	next := x.First
	seen := make(map[string]bool, len(d.Files))
	for i, f := range d.Files {
		detail := x.Files[i]
		switch {
		case obs.ValidateKey(f.Object) != nil || f.Bucket != d.Bucket:
			return fault("trace file %d: its object is no key, or its bucket another one", i)
		case seen[f.Object]:
			return fault("trace file %d is listed before", i)
		case detail.First != next || detail.Count < 1 || detail.Count > x.First+x.Count-next:
			return fault("trace file %d: first %d and count %d do not continue at ordinal %d", i, detail.First, detail.Count, next)
		case detail.Size < 1 || !isHex(detail.Root, 64) || !isHex(detail.SHA256, 64):
			return fault("trace file %d: size, root or sha256 is none", i)
		case !isHash(f.HashAlgorithm, f.Hash) || f.HashAlgorithm == SHA256 && f.Hash != detail.SHA256:
			return fault("trace file %d: its log_hash_value is none, or differs from sha256", i)
		}
		seen[f.Object] = true
		next += detail.Count
	}
	if next != x.First+x.Count {
		return fault("its trace files have %d traces, its count is %d", next-x.First, x.Count)
	}
	return nil
}

func (d *Digest) checkHeads() error {
	last := ""
	for i, h := range d.Extension.Heads {
		if err := h.Check(); err != nil {
			return err
		}
		if h.Chain <= last || h.Chain == d.Extension.Chain {
			return fault("head %d is out of order or its own", i)
		}
		last = h.Chain
	}
	return nil
}

// isHash reports whether value is a hash of the algorithm, in hex.
func isHash(algorithm, value string) bool {
	return algorithm == SHA256 && isHex(value, 64) || algorithm == MD5 && isHex(value, 32)
}
