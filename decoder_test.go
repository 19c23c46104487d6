package cts_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
)

func TestDecodeTimes(t *testing.T) {
	ms := clock(2016, 12, 1, 11, 24, 4)
	for _, c := range []struct {
		text string
		want int64
	}{
		{`1472148708232`, 1472148708232},
		{`"1472148708232"`, 1472148708232},
		{`"1660223647458765184"`, 1660223647458},
		{`1660223647458765184`, 1660223647458},
		{`1660223647458765`, 1660223647458},
		{`1660223647`, 1660223647000},
		{`"2016/12/01 11:24:04 GMT+08:00"`, ms},
		{`"2016-12-01 11:24:04 GMT+08:00"`, ms},
		{`"12/01/2016 11:24:04 GMT+08:00"`, ms},
		{`"2016-12-01T03:24:04Z"`, ms},
		{`"2016-12-01T03:24:04.123Z"`, ms + 123},
		{`"2016-12-01T11:24:04+08:00"`, ms},
		{`"2016/12/01 03:24:04 GMT+00:00"`, ms},
		{`" 2016/12/01 11:24:04 GMT+08:00 "`, ms},
		{`0`, 0},
		{`null`, 0},
		{`""`, 0},
		{`-1000`, -1000000},
	} {
		for _, field := range []string{"time", "record_time"} {
			traces, errs := decodeAll(strings.NewReader(`{"`+field+`":`+c.text+`}`), nil)
			if len(traces) != 1 {
				t.Errorf("%s %s: %v", field, c.text, errs)
				continue
			}
			got := traces[0].Time
			if field == "record_time" {
				got = traces[0].RecordTime
			}
			if got != c.want {
				t.Errorf("%s %s = %d, want %d", field, c.text, got, c.want)
			}
		}
	}
	for _, text := range []string{`"13/13/2016 11:24:04 GMT+08:00"`, `"yesterday"`, `1.5`, `1e12`, `true`, `[1]`, `{"a":1}`, `"2016/12/01"`} {
		_, errs := decodeAll(strings.NewReader(`{"time":`+text+`}`), nil)
		var pe *cts.ParseError
		if len(errs) != 1 || !errors.As(errs[0], &pe) || pe.Field != "time" || pe.Offset != 8 {
			t.Errorf("%s: %v, want a *ParseError about time at offset 8", text, errs)
		}
	}
}

func TestDecodeOddForms(t *testing.T) {
	for _, c := range []struct {
		text string
		want cts.Trace
	}{
		{`{"code":200}`, cts.Trace{Code: "200"}},
		{`{"code":2e2}`, cts.Trace{Code: "2e2"}},
		{`{"code":null,"message":true}`, cts.Trace{Message: "true"}},
		{`{"request":{"a": [1, "<x>"]}}`, cts.Trace{Request: `{"a":[1,"<x>"]}`}},
		{`{"request":[ ],"response":""}`, cts.Trace{Request: `[]`}},
		{`{"trace_status":"warning"}`, cts.Trace{Rating: "warning"}},
		{`{"trace_status ":"warning"}`, cts.Trace{Rating: "warning"}},
		{`{"trace_rating":"normal","trace_status":"warning"}`, cts.Trace{Rating: "normal", Unknown: `"trace_status":"warning"`}},
		{`{"content_length":"12","total_time":"","read_only":"true","is_consistent":"false"}`, cts.Trace{ContentLength: 12, ReadOnly: cts.True, IsConsistent: cts.False}},
		{`{"content_length":12,"total_time":null,"read_only":null,"is_consistent":true}`, cts.Trace{ContentLength: 12, IsConsistent: cts.True}},
		{`{"user":null}`, cts.Trace{}},
		{`{"user":""}`, cts.Trace{}},
		{`{"user":"root"}`, cts.Trace{User: cts.User{Name: "root"}}},
		{`{"user":"{\"id\":5,\"x\":[1]}"}`, cts.Trace{User: cts.User{ID: "5", Unknown: `"x":[1]`}}},
		{`{"user":"{\"id\":5} x"}`, cts.Trace{User: cts.User{Unknown: `"raw":"{\"id\":5} x"`}}},
		{`{"user":"[1]"}`, cts.Trace{User: cts.User{Unknown: `"raw":"[1]"`}}},
		{`{"user":{"principal_is_root_user":true}}`, cts.Trace{User: cts.User{PrincipalIsRootUser: "true"}}},
		{`{}`, cts.Trace{}},
	} {
		traces := mustDecode(t, strings.NewReader(c.text))
		if len(traces) != 1 {
			t.Errorf("%s: %d traces", c.text, len(traces))
			continue
		}
		if diff := cmp.Diff(&c.want, traces[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.text, diff)
		}
		checkFixpoint(t, traces[0])
	}
}

