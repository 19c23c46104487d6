package cts_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

func ExampleExplanation_String() {
	e := cts.Explanation{
		Matched: 12, Duration: 1500 * time.Microsecond, Parts: 9, Passed: cts.PartsPassed{Time: 5, Values: 2, Unreached: 1}, Opened: 1,
		Lists: 1, Listed: 30, Blocks: 4, Log: 2, Marked: 800, Bytes: 9000,
		Detail: []cts.PartExplanation{{Name: "segments/00000007.seg", Rows: 70000, List: 30, Judged: 30, Matched: 11, Blocks: 4, Bytes: 8000}},
	}
	fmt.Println(e)
	// Output:
	// 12 traces in 1.5ms
	// parts: 1 opened of 9; passed over: 5 by time, 2 by their values, 1 behind the limit
	// rows: 30 of 1 lists, 0 scanned; blocks of texts: 4; log: 2 traces read, 800 passed over; 9000 bytes read
	//   segments/00000007.seg: a list of 30, 30 of 70000 rows judged, 11 found, 4 blocks, 8000 bytes
}

func TestExplanationText(t *testing.T) {
	e := cts.Explanation{Damaged: 2, Opened: 5, Detail: []cts.PartExplanation{{Name: "p", List: -1, Judged: 3, Rows: 4}}}
	want := "0 traces in 0s, 2 damaged places\n" +
		"parts: 5 opened of 0; passed over: 0 by time, 0 by their values, 0 behind the limit\n" +
		"rows: 0 of 0 lists, 0 scanned; blocks of texts: 0; log: 0 traces read, 0 passed over; 0 bytes read\n" +
		"  p: scanned, 3 of 4 rows judged, 0 found, 0 blocks, 0 bytes\n" +
		"  and 4 more"
	if e.String() != want {
		t.Errorf("got\n%s\nwant\n%s", e, want)
	}
	b, err := json.Marshal(e)
	var back cts.Explanation
	if err == nil {
		err = json.Unmarshal(b, &back)
	}
	if err != nil || back.String() != want {
		t.Errorf("%s, %v", b, err)
	}
}

// bareReader has no ability.
type bareReader struct{ cts.Reader }

// unwrapping has what it wraps.
type unwrapping struct{ cts.Store }

func (w unwrapping) Unwrap() any { return w.Store }

func TestAbilitiesToTell(t *testing.T) {
	ctx := context.Background()
	m := memstore.New(nil)
	bare := bareReader{m}
	if _, err := cts.Statistics(ctx, bare); !errors.Is(err, cts.ErrNotSupported) {
		t.Errorf("Statistics: %v", err)
	}
	if err := cts.Snapshot(ctx, bare, t.TempDir()); !errors.Is(err, cts.ErrNotSupported) {
		t.Errorf("Snapshot: %v", err)
	}
	if _, err := cts.Explain(ctx, bare, cts.Query{}); !errors.Is(err, cts.ErrNotSupported) {
		t.Errorf("Explain: %v", err)
	}
	if s, err := cts.Statistics(ctx, unwrapping{m}); err != nil || s.Traces != 0 || len(s.Parts) != 0 {
		t.Errorf("Statistics of an empty store: %+v, %v", s, err)
	}
}

func TestStatisticsAddUp(t *testing.T) {
	part := func(name string, first, last cts.Position, traces, oldest, newest int64) cts.StorePart {
		return cts.StorePart{
			Name: name, First: first, Last: last, Traces: traces, Bytes: 10 * traces,
			Times: cts.TimeRange{Oldest: oldest, Newest: newest, OldestRecord: oldest + 1, NewestRecord: newest + 2},
		}
	}
	s := cts.NewStatistics([]cts.StorePart{
		part("a", 3, 9, 5, 100, 200), {Name: "empty"}, part("b", 12, 12, 1, 50, 50), part("c", 13, 20, 8, 150, 900),
	}, 4)
	want := cts.TimeRange{Oldest: 50, Newest: 900, OldestRecord: 51, NewestRecord: 902}
	if s.Traces != 14 || s.Bytes != 140 || s.First != 3 || s.Last != 20 || s.Lost != 4 || s.Times != want || len(s.Parts) != 3 {
		t.Errorf("%+v", s)
	}
	if _, err := json.Marshal(s); err != nil {
		t.Error(err)
	}
}
