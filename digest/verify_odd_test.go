package digest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts/digest"
)

// What random tampering has shown once: a signature object whose digest is gone too is
// damage of its own, and where it is gone as well, the missing digest is what is reported.
func TestVerifyOrphanedSignature(t *testing.T) {
	for name, tamper := range map[string]func(w *world, key string){
		"left": func(*world, string) {},
		"flipped": func(w *world, key string) {
			content, _ := w.get(key)
			content[len(content)/2] ^= 1
			w.put(key, content, nil)
		},
		"emptied": func(w *world, key string) { w.put(key, nil, nil) },
		"removed": func(w *world, key string) { w.delete(key) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, worldOptions{writers: 3, hours: 6, files: 2, traces: 2})
			heads := w.heads()
			for i, a := range w.writers { // the first digest of the last chain, and the last five of all
				for j, s := range a.sealed {
					if j > 0 {
						w.delete(s.Key, s.Key+digest.SignatureSuffix)
					} else if i == 2 {
						w.delete(s.Key)
						tamper(w, s.Key+digest.SignatureSuffix)
					}
				}
			}
			r := w.verify(func(o *digest.VerifyOptions) { o.Heads = heads })
			signature := w.writers[2].sealed[0].Key + digest.SignatureSuffix
			if got := has(r, digest.SignatureAdded, signature); got != (name != "removed") {
				t.Errorf("reported: %v\n%s", got, findings(r))
			}
			if k := kinds(r); k[digest.ChainDeleted] != 1 || k[digest.DigestDeleted] != 10 {
				t.Errorf("%v\n%s", k, findings(r))
			}
		})
	}
}

// A signature object that was put after its digest had been passed by is no orphan, and one
// whose digest has expired is none either.
func TestVerifyOrphanedSignatureIsNone(t *testing.T) {
	w := newWorld(t, worldOptions{writers: 1, hours: 4, files: 1, traces: 1})
	first := w.writers[0].sealed[0]
	w.delete(first.Key)
	w.delete(w.writers[0].files[0]...)
	r := w.verify(func(o *digest.VerifyOptions) { o.Retention = 3*time.Hour + 10*time.Minute })
	if !has(r, digest.Expired, first.Key+digest.SignatureSuffix) || !r.OK() {
		t.Errorf("expired:\n%s", findings(r))
	}
	r = w.verify(func(o *digest.VerifyOptions) { o.Retention = 30 * time.Hour })
	if !has(r, digest.SignatureAdded, first.Key+digest.SignatureSuffix) || r.OK() {
		t.Errorf("deleted:\n%s", findings(r))
	}
}

// Places that a reader of trace files looks into are looked into here too, and names that
// no writer gives to a new file don't pass as files whose digest is still to come.
func TestVerifyOddPlaces(t *testing.T) {
	const name = "/system/ECS/CloudTrace_eu-de_%s_0123456789abcdef.json.gz"
	for place, want := range map[string]digest.Kind{
		worldRoot + "/2026/2026/03/28" + fmt.Sprintf(name, "2026-03-28T22-00-00Z"): digest.FileUnproven, // a project that is called like a year
		worldRoot + "/2026/04/28" + fmt.Sprintf(name, "2026-03-28T22-00-00Z"):      digest.FileAdded,
		worldRoot + "/2026/04/28" + fmt.Sprintf(name, "2026-04-28T22-00-00Z"):      digest.FileAdded,
		worldRoot + "/2027/03/28" + fmt.Sprintf(name, "2026-03-28T23-59-00Z"):      digest.FileAdded,
	} {
		w := newWorld(t, worldOptions{writers: 2, hours: 4, files: 1, traces: 1})
		w.put(place, zip(t, traceContent(1, "odd")), nil)
		if info, ok := digest.ParseKey(place); !ok || info.Kind != digest.TraceFile {
			t.Errorf("%s: no reader takes it: %+v", place, info)
		}
		if r := w.verify(nil); !has(r, want, place) || r.OK() {
			t.Errorf("%s:\n%s", place, findings(r))
		}
	}
}

// A copy of everything under another name proves nothing, and is no clean bucket.
func TestVerifyCopiedRoot(t *testing.T) {
	for name, c := range map[string]struct {
		to    string
		kinds []digest.ObjectKind
		want  map[digest.Kind]int
	}{
		"all":         {"CloudTraces/eu-nl", anyKind, found{digest.DigestMoved: 8, digest.FileUnproven: 8}},
		"a project":   {worldRoot + "/project", anyKind, found{digest.DigestMoved: 8, digest.FileUnproven: 8}},
		"files":       {"CloudTraces/eu-nl", anyKind[:1], found{digest.FileUnproven: 8}},
		"signatures":  {"CloudTraces/eu-nl", anyKind[2:], found{digest.SignatureAdded: 8}},
		"not digests": {"CloudTraces/eu-nl", []digest.ObjectKind{digest.TraceFile, digest.SignatureFile}, found{digest.FileUnproven: 8, digest.SignatureAdded: 8}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, worldOptions{writers: 2, hours: 4, files: 1, traces: 1})
			for _, key := range w.keys() {
				if info, _ := digest.ParseKey(key); slices.Contains(c.kinds, info.Kind) {
					content, o := w.get(key)
					w.put(c.to+strings.TrimPrefix(key, worldRoot), content, o.Metadata)
				}
			}
			r := w.verify(nil)
			wantKinds(t, r, c.want)
			if r.OK() {
				t.Error("the report is clean")
			}
			wantKinds(t, w.verify(func(o *digest.VerifyOptions) { o.Region = "eu-de" }), found{})
		})
	}
}
