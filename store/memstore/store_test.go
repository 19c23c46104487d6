package memstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
	"github.com/cloudtraceservice/cts/store/storetest"
)

var background = context.Background()

func entries(traces ...*cts.Trace) []cts.Entry {
	batch := make([]cts.Entry, len(traces))
	for i, t := range traces {
		batch[i].JSON = t.AppendJSON(nil)
	}
	return batch
}

func appendAll(t testing.TB, s *memstore.Store, traces ...*cts.Trace) {
	t.Helper()
	if _, err := s.Append(background, entries(traces...)); err != nil {
		t.Fatalf("Append: %v", err)
	}
}

func count(t testing.TB, s *memstore.Store) int {
	t.Helper()
	all, err := cts.Collect(s.After(background, 0))
	if err != nil {
		t.Fatalf("After: %v", err)
	}
	return len(all)
}

func TestOptions(t *testing.T) {
	if id := memstore.New(nil).ID(); uuid.MustParse(id).Version() != 4 {
		t.Errorf("the id %s is not a UUID of version 4", id)
	}
	const id = "0190763c-0000-7000-8000-000000000001"
	calls := 0
	s := memstore.New(&memstore.Options{MaxBytes: -1, NewID: func() string { calls++; return id }})
	if s.ID() != id || calls != 1 {
		t.Errorf("ID is %q after %d calls of NewID", s.ID(), calls)
	}
	appendAll(t, s, template())
}

func TestFull(t *testing.T) {
	traces := storetest.Traces(1, 4)
	size := make([]int64, len(traces))
	for i, trace := range traces {
		size[i] = int64(len(trace.AppendJSON(nil)))
	}
	s := memstore.New(&memstore.Options{MaxBytes: size[0] + size[1] + size[2]})
	appendAll(t, s, traces[:2]...)
	if _, err := s.Append(background, entries(traces[2], traces[3])); !errors.Is(err, cts.ErrStoreFull) {
		t.Fatalf("Append to a full store: %v, want %v", err, cts.ErrStoreFull)
	}
	if n := count(t, s); n != 2 {
		t.Fatalf("%d traces after a batch that did not fit, want 2", n)
	}
	appendAll(t, s, traces[2]) // to the last byte
	appendAll(t, s, traces[:3]...)
	if _, err := s.Append(background, entries(traces[3])); !errors.Is(err, cts.ErrStoreFull) {
		t.Errorf("Append to a full store: %v, want %v", err, cts.ErrStoreFull)
	}
	if _, err := s.SaveState(background, "s", []byte("x"), 0); !errors.Is(err, cts.ErrStoreFull) {
		t.Errorf("SaveState in a full store: %v, want %v", err, cts.ErrStoreFull)
	}
}

func TestStatesCount(t *testing.T) {
	s := memstore.New(&memstore.Options{MaxBytes: 100})
	save := func(name string, size int, generation uint64, want error) {
		t.Helper()
		if _, err := s.SaveState(background, name, make([]byte, size), generation); !errors.Is(err, want) {
			t.Errorf("SaveState of %d bytes: %v, want %v", size, err, want)
		}
	}
	save("ten-letter", 91, 0, cts.ErrStoreFull)
	save("ten-letter", 90, 0, nil)
	save("ten-letter", 91, 1, cts.ErrStoreFull)
	save("ten-letter", 90, 1, nil)
	save("ten-letter", 40, 2, nil)
	save("b", 49, 0, nil)
	save("c", 0, 0, cts.ErrStoreFull)
}

