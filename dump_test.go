package cts_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/obs/memobs"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// onlySource is a store that keeps no states.
type onlySource struct{ cts.DumpSource }

func TestDumperOptionsReportAllFaultsTogether(t *testing.T) {
	_, err := cts.NewDumper(onlySource{memstore.New(nil)}, memobs.New(nil), &cts.DumperOptions{
		Prefix: "a/b", Region: ".x", StateName: "A b", Level: 10, MaxTraces: -1,
	})
	if !errors.Is(err, cts.ErrNotSupported) {
		t.Errorf("a source without states: %v, want ErrNotSupported", err)
	}
	for _, part := range []string{"States", "Prefix", "Region", "StateName", "Level", "MaxTraces"} {
		if !strings.Contains(fmt.Sprint(err), part) {
			t.Errorf("%s is not mentioned in: %v", part, err)
		}
	}
}

func TestDumperOptions(t *testing.T) {
	for name, test := range map[string]struct {
		opts cts.DumperOptions
		ok   bool
	}{
		"defaults":         {cts.DumperOptions{}, true},
		"longest":          {cts.DumperOptions{Prefix: strings.Repeat("p", 64), Region: strings.Repeat("r", 64), StateName: strings.Repeat("s", 200), Level: 9}, true},
		"prefix too long":  {cts.DumperOptions{Prefix: strings.Repeat("p", 65)}, false},
		"prefix with line": {cts.DumperOptions{Prefix: "p\n"}, false},
		"region too long":  {cts.DumperOptions{Region: strings.Repeat("r", 65)}, false},
		"region is up":     {cts.DumperOptions{Region: ".."}, false},
		"region is a path": {cts.DumperOptions{Region: "a/b"}, false},
		"MaxBytes":         {cts.DumperOptions{MaxBytes: -1}, false},
		"MaxAge":           {cts.DumperOptions{MaxAge: -1}, false},
		"PollInterval":     {cts.DumperOptions{PollInterval: -1}, false},
		"Level":            {cts.DumperOptions{Level: -1}, false},
		"StateName":        {cts.DumperOptions{StateName: ".dumper"}, false},
	} {
		_, err := cts.NewDumper(memstore.New(nil), memobs.New(nil), &test.opts)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v, want an error: %t", name, err, !test.ok)
		}
	}
	if _, err := cts.NewDumper(nil, memobs.New(nil), nil); err == nil {
		t.Error("a Dumper without a source")
	}
	if _, err := cts.NewDumper(memstore.New(nil), nil, nil); err == nil {
		t.Error("a Dumper without a bucket")
	}
	states := memstore.New(nil)
	d, err := cts.NewDumper(onlySource{memstore.New(nil)}, memobs.New(nil), &cts.DumperOptions{States: states})
	if err != nil {
		t.Fatalf("with states of its own: %v", err)
	}
	if err := d.Flush(t.Context()); err != nil {
		t.Errorf("Flush of an empty store: %v", err)
	}
}

// What is dumped: one file per tracker and service, "" as the tracker being system,
// and what is told about it.
func TestDumpFiles(t *testing.T) {
	w := newDumpWorld()
	w.add(t, "system/ECS", "data/OBS", "/ECS", "system/", "data/OBS", "system/ECS")
	var files []cts.FileInfo
	now := time.Date(2024, 6, 19, 8, 30, 0, 0, time.UTC)
	events := &cts.DumperEvents{
		FileDumped: func(f cts.FileInfo) { files = append(files, f) },
		Failed:     func(err error) { t.Errorf("Failed: %v", err) },
	}
	d := w.dumper(t, &cts.DumperOptions{Prefix: "p", Region: "eu-de", Events: events, Clock: func() time.Time { return now }})
	*events = cts.DumperEvents{Failed: func(error) { t.Error("the options were not copied") }}
	if st := d.Status(); st != (cts.DumperStatus{State: cts.TransferEnabled}) {
		t.Errorf("status before anything: %+v", st)
	}
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.check(t)
	want := []cts.FileInfo{
		{Tracker: "data", Service: "OBS", Traces: 2},
		{Tracker: "system", Service: "", Traces: 1},
		{Tracker: "system", Service: "ECS", Traces: 3},
	}
	wantStatus := cts.DumperStatus{
		State: cts.TransferEnabled, Position: 6, Read: 6, Files: 3, Traces: 6, LastDump: now, CompleteTo: now.Add(-time.Minute).Local(),
	}
	folders := []string{"data/OBS/", "system/%/", "system/ECS/"}
	if len(files) != 3 || len(w.keys(t)) != 3 {
		t.Fatalf("%d files, %d objects", len(files), len(w.keys(t)))
	}
	for i, f := range files {
		content, object := w.content(t, f.Key)
		want[i].Key, want[i].Bytes, want[i].Stored = f.Key, int64(len(content)), object.Size
		wantStatus.Bytes += f.Bytes
		wantStatus.Stored += f.Stored
		if begin := "CloudTraces/eu-de/2024/06/19/" + folders[i] + "p_CloudTrace_eu-de_2024-06-19T08-30-00Z_"; !strings.HasPrefix(f.Key, begin) {
			t.Errorf("%s, want %s…", f.Key, begin)
		}
		var users []struct {
			User map[string]any `json:"user"`
		}
		if err := json.Unmarshal(content, &users); err != nil || slices.ContainsFunc(users, func(u struct {
			User map[string]any `json:"user"`
		},
		) bool {
			return u.User == nil
		}) {
			t.Errorf("%s: a user is no object: %v", f.Key, err)
		}
	}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantStatus, d.Status()); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestDumpWithoutServiceFolders(t *testing.T) {
	w := newDumpWorld()
	w.add(t, sevenTraces...)
	if err := w.dumper(t, &cts.DumperOptions{WithoutServiceFolders: true}).Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.check(t)
	keys := w.keys(t)
	if len(keys) != 2 || !strings.Contains(keys[0], "/data/CloudTrace_") || !strings.Contains(keys[1], "/system/CloudTrace_") {
		t.Errorf("files: %q", keys)
	}
	if traces := w.decode(t, keys[1]); len(traces) != 4 || traces[0].ServiceType != "ECS" || traces[1].ServiceType != "EVS" {
		t.Errorf("%d traces in the file of system, not in order of position", len(traces))
	}
}

