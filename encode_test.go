package cts_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
)

func TestAppendJSONEqualsEncodingJSON(t *testing.T) {
	r := newRandom(t, 1)
	for i := range 1000 {
		tr := r.trace()
		got, want := tr.AppendJSON(nil), oracle(t, tr)
		if !bytes.Equal(got, want) {
			t.Fatalf("trace %d:\n got %q\nwant %q", i, got, want)
		}
		if !json.Valid(got) {
			t.Fatalf("trace %d is not JSON: %q", i, got)
		}
	}
}

func TestAppendJSONOfNothing(t *testing.T) {
	want := `{"trace_id":"","time":0,"record_time":0,"trace_name":"","trace_type":"","trace_rating":"",` +
		`"service_type":"","resource_type":"","source_ip":"","user":{}}`
	tr := &cts.Trace{Ext: cts.Ext{Labels: map[string]string{}, Cut: []cts.Mark{}}, User: cts.User{InvokedBy: []string{}}}
	if got := string(tr.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAppendJSONKeepsWhatIsThere(t *testing.T) {
	r := newRandom(t, 2)
	for _, room := range []int{0, 1, 7, 64, 1000, 5000} {
		tr := r.trace()
		dst := append(make([]byte, 0, 5+room), "head:"...)
		got := tr.AppendJSON(dst)
		if want := "head:" + string(oracle(t, tr)); string(got) != want {
			t.Errorf("with room for %d bytes:\n got %q\nwant %q", room, got, want)
		}
	}
}

// A room that ends anywhere inside of the text must not matter.
func TestAppendJSONInEveryRoom(t *testing.T) {
	tr := newRandom(t, 3).trace()
	tr.Request = strings.Repeat("\x01<é\"", 30)
	want := tr.AppendJSON(nil)
	for room := range len(want) + 200 {
		if got := tr.AppendJSON(make([]byte, 0, room)); !bytes.Equal(got, want) {
			t.Fatalf("with room for %d bytes:\n got %q\nwant %q", room, got, want)
		}
	}
}

// encoding/json calls MarshalJSON wherever a trace stands: behind a pointer, as a
// value, in slices, maps and interfaces.
func TestMarshalJSONEverywhere(t *testing.T) {
	tr := newRandom(t, 4).trace()
	tr.Ext.Role, tr.Unknown = "auditor", `"x":1`
	one := string(tr.AppendJSON(nil))
	for _, c := range []struct {
		name  string
		value any
		want  string
	}{
		{"pointer", tr, one},
		{"value", *tr, one},
		{"slice", []cts.Trace{*tr, *tr}, "[" + one + "," + one + "]"},
		{"map", map[string]cts.Trace{"a": *tr}, `{"a":` + one + "}"},
		{"interface", []any{*tr}, "[" + one + "]"},
	} {
		if got := string(marshal(t, c.value)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestAppendContentLeavesOutTheStamps(t *testing.T) {
	r := newRandom(t, 5)
	for range 500 {
		tr := r.trace()
		again := tr.Clone()
		again.RecordTime++
		again.Ext.Writer = cts.Writer{ID: "another", Boot: "boot"}
		again.Ext.PolicyHash = "another"
		for _, marks := range [][]cts.Mark{again.Ext.Cut, again.Ext.Redacted} {
			for i := range marks {
				marks[i].Hash = "another"
			}
		}
		if a, b := tr.AppendContent(nil), again.AppendContent(nil); !bytes.Equal(a, b) {
			t.Fatalf("stamps are part of the content:\n%q\n%q", a, b)
		}
		if before := tr.AppendJSON(nil); !bytes.Equal(before, tr.Clone().AppendJSON(nil)) {
			t.Fatal("AppendContent changed the trace")
		}
	}
}

func TestAppendContentIsTheJSONOfTheRest(t *testing.T) {
	tr := newRandom(t, 6).trace()
	tr.Ext = cts.Ext{Writer: cts.Writer{ID: "w"}, PolicyHash: "p"}
	bare := tr.Clone()
	bare.RecordTime, bare.Ext = 0, cts.Ext{}
	if got, want := tr.AppendContent(nil), bare.AppendJSON(nil); !bytes.Equal(got, want) {
		t.Errorf("an ext with stamps alone:\n got %s\nwant %s", got, want)
	}
	tr.Ext.Cut = []cts.Mark{{Field: "request", Length: 70000, Hash: "aa"}}
	if got := tr.AppendContent(nil); !bytes.Contains(got, []byte(`"ext":{"v":1,"cut":[{"field":"request","length":70000}]}`)) {
		t.Errorf("a mark is part of the content, its hash is not: %s", got)
	}
}

// Any change that a Tracker does not make is a change of content.
func TestAppendContentShowsEveryOtherChange(t *testing.T) {
	tr := newRandom(t, 7).trace()
	for name, change := range map[string]func(*cts.Trace){
		"time":      func(c *cts.Trace) { c.Time++ },
		"trace_id":  func(c *cts.Trace) { c.ID += "x" },
		"request":   func(c *cts.Trace) { c.Request += "x" },
		"user":      func(c *cts.Trace) { c.User.Name += "x" },
		"source_ip": func(c *cts.Trace) { c.SourceIP += "x" },
		"outcome":   func(c *cts.Trace) { c.Ext.Outcome += "x" },
		"label":     func(c *cts.Trace) { c.Ext.Labels = map[string]string{"a new one": ""} },
		"mark":      func(c *cts.Trace) { c.Ext.Redacted = append(c.Ext.Redacted, cts.Mark{Field: "f"}) },
		"unknown":   func(c *cts.Trace) { c.Unknown += `,"y":1` },
		"gap":       func(c *cts.Trace) { c.Ext.Gap.Count++ },
		"foreign":   func(c *cts.Trace) { c.Ext.Foreign = `"another"` },
	} {
		other := tr.Clone()
		change(other)
		if bytes.Equal(tr.AppendContent(nil), other.AppendContent(nil)) {
			t.Errorf("a change of %s does not show in the content", name)
		}
	}
}

// fullTrace has something in every part of a trace that could cost an allocation.
func fullTrace(tb testing.TB) *cts.Trace {
	t := ordinaryTrace()
	t.User.InvokedBy = []string{"service.AutoScaling"}
	t.User.SessionContext.Attributes.MFAAuthenticated = "true"
	t.User.Unknown, t.User.Domain.Unknown, t.Unknown = `"x":{"y":[1]}`, `"z":null`, `"old_field":"\u003cü\u003e"`
	t.ReadOnly, t.ContentLength = cts.False, 4711
	t.Ext = cts.Ext{
		Writer: cts.Writer{ID: "w", Boot: "b"}, Phase: cts.PhaseOutcome, AttemptID: "a", Outcome: cts.OutcomeDenied,
		Impersonator: cts.Principal{Name: "root"}, ForwardedFor: []string{"10.0.0.1", "10.0.0.2"},
		Authorization: []cts.Authorization{{Permission: "servers.delete", Granted: true}, {Permission: "servers.list"}},
		Resources:     []cts.Resource{{Type: "volume", ID: "v"}}, Changes: []cts.Change{{Field: "size", Old: "1", New: "2"}},
		Source: cts.Source{Name: "s", ID: "i"}, PolicyHash: "p", Foreign: `{"v":2}`, Labels: map[string]string{},
		Cut: []cts.Mark{{Field: "request", Length: 9, Hash: "h"}}, Redacted: []cts.Mark{{Field: "response.token", Hash: "h"}},
		Gap: cts.Gap{Count: 7, Bytes: 8, From: 9, To: 10, Reason: "queue full"},
	}
	for i := range 64 {
		t.Ext.Labels[fmt.Sprintf("label-%02d", i)] = "value"
	}
	if err := t.Validate(); err != nil {
		tb.Fatal(err)
	}
	return t
}

func TestAppendAllocatesNothing(t *testing.T) {
	for name, tr := range map[string]*cts.Trace{
		"ordinary": ordinaryTrace(), "full": fullTrace(t), "zero": new(cts.Trace),
		"escapes": {Request: strings.Repeat("\x01\u2028\xff\"<", 500)},
	} {
		size := len(tr.AppendJSON(nil))
		buf := make([]byte, 0, size+100)
		if n := testing.AllocsPerRun(100, func() { buf = tr.AppendJSON(buf[:0]) }); n != 0 {
			t.Errorf("AppendJSON of the %s trace (%d bytes): %v allocations, want none", name, size, n)
		}
		if n := testing.AllocsPerRun(100, func() { buf = tr.AppendContent(buf[:0]) }); n != 0 {
			t.Errorf("AppendContent of the %s trace (%d bytes): %v allocations, want none", name, size, n)
		}
	}
}
