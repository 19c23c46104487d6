package digest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/dirobs"
)

type found = map[digest.Kind]int

func TestVerifyUnsealed(t *testing.T) {
	for _, without := range []bool{false, true} {
		w := newWorld(t, worldOptions{writers: 2, hours: 4, files: 1, traces: 1, withoutComplete: without})
		w.deliver(w.writers[0], 7)
		w.now = w.now.Add(10 * time.Minute)
		w.deliver(w.writers[1], 8)
		r := w.verify(nil)
		wantKinds(t, r, found{digest.FileUnsealed: 2})
		if !r.OK() || r.Worst() != digest.Note {
			t.Errorf("OK %v, worst %v", r.OK(), r.Worst())
		}
		w.now = w.now.Add(time.Minute) // once their digests are there, they are sealed
		w.cut(w.writers[0], digest.StampOf(w.now), false)
		w.cut(w.writers[1], digest.StampOf(w.now), false)
		wantKinds(t, w.verify(nil), found{})
	}
}

// TestVerifyUnsealedOfTheDead has a writer that died long before the others stopped: what
// is put in its name later is not taken for its work.
func TestVerifyUnsealedOfTheDead(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 2, hours: 9, files: 1, traces: 1})
	dead := w.addWriter("dead", "system", 0)
	dead.chain = digest.NewChain(digest.ChainOptions{Writer: "dead", Tracker: "system"}, w.begin)
	end := w.now
	w.now = w.begin.Add(time.Hour)
	w.cut(dead, digest.StampOf(w.now), false)
	w.now = w.begin.Add(90 * time.Minute)
	forged := w.deliver(dead, 5)
	w.now = end
	r := w.verify(nil)
	wantKinds(t, r, found{digest.FileAdded: 1})
	if !has(r, digest.FileAdded, forged) {
		t.Error(findings(r))
	}
}

func TestVerifyUnvalidated(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1, hours: 3, files: 1, traces: 1, begin: time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)})
	a := w.writers[0]
	before := traceContent(1, "before")
	w.put(fileKey("system", "ECS", w.begin.Add(-2*time.Hour), before), zip(t, before), nil)
	other := traceContent(1, "other tracker")
	w.put(fileKey("data", "OBS", w.now, other), zip(t, other), nil)
	r := w.verify(nil)
	wantKinds(t, r, found{digest.FileUnproven: 2})
	if r.OK() || r.Worst() != digest.Failure {
		t.Errorf("OK %v, worst %v", r.OK(), r.Worst())
	}
	stated := func(o *digest.VerifyOptions) {
		o.Unvalidated = []digest.Span{{Tracker: "system", To: w.begin}, {Tracker: "data"}}
	}
	if r := w.verify(stated); !r.OK() {
		t.Error(findings(r))
	} else {
		wantKinds(t, r, found{digest.FileUnvalidated: 2})
	}

	w.now = w.now.Add(time.Hour)
	w.cut(a, digest.StampOf(w.now), true)
	w.now = w.now.Add(time.Hour)
	off := traceContent(1, "off")
	w.put(fileKey("system", "ECS", w.now, off), zip(t, off), nil)
	r = w.verify(stated)
	wantKinds(t, r, found{digest.FileUnvalidated: 2, digest.FileUnproven: 1})
	if c := r.Chains[0]; c.Open || !c.Ended {
		t.Errorf("the chain has ended: %+v", c)
	}

	w.now = w.now.Add(3 * time.Hour)
	a.chain, a.sealed, a.files = a.chain.Next(w.now), nil, nil
	w.now = w.now.Add(10 * time.Minute)
	w.deliver(a, 1)
	w.now = w.now.Add(time.Hour)
	w.cut(a, digest.StampOf(w.now), false)
	r = w.verify(stated) // now both chains say that there was none between them
	wantKinds(t, r, found{digest.FileUnvalidated: 3})
	if len(r.Chains) != 2 || r.Chains[0].Writer != r.Chains[1].Writer || !r.Chains[1].Open {
		t.Errorf("chains %+v", r.Chains)
	}
	forged := traceContent(1, "forged") // while validation was on again
	key := fileKey("system", "ECS", w.now.Add(-20*time.Minute), forged)
	w.put(key, zip(t, forged), nil)
	if r := w.verify(nil); !has(r, digest.FileUnsealed, key) { // it may be a new writer's, until others are far ahead
		t.Error(findings(r))
	}
	begun := w.now.Add(-70 * time.Minute)
	for range 3 {
		w.now = w.now.Add(time.Hour)
		w.cut(a, digest.StampOf(w.now), false)
	}
	if r := w.verify(nil); !has(r, digest.FileAdded, key) {
		t.Error(findings(r))
	}
	// In a time range the digests before it count too.
	if r := w.verify(func(o *digest.VerifyOptions) { o.From = begun }); !has(r, digest.FileAdded, key) {
		t.Error(findings(r))
	}
}

