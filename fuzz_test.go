package cts_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cloudtraceservice/cts"
)

// seeds are texts from which the fuzzers start.
func seeds(f *testing.F) []string {
	texts := []string{
		``, `{}`, `null`, `[]`, `{"trace_id":"a","time":1,"record_time":2,"trace_name":"n"}`,
		`{"user":{"domain":{"x":1},"invoked_by":["a"]},"ext":{"v":1,"role":"r"},"x":[1.5e3,null]}`,
		`{"ext":{"v":2}}`, `{"a":1,"a":2}`, "{\"message\":\"\xff\\ud83d\\u2028<\"}",
		`{"traces":[{"time":"2016/12/08 11:07:28 GMT+08:00","user":"{\"name\":\"x"}],"meta_data":{"count":1}}`,
		`{"cts":{"code":200,"trace_status ":"normal"}} [{}] {"time":"x"}`, "\ufeff{}\n{}",
	}
	r := newRandom(f, 30)
	for range 5 {
		texts = append(texts, string(r.trace().AppendJSON(nil)))
	}
	return append(texts, string(fullTrace(f).AppendJSON(nil)))
}

// What ParseTrace takes is JSON, and a fixpoint from then on. What NewRawJSON takes is
// exactly what encoding/json takes, and means the same.
func FuzzParseTrace(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		valid := json.Valid(text)
		tr, err := cts.ParseTrace(text)
		checkParseError(t, text, err)
		if err == nil {
			if !valid {
				t.Fatalf("ParseTrace takes what is not JSON: %q", text)
			}
			checkFixpoint(t, tr)
		}
		raw, err := cts.NewRawJSON(text)
		checkParseError(t, text, err)
		if (err == nil) != valid {
			if err == nil || !strings.Contains(err.Error(), "nested deeper") {
				t.Fatalf("NewRawJSON(%q): %v, and json.Valid says %v", text, err, valid)
			}
			return
		}
		if err == nil && !reflect.DeepEqual(anyOf(t, text), anyOf(t, []byte(raw))) {
			t.Fatalf("NewRawJSON(%q) = %q, which means something else", text, raw)
		}
	})
}

func anyOf(t *testing.T, text []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

// checkParseError checks that an error, if there is one, is a *ParseError with a place
// in text.
func checkParseError(t *testing.T, text []byte, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var pe *cts.ParseError
	if !errors.As(err, &pe) || !errors.Is(err, cts.ErrInvalidTrace) {
		t.Fatalf("%q: error %v is no *ParseError", text, err)
	}
	if pe.Offset < 0 || pe.Offset > int64(len(text)) || pe.Reason == "" {
		t.Fatalf("%q: %v is not in the text", text, err)
	}
	before := text[:pe.Offset]
	if pe.Line != bytes.Count(before, []byte("\n"))+1 || pe.Column != len(before)-bytes.LastIndexByte(before, '\n') {
		t.Fatalf("%q: %v: line and column are another place than the offset", text, err)
	}
}

func FuzzAppendJSON(f *testing.F) {
	f.Add(uint64(1), "a", "<\"\\\x00\xff\u2028>")
	f.Add(uint64(2), `{"server":{"adminPass":"********"}}`, "")
	f.Fuzz(func(t *testing.T, seed uint64, a, b string) {
		tr := newRandom(t, seed).trace()
		tr.Request, tr.User.Name = a, b
		tr.Ext.Labels = map[string]string{strings.ToValidUTF8(a, "?"): b}
		text := tr.AppendJSON([]byte("x"))[1:]
		if want := oracle(t, tr); !bytes.Equal(text, want) {
			t.Fatalf("\n got %q\nwant %q", text, want)
		}
		back, err := cts.ParseTrace(text)
		if err != nil {
			t.Fatalf("%v\n%q", err, text)
		}
		checkFixpoint(t, back)
		if back.Request != string([]rune(a)) || back.User.Name != string([]rune(b)) {
			t.Fatalf("%q and %q became %q and %q", a, b, back.Request, back.User.Name)
		}
	})
}

// No text makes a Decoder panic or go on without end; how it is cut into reads does
// not matter.
func FuzzDecoder(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte("["+s+","+s+"]"), uint8(40))
	}
	f.Fuzz(func(t *testing.T, text []byte, limit uint8) {
		opts := &cts.DecoderOptions{MaxTraceBytes: int(limit) * 10, TrustExt: limit%2 == 1}
		type step struct {
			text, err string
		}
		run := func(d *cts.Decoder) (steps []step) {
			for tr, err := range d.All() {
				if len(steps) > len(text) {
					t.Fatalf("%q: more steps than bytes", text)
				}
				if err != nil {
					checkParseError(t, text, err)
					steps = append(steps, step{err: err.Error()})
					continue
				}
				checkFixpoint(t, tr)
				steps = append(steps, step{text: string(tr.AppendJSON(nil))})
			}
			return steps
		}
		whole := run(cts.NewDecoder(bytes.NewReader(text), opts))
		bytewise := run(cts.NewDecoder(iotest.OneByteReader(bytes.NewReader(text)), opts))
		if !reflect.DeepEqual(whole, bytewise) {
			t.Fatalf("%q: read whole %q, read byte by byte %q", text, whole, bytewise)
		}
		if len(whole) == 1 && whole[0].err == "" && opts.TrustExt && json.Valid(text) {
			if tr, err := cts.ParseTrace(text); err == nil && string(tr.AppendJSON(nil)) != whole[0].text && !tolerated(text) {
				t.Fatalf("%q: ParseTrace reads %q, the Decoder %q", text, tr.AppendJSON(nil), whole[0].text)
			}
		}
	})
}

// tolerated reports whether a Decoder may read text otherwise than ParseTrace does:
// envelopes, and members that CTS has spelled in several ways.
func tolerated(text []byte) bool {
	for _, name := range []string{`cts"`, `traces"`, `trace_status`, `time"`, `\u`} {
		if bytes.Contains(text, []byte(name)) {
			return true
		}
	}
	return false
}

func FuzzPeekJSON(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		id, at, recorded, peekErr := cts.PeekJSON(text)
		checkParseError(t, text, peekErr)
		tr, err := cts.ParseTrace(text)
		if err != nil {
			return
		}
		if peekErr == nil && (id != tr.ID || at != tr.Time || recorded != tr.RecordTime) {
			t.Fatalf("%q: PeekJSON says %q, %d, %d; ParseTrace %q, %d, %d", text, id, at, recorded, tr.ID, tr.Time, tr.RecordTime)
		}
		id, at, recorded, err = cts.PeekJSON(tr.AppendJSON(nil))
		if len(tr.ID) <= cts.MaxIDLength && (err != nil || id != tr.ID || at != tr.Time || recorded != tr.RecordTime) {
			t.Fatalf("%q: canonical JSON: PeekJSON says %q, %d, %d, %v", text, id, at, recorded, err)
		}
	})
}
