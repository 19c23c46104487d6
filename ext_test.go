package cts_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
)

func TestExtOfThisVersionIsOurs(t *testing.T) {
	want := fullTrace(t).Ext
	text, err := json.Marshal(versionExt{V: 1, Ext: &want})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := cts.ParseTrace([]byte(`{"ext":` + string(text) + `}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, tr.Ext); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What is not exactly what this version writes is kept aside whole and understood
// not at all.
func TestExtThatIsNotOurs(t *testing.T) {
	for _, ext := range []string{
		`{"role":"admin"}`,                        // no version
		`{"v":2,"role":"admin"}`,                  // another version
		`{"v":0,"role":"admin"}`,                  //
		`{"v":"1","role":"admin"}`,                // a version of another type
		`{"v":1.0,"role":"admin"}`,                //
		`{"v":null,"role":"admin"}`,               //
		`{"v":1,"role":"admin","new":1}`,          // a member that we don't know
		`{"v":1,"Role":"admin"}`,                  // another case
		`{"v":1,"role":"admin","role":"x"}`,       // a member twice
		`{"v":1,"role":5}`,                        // another type
		`{"v":1,"role":null}`,                     // we never write null
		`{"v":1,"writer":{"id":"w","x":1}}`,       //
		`{"v":1,"writer":{"id":"w","id":"w"}}`,    //
		`{"v":1,"writer":"w"}`,                    //
		`{"v":1,"forwarded_for":"a"}`,             //
		`{"v":1,"forwarded_for":[1]}`,             //
		`{"v":1,"authorization":[{"granted":1}]}`, //
		`{"v":1,"authorization":[{"granted":null}]}`,
		`{"v":1,"authorization":[{"x":1}]}`,
		`{"v":1,"authorization":[5]}`,
		`{"v":1,"resources":[{"x":"y"}]}`,
		`{"v":1,"changes":[{"field":"f","old":1}]}`,
		`{"v":1,"labels":{"a":1}}`,
		`{"v":1,"labels":{"a":"1","a":"2"}}`,
		`{"v":1,"labels":[]}`,
		`{"v":1,"source":{"name":1}}`,
		`{"v":1,"cut":[{"field":"f","length":"1"}]}`,
		`{"v":1,"cut":[{"field":"f","length":9223372036854775808}]}`,
		`{"v":1,"redacted":[{"field":"f","hash":1}]}`,
		`{"v":1,"redacted":[{"x":1}]}`,
		`{"v":1,"gap":{"count":1.5}}`,
		`{"v":1,"gap":{"exact":"true"}}`,
		`{"v":1,"gap":{"x":1}}`,
		`"text"`, `5`, `true`, `[]`, `["v",1]`,
	} {
		tr, err := cts.ParseTrace([]byte(`{"ext":` + ext + `,"code":"200"}`))
		if err != nil {
			t.Errorf("%s: %v", ext, err)
			continue
		}
		if diff := cmp.Diff(&cts.Trace{Code: "200", Ext: cts.Ext{Foreign: cts.RawJSON(ext)}}, tr); diff != "" {
			t.Errorf("%s (-want +got):\n%s", ext, diff)
		}
		if again, err := cts.ParseTrace(tr.AppendJSON(nil)); err != nil || string(again.Ext.Foreign) != ext {
			t.Errorf("%s: written and read it became %s, %v", ext, again.Ext.Foreign, err)
		}
	}
}

func TestExtThatIsNothing(t *testing.T) {
	for _, ext := range []string{
		`null`, `{}`, ` { } `, `{"v":1}`, `{"v":1,"labels":{},"cut":[],"writer":{},"role":"","gap":{"count":0,"exact":false}}`,
	} {
		tr, err := cts.ParseTrace([]byte(`{"ext":` + ext + `}`))
		if err != nil || !tr.Ext.IsZero() {
			t.Errorf("%s: got %+v, %v", ext, tr, err)
			continue
		}
		if text := string(tr.AppendJSON(nil)); strings.Contains(text, `"ext"`) {
			t.Errorf("%s: an empty ext is written: %s", ext, text)
		}
	}
}

func TestExtIsCanonicalInForeign(t *testing.T) {
	tr, err := cts.ParseTrace([]byte("{\"ext\": { \"v\" : 2,\n\"x\": [ \"<\u2028\", 1.0 ] } }"))
	if want := `{"v":2,"x":["\u003c\u2028",1.0]}`; err != nil || string(tr.Ext.Foreign) != want {
		t.Errorf("got %s, %v; want %s", tr.Ext.Foreign, err, want)
	}
}

func TestExtIsZero(t *testing.T) {
	if !(cts.Ext{Labels: map[string]string{}, Cut: []cts.Mark{}}).IsZero() {
		t.Error("an Ext with empty lists is not zero")
	}
	full := fullTrace(t).Ext
	full.Role, full.SessionID, full.W3CTraceID, full.W3CSpanID, full.ClientID, full.PeerIP = "r", "s", "w", "w", "c", "p"
	eachField(t, full, func(name string, only cts.Ext) {
		if only.IsZero() {
			t.Errorf("an Ext with %s alone is zero", name)
		}
		if tr := (&cts.Trace{Ext: only}); !strings.Contains(string(tr.AppendJSON(nil)), `"ext":{"v":1,"`) {
			t.Errorf("an Ext with %s alone is not written", name)
		}
	})
}
