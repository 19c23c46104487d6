package cts_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
)

func TestMembers(t *testing.T) {
	var m cts.Members
	for _, add := range []struct{ name, value, want string }{
		{"b", ` 1 `, `"b":1`},
		{"a", `{"y": [1, 2]}`, `"b":1,"a":{"y":[1,2]}`},
		{"<é>", `"<"`, `"b":1,"a":{"y":[1,2]},"\u003cé\u003e":"\u003c"`},
		{"", `null`, `"b":1,"a":{"y":[1,2]},"\u003cé\u003e":"\u003c","":null`},
	} {
		var err error
		if m, err = m.With(add.name, []byte(add.value)); err != nil || string(m) != add.want {
			t.Fatalf("With(%q, %s) = %s, %v; want %s", add.name, add.value, m, err, add.want)
		}
	}
	var names []string
	for name, value := range m.All() {
		names = append(names, name+"="+string(value))
	}
	if want := []string{"b=1", `a={"y":[1,2]}`, `<é>="\u003c"`, "=null"}; !slices.Equal(names, want) {
		t.Errorf("All yields %q, want %q", names, want)
	}
	for range m.All() {
		break // leaving is allowed at any member
	}
	if v, ok := m.Get("<é>"); !ok || v != `"\u003c"` {
		t.Errorf("Get = %s, %v", v, ok)
	}
	if v, ok := m.Get("B"); ok || v != "" {
		t.Errorf("Get of a name in another case = %s, %v", v, ok)
	}
}

func TestMembersWithErrors(t *testing.T) {
	m := cts.Members(`"a":1`)
	for _, c := range []struct{ name, value string }{
		{"a", `2`}, {"b", ``}, {"b", `{`}, {"b", `1,"c":2`}, {"b", `1}`}, {"b", `'x'`},
	} {
		got, err := m.With(c.name, []byte(c.value))
		if !errors.Is(err, cts.ErrInvalidTrace) || got != m {
			t.Errorf("With(%q, %s) = %s, %v; want ErrInvalidTrace and no change", c.name, c.value, got, err)
		}
		var pe *cts.ParseError
		if isParse := errors.As(err, &pe); isParse != (c.name == "b") {
			t.Errorf("With(%q, %s): error %v; is it a *ParseError: %v", c.name, c.value, err, isParse)
		}
	}
	first, err := cts.Members("").With("x\xff", []byte("1"))
	if err != nil || first != "\"x\ufffd\":1" {
		t.Errorf("a name that is not UTF-8: %q, %v", first, err)
	}
	if _, err := first.With("x\xfe", []byte("2")); err == nil {
		t.Error("two names that become one are taken")
	}
}

// Members that nobody made with With yield what can be read and no more.
func TestMembersThatAreBroken(t *testing.T) {
	for _, c := range []struct {
		members cts.Members
		want    int
	}{
		{``, 0}, {`x`, 0}, {`"a"`, 0}, {`"a":`, 0}, {`"a":1 "b":2`, 1}, {`"a":1,`, 1}, {`"a":1,"b"`, 1}, {`,`, 0}, {`{"a":1}`, 0},
	} {
		if got := len(maps.Collect(c.members.All())); got != c.want {
			t.Errorf("%s: All yields %d members, want %d", c.members, got, c.want)
		}
		if _, ok := c.members.Get("z"); ok {
			t.Errorf("%s: Get finds what is not there", c.members)
		}
	}
}

func TestRawJSONInJSON(t *testing.T) {
	var v struct{ A, B cts.RawJSON }
	if err := json.Unmarshal([]byte(`{"A": {"x" : "<"}, "B": null}`), &v); err != nil {
		t.Fatal(err)
	}
	if v.A != `{"x":"\u003c"}` || v.B != "null" {
		t.Errorf("got %q and %q", v.A, v.B)
	}
	v.B = ""
	if got := string(marshal(t, v)); got != `{"A":{"x":"\u003c"},"B":null}` {
		t.Errorf("got %s", got)
	}
	if err := v.A.UnmarshalJSON([]byte("{")); !errors.Is(err, cts.ErrInvalidTrace) || v.A == "" {
		t.Errorf("a broken value: %v, and left %q", err, v.A)
	}
}

func FuzzMembers(f *testing.F) {
	f.Add(`"a":1,"b":{"c":[2]}`, "d", []byte(`{"x": "<"}`))
	f.Add(`"a":1,`, "a\xff", []byte(`nul`))
	f.Fuzz(func(t *testing.T, members, name string, value []byte) {
		cts.Members(members).Get(name) // must not panic
		base := cts.Members(`"base":1`)
		m, err := base.With(name, value)
		if err != nil {
			if m != base || !errors.Is(err, cts.ErrInvalidTrace) {
				t.Fatalf("error %v with %q", err, m)
			}
			return
		}
		if !strings.HasPrefix(string(m), `"base":1,`) || !json.Valid([]byte("{"+string(m)+"}")) {
			t.Fatalf("not members: %q", m)
		}
		got, ok := m.Get(string([]rune(name)))
		if again, err := cts.NewRawJSON([]byte(got)); !ok || err != nil || again != got {
			t.Fatalf("member %q is %q, %v, and made again %q, %v", name, got, ok, again, err)
		}
		tr := &cts.Trace{ID: "i", Name: "n", Time: cts.MinTime, RecordTime: cts.MinTime, Unknown: m}
		back, err := cts.ParseTrace(tr.AppendJSON(nil))
		if valid := tr.Validate() == nil; valid != (err == nil && back.Unknown == m) {
			t.Fatalf("Validate says %v for %q; parsed back it is %+v, %v", valid, m, back, err)
		}
	})
}
