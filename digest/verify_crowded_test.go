package digest_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

// With no room for files that no digest mentions, everything is listed twice and the same
// is found.
func TestVerifyCrowded(t *testing.T) {
	rounds := 400
	if raceEnabled || testing.Short() {
		rounds = 60
	}
	v := newVandal(t, *tamperSeed)
	v.used = map[string]bool{}
	heads := v.heads()
	spans := [][2]time.Time{{}, {}, {v.begin.Add(2 * time.Hour), v.begin.Add(4 * time.Hour)}, {v.begin.Add(3*time.Hour + time.Minute), {}}, {{}, v.begin.Add(5 * time.Hour)}}
	crowded := 0
	for round := range rounds {
		var done []*mutation
		for range round % 4 {
			if m := v.mutate(); m != nil {
				done = append(done, m)
			}
		}
		o := &digest.VerifyOptions{
			Keys: []*digest.PublicKey{v.signer.Public()}, Heads: heads, Parallel: 1, Now: func() time.Time { return v.now },
			From: spans[round%5][0], To: spans[round%5][1],
		}
		counting := &countingBucket{Client: v.bucket}
		want, err := digest.Verify(t.Context(), counting, o)
		if err != nil {
			t.Fatal(err)
		}
		lists := counting.lists.Swap(0)
		got, err := digest.VerifyCrowded(t.Context(), counting, o, round%3)
		if err != nil {
			t.Fatal(err)
		}
		if counting.lists.Load() > lists {
			crowded++
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d round %d, %s: -roomy +crowded\n%s", *tamperSeed, round, names(done), diff)
		}
		v.restore()
	}
	if crowded < rounds/3 {
		t.Errorf("only %d of %d rounds were crowded", crowded, rounds)
	}
}

// Files that were sealed days after they were delivered are found to be sealed at the second
// look too.
func TestVerifyCrowdedLate(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1, hours: 3, files: 1, traces: 1})
	a := w.writers[0]
	for n := range 5 { // the writer is cut off from the digests' folder for some days
		w.now = w.now.Add(25 * time.Hour)
		content := traceContent(1, fmt.Sprint("late", n))
		w.deliverFile(a, fileKey("system", "ECS", w.now, content), zip(t, content))
	}
	w.cut(a, digest.StampOf(w.now.Add(time.Hour)), false)
	w.now = w.now.Add(time.Hour)
	added := w.begin.Add(40 * time.Hour)
	content := traceContent(1, "added")
	key := fileKey("system", "ECS", added, content)
	w.put(key, zip(t, content), nil)
	for room := range 4 {
		r, err := digest.VerifyCrowded(t.Context(), w.bucket, &digest.VerifyOptions{
			Keys: []*digest.PublicKey{w.signer.Public()}, Now: func() time.Time { return w.now },
		}, room)
		if err != nil {
			t.Fatal(err)
		}
		wantKinds(t, r, found{digest.FileAdded: 1})
		if !has(r, digest.FileAdded, key) {
			t.Error(findings(r))
		}
	}
}

// countingBucket counts the calls, and lets the test make up objects that are only listed.
type countingBucket struct {
	obs.Client
	lists atomic.Int64
}

func (b *countingBucket) List(ctx context.Context, prefix string, opts *obs.ListOptions) iter.Seq2[obs.Object, error] {
	b.lists.Add(1)
	return b.Client.List(ctx, prefix, opts)
}

// manyBucket has very many objects more than it has, in one folder.
type manyBucket struct {
	obs.Client
	folder  string
	objects int
	lists   atomic.Int64
}

func (b *manyBucket) name(i int) string {
	return fmt.Sprintf("%sZ/CloudTrace_eu-de_2026-03-28T22-00-00Z_%016x.json.gz", b.folder, i)
}

func (b *manyBucket) List(ctx context.Context, prefix string, opts *obs.ListOptions) iter.Seq2[obs.Object, error] {
	return func(yield func(obs.Object, error) bool) {
		b.lists.Add(1)
		for o, err := range b.Client.List(ctx, prefix, opts) {
			if !yield(o, err) {
				return
			}
		}
		if !strings.HasPrefix(b.folder, prefix) || opts != nil && opts.After > b.folder+"ZZ" {
			return
		}
		for i := range b.objects { // behind all others of the day
			if o := (obs.Object{Key: b.name(i), Size: 100, ModTime: worldBegin}); opts == nil || o.Key > opts.After {
				if !yield(o, nil) {
					return
				}
			}
		}
	}
}

// Neither memory nor the number of lists grows with the number of files that somebody has
// put into a bucket.
func TestVerifyManyAdded(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1, hours: 3, files: 1, traces: 1})
	objects := 200_000
	if raceEnabled || testing.Short() {
		objects = 20_000
	}
	b := &manyBucket{Client: w.bucket, folder: worldRoot + "/2026/03/28/", objects: objects}
	r, err := digest.VerifyCrowded(t.Context(), b, &digest.VerifyOptions{
		Keys: []*digest.PublicKey{w.signer.Public()}, MaxFindings: 10, From: w.begin.Add(time.Hour), To: w.begin.Add(150 * time.Minute), Now: func() time.Time { return w.now },
	}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) != 10 || r.More < int64(objects)-20 || r.OK() {
		t.Errorf("%d more of %d, %s", r.More, objects, findings(r))
	}
	if n := b.lists.Load(); n > 200 {
		t.Errorf("%d lists", n)
	}
}
