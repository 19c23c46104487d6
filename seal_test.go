package cts_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

func (w *sealWorld) flush(tb testing.TB, d *cts.Dumper) {
	tb.Helper()
	if err := d.Flush(context.Background()); err != nil {
		tb.Fatal(err)
	}
}

func (w *sealWorld) sealAll(tb testing.TB, d *cts.Dumper) {
	tb.Helper()
	if err := d.Seal(context.Background()); err != nil {
		tb.Fatal(err)
	}
}

func TestSealLife(t *testing.T) {
	w := newSealWorld(t)
	d := w.start(t)
	step := func(want string) {
		t.Helper()
		b := readBucket(t, w.objects, sealSigner(t).Public())
		if got := b.shapes("system"); got != want {
			t.Fatalf("chains %q, want %q", got, want)
		}
	}
	w.flush(t, d)
	step("") // nothing was delivered, so no chain began
	w.add(t, "system/ECS", "system/EVS")
	w.flush(t, d)
	step("S2") // the first one is made at once
	if got := w.sealedPosition(t); got != 2 {
		t.Errorf("the store may forget up to %d, sealed are 2", got)
	}
	w.add(t, "system/ECS")
	w.now = sealBegin.Add(time.Hour)
	w.flush(t, d)
	step("S2")
	if got := w.sealedPosition(t); got != 2 {
		t.Errorf("the store may forget up to %d, and 2 are sealed", got)
	}
	w.now = sealBegin.Add(time.Hour + 2*time.Second)
	w.flush(t, d)
	step("S21")
	if got := w.sealedPosition(t); got != 3 {
		t.Errorf("the store may forget up to %d, sealed are 3", got)
	}
	w.now = sealBegin.Add(2*time.Hour + 2*time.Second)
	w.flush(t, d)
	step("S210")
	w.add(t, "system/ECS")
	w.sealAll(t, d) // a short one
	step("S2101")
	w.sealAll(t, d) // nothing to seal
	step("S2101")

	d = w.start(t) // five hours later another process makes up what was missed
	w.now = w.now.Add(5*time.Hour + 2*time.Second)
	w.flush(t, d)
	step("S210100000")
	w.add(t, "system/ECS", "data/OBS")
	if err := d.EndValidation(t.Context()); err != nil {
		t.Fatal(err)
	}
	step("S2101000001E")
	w.now = w.now.Add(5 * time.Hour)
	w.flush(t, d)
	step("S2101000001E")
	w.add(t, "system/ECS")
	w.sealAll(t, d)
	step("S2101000001E S1")
	b := w.checkSealed(t)
	if got := b.shapes("data"); got != "S10E" {
		t.Errorf("chains of data: %q", got)
	}
	for head, times := range w.heads {
		if times != 1 {
			t.Errorf("head %+v was handed out %d times", head, times)
		}
	}
	report, err := digest.Verify(t.Context(), w.objects, &digest.VerifyOptions{Keys: []*digest.PublicKey{sealSigner(t).Public()}})
	if err != nil || !report.OK() {
		t.Errorf("Verify: %v, %+v", err, report)
	}
}

func TestSealFields(t *testing.T) {
	w := newSealWorld(t)
	w.opts.Validation.Hash, w.opts.Validation.PerService, w.opts.Validation.Policy = digest.MD5, true, "policy"
	w.opts.Prefix, w.opts.Region = "p", "eu-de"
	w.add(t, "system/ECS", "data/a b", "system/")
	w.sealAll(t, w.start(t))
	b := w.checkSealed(t)
	if got := b.shapes("system"); got != "S1 S1" {
		t.Errorf("chains %q", got)
	}
	for id, chain := range b.digests {
		d := chain[0]
		x := d.Extension
		folder := map[string]string{"ECS": "system/Digest/ECS/", "": "system/Digest/", "a b": "data/Digest/a%20b/"}[x.Service]
		want := "CloudTraces/eu-de/2026/11/22/" + folder + "p_CloudTrace-Digest_eu-de_2026-11-22T22-00-01Z_" + id[:16] + ".json.gz"
		if d.key != want || d.Bucket != "bucket" || d.ProjectID != "project" || x.Policy != "policy" || x.Hash != digest.MD5 ||
			d.Files[0].HashAlgorithm != digest.MD5 || x.Writer != w.ID() || x.KeyID != sealSigner(t).KeyID() {
			t.Errorf("%s, want %s\n%+v\n%+v", d.key, want, d.Digest, x)
		}
		if len(x.Heads) > 0 && x.Heads[0].Object == "" {
			t.Errorf("a head without its object: %+v", x.Heads)
		}
	}
}

