package digest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
)

// KeyHistory is which keys signed digests when. Signed with a root key that is used for
// nothing else and of which auditors keep the fingerprint, it lets the keys of writers
// change without asking anybody for trust anew. It lies in the bucket under [KeysKey], or
// is handed over as a file.
type KeyHistory struct {
	Version int         `json:"version"`          // 1
	Serial  int64       `json:"serial,omitempty"` // raised with each change, see VerifyOptions.MinHistory; 0 is none
	Keys    []KeyRecord `json:"keys"`
}

// KeyRecord is one key of a history. A digest signed by it is good if its end time is
// from From on and, unless Until is 0, not after Until, and the key was not revoked.
type KeyRecord struct {
	KeyID     string `json:"key_id"` // must be that of PublicKey
	Algorithm string `json:"algorithm"`
	PublicKey string `json:"public_key"`        // SubjectPublicKeyInfo in base64
	From      int64  `json:"from"`              // seconds since 1970 UTC
	Until     int64  `json:"until,omitempty"`   // seconds since 1970 UTC; 0 is still in use
	Revoked   bool   `json:"revoked,omitempty"` // nothing that it signed counts
}

// maxHistory bounds a key history, and maxRecords its keys.
const (
	maxHistory = 4 << 20
	maxRecords = 4096
)

// NewKeyRecord returns the record of a key that is in use from a second on.
func NewKeyRecord(key *PublicKey, from Stamp) KeyRecord {
	return KeyRecord{KeyID: key.ID(), Algorithm: key.Algorithm(), PublicKey: base64.StdEncoding.EncodeToString(key.spki), From: int64(from)}
}

// Key returns the public key of the record. One that does not fit the rest of the record
// is [ErrInvalid], no key [ErrKey].
func (r KeyRecord) Key() (*PublicKey, error) {
	spki, err := base64.StdEncoding.Strict().DecodeString(r.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not base64", ErrKey)
	}
	key, err := ParsePublicKey(spki)
	if err != nil {
		return nil, err
	}
	if key.ID() != r.KeyID || key.Algorithm() != r.Algorithm {
		return nil, fmt.Errorf("%w: key_id or algorithm is not that of the key", ErrInvalid)
	}
	return key, nil
}

// Valid reports whether the key counts for a digest that ends at end.
func (r KeyRecord) Valid(end Stamp) bool {
	return !r.Revoked && int64(end) >= r.From && (r.Until == 0 || int64(end) <= r.Until)
}

// strictest returns the record of a key of which there are two: it is revoked if one says
// so, and good at the times at which both are.
func (r KeyRecord) strictest(o KeyRecord) KeyRecord {
	r.Revoked = r.Revoked || o.Revoked
	r.From = max(r.From, o.From)
	if r.Until == 0 || o.Until != 0 && o.Until < r.Until {
		r.Until = o.Until
	}
	return r
}

// Add adds a key that is in use from a second on, and raises the serial. The keys before it
// stay in use until they are retired, so that writers may change theirs one after the
// other. A key that is there already is [ErrInvalid].
func (h *KeyHistory) Add(key *PublicKey, from Stamp) error {
	if key == nil {
		return fmt.Errorf("%w: it is nil", ErrKey)
	}
	if _, err := h.record(key.ID()); err == nil {
		return fmt.Errorf("%w: key %s is in the history already", ErrInvalid, key.ID())
	}
	if from < 0 {
		return fmt.Errorf("%w: a key in use from before 1970", ErrInvalid)
	}
	if len(h.Keys) >= maxRecords {
		return fmt.Errorf("%w: a history has at most %d keys", ErrTooLarge, maxRecords)
	}
	h.Keys = append(h.Keys, NewKeyRecord(key, from))
	h.Serial++
	return nil
}

// Retire says that a key is in use no more behind a second, which must be that of the end
// of the last digest that it signed or later, and raises the serial. What the key has
// signed stays good. A key that is not there, or a second before its first one, is
// [ErrInvalid].
func (h *KeyHistory) Retire(keyID string, until Stamp) error {
	r, err := h.record(keyID)
	if err != nil {
		return err
	}
	if int64(until) < max(r.From, 1) {
		return fmt.Errorf("%w: key %s is in use from %v on, not until %v", ErrInvalid, keyID, Stamp(r.From), until)
	}
	r.Until = int64(until)
	h.Serial++
	return nil
}

// Revoke says that nothing counts that a key has signed, at any time, because somebody else
// has or had it, and raises the serial. It can't be taken back. A key that is not there is
// [ErrInvalid].
func (h *KeyHistory) Revoke(keyID string) error {
	r, err := h.record(keyID)
	if err != nil {
		return err
	}
	r.Revoked = true
	h.Serial++
	return nil
}