func TestVerifyExpired(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 2, hours: 60, files: 1, traces: 1})
	limit := w.begin.Add(30 * time.Hour)
	retention := w.now.Sub(limit)
	for _, key := range w.keys() {
		if info, ok := digest.ParseKey(key); ok && info.Time.Time().Before(limit) {
			w.delete(key)
		}
	}
	r := w.verify(nil)
	if r.OK() || kinds(r)[digest.DigestDeleted] < 50 {
		t.Errorf("without a retention:\n%s", findings(r))
	}
	set := func(o *digest.VerifyOptions) { o.Retention = retention }
	r = w.verify(set)
	if !r.OK() || kinds(r)[digest.Expired] == 0 {
		t.Errorf("expired objects are damage:\n%s", findings(r))
	}
	young := w.writers[0].files[50][0]
	w.delete(young, w.writers[1].sealed[45].Key)
	r = w.verify(set)
	if !has(r, digest.FileDeleted, young) || !has(r, digest.DigestDeleted, w.writers[1].sealed[45].Key) {
		t.Errorf("what is younger than the retention:\n%s", findings(r))
	}
}

// TestVerifyExpiredWriter has a writer that stopped, of which everything has expired, and
// others that mention it.
func TestVerifyExpiredWriter(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 2, hours: 40, files: 1, traces: 1})
	a := w.writers[0]
	for i, s := range a.sealed {
		if i >= 10 {
			w.delete(a.files[i]...)
		}
		w.delete(s.Key, s.Key+digest.SignatureSuffix)
	}
	for i := range 10 {
		w.delete(a.files[i]...)
	}
	if r := w.verify(nil); !has(r, digest.ChainDeleted, a.sealed[39].Key) {
		t.Errorf("a chain that others mention:\n%s", findings(r))
	}
	w.now = w.now.AddDate(0, 0, 30)
	r := w.verify(func(o *digest.VerifyOptions) { o.Retention = 28 * 24 * time.Hour })
	if !r.OK() || kinds(r)[digest.Expired] == 0 {
		t.Errorf("a chain that has expired:\n%s", findings(r))
	}
}

