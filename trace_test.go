package cts_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
)

// eachField calls f with copies of v in which one field alone is set. Every field of
// v must be.
func eachField[T any](t *testing.T, v T, f func(name string, only T)) {
	t.Helper()
	full := reflect.ValueOf(v)
	for i := range full.NumField() {
		if full.Field(i).IsZero() {
			t.Errorf("field %s is not set in the value that should be full", full.Type().Field(i).Name)
		}
		var only T
		reflect.ValueOf(&only).Elem().Field(i).Set(full.Field(i))
		f(full.Type().Field(i).Name, only)
	}
}

func TestIsZero(t *testing.T) {
	if !(cts.User{}).IsZero() || !(cts.Domain{}).IsZero() || !(cts.Gap{}).IsZero() || !(cts.User{InvokedBy: []string{}}).IsZero() {
		t.Error("a zero value is not zero")
	}
	user := cts.User{
		ID: "a", Name: "b", UserName: "c", Domain: cts.Domain{ID: "d", Name: "e", Unknown: `"f":1`}, AccountID: "g", AccessKeyID: "h",
		PrincipalURN: "i", PrincipalID: "j", PrincipalIsRootUser: "true", Type: "User", InvokedBy: []string{"k"},
		SessionContext: cts.SessionContext{Attributes: cts.SessionAttributes{CreatedAt: "1"}}, OriginUser: "l", Unknown: `"m":1`,
	}
	eachField(t, user, func(name string, only cts.User) {
		if only.IsZero() {
			t.Errorf("a User with %s alone is zero", name)
		}
	})
	eachField(t, user.Domain, func(name string, only cts.Domain) {
		if only.IsZero() {
			t.Errorf("a Domain with %s alone is zero", name)
		}
	})
	eachField(t, cts.Gap{Count: 1, Exact: true, Bytes: 1, From: 1, To: 1, Reason: "r"}, func(name string, only cts.Gap) {
		if only.IsZero() {
			t.Errorf("a Gap with %s alone is zero", name)
		}
	})
}

func TestBool(t *testing.T) {
	for _, c := range []struct {
		b          cts.Bool
		text, json string
	}{{cts.Unset, "", "null"}, {cts.False, "false", "false"}, {cts.True, "true", "true"}} {
		if got := c.b.String(); got != c.text {
			t.Errorf("String of %d = %q, want %q", c.b, got, c.text)
		}
		if got := string(marshal(t, c.b)); got != c.json {
			t.Errorf("JSON of %d = %s, want %s", c.b, got, c.json)
		}
		back := cts.Bool(9)
		if err := json.Unmarshal([]byte(c.json), &back); err != nil || back != c.b {
			t.Errorf("%s read back is %d, %v", c.json, back, err)
		}
	}
	if cts.BoolOf(true) != cts.True || cts.BoolOf(false) != cts.False {
		t.Error("BoolOf is wrong")
	}
	for _, text := range []string{`1`, `"true"`, `{}`} {
		b := cts.True
		if err := json.Unmarshal([]byte(text), &b); !errors.Is(err, cts.ErrInvalidTrace) || b != cts.True {
			t.Errorf("%s: %v, %v", text, b, err)
		}
	}
}

// A clone and its original share no memory that could be changed.
func TestCloneIsIndependent(t *testing.T) {
	r := newRandom(t, 20)
	for range 200 {
		tr := r.trace()
		c := tr.Clone()
		if diff := cmp.Diff(tr, c); diff != "" {
			t.Fatalf("the clone is another trace:\n%s", diff)
		}
		checkApart(t, "Trace", reflect.ValueOf(tr).Elem(), reflect.ValueOf(c).Elem())
	}
}