func (h *KeyHistory) record(keyID string) (*KeyRecord, error) {
	i := slices.IndexFunc(h.Keys, func(r KeyRecord) bool { return r.KeyID == keyID })
	if i < 0 {
		return nil, fmt.Errorf("%w: key %.64q is not in the history", ErrInvalid, keyID)
	}
	return &h.Keys[i], nil
}

// check checks the history against itself.
func (h *KeyHistory) check() error {
	if h.Version != 1 {
		return fmt.Errorf("%w: key history %d, this release reads 1", ErrVersion, h.Version)
	}
	if h.Serial < 0 {
		return fmt.Errorf("%w: serial %d of a key history", ErrInvalid, h.Serial)
	}
	if len(h.Keys) > maxRecords {
		return fmt.Errorf("%w: a history of %d keys", ErrTooLarge, len(h.Keys))
	}
	seen := map[string]bool{}
	for i, r := range h.Keys {
		if _, err := r.Key(); err != nil {
			return fmt.Errorf("key %d of the history: %w", i, err)
		}
		if seen[r.KeyID] || r.From < 0 || r.Until != 0 && r.Until < r.From {
			return fmt.Errorf("%w: key %d of the history is there twice, or its times are none", ErrInvalid, i)
		}
		seen[r.KeyID] = true
	}
	return nil
}

// signedHistory is a key history as it is stored.
type signedHistory struct {
	History   json.RawMessage `json:"history"`
	Algorithm string          `json:"signature_algorithm"`
	Root      string          `json:"root_key"`  // SubjectPublicKeyInfo in base64
	Signature string          `json:"signature"` // hex
}

// historyMessage is what the signature is made over: no signature of a digest is one of
// a history, since a signing string begins with a year.
func historyMessage(history []byte) []byte { return append([]byte("cts key history 1\n"), history...) }

// SignKeyHistory returns h signed with the root key: JSON on one line, with a newline at
// its end. A Version of 0 is 1. A history that contradicts itself is [ErrInvalid],
// [ErrKey] or [ErrTooLarge].
func SignKeyHistory(root *Signer, h KeyHistory) ([]byte, error) {
	if h.Version == 0 {
		h.Version = 1
	}
	if h.Keys == nil {
		h.Keys = []KeyRecord{}
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	history, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	signature, err := root.Sign(historyMessage(history))
	if err != nil {
		return nil, err
	}
	return encodeHistory(signedHistory{
		History: history, Algorithm: root.Algorithm(), Root: base64.StdEncoding.EncodeToString(root.public.spki), Signature: signature,
	})
}

func encodeHistory(s signedHistory) ([]byte, error) {
	line, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return append(line, '\n'), nil
}

// VerifyKeyHistory returns the history that SignKeyHistory signed. The root key must have
// the fingerprint, 64 hex digits, see [PublicKey.Fingerprint]; with another one, or if
// anything was changed, the error is [ErrSignature]. What is no history is [ErrInvalid],
// [ErrKey], [ErrVersion] or [ErrTooLarge].
func VerifyKeyHistory(signed []byte, fingerprint string) (*KeyHistory, error) {
	s, root, err := parseSignedHistory(signed)
	if err != nil {
		return nil, err
	}
	if root.Fingerprint() != fingerprint || root.Algorithm() != s.Algorithm {
		return nil, fmt.Errorf("%w: the key history has another root key, %s", ErrSignature, root.Fingerprint())
	}
	if err := root.Check(historyMessage(s.History), s.Signature); err != nil {
		return nil, fmt.Errorf("key history: %w", err)
	}
	h := &KeyHistory{}
	if err := json.Unmarshal(s.History, h); err != nil {
		return nil, parseError(err)
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	return h, nil
}

// KeyHistoryRoot returns the root key that a signed history says it is signed with. Nothing
// is checked: compare its fingerprint with the one that is pinned, and let VerifyKeyHistory
// check the rest. What is no history is [ErrInvalid], [ErrKey] or [ErrTooLarge].
func KeyHistoryRoot(signed []byte) (*PublicKey, error) {
	_, root, err := parseSignedHistory(signed)
	return root, err
}

func parseSignedHistory(signed []byte) (signedHistory, *PublicKey, error) {
	var s signedHistory
	if len(signed) > maxHistory {
		return s, nil, fmt.Errorf("%w: a key history of %d bytes", ErrTooLarge, len(signed))
	}
	if err := json.Unmarshal(signed, &s); err != nil {
		return s, nil, parseError(err)
	}
	if again, err := encodeHistory(s); err != nil || !bytes.Equal(again, signed) {
		return s, nil, fmt.Errorf("%w: it is not written as key histories are", ErrInvalid)
	}
	spki, err := base64.StdEncoding.Strict().DecodeString(s.Root)
	if err != nil {
		return s, nil, fmt.Errorf("%w: root key: it is not base64", ErrKey)
	}
	root, err := ParsePublicKey(spki)
	if err != nil {
		return s, nil, fmt.Errorf("root key: %w", err)
	}
	return s, root, nil
}
