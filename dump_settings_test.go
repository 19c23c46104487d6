package cts_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
)

func TestDumpPlainJSON(t *testing.T) {
	w := newDumpWorld()
	w.add(t, sevenTraces...)
	if err := w.dumper(t, &cts.DumperOptions{Compression: cts.CompressJSON}).Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.check(t)
	for _, key := range w.keys(t) {
		if !strings.HasSuffix(key, ".json") {
			t.Errorf("%s is no plain file", key)
		}
	}
}

// byTracker has settings of its own for two trackers.
func byTracker(name string) *cts.TransferOptions {
	switch name {
	case "data":
		return &cts.TransferOptions{Prefix: "own", Compression: cts.CompressJSON, WithoutServiceFolders: true}
	case "off":
		return &cts.TransferOptions{Disabled: true}
	}
	return nil
}

func TestDumpSettingsOfTrackers(t *testing.T) {
	w := newDumpWorld()
	w.add(t, "system/ECS", "data/OBS", "off/X", "data/EVS", "other/ECS", "off/Y")
	d := w.dumper(t, &cts.DumperOptions{Prefix: "p", Region: "eu", Project: "shop", Tracker: byTracker})
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys := w.keys(t)
	if len(keys) != 3 || !strings.Contains(keys[0], "/data/own_CloudTrace_eu-shop_") || !strings.HasSuffix(keys[0], ".json") ||
		!strings.Contains(keys[1], "/other/ECS/p_CloudTrace_eu-shop_") || !strings.HasSuffix(keys[1], ".json.gz") {
		t.Errorf("files %q", keys)
	}
	if st := d.Status(); st.Passed != 2 || st.Traces != 4 || st.Position != 6 || w.held(t) != 6 {
		t.Errorf("status %+v", st)
	}
	w.add(t, "off/X", "off/X")
	if err := d.Flush(t.Context()); err != nil || d.Status().Position != 8 || d.Status().Passed != 4 || len(w.keys(t)) != 3 {
		t.Errorf("nothing but traces of a disabled tracker: %v, %+v", err, d.Status())
	}
	if st, _ := w.state(t); st.Position != 8 {
		t.Errorf("the checkpoint is at %d", st.Position)
	}
}

// An interrupted cycle is done again with the settings it was planned with.
func TestDumpRedoesThePlanWithItsSettings(t *testing.T) {
	for _, opts := range []*cts.DumperOptions{{}, {Tracker: byTracker}, {Compression: cts.CompressJSON}, {WithoutServiceFolders: true}} {
		o := *opts
		o.Workers = 1
		for puts := 1; puts <= 2; puts++ {
			w, st := killedAt(t, "put", puts, true, &o)
			var want []string
			for _, f := range st.Plan.Files {
				key, _ := f["key"].(string)
				want = append(want, key)
			}
			changed := &cts.DumperOptions{Level: 1, Tracker: func(string) *cts.TransferOptions {
				return &cts.TransferOptions{Prefix: "later", Compression: cts.CompressJSON, WithoutServiceFolders: true, Disabled: true}
			}}
			if err := w.dumper(t, changed).Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := w.keys(t); !slices.Equal(got, want) {
				t.Errorf("planned %q, in the bucket %q", want, got)
			}
			w.check(t)
		}
	}
}

func TestDumperSettingsFaults(t *testing.T) {
	for name, test := range map[string]struct {
		opts cts.DumperOptions
		ok   bool
	}{
		"project":          {cts.DumperOptions{Project: "shop"}, true},
		"longest":          {cts.DumperOptions{Region: strings.Repeat("r", 31), Project: strings.Repeat("p", 64), Prefix: strings.Repeat("x", 64)}, true},
		"project too long": {cts.DumperOptions{Region: strings.Repeat("r", 32), Project: strings.Repeat("p", 64)}, false},
		"project a path":   {cts.DumperOptions{Project: "a/b"}, false},
		"compression":      {cts.DumperOptions{Compression: "zip"}, false},
		"workers":          {cts.DumperOptions{Workers: -1}, false},
	} {
		w := newDumpWorld()
		if _, err := cts.NewDumper(w, w.objects, &test.opts); (err == nil) != test.ok {
			t.Errorf("%s: %v, want an error: %t", name, err, !test.ok)
		}
	}
}

