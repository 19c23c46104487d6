package digest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

func TestVerifyKeyHistory(t *testing.T) {
	root := (worldOptions{}).otherSigner()
	next := (worldOptions{}).otherSigner()
	w := newWorld(t, worldOptions{writers: 1, hours: 4, files: 1, traces: 1})
	first, change := w.signer, digest.StampOf(w.now)
	w.options.hours = 8
	w.signer = next
	for range 2 {
		w.now = w.now.Add(time.Hour)
		w.cut(w.writers[0], digest.StampOf(w.now), false)
	}
	sign := func(edit func(keys []digest.KeyRecord)) []byte {
		records := []digest.KeyRecord{digest.NewKeyRecord(first.Public(), digest.StampOf(w.begin)), digest.NewKeyRecord(next.Public(), change)}
		records[0].Until = int64(change)
		edit(records)
		signed, err := digest.SignKeyHistory(root, digest.KeyHistory{Keys: records})
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	good := sign(func([]digest.KeyRecord) {})
	verify := func(history []byte) *digest.Report {
		return w.verify(func(o *digest.VerifyOptions) {
			o.Keys, o.KeyHistory, o.RootFingerprint = nil, history, root.Public().Fingerprint()
		})
	}
	wantKinds(t, verify(good), found{})
	w.put(digest.KeysKey(worldRoot), good, nil)
	wantKinds(t, verify(nil), found{})
	if r := verify(sign(func(k []digest.KeyRecord) { k[1].Revoked = true })); kinds(r)[digest.KeyInvalid] != 2 || r.OK() {
		t.Errorf("a revoked key:\n%s", findings(r))
	}
	if r := verify(sign(func(k []digest.KeyRecord) { k[0].Until = w.begin.Add(90 * time.Minute).Unix() })); kinds(r)[digest.KeyInvalid] != 3 {
		t.Errorf("a key outside its time:\n%s", findings(r))
	}
	for name, o := range map[string]digest.VerifyOptions{
		"another root":   {KeyHistory: good, RootFingerprint: next.Public().Fingerprint()},
		"changed":        {KeyHistory: append(good, ' '), RootFingerprint: root.Public().Fingerprint()},
		"not there":      {RootFingerprint: root.Public().Fingerprint(), Region: "eu-nl"},
		"no fingerprint": {KeyHistory: good},
	} {
		if _, err := digest.Verify(context.Background(), w.bucket, &o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestVerifyKeyHistoryPutBack has somebody who can write to the bucket and holds a revoked
// key: he puts an older history back, removes it, or changes it.
func TestVerifyKeyHistoryPutBack(t *testing.T) {
	root := (worldOptions{}).otherSigner()
	w := newWorld(t, worldOptions{writers: 1, hours: 3, files: 1, traces: 1})
	other := w.addWriter("other", "system", 0)
	other.layout.Root, other.layout.Region = "CloudTraces/eu-nl", "eu-nl"
	w.cut(other, digest.StampOf(w.now), false)
	sign := func(serial int64, edit func(r *digest.KeyRecord)) []byte {
		record := digest.NewKeyRecord(w.signer.Public(), 0)
		edit(&record)
		signed, err := digest.SignKeyHistory(root, digest.KeyHistory{Serial: serial, Keys: []digest.KeyRecord{record}})
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	good := sign(1, func(*digest.KeyRecord) {})
	revoked := sign(2, func(r *digest.KeyRecord) { r.Revoked = true })
	early := sign(3, func(r *digest.KeyRecord) { r.Until = w.begin.Add(90 * time.Minute).Unix() })
	late := sign(3, func(r *digest.KeyRecord) { r.From = w.begin.Add(90 * time.Minute).Unix() })
	de, nl := digest.KeysKey(worldRoot), digest.KeysKey("CloudTraces/eu-nl")
	for name, c := range map[string]struct {
		de, nl []byte
		min    int64
		keys   bool
		want   found
	}{
		"good":                       {good, good, 1, false, found{}},
		"one root has none":          {nil, good, 0, false, found{}},
		"revoked in one":             {revoked, good, 0, false, found{digest.KeyInvalid: 4, digest.NothingFound: 1, digest.FileUnvalidated: 3}},
		"revoked in the other":       {good, revoked, 2, false, found{digest.KeyInvalid: 4, digest.NothingFound: 1, digest.FileUnvalidated: 3}},
		"until then in one":          {good, early, 0, false, found{digest.KeyInvalid: 3, digest.FileAdded: 2}},
		"from then in one":           {late, early, 0, false, found{digest.KeyInvalid: 4, digest.NothingFound: 1, digest.FileUnvalidated: 3}},
		"put back":                   {good, good, 2, false, found{digest.KeysInvalid: 1}},
		"removed":                    {nil, nil, 2, true, found{digest.KeysInvalid: 1}},
		"removed, and nobody knew":   {nil, nil, 0, true, found{}},
		"changed":                    {append([]byte(" "), good...), good, 0, false, found{digest.KeysInvalid: 1}},
		"changed in both":            {[]byte("x"), nil, 0, false, found{digest.KeysInvalid: 1, digest.KeyUnknown: 4, digest.NothingFound: 1, digest.FileUnvalidated: 3}},
		"of a key that holds anyhow": {revoked, revoked, 0, true, found{}},
	} {
		t.Run(name, func(t *testing.T) {
			for key, content := range map[string][]byte{de: c.de, nl: c.nl} {
				w.delete(key)
				if content != nil {
					w.put(key, content, nil)
				}
			}
			r := w.verify(func(o *digest.VerifyOptions) {
				o.RootFingerprint, o.MinHistory = root.Public().Fingerprint(), c.min
				if !c.keys {
					o.Keys = nil
				}
			})
			wantKinds(t, r, c.want)
			if r.OK() != (len(c.want) == 0) {
				t.Error(findings(r))
			}
		})
	}
	w.delete(de, nl)
	o := &digest.VerifyOptions{RootFingerprint: root.Public().Fingerprint()}
	if _, err := digest.Verify(context.Background(), w.bucket, o); !errors.Is(err, obs.ErrNotExist) {
		t.Errorf("no history anywhere: %v", err)
	}
	o.KeyHistory, o.MinHistory = good, 2
	if _, err := digest.Verify(context.Background(), w.bucket, o); !errors.Is(err, digest.ErrInvalid) {
		t.Errorf("an older history that was given: %v", err)
	}
}