func TestVerifyRange(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 3, hours: 30, files: 2, traces: 1})
	from, to := w.begin.Add(10*time.Hour), w.begin.Add(20*time.Hour)
	part := func(o *digest.VerifyOptions) { o.From, o.To = from, to }
	r := w.verify(part)
	wantKinds(t, r, found{})
	if len(r.Chains) != 3 || r.Worst() != 0 {
		t.Errorf("%d chains, worst %v: in a range that is over nothing is open", len(r.Chains), r.Worst())
	}
	for i, c := range r.Chains {
		if first := w.begin.Add(10*time.Hour - map[bool]time.Duration{true: time.Hour}[c.Start.Before(from)]); c.End.Before(to) || c.Start.After(from) || c.Start.Before(first) {
			t.Errorf("chain %d reaches from %v to %v", i, c.Start, c.End)
		}
	}
	for name, c := range map[string]struct {
		remove string
		kind   digest.Kind
	}{
		"a digest long before": {w.writers[1].sealed[5].Key, ""}, "a digest long after": {w.writers[1].sealed[25].Key, ""},
		"a file before": {w.writers[1].files[5][0], ""}, "a file after": {w.writers[1].files[25][0], ""},
		"a digest in it": {w.writers[1].sealed[15].Key, digest.DigestDeleted}, "a file in it": {w.writers[1].files[15][0], digest.FileDeleted},
		"the digest before it":      {w.writers[0].sealed[9].Key, digest.DigestDeleted},
		"the digest behind its end": {w.writers[1].sealed[19].Key, digest.DigestDeleted},
	} {
		t.Run(name, func(t *testing.T) {
			content, o := w.get(c.remove)
			w.delete(c.remove)
			defer w.put(c.remove, content, o.Metadata)
			r := w.verify(part)
			if c.kind == "" && !r.OK() || c.kind != "" && !has(r, c.kind, c.remove) {
				t.Errorf("want %q:\n%s", c.kind, findings(r))
			}
		})
	}
	forged := traceContent(1, "forged")
	key := fileKey("system", "ECS", w.begin.Add(15*time.Hour), forged)
	w.put(key, zip(t, forged), nil)
	if r := w.verify(part); !has(r, digest.FileAdded, key) {
		t.Errorf("an added file:\n%s", findings(r))
	}
	if r := w.verify(func(o *digest.VerifyOptions) { o.To = from }); !r.OK() {
		t.Errorf("a file added behind the range:\n%s", findings(r))
	}
}

func TestVerifyShortRange(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 2, hours: 6, files: 2, traces: 1})
	for minute := time.Duration(20); minute < 360; minute += 25 {
		from := w.begin.Add(minute * time.Minute)
		r := w.verify(func(o *digest.VerifyOptions) { o.From, o.To = from, from.Add(7*time.Minute) })
		wantKinds(t, r, found{})
		if len(r.Chains) == 0 || r.Checked.Digests > 4 {
			t.Errorf("minute %d: %d chains, %+v", minute, len(r.Chains), r.Checked)
		}
	}
}

// TestVerifyHeadsOutside has heads of digests that the time range does not reach.
func TestVerifyHeadsOutside(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 2, hours: 30, files: 1, traces: 1})
	old := w.writers[0].sealed[2].Head()
	late := w.writers[0].sealed[29].Head()
	lost := w.writers[0].sealed[4].Head()
	w.delete(lost.Object, lost.Object+digest.SignatureSuffix)
	verify := func(heads ...digest.Head) *digest.Report {
		return w.verify(func(o *digest.VerifyOptions) {
			o.From, o.To, o.Heads = w.begin.Add(10*time.Hour), w.begin.Add(12*time.Hour), heads
		})
	}
	wantKinds(t, verify(old, late), found{})
	wantKinds(t, verify(lost), found{digest.DigestDeleted: 1})
	old.Object, late.Object = "", ""
	wantKinds(t, verify(old, late), found{digest.HeadUnchecked: 2})
	old = w.writers[0].sealed[2].Head()
	old.SHA256 = strings.Repeat("0", 64)
	wantKinds(t, verify(old), found{digest.HeadMismatch: 1})
	unknown := digest.Head{Chain: strings.Repeat("ab", 16), Seq: 3, SHA256: old.SHA256, Count: 1}
	wantKinds(t, verify(unknown), found{digest.HeadUnchecked: 1})
	r := w.verify(func(o *digest.VerifyOptions) { o.Heads = []digest.Head{unknown, unknown} })
	if kinds(r)[digest.ChainDeleted] != 1 {
		t.Error(findings(r))
	}
}