// Damage is passed over, wherever it is, and reported once for each place, however
// often it is met.
func TestDumpPassesOverDamage(t *testing.T) {
	w := newDumpWorld()
	w.add(t, sevenTraces...)
	for _, pos := range []cts.Position{1, 3, 4, 7} {
		w.damaged[pos] = true
	}
	var places []cts.Position
	d := w.dumper(t, &cts.DumperOptions{MaxTraces: 2, Events: &cts.DumperEvents{
		Damaged: func(e *cts.CorruptionError) { places = append(places, e.First) },
		Failed:  func(err error) { t.Log(err) },
	}})
	w.at(7, dumpFault{err: errBroken}) // a cycle is repeated
	for i := range 5 {
		if err := d.Flush(t.Context()); (err != nil) != (i == 0) {
			t.Fatalf("Flush %d: %v", i, err)
		}
	}
	w.check(t)
	if want := []cts.Position{1, 3, 4, 7}; !slices.Equal(places, want) || d.Status().Damaged != 4 {
		t.Errorf("damage reported at %v and %d places counted, want %v", places, d.Status().Damaged, want)
	}
	if st := d.Status(); st.Position != 6 || st.Traces != 3 || st.Waiting != 0 {
		t.Errorf("status %+v", st)
	}
	w.add(t, "system/ECS")
	if err := d.Flush(t.Context()); err != nil || d.Status().Position != 8 || d.Status().Damaged != 4 {
		t.Errorf("behind the damage: %v, status %+v", err, d.Status())
	}
	w.check(t)
}

// conflicts are objects that may lie under the name of a trace file.
func conflicts(t *testing.T, content []byte) map[string][]byte {
	t.Helper()
	whole := zipped(t, content, 6)
	return map[string][]byte{
		"empty":            {},
		"garbage":          []byte("what is this"),
		"not compressed":   content,
		"cut short":        whole[:len(whole)-1],
		"garbage behind":   append(bytes.Clone(whole), "garbage"...),
		"another content":  zipped(t, bytes.Replace(content, []byte("deleteOrder"), []byte("createOrder"), 1), 6),
		"more content":     zipped(t, append(bytes.Clone(content), ' '), 6),
		"less content":     zipped(t, content[:len(content)-1], 6),
		"content twice":    append(bytes.Clone(whole), whole...),
		"content of zeros": zipped(t, make([]byte, 4<<20), 6),
	}
}

// twin dumps seven traces elsewhere and returns the names and a content that they get
// here too.
func twin(t *testing.T, opts *cts.DumperOptions) (keys []string, content []byte) {
	t.Helper()
	w := newDumpWorld()
	w.add(t, sevenTraces...)
	if err := w.dumper(t, opts).Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys = w.keys(t)
	content, _ = w.content(t, keys[1])
	return keys, content
}

// An object of somebody else under the name of a file is left alone and raises an alarm;
// the file is put under another name, and nothing waits for it.
func TestDumpNeverOverwrites(t *testing.T) {
	for workers := 1; workers <= 4; workers += 3 {
		opts := &cts.DumperOptions{Workers: workers, Clock: func() time.Time { return time.UnixMilli(1_700_000_000_000) }}
		keys, content := twin(t, opts)
		for name, object := range conflicts(t, content) {
			t.Run(fmt.Sprint(name, " ", workers), func(t *testing.T) {
				w := newDumpWorld()
				w.add(t, sevenTraces...)
				w.put(t, keys[1], object)
				var alarms []string
				o := *opts
				o.Events = &cts.DumperEvents{Conflict: func(key string) { alarms = append(alarms, key) }}
				d := w.dumper(t, &o)
				if err := d.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if st := d.Status(); st.Conflicts != 1 || st.Position != 7 || st.Files != 3 || st.State != cts.TransferEnabled {
					t.Errorf("status %+v", st)
				}
				if !slices.Equal(alarms, keys[1:2]) {
					t.Errorf("alarms %q, want one about %s", alarms, keys[1])
				}
				w.wantObject(t, keys[1], object)
				w.remove(t, keys[1])
				w.check(t)
				if got := w.keys(t); len(got) != 3 || got[0] != keys[0] || got[2] != keys[2] || path.Dir(got[1]) != path.Dir(keys[1]) {
					t.Errorf("files %q, want those of %q, one of them under another name", got, keys)
				}
			})
		}
	}
}

