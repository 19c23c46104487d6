package digest

import (
	"context"
	"errors"
	"iter"
	"sync"
)

// loaded is a digest that was read, and what its signatures say.
type loaded struct {
	key       string // its own, which is where it lies unless it was moved
	at        string // where it lies
	info      KeyInfo
	digest    *Digest   // nil if there is none that can be read
	absent    bool      // there is no such object
	err       error     // the store failed
	hashes    [2]string // SHA-256 and MD5 of the stored bytes
	signature string    // that holds, or the first there is
	doubt     *Finding  // why it can't be trusted for its signatures; nil if it can
	faults    []Finding
}

// hash returns the hash of the stored digest.
func (l *loaded) hash(algorithm string) string {
	if algorithm == MD5 {
		return l.hashes[1]
	}
	return l.hashes[0]
}

// slim returns l without what takes room in its digest: files and heads.
func (l *loaded) slim() *loaded {
	if l.digest == nil {
		return l
	}
	s, d := *l, *l.digest
	s.digest, d.Files = &d, nil
	if d.Extension != nil {
		x := *d.Extension
		d.Extension, x.Files, x.Heads = &x, nil, nil
	}
	return &s
}

// finding returns a finding about l.
func (l *loaded) finding(kind Kind, reason string) Finding {
	f := Finding{Kind: kind, Object: l.at, Chain: l.info.ID, Reason: reason}
	if l.digest != nil && l.digest.Extension != nil {
		f.Chain, f.Seq = l.digest.Extension.Chain, l.digest.Extension.Seq
	}
	return f
}

// seq returns its place in the chain, or 0 if it does not say.
func (l *loaded) seq() int64 {
	if l.digest == nil || l.digest.Extension == nil {
		return 0
	}
	return l.digest.Extension.Seq
}

// load reads a digest and checks its signatures.
func (v *verifier) load(ctx context.Context, k keyed) *loaded {
	l := &loaded{key: k.key, at: k.key, info: k.info}
	stored, object, err := v.get(ctx, k.key, MaxBytes)
	switch {
	case isAbsent(err):
		l.absent = true
		return l
	case err != nil:
		l.err = err
		return l
	}
	for i, algorithm := range []string{SHA256, MD5} {
		l.hashes[i], _ = Hash(algorithm, stored) // both are known
	}
	d, err := Read(stored)
	if err != nil {
		kind := DigestChanged
		if errors.Is(err, ErrVersion) {
			kind = Unsupported
		}
		f := l.finding(kind, "it is no digest that can be read: "+err.Error())
		l.doubt = &f
		return l
	}
	l.digest, l.key = d, d.Object
	v.judge(ctx, l, stored, object.Metadata)
	return l
}

// testimony is a signature and where it was found.
type testimony struct {
	Signature
	object string
	place  string // for people
}

// judge checks every signature that there is. One that holds is enough to trust the
// digest; one that does not, or a signature object that is missing, is a fault still.
func (v *verifier) judge(ctx context.Context, l *loaded, stored []byte, metadata map[string]string) {
	var signatures []testimony
	if s := metadata[MetaSignature]; s != "" {
		signatures = append(signatures, testimony{
			Signature{Signature: s, Algorithm: metadata[MetaSignatureAlgorithm], KeyID: metadata[MetaKeyID], DigestSHA256: l.hashes[0]},
			l.at, "the signature in its metadata",
		})
	}
	object, broken := v.signatureObject(ctx, l)
	if l.err != nil {
		return
	}
	if object != nil {
		signatures = append(signatures, *object)
	}
	if broken != nil {
		l.faults = append(l.faults, *broken)
	}
	if len(signatures) == 0 {
		f := l.finding(SignatureMissing, "it has no signature, neither in its metadata nor in a signature object")
		l.doubt = &f
		return
	}
	holds := false
	var wrong []Finding
	for i, s := range signatures {
		if i > 0 && s.Signature == signatures[0].Signature {
			continue // the same once more
		}
		if f := v.testify(l, stored, s); f != nil {
			wrong = append(wrong, *f)
			continue
		}
		holds, l.signature = true, s.Signature.Signature
	}
	if !holds {
		l.signature, l.doubt = signatures[0].Signature.Signature, &wrong[0]
		l.doubt.Object, wrong = l.at, wrong[1:]
	}
	l.faults = append(l.faults, wrong...)
}

// testify checks one signature.
func (v *verifier) testify(l *loaded, stored []byte, s testimony) *Finding {
	d := l.digest
	if f := v.keys.check(d, stored, s.Signature.Signature); f != nil {
		f.Object, f.Chain, f.Seq = s.object, l.info.ID, l.seq()
		f.Reason = s.place + ": " + f.Reason
		return f
	}
	if s.Algorithm == d.SignatureAlgorithm && s.DigestSHA256 == l.hashes[0] && (d.Extension == nil || s.KeyID == d.Extension.KeyID) {
		return nil
	}
	f := l.finding(SignatureWrong, s.place+" is said to be of another algorithm, key or digest")
	f.Object = s.object
	return &f
}

// signatureObject reads the signature object of a digest, which lies beside it, or where
// it was before the digest was moved.
func (v *verifier) signatureObject(ctx context.Context, l *loaded) (*testimony, *Finding) {
	ours := l.digest.Extension != nil // CTS has none
	places := []string{l.at + SignatureSuffix}
	if l.key != l.at {
		places = append(places, l.key+SignatureSuffix)
	}
	for _, key := range places {
		content, _, err := v.get(ctx, key, maxSignature)
		if isAbsent(err) {
			continue
		}
		if err != nil {
			l.err = err
			return nil, nil
		}
		s, err := ParseSignature(content)
		if err != nil {
			f := l.finding(SignatureWrong, "it is no signature object: "+err.Error())
			f.Object = key
			return nil, &f
		}
		return &testimony{s, key, "the signature object"}, nil
	}
	if !ours {
		return nil, nil
	}
	f := l.finding(SignatureMissing, "the signature object of the digest is not there")
	f.Object = places[len(places)-1]
	return nil, &f
}

// loadAll yields the digests in the order of their keys and reads some ahead.
func (v *verifier) loadAll(ctx context.Context, keys []keyed) iter.Seq[*loaded] {
	return func(yield func(*loaded) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var readers sync.WaitGroup
		defer readers.Wait()
		defer cancel()
		ahead := make(chan chan *loaded, v.Parallel)
		readers.Go(func() {
			defer close(ahead)
			for _, k := range keys {
				one := make(chan *loaded, 1)
				select {
				case ahead <- one:
				case <-ctx.Done():
					return
				}
				readers.Go(func() { one <- v.load(ctx, k) })
			}
		})
		for one := range ahead {
			if !yield(<-one) {
				return
			}
		}
	}
}
