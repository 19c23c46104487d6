package cts_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs"
)

// deny makes every call with one of the verbs fail with obs.ErrDenied.
func (w *dumpWorld) deny(verbs ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = func(_ int, call string) dumpFault {
		for _, verb := range verbs {
			if strings.HasPrefix(call, verb+" ") {
				return dumpFault{err: obs.ErrDenied}
			}
		}
		return dumpFault{}
	}
}

// Where the bucket reports the hash of what it stored, nothing is read back.
func TestDumpTakesTheHashOfTheBucket(t *testing.T) {
	w := newDumpWorld()
	w.vouches = true
	w.add(t, sevenTraces...)
	if err := w.dumper(t, smallCycles).Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.check(t)
	const want = "load after plan put put put checkpoint after plan put put checkpoint"
	if got := w.verbs(); got != want {
		t.Errorf("calls:\n got %s\nwant %s", got, want)
	}
	killed, _ := killedAt(t, "put", 2, true, smallCycles)
	killed.vouches, killed.calls = true, nil
	killed.deny("get")
	d := killed.dumper(t, smallCycles)
	if err := d.Flush(t.Context()); err != nil || d.Status().Unread != 0 {
		t.Errorf("objects that were there: %v, %+v", err, d.Status())
	}
	killed.check(t)
}

// A writer without the right to read: with a bucket that reports hashes it needs none,
// otherwise only TrustPut makes do; an object that is there under the name is the file.
func TestDumpWithoutTheRightToRead(t *testing.T) {
	for _, test := range []struct {
		name           string
		vouches, trust bool
		unread         int64
		fails          bool
	}{
		{name: "hash", vouches: true},
		{name: "nothing", fails: true},
		{name: "trust", trust: true, unread: 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newDumpWorld()
			w.vouches = test.vouches
			w.add(t, sevenTraces...)
			w.deny("head", "get")
			d := w.dumper(t, &cts.DumperOptions{TrustPut: test.trust, Workers: 1})
			err := d.Flush(t.Context())
			if st := d.Status(); errors.Is(err, obs.ErrDenied) != test.fails || st.Unread != test.unread {
				t.Fatalf("Flush: %v, status %+v", err, st)
			}
			if test.fails && d.Status().Detail != cts.DetailBucketPolicy {
				t.Errorf("status %+v", d.Status())
			}
			if test.fails { // the next try finds the objects there, complete
				if err := d.Flush(t.Context()); err != nil || d.Status().Unread != 3 {
					t.Errorf("Flush again: %v, %+v", err, d.Status())
				}
			}
			w.check(t)
		})
	}
}

// An object of another release, which compressed in another way, is taken for what it is
// when it can be read, and for what its name says when it can't.
func TestDumpOfAnObjectThatCannotBeRead(t *testing.T) {
	w, _ := killedAt(t, "put", 2, true, smallCycles)
	w.deny("head", "get")
	d := w.dumper(t, smallCycles)
	if err := d.Flush(t.Context()); err == nil || d.Status().Unread != 2 {
		t.Errorf("two files were there, the third can't be verified: %v, %+v", err, d.Status())
	}
	w.mend()
	if err := d.Flush(t.Context()); err != nil || d.Status().Unread != 2 {
		t.Errorf("when reading is allowed: %v, %+v", err, d.Status())
	}
	w.check(t)
}

// A put that the store reports to have stored something else is not believed, whatever
// it is that was stored.
func TestDumpOfAPutThatStoresSomethingElse(t *testing.T) {
	w := newDumpWorld()
	w.add(t, sevenTraces...)
	bucket := &spoilingBucket{Client: w.objects, spoil: true}
	d, err := cts.NewDumper(w, bucket, &cts.DumperOptions{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Flush(t.Context()); !errors.Is(err, obs.ErrChecksum) || d.Status().Position != 0 {
		t.Errorf("Flush: %v, %+v", err, d.Status())
	}
	bucket.spoil = false
	if err := d.Flush(t.Context()); err != nil || d.Status().Conflicts != 3 {
		t.Errorf("Flush again: %v, %+v", err, d.Status())
	}
	for _, key := range bucket.spoilt {
		w.remove(t, key)
	}
	w.check(t)
}

// spoilingBucket changes a byte of everything that is put.
type spoilingBucket struct {
	obs.Client
	spoil  bool
	spoilt []string
}

func (b *spoilingBucket) Put(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
	if !b.spoil {
		return b.Client.Put(ctx, key, body, opts)
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return obs.Object{}, err
	}
	content[len(content)-1] ^= 1
	o := *opts
	o.SHA256 = nil
	b.spoilt = append(b.spoilt, key)
	return b.Client.Put(ctx, key, strings.NewReader(string(content)), &o)
}

// A file was delivered, the process killed, and then all or one of its traces became
// unreadable: it is sealed all the same, as it is in the bucket.
func TestDumpSealsWhatItCannotReadAnyMore(t *testing.T) {
	signer, err := digest.GenerateKey(digest.Ed25519, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]cts.Position{"all": {1, 4}, "one": {4}} {
		opts := *smallCycles
		opts.Validation = &cts.ValidationOptions{Signer: signer}
		w, _ := killedAt(t, "put", 2, true, &opts)
		for _, pos := range damaged {
			w.damaged[pos] = true
		}
		d := w.dumper(t, &opts)
		if err := d.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.ids(t); len(got) != 7 {
			t.Errorf("%s: in the bucket %v", name, got)
		}
		report, err := digest.Verify(t.Context(), w.objects, &digest.VerifyOptions{Keys: []*digest.PublicKey{signer.Public()}})
		if err != nil || !report.OK() || report.Checked.Traces != 7 {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
	}
}
