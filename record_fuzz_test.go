package cts_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// FuzzRecord takes traces of any content through the whole tracker. What it takes is
// stored as JSON that gives itself again, what it refuses is ErrInvalidTrace, and the
// caller's trace is as it was.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"password":"x","a":[1,2]}`), "text", "label", `"more":{"token":"t"}`, `{"v":2}`, int64(1_700_000_000_000), uint8(3), true)
	f.Add([]byte("a=b&password=c"), "\xff\xfe", "\x80", `"a":"\u00e9"`, `"foreign"`, int64(0), uint8(0), false)
	f.Add([]byte("\x01\x02<>&\u2028"), "Bearer abc.def.ghi", "", `"a":`, `{`, int64(1), uint8(200), true)
	f.Add([]byte(`[[[{"a":"{\"password\":\"p\"}"}]]]`), `\ufffd`, "k", `"trace_id":"1"`, `null`, int64(-1), uint8(64), false)
	f.Fuzz(func(t *testing.T, body []byte, text, label, unknown, foreign string, at int64, n uint8, redaction bool) {
		given := &cts.Trace{Request: string(body), Time: at}
		textFields(given, func(place string, v reflect.Value) {
			if v.String() == "" && (place == "trace_name" || len(place)%2 == int(n%2)) {
				v.SetString(text)
			}
		})
		for i := range n {
			given.Ext.Changes = append(given.Ext.Changes, cts.Change{Field: label, Old: text, New: string(body)})
			given.Ext.Cut = append(given.Ext.Cut, cts.Mark{Field: label, Length: int(i)})
		}
		given.Ext.Labels = map[string]string{label: text, text: label}
		given.Unknown, given.User.Unknown, given.Ext.Foreign = cts.Members(unknown), cts.Members(unknown), cts.RawJSON(foreign)
		before := given.Clone()

		store := memstore.New(nil)
		tracker, err := cts.Open(context.Background(), store, &cts.TrackerOptions{WithoutRedaction: !redaction, Limits: cts.Limits{Body: 200, Text: 64, Items: 5, Unknown: 60}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = tracker.Record(context.Background(), given)
		if err != nil && !errors.Is(err, cts.ErrInvalidTrace) {
			t.Errorf("Record: %v", err)
		}
		if diff := cmp.Diff(before, given); diff != "" {
			t.Errorf("Record changed the caller's trace:\n%s", diff)
		}
		given.Ext.Source = cts.Source{Name: text, ID: label}
		first, err := tracker.Import(context.Background(), []*cts.Trace{given})
		if err != nil {
			t.Errorf("Import: %v", err)
		}
		if again, err := tracker.Import(context.Background(), []*cts.Trace{given}); err != nil || again.Existing != first.Stored || again.Stored != 0 {
			t.Errorf("second import: %+v behind %+v, %v", again, first, err)
		}
		wholeJSON(t, store)
		if err := tracker.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// FuzzRecordParsed takes what the parser accepts through the tracker: all of it comes
// out again but for what the tracker stamps.
func FuzzRecordParsed(f *testing.F) {
	f.Add([]byte(`{"trace_id":"1","trace_name":"n","time":1700000000000,"record_time":1700000000000,"user":{"name":"a","more":[1]},"ext":{"v":1,"labels":{"a":"b"}},"z":1.50}`))
	f.Add([]byte(`{"trace_id":"1","trace_name":"n","time":1700000000000,"record_time":1700000000000,"user":{},"ext":{"other":true}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		given, err := cts.ParseTrace(data)
		if err != nil || given.Validate() != nil || len(data) > 60_000 {
			return
		}
		store := memstore.New(nil)
		tracker, err := cts.Open(context.Background(), store, &cts.TrackerOptions{
			WithoutRedaction: true, Limits: cts.Limits{Body: 1 << 20, Text: 1 << 20, Message: 1 << 20, Items: 1 << 20, Unknown: 1 << 20},
		})
		if err != nil {
			t.Fatal(err)
		}
		given.Ext.Source = cts.Source{Name: "fuzz", ID: "1"}
		if len(given.Ext.Cut) > 100 {
			given.Ext.Cut = given.Ext.Cut[:100]
		}
		if result, err := tracker.Import(context.Background(), []*cts.Trace{given}); err != nil || result.Stored != 1 {
			t.Fatalf("a valid trace was refused: %+v, %v", result, err)
		}
		got, err := cts.ParseTrace(wholeJSON(t, store))
		if err != nil {
			t.Fatal(err)
		}
		given.ID = got.ID
		if given.TrackerName == "" {
			given.TrackerName = "system"
		}
		if want := given.AppendContent(nil); !bytes.Equal(want, got.AppendContent(nil)) {
			t.Errorf("stored %s\nwant   %s", got.AppendContent(nil), want)
		}
	})
}

// Record in queued mode allocates at most once: for the id.
func TestRecordAllocatesOnce(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	store := memstore.New(nil)
	tracker := open(t, store, &cts.TrackerOptions{Delivery: cts.Queued, WithoutRedaction: true, QueueBytes: 64 << 20, BlockTimeout: 1e12})
	tr := op("x")
	tr.Request, tr.Response = string(bytes.Repeat([]byte("r"), 500)), string(bytes.Repeat([]byte("s"), 300))
	record := func() {
		if _, err := tracker.Record(context.Background(), tr); err != nil {
			t.Fatal(err)
		}
	}
	for range 20_000 { // lets all buffers grow
		record()
	}
	if err := tracker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(20_000, record); n > 1 {
		t.Errorf("%v allocations in one Record, at most 1", n)
	}
}
