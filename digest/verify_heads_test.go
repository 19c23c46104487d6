package digest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

// junk puts a digest that somebody without a trusted key has made, and returns its head.
func (w *world) junk(c *digest.Chain, end digest.Stamp, signer *digest.Signer) digest.Head {
	w.tb.Helper()
	s, err := c.Cut(&digest.CutOptions{End: end, Signer: signer, Layout: w.writers[0].layout, Bucket: "trail"})
	if err != nil {
		w.tb.Fatal(err)
	}
	if err := s.Put(context.Background(), w.bucket); err != nil {
		w.tb.Fatal(err)
	}
	return s.Head()
}

// TestVerifyJunkHeads has digests of nobody, which writers mention without being able to
// check them: that they are gone later is no alarm.
func TestVerifyJunkHeads(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 2, hours: 3, files: 1, traces: 1})
	forger := w.options.otherSigner()
	made := digest.NewChain(digest.ChainOptions{Writer: "nobody", Tracker: "system"}, w.begin)
	made.Last = &digest.Last{
		Head: digest.Head{Chain: made.ID, Seq: 1e9, SHA256: strings.Repeat("0", 64)}, Bucket: "trail",
		Object: w.writers[0].layout.Key(made.ID, made.Start), Hash: strings.Repeat("0", 64), HashAlgorithm: digest.SHA256, Signature: "00",
	}
	poison := *w.writers[0].chain
	last := *poison.Last
	last.Head.Seq = 1e9
	poison.Last = &last
	heads := []digest.Head{w.junk(made, digest.StampOf(w.now), forger), w.junk(&poison, digest.StampOf(w.begin.Add(4*time.Hour+16*time.Minute)), forger)}
	w.options.hours = 5
	w.run(2 * time.Hour)
	for _, h := range heads {
		w.delete(h.Object, h.Object+digest.SignatureSuffix)
	}
	d, err := digest.Read(w.writers[1].sealed[3].Bytes)
	if err != nil {
		t.Fatal(err)
	}
	mentioned := map[string]digest.Head{}
	for _, h := range d.Extension.Heads {
		mentioned[h.Chain] = h
	}
	if h := mentioned[made.ID]; h.Seq != 1e9+1 || !h.Unchecked {
		t.Errorf("the head of nobody's chain: %+v", h)
	}
	if h := mentioned[poison.ID]; h.Seq < 3 || h.Seq > 5 || h.Unchecked {
		t.Errorf("the head of the other writer: %+v", h)
	}
	r := w.verify(nil)
	wantKinds(t, r, found{digest.HeadUnchecked: 1})
	if !r.OK() || !has(r, digest.HeadUnchecked, heads[0].Object) {
		t.Error(findings(r))
	}
	// What is missing of the chain that was checked is found all the same.
	for i, s := range w.writers[0].sealed {
		w.delete(s.Key, s.Key+digest.SignatureSuffix)
		w.delete(w.writers[0].files[i]...)
	}
	if r := w.verify(nil); kinds(r)[digest.ChainDeleted] != 1 || r.OK() {
		t.Error(findings(r))
	}
	heads[1].Unchecked = true // and one with a higher number that was not checked hides nothing
	if r := w.verify(func(o *digest.VerifyOptions) { o.Heads = heads[1:] }); kinds(r)[digest.ChainDeleted] != 1 {
		t.Error(findings(r))
	}
}

// TestVerifyUncheckedHeads has one writer that does not know the key of the other.
func TestVerifyUncheckedHeads(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 2, hours: 0})
	w.writers[1].heads = digest.NewHeadFinder(w.bucket, worldRoot, w.options.otherSigner().Public())
	w.options = worldOptions{writers: 2, hours: 4, files: 1, traces: 1}
	w.begin = w.now.Truncate(time.Minute)
	for _, a := range w.writers {
		a.chain.Start = digest.StampOf(w.begin.Add(a.phase))
	}
	w.run(5 * time.Hour)
	a := w.writers[0]
	wantKinds(t, w.verify(nil), found{})
	for i, s := range a.sealed {
		w.delete(s.Key, s.Key+digest.SignatureSuffix)
		w.delete(a.files[i]...)
	}
	r := w.verify(nil)
	if k := kinds(r); !r.OK() || k[digest.HeadUnchecked] == 0 || len(k) != 1 {
		t.Error(findings(r))
	}
	// The same from somebody who has checked it is damage.
	r = w.verify(func(o *digest.VerifyOptions) { o.Heads = []digest.Head{a.sealed[3].Head()} })
	if kinds(r)[digest.ChainDeleted] != 1 {
		t.Error(findings(r))
	}
}

