package cts_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
)

// plainTrace is a trace without methods, which encoding/json writes on its own.
type plainTrace cts.Trace

// versionExt is the object "ext" with the version that stands before its fields.
type versionExt struct {
	V int `json:"v"`
	*cts.Ext
}

// oracle returns what encoding/json makes of t, with the unknown members, which it
// does not know, put behind the known ones.
func oracle(tb testing.TB, t *cts.Trace) []byte {
	tb.Helper()
	shadow := struct {
		*plainTrace
		Ext *versionExt `json:"ext,omitempty"`
	}{plainTrace: (*plainTrace)(t)}
	if !t.Ext.IsZero() {
		shadow.Ext = &versionExt{V: 1, Ext: &t.Ext}
	}
	user := marshal(tb, t.User)
	domain := marshal(tb, t.User.Domain)
	wantUser := replaceMember(user, "domain", domain, withMembers(domain, t.User.Domain.Unknown))
	wantUser = withMembers(wantUser, t.User.Unknown)
	return withMembers(replaceMember(marshal(tb, shadow), "user", user, wantUser), t.Unknown)
}

func marshal(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatalf("json.Marshal(%T): %v", v, err)
	}
	return b
}

// replaceMember changes the value of a member. Its name can't be inside of a string
// before it, where quotes are escaped.
func replaceMember(object []byte, name string, before, after []byte) []byte {
	key := `"` + name + `":`
	return bytes.Replace(object, append([]byte(key), before...), append([]byte(key), after...), 1)
}

func withMembers(object []byte, m cts.Members) []byte {
	if m == "" {
		return object
	}
	open := bytes.TrimSuffix(object, []byte("}"))
	if len(open) > 1 {
		open = append(open[:len(open):len(open)], ',')
	}
	return append(append(open[:len(open):len(open)], m...), '}')
}

// random makes traces with anything in any field.
type random struct {
	*rand.Rand
	tb    testing.TB
	valid bool // texts of valid UTF-8 only, as behind a Tracker
}

func newRandom(tb testing.TB, seed uint64) random {
	tb.Helper()
	return random{Rand: rand.New(rand.NewPCG(seed, 1)), tb: tb}
}

func (r random) trace() *cts.Trace {
	t := new(cts.Trace)
	r.fill(reflect.ValueOf(t).Elem())
	return t
}

// fill sets every field that v has, so that a field added later is covered too.
func (r random) fill(v reflect.Value) {
	switch v.Type() {
	case reflect.TypeFor[cts.Members]():
		v.SetString(string(r.members()))
		return
	case reflect.TypeFor[cts.RawJSON]():
		if r.IntN(4) == 0 {
			v.SetString(string(r.rawJSON()))
		}
		return
	case reflect.TypeFor[cts.Bool]():
		v.SetUint(r.Uint64N(3))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			r.fill(v.Field(i))
		}
	case reflect.String:
		if r.IntN(3) > 0 {
			v.SetString(r.text())
		}
	case reflect.Int, reflect.Int64:
		if r.IntN(3) > 0 {
			v.SetInt(int64(r.Uint64()) >> r.IntN(64))
		}
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Slice:
		n := max(0, r.IntN(6)-2)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			r.fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range max(0, r.IntN(6)-2) {
			v.SetMapIndex(reflect.ValueOf(strings.ToValidUTF8(r.text(), "?")), reflect.ValueOf(r.text()))
		}
	default:
		r.tb.Fatalf("a trace has a field of kind %s, which the random traces leave out", v.Kind())
	}
}

// pieces are what texts are made of: what needs an escape, what is invalid, and
// what is long enough to cross the words that the encoder works in.
var pieces = []string{
	"a", "uuid", `"`, `\`, `\"`, "/", "<", ">", "&", "'", "\n", "\r", "\t", "\b", "\f", "\x00", "\x1f", "\x7f",
	"ä", "中文", "\u2028", "\u2029", "\u2027", "\ufffd", "\ufeff", "😀", "\xff", "\xc3", "\xe2\x80", "\xed\xa0\x80", "\xf0\x9f\x98",
	"1234567", "12345678", "123456789", `{"a":"b"}`, `{"server":{"name":"x","tags":["a","b"]}}`,
	strings.Repeat("x", 63), strings.Repeat("\"", 17), strings.Repeat("\x01", 40), strings.Repeat("é", 9),
}

func (r random) text() string {
	var b strings.Builder
	for range 1 + r.IntN(1+r.IntN(12)) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	if r.valid {
		return strings.ToValidUTF8(b.String(), "?")
	}
	return b.String()
}

func (r random) rawJSON() cts.RawJSON {
	values := []string{
		`1`, `-0`, `1E+5`, `0.10`, `true`, `null`, `""`, `[]`, `{}`, `[1, [2, {"a": null}]]`,
		`{"b": 1, "a": {"<": ">"}}`, `"\u00e4\/\ud83d\ude00"`,
	}
	v, err := cts.NewRawJSON([]byte(values[r.IntN(len(values))]))
	if err != nil {
		r.tb.Fatal(err)
	}
	return v
}

func (r random) members() cts.Members {
	var m cts.Members
	for i := range max(0, r.IntN(6)-2) {
		var err error
		m, err = m.With("x_"+string(rune('a'+i))+r.text(), []byte(r.rawJSON()))
		if err != nil {
			r.tb.Fatal(err)
		}
	}
	return m
}