// An "ext" in a stranger's file is a claim; in ours it is what we wrote.
func TestDecodeExt(t *testing.T) {
	tr := fullTrace(t)
	text := string(tr.AppendJSON(nil))
	ours, errs := decodeAll(strings.NewReader(text), &cts.DecoderOptions{TrustExt: true})
	if len(errs) != 0 || len(ours) != 1 {
		t.Fatal(errs)
	}
	if diff := cmp.Diff(tr, ours[0]); diff != "" {
		t.Errorf("with TrustExt (-want +got):\n%s", diff)
	}
	theirs := mustDecode(t, strings.NewReader(text))[0]
	foreign := theirs.Ext.Foreign
	theirs.Ext.Foreign = ""
	if !theirs.Ext.IsZero() || !strings.HasPrefix(string(foreign), `{"v":1,"writer":`) || !strings.Contains(text, `"ext":`+string(foreign)) {
		t.Errorf("without TrustExt: %+v, foreign %s", theirs.Ext, foreign)
	}
	if traces, _ := decodeAll(strings.NewReader(`{"ext":{"v":2}}`), &cts.DecoderOptions{TrustExt: true}); traces[0].Ext.Foreign != `{"v":2}` {
		t.Errorf("an ext of another version: %+v", traces[0].Ext)
	}
}

// A trace that carries a list named "traces" stays one trace: nothing in it can make
// a reader see other traces, or miss it.
func TestDecodeIsNotFooled(t *testing.T) {
	for _, text := range []string{
		`{"trace_id":"a","x":1,"traces":[{"trace_id":"forged"}]}`,
		`{"time":1,"traces":[]}`,
		`{"trace_name":"a","traces":[1,2]}`,
		`{"trace_id":"a","cts":{"trace_id":"forged"}}`,
		`{"x":{"traces":[{"trace_id":"forged"}]}}`,
		`{"traces":{"trace_id":"forged"}}`,
		`{"traces":"none"}`,
		`{"cts":[1]}`,
		`{"request":"{\"traces\":[{}]}"}`,
	} {
		traces := mustDecode(t, strings.NewReader(text))
		if len(traces) != 1 || traces[0].ID == "forged" {
			t.Errorf("%s: %d traces", text, len(traces))
		}
	}
	tr := &cts.Trace{ID: "a", Unknown: `"traces":[{"trace_id":"forged"}]`}
	if traces := mustDecode(t, strings.NewReader(string(tr.AppendJSON(nil)))); len(traces) != 1 || traces[0].Unknown != tr.Unknown {
		t.Errorf("a trace with a list of traces: %+v", traces)
	}
}