// Settings that are not valid stop nobody: the last valid ones, or those of the Dumper,
// are taken, and the fault is reported until it is mended.
func TestDumpWithBadSettingsOfATracker(t *testing.T) {
	w := newDumpWorld()
	prefix := map[string]string{"data": "a/b", "system": "own"}
	d := w.dumper(t, &cts.DumperOptions{Tracker: func(name string) *cts.TransferOptions { return &cts.TransferOptions{Prefix: prefix[name]} }})
	for i := range 3 {
		w.add(t, "system/ECS", "data/OBS")
		err := d.Flush(t.Context())
		if st := d.Status(); err == nil || st.State != cts.TransferError || st.Detail != cts.DetailSettings || st.Position != cts.Position(2*i+2) {
			t.Errorf("Flush: %v, status %+v", err, st)
		}
		prefix["system"] = "c/d"
	}
	keys := w.keys(t)
	if len(keys) != 6 || strings.Count(strings.Join(keys, " "), "/data/OBS/CloudTrace_") != 3 || strings.Count(strings.Join(keys, " "), "/own_CloudTrace_") != 3 {
		t.Errorf("files %q", keys)
	}
	if err := d.Flush(t.Context()); err == nil {
		t.Error("with nothing to dump the fault is forgotten")
	}
	clear(prefix)
	if err := d.Flush(t.Context()); err != nil || d.Status().State != cts.TransferEnabled {
		t.Errorf("when mended: %v, %+v", err, d.Status())
	}
	w.check(t)
}

// Settings change at any moment, to valid ones and others, while cycles fail: no trace is
// lost, and none is in the bucket twice.
func TestDumpWhileSettingsChange(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 9))
		w := newDumpWorld()
		opts := &cts.DumperOptions{MaxTraces: 1 + r.IntN(10), Workers: 1, Tracker: func(string) *cts.TransferOptions {
			return &cts.TransferOptions{
				Prefix: []string{"", "p", "own", "a/b"}[r.IntN(4)], Compression: []cts.Compression{"", cts.CompressJSON, "zip"}[r.IntN(3)],
				WithoutServiceFolders: r.IntN(2) == 0,
			}
		}}
		d := w.dumper(t, opts)
		for range 12 {
			for range r.IntN(8) {
				w.add(t, sevenTraces[r.IntN(len(sevenTraces))])
			}
			hit := w.at(1+r.IntN(12), dumpFault{err: errBroken, done: r.IntN(2) == 0})
			_ = d.Flush(t.Context())
			if hit() && r.IntN(2) == 0 {
				d = w.dumper(t, opts)
			}
			w.mend()
		}
		w.add(t, "system/ECS")
		_ = d.Flush(t.Context()) // what it returns is about the settings
		if st := d.Status(); st.Position != cts.Position(w.made) {
			t.Errorf("seed %d: status %+v", seed, st)
		}
		if w.check(t); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// A cycle that passed over a disabled tracker is done again without it, also when it was
// enabled meanwhile, which counts for what comes behind.
func TestDumpRedoesThePlanWithoutDisabledTrackers(t *testing.T) {
	opts := &cts.DumperOptions{Workers: 1, Tracker: func(name string) *cts.TransferOptions {
		return &cts.TransferOptions{Disabled: name == "data"}
	}}
	w, st := killedAt(t, "put", 1, true, opts)
	if len(st.Plan.Files) != 2 {
		t.Fatalf("planned %+v", st.Plan.Files)
	}
	w.add(t, "data/OBS")
	d := w.dumper(t, nil)
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"trace-1": 1, "trace-2": 1, "trace-4": 1, "trace-5": 1, "trace-8": 1}
	if diff := cmp.Diff(want, w.ids(t)); diff != "" || d.Status().Passed != 3 {
		t.Errorf("status %+v, in the bucket (-want +got):\n%s", d.Status(), diff)
	}
}