// sealScript is what a process has to do, in steps that are repeated until they succeed.
func (w *sealWorld) sealScript(tb testing.TB) []func(*cts.Dumper) error {
	ctx := context.Background()
	return []func(*cts.Dumper) error{
		func(d *cts.Dumper) error { return d.Flush(ctx) },
		func(d *cts.Dumper) error { w.now = sealBegin.Add(time.Hour + time.Second); return d.Flush(ctx) },
		func(d *cts.Dumper) error { return d.Seal(ctx) },
		func(d *cts.Dumper) error { w.now = sealBegin.Add(3 * time.Hour); return d.Flush(ctx) },
		func(d *cts.Dumper) error { return d.EndValidation(ctx) },
	}
}

// TestSealSurvivesEachFault lets every single call fail or be the last of its process,
// before or after it has taken effect.
func TestSealSurvivesEachFault(t *testing.T) {
	kinds := []dumpFault{{err: errBroken}, {err: errBroken, done: true}, {err: errBroken, kill: true}, {err: errBroken, done: true, kill: true}}
	stride := 1
	if raceEnabled {
		stride = 7 // it is one goroutine
	}
	for kind, fault := range kinds {
		for step := 1 + kind%stride; ; step += stride {
			w := newSealWorld(t)
			hit := false
			w.fault = func(n int, call string) dumpFault {
				if n != step {
					return dumpFault{}
				}
				hit = true
				return fault
			}
			d := w.start(t)
			for i, do := range w.sealScript(t) {
				if i != 1 && i != 3 {
					w.add(t, "system/ECS", "data/OBS")
				}
				for try := 0; do(d) != nil; try++ {
					if try > 3 {
						t.Fatalf("kind %d, step %d: it does not recover", kind, step)
					}
					if w.dead {
						w.mend()
						d = w.start(t)
					}
				}
			}
			if !hit {
				if step < 30 {
					t.Errorf("only %d calls", step)
				}
				break
			}
			b := w.checkSealed(t)
			if got := b.shapes("system"); !strings.HasSuffix(got, "1E") || strings.Contains(got, " ") {
				t.Errorf("kind %d, step %d: chains %q", kind, step, got)
			}
			if got := w.sealedPosition(t); int(got) != w.made {
				t.Errorf("kind %d, step %d: sealed up to %d of %d", kind, step, got, w.made)
			}
			if t.Failed() {
				t.Fatalf("kind %d, step %d; calls %q", kind, step, w.calls)
			}
		}
	}
}

func TestSealSurvivesAnyHistory(t *testing.T) {
	histories := uint64(40)
	if testing.Short() || raceEnabled {
		histories = 5
	}
	for seed := range histories {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 11))
			w := newSealWorld(t)
			w.opts.Validation.PerService = r.IntN(3) == 0
			rate := r.Float64() / 3
			w.fault = func(_ int, call string) dumpFault {
				w.now = w.now.Add(time.Duration(r.IntN(20)) * time.Second)
				if r.IntN(10) == 0 {
					w.now = w.now.Add(-time.Minute)
				}
				if r.Float64() >= rate {
					return dumpFault{}
				}
				return dumpFault{err: errBroken, done: r.IntN(2) == 0, kill: r.IntN(4) == 0}
			}
			d := w.start(t)
			for range 15 {
				for range r.IntN(3) {
					w.add(t, groups[r.IntN(len(groups))])
				}
				w.now = w.now.Add(time.Duration(r.IntN(100)) * time.Minute)
				switch n := r.IntN(20); {
				case n < 3:
					_ = d.Seal(t.Context()) // it fails or not
				case n == 4:
					_ = d.EndValidation(t.Context())
				default:
					_ = d.Flush(t.Context())
				}
				if w.dead || r.IntN(6) == 0 {
					fault := w.fault
					w.mend()
					w.fault = fault
					w.opts.Prefix = []string{"", "p"}[r.IntN(2)]
					w.opts.Validation.Hash = []string{digest.SHA256, digest.MD5}[r.IntN(2)]
					d = w.start(t)
				}
			}
			w.mend()
			w.sealAll(t, d)
			b := w.checkSealed(t)
			if len(b.digests) == 0 {
				t.Error("nothing was sealed")
			}
			if got := w.sealedPosition(t); int(got) != w.made {
				t.Errorf("sealed up to %d of %d", got, w.made)
			}
		})
	}
}

