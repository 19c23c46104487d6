package digest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/memobs"
)

// wardenBucket is a bucket that fails, denies, and counts.
type wardenBucket struct {
	*memobs.Client
	fault   func(step int, call string) (done bool, err error)
	steps   int
	calls   []string
	noRead  bool // Get, Head and List are denied
	noVouch bool // Put reports no hash
	listed  int  // objects that List yielded
}

func newWarden() *wardenBucket { return &wardenBucket{Client: memobs.New(nil)} }

func (b *wardenBucket) call(name string) (done bool, err error) {
	b.steps++
	b.calls = append(b.calls, name)
	if b.fault != nil {
		return b.fault(b.steps, name)
	}
	return false, nil
}

func (b *wardenBucket) Put(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
	done, failure := b.call("put " + key)
	if failure != nil && !done {
		return obs.Object{}, &obs.Error{Op: "put", Key: key, Err: failure}
	}
	o, err := b.Client.Put(ctx, key, body, opts)
	if err == nil && failure != nil {
		err = &obs.Error{Op: "put", Key: key, Err: failure}
	}
	if b.noVouch {
		o.SHA256 = nil
	}
	return o, err
}

func (b *wardenBucket) Get(ctx context.Context, key string) (io.ReadCloser, obs.Object, error) {
	if _, failure := b.call("get " + key); failure != nil {
		return nil, obs.Object{}, &obs.Error{Op: "get", Key: key, Err: failure}
	}
	if b.noRead {
		return nil, obs.Object{}, &obs.Error{Op: "get", Key: key, Err: obs.ErrDenied}
	}
	return b.Client.Get(ctx, key)
}

func (b *wardenBucket) List(ctx context.Context, prefix string, opts *obs.ListOptions) iter.Seq2[obs.Object, error] {
	return func(yield func(obs.Object, error) bool) {
		if _, failure := b.call("list " + prefix); failure != nil {
			yield(obs.Object{}, &obs.Error{Op: "list", Key: prefix, Err: failure})
			return
		}
		for o, err := range b.Client.List(ctx, prefix, opts) {
			b.listed++
			if !yield(o, err) {
				return
			}
		}
	}
}

