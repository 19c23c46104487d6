package cts_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// textFields calls f for every text of a trace, with its place as marks name it:
// whatever field is added to Trace or Ext is among them. Lists have one entry each.
func textFields(tr *cts.Trace, f func(place string, text reflect.Value)) {
	tr.User.InvokedBy, tr.Ext.ForwardedFor = []string{"x"}, []string{"x"}
	tr.Ext.Authorization, tr.Ext.Resources = make([]cts.Authorization, 1), make([]cts.Resource, 1)
	tr.Ext.Changes, tr.Ext.Redacted = make([]cts.Change, 1), make([]cts.Mark, 1)
	walkTexts(reflect.ValueOf(tr).Elem(), "", f)
}

// stamped are the places that only the Tracker writes.
var stamped = map[string]bool{"trace_id": true, "tracker_name": true, "ext.writer.id": true, "ext.writer.boot": true, "ext.policy_hash": true}

func walkTexts(v reflect.Value, place string, f func(string, reflect.Value)) {
	switch v.Kind() {
	case reflect.String:
		raw := v.Type() == reflect.TypeFor[cts.Members]() || v.Type() == reflect.TypeFor[cts.RawJSON]()
		if !raw && !stamped[place] {
			f(place, v)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if name != "-" {
				walkTexts(v.Field(i), strings.TrimPrefix(place+"."+name, "."), f)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			walkTexts(v.Index(i), place, f)
		}
	}
}

// limitOf returns the default limit of a place.
func limitOf(place string) int {
	switch place {
	case "request", "response":
		return 64 << 10
	case "message", "resource_url", "endpoint", "location_info":
		return 5 << 10
	}
	return 1 << 10
}

func keyed(key, value string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(value))
	return hex.EncodeToString(h.Sum(nil))
}

// only is a valid trace in which one place has the given text.
func only(place, text string) *cts.Trace {
	tr := &cts.Trace{Name: "n"}
	textFields(tr, func(at string, v reflect.Value) {
		if at == place {
			v.SetString(text)
		}
	})
	return tr
}

// places returns every place that has a text.
func places() []string {
	var all []string
	textFields(new(cts.Trace), func(place string, _ reflect.Value) {
		if !reserved(place) {
			all = append(all, place)
		}
	})
	return all
}

// reserved reports whether a text is not the caller's to give.
func reserved(place string) bool {
	return place == "ext.phase" || place == "ext.attempt_id" || place == "ext.gap.reason"
}

// Every text is cut at the boundary of a character and marked with the length it had.
func TestEveryTextIsCut(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, &cts.TrackerOptions{WithoutRedaction: true, HashKey: []byte("key")})
	if n := len(places()); n < 50 {
		t.Fatalf("%d places: the walk has lost its way", n)
	}
	for _, place := range places() {
		if place == "ext.redacted.hash" {
			continue // has a length of its own
		}
		limit := limitOf(place)
		for _, text := range []string{strings.Repeat("x", limit), "x" + strings.Repeat("ä", limit), strings.Repeat("€", limit), strings.Repeat("𝄞", limit)} {
			given := only(place, text)
			before := given.Clone()
			receipt, err := tracker.Record(t.Context(), given)
			if err != nil {
				t.Fatalf("%s: %v", place, err)
			}
			if diff := cmp.Diff(before, given); diff != "" {
				t.Errorf("%s: Record changed the caller's trace:\n%s", place, diff)
			}
			got := byID(t, store, receipt)
			kept := textAt(got, place)
			if len(text) == limit {
				if kept != text || len(got.Ext.Cut) != 0 {
					t.Errorf("%s: a text of its limit was cut to %d", place, len(kept))
				}
				continue
			}
			if len(kept) > limit || len(kept) < limit-3 || !utf8.ValidString(kept) || !strings.HasPrefix(text, kept) {
				t.Errorf("%s: cut to %d bytes, valid %v", place, len(kept), utf8.ValidString(kept))
			}
			want := []cts.Mark{{Field: place, Length: len(text), Hash: keyed("key", text)}}
			if diff := cmp.Diff(want, got.Ext.Cut); diff != "" {
				t.Errorf("%s: marks (-want +got):\n%s", place, diff)
			}
		}
	}
}

// textAt returns the text of a place.
func textAt(tr *cts.Trace, place string) (text string) {
	walkTexts(reflect.ValueOf(tr).Elem(), "", func(at string, v reflect.Value) {
		if at == place {
			text = v.String()
		}
	})
	return text
}

// byID returns the stored trace of a receipt.
func byID(t *testing.T, store *memstore.Store, receipt cts.Receipt) *cts.Trace {
	t.Helper()
	for e, err := range store.After(t.Context(), receipt.Position-1) {
		if err != nil {
			t.Fatal(err)
		}
		tr, err := cts.ParseTrace(e.JSON)
		if err != nil || tr.ID != receipt.ID {
			t.Fatalf("position %d has %v, %v", receipt.Position, tr, err)
		}
		return tr
	}
	t.Fatal("the trace is not there")
	return nil
}

