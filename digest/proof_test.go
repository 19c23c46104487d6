package digest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

// findTrace matches a trace by its id.
func findTrace(id string) func(trace []byte) bool {
	return func(trace []byte) bool { return bytes.Contains(trace, fmt.Appendf(nil, `"trace_id":"%s"`, id)) }
}

func TestProve(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 2, hours: 3, files: 2, traces: 5})
	keys := []*digest.PublicKey{w.options.otherSigner().Public(), w.signer.Public()}
	ctx := context.Background()
	for _, a := range w.writers {
		for hour := range a.sealed {
			for n, key := range a.files[hour] {
				for i := range 5 + n {
					id := fmt.Sprintf("%s-%d-%d-%d", a.chain.ID, hour, n, i)
					o := &digest.ProveOptions{Find: findTrace(id), Object: key}
					if i == 2 {
						o.Object = ""
					}
					p, trace, err := digest.Prove(ctx, w.bucket, o)
					if err != nil {
						t.Fatal(err)
					}
					if p.Object != key || p.Index != int64(i) || !o.Find(trace) {
						t.Errorf("proof of number %d of %s for %s: %s", p.Index, p.Object, id, trace)
					}
					again, err := digest.ParseProof(p.AppendJSON(nil))
					if err != nil {
						t.Fatal(err)
					}
					if err := again.Verify(append(trace, '\n'), keys); err != nil {
						t.Errorf("%s: %v", id, err)
					}
				}
			}
		}
	}
}

