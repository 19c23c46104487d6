package cts_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// wholeJSON checks every stored JSON: at most 1 MiB, valid UTF-8, and given again by
// parsing and appending. It returns the last.
func wholeJSON(t *testing.T, store *memstore.Store) []byte {
	t.Helper()
	var last []byte
	for e, err := range store.After(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		last = bytes.Clone(e.JSON)
		if len(last) > cts.MaxTraceBytes {
			t.Errorf("JSON of %d bytes", len(last))
		}
		tr, err := cts.ParseTrace(last)
		if err != nil {
			t.Fatalf("stored JSON can't be parsed: %v", err)
		}
		if again := tr.AppendJSON(nil); !bytes.Equal(again, last) {
			t.Fatalf("the stored JSON is no fixpoint:\n%.300s\n%.300s", last, again)
		}
		if tr.Ext.Foreign != "" && !bytes.Contains(last, []byte(`"foreign":`)) {
			t.Errorf("the tracker wrote an ext that is not its own: %.300s", last)
		}
		if !utf8.Valid(last) {
			t.Error("the stored JSON is not valid UTF-8")
		}
	}
	return last
}

// worst returns traces whose JSON is far larger than what they hold.
func worst() map[string]*cts.Trace {
	const control = "\x01"
	many := func(n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprintf("%s%d", strings.Repeat(control, 2000), i))
		}
		return names
	}
	all := map[string]*cts.Trace{}
	add := func(name string, fill func(*cts.Trace)) {
		tr := &cts.Trace{Name: "n"}
		fill(tr)
		all[name] = tr
	}
	add("bodies", func(tr *cts.Trace) {
		tr.Request, tr.Response = strings.Repeat(control, 200_000), strings.Repeat(control, 200_000)
	})
	add("every text", func(tr *cts.Trace) {
		textFields(tr, func(_ string, v reflect.Value) { v.SetString(strings.Repeat(control, 10_000)) })
	})
	add("changes", func(tr *cts.Trace) {
		for _, name := range many(100) {
			tr.Ext.Changes = append(tr.Ext.Changes, cts.Change{Field: name, Old: name, New: name})
		}
	})
	add("labels", func(tr *cts.Trace) {
		tr.Ext.Labels = map[string]string{}
		for i, name := range many(100) {
			tr.Ext.Labels[fmt.Sprint(i, name)] = name
		}
	})
	add("many labels", func(tr *cts.Trace) {
		tr.Ext.Labels = map[string]string{}
		for i := range 15_000 {
			tr.Ext.Labels[fmt.Sprint("label", i)] = strings.Repeat("v", 1100)
		}
	})
	add("resources", func(tr *cts.Trace) {
		for _, name := range many(100) {
			tr.Ext.Resources = append(tr.Ext.Resources, cts.Resource{Type: name, ID: name, Name: name})
			tr.Ext.Authorization = append(tr.Ext.Authorization, cts.Authorization{Permission: name, Resource: name})
			tr.Ext.ForwardedFor = append(tr.Ext.ForwardedFor, name)
		}
	})
	add("marks", func(tr *cts.Trace) {
		for range 5_000 {
			m := cts.Mark{Field: control, Length: 1 << 30, Hash: "h"}
			tr.Ext.Cut = append(tr.Ext.Cut, m)
			tr.Ext.Redacted = append(tr.Ext.Redacted, m)
		}
	})
	add("long marks", func(tr *cts.Trace) {
		m := cts.Mark{Field: strings.Repeat(control, 300_000), Hash: strings.Repeat(control, 300_000)}
		tr.Ext.Cut, tr.Ext.Redacted = []cts.Mark{m, m}, []cts.Mark{m, m}
	})
	add("unknown", func(tr *cts.Trace) {
		var m cts.Members
		for i, name := range many(30) {
			m, _ = m.With(fmt.Sprint(i, name), []byte("1"))
		}
		tr.Unknown, tr.User.Unknown, tr.User.Domain.Unknown = m, m, m
		tr.Ext.Foreign = cts.RawJSON("{" + string(m) + "}")
	})
	add("all together", func(tr *cts.Trace) {
		for name, part := range all {
			if name == "every text" {
				continue
			}
			tr.Ext.Changes = append(tr.Ext.Changes, part.Ext.Changes...)
			tr.Ext.Resources = append(tr.Ext.Resources, part.Ext.Resources...)
			tr.Ext.Cut = append(tr.Ext.Cut, part.Ext.Cut...)
			tr.Unknown += part.Unknown
			tr.Request += part.Request
			if part.Ext.Labels != nil {
				tr.Ext.Labels = part.Ext.Labels
			}
		}
	})
	return all
}

