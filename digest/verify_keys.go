package digest

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cloudtraceservice/cts/obs"
)

// keyring has the trusted keys by their ids.
type keyring map[string]keyTerm

// keyTerm is a trusted key and, if it comes from a key history, the time it is trusted for.
type keyTerm struct {
	key    *PublicKey
	record *KeyRecord // nil for a key that is trusted at any time
}

// trust reads the key history, if there is to be one.
func (v *verifier) trust(ctx context.Context, root string) error {
	if v.RootFingerprint == "" {
		return nil
	}
	signed := v.KeyHistory
	if signed == nil {
		key := KeysKey(root)
		content, _, err := v.get(ctx, key, maxHistory)
		if err != nil {
			return fmt.Errorf("reading the key history %s: %w", key, err)
		}
		signed = content
	}
	history, err := VerifyKeyHistory(signed, v.RootFingerprint)
	if err != nil {
		return fmt.Errorf("the key history of %s: %w", root, err)
	}
	for _, r := range history.Keys {
		key, err := r.Key()
		if err != nil {
			return fmt.Errorf("the key history of %s: %w", root, err)
		}
		if _, ok := v.keys[r.KeyID]; !ok { // a key that was given holds at any time
			v.keys[r.KeyID] = keyTerm{key: key, record: &r}
		}
	}
	return nil
}

// get reads an object of at most limit bytes; of a larger one it returns limit+1.
func (v *verifier) get(ctx context.Context, key string, limit int64) ([]byte, obs.Object, error) {
	return getObject(ctx, v.bucket, key, limit)
}

func getObject(ctx context.Context, bucket obs.Client, key string, limit int64) ([]byte, obs.Object, error) {
	body, object, err := bucket.Get(ctx, key)
	if err != nil {
		return nil, obs.Object{}, err
	}
	defer body.Close() //nolint:errcheck // only read from
	content, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && int64(len(content)) < min(object.Size, limit+1) { // the way to the store broke off
		err = io.ErrUnexpectedEOF
	}
	return content, object, err
}

// check checks one signature of a digest. A nil finding means that it holds; otherwise
// the finding has kind and reason.
func (k keyring) check(d *Digest, stored []byte, signature string) *Finding {
	if d.Extension == nil {
		for _, t := range k {
			if CheckSignature(t.key, d, stored, signature) == nil {
				return t.checkTerm(d)
			}
		}
		return &Finding{Kind: SignatureWrong, Reason: "its signature was made with none of the trusted keys, or not over it"}
	}
	t, ok := k[d.Extension.KeyID]
	if !ok {
		return &Finding{Kind: KeyUnknown, Reason: "it is signed with key " + d.Extension.KeyID + ", which is not trusted"}
	}
	if err := CheckSignature(t.key, d, stored, signature); err != nil {
		return &Finding{Kind: SignatureWrong, Reason: "its signature is not one over it: one of both was changed"}
	}
	return t.checkTerm(d)
}

// checkTerm checks that the key was good when the digest ended.
func (t keyTerm) checkTerm(d *Digest) *Finding {
	switch {
	case t.record == nil || t.record.Valid(d.End):
		return nil
	case t.record.Revoked:
		return &Finding{Kind: KeyInvalid, Reason: "it is signed with key " + t.record.KeyID + ", which was revoked"}
	}
	return &Finding{Kind: KeyInvalid, Reason: "it is signed with key " + t.record.KeyID + " outside the time that the key history has for it"}
}

// isAbsent reports whether an error of the bucket means that there is no such object.
func isAbsent(err error) bool {
	return errors.Is(err, obs.ErrNotExist) || errors.Is(err, obs.ErrInvalidKey)
}
