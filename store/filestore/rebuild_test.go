package filestore_test

import (
	"bytes"
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
	"github.com/cloudtraceservice/cts/store/storetest"
)

// filler fills traces: each text field is empty, the same, one of a few or of many
// values, or different in all traces of one filler.
type filler struct {
	*rand.Rand
	n     int
	habit map[string]int
}

var awkward = []string{
	`{"a":"<b>&c"}`, "\u2028é\U0001f600", "\x01\t\"\\", "not UTF-8: \xff\xfe", strings.Repeat("long ", 60), "0123456789abcdef", " ", "true", "7",
}

func (f *filler) text(path string) string {
	h, ok := f.habit[path]
	if !ok {
		h = f.IntN(6)
		f.habit[path] = h
	}
	switch h {
	case 0:
		return ""
	case 1:
		return "the same " + path
	case 2:
		return []string{"", "a", "b<"}[f.IntN(3)]
	case 3:
		return awkward[f.IntN(len(awkward))]
	case 4:
		return fmt.Sprintf("value %d of %s", f.IntN(20), path)
	}
	return uuid.NewSHA1(uuid.Nil, []byte(fmt.Sprint(path, f.n))).String()
}

// fill fills a struct. The parts that no column holds are filled in some traces.
func (f *filler) fill(v reflect.Value, path string) {
	for i := range v.NumField() {
		name := path + v.Type().Field(i).Name
		switch field := v.Field(i); {
		case field.Type() == reflect.TypeFor[cts.Members]() || field.Type() == reflect.TypeFor[cts.RawJSON]() || name == "Ext.Gap":
		case field.Kind() == reflect.String:
			field.SetString(f.text(name))
		case field.Kind() == reflect.Struct:
			if f.IntN(3) > 0 {
				f.fill(field, name+".")
			}
		case field.Kind() == reflect.Int64 && f.IntN(2) == 0:
			field.SetInt(f.Int64N(1000))
		case field.Kind() == reflect.Uint8:
			field.SetUint(uint64(f.IntN(3)))
		case field.Kind() == reflect.Slice && f.text(name) != "" && (field.Type().Elem().Kind() == reflect.String || f.IntN(10) == 0):
			list := reflect.MakeSlice(field.Type(), 1+f.IntN(2), 3)
			for k := range list.Len() {
				if e := list.Index(k); e.Kind() == reflect.Struct {
					f.fill(e, name+".")
				} else {
					e.SetString(f.text(name))
				}
			}
			field.Set(list)
		case field.Kind() == reflect.Map && f.IntN(2) == 0:
			field.Set(reflect.ValueOf(map[string]string{"k": f.text(name), "<é>": "v", "": f.text(name + "2")}))
		}
	}
}

func (f *filler) trace() *cts.Trace {
	t := new(cts.Trace)
	f.fill(reflect.ValueOf(t).Elem(), "")
	f.n++
	t.ID = uuid.NewSHA1(uuid.Nil, []byte(fmt.Sprint(f.n))).String()
	t.Name += "name"
	t.Time = 1720000000000 + f.Int64N(5000)
	t.RecordTime = t.Time + f.Int64N(3)
	if f.IntN(20) == 0 {
		t.Unknown, _ = t.Unknown.With("unknown", []byte(`{"a":[1,2]}`))
	}
	return t
}

// TestSealedTraces fills every field of traces in every way, and checks what a store
// makes of the columns against the traces: as JSON, as traces, as heads, and as routes.
func TestSealedTraces(t *testing.T) {
	for seed := range uint64(12) {
		f := &filler{Rand: rand.New(rand.NewPCG(seed, 7)), habit: map[string]int{}}
		s := open(t, vfstest.NewMemFS(), "/store", filestore.Options{})
		want := map[cts.Position]*cts.Trace{}
		for range 150 {
			trace := f.trace()
			want[mustAppend(t, s, cts.Entry{Trace: trace}).Last] = trace
		}
		if err := s.Compact(background); err != nil {
			t.Fatal(err)
		}
		read := 0
		for e, err := range s.After(background, 0) {
			text := want[e.Position].AppendJSON(nil)
			if err != nil || !bytes.Equal(e.JSON, text) {
				t.Fatalf("seed %d, position %d: After yields\n%s, want\n%s, %v", seed, e.Position, e.JSON, text, err)
			}
			back, err := cts.ParseTrace(text)
			if err != nil || e.Route != nil && *e.Route != (cts.Route{TrackerName: back.TrackerName, ServiceType: back.ServiceType, RecordTime: back.RecordTime}) {
				t.Fatalf("seed %d, position %d: the route is %+v of %s, %v", seed, e.Position, e.Route, text, err)
			}
			read++
		}
		if read != len(want) {
			t.Errorf("seed %d: After yields %d traces of %d", seed, read, len(want))
		}
		for _, q := range []cts.Query{{Attempts: true}, {Attempts: true, Order: cts.Oldest}, {Attempts: true, Heads: true}} {
			checkKept(t, s, q, want)
		}
		mustClose(t, s)
	}
}