// TestRefusedBatchesCostNothing checks that a batch that fails at its end leaves no
// memory behind, however often it is tried.
func TestRefusedBatchesCostNothing(t *testing.T) {
	s := memstore.New(&memstore.Options{MaxBytes: 200_000})
	first := template()
	appendAll(t, s, first)
	other := template()
	other.Code = "500"
	batch := append(entries(storetest.Traces(2, 100)...), entries(other)...)
	for range 10 {
		if _, err := s.Append(background, batch); !errors.Is(err, cts.ErrIDConflict) {
			t.Fatalf("Append: %v, want %v", err, cts.ErrIDConflict)
		}
	}
	before := allocated()
	for range 100 {
		_, _ = s.Append(background, batch)
	}
	if perTry := (allocated() - before) / 100; perTry > 400_000 { // chunks for the batch and the comparison
		t.Errorf("a refused batch allocates %d bytes", perTry)
	}
	done, err := s.Append(background, batch[:100])
	if err != nil || done.First != 2 || done.Last != 101 || done.Existing != 0 {
		t.Errorf("Append of what was refused: %+v, %v", done, err)
	}
	if n := count(t, s); n != 101 {
		t.Errorf("%d traces, want 101", n)
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestArenaEdges stores traces of sizes around those of the chunks.
func TestArenaEdges(t *testing.T) {
	s := memstore.New(nil)
	var want []string
	for i, size := range []int{0, 60_000, 6_000, 1, 130_000, 131_072, 131_073, 140_000, 500, 1_000_000, 900_000, 0, 120_000, 120_000, 120_000} {
		trace := template()
		trace.ID = fmt.Sprintf("id-%d", i)
		trace.Request = strings.Repeat(string(rune('a'+i)), size)
		appendAll(t, s, trace)
		want = append(want, string(trace.AppendJSON(nil)))
	}
	var got []string
	for e, err := range s.After(background, 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(e.JSON))
	}
	if !slices.Equal(got, want) {
		t.Error("the log is not what was appended")
	}
}

// TestYieldedMemoryIsNotTheStore checks that a caller that breaks the rule and
// changes what it was given does not change the record.
func TestYieldedMemoryIsNotTheStore(t *testing.T) {
	s := memstore.New(nil)
	trace := template()
	appendAll(t, s, trace)
	for e, err := range s.After(background, 0) {
		if err != nil {
			t.Fatal(err)
		}
		clear(e.JSON)
	}
	for e, err := range s.Query(background, cts.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		clear(e.JSON)
		*e.Trace = cts.Trace{}
	}
	for e, err := range s.Query(background, cts.Query{}) {
		if err != nil || !bytes.Equal(e.AppendJSON(nil), trace.AppendJSON(nil)) || e.Trace.ID != trace.ID {
			t.Errorf("the record was changed from outside: %s, %v", e.AppendJSON(nil), err)
		}
	}
}

// TestBrokenJSON appends what only begins like a trace. The store may rely on its
// being one; what it must not do is hide it or quote it.
func TestBrokenJSON(t *testing.T) {
	s := memstore.New(nil)
	good := storetest.Traces(1, 2)
	broken := template().AppendJSON(nil)
	broken = append(broken[:len(broken)-200], `"secret": }`...)
	batch := entries(good...)
	if _, err := s.Append(background, []cts.Entry{batch[0], {JSON: broken}, batch[1]}); err != nil {
		t.Fatalf("Append: %v", err)
	}
	var damage *cts.CorruptionError
	traces, err := cts.Collect(s.Query(background, cts.Query{Attempts: true}))
	if !errors.As(err, &damage) || damage.First != 2 || damage.Last != 2 || len(traces) != 2 {
		t.Errorf("Query: %d traces and the error %v, want 2 and damage at position 2", len(traces), err)
	}
	if err != nil && strings.Contains(err.Error(), "secret") {
		t.Errorf("the error quotes the record: %v", err)
	}
	report, err := s.Verify(background)
	if err != nil || report.Traces != 2 || len(report.Damaged) != 1 || report.Damaged[0].First != 2 {
		t.Errorf("Verify: %+v, %v, want damage at position 2", report, err)
	}
	if _, err := s.Append(background, []cts.Entry{{Trace: template()}}); !errors.Is(err, cts.ErrIDConflict) {
		t.Errorf("Append of a readable trace with the id of an unreadable one: %v, want %v", err, cts.ErrIDConflict)
	}
	if _, err := s.Append(background, []cts.Entry{{JSON: append(good[0].AppendJSON(nil), '}')}}); !errors.Is(err, cts.ErrInvalidTrace) {
		t.Errorf("Append of broken JSON with a stored id: %v, want %v", err, cts.ErrInvalidTrace)
	}
}

// TestPeekAgrees appends heads of every kind and compares what the store made of
// them with what cts.PeekJSON reads.
func TestPeekAgrees(t *testing.T) {
	const id = "0190763c-0000-7000-8000-00000000000a"
	for _, head := range []string{
		`{"trace_id":"` + id + `","time":1720000000000,"record_time":1720000000001,`,
		`{"trace_id":"` + strings.ToUpper(id) + `","time":1720000000000,"record_time":1720000000001,`,
		`{"trace_id":"short","time":1720000000000,"record_time":1720000000001,`,
		`{"trace_id":"\u003c` + id[6:] + `","time":1720000000000,"record_time":1720000000001,`,
		`{"trace_id":"` + id[:34] + `é","time":1720000000000,"record_time":1720000000001,`,
		`{"trace_id":"` + id + `","time": 1720000000000,"record_time":1720000000001,`,
		`{"trace_id":"` + id + `","time":1720000000000,"record_time":1720000000001 ,`,
		`{"trace_id": "` + id + `","time":1720000000000,"record_time":1720000000001,`,
		`{"trace_id":"` + id + `","time":01720000000000,"record_time":1720000000001,`,
		`{"trace_id":"` + id + `","time":-1720000000000,"record_time":1720000000001,`,
		`{"trace_id":"` + id + `","time":1720000000000.0,"record_time":1720000000001,`,
		`{"trace_id":"` + id + `","time":1720000000000,"record_time":18446744073709551616,`,
		`{"trace_id":"` + id + `","time":1720000000000,"record_time":1720000000001720000000001,`,
		`{"trace_id":"` + id + `","time":,"record_time":1720000000001,`,
		`{"trace_id":"` + id + `","record_time":1720000000001,"time":1720000000000,`,
		`{"trace_id":"` + id + `x","time":1720000000000,"record_time":1720000000001,`,
		`{"trace_id":"` + id + `","time":1720000000000,"record_time":1720000000001`,
		`{"trace_id":"` + id + `","time":1720000000000,"record_time":`,
		`{"trace_id":"` + id + `"`,
	} {
		checkPeek(t, []byte(head+`"trace_name":"x"}`))
		checkPeek(t, []byte(head))
	}
}

// checkPeek appends json and compares the verdict with that of package cts.
func checkPeek(t *testing.T, json []byte) {
	t.Helper()
	id, time, recordTime, err := cts.PeekJSON(json)
	if err == nil {
		err = (&cts.Trace{ID: id, Name: "-", Time: time, RecordTime: recordTime}).Validate()
	}
	s := memstore.New(nil)
	_, got := s.Append(background, []cts.Entry{{JSON: json}})
	if len(json) > cts.MaxTraceBytes {
		return
	}
	if (got == nil) != (err == nil) || got != nil && !errors.Is(got, cts.ErrInvalidTrace) {
		t.Fatalf("%s: Append gives %v, want %v", json, got, err)
	}
	if err != nil {
		return
	}
	trace, err := cts.ParseTrace(json)
	if err != nil {
		return
	}
	q := cts.Query{From: time, To: time + 1, Attempts: true}
	if recordTime < math.MaxInt64 {
		traces, err := cts.Collect(s.Query(background, q))
		if err != nil || len(traces) != 1 || traces[0].ID != trace.ID {
			t.Fatalf("%s: not found at its time: %v", json, err)
		}
	}
	if done, err := s.Append(background, []cts.Entry{{JSON: json}}); err != nil || done.Existing != 1 {
		t.Fatalf("%s: not found by its id: %+v, %v", json, done, err)
	}
}

func FuzzPeek(f *testing.F) {
	for _, trace := range storetest.Traces(1, 5) {
		f.Add(trace.AppendJSON(nil))
	}
	f.Add([]byte(`{"trace_id":"0190763c-0000-7000-8000-00000000000a","time":1720000000000,"record_time":1720000000001,}`))
	f.Fuzz(func(t *testing.T, json []byte) { checkPeek(t, json) })
}

// TestAppendAllocations is the budget of the recording path: room for many traces
// at a time, and nothing per trace.
func TestAppendAllocations(t *testing.T) {
	json := template().AppendJSON(nil)
	withTrace := template()
	for name, entry := range map[string]cts.Entry{"json": {JSON: json}, "both": {JSON: json, Trace: withTrace}} {
		s := memstore.New(nil)
		batch := []cts.Entry{entry}
		const n = 50_000
		var before, after runtime.MemStats
		ids := make([]string, n)
		for i := range ids {
			numbered(json, uint64(i))
			ids[i] = string(json[len(`{"trace_id":"`):][:36])
		}
		runtime.ReadMemStats(&before)
		for i := range n {
			numbered(json, uint64(i))
			withTrace.ID = ids[i]
			if _, err := s.Append(background, batch); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		if perTrace := float64(after.Mallocs-before.Mallocs) / n; perTrace > 0.05 {
			t.Errorf("%s: %.3f allocations per trace, want none but for growth", name, perTrace)
		}
	}
}

// TestQueryAllocations checks that a page does not parse what lies outside of it.
func TestQueryAllocations(t *testing.T) {
	s := memstore.New(nil)
	traces := storetest.Traces(1, 2000)
	appendAll(t, s, traces...)
	q := cts.Query{Limit: 10, Attempts: true, Order: cts.Oldest}
	page := func(q cts.Query) (last cts.Entry, n int) {
		for e, err := range s.Query(background, q) {
			if err != nil {
				t.Fatal(err)
			}
			last, n = e.Clone(), n+1
		}
		return last, n
	}
	cost := func(q cts.Query) float64 {
		return testing.AllocsPerRun(5, func() {
			if _, n := page(q); n != 10 {
				t.Fatalf("a page has %d traces, want 10", n)
			}
		})
	}
	first := cost(q)
	deep, _ := page(q.Limited(1900))
	if got := cost(q.Resume(deep.Cursor())); got > 3*first+100 {
		t.Errorf("a page at depth 1900 costs %v allocations, the first one %v", got, first)
	}
	if got := cost(cts.Query{Limit: 10, Attempts: true, ByRecordTime: true, From: traces[1980].RecordTime - 100_000}); got > 10*first+100 {
		t.Errorf("a page of a range of record times costs %v allocations, the first one %v", got, first)
	}
}
