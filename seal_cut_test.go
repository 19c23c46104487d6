package cts_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

// digestsIn returns how many digests lie below a prefix.
func (w *sealWorld) digestsIn(tb testing.TB, prefix string) int {
	tb.Helper()
	n := 0
	for o, err := range w.objects.List(tb.Context(), prefix, nil) {
		if err != nil {
			tb.Fatal(err)
		}
		if info, ok := digest.ParseKey(o.Key); ok && info.Kind == digest.DigestFile {
			n++
		}
	}
	return n
}

// TestSealCatchUpIsBounded makes up a month, bit by bit, and delivers meanwhile.
func TestSealCatchUpIsBounded(t *testing.T) {
	w := newSealWorld(t)
	d := w.start(t)
	w.add(t, "system/ECS", "data/OBS")
	w.flush(t, d)
	w.now = w.now.AddDate(0, 0, 10)
	before := 2
	for turn := 0; ; turn++ {
		w.add(t, "system/ECS")
		w.flush(t, d)
		if st := d.Status(); int(st.Position) != w.made {
			t.Fatalf("turn %d: dumped up to %d of %d", turn, st.Position, w.made)
		}
		now := w.digestsIn(t, "")
		if now-before > 2*64 { // after the cycle, and at the end
			t.Fatalf("turn %d: %d digests", turn, now-before)
		}
		if now == before {
			if now != 2+2*239 {
				t.Errorf("%d digests for ten days", now)
			}
			break
		}
		before = now
		b := readBucket(t, w.objects, sealSigner(t).Public())
		var lengths []int
		for _, chain := range b.digests {
			lengths = append(lengths, len(chain))
		}
		if d := lengths[0] - lengths[1]; d < -1 || d > 1 {
			t.Errorf("turn %d: chains of %d digests: one is far behind", turn, lengths)
		}
	}
	w.sealAll(t, d)
	w.checkSealed(t)
}

// TestSealGoesOnBesideOne has a tracker whose digests are denied: the others are sealed.
func TestSealGoesOnBesideOne(t *testing.T) {
	w := newSealWorld(t)
	down := true
	bucket := &sealBucket{Client: w.objects, fail: func(op, key string) error {
		if down && op == "put" && strings.Contains(key, "/bad/Digest/") {
			return obs.ErrDenied
		}
		return nil
	}}
	d := w.startOn(t, bucket)
	for hour := range 4 {
		w.now = sealBegin.Add(time.Duration(hour)*time.Hour + 10*time.Second)
		w.add(t, "bad/ECS", "good/ECS")
		if err := d.Flush(t.Context()); !errors.Is(err, obs.ErrDenied) {
			t.Errorf("hour %d: %v", hour, err)
		}
		if hour == 2 {
			d = w.startOn(t, bucket) // and another process knows of it too
		}
		if got := w.sealedPosition(t); got != 0 {
			t.Errorf("hour %d: the store may forget up to %d, and the first trace is not sealed", hour, got)
		}
	}
	if err := d.Seal(t.Context()); !errors.Is(err, obs.ErrDenied) {
		t.Errorf("Seal: %v", err)
	}
	b := readBucket(t, w.objects, sealSigner(t).Public())
	if bad, good := b.shapes("bad"), b.shapes("good"); bad != "" || !strings.HasPrefix(good, "S1") || len(good) < 4 {
		t.Errorf("chains of bad %q, of good %q", bad, good)
	}
	for _, chain := range b.digests {
		for _, d := range chain {
			if len(d.Extension.Heads) > 0 {
				t.Errorf("%s mentions a digest that is not there", d.key)
			}
		}
	}
	down = false
	w.sealAll(t, d)
	w.checkSealed(t)
	if got := w.sealedPosition(t); int(got) != w.made {
		t.Errorf("sealed up to %d of %d", got, w.made)
	}
	report, err := digest.Verify(t.Context(), w.objects, &digest.VerifyOptions{Keys: []*digest.PublicKey{sealSigner(t).Public()}, AsOf: w.now})
	if err != nil || !report.OK() {
		t.Errorf("Verify: %v, %+v", err, report)
	}
}