// checkKept reads all traces and looks at them when the last step is done: what the
// entries were cloned to has not changed.
func checkKept(t *testing.T, s *filestore.Store, q cts.Query, want map[cts.Position]*cts.Trace) {
	t.Helper()
	var kept []cts.Entry
	for e, err := range s.Query(background, q) {
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, e.Clone())
	}
	if len(kept) != len(want) {
		t.Errorf("%+v: %d traces, want %d", q, len(kept), len(want))
	}
	for _, e := range kept {
		text := want[e.Position].AppendJSON(nil)
		back, err := cts.ParseTrace(text)
		if err != nil {
			t.Fatal(err)
		}
		if q.Heads {
			back.Request, back.Response, back.Message = "", "", ""
			text = back.AppendJSON(nil)
		}
		if !reflect.DeepEqual(e.Trace, back) || !bytes.Equal(e.AppendJSON(nil), text) {
			t.Fatalf("%+v, position %d: got\n%s, want\n%s", q, e.Position, e.AppendJSON(nil), text)
		}
	}
}

// TestReadingAllocates holds the memory of reading sealed traces to a budget.
func TestReadingAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const traces = 2000
	s := open(t, vfs.OS, t.TempDir(), filestore.Options{Sync: filestore.SyncOS})
	all := storetest.Traces(1, traces)
	first := all[slices.IndexFunc(all, func(t *cts.Trace) bool { return t.User.Name != "" && t.Ext.Phase != cts.PhaseAttempt })]
	for _, trace := range all {
		trace.Ext, trace.User.InvokedBy = cts.Ext{}, nil // lists, maps and what no column holds take what they are made of
		trace.Unknown, trace.User.Unknown, trace.User.Domain.Unknown = "", "", ""
		mustAppend(t, s, cts.Entry{Trace: trace})
	}
	if err := s.Compact(background); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		most float64 // allocations of one run
		read func() int
	}{
		{"one head", 16, func() int { return count(s.Query(background, cts.Query{}.Limited(1).HeadsOnly())) }},
		{"all heads", 16 + traces/6, func() int { return count(s.Query(background, cts.Query{}.HeadsOnly())) }},
		{"all traces", 16 + traces/5, func() int { return count(s.Query(background, cts.Query{})) }},
		{"two conditions in a range of time", 28, func() int {
			return count(s.Query(background, cts.Query{From: 1, To: 1 << 60}.Where(
				cts.Eq(cts.FieldServiceType, first.ServiceType), cts.Eq(cts.FieldUser, first.User.Name)).Limited(20)))
		}},
		{"a count of two conditions", 36, func() int {
			n, err := cts.Count(background, s, cts.Query{}.Where(
				cts.Eq(cts.FieldServiceType, first.ServiceType), cts.Eq(cts.FieldUser, first.User.Name)))
			if err != nil {
				t.Error(err)
			}
			return int(n)
		}},
		{"the log", 40, func() int { return count(s.After(background, 0)) }},
	} {
		if c.read() == 0 { // and what is kept for later runs is there
			t.Errorf("%s: nothing was read", c.name)
		}
		if got := testing.AllocsPerRun(5, func() { c.read() }); got > c.most {
			t.Errorf("%s: %v allocations, the budget is %v", c.name, got, c.most)
		}
	}
}

// count returns how many traces an iterator yields before an error.
func count(seq iter.Seq2[cts.Entry, error]) (n int) {
	for _, err := range seq {
		if err != nil {
			return 0
		}
		n++
	}
	return n
}
