package digest_test

import (
	"fmt"
	"testing"

	"github.com/cloudtraceservice/cts/digest"
)

func TestVerifyUntouched(t *testing.T) {
	for name, o := range map[string]worldOptions{
		"three chains":            {writers: 3, hours: 6, files: 2, traces: 3},
		"one chain":               {writers: 1, hours: 6, files: 3, traces: 1},
		"empty hours":             {writers: 2, hours: 4, traces: 1},
		"two trackers":            {writers: 4, hours: 5, files: 2, traces: 2, trackers: []string{"system", "data"}},
		"MD5":                     {writers: 2, hours: 3, files: 2, traces: 2, hash: digest.MD5},
		"without complete_to":     {writers: 3, hours: 5, files: 2, traces: 2, withoutComplete: true},
		"without others' heads":   {writers: 3, hours: 5, files: 2, traces: 2, withoutHeads: true},
		"more days than it lists": {writers: 2, hours: 75, files: 1, traces: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, o)
			r := w.verify(func(v *digest.VerifyOptions) { v.Heads, v.BucketName = w.heads(), "trail" })
			wantKinds(t, r, map[digest.Kind]int{})
			if !r.OK() || len(r.Chains) != o.writers {
				t.Errorf("OK %v, %d chains", r.OK(), len(r.Chains))
			}
			want := digest.Progress{Digests: int64(o.writers * o.hours), Files: int64(o.writers * o.hours * o.files)}
			if c := r.Checked; c.Digests != want.Digests || c.Files != want.Files || c.Pending != 0 {
				t.Errorf("checked %+v, want %+v", c, want)
			}
			for _, c := range r.Chains {
				if !c.Open || c.Ended || c.Digests != int64(o.hours) || c.Head.Seq != int64(o.hours) {
					t.Errorf("chain %+v", c)
				}
			}
		})
	}
}

// tampering is one change of the bucket and what Verify must say of it.
type tampering struct {
	name  string
	do    func(w *world) (object string) // what the finding is about
	kind  digest.Kind
	heads bool // only heads that were kept elsewhere show it
}

