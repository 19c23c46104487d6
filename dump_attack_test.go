package cts_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/digest"
	"github.com/cloudtraceservice/cts/obs/dirobs"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// The clock jumps by up to days, forth and back, between calls that fail and processes
// that are killed: every trace is in the bucket once, and the digests prove it.
func TestDumpWhileTheClockJumps(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 23))
		w := newSealWorld(t)
		w.opts.Workers = 1
		d := w.start(t)
		latest := w.now
		for range 20 {
			for range r.IntN(4) {
				w.add(t, []string{"system/ECS", "system/EVS", "data/OBS"}[r.IntN(3)])
			}
			jump := time.Duration(r.IntN(7200)) * time.Second
			switch r.IntN(6) {
			case 0:
				jump = -time.Duration(r.IntN(86400)) * time.Second
			case 1:
				jump = time.Duration(r.IntN(43200)) * time.Second
			}
			if w.now = w.now.Add(jump); w.now.After(latest) {
				latest = w.now
			}
			w.fault = func(_ int, call string) dumpFault {
				if r.IntN(20) > 0 {
					return dumpFault{}
				}
				return dumpFault{err: errBroken, done: r.IntN(2) == 0, kill: r.IntN(3) == 0}
			}
			_ = d.Flush(t.Context())
			if w.dead {
				w.mend()
				d = w.start(t)
			}
		}
		w.mend()
		w.now = latest.Add(time.Hour)
		w.sealAll(t, d)
		w.checkSealed(t)
		report, err := digest.Verify(t.Context(), w.objects, &digest.VerifyOptions{Keys: []*digest.PublicKey{sealSigner(t).Public()}, AsOf: w.now})
		if err != nil || !report.OK() || int(report.Checked.Traces) != w.made {
			t.Fatalf("seed %d: Verify: %v, %+v", seed, err, report)
		}
	}
}

// names that mean something to paths, to file systems or to the layout.
var hostileNames = []string{
	"..", ".", "../../etc/passwd", "a/b", "a//b", "/", `a\b`, "a:b", "CON", "nul.txt", "Digest", "digest", "Complete", "%", "%2F", "é", "日本", "e\u0301",
	"a b", " ", "a\nb", "\x00", "a\u202eb", "~", "-rf", "*", "?", "'\"", strings.Repeat("x", 199), strings.Repeat("x", 201), strings.Repeat("é", 4000), ".meta", ".tmp-x",
}

// Whatever trackers and services are called, their files stay in the bucket's folder,
// apart from each other, and are read and proven.
func TestDumpHostileNamesIntoAFolder(t *testing.T) {
	store := memstore.New(nil)
	n := 0
	for _, name := range hostileNames {
		for _, tr := range []cts.Trace{{TrackerName: name, ServiceType: "ECS"}, {TrackerName: "system", ServiceType: name}, {TrackerName: name, ServiceType: name}} {
			n++
			tr.ID, tr.Time, tr.RecordTime, tr.Name = fmt.Sprint("trace-", n), cts.MinTime, cts.MinTime, "x"
			if _, err := store.Append(t.Context(), []cts.Entry{{Trace: &tr}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	root := t.TempDir()
	bucket, err := dirobs.Open(root+"/bucket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	d, err := cts.NewDumper(store, bucket, &cts.DumperOptions{Validation: &cts.ValidationOptions{Signer: sealSigner(t)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Seal(t.Context()); err != nil || d.Status().Quarantined+d.Status().Behind > 0 {
		t.Fatalf("%v, %+v", err, d.Status())
	}
	seen := map[string]bool{}
	for read, err := range cts.ReadDump(t.Context(), bucket, nil) {
		if err != nil || seen[read.Trace.ID] {
			t.Fatalf("%s: %v", read.Object, err)
		}
		seen[read.Trace.ID] = true
	}
	if len(seen) != n {
		t.Errorf("%d of %d traces are read", len(seen), n)
	}
	report, err := digest.Verify(t.Context(), bucket, &digest.VerifyOptions{Keys: []*digest.PublicKey{sealSigner(t).Public()}})
	if err != nil || !report.OK() || int(report.Checked.Traces) != n {
		t.Errorf("Verify: %v, %+v", err, report)
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 1 {
		t.Errorf("beside the bucket: %v, %v", entries, err)
	}
}

// Traces as large as a store takes, of few bytes and of many once they are compressed.
func TestDumpHugeTraces(t *testing.T) {
	w := newDumpWorld()
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 8 {
		var b strings.Builder
		for b.Len() < 900_000 {
			if i%2 == 0 {
				b.WriteString("please deliver ")
			} else {
				fmt.Fprintf(&b, "%016x", r.Uint64())
			}
		}
		w.record(t, b.String())
	}
	for _, workers := range []int{1, 3} {
		w.objects = newDumpWorld().objects
		d := w.dumper(t, &cts.DumperOptions{MaxBytes: 5 << 20, Workers: workers, StateName: []string{1: "dumper", 3: "again"}[workers]})
		if err := d.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.check(t)
	}
}

// The bucket's folder is deleted while the Dumper runs: nothing that was not in it then is
// missing when it is opened anew.
func TestDumpWhileTheFolderIsDeleted(t *testing.T) {
	w := newDumpWorld()
	dir := t.TempDir() + "/bucket"
	bucket, err := dirobs.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	d, err := cts.NewDumper(w, bucket, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.add(t, "system/ECS")
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "windows" {
		t.Skip("Windows refuses to remove an open folder")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	w.add(t, "system/ECS", "data/OBS")
	for range 3 {
		if err := d.Flush(t.Context()); err == nil || d.Status().Detail != cts.DetailNoBucket {
			t.Fatalf("without a bucket: %v, %+v", err, d.Status())
		}
	}
	d.Close()
	again, err := dirobs.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if d, err = cts.NewDumper(w, again, nil); err != nil {
		t.Fatal(err)
	}
	if err := d.Flush(t.Context()); err != nil {
		t.Errorf("with a bucket again: %v", err)
	}
	n := 0
	for _, err := range cts.ReadDump(t.Context(), again, nil) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if st := d.Status(); n != 2 || st.State != cts.TransferEnabled {
		t.Errorf("%d traces, %+v", n, st)
	}
}