// TestSealManyDenied has many trackers that are denied: few of them are tried in a turn, the
// others are sealed, and nothing is lost.
func TestSealManyDenied(t *testing.T) {
	w := newSealWorld(t)
	down, puts := true, 0
	bucket := &sealBucket{Client: w.objects, fail: func(op, key string) error {
		if down && op == "put" && strings.Contains(key, "/Digest/") && !strings.Contains(key, "/good/") {
			puts++
			return obs.ErrDenied
		}
		return nil
	}}
	d := w.startOn(t, bucket)
	for turn := range 3 {
		for i := range 20 {
			w.add(t, fmt.Sprintf("t%d/s", i))
		}
		w.add(t, "good/s")
		w.now = w.now.Add(time.Hour)
		puts = 0
		if err := d.Flush(t.Context()); !errors.Is(err, obs.ErrDenied) || int(d.Status().Position) != w.made {
			t.Errorf("turn %d: %v", turn, err)
		}
		if limit := []int{25, 5, 5}[turn]; puts > limit {
			t.Errorf("turn %d: %d attempts", turn, puts)
		}
		if got := readBucket(t, w.objects, sealSigner(t).Public()).shapes("good"); len(got) < turn+1 {
			t.Errorf("turn %d: chain of good %q", turn, got)
		}
	}
	down = false
	w.now = w.now.Add(time.Minute)
	w.sealAll(t, d)
	w.checkSealed(t)
}

// TestSealMoves changes the region and the project: the chains are ended where they were.
func TestSealMoves(t *testing.T) {
	w := newSealWorld(t)
	d := w.start(t)
	w.add(t, "system/ECS", "data/OBS")
	w.flush(t, d)
	w.add(t, "system/ECS") // is in no digest when the region changes
	w.flush(t, d)
	for _, place := range []struct{ region, project string }{{"eu-de", ""}, {"eu-de", "shop"}, {"local", ""}} {
		w.now = w.now.Add(90 * time.Minute)
		w.opts.Region, w.opts.Project = place.region, place.project
		d = w.start(t)
		w.add(t, "system/ECS") // and nothing for the other tracker
		w.flush(t, d)
		w.add(t, "system/EVS")
		w.flush(t, d)
	}
	w.sealAll(t, d)
	b := w.checkSealed(t)
	if got := b.shapes("system"); strings.Count(got, "E") != 3 || strings.Count(got, "S") != 4 || strings.HasSuffix(got, "E") {
		t.Errorf("chains %q", got)
	}
	if got := b.shapes("data"); strings.Count(got, "S") != 1 || !strings.HasSuffix(got, "E") {
		t.Errorf("chains of the tracker without new traces: %q", got)
	}
	for _, chain := range b.digests {
		for _, d := range chain {
			info, _ := digest.ParseKey(d.key)
			first, _ := digest.ParseKey(chain[0].key)
			if info.Root != first.Root {
				t.Errorf("a chain goes from %s to %s", first.Root, info.Root)
			}
		}
	}
	if n := w.digestsIn(t, "CloudTraces/eu-de-shop/"); n == 0 {
		t.Error("no digest in the sub-project")
	}
	report, err := digest.Verify(t.Context(), w.objects, &digest.VerifyOptions{Keys: []*digest.PublicKey{sealSigner(t).Public()}, AsOf: w.now})
	if err != nil || !report.OK() {
		t.Errorf("Verify: %v, %+v", err, report)
	}
}

