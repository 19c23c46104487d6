package digest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/memobs"
)

// The way of a key: added, in use beside the next one, retired, and revoked in the end.
func TestKeyHistoryChanges(t *testing.T) {
	root, first, second := (worldOptions{}).otherSigner(), chainSigner(t), (worldOptions{}).otherSigner().Public()
	h := digest.KeyHistory{}
	const begin, change, end = digest.Stamp(1000), digest.Stamp(2000), digest.Stamp(2500)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(h.Add(first.Public(), begin))
	do(h.Add(second, change))
	do(h.Retire(first.KeyID(), end))
	signed, err := digest.SignKeyHistory(root, h)
	do(err)
	h2, err := digest.VerifyKeyHistory(signed, root.Public().Fingerprint())
	do(err)
	if h2.Serial != 3 || len(h2.Keys) != 2 {
		t.Fatalf("%+v", h2)
	}
	for at, want := range map[digest.Stamp][2]bool{
		begin - 1: {false, false}, begin: {true, false}, change: {true, true}, end: {true, true}, end + 1: {false, true},
	} {
		if got := [2]bool{h2.Keys[0].Valid(at), h2.Keys[1].Valid(at)}; got != want {
			t.Errorf("at %d: %v, want %v", at, got, want)
		}
	}
	do(h2.Revoke(second.ID()))
	if h2.Serial != 4 || h2.Keys[1].Valid(change) {
		t.Errorf("%+v", h2)
	}
	before := *h2
	before.Keys = slices.Clone(h2.Keys)
	for name, err := range map[string]error{
		"twice": h2.Add(second, change), "before 1970": h2.Add(chainSigner(t).Public(), -1), "unknown retired": h2.Retire("00", end),
		"unknown revoked": h2.Revoke(""), "retired before": h2.Retire(second.ID(), change-1), "retired never": h2.Retire(first.KeyID(), 0),
	} {
		if !errors.Is(err, digest.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := h2.Add(nil, 1); !errors.Is(err, digest.ErrKey) {
		t.Errorf("no key: %v", err)
	}
	if diff := cmp.Diff(&before, h2); diff != "" {
		t.Errorf("changes that were refused changed something:\n%s", diff)
	}
	if key, err := digest.KeyHistoryRoot(signed); err != nil || key.Fingerprint() != root.Public().Fingerprint() {
		t.Errorf("%v, %v", key, err)
	}
	if _, err := digest.KeyHistoryRoot([]byte("{}\n")); !errors.Is(err, digest.ErrInvalid) {
		t.Errorf("no history: %v", err)
	}
}

// signedSerial returns a signed history with a serial.
func signedSerial(t *testing.T, root *digest.Signer, key *digest.PublicKey, serial int64) []byte {
	t.Helper()
	signed, err := digest.SignKeyHistory(root, digest.KeyHistory{Serial: serial, Keys: []digest.KeyRecord{digest.NewKeyRecord(key, 0)}})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestPublishKeyHistory(t *testing.T) {
	ctx := t.Context()
	root, other := (worldOptions{}).otherSigner(), (worldOptions{}).otherSigner()
	w := newWorld(t, worldOptions{writers: 1, hours: 2, files: 1, traces: 1})
	pinned, key := root.Public().Fingerprint(), digest.KeysKey(worldRoot)
	publish := func(signed []byte, o *digest.PublishOptions) error {
		t.Helper()
		keys, err := digest.PublishKeyHistory(ctx, w.bucket, signed, pinned, o)
		if err == nil && !slices.Equal(keys, []string{key}) {
			t.Errorf("published as %v", keys)
		}
		return err
	}
	second := signedSerial(t, root, w.signer.Public(), 2)
	for _, step := range []struct {
		name   string
		signed []byte
		opts   *digest.PublishOptions
		want   error
	}{
		{"first", second, nil, nil},
		{"again", second, nil, nil},
		{"older", signedSerial(t, root, w.signer.Public(), 1), nil, digest.ErrConflict},
		{"another one with the serial", signedSerial(t, root, other.Public(), 2), nil, digest.ErrConflict},
		{"of another root", signedSerial(t, other, w.signer.Public(), 9), nil, digest.ErrSignature},
		{"garbage", []byte("garbage"), nil, digest.ErrInvalid},
		{"of another place", second, &digest.PublishOptions{Region: "a/b/c"}, digest.ErrInvalid},
		{"of no place", second, &digest.PublishOptions{Region: "eu-de/"}, digest.ErrInvalid},
		{"newer", signedSerial(t, root, w.signer.Public(), 3), nil, nil},
		{"older, replacing", second, &digest.PublishOptions{Replace: true}, nil},
	} {
		if err := publish(step.signed, step.opts); !errors.Is(err, step.want) || (err == nil) != (step.want == nil) {
			t.Errorf("%s: %v, want %v", step.name, err, step.want)
		}
		if content, _ := w.get(key); step.want == nil && !bytes.Equal(content, step.signed) || step.want != nil && !bytes.Equal(content, second) {
			t.Errorf("%s: %s is there", step.name, content)
		}
	}
	wantKinds(t, w.verify(func(o *digest.VerifyOptions) { o.Keys, o.RootFingerprint, o.MinHistory = nil, pinned, 2 }), found{})

	w.put(key, []byte("garbage"), nil)
	if err := publish(signedSerial(t, root, w.signer.Public(), 9), nil); !errors.Is(err, digest.ErrConflict) {
		t.Errorf("over garbage: %v", err)
	}
	if keys, err := digest.PublishKeyHistory(ctx, memobs.New(nil), second, pinned, nil); !errors.Is(err, digest.ErrInvalid) || len(keys) > 0 {
		t.Errorf("an empty bucket: %v, %v", keys, err)
	}
	if keys, err := digest.PublishKeyHistory(ctx, memobs.New(nil), second, pinned, &digest.PublishOptions{Region: "eu-nl/project"}); err != nil || len(keys) != 1 {
		t.Errorf("an empty bucket with a region: %v, %v", keys, err)
	}
}

// lostBucket is a bucket in which what is put is not what is there.
type lostBucket struct{ obs.Client }

func (lostBucket) Get(_ context.Context, key string) (io.ReadCloser, obs.Object, error) {
	return nil, obs.Object{}, &obs.Error{Op: "get", Key: key, Err: obs.ErrNotExist}
}

func TestPublishKeyHistoryReadsBack(t *testing.T) {
	root := (worldOptions{}).otherSigner()
	signed := signedSerial(t, root, root.Public(), 1)
	bucket := lostBucket{memobs.New(&memobs.Options{Now: time.Now})}
	_, err := digest.PublishKeyHistory(t.Context(), bucket, signed, root.Public().Fingerprint(), &digest.PublishOptions{Region: "eu-de"})
	if !errors.Is(err, obs.ErrNotExist) {
		t.Errorf("%v: want that it is not there", err)
	}
}