// Whatever a trace holds and whatever the limits are, the cutting ends and the JSON
// fits into a store.
func TestWorstCasesFit(t *testing.T) {
	all := []cts.Limits{{}, {Body: 1 << 30, Text: 1 << 30, Message: 1 << 30, Items: 1 << 30, Unknown: 1 << 30}, {Text: 64, Items: 1 << 30}}
	if raceEnabled {
		all = all[:1] // one goroutine, and slow
	}
	for name, given := range worst() {
		for _, limits := range all {
			store := memstore.New(nil)
			tracker := open(t, store, &cts.TrackerOptions{Limits: limits, HashKey: []byte("key")})
			before := given.Clone()
			if _, err := tracker.Record(t.Context(), given); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			last := wholeJSON(t, store)
			if tr, err := cts.ParseTrace(last); err != nil || len(tr.Ext.Cut) == 0 || tr.Name != "n" && name != "every text" {
				t.Errorf("%s: %v, marks %v", name, err, tr.Ext.Cut)
			}
			if diff := cmp.Diff(before, given); diff != "" {
				t.Errorf("%s: Record changed the caller's trace", name)
			}
			if st := tracker.Status(); st.Cut != 1 {
				t.Errorf("%s: %d traces count as cut", name, st.Cut)
			}
		}
	}
}

// Invalid UTF-8 is replaced in every text, one U+FFFD for each byte.
func TestInvalidUTF8IsReplaced(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, &cts.TrackerOptions{WithoutRedaction: true})
	tr := new(cts.Trace)
	textFields(tr, func(_ string, v reflect.Value) { v.SetString("a\xff\xfeb") })
	tr.Ext.Cut = []cts.Mark{{Field: "a\xff\xfeb", Hash: "a\xff\xfeb"}}
	tr.Ext.Labels = map[string]string{"k\xff": "a\xff\xfeb", "k\xfe": "v"}
	before := tr.Clone()
	receipt, err := tracker.Record(t.Context(), tr)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tr); diff != "" {
		t.Errorf("Record changed the caller's trace:\n%s", diff)
	}
	last := wholeJSON(t, store)
	if bytes.Contains(last, []byte(`\ufffd`)) {
		t.Errorf("an escape is left: %s", last)
	}
	got := byID(t, store, receipt)
	walkTexts(reflect.ValueOf(got).Elem(), "", func(place string, v reflect.Value) {
		if v.String() != "a\ufffd\ufffdb" && !reserved(place) && !strings.HasPrefix(place, "ext.cut") {
			t.Errorf("%s: %q", place, v.String())
		}
	})
	if m := got.Ext.Cut[0]; m.Field != "a\ufffd\ufffdb" || m.Hash != "a\ufffd\ufffdb" {
		t.Errorf("mark %+v", m)
	}
	if len(got.Ext.Labels) != 1 || got.Ext.Labels["k\ufffd"] == "" {
		t.Errorf("labels %q", got.Ext.Labels)
	}
}

// A body that is no text keeps as much as its limit allows, and the mark tells the
// length that it had, not that of its replacement.
func TestInvalidBodies(t *testing.T) {
	for _, c := range []struct {
		body string
		kept int
	}{
		{strings.Repeat("\x80", 100_000), 64 << 10},
		{strings.Repeat("\xff", 30_000), 64 << 10},
		{strings.Repeat("\xe2\x82", 40_000), 64 << 10},
	} {
		store := memstore.New(nil)
		tracker := open(t, store, &cts.TrackerOptions{WithoutRedaction: true, HashKey: []byte("key")})
		receipt, err := tracker.Record(t.Context(), &cts.Trace{Name: "n", Request: c.body})
		if err != nil {
			t.Fatal(err)
		}
		wholeJSON(t, store)
		got := byID(t, store, receipt)
		if len(got.Request) > c.kept || len(got.Request) < c.kept-3 {
			t.Errorf("%q…: %d bytes kept", c.body[:2], len(got.Request))
		}
		want := []cts.Mark{{Field: "request", Length: len(c.body), Hash: keyed("key", c.body)}}
		if diff := cmp.Diff(want, got.Ext.Cut); diff != "" {
			t.Errorf("%q…: marks (-want +got):\n%s", c.body[:2], diff)
		}
	}
}