func TestSealTwoWriters(t *testing.T) {
	a, b := newSealWorld(t), newSealWorld(t)
	id := "7d0c7c0e-0000-4000-8000-000000000002"
	b.Store = newStoreWithID(id)
	b.objects = a.objects
	da, db := a.start(t), b.start(t)
	for hour := range 4 {
		a.now = sealBegin.Add(time.Duration(hour) * time.Hour)
		b.now = a.now.Add(20 * time.Minute)
		a.add(t, "system/ECS")
		a.flush(t, da)
		b.add(t, "system/ECS", "data/OBS")
		b.flush(t, db)
	}
	a.sealAll(t, da)
	b.sealAll(t, db)
	all := readBucket(t, a.objects, sealSigner(t).Public())
	all.checkChains(t)
	if len(all.digests) != 3 {
		t.Fatalf("%d chains", len(all.digests))
	}
	for id, chain := range all.digests {
		for i, d := range chain {
			mentioned := map[string]int64{}
			for _, h := range d.Extension.Heads {
				mentioned[h.Chain] = h.Seq
				if other := all.digests[h.Chain]; h != other[h.Seq-1].Head(other[h.Seq-1].stored) {
					t.Errorf("%s mentions %+v, which is none", d.key, h)
				}
			}
			for other, digests := range all.digests {
				older := 0 // digests that ended an hour before this one did
				for _, o := range digests {
					if o.End+3000 < d.End {
						older++
					}
				}
				if other != id && mentioned[other] < int64(older) {
					t.Errorf("digest %d of %s mentions number %d of %s, %d were there", i, id, mentioned[other], other, older)
				}
			}
		}
	}
}

// sealBucket is a bucket in which calls on digests fail.
type sealBucket struct {
	obs.Client
	fail     func(op, key string) error
	listings int
}

func (b *sealBucket) Put(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
	if err := b.fail("put", key); err != nil {
		return obs.Object{}, &obs.Error{Op: "put", Key: key, Err: err}
	}
	return b.Client.Put(ctx, key, body, opts)
}

func (b *sealBucket) List(ctx context.Context, prefix string, opts *obs.ListOptions) iter.Seq2[obs.Object, error] {
	b.listings++
	if err := b.fail("list", prefix); err != nil {
		return func(yield func(obs.Object, error) bool) {
			yield(obs.Object{}, &obs.Error{Op: "list", Key: prefix, Err: err})
		}
	}
	return b.Client.List(ctx, prefix, opts)
}