func checkApart(t *testing.T, path string, a, b reflect.Value) {
	t.Helper()
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			checkApart(t, path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
		}
	case reflect.Slice:
		if a.Cap() > 0 && a.UnsafePointer() == b.UnsafePointer() && b.Cap() > 0 {
			t.Errorf("%s: the slices share memory", path)
		}
		for i := range a.Len() {
			checkApart(t, path, a.Index(i), b.Index(i))
		}
	case reflect.Map:
		if a.UnsafePointer() == b.UnsafePointer() && !a.IsNil() {
			t.Errorf("%s: the maps are one", path)
		}
	case reflect.Pointer, reflect.Interface, reflect.Chan, reflect.Func:
		t.Errorf("%s: a trace is a plain value, and this is a %s", path, a.Kind())
	}
}

// CTS counts its years in China.
func TestTimesOfCTS(t *testing.T) {
	china := time.FixedZone("", 8*60*60)
	if want := time.Date(2000, 1, 1, 0, 0, 0, 0, china).UnixMilli(); cts.MinTime != want {
		t.Errorf("MinTime is %d, want %d", cts.MinTime, want)
	}
	if want := time.Date(2100, 1, 1, 0, 0, 0, 0, china).UnixMilli(); cts.MaxTime != want {
		t.Errorf("MaxTime is %d, want %d", cts.MaxTime, want)
	}
}

func TestValidate(t *testing.T) {
	valid := cts.Trace{ID: "a", Name: "n", Time: cts.MinTime, RecordTime: cts.MaxTime}
	for _, c := range []struct {
		name   string
		change func(*cts.Trace)
		field  string // "valid" if nothing is wrong
	}{
		{"least", func(*cts.Trace) {}, "valid"},
		{"no id", func(c *cts.Trace) { c.ID = "" }, "trace_id"},
		{"id of 200 bytes", func(c *cts.Trace) { c.ID = strings.Repeat("x", 200) }, "valid"},
		{"id of 201 bytes", func(c *cts.Trace) { c.ID = strings.Repeat("x", 201) }, "trace_id"},
		{"id beyond ASCII", func(c *cts.Trace) { c.ID = "é" }, "valid"},
		{"id not UTF-8", func(c *cts.Trace) { c.ID = "\xff" }, "trace_id"},
		{"id with a line break", func(c *cts.Trace) { c.ID = "a\nb" }, "trace_id"},
		{"id with DEL", func(c *cts.Trace) { c.ID = "a\x7f" }, "trace_id"},
		{"no name", func(c *cts.Trace) { c.Name = "" }, "trace_name"},
		{"no time", func(c *cts.Trace) { c.Time = 0 }, "time"},
		{"time too early", func(c *cts.Trace) { c.Time = cts.MinTime - 1 }, "time"},
		{"time too late", func(c *cts.Trace) { c.Time = cts.MaxTime + 1 }, "time"},
		{"record time in seconds", func(c *cts.Trace) { c.RecordTime = 1718777931 }, "record_time"},
		{"label", func(c *cts.Trace) { c.Ext.Labels = map[string]string{"é": "\xff"} }, "valid"},
		{"label not UTF-8", func(c *cts.Trace) { c.Ext.Labels = map[string]string{"\xff": ""} }, "ext.labels"},
		{"unknown", func(c *cts.Trace) { c.Unknown = `"x":1,"y":[2]` }, "valid"},
		{"unknown in user", func(c *cts.Trace) { c.User.Unknown = `"x":1` }, "valid"},
		{"unknown in domain", func(c *cts.Trace) { c.User.Domain.Unknown = `"x":1` }, "valid"},
		{"odd domain", func(c *cts.Trace) { c.User.Unknown = `"domain":"x"` }, "valid"},
		{"foreign", func(c *cts.Trace) { c.Ext.Foreign = `{"v":2}` }, "valid"},
		{"unknown, broken", func(c *cts.Trace) { c.Unknown = `"x":` }, ""},
		{"unknown, no JSON", func(c *cts.Trace) { c.Unknown = `x` }, ""},
		{"unknown, open end", func(c *cts.Trace) { c.Unknown = `"x":1,` }, ""},
		{"unknown, not compact", func(c *cts.Trace) { c.Unknown = `"x": 1` }, ""},
		{"unknown, not escaped", func(c *cts.Trace) { c.Unknown = `"x":"<"` }, ""},
		{"unknown, twice", func(c *cts.Trace) { c.Unknown = `"x":1,"x":1` }, ""},
		{"unknown, known", func(c *cts.Trace) { c.Unknown = `"code":"200"` }, ""},
		{"unknown, null of a known one", func(c *cts.Trace) { c.Unknown = `"code":null` }, ""},
		{"unknown, the user again", func(c *cts.Trace) { c.Unknown = `"user":{"id":"root"}` }, ""},
		{"unknown, an ext", func(c *cts.Trace) { c.Unknown = `"ext":{"v":1,"role":"admin"}` }, ""},
		{"unknown, closing the trace", func(c *cts.Trace) { c.Unknown = `"x":1}` }, ""},
		{"unknown, next trace", func(c *cts.Trace) { c.Unknown = `"x":1},{"y":2` }, ""},
		{"user, broken", func(c *cts.Trace) { c.User.Unknown = `"x":1},"y":{"z":2` }, "user"},
		{"user, known", func(c *cts.Trace) { c.User.Unknown = `"id":"root"` }, "user"},
		{"user, a domain of its own", func(c *cts.Trace) { c.User.Unknown = `"domain":{"id":"d"}` }, "user"},
		{"user, second domain", func(c *cts.Trace) { c.User.Domain.ID, c.User.Unknown = "d", `"domain":"x"` }, "user"},
		{"domain, known", func(c *cts.Trace) { c.User.Domain.Unknown = `"id":"d"` }, "user.domain"},
		{"domain, broken", func(c *cts.Trace) { c.User.Domain.Unknown = `"x":1}` }, "user.domain"},
		{"foreign, broken", func(c *cts.Trace) { c.Ext.Foreign = `{` }, "ext.foreign"},
		{"foreign, two values", func(c *cts.Trace) { c.Ext.Foreign = `1,"role":"admin"` }, "ext.foreign"},
		{"foreign, not compact", func(c *cts.Trace) { c.Ext.Foreign = `[1, 2]` }, "ext.foreign"},
	} {
		tr := valid
		c.change(&tr)
		err := tr.Validate()
		if c.field == "valid" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		var fe *cts.FieldError
		if !errors.As(err, &fe) || !errors.Is(err, cts.ErrInvalidTrace) || fe.Field != c.field {
			t.Errorf("%s: error %v, want a *FieldError about %q", c.name, err, c.field)
		}
	}
}

