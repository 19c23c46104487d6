package digest_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/cloudtraceservice/cts/digest"
)

var writeGolden = flag.Bool("golden", false, "write the golden digests anew")

const chainWriter = "0b7f8a52-5d0f-4c57-9d1e-3c1f3a2b4c5d"

var chainBegin = time.Date(2026, 11, 22, 22, 0, 0, 0, time.UTC)

// chainSigner returns the same key each time.
func chainSigner(tb testing.TB) *digest.Signer {
	tb.Helper()
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = byte(i)
	}
	s, err := digest.NewSigner(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// chainFile returns the n-th trace file.
func chainFile(n, count int, at time.Time) digest.PendingFile {
	content := fmt.Appendf(nil, "content %d", n)
	sha, _ := digest.Hash(digest.SHA256, content)
	md5, _ := digest.Hash(digest.MD5, content)
	root, _ := digest.Hash(digest.SHA256, []byte("root of "+sha))
	return digest.PendingFile{
		Object: "CloudTraces/eu-de" + at.Format("/2006/01/02/") + "system/ECS/CloudTrace_eu-de_" + digest.StampOf(at).String() + fmt.Sprintf("_%016x.json.gz", n),
		Count:  int64(count), Root: root, Size: int64(len(content)), SHA256: sha, MD5: md5,
		Delivered: digest.StampOf(at), Mark: uint64(100 * n), Oldest: at.UnixMilli() - 500,
	}
}

func chainOptions(tb testing.TB, end digest.Stamp) *digest.CutOptions {
	tb.Helper()
	return &digest.CutOptions{
		End: end, Signer: chainSigner(tb), Layout: digest.Layout{Root: "CloudTraces/eu-de", Tracker: "system", Region: "eu-de"},
		Bucket: "bucket", ProjectID: "project",
	}
}

// chainCut cuts, checks the signature, and advances a chain that went through JSON.
func chainCut(tb testing.TB, c *digest.Chain, o *digest.CutOptions) (*digest.Sealed, *digest.Digest) {
	tb.Helper()
	before := chainJSON(tb, c)
	s, err := c.Cut(o)
	if err != nil {
		tb.Fatal(err)
	}
	if after := chainJSON(tb, c); after != before {
		tb.Errorf("Cut changed the chain:\n%s\n%s", before, after)
	}
	d, err := digest.Read(s.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	if err := digest.CheckSignature(o.Signer.Public(), d, s.Bytes, s.Last.Signature); err != nil {
		tb.Fatal(err)
	}
	if diff := cmp.Diff(d.Head(s.Bytes), s.Head()); diff != "" {
		tb.Error(diff)
	}
	if err := c.Advance(s); err != nil {
		tb.Fatal(err)
	}
	return s, d
}

func chainJSON(tb testing.TB, c *digest.Chain) string {
	tb.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func TestChainLife(t *testing.T) {
	c := digest.NewChain(digest.ChainOptions{Writer: chainWriter, Tracker: "system"}, chainBegin)
	at := chainBegin.Add
	if _, due := c.DueEnd(at(time.Hour-time.Second), time.Hour); due {
		t.Error("due before an hour is over")
	}
	c.Add(chainFile(1, 3, at(time.Minute)))
	c.Add(chainFile(2, 4, at(2*time.Minute)))
	c.Complete(at(time.Minute).UnixMilli())
	c.Add(chainFile(3, 5, at(time.Hour))) // in the next hour
	c.Complete(at(time.Hour).UnixMilli())

	end, due := c.DueEnd(at(time.Hour+5*time.Second), time.Hour)
	if !due || end != digest.StampOf(at(time.Hour)) {
		t.Fatalf("due %v at %v", due, end)
	}
	s, d := chainCut(t, c, chainOptions(t, end))
	x := d.Extension
	if x.Seq != 1 || x.First != 1 || x.Count != 7 || len(d.Files) != 2 || x.Files[1].First != 4 || d.PreviousObject != "" || x.CompleteTo != at(time.Minute).UnixMilli() {
		t.Errorf("first digest: %+v\n%+v", d, x)
	}
	if s.Mark != 100 || s.Count != 7 || s.Oldest != at(time.Minute).UnixMilli()-500 || s.Files != 2 {
		t.Errorf("sealed: %+v", s)
	}

	// A short one has the third file, whatever the clock says.
	short, d := chainCut(t, c, chainOptions(t, c.ShortEnd(at(0))))
	if d.Start != end || d.End != end+1 || d.Extension.Seq != 2 || d.Extension.First != 8 || d.Extension.Count != 5 ||
		d.PreviousObject != s.Key || d.PreviousHash != s.Head().SHA256 || d.PreviousSignature != s.Last.Signature {
		t.Errorf("short digest: %+v", d)
	}

	// Two hours later there are two empty ones, and nothing is due then.
	now := short.End.Time().Add(2*time.Hour + time.Minute)
	for i := range 2 {
		end, due := c.DueEnd(now, time.Hour)
		if !due {
			t.Fatalf("empty digest %d is not due", i)
		}
		_, d = chainCut(t, c, chainOptions(t, end))
		if d.End-d.Start != 3600 || len(d.Files) != 0 || d.Files == nil || d.Extension.First != 13 || d.Extension.CompleteTo != at(time.Hour).UnixMilli() {
			t.Errorf("empty digest: %+v", d)
		}
	}
	if _, due := c.DueEnd(now, time.Hour); due {
		t.Error("due again")
	}

	o := chainOptions(t, c.ShortEnd(now))
	o.Ending = true
	last, d := chainCut(t, c, o)
	if !d.Ending || !c.Ended || last.Head().Count != 12 || last.Head().Seq != 5 {
		t.Errorf("ending digest: %+v", d)
	}
	if _, err := c.Cut(chainOptions(t, c.Start+1)); !errors.Is(err, digest.ErrInvalid) {
		t.Errorf("cut behind the end: %v", err)
	}
	if _, due := c.DueEnd(now.Add(5*time.Hour), time.Hour); due {
		t.Error("an ended chain is due")
	}
	next := c.Next(at(0))
	if next.ID == c.ID || next.Start != c.Start || next.Generation != 1 || next.Last != nil || next.ID != digest.ChainID(digest.ChainOptions{Writer: chainWriter, Tracker: "system", Generation: 1}) {
		t.Errorf("next generation: %+v", next)
	}
	if _, d := chainCut(t, next, chainOptions(t, next.Start+9)); d.Extension.Seq != 1 || d.PreviousSignature != "" {
		t.Errorf("first of the next generation: %+v", d)
	}
}

func TestChainMissedHours(t *testing.T) {
	for _, missed := range []int{1, 24, 744, 745, 10_000} {
		c := digest.NewChain(digest.ChainOptions{Writer: chainWriter, Tracker: "system"}, chainBegin)
		now := chainBegin.Add(time.Duration(missed)*time.Hour + 59*time.Minute)
		made, longest := 0, digest.Stamp(0)
		for {
			end, due := c.DueEnd(now, time.Hour)
			if !due {
				break
			}
			made, longest = made+1, max(longest, end-c.Start)
			c.Start = end
		}
		wantLongest := digest.Stamp(3600 * max(1, missed-743))
		if made != min(missed, 744) || longest != wantLongest || c.Start != digest.StampOf(chainBegin)+digest.Stamp(3600*missed) {
			t.Errorf("%d hours missed: %d digests, the longest of %d s, up to %v", missed, made, longest, c.Start)
		}
	}
}

func TestChainAddKeepsOrder(t *testing.T) {
	c := digest.NewChain(digest.ChainOptions{Writer: chainWriter, Tracker: "system"}, chainBegin)
	c.Add(chainFile(1, 1, chainBegin.Add(-time.Hour))) // the clock went back
	c.Add(chainFile(2, 1, chainBegin.Add(time.Minute)))
	c.Add(chainFile(3, 1, chainBegin))
	var got []digest.Stamp
	for _, f := range c.Pending {
		got = append(got, f.Delivered-c.Start)
	}
	if diff := cmp.Diff([]digest.Stamp{0, 60, 60}, got); diff != "" {
		t.Error(diff)
	}
	if end := c.ShortEnd(chainBegin); end != c.Start+61 {
		t.Errorf("short end %v", end)
	}
}

func TestChainRefuses(t *testing.T) {
	sealed := func(c *digest.Chain) *digest.Sealed {
		s, err := c.Cut(chainOptions(t, c.Start+60))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	c := digest.NewChain(digest.ChainOptions{Writer: chainWriter, Tracker: "system"}, chainBegin)
	other := digest.NewChain(digest.ChainOptions{Writer: chainWriter, Tracker: "data"}, chainBegin)
	s := sealed(c)
	if err := other.Advance(s); !errors.Is(err, digest.ErrOutOfOrder) {
		t.Errorf("digest of another chain: %v", err)
	}
	if err := c.Advance(s); err != nil {
		t.Fatal(err)
	}
	if err := c.Advance(s); !errors.Is(err, digest.ErrOutOfOrder) {
		t.Errorf("the same digest twice: %v", err)
	}
	bad := map[string]func(*digest.CutOptions, *digest.Chain){
		"no signer":   func(o *digest.CutOptions, _ *digest.Chain) { o.Signer = nil },
		"no time":     func(o *digest.CutOptions, c *digest.Chain) { o.End = c.Start },
		"hash":        func(o *digest.CutOptions, _ *digest.Chain) { o.Hash = "SHA-1" },
		"folder":      func(o *digest.CutOptions, _ *digest.Chain) { o.Layout.Tracker = "a/b" },
		"UTF-8":       func(o *digest.CutOptions, _ *digest.Chain) { o.ProjectID = "\xff" },
		"chain id":    func(_ *digest.CutOptions, c *digest.Chain) { c.ID = "x" },
		"count":       func(_ *digest.CutOptions, c *digest.Chain) { c.Pending[0].Count = 0 },
		"root":        func(_ *digest.CutOptions, c *digest.Chain) { c.Pending[0].Root = "" },
		"file's hash": func(_ *digest.CutOptions, c *digest.Chain) { c.Pending[0].SHA256 = strings.Repeat("A", 64) },
		"file twice":  func(_ *digest.CutOptions, c *digest.Chain) { c.Add(c.Pending[0]) },
		"end of year": func(o *digest.CutOptions, _ *digest.Chain) { o.End = 1 << 60 },
	}
	for name, spoil := range bad {
		c := digest.NewChain(digest.ChainOptions{Writer: chainWriter, Tracker: "system"}, chainBegin)
		c.Add(chainFile(1, 1, chainBegin))
		o := chainOptions(t, c.Start+60)
		spoil(o, c)
		if _, err := c.Cut(o); !errors.Is(err, digest.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

func TestChainHeads(t *testing.T) {
	c := digest.NewChain(digest.ChainOptions{Writer: chainWriter, Tracker: "system"}, chainBegin)
	head := func(n int, seq int64) digest.Head {
		return digest.Head{Chain: fmt.Sprintf("%032x", n), Seq: seq, SHA256: strings.Repeat("0", 64)}
	}
	o := chainOptions(t, c.Start+60)
	o.Heads = []digest.Head{head(3, 1), head(1, 5), head(3, 7), head(1, 4), {Chain: c.ID, Seq: 1, SHA256: strings.Repeat("0", 64)}, {Chain: "junk"}}
	_, d := chainCut(t, c, o)
	if diff := cmp.Diff([]digest.Head{head(1, 5), head(3, 7)}, d.Extension.Heads); diff != "" {
		t.Error(diff)
	}
	o = chainOptions(t, c.Start+60)
	for i := range digest.MaxHeads + 10 {
		o.Heads = append(o.Heads, head(i, 1))
	}
	if _, d = chainCut(t, c, o); len(d.Extension.Heads) != digest.MaxHeads {
		t.Errorf("%d heads", len(d.Extension.Heads))
	}
}

func TestChainLater(t *testing.T) {
	c := digest.NewChain(digest.ChainOptions{Writer: chainWriter, Tracker: "system"}, chainBegin)
	c.Add(chainFile(1, 2, chainBegin))
	o := chainOptions(t, c.Start+60)
	s, err := c.Cut(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Later(s, o.Signer, o.Layout, s.End+1); !errors.Is(err, digest.ErrOutOfOrder) {
		t.Errorf("before Advance: %v", err)
	}
	if err := c.Advance(s); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Later(s, o.Signer, o.Layout, s.End); !errors.Is(err, digest.ErrOutOfOrder) {
		t.Errorf("no later: %v", err)
	}
	moved, err := c.Later(s, o.Signer, o.Layout, s.End+1)
	if err != nil {
		t.Fatal(err)
	}
	d, err := digest.Read(moved.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := digest.CheckSignature(o.Signer.Public(), d, moved.Bytes, moved.Last.Signature); err != nil {
		t.Error(err)
	}
	if moved.Key == s.Key || d.End != s.End+1 || len(d.Files) != 1 || moved.Mark != s.Mark || moved.Head().Seq != 1 {
		t.Errorf("moved: %+v", moved)
	}
	if _, d := chainCut(t, c, chainOptions(t, c.Start+60)); d.PreviousObject != moved.Key || d.Start != moved.End || d.Extension.Seq != 2 {
		t.Errorf("next: %+v", d)
	}
}

// TestChainRandom cuts at random and reads the whole chain again.
func TestChainRandom(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := digest.NewChain(digest.ChainOptions{Writer: chainWriter, Tracker: "t", Service: "s"}, chainBegin)
		now, files, traces := chainBegin, 0, 0
		var digests []*digest.Digest
		for range 40 {
			now = now.Add(time.Duration(r.IntN(4000)-300) * time.Second)
			for range r.IntN(4) {
				files++
				n := 1 + r.IntN(9)
				traces += n
				c.Add(chainFile(files, n, now))
			}
			end, due := c.DueEnd(now, time.Hour)
			if !due && r.IntN(3) == 0 {
				end, due = c.ShortEnd(now), true
			}
			if due {
				o := chainOptions(t, end)
				o.Hash = []string{digest.SHA256, digest.MD5}[r.IntN(2)]
				_, d := chainCut(t, c, o)
				digests = append(digests, d)
			}
		}
		_, d := chainCut(t, c, chainOptions(t, c.ShortEnd(now)))
		digests = append(digests, d)
		next, start, listed := int64(1), digest.StampOf(chainBegin), 0
		for i, d := range digests {
			if d.Extension.Seq != int64(i+1) || d.Extension.First != next || d.Start != start {
				t.Fatalf("seed %d: digest %d has seq %d, first %d, start %v", seed, i, d.Extension.Seq, d.Extension.First, d.Start)
			}
			next, start, listed = next+d.Extension.Count, d.End, listed+len(d.Files)
		}
		if int(next-1) != traces || listed != files {
			t.Errorf("seed %d: %d traces in %d files, added were %d in %d", seed, next-1, listed, traces, files)
		}
	}
}

func TestChainID(t *testing.T) {
	sum := sha256.Sum256([]byte("cts chain 1\n" + chainWriter + "\nsystem\n\n"))
	if got, want := digest.ChainID(digest.ChainOptions{Writer: chainWriter, Tracker: "system"}), hex.EncodeToString(sum[:16]); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	seen := map[string]digest.ChainOptions{}
	for _, o := range []digest.ChainOptions{
		{},
		{Writer: "a"},
		{Tracker: "a"},
		{Service: "a"},
		{Writer: "a\n"},
		{Writer: "a\\n"},
		{Writer: "a", Tracker: "b"},
		{Writer: "a\nb"},
		{Tracker: "a\nb"},
		{Tracker: "a", Service: "b"},
		{Generation: 1},
		{Service: "1"},
		{Service: "\n1"},
		{Generation: 12},
	} {
		id := digest.ChainID(o)
		if was, ok := seen[id]; ok {
			t.Errorf("%+v and %+v have one id", was, o)
		}
		seen[id] = o
	}
}

// TestGoldenChain holds three digests against those of an earlier release. What gzip
// makes of them may change; what is in them must not.
func TestGoldenChain(t *testing.T) {
	c := digest.NewChain(digest.ChainOptions{Writer: chainWriter, Tracker: "system"}, chainBegin)
	c.Add(chainFile(1, 3, chainBegin.Add(time.Minute)))
	c.Add(chainFile(2, 4, chainBegin.Add(2*time.Minute)))
	c.Complete(chainBegin.UnixMilli())
	previous := ""
	for i := 1; i <= 3; i++ {
		o := chainOptions(t, c.Start+3600)
		o.Ending = i == 3
		if i > 1 {
			o.Heads = []digest.Head{{Chain: strings.Repeat("0f", 16), Seq: 9, SHA256: strings.Repeat("ab", 32), Count: 12}}
		}
		if i == 2 {
			o.Hash, o.Policy, o.Layout.Service, o.Layout.Prefix = digest.MD5, "policy", "ECS", "p"
		}
		s, d := chainCut(t, c, o)
		name := filepath.Join("testdata", "chain", fmt.Sprint(i))
		if *writeGolden {
			for suffix, content := range map[string][]byte{".json.gz": s.Bytes, ".json.gz.sig": s.Signature().AppendJSON(nil)} {
				if err := os.WriteFile(name+suffix, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		stored, err := os.ReadFile(name + ".json.gz")
		if err != nil {
			t.Fatal(err)
		}
		sidecar, err := os.ReadFile(name + ".json.gz.sig")
		if err != nil {
			t.Fatal(err)
		}
		golden, err := digest.Read(stored)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		signature, err := digest.ParseSignature(sidecar)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := digest.CheckSignature(o.Signer.Public(), golden, stored, signature.Signature); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if golden.PreviousSignature != previous || signature.DigestSHA256 != golden.Head(stored).SHA256 || signature.KeyID != o.Signer.KeyID() {
			t.Errorf("%s does not continue the chain, or its signature object is another's", name)
		}
		previous = signature.Signature
		// Later ones contain the hash of the ones before.
		if diff := cmp.Diff(golden, d); diff != "" && (i == 1 || bytes.Equal(stored, s.Bytes)) {
			t.Errorf("%s: this release writes something else:\n%s", name, diff)
		}
	}
}

func TestReadBomb(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	blank := bytes.Repeat([]byte(" "), 1<<20)
	for range 20 {
		if _, err := z.Write(blank); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := digest.Read(b.Bytes()); !errors.Is(err, digest.ErrTooLarge) {
		t.Errorf("20 MiB of blanks: %v", err)
	}
	if _, err := digest.Read(make([]byte, digest.MaxBytes+1)); !errors.Is(err, digest.ErrTooLarge) {
		t.Errorf("too many stored bytes: %v", err)
	}
	for _, junk := range []string{"", "{", "x", "\x1f\x8b", "\x1f\x8b\x08\x00"} {
		if _, err := digest.Read([]byte(junk)); !errors.Is(err, digest.ErrInvalid) {
			t.Errorf("%q: %v", junk, err)
		}
	}
}
