package filestore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// TestExplainCounts explains queries of all kinds: what it tells fits what they yield,
// and adds up.
func TestExplainCounts(t *testing.T) {
	s, m := twins(t, vfstest.NewMemFS(), "/store")
	sample := sampleOf(t, m, 480)
	for name, q := range questions(sample) {
		want, err := cts.Collect(s.Query(background, q))
		if err != nil {
			t.Fatal(err)
		}
		e, err := cts.Explain(background, s, q)
		if err != nil || e.Matched != int64(len(want)) || e.Damaged != 0 {
			t.Errorf("%s: %d matched, %v, want %d", name, e.Matched, err, len(want))
		}
		if e.Parts != s.Status().Segments || e.Opened+e.Passed.Sum() != e.Parts || len(e.Detail) != e.Opened {
			t.Errorf("%s: %d parts, %d opened, %+v passed over", name, e.Parts, e.Opened, e.Passed)
		}
		var judged, blocks, bytes, matched, lists int64
		for _, p := range e.Detail {
			judged, blocks, bytes, matched = judged+p.Judged, blocks+p.Blocks, bytes+p.Bytes, matched+p.Matched
			if p.List >= 0 {
				lists++
			}
			if p.Judged > p.Rows || p.Matched > p.Judged || p.Rows == 0 || !strings.HasPrefix(p.Name, "segments/") {
				t.Errorf("%s: %+v", name, p)
			}
		}
		if judged != e.Listed+e.Scanned || blocks != e.Blocks || lists != e.Lists || bytes > e.Bytes {
			t.Errorf("%s: the detail does not add up: %+v", name, e)
		}
		if matched+e.Log+int64(q.Skip) < e.Matched {
			t.Errorf("%s: more was yielded than found: %+v", name, e)
		}
	}
}

func sampleOf(t *testing.T, s cts.Log, n int) *cts.Trace {
	t.Helper()
	for e, err := range s.After(background, cts.Position(n)) {
		if err != nil {
			t.Fatal(err)
		}
		return must(cts.ParseTrace(e.JSON))
	}
	t.Fatal("there is no such trace")
	return nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestExplainTells checks the single figures where they are known.
func TestExplainTells(t *testing.T) {
	d := newSealedDisk(t) // 1 to 10, 11 to 20, 21 to 30 are segments, 31 to 40 the log
	s := open(t, d, "/store", *unsealed(filestore.Options{}))
	at := func(n int) time.Time { return time.UnixMilli(traceOf(n).Time) }
	var all cts.Query
	for _, tt := range []struct {
		name  string
		q     cts.Query
		holds func(e cts.Explanation) bool
	}{
		{"everything", all, func(e cts.Explanation) bool {
			return e.Matched == 40 && e.Opened == 3 && e.Scanned == 30 && e.Lists == 0 && e.Log == 10 && e.Blocks >= 3 && e.Bytes > 1000
		}},
		{"heads", all.HeadsOnly(), func(e cts.Explanation) bool { return e.Matched == 40 && e.Blocks == 0 }},
		{"a time in one segment", all.Between(at(12), at(15)), func(e cts.Explanation) bool {
			return e.Matched == 3 && e.Opened == 1 && e.Passed.Time == 2 && e.Scanned == 3 && e.Log == 0
		}},
		{"the newest", all.Limited(5), func(e cts.Explanation) bool {
			return e.Matched == 5 && e.Opened == 0 && e.Passed.Unreached == 3 && e.Log >= 5
		}},
		{"a value that is nowhere", all.Where(cts.Eq(cts.FieldUser, "nobody")), func(e cts.Explanation) bool {
			return e.Matched == 0 && e.Opened == 0 && e.Passed.Values == 3
		}},
		{"an id", all.Where(cts.Eq(cts.FieldTraceID, traceOf(15).ID)), func(e cts.Explanation) bool {
			return e.Matched == 1 && e.Opened == 1 && e.Passed.Values == 2 && e.Lists+e.Scanned > 0
		}},
		{"behind a cursor", all.OldestFirst().Resume(cursorAt(t, s, 20)), func(e cts.Explanation) bool {
			return e.Matched == 20 && e.Opened == 1 && e.Passed.Time == 2
		}},
	} {
		e, err := s.Explain(background, tt.q)
		if err != nil || !tt.holds(e) {
			t.Errorf("%s: %v\n%v", tt.name, err, e)
		}
	}
}

// cursorAt returns the cursor behind the first n traces, oldest first.
func cursorAt(t *testing.T, s cts.Reader, n int) string {
	t.Helper()
	for e, err := range s.Query(background, cts.Query{}.OldestFirst()) {
		if err != nil {
			t.Fatal(err)
		}
		if n--; n == 0 {
			return e.Cursor()
		}
	}
	t.Fatal("too few")
	return ""
}

func TestExplainFails(t *testing.T) {
	d := newSealedDisk(t)
	d.flip(seg2, 3)
	s := open(t, d, "/store", *unsealed(filestore.Options{}))
	if e, err := s.Explain(background, cts.Query{}); err != nil || e.Damaged != 1 || e.Matched != 30 {
		t.Errorf("a damaged segment: %v, %v", e, err)
	}
	if _, err := s.Explain(background, cts.Query{}.Where(cts.Eq("no such", "x"))); !errors.Is(err, cts.ErrBadQuery) {
		t.Errorf("a bad query: %v", err)
	}
	ended, cancel := context.WithCancel(background)
	cancel()
	if _, err := s.Explain(ended, cts.Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	mustClose(t, s)
	if _, err := s.Explain(background, cts.Query{}); !errors.Is(err, cts.ErrClosed) {
		t.Errorf("a closed store: %v", err)
	}
}
