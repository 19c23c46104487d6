package cts

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestEntryDecode(t *testing.T) {
	tr := &Trace{ID: "a", User: User{InvokedBy: []string{"x"}}}
	text := tr.AppendJSON(nil)
	for name, e := range map[string]Entry{"trace": {Trace: tr}, "JSON": {JSON: text}, "both": {Trace: tr, JSON: []byte("not looked at")}} {
		got, err := e.Decode()
		if err != nil || !bytes.Equal(got.AppendJSON(nil), text) {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		got.User.InvokedBy[0] = "changed"
		if tr.User.InvokedBy[0] != "x" {
			t.Fatalf("%s: the decoded trace shares memory with the entry", name)
		}
	}
	if _, err := (Entry{}).Decode(); !errors.Is(err, ErrInvalidTrace) {
		t.Errorf("an empty entry: %v", err)
	}
}

func TestEntryAppendJSON(t *testing.T) {
	tr := &Trace{ID: "a", Name: "b"}
	for name, c := range map[string]struct {
		e    Entry
		want string
	}{
		"a trace": {Entry{Trace: tr}, string(tr.AppendJSON(nil))},
		"JSON":    {Entry{JSON: []byte(`{"stored":1}`)}, `{"stored":1}`},
		"both":    {Entry{Trace: tr, JSON: []byte(`{"stored":1}`)}, `{"stored":1}`},
		"neither": {Entry{}, ""},
	} {
		if got := c.e.AppendJSON([]byte("before ")); string(got) != "before "+c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestEntryClone(t *testing.T) {
	e := Entry{Position: 7, Trace: &Trace{ID: "a", Ext: Ext{Labels: map[string]string{"k": "v"}}}, JSON: []byte(`{}`), Route: &Route{"t", "s", 1}}
	c := e.Clone()
	*e.Route = Route{}
	e.Trace.ID, e.Trace.Ext.Labels["k"], e.JSON[0] = "changed", "changed", 'x'
	if c.Position != 7 || c.Trace.ID != "a" || c.Trace.Ext.Labels["k"] != "v" || string(c.JSON) != "{}" || *c.Route != (Route{"t", "s", 1}) {
		t.Errorf("the clone changed: %+v", c)
	}
	if c := (Entry{Position: 1}).Clone(); c.Trace != nil || c.JSON != nil || c.Route != nil {
		t.Errorf("the clone of an empty entry is %+v", c)
	}
}

func TestCheckStateName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "dump.plan-1_x": true, "0": true, "-": true, "a.": true, strings.Repeat("x", 200): true,
		"": false, ".a": false, "..": false, "A": false, "a/b": false, `a\b`: false, "a b": false, "é": false, "a\x00": false,
		strings.Repeat("x", 201): false,
	} {
		if err := CheckStateName(name); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestVerifyReportOK(t *testing.T) {
	if !(VerifyReport{Traces: 5}).OK() || (VerifyReport{Damaged: []*CorruptionError{{}}}).OK() {
		t.Error("OK is wrong")
	}
}

type stateKeeper struct {
	StateStore
	name string
}

type wrapper struct{ inner any }

func (w wrapper) Unwrap() any { return w.inner }

func TestAbilityIsFoundInWhatIsWrapped(t *testing.T) {
	keeper := stateKeeper{name: "inner"}
	for _, x := range []any{keeper, wrapper{keeper}, wrapper{wrapper{keeper}}} {
		if got, ok := stateStore(x); !ok || got != StateStore(keeper) {
			t.Errorf("%T: got %v, %v", x, got, ok)
		}
	}
	for _, x := range []any{nil, 5, wrapper{}, wrapper{wrapper{"text"}}} {
		if got, ok := stateStore(x); ok || got != nil {
			t.Errorf("%T: got %v, %v", x, got, ok)
		}
	}
}
