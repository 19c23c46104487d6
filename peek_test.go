package cts_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
)

func TestPeekJSON(t *testing.T) {
	for _, tr := range []*cts.Trace{
		{},
		{ID: "a", Time: 1, RecordTime: 2},
		{ID: "0190f5c2-7d3a-7c1e-9a64-3f0b8e2d5a17", Time: math.MaxInt64, RecordTime: math.MinInt64, Name: "n"},
		{ID: strings.Repeat("\x01", cts.MaxIDLength), Time: math.MinInt64, RecordTime: math.MinInt64},
		{ID: `","time":5,"record_time":6,"trace_name":"`, Time: 1, RecordTime: 2},
		{ID: "é\"\\\u2028", Time: cts.MinTime, RecordTime: cts.MaxTime, Request: strings.Repeat("x", 1<<20)},
	} {
		id, at, recorded, err := cts.PeekJSON(tr.AppendJSON(nil))
		if err != nil || id != tr.ID || at != tr.Time || recorded != tr.RecordTime {
			t.Errorf("id %q: got %q, %d, %d, %v; want %d, %d", tr.ID, id, at, recorded, err, tr.Time, tr.RecordTime)
		}
	}
}

func TestPeekJSONOfAnythingElse(t *testing.T) {
	for _, text := range []string{
		``, `{`, `{}`, `null`,
		`{"trace_id":"a"}`,
		`{"trace_id":"a","time":1}`,
		`{"trace_id":"a","time":1,"record_time":2}`, // canonical JSON goes on with trace_name
		`{"trace_id":"a","time":1,"record_time":2,"code":"","trace_name":""}`,
		`{"trace_id":"a","record_time":2,"time":1,"trace_name":""}`,
		`{"time":1,"trace_id":"a","record_time":2,"trace_name":""}`,
		`{"trace_id":5,"time":1,"record_time":2,"trace_name":""}`,
		`{"trace_id":"a","time":1.5,"record_time":2,"trace_name":""}`,
		`{"trace_id":"a","time":1,"record_time":"2","trace_name":""}`,
		`{"trace_id":"a","time":1,"record_time":9223372036854775808,"trace_name":""}`,
		` {"trace_id":"a","time":1,"record_time":2,"trace_name":""}`,
		`{"trace_id":"` + strings.Repeat("x", 2000) + `","time":1,"record_time":2,"trace_name":""}`,
	} {
		id, at, recorded, err := cts.PeekJSON([]byte(text))
		if !errors.Is(err, cts.ErrInvalidTrace) || id != "" || at != 0 || recorded != 0 {
			t.Errorf("%.80q: got %q, %d, %d, %v; want ErrInvalidTrace", text, id, at, recorded, err)
		}
	}
}

// A number must never be read up to where the look ends: at every length of the id,
// the answer is right or an error.
func TestPeekJSONNeverCutsANumber(t *testing.T) {
	for n := range 2000 {
		tr := cts.Trace{ID: strings.Repeat("x", n), Time: 1718777931170, RecordTime: 1718777931174}
		_, at, recorded, err := cts.PeekJSON(tr.AppendJSON(nil))
		if err == nil && (at != tr.Time || recorded != tr.RecordTime) {
			t.Fatalf("id of %d bytes: times %d and %d", n, at, recorded)
		}
		if err != nil && n <= 1000 {
			t.Fatalf("id of %d bytes: %v", n, err)
		}
	}
}

func TestPeekJSONAllocations(t *testing.T) {
	text := fullTrace(t).AppendJSON(nil)
	n := testing.AllocsPerRun(100, func() {
		if _, _, _, err := cts.PeekJSON(text); err != nil {
			t.Fatal(err)
		}
	})
	if n > 1 {
		t.Errorf("%v allocations, want one for the id", n)
	}
}
