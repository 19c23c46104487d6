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

// trust reads the key histories, if there are to be any. One in the bucket that is no good
// is a finding: whoever can write there has changed it.
func (v *verifier) trust(ctx context.Context, roots []string) error {
	if v.RootFingerprint == "" {
		return nil
	}
	if v.KeyHistory != nil {
		history, err := VerifyKeyHistory(v.KeyHistory, v.RootFingerprint)
		if err == nil && history.Serial < v.MinHistory {
			err = fmt.Errorf("%w: its serial is %d, and %d is known", ErrInvalid, history.Serial, v.MinHistory)
		}
		if err != nil {
			return fmt.Errorf("the key history: %w", err)
		}
		return v.trustAll(history)
	}
	invalid := false
	for _, root := range roots {
		good, err := v.trustRoot(ctx, root)
		if err != nil {
			return err
		}
		invalid = invalid || !good
	}
	switch {
	case v.histories > 0 && v.serial < v.MinHistory, v.histories == 0 && v.MinHistory > 0 && len(v.Keys) > 0:
		v.found(Finding{Kind: KeysInvalid, Reason: fmt.Sprintf("no key history in the bucket has the serial %d or a later one, the newest is %d: an older one was put back, or the newer one removed", v.MinHistory, v.serial)})
	case v.histories == 0 && !invalid && len(v.Keys) == 0:
		return fmt.Errorf("no root in the bucket has a key history, and no Keys were given: %w", obs.ErrNotExist)
	}
	return nil
}

// trustRoot reads the key history of a root. It reports false if that is no good.
func (v *verifier) trustRoot(ctx context.Context, root string) (good bool, err error) {
	key := KeysKey(root)
	content, _, err := v.get(ctx, key, maxHistory)
	if isAbsent(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the key history %s: %w", key, err)
	}
	history, err := VerifyKeyHistory(content, v.RootFingerprint)
	if errors.Is(err, ErrVersion) {
		return false, fmt.Errorf("the key history %s: %w", key, err)
	}
	if err != nil {
		v.found(Finding{Kind: KeysInvalid, Object: key, Reason: "it is no key history signed by the root key: " + err.Error()})
		return false, nil //nolint:nilerr // it is a finding
	}
	return true, v.trustAll(history)
}

// trustAll trusts the keys of a history, each as far as all histories do. A key that was
// given holds at any time.
func (v *verifier) trustAll(history *KeyHistory) error {
	v.histories++
	v.serial = max(v.serial, history.Serial)
	for _, r := range history.Keys {
		key, err := r.Key()
		if err != nil {
			return fmt.Errorf("the key history: %w", err)
		}
		known, ok := v.keys[r.KeyID]
		switch {
		case !ok:
			v.keys[r.KeyID] = keyTerm{key: key, record: &r}
		case known.record != nil:
			strictest := known.record.strictest(r)
			v.keys[r.KeyID] = keyTerm{key: key, record: &strictest}
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