func TestVerifyNothing(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1, hours: 2, files: 1, traces: 1})
	for name, change := range map[string]func(o *digest.VerifyOptions){
		"another region": func(o *digest.VerifyOptions) { o.Region = "eu-nl" },
		"a year before":  func(o *digest.VerifyOptions) { o.From, o.To = w.begin.AddDate(-1, 0, 0), w.begin.AddDate(-1, 0, 1) },
	} {
		if r := w.verify(change); r.OK() || kinds(r)[digest.NothingFound] != 1 {
			t.Errorf("%s:\n%s", name, findings(r))
		}
	}
	r := w.verify(func(o *digest.VerifyOptions) { o.Keys = []*digest.PublicKey{w.options.otherSigner().Public()} })
	if k := kinds(r); k[digest.KeyUnknown] != 2 || k[digest.NothingFound] != 1 {
		t.Errorf("with another key:\n%s", findings(r))
	}
	r = w.verify(func(o *digest.VerifyOptions) { o.Writers = []string{w.writers[0].chain.Writer, "someone"} })
	wantKinds(t, r, found{digest.WriterMissing: 1})
	wantKinds(t, w.verify(func(o *digest.VerifyOptions) { o.BucketName = "other" }), found{digest.DigestMoved: 2})
}

func TestVerifyOptionsFaults(t *testing.T) {
	_, err := digest.Verify(context.Background(), nil, &digest.VerifyOptions{
		From: worldBegin, To: worldBegin, KeyHistory: []byte("x"), Heads: []digest.Head{{}}, Retention: -1,
		MinHistory: 1, Unvalidated: []digest.Span{{}, {From: worldBegin, To: worldBegin}},
	})
	if !errors.Is(err, digest.ErrInvalid) {
		t.Fatal(err)
	}
	for _, part := range []string{"From", "Keys", "KeyHistory", "head 0", "negative", "MinHistory", "Unvalidated 1"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %v", part, err)
		}
	}
	if _, err := digest.Verify(context.Background(), nil, nil); !errors.Is(err, digest.ErrInvalid) {
		t.Errorf("without options: %v", err)
	}
}

// TestVerifyDishonest has digests with good signatures that do not go on from each other,
// or lie about their files.
func TestVerifyDishonest(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(w *world, a *worldWriter)
		want found
	}{
		"a gap in the ordinals": {func(w *world, a *worldWriter) { a.chain.Last.Head.Count += 3 }, found{digest.OrdinalGap: 1}},
		"ordinals twice":        {func(w *world, a *worldWriter) { a.chain.Last.Head.Count-- }, found{digest.OrdinalBack: 1}},
		"another hash":          {func(w *world, a *worldWriter) { a.chain.Last.Hash = strings.Repeat("0", 64) }, found{digest.ChainBroken: 1}},
		"another signature":     {func(w *world, a *worldWriter) { a.chain.Last.Signature = a.sealed[0].Last.Signature }, found{digest.ChainBroken: 1}},
		"a wrong number":        {func(w *world, a *worldWriter) { a.chain.Last.Head.Seq++ }, found{digest.DigestDeleted: 1, digest.TimeBack: 1}},
		"a number twice":        {func(w *world, a *worldWriter) { a.chain.Last.Head.Seq-- }, found{digest.DigestForked: 1}},
		"behind the end": {func(w *world, a *worldWriter) {
			w.now = w.now.Add(time.Hour)
			w.cut(a, digest.StampOf(w.now), true)
			a.chain.Ended = false
		}, found{digest.ChainBroken: 1}},
		"a wrong count": {func(w *world, a *worldWriter) {
			w.deliver(a, 2)
			a.chain.Pending[0].Count++
		}, found{digest.FileCount: 1}},
		"too many": {func(w *world, a *worldWriter) {
			w.deliver(a, 2)
			a.chain.Pending[0].Count--
		}, found{digest.FileCount: 1}},
		"a wrong root": {func(w *world, a *worldWriter) {
			w.deliver(a, 2)
			a.chain.Pending[0].Root = strings.Repeat("0", 64)
		}, found{digest.FileRoot: 1}},
		"no traces": {func(w *world, a *worldWriter) {
			w.deliver(a, 2)
			content := zip(w.tb, []byte(`{"traces":[]}`))
			w.put(a.open[0], content, nil)
			f := &a.chain.Pending[0]
			f.Size = int64(len(content))
			f.SHA256, _ = digest.Hash(digest.SHA256, content)
		}, found{digest.FileContent: 1}},
		"a file twice": {func(w *world, a *worldWriter) {
			a.chain.Add(digest.PendingFile{
				Object: a.files[1][0], Count: 2, Root: strings.Repeat("0", 64), Size: 1, SHA256: strings.Repeat("0", 64), Delivered: digest.StampOf(w.now),
			})
		}, found{digest.FileRepeated: 1, digest.FileChanged: 1}},
		"an earlier end": {func(w *world, a *worldWriter) {
			// The digest before it says that it ended later than this one starts.
			a.chain.Start -= 120
			a.chain.Last.Object = a.layout.Key(a.chain.ID, a.chain.Start)
		}, found{digest.ChainBroken: 1, digest.TimeBack: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, worldOptions{writers: 1, hours: 3, files: 2, traces: 2})
			w.options.hours = 9
			a := w.writers[0]
			c.do(w, a)
			w.now = w.now.Add(time.Hour)
			w.cut(a, digest.StampOf(w.now), false)
			wantKinds(t, w.verify(nil), c.want)
		})
	}
}