func TestHeadFinderGoesOn(t *testing.T) {
	b := newWarden()
	heads, _ := wardenChains(t, b, 3, 3)
	find := func(f *digest.HeadFinder) []digest.Head {
		t.Helper()
		got, err := f.Find(t.Context(), chainBegin, chainBegin.Add(24*time.Hour), func(string) bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	seqs := func(heads []digest.Head) map[string]int64 {
		all := map[string]int64{}
		for _, h := range heads {
			all[h.Chain] = h.Seq
		}
		return all
	}
	want := seqs(heads)
	f := digest.NewHeadFinder(b, "CloudTraces/eu-de", chainSigner(t).Public(), nil)
	for _, failure := range []error{obs.ErrDenied, errBroken} {
		b.fault = func(_ int, call string) (bool, error) {
			if call == "get "+heads[1].Object {
				return false, failure
			}
			return false, nil
		}
		older := seqs(heads)
		older[heads[1].Chain] = 2
		if diff := cmp.Diff(older, seqs(find(f))); diff != "" {
			t.Errorf("%v: %s", failure, diff)
		}
	}
	b.fault = nil
	if diff := cmp.Diff(want, seqs(find(f))); diff != "" {
		t.Errorf("after the fault: %s", diff)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.fault = func(_ int, call string) (bool, error) {
		if strings.HasPrefix(call, "get ") {
			cancel()
			return false, context.Canceled
		}
		return false, nil
	}
	f = digest.NewHeadFinder(b, "CloudTraces/eu-de")
	if _, err := f.Find(ctx, chainBegin, chainBegin.Add(24*time.Hour), func(string) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	b.fault = func(_ int, call string) (bool, error) {
		if strings.HasPrefix(call, "list ") {
			return false, obs.ErrDenied
		}
		return false, nil
	}
	if _, err := f.Find(t.Context(), chainBegin, chainBegin.Add(24*time.Hour), func(string) bool { return false }); !errors.Is(err, obs.ErrDenied) {
		t.Errorf("a list that is denied: %v", err)
	}
}

// TestHeadFinderSignatures takes a digest for checked only if its signature holds, in its
// metadata or beside it.
func TestHeadFinderSignatures(t *testing.T) {
	b := newWarden()
	heads, _ := wardenChains(t, b, 1, 2)
	key := heads[0].Object
	body, o, err := b.Client.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	put := func(metadata map[string]string) {
		t.Helper()
		if _, err := b.Client.Put(t.Context(), key, bytes.NewReader(stored), &obs.PutOptions{Metadata: metadata}); err != nil {
			t.Fatal(err)
		}
	}
	find := func(keys ...*digest.PublicKey) digest.Head {
		t.Helper()
		got, err := digest.NewHeadFinder(b, "CloudTraces/eu-de", keys...).Find(t.Context(), chainBegin, chainBegin.Add(24*time.Hour), func(string) bool { return false })
		if err != nil || len(got) != 1 {
			t.Fatalf("%v, %v", got, err)
		}
		return got[0]
	}
	good := chainSigner(t).Public()
	if h := find(good); h != heads[0] {
		t.Errorf("%+v", h)
	}
	unchecked := heads[0]
	unchecked.Unchecked = true
	if h := find(); h != unchecked {
		t.Errorf("without keys: %+v", h)
	}
	if h := find((worldOptions{}).otherSigner().Public()); h != unchecked {
		t.Errorf("with another key: %+v", h)
	}
	put(nil)
	if h := find(good); h != heads[0] {
		t.Errorf("with the signature object alone: %+v", h)
	}
	if err := b.Client.Delete(t.Context(), key+digest.SignatureSuffix); err != nil {
		t.Fatal(err)
	}
	if h := find(good); h.Seq != 1 || h.Unchecked {
		t.Errorf("without a signature: %+v", h)
	}
	wrong := o.Metadata[digest.MetaSignature]
	put(map[string]string{digest.MetaSignature: "00" + wrong[2:]})
	if h := find(good); h.Seq != 1 || h.Unchecked {
		t.Errorf("with a wrong signature: %+v", h)
	}
}

// TestHeadsPreferChecked has more heads than a digest holds, and two of one chain.
func TestHeadsPreferChecked(t *testing.T) {
	head := func(i int, seq int64, unchecked bool) digest.Head {
		sum, _ := digest.Hash(digest.SHA256, []byte{byte(i), byte(i >> 8)})
		return digest.Head{Chain: sum[:32], Seq: seq, SHA256: sum, Count: 1, Unchecked: unchecked}
	}
	c := digest.NewChain(digest.ChainOptions{Writer: chainWriter, Tracker: "system"}, chainBegin)
	o := chainOptions(t, c.Start+60)
	for i := range 2000 {
		o.Heads = append(o.Heads, head(i, 7, i < 1500))
	}
	o.Heads = append(o.Heads, head(1800, 1e9, true))
	_, d := chainCut(t, c, o)
	checked := 0
	for _, h := range d.Extension.Heads {
		if !h.Unchecked {
			checked++
		}
		if h.Seq != 7 {
			t.Errorf("%+v instead of one that was checked", h)
		}
	}
	if len(d.Extension.Heads) != digest.MaxHeads || checked != 500 {
		t.Errorf("%d heads, %d of them checked", len(d.Extension.Heads), checked)
	}
}

// TestHeadFinderIsBounded has more digests than one call reads.
func TestHeadFinderIsBounded(t *testing.T) {
	b := newWarden()
	layout := digest.Layout{Root: "CloudTraces/eu-de", Tracker: "t", Region: "eu-de"}
	large := strings.Repeat("x", 4<<20)
	for i := range 30 {
		sum, _ := digest.Hash(digest.SHA256, []byte{byte(i)})
		if _, err := b.Client.Put(t.Context(), layout.Key(sum[:32], digest.StampOf(chainBegin.Add(time.Hour))), strings.NewReader(large), nil); err != nil {
			t.Fatal(err)
		}
	}
	heads, _ := wardenChains(t, b, 1, 1)
	f := digest.NewHeadFinder(b, "CloudTraces/eu-de")
	var got []digest.Head
	for round := range 4 {
		b.calls = nil
		var err error
		if got, err = f.Find(t.Context(), chainBegin, chainBegin.Add(2*time.Hour), func(string) bool { return false }); err != nil {
			t.Fatal(err)
		}
		gets := 0
		for _, call := range b.calls {
			if strings.HasPrefix(call, "get ") {
				gets++
			}
		}
		if gets > 17 {
			t.Errorf("round %d: %d objects of 4 MiB read", round, gets)
		}
	}
	heads[0].Unchecked = true
	if diff := cmp.Diff(heads, got); diff != "" { // in the end there is room for it
		t.Error(diff)
	}
}
