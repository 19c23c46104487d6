package child

import (
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
)

// A trace that is gone through again is the same but for its id, which no other has.
func TestRenewed(t *testing.T) {
	var copied renewed
	seen := map[string]bool{}
	n := int64(0)
	for _, id := range []string{"01907a3c-5b1e-7c40-8a51-0123456789ab", "short", ""} {
		trace := &cts.Trace{ID: id, Name: "createServer", Time: 1, RecordTime: 2, Request: `{"a":"\u003c"}`}
		original := contest.Record{Trace: trace, JSON: trace.AppendJSON(nil)}
		before := string(original.JSON)
		for range 3 {
			n++
			r := copied.of(original, n)
			if seen[r.Trace.ID] || r.Trace.ID == id {
				t.Errorf("%q: the id %q again", id, r.Trace.ID)
			}
			seen[r.Trace.ID] = true
			want := *trace
			want.ID = r.Trace.ID
			if got := string(r.JSON); got != string(want.AppendJSON(nil)) {
				t.Errorf("%q: the JSON is %s", id, got)
			}
		}
		if trace.ID != id || string(original.JSON) != before {
			t.Errorf("%q: the original was changed", id)
		}
	}
}
