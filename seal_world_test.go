package cts_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/store/memstore"
)

var sealBegin = time.Date(2026, 11, 22, 22, 0, 0, 0, time.UTC)

// sealWorld is a dumpWorld with a clock and validation.
type sealWorld struct {
	*dumpWorld
	now   time.Time
	opts  cts.DumperOptions
	heads map[digest.Head]int // how often the callback was called with each
}

func newSealWorld(tb testing.TB) *sealWorld {
	tb.Helper()
	w := &sealWorld{dumpWorld: newDumpWorld(), now: sealBegin, heads: map[digest.Head]int{}}
	w.opts = cts.DumperOptions{
		Clock: func() time.Time { return w.now }, MaxAge: time.Hour,
		Validation: &cts.ValidationOptions{
			Signer: sealSigner(tb), BucketName: "bucket", ProjectID: "project",
			Sealed: func(h digest.Head) { w.heads[h]++ },
		},
	}
	return w
}

func sealSigner(tb testing.TB) *digest.Signer {
	tb.Helper()
	s, err := digest.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// start starts a process.
func (w *sealWorld) start(tb testing.TB) *cts.Dumper {
	tb.Helper()
	return w.dumper(tb, &w.opts)
}

// sealedDigest is a digest in the bucket.
type sealedDigest struct {
	*digest.Digest
	key       string
	stored    []byte
	signature string // in its metadata
}

// bucketRead is what is in a bucket.
type bucketRead struct {
	traces  map[string][]byte         // trace files by key, as stored
	digests map[string][]sealedDigest // by chain, in order of seq
}

// readBucket reads a bucket and checks every digest by itself: its name, signature and
// signature object.
func readBucket(tb testing.TB, bucket obs.Client, key *digest.PublicKey) bucketRead {
	tb.Helper()
	b := bucketRead{traces: map[string][]byte{}, digests: map[string][]sealedDigest{}}
	signatures := map[string]digest.Signature{}
	for o, err := range bucket.List(context.Background(), "", nil) {
		if err != nil {
			tb.Fatal(err)
		}
		body, o, err := bucket.Get(context.Background(), o.Key)
		if err != nil {
			tb.Fatal(err)
		}
		stored, err := io.ReadAll(body)
		if err != nil {
			tb.Fatal(err)
		}
		info, ok := digest.ParseKey(o.Key)
		switch {
		case !ok:
			tb.Errorf("object of no kind: %s", o.Key)
		case info.Kind == digest.TraceFile:
			b.traces[o.Key] = stored
		case info.Kind == digest.SignatureFile:
			s, err := digest.ParseSignature(stored)
			if err != nil {
				tb.Errorf("%s: %v", o.Key, err)
			}
			signatures[strings.TrimSuffix(o.Key, digest.SignatureSuffix)] = s
		case info.Kind == digest.DigestFile:
			d, err := digest.Read(stored)
			if err != nil {
				tb.Fatalf("%s: %v", o.Key, err)
			}
			if err := digest.CheckSignature(key, d, stored, o.Metadata[digest.MetaSignature]); err != nil || d.Object != o.Key {
				tb.Errorf("%s: it names itself %s; %v", o.Key, d.Object, err)
			}
			b.digests[d.Extension.Chain] = append(b.digests[d.Extension.Chain], sealedDigest{d, o.Key, stored, o.Metadata[digest.MetaSignature]})
		}
	}
	for _, chain := range b.digests {
		for _, d := range chain {
			if s := signatures[d.key]; s.Signature != d.signature || s.DigestSHA256 != d.Head(d.stored).SHA256 {
				tb.Errorf("%s has no signature object, or that of another", d.key)
			}
		}
		slices.SortFunc(chain, func(a, b sealedDigest) int { return int(a.Extension.Seq - b.Extension.Seq) })
	}
	return b
}

// checkChains checks that each chain goes on without a gap, and that each trace file is
// in one digest, as it is stored.
func (b bucketRead) checkChains(tb testing.TB) {
	tb.Helper()
	listed := map[string]string{}
	for id, chain := range b.digests {
		next := int64(1)
		for i, d := range chain {
			x := d.Extension
			if x.Seq != int64(i+1) || x.First != next {
				tb.Errorf("chain %s: digest %d has number %d and begins at %d, want %d", id, i, x.Seq, x.First, next)
			}
			next += x.Count
			if i > 0 {
				last := chain[i-1]
				hash, err := digest.Hash(d.PreviousHashAlgorithm, last.stored)
				if err != nil || d.Start != last.End || d.PreviousObject != last.key || d.PreviousHash != hash || last.Ending {
					tb.Errorf("chain %s: digest %d does not continue the one before: %v", id, i, err)
				}
			}
			for j, f := range d.Files {
				if was, ok := listed[f.Object]; ok {
					tb.Errorf("%s is in %s and in %s", f.Object, was, d.key)
				}
				listed[f.Object] = d.key
				b.checkFile(tb, f, x.Files[j])
			}
		}
	}
	for key := range b.traces {
		if listed[key] == "" {
			tb.Errorf("%s is in no digest", key)
		}
	}
}

func (b bucketRead) checkFile(tb testing.TB, f digest.File, detail digest.FileDetail) {
	tb.Helper()
	stored, ok := b.traces[f.Object]
	if !ok {
		tb.Errorf("%s is in a digest and not in the bucket", f.Object)
		return
	}
	hash, err := digest.Hash(f.HashAlgorithm, stored)
	if err != nil || hash != f.Hash || detail.Size != int64(len(stored)) {
		tb.Errorf("%s: hash %s, %v", f.Object, hash, err)
	}
	sum := sha256.Sum256(stored)
	var traces []json.RawMessage
	if err := json.Unmarshal(gunzip(tb, stored), &traces); err != nil {
		tb.Fatal(err)
	}
	var tree digest.Tree
	for _, t := range traces {
		tree.Add(t)
	}
	if root := tree.Root(); hex.EncodeToString(root[:]) != detail.Root || hex.EncodeToString(sum[:]) != detail.SHA256 || int64(len(traces)) != detail.Count {
		tb.Errorf("%s: root, sha256 or count is not that of the file", f.Object)
	}
}

// checkSealed checks that everything in the store is in the bucket once and sealed.
func (w *sealWorld) checkSealed(tb testing.TB) bucketRead {
	tb.Helper()
	b := readBucket(tb, w.objects, sealSigner(tb).Public())
	b.checkChains(tb)
	ids := map[string]int{}
	for _, stored := range b.traces {
		var traces []struct {
			ID string `json:"trace_id"`
		}
		if err := json.Unmarshal(gunzip(tb, stored), &traces); err != nil {
			tb.Fatal(err)
		}
		for _, tr := range traces {
			ids[tr.ID]++
		}
	}
	for n := range w.made {
		if id := fmt.Sprintf("trace-%d", n+1); ids[id] != 1 {
			tb.Errorf("%s is %d times in the bucket", id, ids[id])
		}
	}
	for _, chain := range b.digests {
		for _, d := range chain {
			if w.heads[d.Head(d.stored)] == 0 {
				tb.Errorf("the head of %s was not handed out", d.key)
			}
		}
	}
	return b
}

// sealedPosition is up to where the store may forget.
func (w *sealWorld) sealedPosition(tb testing.TB) cts.Position {
	tb.Helper()
	consumers, err := w.Store.Consumers(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	return consumers["dumper"]
}

// shape describes a chain: S for its first digest, E for its ending one, and the number
// of files in each.
func shape(chain []sealedDigest) string {
	var b strings.Builder
	for _, d := range chain {
		if d.PreviousObject == "" {
			b.WriteString("S")
		}
		fmt.Fprint(&b, len(d.Files))
		if d.Ending {
			b.WriteString("E")
		}
	}
	return b.String()
}

// shapes describes all chains of a tracker, in order of their beginning.
func (b bucketRead) shapes(tracker string) string {
	var chains [][]sealedDigest
	for chain := range maps.Values(b.digests) {
		if chain[0].Extension.Tracker == tracker {
			chains = append(chains, chain)
		}
	}
	slices.SortFunc(chains, func(a, b []sealedDigest) int {
		if d := a[0].Start - b[0].Start; d != 0 {
			return int(d)
		}
		return strings.Compare(a[0].Extension.Service, b[0].Extension.Service)
	})
	var parts []string
	for _, chain := range chains {
		parts = append(parts, shape(chain))
	}
	return strings.Join(parts, " ")
}

func gunzip(tb testing.TB, stored []byte) []byte {
	tb.Helper()
	z, err := gzip.NewReader(bytes.NewReader(stored))
	if err != nil {
		tb.Fatal(err)
	}
	content, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

func newStoreWithID(id string) *memstore.Store {
	return memstore.New(&memstore.Options{NewID: func() string { return id }})
}