var tamperings = []tampering{
	{"flip a bit of a trace file", func(w *world) string {
		key := w.writers[0].files[2][0]
		content, o := w.get(key)
		content[len(content)/2] ^= 1
		w.put(key, content, o.Metadata)
		return key
	}, digest.FileChanged, false},
	{"cut a trace file short", func(w *world) string {
		key := w.writers[1].files[0][1]
		content, o := w.get(key)
		w.put(key, content[:len(content)-5], o.Metadata)
		return key
	}, digest.FileTruncated, false},
	{"append to a trace file", func(w *world) string {
		key := w.writers[1].files[0][1]
		content, o := w.get(key)
		w.put(key, append(content, 0), o.Metadata)
		return key
	}, digest.FileChanged, false},
	{"delete a trace file", func(w *world) string {
		key := w.writers[2].files[5][1]
		w.delete(key)
		return key
	}, digest.FileDeleted, false},
	{"rename a trace file", func(w *world) string {
		key := w.writers[2].files[3][1]
		w.rename(key, key[:len(key)-len("0.json.gz")]+"f.json.gz")
		return key
	}, digest.FileMoved, false},
	{"move a trace file to another day", func(w *world) string {
		key := w.writers[2].files[0][1]
		w.rename(key, worldRoot+"/2026/3/29"+key[len(worldRoot+"/2026/03/28"):])
		return key
	}, digest.FileMoved, false},
	{"add a trace file", func(w *world) string {
		content := traceContent(2, "forged")
		key := fileKey("system", "ECS", w.begin.Add(100*60e9), content)
		w.put(key, zip(w.tb, content), nil)
		return key
	}, digest.FileAdded, false},
	{"copy a trace file", func(w *world) string {
		key := w.writers[0].files[1][0]
		content, _ := w.get(key)
		key = key[:len(key)-len("0000000000000000.json.gz")] + "0000000000000000.json.gz"
		w.put(key, content, nil)
		return key
	}, digest.FileAdded, false},
	{"add a file with another name", func(w *world) string {
		key := worldRoot + "/2026/03/28/system/ECS/more.json"
		w.put(key, traceContent(2, "forged"), nil)
		return key
	}, digest.FileAdded, false},
	{"flip a bit of a digest", func(w *world) string {
		key := w.writers[0].sealed[2].Key
		content, o := w.get(key)
		content[len(content)/2] ^= 1
		w.put(key, content, o.Metadata)
		return key
	}, digest.DigestChanged, false},
	{"empty the newest digest", func(w *world) string {
		key := w.writers[0].sealed[5].Key
		w.put(key, nil, nil)
		return key
	}, digest.DigestChanged, false},
	{"delete a digest", func(w *world) string {
		key := w.writers[1].sealed[3].Key
		w.delete(key, key+digest.SignatureSuffix)
		return key
	}, digest.DigestDeleted, false},
	{"delete the first digest", func(w *world) string {
		key := w.writers[1].sealed[0].Key
		w.delete(key, key+digest.SignatureSuffix)
		return key
	}, digest.DigestDeleted, false},
	{"rename a digest", func(w *world) string {
		key := w.writers[1].sealed[3].Key
		to := worldRoot + "/2026/03/28/system/Digest/other_" + key[len(worldRoot+"/2026/03/28/system/Digest/"):]
		w.rename(key, to)
		return to
	}, digest.DigestMoved, false},
	{"copy a digest", func(w *world) string {
		key := w.writers[1].sealed[3].Key
		content, o := w.get(key)
		to := worldRoot + "/2026/03/28/system/Digest/copy_" + key[len(worldRoot+"/2026/03/28/system/Digest/"):]
		w.put(to, content, o.Metadata)
		return to
	}, digest.DigestMoved, false},
	{"replay an old digest", func(w *world) string {
		content, o := w.get(w.writers[0].sealed[1].Key)
		key := w.writers[0].sealed[4].Key
		w.put(key, content, o.Metadata)
		return key
	}, digest.DigestMoved, false},
	{"delete a signature object", func(w *world) string {
		key := w.writers[1].sealed[3].Key + digest.SignatureSuffix
		w.delete(key)
		return key
	}, digest.SignatureMissing, false},
	{"delete all signatures of a digest", func(w *world) string {
		key := w.writers[1].sealed[3].Key
		content, _ := w.get(key)
		w.put(key, content, nil)
		w.delete(key + digest.SignatureSuffix)
		return key
	}, digest.SignatureMissing, false},
	{"swap signature objects", func(w *world) string {
		a, b := w.writers[1].sealed[3].Key+digest.SignatureSuffix, w.writers[1].sealed[4].Key+digest.SignatureSuffix
		contentA, _ := w.get(a)
		contentB, _ := w.get(b)
		w.put(a, contentB, nil)
		w.put(b, contentA, nil)
		return a
	}, digest.SignatureWrong, false},
	{"change a signature in the metadata", func(w *world) string {
		key := w.writers[1].sealed[3].Key
		content, o := w.get(key)
		o.Metadata[digest.MetaSignature] = "00" + o.Metadata[digest.MetaSignature][2:]
		w.put(key, content, o.Metadata)
		return key
	}, digest.SignatureWrong, false},
	{"sign a digest with another key", func(w *world) string {
		return w.resign(1, 3, w.options.otherSigner())
	}, digest.KeyUnknown, false},
	{"delete the newest digest of a chain that others have seen", func(w *world) string {
		key := w.writers[0].sealed[5].Key
		w.delete(key, key+digest.SignatureSuffix)
		return key
	}, digest.DigestDeleted, false},
	{"delete the newest digest of all", func(w *world) string {
		key := w.writers[2].sealed[5].Key
		w.delete(key, key+digest.SignatureSuffix)
		return key
	}, digest.DigestDeleted, true},
	{"delete a whole chain", func(w *world) string {
		for _, s := range w.writers[0].sealed {
			w.delete(s.Key, s.Key+digest.SignatureSuffix)
		}
		return w.writers[0].sealed[5].Key
	}, digest.ChainDeleted, false},
	{"go back to an older bucket", func(w *world) string {
		for _, a := range w.writers {
			for i, s := range a.sealed[2:] {
				w.delete(s.Key, s.Key+digest.SignatureSuffix)
				w.delete(a.files[2+i]...)
			}
		}
		return w.writers[1].sealed[5].Key
	}, digest.DigestDeleted, true},
	{"delete all chains", func(w *world) string {
		for _, a := range w.writers {
			for _, s := range a.sealed {
				w.delete(s.Key, s.Key+digest.SignatureSuffix)
			}
		}
		return w.writers[1].sealed[5].Key
	}, digest.ChainDeleted, true},
}