func (b *wardenBucket) keys(tb testing.TB) []string {
	tb.Helper()
	var keys []string
	for o, err := range b.Client.List(context.Background(), "", nil) {
		if err != nil {
			tb.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

// wardenSealed returns a digest, which went through JSON.
func wardenSealed(tb testing.TB) *digest.Sealed {
	tb.Helper()
	c := digest.NewChain(digest.ChainOptions{Writer: chainWriter, Tracker: "system"}, chainBegin)
	c.Add(chainFile(1, 3, chainBegin))
	s, _ := chainCut(tb, c, chainOptions(tb, c.Start+60))
	b, err := json.Marshal(s)
	if err != nil {
		tb.Fatal(err)
	}
	again := &digest.Sealed{}
	if err := json.Unmarshal(b, again); err != nil {
		tb.Fatal(err)
	}
	if diff := cmp.Diff(s, again); diff != "" {
		tb.Error(diff)
	}
	return again
}

func TestSealedPut(t *testing.T) {
	s := wardenSealed(t)
	for _, noVouch := range []bool{false, true} {
		b := newWarden()
		b.noVouch = noVouch
		for range 2 { // the second time everything is there
			if err := s.Put(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]string{s.Key, s.Key + ".sig"}, b.keys(t)); diff != "" {
			t.Fatal(diff)
		}
		body, o, err := b.Client.Get(t.Context(), s.Key)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := io.ReadAll(body)
		if err != nil || !bytes.Equal(stored, s.Bytes) {
			t.Errorf("stored: %v", err)
		}
		d, err := digest.Read(stored)
		if err != nil {
			t.Fatal(err)
		}
		if err := digest.CheckSignature(chainSigner(t).Public(), d, stored, o.Metadata[digest.MetaSignature]); err != nil ||
			o.Metadata[digest.MetaSignatureAlgorithm] != digest.Ed25519 || o.Metadata[digest.MetaKeyID] != s.KeyID || o.ContentType != "application/gzip" {
			t.Errorf("metadata %v: %v", o.Metadata, err)
		}
	}
}

func TestSealedPutFaults(t *testing.T) {
	s := wardenSealed(t)
	for _, noVouch := range []bool{false, true} {
		for _, done := range []bool{false, true} {
			for step := 1; ; step++ {
				b := newWarden()
				b.noVouch = noVouch
				b.fault = func(n int, _ string) (bool, error) {
					if n == step {
						return done, obs.ErrThrottled
					}
					return false, nil
				}
				err := s.Put(t.Context(), b)
				if b.steps < step {
					break
				}
				if !errors.Is(err, obs.ErrThrottled) {
					t.Fatalf("step %d: %v", step, err)
				}
				if err := s.Put(t.Context(), b); err != nil || len(b.keys(t)) != 2 {
					t.Errorf("step %d, again: %v", step, err)
				}
			}
		}
	}
}

func TestSealedPutWithoutReading(t *testing.T) {
	s := wardenSealed(t)
	b := newWarden()
	b.noRead = true
	for range 2 {
		if err := s.Put(t.Context(), b); err != nil {
			t.Error(err)
		}
	}
	b = newWarden()
	b.noRead, b.noVouch = true, true
	if err := s.Put(t.Context(), b); !errors.Is(err, obs.ErrDenied) {
		t.Errorf("nothing vouches for it: %v", err)
	}
}

func TestSealedPutConflict(t *testing.T) {
	s := wardenSealed(t)
	put := func(b *wardenBucket, key string, content []byte, meta map[string]string) {
		if _, err := b.Client.Put(t.Context(), key, bytes.NewReader(content), &obs.PutOptions{Metadata: meta}); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string][]byte{"other": []byte("x"), "longer": append(bytes.Clone(s.Bytes), 0), "cut": s.Bytes[:len(s.Bytes)-1], "empty": {}} {
		b := newWarden()
		put(b, s.Key, content, nil)
		if err := s.Put(t.Context(), b); !errors.Is(err, digest.ErrConflict) || errors.Is(err, digest.ErrSignatureConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := newWarden()
	put(b, s.Key, s.Bytes, map[string]string{digest.MetaSignature: "00"})
	if err := s.Put(t.Context(), b); !errors.Is(err, digest.ErrConflict) {
		t.Errorf("another signature: %v", err)
	}
	b = newWarden()
	put(b, s.Key, s.Bytes, nil) // a bucket that was copied without metadata
	if err := s.Put(t.Context(), b); err != nil {
		t.Errorf("no metadata: %v", err)
	}
	b = newWarden()
	put(b, s.Key+".sig", []byte("x"), nil)
	if err := s.Put(t.Context(), b); !errors.Is(err, digest.ErrSignatureConflict) || !errors.Is(err, digest.ErrConflict) {
		t.Errorf("another signature object: %v", err)
	}
}

// wardenChains puts n chains of digests, one for each hour, and many trace files.
func wardenChains(tb testing.TB, b *wardenBucket, n, hours int) (heads []digest.Head, ids []string) {
	tb.Helper()
	for i := range n {
		tracker := fmt.Sprintf("t%d", i%3) // some chains share a folder
		c := digest.NewChain(digest.ChainOptions{Writer: fmt.Sprint("w", i), Tracker: tracker}, chainBegin)
		ids = append(ids, c.ID)
		for hour := range hours {
			o := chainOptions(tb, c.Start+3600)
			o.Layout.Tracker = tracker
			s, _ := chainCut(tb, c, o)
			if err := s.Put(tb.Context(), b.Client); err != nil {
				tb.Fatal(err)
			}
			if hour == hours-1 {
				heads = append(heads, s.Head())
			}
			for file := range 5 {
				name := "CloudTraces/eu-de" + s.End.Time().Format("/2006/01/02/") + tracker + fmt.Sprintf("/ECS/CloudTrace_eu-de_%s_%016x.json.gz", s.End, 100*i+file)
				if _, err := b.Client.Put(tb.Context(), name, strings.NewReader("x"), nil); err != nil {
					tb.Fatal(err)
				}
			}
		}
	}
	return heads, ids
}

func TestHeadFinder(t *testing.T) {
	b := newWarden()
	heads, ids := wardenChains(t, b, 7, 5)
	f := digest.NewHeadFinder(b, "CloudTraces/eu-de", chainSigner(t).Public())
	own := func(id string) bool { return strings.HasPrefix(ids[6], id) }
	want := map[string]digest.Head{}
	for _, h := range heads[:6] {
		want[h.Chain] = h
	}
	find := func(since, until time.Time) []digest.Head {
		t.Helper()
		got, err := f.Find(t.Context(), since, until, own)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for round := range 2 {
		b.calls, b.listed = nil, 0
		got := find(chainBegin, chainBegin.Add(24*time.Hour))
		if len(got) != 6 {
			t.Fatalf("%d heads: %v", len(got), got)
		}
		for i, h := range got {
			if h != want[h.Chain] || i > 0 && got[i-1].Chain >= h.Chain {
				t.Errorf("head %d is %+v, want %+v", i, h, want[h.Chain])
			}
		}
		gets := 0
		for _, call := range b.calls {
			if strings.HasPrefix(call, "get ") {
				gets++
			}
		}
		if want := 6 * (1 - round); gets != want || b.listed > 2*7*5+2*3*2 {
			t.Errorf("round %d: %d digests read, want %d; %d objects listed", round, gets, want, b.listed)
		}
	}
	if got := find(chainBegin.Add(48*time.Hour), chainBegin.Add(72*time.Hour)); len(got) != 0 {
		t.Errorf("heads of no digest: %v", got)
	}
	got := find(chainBegin, chainBegin.Add(2*time.Hour))
	if len(got) != 6 || got[0].Seq != 2 {
		t.Errorf("heads until the second hour: %v", got)
	}
}

func TestHeadFinderPassesOverJunk(t *testing.T) {
	b := newWarden()
	heads, _ := wardenChains(t, b, 1, 3)
	put := func(key, content string) {
		if _, err := b.Client.Put(t.Context(), key, strings.NewReader(content), nil); err != nil {
			t.Fatal(err)
		}
	}
	later := digest.StampOf(chainBegin.Add(4 * time.Hour))
	layout := digest.Layout{Root: "CloudTraces/eu-de", Tracker: "t0", Region: "eu-de"}
	put(layout.Key(heads[0].Chain, later), "junk")
	put(layout.Key(strings.Repeat("ab", 16), later), "junk")
	put("CloudTraces/eu-de/2026/11/23/file", "directly in the folder of a day")
	put("CloudTraces/eu-de/2026/11/23/t0-x/y", "x")
	put("CloudTraces/eu-de/2026/11/23/t0.x/y", "x")
	put("CloudTraces/eu-de/2026/11/23/t00/y", "x")
	put("CloudTraces/eu-de/2026/11/23/t0/Digest/x", "x")
	wrongDay := strings.Replace(layout.Key(heads[0].Chain, later+100), "/11/23/", "/11/22/", 1)
	put(wrongDay, "x")
	got, err := digest.NewHeadFinder(b, "CloudTraces/eu-de", chainSigner(t).Public()).Find(t.Context(), chainBegin, chainBegin.Add(30*time.Hour), func(string) bool { return false })
	if diff := cmp.Diff(heads, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestHeadFinderFaults(t *testing.T) {
	for step := 1; ; step++ {
		b := newWarden()
		wardenChains(t, b, 2, 1)
		b.fault = func(n int, _ string) (bool, error) {
			if n == step {
				return false, obs.ErrThrottled
			}
			return false, nil
		}
		f := digest.NewHeadFinder(b, "CloudTraces/eu-de")
		_, err := f.Find(t.Context(), chainBegin, chainBegin.Add(time.Hour), func(string) bool { return false })
		if b.steps < step {
			break
		}
		if !errors.Is(err, obs.ErrThrottled) {
			t.Errorf("step %d: %v", step, err)
		}
		if got, err := f.Find(t.Context(), chainBegin, chainBegin.Add(time.Hour), func(string) bool { return false }); err != nil || len(got) != 2 {
			t.Errorf("step %d, again: %v, %v", step, got, err)
		}
	}
}
