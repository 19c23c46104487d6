package digest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

// A digest of many small values takes far more memory than bytes; one with long texts does
// not.
func TestParseManyValues(t *testing.T) {
	content := func(files string) []byte {
		return []byte(`{"digest_end_time":"2026-03-28T22-00-00Z","digest_object":"x","log_files":[` + files + `]}`)
	}
	if _, err := digest.Parse(content("null" + strings.Repeat(",null", 1_000_000))); !errors.Is(err, digest.ErrTooLarge) {
		t.Errorf("a million of nothing: %v", err)
	}
	if _, err := digest.Parse(content(`{"object":"` + strings.Repeat(`,\\\",`, 500_000) + `"}`)); err != nil {
		t.Errorf("a key with a million commas: %v", err)
	}
	if _, err := digest.Parse(content(`{"object":"` + strings.Repeat(`,`, 1_000_000))); !errors.Is(err, digest.ErrInvalid) {
		t.Errorf("a text without an end: %v", err)
	}
}

func marshal(tb testing.TB, d *digest.Digest) []byte {
	tb.Helper()
	content, err := json.Marshal(d)
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

// Numbers that are next to those where they would wrap around are refused.
func TestHugeNumbers(t *testing.T) {
	h := digest.Head{Chain: strings.Repeat("ab", 16), Seq: 1 << 53, SHA256: strings.Repeat("ab", 32), Count: 1 << 53}
	if err := h.Check(); err != nil {
		t.Error(err)
	}
	for _, n := range []int64{1<<53 + 1, math.MaxInt64} {
		seq, count := h, h
		seq.Seq, count.Count = n, n
		if !errors.Is(seq.Check(), digest.ErrInvalid) || !errors.Is(count.Check(), digest.ErrInvalid) {
			t.Errorf("%d is taken", n)
		}
	}
	w := newWorld(t, worldOptions{writers: 1, hours: 2, files: 1, traces: 1})
	stored, _ := w.get(w.writers[0].sealed[1].Key)
	for _, change := range []func(x *digest.Extension){
		func(x *digest.Extension) { x.Seq = 1<<53 + 1 },
		func(x *digest.Extension) { x.First, x.Files[0].First = math.MaxInt64-1, math.MaxInt64-1 },
		func(x *digest.Extension) { x.Count, x.Files[0].Count = math.MaxInt64, math.MaxInt64 },
	} {
		d, err := digest.Read(stored)
		if err != nil {
			t.Fatal(err)
		}
		change(d.Extension)
		if _, err := digest.Parse(marshal(t, d)); !errors.Is(err, digest.ErrInvalid) {
			t.Errorf("%+v: %v", d.Extension, err)
		}
	}
}

// A digest that somebody made up does not keep Prove from the real one.
func TestProveBesideJunk(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1, hours: 3, files: 1, traces: 1})
	a := w.writers[0]
	key, id := a.files[2][0], fmt.Sprintf("%s-2-0-0", a.chain.ID)
	stored, _ := w.get(a.sealed[1].Key)
	d, err := digest.Read(stored)
	if err != nil {
		t.Fatal(err)
	}
	d.Files[0].Object = key
	d.Extension.Files[0].Size = math.MaxInt64
	d.Extension.CompleteTo = math.MaxInt64
	w.put(a.sealed[1].Key, zip(t, marshal(t, d)), nil)
	for _, o := range []digest.ProveOptions{{}, {Object: key}} {
		o.Find = findTrace(id)
		if p, _, err := digest.Prove(t.Context(), w.bucket, &o); err != nil || p.Object != key {
			t.Errorf("%v", err)
		}
	}
}

// Whatever lies in a bucket, Verify comes to an end, and never finds that all is well.
func TestVerifyGarbage(t *testing.T) {
	rounds := 60
	if raceEnabled || testing.Short() {
		rounds = 10
	}
	random := rand.New(rand.NewPCG(*tamperSeed, 2))
	pieces := []string{
		"CloudTraces", "eu-de", "eu-nl", "2026", "03", "3", "28", "29", "0", "00", "31", "system", "data", "%", "Digest", "Keys", "keys.json", "Complete", "ECS", "..x", "é",
		"CloudTrace_eu-de_2026-03-28T22-00-00Z_0123456789abcdef.json.gz", "CloudTrace-Digest_eu-de_2026-03-28T22-00-00Z_0123456789abcdef.json.gz",
		"CloudTrace-Digest_eu-de_2026-03-28T23-00-00Z.json.gz", "CloudTrace-Digest_eu-de_2026-03-28T22-00-00Z_0123456789abcdef.json.gz.sig", "x.json",
	}
	for round := range rounds {
		w := newWorld(t, worldOptions{writers: 1, hours: 2, files: 1, traces: 1})
		keys := w.keys()
		var contents [][]byte
		for _, key := range keys {
			content, _ := w.get(key)
			contents = append(contents, content)
		}
		contents = append(contents, nil, []byte("{}"), []byte("[]"), []byte{0x1f, 0x8b}, zip(t, nil), zip(t, []byte("{}")), zip(t, []byte("[[[")), bytes.Repeat([]byte("["), 20_000))
		added := 0
		for range 30 {
			key := "CloudTraces/eu-de"
			if random.IntN(4) == 0 {
				key = "CloudTraces"
			}
			for range 1 + random.IntN(7) {
				key += "/" + pieces[random.IntN(len(pieces))]
			}
			if random.IntN(2) == 0 {
				key = "CloudTraces/eu-de/2026/03/28/system/" + []string{"Digest/", "ECS/", ""}[random.IntN(3)] + pieces[21+random.IntN(5)]
			}
			if obs.ValidateKey(key) != nil {
				continue
			}
			w.put(key, contents[random.IntN(len(contents))], nil)
			if info, ok := digest.ParseKey(key); ok && info.Kind != digest.KeysFile && info.Kind != digest.CompleteFile {
				added++
			}
		}
		r, err := digest.Verify(t.Context(), w.bucket, &digest.VerifyOptions{Keys: []*digest.PublicKey{w.signer.Public()}, Now: func() time.Time { return w.now }, Parallel: 3})
		if err != nil || added > 0 && r.OK() {
			t.Errorf("seed %d round %d: %v\n%s", *tamperSeed, round, err, findings(r))
		}
	}
}

// Any number of chains that somebody makes up is reported, and few are remembered.
func TestVerifyStrangers(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1, hours: 2, files: 1, traces: 1})
	const strangers = 10_100
	layout := w.writers[0].layout
	for i := range strangers {
		w.put(layout.Key(fmt.Sprintf("%016x", i+1), digest.StampOf(w.begin)+digest.Stamp(i%3600)), []byte("junk"), nil)
	}
	r, err := digest.Verify(context.Background(), w.bucket, &digest.VerifyOptions{
		Keys: []*digest.PublicKey{w.signer.Public()}, Now: func() time.Time { return w.now }, MaxFindings: 20_000,
	})
	if err != nil {
		t.Fatal(err)
	}
	wantKinds(t, r, found{digest.DigestChanged: strangers})
}