// otherSigner returns a key that nobody trusts.
func (worldOptions) otherSigner() *digest.Signer {
	s, err := digest.GenerateKey(digest.Ed25519, 0)
	if err != nil {
		panic(err)
	}
	return s
}

// resign replaces a digest by one with the same content under another key.
func (w *world) resign(writer, i int, signer *digest.Signer) string {
	w.tb.Helper()
	a := w.writers[writer]
	stored, _ := w.get(a.sealed[i].Key)
	d, err := digest.Read(stored)
	if err != nil {
		w.tb.Fatal(err)
	}
	x := d.Extension
	c := &digest.Chain{ID: x.Chain, Writer: x.Writer, Tracker: x.Tracker, Start: d.Start}
	if i > 0 {
		last := a.sealed[i-1].Last
		c.Last = &last
	}
	for i, f := range x.Files {
		c.Add(digest.PendingFile{Object: d.Files[i].Object, Count: f.Count, Root: f.Root, Size: f.Size, SHA256: f.SHA256, Delivered: d.Start})
	}
	s, err := c.Cut(&digest.CutOptions{End: d.End, Signer: signer, Layout: a.layout, Bucket: d.Bucket, Heads: x.Heads})
	if err != nil {
		w.tb.Fatal(err)
	}
	w.delete(s.Key, s.Key+digest.SignatureSuffix)
	if err := s.Put(w.tb.Context(), w.bucket); err != nil {
		w.tb.Fatal(err)
	}
	return s.Key
}

func TestVerifyTampering(t *testing.T) {
	for _, c := range tamperings {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, worldOptions{writers: 3, hours: 6, files: 2, traces: 3})
			heads := w.heads()
			object := c.do(w)
			r := w.verify(nil)
			if c.heads {
				if kinds(r)[c.kind] > 0 {
					t.Errorf("found without heads:\n%s", findings(r))
				}
				r = w.verify(func(o *digest.VerifyOptions) { o.Heads = heads })
			}
			if !has(r, c.kind, object) || r.OK() {
				t.Errorf("no %s about %s:\n%s", c.kind, object, findings(r))
			}
			t.Log("\n" + findings(r))
		})
	}
}

func TestVerifySeveralDigestsInARow(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 2, hours: 8, files: 1, traces: 1})
	for _, i := range []int{2, 3, 4} {
		key := w.writers[0].sealed[i].Key
		w.delete(key, key+digest.SignatureSuffix)
		w.delete(w.writers[0].files[i]...)
	}
	r := w.verify(nil)
	wantKinds(t, r, map[digest.Kind]int{digest.DigestDeleted: 3})
	for i, f := range r.Findings[:3] {
		if f.Chain != w.writers[0].chain.ID {
			t.Errorf("finding %d: %v", i, f)
		}
	}
	seqs := fmt.Sprint(r.Findings[0].Seq, r.Findings[1].Seq, r.Findings[2].Seq)
	if seqs != "3 4 5" {
		t.Errorf("digests %s are missing, want 3 4 5", seqs)
	}
}