func (w *sealWorld) startOn(tb testing.TB, bucket obs.Client) *cts.Dumper {
	tb.Helper()
	d, err := cts.NewDumper(w, bucket, &w.opts)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func TestSealOutage(t *testing.T) {
	w := newSealWorld(t)
	down := true
	bucket := &sealBucket{Client: w.objects, fail: func(_, key string) error {
		if down && strings.Contains(key, "/Digest/") {
			return obs.ErrDenied
		}
		return nil
	}}
	d := w.startOn(t, bucket)
	for hour := range 5 {
		w.now = sealBegin.Add(time.Duration(hour)*time.Hour + time.Second)
		w.add(t, "system/ECS")
		if err := d.Flush(t.Context()); hour > 1 && !errors.Is(err, obs.ErrDenied) {
			t.Errorf("hour %d: %v", hour, err)
		}
		if st := d.Status(); int(st.Position) != w.made {
			t.Errorf("hour %d: dumped up to %d of %d", hour, st.Position, w.made)
		}
		if got := w.sealedPosition(t); got != 0 {
			t.Errorf("hour %d: the store may forget up to %d", hour, got)
		}
	}
	down = false
	w.flush(t, d)
	w.sealAll(t, d)
	if b := w.checkSealed(t); len(b.digests) != 1 {
		t.Errorf("%d chains", len(b.digests))
	}
	if got := w.sealedPosition(t); int(got) != w.made {
		t.Errorf("the store may forget up to %d of %d", got, w.made)
	}
}

// TestSealOutageIsBounded dumps so many files while nothing can be sealed that the state
// would outgrow its bound.
func TestSealOutageIsBounded(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine that makes thousands of files: run without the race detector")
	}
	w := newSealWorld(t)
	down := true
	bucket := &sealBucket{Client: w.objects, fail: func(_, key string) error {
		if down && strings.Contains(key, "/Digest/") {
			return obs.ErrThrottled
		}
		return nil
	}}
	d := w.startOn(t, bucket)
	var err error
	cycles := 0
	for ; cycles < 12; cycles++ {
		w.now = w.now.Add(time.Hour)
		for i := range 900 {
			w.add(t, fmt.Sprintf("system/%s%d", strings.Repeat("é", 60), i))
		}
		if err = d.Flush(t.Context()); err != nil && int(d.Status().Position) < w.made {
			break
		}
		data, _, err := w.Store.LoadState(t.Context(), "dumper")
		if err != nil || len(data) > cts.MaxStateBytes*3/4 {
			t.Fatalf("the state has %d bytes, %v", len(data), err)
		}
	}
	if !errors.Is(err, obs.ErrThrottled) || cycles < 2 {
		t.Errorf("after %d cycles: %v", cycles, err)
	}
	down = false
	w.now = w.now.Add(time.Minute)
	w.sealAll(t, d)
	w.checkSealed(t)
}

func TestSealGivesWay(t *testing.T) {
	for _, suffix := range []string{"", digest.SignatureSuffix} {
		w := newSealWorld(t)
		d := w.start(t)
		w.add(t, "system/ECS")
		w.flush(t, d)
		chain := digest.ChainID(digest.ChainOptions{Writer: w.ID(), Tracker: "system"})
		key := digest.Layout{Root: "CloudTraces/local", Tracker: "system", Region: "local"}.Key(chain, digest.StampOf(sealBegin.Add(time.Hour+time.Second))) + suffix
		if _, err := w.objects.Put(t.Context(), key, strings.NewReader("somebody else's"), nil); err != nil {
			t.Fatal(err)
		}
		w.now = sealBegin.Add(time.Hour + time.Minute)
		if err := d.Flush(t.Context()); !errors.Is(err, digest.ErrConflict) || d.Status().LastError == nil {
			t.Errorf("%q: %v", key, err)
		}
		w.sealAll(t, d) // it went on
		w.add(t, "system/ECS")
		w.sealAll(t, d)
		if got := w.sealedPosition(t); got != 2 {
			t.Errorf("sealed up to %d", got)
		}
		if suffix == "" {
			if err := w.objects.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			w.checkSealed(t)
		}
	}
}

func TestSealWithoutListing(t *testing.T) {
	for _, without := range []bool{false, true} {
		w := newSealWorld(t)
		w.opts.Validation.WithoutHeads = without
		bucket := &sealBucket{Client: w.objects, fail: func(op, _ string) error {
			if op == "list" {
				return obs.ErrDenied
			}
			return nil
		}}
		d := w.startOn(t, bucket)
		w.add(t, "system/ECS", "data/ECS")
		w.sealAll(t, d)
		b := w.checkSealed(t)
		if (bucket.listings == 0) != without || len(b.digests) != 2 {
			t.Errorf("WithoutHeads %v: listed %d times, %d chains", without, bucket.listings, len(b.digests))
		}
	}
}