// What Validate lets pass comes back from its canonical JSON.
func TestValidTracesComeBack(t *testing.T) {
	r := newRandom(t, 21)
	r.valid = true
	for range 500 {
		tr := r.trace()
		tr.ID, tr.Name, tr.Time, tr.RecordTime = "i", "n", cts.MinTime, cts.MaxTime
		if err := tr.Validate(); err != nil {
			t.Fatalf("%v\n%s", err, tr.AppendJSON(nil))
		}
		if _, err := cts.ParseTrace(tr.AppendJSON(nil)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFieldErrorSaysNoValue(t *testing.T) {
	secret := strings.Repeat("hunter2", 50)
	for _, c := range []struct {
		trace cts.Trace
		want  string
	}{
		{cts.Trace{ID: secret}, "cts: field trace_id: too long: 350 bytes, limit 200"},
		{cts.Trace{ID: "hunter2\n"}, "cts: field trace_id: contains a control character"},
		{
			cts.Trace{ID: "a", Name: "n", Time: cts.MinTime, RecordTime: cts.MinTime, Unknown: cts.Members(secret)},
			"cts: unknown members: not canonical JSON, or a member occurs twice or has a field of its own",
		},
	} {
		if err := c.trace.Validate(); err == nil || err.Error() != c.want {
			t.Errorf("error %v, want %s", err, c.want)
		}
	}
}
