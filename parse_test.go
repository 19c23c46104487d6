package cts_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
)

func TestParseGivesBackWhatWasAppended(t *testing.T) {
	r := newRandom(t, 10)
	r.valid = true
	for i := range 1000 {
		tr := r.trace()
		text := tr.AppendJSON(nil)
		back, err := cts.ParseTrace(text)
		if err != nil {
			t.Fatalf("trace %d: %v\n%s", i, err, text)
		}
		if again := back.AppendJSON(nil); !bytes.Equal(again, text) {
			t.Fatalf("trace %d is not a fixpoint:\n%q\n%q", i, text, again)
		}
		if diff := cmp.Diff(withoutEmpty(tr), withoutEmpty(back)); diff != "" {
			t.Fatalf("trace %d changed (-before +after):\n%s", i, diff)
		}
	}
}

// withoutEmpty returns a copy in which empty slices and maps, which JSON does not
// tell from absent ones, are nil.
func withoutEmpty(t *cts.Trace) *cts.Trace {
	c := t.Clone()
	if len(c.User.InvokedBy) == 0 {
		c.User.InvokedBy = nil
	}
	e := &c.Ext
	if len(e.ForwardedFor) == 0 {
		e.ForwardedFor = nil
	}
	if len(e.Authorization) == 0 {
		e.Authorization = nil
	}
	if len(e.Resources) == 0 {
		e.Resources = nil
	}
	if len(e.Changes) == 0 {
		e.Changes = nil
	}
	if len(e.Labels) == 0 {
		e.Labels = nil
	}
	if len(e.Cut) == 0 {
		e.Cut = nil
	}
	if len(e.Redacted) == 0 {
		e.Redacted = nil
	}
	return c
}

// With invalid UTF-8 the fixpoint is reached one step later.
func TestParseOfInvalidUTF8(t *testing.T) {
	r := newRandom(t, 11)
	for i := range 1000 {
		first, err := cts.ParseTrace(r.trace().AppendJSON(nil))
		if err != nil {
			t.Fatal(err)
		}
		text := first.AppendJSON(nil)
		second, err := cts.ParseTrace(text)
		if err != nil {
			t.Fatal(err)
		}
		if again := second.AppendJSON(nil); !bytes.Equal(again, text) {
			t.Fatalf("trace %d is not a fixpoint:\n%q\n%q", i, text, again)
		}
	}
	tr, err := cts.ParseTrace([]byte("{\"trace_name\":\"a\xff\\ud800\xc3\"}"))
	if err != nil || tr.Name != "a\ufffd\ufffd\ufffd" {
		t.Errorf("got %q, %v", tr.Name, err)
	}
}