// TestProofRefuses changes a proof in every way that matters.
func TestProofRefuses(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1, hours: 2, files: 2, traces: 6})
	id := w.writers[0].chain.ID + "-1-0-3"
	p, trace, err := digest.Prove(context.Background(), w.bucket, &digest.ProveOptions{Find: findTrace(id)})
	if err != nil {
		t.Fatal(err)
	}
	keys := []*digest.PublicKey{w.signer.Public()}
	for name, c := range map[string]struct {
		change func(p *digest.Proof, trace *[]byte, keys *[]*digest.PublicKey)
		want   error
	}{
		"another trace":     {func(_ *digest.Proof, trace *[]byte, _ *[]*digest.PublicKey) { *trace = bytes.ToUpper(*trace) }, digest.ErrProof},
		"another index":     {func(p *digest.Proof, _ *[]byte, _ *[]*digest.PublicKey) { p.Index++ }, digest.ErrProof},
		"a negative index":  {func(p *digest.Proof, _ *[]byte, _ *[]*digest.PublicKey) { p.Index = -1 }, digest.ErrProof},
		"an index too high": {func(p *digest.Proof, _ *[]byte, _ *[]*digest.PublicKey) { p.Index = 6 }, digest.ErrProof},
		"another file":      {func(p *digest.Proof, _ *[]byte, _ *[]*digest.PublicKey) { p.Object = w.writers[0].files[1][1] }, digest.ErrProof},
		"a file elsewhere":  {func(p *digest.Proof, _ *[]byte, _ *[]*digest.PublicKey) { p.Object = w.writers[0].files[0][0] }, digest.ErrProof},
		"a shorter path":    {func(p *digest.Proof, _ *[]byte, _ *[]*digest.PublicKey) { p.Path = p.Path[1:] }, digest.ErrProof},
		"no path":           {func(p *digest.Proof, _ *[]byte, _ *[]*digest.PublicKey) { p.Path = nil }, digest.ErrProof},
		"another path": {func(p *digest.Proof, _ *[]byte, _ *[]*digest.PublicKey) {
			p.Path[0], p.Path[1] = p.Path[1], p.Path[0]
		}, digest.ErrProof},
		"no hex": {func(p *digest.Proof, _ *[]byte, _ *[]*digest.PublicKey) { p.Path[0] = "xx" }, digest.ErrProof},
		"another digest": {func(p *digest.Proof, _ *[]byte, _ *[]*digest.PublicKey) {
			p.Digest = w.writers[0].sealed[0].Bytes
		}, digest.ErrSignature},
		"a broken digest": {func(p *digest.Proof, _ *[]byte, _ *[]*digest.PublicKey) { p.Digest = p.Digest[1:] }, digest.ErrInvalid},
		"a genuine digest of CTS": {func(p *digest.Proof, _ *[]byte, _ *[]*digest.PublicKey) {
			p.Digest = []byte(`{"digest_object":"x","digest_end_time":"2017-03-28T01-09-17Z"}`)
		}, digest.ErrInvalid},
		"another signature": {func(p *digest.Proof, _ *[]byte, _ *[]*digest.PublicKey) {
			p.Signature = w.writers[0].sealed[0].Signature()
		}, digest.ErrSignature},
		"another key": {func(_ *digest.Proof, _ *[]byte, keys *[]*digest.PublicKey) {
			*keys = []*digest.PublicKey{nil, w.options.otherSigner().Public()}
		}, digest.ErrKey},
		"no key": {func(_ *digest.Proof, _ *[]byte, keys *[]*digest.PublicKey) { *keys = nil }, digest.ErrKey},
	} {
		t.Run(name, func(t *testing.T) {
			changed, err := digest.ParseProof(p.AppendJSON(nil))
			if err != nil {
				t.Fatal(err)
			}
			trace, keys := bytes.Clone(trace), keys
			c.change(changed, &trace, &keys)
			if err := changed.Verify(trace, keys); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

func TestProveFails(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1, hours: 3, files: 1, traces: 2})
	ctx := context.Background()
	a := w.writers[0]
	find := findTrace(a.chain.ID + "-1-0-1")
	if _, _, err := digest.Prove(ctx, w.bucket, nil); !errors.Is(err, digest.ErrInvalid) {
		t.Errorf("without options: %v", err)
	}
	for name, o := range map[string]digest.ProveOptions{
		"no such trace":  {Find: func([]byte) bool { return false }},
		"another file":   {Find: find, Object: a.files[0][0]},
		"another region": {Find: find, Region: "eu-nl"},
		"later":          {Find: find, From: w.begin.Add(150 * time.Minute)},
		"earlier":        {Find: find, To: w.begin.Add(90 * time.Minute)},
	} {
		if _, _, err := digest.Prove(ctx, w.bucket, &o); !errors.Is(err, digest.ErrNoTrace) {
			t.Errorf("%s: error %v, want ErrNoTrace", name, err)
		}
	}
	w.delete(a.sealed[1].Key + digest.SignatureSuffix) // the metadata has it too
	if _, _, err := digest.Prove(ctx, w.bucket, &digest.ProveOptions{Find: find}); err != nil {
		t.Error(err)
	}
	w.put(a.sealed[1].Key, a.sealed[1].Bytes, nil)
	if _, _, err := digest.Prove(ctx, w.bucket, &digest.ProveOptions{Find: find}); !errors.Is(err, digest.ErrNoTrace) || !errors.Is(err, digest.ErrSignature) {
		t.Errorf("without a signature: %v", err)
	}
	content, _ := w.get(a.files[1][0])
	w.put(a.files[1][0], append(content, 0), nil)
	if _, _, err := digest.Prove(ctx, w.bucket, &digest.ProveOptions{Find: find}); !errors.Is(err, digest.ErrNoTrace) || !errors.Is(err, digest.ErrInvalid) {
		t.Errorf("with a damaged file: %v", err)
	}
	broken := &brokenBucket{Client: w.bucket, fail: func(op, key string) error {
		if key == a.sealed[0].Key {
			return errBroken
		}
		return nil
	}}
	if _, _, err := digest.Prove(ctx, broken, &digest.ProveOptions{Find: find}); !errors.Is(err, errBroken) {
		t.Errorf("with a broken store: %v", err)
	}
}

func FuzzParseProof(f *testing.F) {
	w := newWorld(f, worldOptions{writers: 1, hours: 1, files: 1, traces: 3})
	p, trace, err := digest.Prove(context.Background(), w.bucket, &digest.ProveOptions{Find: func([]byte) bool { return true }})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.AppendJSON(nil), trace)
	f.Add([]byte(`{"version":1}`), []byte("{}"))
	f.Add([]byte(`{"version":2,"index":-1,"path":["00"]}`), []byte("{}"))
	keys := []*digest.PublicKey{w.signer.Public()}
	f.Fuzz(func(t *testing.T, content, other []byte) {
		got, err := digest.ParseProof(content)
		if err != nil {
			return
		}
		again, err := digest.ParseProof(got.AppendJSON(nil))
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		a, errA := json.Marshal(got)
		b, errB := json.Marshal(again)
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Fatalf("%s became %s", a, b)
		}
		if got.Verify(other, keys) == nil && (!bytes.Equal(bytes.TrimSpace(other), trace) || got.Object != p.Object || got.Index != p.Index) {
			t.Fatalf("holds for %q", other)
		}
	})
}

