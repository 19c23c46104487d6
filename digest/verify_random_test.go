package digest_test

import (
	"bytes"
	"context"
	"flag"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/digest"
)

// trusted reports whether a digest is there as it was sealed, with a signature.
func (v *vandal) trusted(s *digest.Sealed) bool {
	same := func(key string) bool {
		_, err := v.bucket.Head(context.Background(), key)
		if err != nil {
			return false
		}
		content, _ := v.get(key)
		return bytes.Equal(content, v.before[key].content)
	}
	if !same(s.Key) {
		return false
	}
	_, o := v.get(s.Key)
	return maps.Equal(o.Metadata, v.before[s.Key].metadata) || same(s.Key+digest.SignatureSuffix)
}

// unproven reports whether the digests are damaged that would show a mutation of trace
// files: then nothing does, but for the damage of these digests, which is found.
func (v *vandal) unproven(m *mutation) bool {
	digests := 0
	for _, a := range v.writers {
		for i, s := range a.sealed {
			if !slices.ContainsFunc(a.files[i], func(key string) bool { return slices.Contains(m.touched, key) }) {
				continue
			}
			digests++
			if v.trusted(s) {
				return false
			}
		}
	}
	return digests > 0
}

// finds reports whether damage is reported that a mutation did.
func finds(r *digest.Report, m *mutation) bool {
	return slices.ContainsFunc(r.Findings, func(f digest.Finding) bool {
		if f.Severity() != digest.Damage && !(m.unproven && f.Kind == digest.FileUnproven) {
			return false
		}
		for _, key := range m.touched {
			if strings.TrimSuffix(f.Object, digest.SignatureSuffix) == strings.TrimSuffix(key, digest.SignatureSuffix) || strings.Contains(f.Reason, key) {
				return true
			}
		}
		return slices.ContainsFunc(m.digests, func(h digest.Head) bool {
			gone := f.Kind == digest.DigestDeleted || f.Kind == digest.DigestMoved
			return f.Chain == h.Chain && (gone && f.Seq == h.Seq || f.Kind == digest.ChainDeleted)
		})
	})
}

var tamperSeed = flag.Uint64("tamper.seed", 1, "seed of the random tampering")

// TestVerifyRandomTampering changes a bucket 10,000 times, one thing or several at a time,
// and each one is found.
func TestVerifyRandomTampering(t *testing.T) {
	mutations := 10_000
	if raceEnabled || testing.Short() {
		mutations = 600
	}
	seed := *tamperSeed
	t.Logf("seed %d", seed)
	const vandals = 4
	var all sync.WaitGroup
	for i := range vandals {
		all.Go(func() { tamperAtRandom(t, seed+uint64(i), mutations/vandals) })
	}
	all.Wait()
}

func tamperAtRandom(t *testing.T, seed uint64, mutations int) {
	v := newVandal(t, seed)
	heads := v.heads()
	verify := func(heads []digest.Head) *digest.Report {
		r, err := digest.Verify(context.Background(), v.bucket, &digest.VerifyOptions{
			Keys: []*digest.PublicKey{v.signer.Public()}, Heads: heads, Parallel: 1, Now: func() time.Time { return v.now },
		})
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		return r
	}
	v.used = map[string]bool{}
	for round := 0; mutations > 0; round++ {
		if round%100 == 0 {
			if r := verify(heads); len(kinds(r)) > 0 {
				t.Errorf("seed %d: untouched:\n%s", seed, findings(r))
			}
		}
		var done []*mutation
		for range 1 + max(0, v.random.IntN(6)-2) {
			if m := v.mutate(); m != nil {
				done = append(done, m)
			}
		}
		mutations -= len(done)
		elsewhere := false
		for _, m := range done {
			elsewhere = elsewhere || m.heads
		}
		var r *digest.Report
		if elsewhere || len(done) > 1 {
			r = verify(heads)
		} else {
			r = verify(nil)
		}
		for _, m := range done {
			if !finds(r, m) && !v.unproven(m) {
				t.Errorf("seed %d round %d: %s not found of %s:\n%s", seed, round, m.name, names(done), findings(r))
			}
		}
		if v.restore(); t.Failed() {
			return
		}
	}
}

func names(ms []*mutation) string {
	var s []string
	for _, m := range ms {
		s = append(s, m.name)
	}
	return strings.Join(s, "; ")
}