func TestParseKnownFieldsLikeEncodingJSON(t *testing.T) {
	r := newRandom(t, 12)
	for range 500 {
		tr := r.trace()
		tr.Unknown, tr.User.Unknown, tr.User.Domain.Unknown, tr.Ext = "", "", "", cts.Ext{}
		var indented bytes.Buffer
		if err := json.Indent(&indented, tr.AppendJSON(nil), " ", "\t"); err != nil {
			t.Fatal(err)
		}
		var want plainTrace
		if err := json.Unmarshal(indented.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		got, err := cts.ParseTrace(indented.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff((*cts.Trace)(&want), got); diff != "" {
			t.Fatalf("ParseTrace reads something else than encoding/json (-want +got):\n%s", diff)
		}
	}
}

func TestParseSample(t *testing.T) {
	text, err := os.ReadFile("testdata/createServer.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := cts.ParseTrace(text)
	if err != nil {
		t.Fatal(err)
	}
	var want plainTrace
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff((*cts.Trace)(&want), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got.ReadOnly != cts.False || got.User.Domain.Name != "IAMDomainB" || got.Time != 1718777931170 {
		t.Errorf("got %+v", got)
	}
}

func TestParseUnknownMembers(t *testing.T) {
	text := `{"b": 1, "trace_id":"i", "A":{"y" : [1, 2.50]}, "a":null, "Trace_ID":"exact case", "user":` +
		`{"z":"\u00fc","id":"u","Name":"n","domain":{"q":1,"id":"d","p":"<"}}, "":""}`
	tr, err := cts.ParseTrace([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := cts.Trace{
		ID:      "i",
		Unknown: `"b":1,"A":{"y":[1,2.50]},"a":null,"Trace_ID":"exact case","":""`,
		User: cts.User{
			ID: "u", Unknown: `"z":"ü","Name":"n"`,
			Domain: cts.Domain{ID: "d", Unknown: `"q":1,"p":"\u003c"`},
		},
	}
	if diff := cmp.Diff(&want, tr); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseManyUnknownMembers(t *testing.T) {
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, `,"m%d":%d`, i, i)
	}
	members := b.String()[1:]
	tr, err := cts.ParseTrace([]byte("{" + members + "}"))
	if err != nil || string(tr.Unknown) != members {
		t.Fatalf("2000 members: %v, %d bytes of %d", err, len(tr.Unknown), len(members))
	}
	for _, again := range []string{"m0", "m39", "m40", "m1999"} {
		_, err := cts.ParseTrace([]byte("{" + members + `,"` + again + `":0}`))
		if err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("member %s twice: error %v", again, err)
		}
	}
}

func TestParseNull(t *testing.T) {
	var members []string
	for _, name := range []string{
		"trace_id", "time", "record_time", "trace_name", "trace_rating", "source_ip", "user", "code", "request",
		"read_only", "content_length", "total_time", "is_consistent", "ext",
	} {
		members = append(members, `"`+name+`":null`)
	}
	tr, err := cts.ParseTrace([]byte("{" + strings.Join(members, ",") + "}"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(new(cts.Trace), tr); diff != "" {
		t.Errorf("null is not nothing (-want +got):\n%s", diff)
	}
}

// Parts of user that have another shape than CTS documents survive as they are.
func TestParseOddUser(t *testing.T) {
	for _, user := range []string{
		`{"domain":"text"}`, `{"domain":[1]}`, `{"domain":{"id":"a","id":"b"}}`, `{"domain":{"x":1,"x":2}}`,
		`{"session_context":{"attributes":{},"attributes":{}}}`, `{"domain":{"id":1}}`, `{"invoked_by":"text"}`, `{"invoked_by":[1]}`,
		`{"session_context":{"attributes":{"x":"y"}}}`, `{"session_context":{"other":1}}`, `{"session_context":null}`,
		`{"id":"u","assumedBy":{"user":{"name":"n"}},"domain":5}`,
	} {
		text := `{"user":` + user + `}`
		tr, err := cts.ParseTrace([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := tr.AppendJSON(nil); !bytes.Contains(got, []byte(`"user":`+user)) {
			t.Errorf("%s became %s", user, got)
		}
		if err := json.Unmarshal([]byte(text), tr); err != nil {
			t.Errorf("%s: UnmarshalJSON: %v", text, err)
		}
	}
}

func TestUnmarshalJSONReplacesAllOrNothing(t *testing.T) {
	before := fullTrace(t)
	tr := before.Clone()
	if err := tr.UnmarshalJSON([]byte(`{"trace_id":"new","time":"wrong"}`)); err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(before, tr); diff != "" {
		t.Errorf("a failed UnmarshalJSON changed the trace:\n%s", diff)
	}
	if err := tr.UnmarshalJSON([]byte(`{"trace_id":"new"}`)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&cts.Trace{ID: "new"}, tr); diff != "" {
		t.Errorf("something of the old trace is left:\n%s", diff)
	}
}

// The trace must not change when the caller uses the text's memory again.
func TestParseSharesNoMemory(t *testing.T) {
	text := fullTrace(t).AppendJSON(nil)
	tr, err := cts.ParseTrace(text)
	if err != nil {
		t.Fatal(err)
	}
	want := tr.AppendJSON(nil)
	for i := range text {
		text[i] = 'x'
	}
	if got := tr.AppendJSON(nil); !bytes.Equal(got, want) {
		t.Errorf("the trace shares memory with the text it was parsed from")
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		text         string
		line, column int
		field        string
		reason       string // part of it
	}{
		{``, 1, 1, "", "expected '{', found end of text"},
		{`[]`, 1, 1, "", "expected '{', found '['"},
		{`null`, 1, 1, "", "expected '{'"},
		{`{"a":1} x`, 1, 9, "", "after the end"},
		{"{\"a\":1,\n \"b\" 2}", 2, 6, "", "expected ':', found '2'"},
		{"{\"a\":1\n\n  \"b\":2}", 3, 3, "", "expected ',' or '}'"},
		{`{"a":1,}`, 1, 8, "", "expected a string"},
		{`{"time":1.5}`, 1, 9, "time", "whole number"},
		{`{"time":9223372036854775808}`, 1, 9, "time", "whole number of 64 bits"},
		{`{"time":"1"}`, 1, 9, "time", "expected a number, found '\"'"},
		{`{"time":-}`, 1, 10, "time", "expected a number, found '}'"},
		{`{"time":01}`, 1, 9, "time", "malformed number"},
		{`{"code":200}`, 1, 9, "code", "expected a string, found '2'"},
		{`{"code": nul}`, 1, 10, "code", "expected a string"},
		{`{"read_only":"true"}`, 1, 14, "read_only", "expected true or false"},
		{`{"trace_id":"a","x":1,"trace_id":"a"}`, 1, 34, "trace_id", "twice"},
		{`{"x":1,"x":1}`, 1, 12, "x", "twice"},
		{`{"user":"text"}`, 1, 9, "user", "expected '{'"},
		{`{"user":{"id":1}}`, 1, 15, "user.id", "expected a string"},
		{"{\"user\":{\n\"id\":\"1\",\n\"id\":\"2\"}}", 3, 6, "user.id", "twice"},
		{`{"user":{"x":1,"x":2}}`, 1, 20, "user.x", "twice"},
		{`{"user":{"x":[1,}}`, 1, 17, "user.x", "expected a value"},
		{`{"message":"abc`, 1, 12, "message", "string without an end"},
		{"{\"message\":\"a\nb\"}", 1, 14, "message", "control character"},
		{`{"message":"1234567890\q"}`, 1, 23, "message", "bad escape"},
		{`{"message":"\u12"}`, 1, 13, "message", "bad escape"},
		{`{"ext":{"v":1,}`, 1, 15, "ext", "expected a string"},
		{"{\"x\":1,\"\xff\":2,\"\xfe\":3}", 1, 18, "\ufffd", "twice"},
	} {
		tr, err := cts.ParseTrace([]byte(c.text))
		var pe *cts.ParseError
		if !errors.As(err, &pe) || !errors.Is(err, cts.ErrInvalidTrace) || tr != nil {
			t.Errorf("%q: got %v, error %v; want a *ParseError", c.text, tr, err)
			continue
		}
		if pe.Line != c.line || pe.Column != c.column || pe.Field != c.field || !strings.Contains(pe.Reason, c.reason) {
			t.Errorf("%q: got %v; want line %d, column %d, member %q, %q", c.text, err, c.line, c.column, c.field, c.reason)
		}
		if before := c.text[:pe.Offset]; strings.Count(before, "\n") != pe.Line-1 || len(before)-strings.LastIndexByte(before, '\n') != pe.Column {
			t.Errorf("%q: offset %d is not line %d, column %d", c.text, pe.Offset, pe.Line, pe.Column)
		}
	}
}

func TestParseIsBounded(t *testing.T) {
	text := func(size int) []byte {
		head, tail := `{"trace_id":"a",`+"\n"+`"message":"`, `"}`
		return []byte(head + strings.Repeat("x", size-len(head)-len(tail)) + tail)
	}
	if tr, err := cts.ParseTrace(text(cts.MaxTraceBytes)); err != nil || len(tr.Message) < 1<<19 {
		t.Errorf("a trace of just 1 MiB: %v", err)
	}
	_, err := cts.ParseTrace(text(cts.MaxTraceBytes + 1))
	var pe *cts.ParseError
	if !errors.As(err, &pe) || pe.Offset != cts.MaxTraceBytes || pe.Line != 2 {
		t.Errorf("a trace of more than 1 MiB: %v", err)
	}
}

// The text, the trace, the room for strings with escapes and each such string: here
// request and response.
func TestParseAllocations(t *testing.T) {
	for name, tr := range benchTraces(t) {
		text := tr.AppendJSON(nil)
		n := testing.AllocsPerRun(100, func() {
			if _, err := cts.ParseTrace(text); err != nil {
				t.Fatal(err)
			}
		})
		if n > 5 {
			t.Errorf("%s: %v allocations, want at most 5", name, n)
		}
	}
}
