package digest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs/memobs"
)

// genuine is a bucket as CTS makes it: folders that are not padded, MD5, RSA, no
// extension, and signatures in the metadata alone. Before the digest with the index pause,
// if it is not 0, validation was off for five hours.
func genuine(t *testing.T, signer *digest.Signer, pause int) (w *world, keys, files []string) {
	t.Helper()
	w = &world{tb: t, now: worldBegin, begin: worldBegin, signer: signer}
	w.bucket = memobs.New(&memobs.Options{Now: func() time.Time { return w.now }})
	previous := &digest.Digest{}
	var previousHash, signature string
	for i := range 6 {
		if i > 0 && i == pause {
			w.now = w.now.Add(5 * time.Hour)
			previous, previousHash, signature = &digest.Digest{}, "", ""
		}
		start := digest.StampOf(w.now)
		w.now = w.now.Add(time.Hour)
		folder := fmt.Sprintf("CloudTraces/eu-de/%d/%d/%d/system/", w.now.Year(), w.now.Month(), w.now.Day())
		file := folder + fmt.Sprintf("ECS/my_CloudTrace_eu-de_%v_%016x.json.gz", digest.StampOf(w.now.Add(-10*time.Minute)), i)
		stored := zip(t, traceContent(2, file))
		w.put(file, stored, nil)
		md5, _ := digest.Hash(digest.MD5, stored)
		d := &digest.Digest{
			Start: start, End: digest.StampOf(w.now), Bucket: "trail",
			Object:             folder + "Digest/ECS/my_CloudTrace-Digest_eu-de_" + digest.StampOf(w.now).String() + ".json.gz",
			SignatureAlgorithm: digest.RSA, PreviousObject: previous.Object, PreviousHash: previousHash, PreviousSignature: signature,
			Files:  []digest.File{{Bucket: "trail", Object: file, Hash: md5, HashAlgorithm: digest.MD5}},
			Ending: i+1 == pause,
		}
		if previous.Object != "" {
			d.PreviousBucket, d.PreviousHashAlgorithm = "trail", digest.MD5
		}
		content, err := json.MarshalIndent(d, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		compressed := zip(t, content)
		message, err := d.SigningString(compressed)
		if err != nil {
			t.Fatal(err)
		}
		if signature, err = signer.Sign([]byte(message)); err != nil {
			t.Fatal(err)
		}
		w.put(d.Object, compressed, map[string]string{digest.MetaSignature: signature, digest.MetaSignatureAlgorithm: digest.RSA})
		previousHash, _ = digest.Hash(digest.MD5, compressed)
		previous = d
		keys, files = append(keys, d.Object), append(files, file)
	}
	return w, keys, files
}

func TestVerifyGenuine(t *testing.T) {
	signer, err := digest.GenerateKey(digest.RSA, 2048)
	if err != nil {
		t.Fatal(err)
	}
	w, keys, files := genuine(t, signer, 0)
	r := w.verify(nil)
	wantKinds(t, r, found{})
	if len(r.Chains) != 1 || r.Checked.Files != 6 || !r.OK() {
		t.Fatalf("%+v\n%s", r.Checked, findings(r))
	}
	wantKinds(t, w.verify(func(o *digest.VerifyOptions) { o.From = w.begin.Add(3 * time.Hour) }), found{})

	content, o := w.get(files[1])
	w.put(files[1], append(bytes.Clone(content), 0), nil)
	wantKinds(t, w.verify(nil), found{digest.FileChanged: 1})
	w.put(files[1], content, o.Metadata)

	w.delete(files[2])
	wantKinds(t, w.verify(nil), found{digest.FileDeleted: 1})
	w.put(files[2], zip(t, traceContent(2, files[2])), nil)

	w.delete(keys[3])
	r = w.verify(nil)
	if !has(r, digest.DigestDeleted, keys[3]) {
		t.Error(findings(r))
	}
	r = w.verify(func(o *digest.VerifyOptions) { o.From = w.begin.Add(4*time.Hour + time.Minute) })
	if !has(r, digest.DigestDeleted, keys[3]) {
		t.Error(findings(r))
	}
	wantKinds(t, w.verify(func(o *digest.VerifyOptions) { o.To = w.begin.Add(3 * time.Hour) }), found{})
}

// TestVerifyGenuinePause has a chain of CTS that was ended and begun again: it is one by its
// name.
func TestVerifyGenuinePause(t *testing.T) {
	w, keys, _ := genuine(t, rsaSigner(t), 3)
	off := traceContent(1, "off")
	key := fileKey("system", "ECS", w.begin.Add(5*time.Hour), off)
	w.put(key, zip(t, off), nil)
	forged := traceContent(1, "forged")
	added := fileKey("system", "ECS", w.begin.Add(90*time.Minute), forged)
	w.put(added, zip(t, forged), nil)
	r := w.verify(nil)
	wantKinds(t, r, found{digest.FileUnvalidated: 1, digest.FileAdded: 1})
	if !has(r, digest.FileUnvalidated, key) || !has(r, digest.FileAdded, added) || r.Chains[0].Ended {
		t.Error(findings(r))
	}
	w.delete(added, keys[2]) // the ending one
	if r := w.verify(nil); r.OK() {
		t.Error(findings(r))
	}
}

// TestVerifyPlaces has two regions, one of them with a folder for a project, and date
// folders that are padded and not.
func TestVerifyPlaces(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1, hours: 5, files: 1, traces: 1})
	one := w.writers[0]
	other := w.addWriter("other", "system", 0)
	other.layout.Root, other.layout.Region = "CloudTraces/eu-nl/eu-nl-project", "eu-nl-project"
	w.cut(other, digest.StampOf(w.now), false)
	wantKinds(t, w.verify(nil), found{})
	if r := w.verify(func(o *digest.VerifyOptions) { o.Region = "eu-nl/eu-nl-project" }); len(r.Chains) != 1 || r.Chains[0].Writer != "other" {
		t.Errorf("%+v", r.Chains)
	}
	w.put("CloudTraces/eu-de/2026/03/28/system/notes.txt", []byte("x"), nil)
	w.put("CloudTraces/eu-de/2026/13/01/system/notes.txt", []byte("x"), nil)
	w.put("CloudTraces/eu-de/Complete/x.json", []byte("{}"), nil)
	w.put("CloudTraces/readme.txt", []byte("x"), nil)
	wantKinds(t, w.verify(nil), found{digest.Foreign: 1})

	forged := traceContent(1, "forged")
	key := "CloudTraces/eu-de/2026/3/28/system/ECS/" + fileKey("system", "ECS", w.begin.Add(time.Hour), forged)[len(worldRoot+"/2026/03/28/system/ECS/"):]
	w.put(key, zip(t, forged), nil)
	if r := w.verify(nil); !has(r, digest.FileAdded, key) || has(r, digest.FileAdded, one.files[0][0]) {
		t.Error(findings(r))
	}
}