// With Reject the error says which field is too long, how long, and how long it may be.
func TestRejectNamesTheField(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, &cts.TrackerOptions{Limits: cts.Limits{Reject: true}, WithoutRedaction: true})
	for _, place := range places() {
		if place == "ext.redacted.hash" {
			continue
		}
		limit := limitOf(place)
		if _, err := tracker.Record(t.Context(), only(place, strings.Repeat("x", limit))); err != nil {
			t.Errorf("%s of its limit: %v", place, err)
		}
		_, err := tracker.Record(t.Context(), only(place, strings.Repeat("x", limit+1)))
		var field *cts.FieldError
		if !errors.As(err, &field) || !errors.Is(err, cts.ErrTooLarge) || field.Field != place || field.Length != limit+1 || field.Limit != limit {
			t.Errorf("%s: %v", place, err)
		}
		if err != nil && strings.Contains(err.Error(), "xxxx") {
			t.Errorf("%s: the error holds the value", place)
		}
	}
	escapes := &cts.Trace{Name: "n", Request: strings.Repeat("\x01", 64<<10), Response: strings.Repeat("\x01", 64<<10)}
	for i := range 64 {
		escapes.Ext.Changes = append(escapes.Ext.Changes, cts.Change{Field: string(rune('a' + i)), Old: strings.Repeat("\x01", 1024), New: strings.Repeat("\x01", 1024)})
	}
	if _, err := tracker.Record(t.Context(), escapes); !errors.Is(err, cts.ErrTooLarge) {
		t.Errorf("fields within limits, JSON over 1 MiB: %v, want ErrTooLarge", err)
	}
	invalid := &cts.Trace{Name: "n", Request: strings.Repeat("\xff", 40<<10)} // three bytes each, when replaced
	if _, err := tracker.Record(t.Context(), invalid); !errors.Is(err, cts.ErrTooLarge) {
		t.Errorf("a body that is over its limit as UTF-8: %v, want ErrTooLarge", err)
	}
	if st := tracker.Status(); st.Lost != 0 || st.Rejected != int64(len(places())-1)+2 || st.Cut != 0 {
		t.Errorf("status %+v", st)
	}
}

func TestListsAreCut(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, &cts.TrackerOptions{Limits: cts.Limits{Items: 3, Unknown: 40}, WithoutRedaction: true})
	given := &cts.Trace{
		Name: "n", User: cts.User{InvokedBy: strings.Fields("a b c d"), Unknown: `"u":"` + cts.Members(strings.Repeat("u", 50)) + `"`},
		Unknown: `"a":1,"b":2,"c":"` + cts.Members(strings.Repeat("c", 50)) + `","d":4`,
		Ext: cts.Ext{
			ForwardedFor: strings.Fields("a b c d e"), Authorization: make([]cts.Authorization, 4), Resources: make([]cts.Resource, 5),
			Changes: make([]cts.Change, 6), Redacted: make([]cts.Mark, 7), Cut: []cts.Mark{{Field: "1"}, {Field: "2"}, {Field: "3"}, {Field: "4"}},
			Labels: map[string]string{"d": "4", "b": "2", "a": "1", "c": "3"}, Foreign: cts.RawJSON(`"` + strings.Repeat("f", 50) + `"`),
		},
	}
	given.User.Domain.Unknown = `"d":"` + cts.Members(strings.Repeat("d", 50)) + `"`
	before := given.Clone()
	receipt, err := tracker.Record(t.Context(), given)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, given); diff != "" {
		t.Errorf("Record changed the caller's trace:\n%s", diff)
	}
	got := byID(t, store, receipt)
	e := got.Ext
	if len(got.User.InvokedBy) != 3 || len(e.ForwardedFor) != 3 || len(e.Authorization) != 3 || len(e.Resources) != 3 || len(e.Changes) != 3 || len(e.Redacted) != 3 {
		t.Errorf("lists are not cut: %+v", got)
	}
	if got.Unknown != `"a":1,"b":2` || got.User.Unknown != "" || got.User.Domain.Unknown != "" || e.Foreign != "" {
		t.Errorf("unknown members: %q, %q, %q, %q", got.Unknown, got.User.Unknown, got.User.Domain.Unknown, e.Foreign)
	}
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "2", "c": "3"}, e.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	marked := map[string]int{}
	for _, m := range e.Cut {
		marked[m.Field] = m.Length
	}
	want := map[string]int{
		"1": 0, "2": 0, "3": 0, "ext.cut": 4, "user.invoked_by": 4, "ext.forwarded_for": 5, "ext.authorization": 4, "ext.resources": 5,
		"ext.changes": 6, "ext.redacted": 7, "ext.labels": 4, "unknown": len(given.Unknown), "user": len(given.User.Unknown),
		"user.domain": len(given.User.Domain.Unknown), "ext.foreign": len(given.Ext.Foreign),
	}
	if diff := cmp.Diff(want, marked); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
}

func TestLabelsAreCut(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, &cts.TrackerOptions{WithoutRedaction: true})
	long := strings.Repeat("k", 2000)
	receipt, err := tracker.Record(t.Context(), &cts.Trace{Name: "n", Ext: cts.Ext{Labels: map[string]string{
		"short": strings.Repeat("v", 3000), long + "1": "one", long + "2": "two",
	}}})
	if err != nil {
		t.Fatal(err)
	}
	got := byID(t, store, receipt).Ext
	if len(got.Labels) != 2 || len(got.Labels["short"]) != 1024 || got.Labels[long[:1024]] != "one" {
		t.Errorf("labels %v", got.Labels)
	}
	want := []cts.Mark{{Field: "ext.labels", Length: 2001}, {Field: "ext.labels.short", Length: 3000}}
	if diff := cmp.Diff(want, got.Cut); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
}

func TestLimitsAreChecked(t *testing.T) {
	for _, l := range []cts.Limits{{Body: -1}, {Text: -1}, {Message: -1}, {Items: -1}, {Unknown: -1}, {Text: 63}} {
		if _, err := cts.Open(t.Context(), memstore.New(nil), &cts.TrackerOptions{Limits: l}); err == nil || !strings.Contains(err.Error(), "Limits") {
			t.Errorf("%+v: %v", l, err)
		}
	}
}
