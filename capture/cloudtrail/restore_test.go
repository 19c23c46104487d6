package cloudtrail_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/capture/cloudtrail"
)

// meaning returns what a JSON text says, in one spelling: the members of objects in
// order of their names, numbers as they are.
func meaning(t testing.TB, text []byte) string {
	t.Helper()
	return spelled(t, value(t, text))
}

func value(t testing.TB, text []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("not JSON: %v", err)
	}
	return v
}

func spelled(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func restored(t testing.TB, tr *cts.Trace) []byte {
	t.Helper()
	event, err := cloudtrail.Restore(tr)
	if err != nil {
		t.Fatal(err)
	}
	return event
}

func TestRestore(t *testing.T) {
	for _, text := range []string{
		event(""),
		fullEvent,
		event(`,"requestParameters":null,"responseElements":null`),
		event(`,"requestParameters":{},"responseElements":[]`),
		event(`,"requestParameters":"text","responseElements":7`),
		event(`,"requestParameters":{"a":[1,2.50,-0.0,1e+2,{"b":null}]}`),
		event(`,"userIdentity":"x","resources":{},"eventSource":[],"readOnly":{},"awsRegion":null,"errorCode":false`),
		event(`,"":{"":""},"cloudtrail":{"cloudtrail":1},"<&>\u2028":"\u0000\ud83d\ude00 \ud83d"`),
		event(`,"Request":"case","eventid":"case","REQUESTPARAMETERS":{}`),
		event(`,"x":` + strings.Repeat("[", 127) + strings.Repeat("]", 127)),
	} {
		tr := mapped(t, text)
		got := restored(t, tr)
		if diff := cmp.Diff(meaning(t, []byte(text)), meaning(t, got)); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, got); err != nil || !bytes.Equal(compact.Bytes(), got) {
			t.Errorf("%s is not compact", got)
		}
		stored, err := cts.ParseTrace(tr.AppendJSON(nil))
		if err != nil {
			t.Fatalf("the trace's JSON can't be read: %v", err)
		}
		if again := restored(t, stored); !bytes.Equal(again, got) {
			t.Errorf("after storing: %s, before: %s", again, got)
		}
	}
}

func TestRestoreIncomplete(t *testing.T) {
	with := func(change func(*cts.Trace)) *cts.Trace {
		tr := mapped(t, fullEvent)
		change(tr)
		return tr
	}
	tests := []struct {
		name string
		t    *cts.Trace
		want string
	}{
		{"another trace", &cts.Trace{Unknown: `"x":1`}, `"cloudtrail"`},
		{"another cloudtrail", &cts.Trace{Unknown: `"cloudtrail":[1]`}, `"cloudtrail"`},
		{"broken cloudtrail", &cts.Trace{Unknown: `"cloudtrail":{`}, `"cloudtrail"`},
		{"cut request", with(func(t *cts.Trace) { t.Ext.Cut = []cts.Mark{{Field: "request", Length: 99}} }), "request was cut from 99 bytes"},
		{"cut members", with(func(t *cts.Trace) { t.Ext.Cut = []cts.Mark{{Field: "unknown", Length: 99}} }), "unknown was cut"},
		{"changed request", with(func(t *cts.Trace) { t.Request = "{" }), "requestParameters"},
		{"changed response", with(func(t *cts.Trace) { t.Response = "1 2" }), "responseElements"},
	}
	for _, tt := range tests {
		got, err := cloudtrail.Restore(tt.t)
		if !errors.Is(err, cloudtrail.ErrIncomplete) || !strings.Contains(err.Error(), tt.want) || got != nil {
			t.Errorf("%s: %q, error %v, want ErrIncomplete with %s", tt.name, got, err, tt.want)
		}
	}
	if _, err := cloudtrail.Restore(with(func(t *cts.Trace) { t.Ext.Cut = []cts.Mark{{Field: "user_agent"}} })); err != nil {
		t.Errorf("a user agent that was cut: %v, want none, for it is in the event", err)
	}
}