// wantObject checks that an object has these bytes.
func (w *dumpWorld) wantObject(t *testing.T, key string, want []byte) {
	t.Helper()
	body, _, err := w.objects.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := got.ReadFrom(body); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s was changed: %v", key, err)
	}
}

func (w *dumpWorld) remove(t *testing.T, key string) {
	t.Helper()
	if err := w.objects.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
}

// The key under which a file is put instead is planned before it is used: a kill at any
// call leaves each trace in the bucket once.
func TestDumpSurvivesAFaultInEveryCallOfAConflict(t *testing.T) {
	opts := &cts.DumperOptions{Workers: 1, Clock: func() time.Time { return time.UnixMilli(1_700_000_000_000) }}
	keys, content := twin(t, opts)
	object := zipped(t, content[:len(content)-1], 6)
	for name, fault := range faultKinds {
		for n := 1; ; n++ {
			w := newDumpWorld()
			w.add(t, sevenTraces...)
			w.put(t, keys[1], object)
			hit := w.at(n, fault)
			d := w.dumper(t, opts)
			_ = d.Flush(t.Context())
			more := hit()
			w.mend()
			if fault.kill {
				other := *opts
				other.Prefix = "p"
				d = w.dumper(t, &other)
			}
			if err := d.Flush(t.Context()); err != nil {
				t.Fatalf("call %d %s; then: %v", n, name, err)
			}
			w.wantObject(t, keys[1], object)
			w.remove(t, keys[1])
			if w.check(t); t.Failed() {
				t.Fatalf("call %d %s: %q", n, name, w.calls)
			}
			if !more {
				if n < 15 {
					t.Errorf("only %d calls", n)
				}
				break
			}
		}
	}
}

// An object of an earlier try by another release is the same file if its content is.
func TestDumpAcceptsOtherCompression(t *testing.T) {
	opts := &cts.DumperOptions{Clock: func() time.Time { return time.UnixMilli(1_700_000_000_000) }}
	keys, content := twin(t, opts)
	for name, object := range map[string][]byte{
		"level 1":       zipped(t, content, 1),
		"level 9":       zipped(t, content, 9),
		"uncompressed":  zipped(t, content, 0),
		"three members": slices.Concat(zipped(t, content[:10], 6), zipped(t, nil, 6), zipped(t, content[10:], 6)),
	} {
		w := newDumpWorld()
		w.add(t, sevenTraces...)
		w.put(t, keys[1], object)
		stored := map[string]int64{}
		opts.Events = &cts.DumperEvents{FileDumped: func(f cts.FileInfo) { stored[f.Key] = f.Stored }}
		if err := w.dumper(t, opts).Flush(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if stored[keys[1]] != int64(len(object)) {
			t.Errorf("%s: an object of %d bytes is told to have %d", name, len(object), stored[keys[1]])
		}
		if st, _ := w.state(t); st.Plan != nil || st.Position != 7 {
			t.Errorf("%s: state %+v", name, st)
		}
	}
}

// Two buckets are filled from one store under two state names, and neither knows of
// the other.
func TestDumpIntoTwoBuckets(t *testing.T) {
	w := newDumpWorld()
	w.add(t, sevenTraces...)
	second := memobs.New(nil)
	other, err := cts.NewDumper(w.Store, second, &cts.DumperOptions{StateName: "second"})
	if err != nil {
		t.Fatal(err)
	}
	for _, flush := range []func(context.Context) error{w.dumper(t, nil).Flush, other.Flush} {
		if err := flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.check(t)
	w.objects = second
	w.check(t)
}

// What is stored and no trace is damage: it is reported and does not hold up the rest.
func TestDumpPassesOverWhatIsNoTrace(t *testing.T) {
	store := memstore.New(nil)
	good := op("good")
	good.ID, good.Time, good.RecordTime = "a", cts.MinTime, cts.MinTime
	bad := []byte(`{"trace_id":"b","time":946656000000,"record_time":946656000000,"trace_name":"x","user":5}`)
	if _, err := store.Append(t.Context(), []cts.Entry{{JSON: bad}, {Trace: good}}); err != nil {
		t.Fatal(err)
	}
	var damaged []*cts.CorruptionError
	dumper, err := cts.NewDumper(store, memobs.New(nil), &cts.DumperOptions{Events: &cts.DumperEvents{
		Damaged: func(e *cts.CorruptionError) { damaged = append(damaged, e) },
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := dumper.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := dumper.Status(); st.Traces != 1 || st.Position != 2 || len(damaged) != 1 || damaged[0].First != 1 {
		t.Errorf("status %+v, damaged %v", st, damaged)
	}
}