func TestSealManyChains(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine that makes thousands of files: run without the race detector")
	}
	w := newSealWorld(t)
	w.opts.Validation.PerService = true
	d := w.start(t)
	for i := range 300 {
		w.add(t, fmt.Sprintf("t%d/s", i))
	}
	w.add(t, "zzz/s")
	w.sealAll(t, d)
	w.add(t, "zzz/s")
	w.sealAll(t, d)
	b := w.checkSealed(t)
	if len(b.digests) != 257 {
		t.Errorf("%d chains", len(b.digests))
	}
	over := b.digests[digest.ChainID(digest.ChainOptions{Writer: w.ID()})]
	if len(over) != 2 || !strings.Contains(over[0].key, "/%/Digest/CloudTrace-Digest_") {
		t.Errorf("the chain over all others: %d digests", len(over))
	}
}

func TestSealSwitchedOff(t *testing.T) {
	w := newSealWorld(t)
	w.add(t, "system/ECS")
	w.flush(t, w.start(t))
	validation := w.opts.Validation
	w.opts.Validation = nil
	d := w.start(t)
	w.now = sealBegin.Add(3 * time.Hour)
	w.add(t, "system/EVS")
	w.flush(t, d)
	for name, err := range map[string]error{"Seal": d.Seal(t.Context()), "EndValidation": d.EndValidation(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "Validation") {
			t.Errorf("%s without validation: %v", name, err)
		}
	}
	if b := readBucket(t, w.objects, sealSigner(t).Public()); b.shapes("system") != "S1" || len(b.traces) != 2 {
		t.Errorf("%d chains, %d trace files", len(b.digests), len(b.traces))
	}
	w.opts.Validation = validation
	w.sealAll(t, w.start(t))
	b := readBucket(t, w.objects, sealSigner(t).Public())
	if got := b.shapes("system"); got != "S100" { // the file that was dumped in between is in none
		t.Errorf("chains %q", got)
	}
}

func TestSealHeadsAgainAfterKill(t *testing.T) {
	w := newSealWorld(t)
	w.add(t, "system/ECS")
	put := false
	w.fault = func(_ int, call string) dumpFault {
		put = put || strings.HasPrefix(call, "put ") && strings.HasSuffix(call, ".sig")
		if put && call == "checkpoint" {
			return dumpFault{err: errBroken, kill: true}
		}
		return dumpFault{}
	}
	if err := w.start(t).Seal(t.Context()); err == nil {
		t.Fatal("it was not killed")
	}
	w.mend()
	w.flush(t, w.start(t))
	if len(w.heads) != 1 {
		t.Fatalf("heads %v", w.heads)
	}
	for head, times := range w.heads {
		if times != 2 {
			t.Errorf("head %+v was handed out %d times", head, times)
		}
	}
	w.checkSealed(t)
}

func TestSealCancelled(t *testing.T) {
	w := newSealWorld(t)
	d := w.start(t)
	w.add(t, "system/ECS")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Seal(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Seal: %v", err)
	}
	w.sealAll(t, d)
	w.checkSealed(t)
}

func TestValidationOptions(t *testing.T) {
	w := newSealWorld(t)
	_, err := cts.NewDumper(w, w.objects, &cts.DumperOptions{Validation: &cts.ValidationOptions{
		OtherKeys: []*digest.PublicKey{nil}, Interval: 1500 * time.Millisecond, Hash: "CRC", BucketName: "\xff", Policy: strings.Repeat("x", 300), ProjectID: strings.Repeat("x", 300),
	}})
	for _, want := range []string{"Signer", "Interval", "Hash", "BucketName", "Policy", "ProjectID", "OtherKeys"} {
		if err == nil || !strings.Contains(err.Error(), "ValidationOptions."+want) {
			t.Errorf("no word of %s: %v", want, err)
		}
	}
}

// TestSealStateIsSmall holds the state of a Dumper at rest against what it needs.
func TestSealStateIsSmall(t *testing.T) {
	w := newSealWorld(t)
	w.add(t, "system/ECS")
	w.sealAll(t, w.start(t))
	data, _, err := w.Store.LoadState(t.Context(), "dumper")
	if err != nil {
		t.Fatal(err)
	}
	var st struct {
		Chains []json.RawMessage `json:"chains"`
		Sealed json.RawMessage   `json:"sealed"`
	}
	if err := json.Unmarshal(data, &st); err != nil || len(st.Chains) != 1 || st.Sealed != nil || len(data) > 2000 {
		t.Errorf("%d bytes, %v: %s", len(data), err, data)
	}
}