// TestVerifyCopy verifies a plain copy of a bucket in a folder: no metadata, other times,
// and nothing may be written.
func TestVerifyCopy(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 2, hours: 5, files: 2, traces: 2})
	dir := t.TempDir()
	for _, key := range w.keys() {
		content, _ := w.get(key)
		path := filepath.Join(dir, filepath.FromSlash(key))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700) //nolint:errcheck // for the folder to be removed
	bucket, err := dirobs.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	o := &digest.VerifyOptions{Keys: []*digest.PublicKey{w.signer.Public()}, Heads: w.heads()}
	r, err := digest.Verify(context.Background(), bucket, o)
	if err != nil {
		t.Fatal(err)
	}
	wantKinds(t, r, found{})
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	lost := w.writers[0].sealed[2].Key + digest.SignatureSuffix
	if err := bucket.Delete(context.Background(), lost); err != nil {
		t.Fatal(err)
	}
	if r, err = digest.Verify(context.Background(), bucket, o); err != nil || !has(r, digest.SignatureMissing, strings.TrimSuffix(lost, digest.SignatureSuffix)) {
		t.Errorf("error %v:\n%s", err, findings(r))
	}
}

var errBroken = errors.New("the store is broken")

// brokenBucket fails where it is told to.
type brokenBucket struct {
	obs.Client
	fail func(op, key string) error
}

func (b *brokenBucket) Get(ctx context.Context, key string) (io.ReadCloser, obs.Object, error) {
	if err := b.fail("get", key); err != nil {
		return nil, obs.Object{}, err
	}
	return b.Client.Get(ctx, key)
}

func (b *brokenBucket) List(ctx context.Context, prefix string, opts *obs.ListOptions) iter.Seq2[obs.Object, error] {
	if err := b.fail("list", prefix); err != nil {
		return func(yield func(obs.Object, error) bool) { yield(obs.Object{}, err) }
	}
	return b.Client.List(ctx, prefix, opts)
}

