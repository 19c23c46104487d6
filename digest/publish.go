package digest

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cloudtraceservice/cts/obs"
)

// PublishOptions are the choices of [PublishKeyHistory].
type PublishOptions struct {
	// Region is the one root below CloudTraces/ that gets the history, such as "eu-de" or
	// "eu-de/project". It is needed in a bucket that nothing was dumped into yet.
	// Default: "", every root that has trace files or digests.
	Region string

	// Replace puts the history in the place of whatever is there, also of a newer one or
	// one with another root key.
	// Default: false.
	Replace bool
}

// PublishKeyHistory puts a signed key history into a bucket, under [KeysKey] of its roots,
// where Verify finds it, and reads it back. The history must be signed with the root key
// that has the fingerprint; otherwise the error is that of [VerifyKeyHistory]. It returns
// the keys of the objects that hold the history now.
//
// In the place of an older history of the same root key the new one is put. What else is
// there, a history that is newer or has another root key, or none at all, is [ErrConflict],
// unless it is the same to the byte or o.Replace is set: look at it before, for somebody
// may have tampered with it. That nobody else publishes at the same time is for the caller
// to see to. A bucket without roots is [ErrInvalid] if o.Region names none.
func PublishKeyHistory(ctx context.Context, bucket obs.Client, signed []byte, fingerprint string, o *PublishOptions) ([]string, error) {
	if o == nil {
		o = &PublishOptions{}
	}
	history, err := VerifyKeyHistory(signed, fingerprint)
	if err != nil {
		return nil, fmt.Errorf("digest: publish: %w", err)
	}
	roots, err := bucketRoots(ctx, bucket, o.Region)
	if err != nil {
		return nil, fmt.Errorf("digest: publish: %w", err)
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("digest: publish: %w: nothing was dumped into the bucket yet: say which Region will be", ErrInvalid)
	}
	p := publisher{bucket, signed, fingerprint, history.Serial, o.Replace}
	var keys []string
	for _, root := range roots {
		key := KeysKey(root)
		if info, ok := ParseKey(key); !ok || info.Kind != KeysFile || obs.ValidateKey(key) != nil {
			return keys, fmt.Errorf("digest: publish: %w: Region %.100q: want REGION or REGION/PROJECT", ErrInvalid, o.Region)
		}
		if err := p.publish(ctx, key); err != nil {
			return keys, fmt.Errorf("digest: publish: %s: %w", key, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// publisher is one run of PublishKeyHistory.
type publisher struct {
	bucket      obs.Client
	signed      []byte
	fingerprint string
	serial      int64
	replace     bool
}

// publish puts the history under one key.
func (p publisher) publish(ctx context.Context, key string) error {
	there, _, err := getObject(ctx, p.bucket, key, maxHistory)
	switch {
	case err != nil && !isAbsent(err):
		return err
	case err == nil && bytes.Equal(there, p.signed):
		return nil
	case err == nil && !p.replace:
		if err := p.supersedes(there); err != nil {
			return err
		}
	}
	if _, err := p.bucket.Put(ctx, key, bytes.NewReader(p.signed), &obs.PutOptions{ContentType: "application/json"}); err != nil {
		return err
	}
	again, _, err := getObject(ctx, p.bucket, key, maxHistory)
	if err == nil && !bytes.Equal(again, p.signed) {
		err = fmt.Errorf("%w: it was replaced while it was published", ErrConflict)
	}
	return err
}

// supersedes returns an error unless the history may replace the one that is there.
func (p publisher) supersedes(there []byte) error {
	old, err := VerifyKeyHistory(there, p.fingerprint)
	switch {
	case errors.Is(err, ErrVersion):
		return fmt.Errorf("%w: the key history there is newer: %w", ErrConflict, err)
	case err != nil:
		return fmt.Errorf("%w: what is there is no history that this root key signed: %w", ErrConflict, err)
	case old.Serial >= p.serial:
		return fmt.Errorf("%w: the history there has the serial %d, and this one %d", ErrConflict, old.Serial, p.serial)
	}
	return nil
}