func TestDecodeGoesOnAfterABadTrace(t *testing.T) {
	text := "[{\"trace_id\":\"a\"},\n {\"trace_id\":\"b\",\"time\":\"never\"},\n {\"x\":1,\n  \"x\":2},{\"code\":[1 2]} , {\"trace_id\":\"c\"}]\n{\"time\":01}{\"trace_id\":\"d\"}"
	d := cts.NewDecoder(strings.NewReader(text), nil)
	var got []string
	for {
		tr, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		var pe *cts.ParseError
		switch {
		case err == nil:
			got = append(got, tr.ID)
		case errors.As(err, &pe):
			got = append(got, fmt.Sprintf("%d:%d %s", pe.Line, pe.Column, pe.Field))
			if before := text[:pe.Offset]; strings.Count(before, "\n") != pe.Line-1 || len(before)-strings.LastIndexByte(before, '\n') != pe.Column {
				t.Errorf("%v: offset, line and column are not one place", err)
			}
		default:
			t.Fatal(err)
		}
	}
	want := []string{"a", "2:25 time", "4:7 x", "4:21 code", "c", "5:9 time", "d"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDecodeSyntaxErrorsEndTheStream(t *testing.T) {
	for _, c := range []struct {
		text         string
		traces       int
		line, column int
	}{
		{`{} x {}`, 1, 1, 4},
		{`{},{}`, 1, 1, 3},
		{`[{} {}]`, 1, 1, 5},
		{`[{},]`, 1, 1, 5},
		{`[,{}]`, 0, 1, 2},
		{`[{}`, 1, 1, 4},
		{"[{},\n", 1, 2, 1},
		{`[1]`, 0, 1, 2},
		{`null`, 0, 1, 1},
		{`{"a"}`, 0, 1, 5},
		{`{"a":}`, 0, 1, 6},
		{`{"a":,}`, 0, 1, 6},
		{`{"a":1,}`, 0, 1, 8},
		{`{a:1}`, 0, 1, 2},
		{`{"a":"`, 0, 1, 7},
		{`{"a":"\`, 0, 1, 8},
		{`{"a"`, 0, 1, 5},
		{`{"a":`, 0, 1, 6},
		{`{"a":1`, 0, 1, 7},
		{`{`, 0, 1, 2},
		{`{"traces":[{}]`, 1, 1, 15},
		{`{"traces":[{}],}`, 1, 1, 16},
		{`{"traces":[{}] "x":1}`, 1, 1, 16},
		{`{"traces":[{}],"x"}`, 1, 1, 19},
		{`{"traces":[{}}`, 1, 1, 14},
		{`{"cts":{},"x":1]`, 1, 1, 16},
		{"\xef\xbb{}", 0, 1, 1},
		{"{}\ufeff{}", 1, 1, 3},
		{strings.Repeat("[", 300), 0, 1, 258},
		{strings.Repeat(`{"cts":`, 1<<20), 0, 1, 0},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text))} {
			d := cts.NewDecoder(r, nil)
			n := 0
			var err error
			for ; err == nil; n++ {
				_, err = d.Next()
			}
			var pe *cts.ParseError
			if !errors.As(err, &pe) || n-1 != c.traces {
				t.Errorf("%.40s: %d traces and error %v, want %d and a *ParseError", c.text, n-1, err, c.traces)
				continue
			}
			if pe.Line != c.line || pe.Column != c.column && c.column > 0 {
				t.Errorf("%.40s: %v; want line %d, column %d", c.text, err, c.line, c.column)
			}
			if _, again := d.Next(); !errors.Is(again, err) {
				t.Errorf("%.40s: a later call returns %v, want the same error", c.text, again)
			}
		}
	}
}

func TestDecodeNothing(t *testing.T) {
	for _, text := range []string{"", " \n\t\r ", "[]", "\ufeff", "[[],[]]", `{"traces":[],"meta_data":{"count":0}}`} {
		d := cts.NewDecoder(strings.NewReader(text), nil)
		for range 2 {
			if tr, err := d.Next(); tr != nil || !errors.Is(err, io.EOF) {
				t.Errorf("%q: got %v, %v, want io.EOF", text, tr, err)
			}
		}
	}
}

func TestDecodeAllMayBeLeft(t *testing.T) {
	d := cts.NewDecoder(strings.NewReader(`{"trace_id":"a"}{"trace_id":"b"}{"trace_id":"c"}`), nil)
	for tr, err := range d.All() {
		if err != nil || tr.ID != "a" {
			t.Fatalf("got %v, %v", tr, err)
		}
		break
	}
	if tr, err := d.Next(); err != nil || tr.ID != "b" {
		t.Errorf("after leaving All: %v, %v", tr, err)
	}
}
