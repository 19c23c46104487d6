package storetest_test

import (
	"bytes"
	"compress/gzip"
	"reflect"
	"slices"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/storetest"
)

func TestTracesAreValid(t *testing.T) {
	ids := map[string]bool{}
	for i, trace := range storetest.Traces(1, 5000) {
		if err := trace.Validate(); err != nil {
			t.Fatalf("trace %d: %v", i, err)
		}
		if ids[trace.ID] {
			t.Fatalf("trace %d: the id %s occurs twice", i, trace.ID)
		}
		ids[trace.ID] = true
		json := trace.AppendJSON(nil)
		again, err := cts.ParseTrace(json)
		if err != nil {
			t.Fatalf("trace %d: %v", i, err)
		}
		if !bytes.Equal(again.AppendJSON(nil), json) {
			t.Fatalf("trace %d is not canonical:\n%s\n%s", i, json, again.AppendJSON(nil))
		}
	}
}

func TestTracesDependOnTheSeed(t *testing.T) {
	a, again, b := storetest.Traces(1, 500), storetest.Traces(1, 500), storetest.Traces(2, 500)
	if !reflect.DeepEqual(a, again) {
		t.Error("the same seed gives other traces")
	}
	if !reflect.DeepEqual(storetest.Traces(1, 100), a[:100]) {
		t.Error("fewer traces are not the first of more")
	}
	ids := map[string]bool{}
	for _, trace := range a {
		ids[trace.ID] = true
	}
	if slices.ContainsFunc(b, func(trace *cts.Trace) bool { return ids[trace.ID] }) {
		t.Error("two seeds give one id")
	}
	if len(storetest.Traces(1, 0)) != 0 {
		t.Error("no traces were asked for")
	}
}

// TestTracesAreVaried checks the shares that the cases and benchmarks rely on.
func TestTracesAreVaried(t *testing.T) {
	traces := storetest.Traces(1, 5000)
	share := func(name string, low, high float64, is func(*cts.Trace) bool) {
		t.Helper()
		n := 0
		for _, trace := range traces {
			if is(trace) {
				n++
			}
		}
		if got := float64(n) / float64(len(traces)); got < low || got > high {
			t.Errorf("%s: %.4f of the traces, want %.4f to %.4f", name, got, low, high)
		}
	}
	share("failures", 0.03, 0.2, func(t *cts.Trace) bool { return t.Rating == cts.RatingWarning })
	share("incidents", 0.0005, 0.02, func(t *cts.Trace) bool { return t.Rating == cts.RatingIncident })
	share("system actions", 0.05, 0.3, func(t *cts.Trace) bool { return t.User.IsZero() && t.SourceIP == "" })
	share("read only", 0.2, 0.8, func(t *cts.Trace) bool { return t.ReadOnly == cts.True })
	share("attempts", 0.01, 0.1, func(t *cts.Trace) bool { return t.Ext.Phase == cts.PhaseAttempt })
	share("outcomes", 0.01, 0.1, func(t *cts.Trace) bool { return t.Ext.Phase == cts.PhaseOutcome })
	share("unknown members", 0.005, 0.05, func(t *cts.Trace) bool { return t.Unknown != "" })
	share("labels", 0.1, 0.3, func(t *cts.Trace) bool { return len(t.Ext.Labels) > 0 })
	share("resources", 0.5, 0.9, func(t *cts.Trace) bool { return t.ResourceID != "" })

	late, together, bytes := 0, 0, 0
	var newest int64
	for i, trace := range traces {
		if trace.Time < newest {
			late++
		}
		newest = max(newest, trace.Time)
		if i > 0 && trace.Time == traces[i-1].Time {
			together++
		}
		bytes += len(trace.AppendJSON(nil))
	}
	if late < 200 || together < 200 {
		t.Errorf("of %d traces %d come late and %d share a millisecond with the one before", len(traces), late, together)
	}
	if mean := bytes / len(traces); mean < 700 || mean > 1600 {
		t.Errorf("a trace has %d bytes of JSON in the mean, want about a kilobyte", mean)
	}
}

func TestTracesCompressLikeRealOnes(t *testing.T) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	size := 0
	for _, trace := range storetest.Traces(1, 5000) {
		n, err := z.Write(append(trace.AppendJSON(nil), '\n'))
		if err != nil {
			t.Fatal(err)
		}
		size += n
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if ratio := float64(size) / float64(out.Len()); ratio < 4 || ratio > 14 {
		t.Errorf("gzip makes the traces %.1f times smaller, want 4 to 14", ratio)
	}
}