// TestSealOtherKeys has two writers with keys of their own.
func TestSealOtherKeys(t *testing.T) {
	other, err := digest.GenerateKey(digest.Ed25519, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range []bool{false, true} {
		a, b := newSealWorld(t), newSealWorld(t)
		b.Store = newStoreWithID("7d0c7c0e-0000-4000-8000-000000000002")
		b.objects = a.objects
		b.opts.Validation.Signer = other
		if known {
			a.opts.Validation.OtherKeys = []*digest.PublicKey{other.Public()}
		}
		b.add(t, "system/ECS")
		b.sealAll(t, b.start(t))
		a.now = sealBegin.Add(time.Minute)
		a.add(t, "system/ECS")
		var own []digest.Head
		a.opts.Validation.Sealed = func(h digest.Head) { own = append(own, h) }
		a.sealAll(t, a.start(t))
		for _, h := range own {
			d := a.digest(t, h.Object)
			if heads := d.Extension.Heads; len(heads) != 1 || heads[0].Unchecked == known {
				t.Errorf("known %v: heads %+v", known, heads)
			}
		}
		if len(own) == 0 {
			t.Error("no digest")
		}
	}
}

// digest reads a digest.
func (w *sealWorld) digest(tb testing.TB, key string) *digest.Digest {
	tb.Helper()
	body, _, err := w.objects.Get(tb.Context(), key)
	if err != nil {
		tb.Fatal(err)
	}
	stored, err := io.ReadAll(body)
	if err != nil {
		tb.Fatal(err)
	}
	d, err := digest.Read(stored)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// deniedGets is a bucket that does not give out some objects.
type deniedGets struct {
	obs.Client
	part string
}

func (b deniedGets) Get(ctx context.Context, key string) (io.ReadCloser, obs.Object, error) {
	if strings.Contains(key, b.part) {
		return nil, obs.Object{}, &obs.Error{Op: "get", Key: key, Err: obs.ErrDenied}
	}
	return b.Client.Get(ctx, key)
}

// TestSealDeniedHead has a digest of another writer that may not be read: the others are
// mentioned all the same.
func TestSealDeniedHead(t *testing.T) {
	a, b := newSealWorld(t), newSealWorld(t)
	b.Store = newStoreWithID("7d0c7c0e-0000-4000-8000-000000000002")
	b.objects = a.objects
	b.add(t, "system/ECS", "data/OBS")
	b.sealAll(t, b.start(t))
	a.add(t, "system/ECS")
	d, err := cts.NewDumper(a, deniedGets{a.objects, "/data/Digest/"}, &a.opts)
	if err != nil {
		t.Fatal(err)
	}
	a.sealAll(t, d)
	var heads int
	for h := range a.heads {
		heads += len(a.digest(t, h.Object).Extension.Heads)
	}
	if heads != 1 {
		t.Errorf("%d heads, want that of the digest that may be read", heads)
	}
}

// failingKey fails for one message.
type failingKey struct {
	crypto.Signer
	fail func(message []byte) bool
}

var errKeyModule = errors.New("the key module is away")

func (k failingKey) Sign(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if k.fail(message) {
		return nil, errKeyModule
	}
	return k.Signer.Sign(random, message, opts)
}

// TestSealGoesOnBesideACut has a chain of which no digest can be cut: the others are.
func TestSealGoesOnBesideACut(t *testing.T) {
	w := newSealWorld(t)
	down := true
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	signer, err := digest.NewSigner(failingKey{key, func(message []byte) bool { return down && bytes.Contains(message, []byte("/bad/Digest/")) }})
	if err != nil {
		t.Fatal(err)
	}
	w.opts.Validation.Signer = signer
	d := w.start(t)
	w.add(t, "bad/ECS", "good/ECS")
	if err := d.Flush(t.Context()); !errors.Is(err, errKeyModule) {
		t.Errorf("Flush: %v", err)
	}
	if b := readBucket(t, w.objects, signer.Public()); b.shapes("bad") != "" || b.shapes("good") != "S1" {
		t.Errorf("chains of bad %q, of good %q", b.shapes("bad"), b.shapes("good"))
	}
	down = false
	w.sealAll(t, d)
	w.checkSealed(t)
}

// TestSealEndIsDenied has an ending digest that can't be put while the next chain begins.
func TestSealEndIsDenied(t *testing.T) {
	w := newSealWorld(t)
	down := false
	bucket := &sealBucket{Client: w.objects, fail: func(op, key string) error {
		if down && op == "put" && strings.Contains(key, "/Digest/") {
			return obs.ErrDenied
		}
		return nil
	}}
	d := w.startOn(t, bucket)
	w.add(t, "system/ECS")
	w.flush(t, d)
	down = true
	w.add(t, "system/ECS")
	if err := d.EndValidation(t.Context()); !errors.Is(err, obs.ErrDenied) {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Minute)
	w.add(t, "system/ECS")
	if err := d.Flush(t.Context()); !errors.Is(err, obs.ErrDenied) {
		t.Fatal(err)
	}
	down = false
	w.sealAll(t, d)
	if got := w.checkSealed(t).shapes("system"); got != "S11E S1" {
		t.Errorf("chains %q", got)
	}
}