func TestVerifyStoreFails(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 2, hours: 80, files: 2, traces: 1})
	verify := func(ctx context.Context, fail func(op, key string) error) (*digest.Report, error) {
		return digest.Verify(ctx, &brokenBucket{w.bucket, fail}, &digest.VerifyOptions{Keys: []*digest.PublicKey{w.signer.Public()}})
	}
	file, sealed := w.writers[0].files[3][0], w.writers[1].sealed[4].Key
	r, err := verify(context.Background(), func(_, key string) error {
		if key == file || key == sealed {
			return errBroken
		}
		return nil
	})
	if !errors.Is(err, errBroken) || !has(r, digest.Unreadable, file) || !has(r, digest.Unreadable, sealed) || r.OK() {
		t.Errorf("error %v:\n%s", err, findings(r))
	}
	if has(r, digest.DigestDeleted, sealed) || has(r, digest.FileDeleted, file) {
		t.Errorf("what could not be read is taken for deleted:\n%s", findings(r))
	}
	r, err = verify(context.Background(), func(op, _ string) error {
		if op == "get" {
			return errBroken
		}
		return nil
	})
	if !errors.Is(err, errBroken) || r == nil || kinds(r)[digest.Unreadable] > 130 {
		t.Errorf("error %v, %v", err, kinds(r))
	}
	lists := 0
	_, err = verify(context.Background(), func(op, _ string) error {
		if op == "list" {
			if lists++; lists == 12 {
				return errBroken
			}
		}
		return nil
	})
	if !errors.Is(err, errBroken) {
		t.Errorf("a list that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var once sync.Once
	_, err = verify(ctx, func(_, key string) error {
		if key == sealed {
			once.Do(cancel)
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestVerifyMaxFindings(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1, hours: 6, files: 2, traces: 1})
	for _, files := range w.writers[0].files {
		w.delete(files...)
	}
	r := w.verify(func(o *digest.VerifyOptions) { o.MaxFindings = 5 })
	if len(r.Findings) != 5 || r.More != 8 || r.MoreDamage < 7 || r.OK() {
		t.Errorf("%d findings, %d more, %d of them damage", len(r.Findings), r.More, r.MoreDamage)
	}
}

func TestVerifyProgress(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 2, hours: 6, files: 3, traces: 2})
	var last digest.Progress
	calls := 0
	r := w.verify(func(o *digest.VerifyOptions) {
		o.Parallel = 4
		o.Progress = func(p digest.Progress) {
			if p.Digests < last.Digests || p.Files < last.Files || p.Bytes < last.Bytes || p.Pending < 0 {
				t.Errorf("%+v behind %+v", p, last)
			}
			last = p
			calls++
		}
	})
	if calls != 12+36 || last != r.Checked || last.Pending != 0 || last.Traces == 0 {
		t.Errorf("%d calls, the last %+v, the report %+v", calls, last, r.Checked)
	}
}

func TestFindingText(t *testing.T) {
	f := digest.Finding{Kind: digest.FileChanged, Object: "x", Chain: strings.Repeat("0", 32), Seq: 3, Reason: "it is another one"}
	if got, want := f.String(), "damage: file-changed x (digest 3 of chain 0000000000000000): it is another one"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := fmt.Sprint(digest.Kind("new").Severity(), digest.ChainOpen.Severity(), digest.Unreadable.Severity(), digest.Severity(9)); got != "damage note failure Severity(9)" {
		t.Error(got)
	}
}

// TestVerifyWhileSealing reads the newest digest in the moment before its signature object
// is put.
func TestVerifyWhileSealing(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 2, hours: 3, files: 1, traces: 1})
	for i, want := range []found{{digest.SignatureMissing: 1}, {}} { // not the newest; the newest
		late := w.writers[0].sealed[1+i].Key + digest.SignatureSuffix
		var once sync.Once
		r, err := digest.Verify(context.Background(), &brokenBucket{w.bucket, func(_, key string) (err error) {
			if key == late {
				once.Do(func() { err = &obs.Error{Op: "get", Key: key, Err: obs.ErrNotExist} })
			}
			return err
		}}, &digest.VerifyOptions{Keys: []*digest.PublicKey{w.signer.Public()}})
		if err != nil {
			t.Fatal(err)
		}
		wantKinds(t, r, want)
	}
	key := w.writers[1].sealed[2].Key + digest.SignatureSuffix
	w.delete(key)
	if r := w.verify(nil); !has(r, digest.SignatureMissing, key) || r.OK() {
		t.Error(findings(r))
	}
}