// readCounter counts the objects that are read.
type readCounter struct {
	obs.Client
	files, digests int
}

func (b *readCounter) Get(ctx context.Context, key string) (io.ReadCloser, obs.Object, error) {
	if info, _ := digest.ParseKey(key); info.Kind == digest.TraceFile {
		b.files++
	} else {
		b.digests++
	}
	return b.Client.Get(ctx, key)
}

// Whoever says when a trace was recorded, or where it is, does not wait for the whole bucket.
func TestProveReadsLittle(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 3, hours: 30, files: 3, traces: 1, trackers: []string{"system", "data", "system"}})
	a := w.writers[1]
	key := a.files[20][1]
	id := fmt.Sprintf("%s-20-1-0", a.chain.ID)
	info, _ := digest.ParseKey(key)
	for name, c := range map[string]struct {
		opts           digest.ProveOptions
		none           bool
		files, digests int // at most
	}{
		"everywhere":           {digest.ProveOptions{}, false, 300, 400},
		"time":                 {digest.ProveOptions{Recorded: info.Time.Time()}, false, 4, 8},
		"time before":          {digest.ProveOptions{Recorded: info.Time.Time().Add(-20 * time.Minute)}, false, 8, 10},
		"time and tracker":     {digest.ProveOptions{Recorded: info.Time.Time(), Tracker: "data"}, false, 1, 8},
		"tracker":              {digest.ProveOptions{Tracker: info.Tracker, Service: info.Service}, false, 25, 100},
		"another tracker":      {digest.ProveOptions{Tracker: "system"}, true, 200, 200},
		"another service":      {digest.ProveOptions{Service: "OBS"}, true, 0, 200},
		"file":                 {digest.ProveOptions{Object: key}, false, 1, 65},
		"another file":         {digest.ProveOptions{Object: a.files[20][0]}, true, 1, 65},
		"too late":             {digest.ProveOptions{Recorded: info.Time.Time().Add(2 * time.Minute)}, true, 12, 12}, // the chains are complete beyond it soon
		"no such file":         {digest.ProveOptions{Object: a.files[20][0] + "x"}, true, 0, 200},
		"file, and after that": {digest.ProveOptions{Object: key, Recorded: info.Time.Time().Add(-20 * time.Minute)}, false, 1, 12},
	} {
		b := &readCounter{Client: w.bucket}
		c.opts.Find = findTrace(id)
		p, _, err := digest.Prove(t.Context(), b, &c.opts)
		if c.none != errors.Is(err, digest.ErrNoTrace) || !c.none && (err != nil || p.Object != key) {
			t.Errorf("%s: %v", name, err)
		}
		if b.files > c.files || b.digests > c.digests {
			t.Errorf("%s: %d trace files and %d digests were read", name, b.files, b.digests)
		}
	}
}
