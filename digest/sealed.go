package digest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/cloudtraceservice/cts/obs"
)

// Sealed is a signed digest on its way into the bucket. It is plain data, to be saved as
// JSON before Put: what is put after a kill must be the same to the byte.
type Sealed struct {
	Key        string `json:"key"`
	Bytes      []byte `json:"bytes"` // the object: JSON compressed with gzip
	Last       Last   `json:"last"`  // what the chain keeps of it, with signature and head
	Algorithm  string `json:"algorithm"`
	KeyID      string `json:"key_id"`
	Start      Stamp  `json:"start"`
	End        Stamp  `json:"end"`
	Ending     bool   `json:"ending,omitempty"`
	Files      int    `json:"files"`            // pending files of the chain that are in it
	Count      int64  `json:"count"`            // traces in them
	Mark       uint64 `json:"mark,omitempty"`   // the smallest of theirs
	Oldest     int64  `json:"oldest,omitempty"` // the smallest of theirs, but for 0
	CompleteTo int64  `json:"complete_to,omitempty"`
}

// Head returns the head that the chain has once the digest is in the bucket.
func (s *Sealed) Head() Head { return s.Last.Head }

// Signature returns the content of the signature object.
func (s *Sealed) Signature() Signature {
	return Signature{Signature: s.Last.Signature, Algorithm: s.Algorithm, KeyID: s.KeyID, DigestSHA256: s.Last.Head.SHA256}
}

// Put puts the digest, with its signature in the metadata, and then the signature
// object. Nothing is overwritten, and objects that are there already and are the same
// are fine, so that Put may be repeated after any error or kill. When it returns nil,
// both are verified: the store vouches for their hash, or they were read back.
//
// Another object under the name of the digest is [ErrConflict], under that of the
// signature object [ErrSignatureConflict]. An object that is there
// and may not be read is taken for the own one: its name holds chain and end time, which
// no other digest has, and Verify finds what it is. A writer that may not read needs a
// store that vouches for what was put; otherwise Put fails with [obs.ErrDenied].
func (s *Sealed) Put(ctx context.Context, bucket obs.Client) error {
	meta := map[string]string{MetaSignature: s.Last.Signature, MetaSignatureAlgorithm: s.Algorithm, MetaKeyID: s.KeyID}
	if err := putOnce(ctx, bucket, s.Key, s.Bytes, &obs.PutOptions{ContentType: "application/gzip", Metadata: meta}); err != nil {
		return fmt.Errorf("digest %s: %w", s.Key, err)
	}
	key := s.Key + SignatureSuffix
	if err := putOnce(ctx, bucket, key, s.Signature().AppendJSON(nil), &obs.PutOptions{ContentType: "application/json"}); err != nil {
		if errors.Is(err, ErrConflict) {
			err = ErrSignatureConflict
		}
		return fmt.Errorf("signature object %s: %w", key, err)
	}
	return nil
}

// putOnce puts an object unless it is there, and verifies it.
func putOnce(ctx context.Context, bucket obs.Client, key string, content []byte, opts *obs.PutOptions) error {
	sum := sha256.Sum256(content)
	opts.IfAbsent, opts.SHA256 = true, sum[:]
	put, err := bucket.Put(ctx, key, bytes.NewReader(content), opts)
	exists := errors.Is(err, obs.ErrExists)
	switch {
	case err != nil && !exists:
		return err
	case err == nil && bytes.Equal(put.SHA256, sum[:]):
		return nil
	}
	err = compare(ctx, bucket, key, content, opts.Metadata)
	if exists && errors.Is(err, obs.ErrDenied) {
		return nil
	}
	return err
}

// compare reads an object back.
func compare(ctx context.Context, bucket obs.Client, key string, content []byte, metadata map[string]string) error {
	body, object, err := bucket.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("reading it back: %w", err)
	}
	defer body.Close() //nolint:errcheck // only read from
	stored, err := io.ReadAll(io.LimitReader(body, int64(len(content))+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading it back: %w", err)
	case int64(len(stored)) < min(object.Size, int64(len(content))): // the way to the store broke off
		return fmt.Errorf("reading it back: %w", io.ErrUnexpectedEOF)
	case !bytes.Equal(stored, content):
		return ErrConflict
	}
	for name, want := range metadata {
		if got, ok := object.Metadata[name]; ok && got != want {
			return fmt.Errorf("%w: its %s is another one", ErrConflict, name)
		}
	}
	return nil
}