// TestVerifyNewerRelease has a digest of a version that this release does not know.
func TestVerifyNewerRelease(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1, hours: 3, files: 1, traces: 1})
	key := w.writers[0].sealed[2].Key
	stored, o := w.get(key)
	d, err := digest.Read(stored)
	if err != nil {
		t.Fatal(err)
	}
	d.Extension.Version++
	content, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	w.put(key, zip(t, content), o.Metadata)
	if r := w.verify(nil); !has(r, digest.Unsupported, key) || r.OK() {
		t.Error(findings(r))
	}
}

// FuzzVerify verifies a bucket into which anything was put under names that mean
// something. Digests are signed with the right key, so that they count.
func FuzzVerify(f *testing.F) {
	w := newWorld(f, worldOptions{writers: 2, hours: 3, files: 1, traces: 1})
	a := w.writers[0]
	last := a.sealed[2]
	content, err := digest.Read(last.Bytes)
	if err != nil {
		f.Fatal(err)
	}
	seed, err := json.Marshal(content)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, "", []byte("x"))
	f.Add(bytes.Replace(seed, []byte(`"seq":3`), []byte(`"seq":9007199254740993`), 1), a.files[2][0], []byte("[{}]"))
	f.Add(bytes.Replace(seed, []byte(`"count":1`), []byte(`"count":7`), 2), a.files[1][0], []byte("[]"))
	f.Add([]byte(`{"digest_object":"x","digest_end_time":"2026-03-28T01-09-17Z","log_files":[{"object":"../x"},{}]}`), a.sealed[1].Key+digest.SignatureSuffix, []byte("{}"))
	f.Fuzz(func(t *testing.T, forged []byte, key string, object []byte) {
		b := memobs.New(&memobs.Options{Now: func() time.Time { return w.now }})
		fresh, source := *w, *w
		fresh.tb, source.tb, fresh.bucket = t, t, b
		for _, k := range source.keys() {
			c, o := source.get(k)
			fresh.put(k, c, o.Metadata)
		}
		if key != "" {
			if _, err := b.Put(context.Background(), key, bytes.NewReader(object), nil); err != nil {
				return
			}
		}
		stored := zip(t, forged)
		metadata := map[string]string{digest.MetaSignature: "00"}
		if d, err := digest.Read(stored); err == nil {
			if message, err := d.SigningString(stored); err == nil {
				if signature, err := w.signer.Sign([]byte(message)); err == nil {
					metadata = map[string]string{
						digest.MetaSignature: signature, digest.MetaSignatureAlgorithm: digest.Ed25519, digest.MetaKeyID: w.signer.KeyID(),
					}
				}
			}
		}
		fresh.put(last.Key, stored, metadata)
		r := fresh.verify(func(o *digest.VerifyOptions) { o.Heads = w.heads() })
		if !bytes.Equal(forged, seed) && r.OK() {
			t.Errorf("nothing found of %q", forged)
		}
	})
}
