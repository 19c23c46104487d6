package recorders_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"sync"
	"testing"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/contesttest"
	"github.com/cloudtraceservice/cts/bench/peers/recorders"
)

func plainly(open func(io.Writer) contest.Recorder) func(io.Writer) (contest.Recorder, error) {
	return func(w io.Writer) (contest.Recorder, error) { return open(w), nil }
}

var all = map[string]func(io.Writer) (contest.Recorder, error){
	"slog":        plainly(recorders.Slog),
	"zap":         plainly(recorders.Zap),
	"zerolog":     plainly(recorders.Zerolog),
	"eventlogger": recorders.EventLogger,
	"k8saudit":    recorders.K8sAudit,
}

// TestEveryTraceIsWrittenWithItsFields records from several goroutines and looks for
// each trace's fields in the lines that come out.
func TestEveryTraceIsWrittenWithItsFields(t *testing.T) {
	records := contesttest.Records(4, 3000)
	for name, open := range all {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			r, err := open(&out)
			if err != nil {
				t.Fatal(err)
			}
			if i := r.Info(); i.Name != name || i.Version == "" || i.Setup == "" {
				t.Errorf("Info %+v", i)
			}
			record(t, r, records)
			if err := r.Flush(t.Context()); err != nil {
				t.Fatalf("Flush: %v", err)
			}
			flushed := out.Len()
			if err := r.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if out.Len() != flushed {
				t.Errorf("Flush left %d bytes to Close", out.Len()-flushed)
			}
			check(t, out.Bytes(), records)
		})
	}
}

func record(t *testing.T, r contest.Recorder, records []contest.Record) {
	t.Helper()
	var group sync.WaitGroup
	for g := range 16 {
		group.Go(func() {
			for i := g; i < len(records); i += 16 {
				if err := r.Record(context.Background(), records[i].Trace); err != nil {
					t.Errorf("Record: %v", err)
					return
				}
			}
		})
	}
	group.Wait()
}

// check looks for the values of each trace anywhere in its line.
func check(t *testing.T, out []byte, records []contest.Record) {
	t.Helper()
	byID := map[string]map[any]bool{}
	for line := range bytes.Lines(out) {
		var whole any
		if err := json.Unmarshal(line, &whole); err != nil {
			t.Fatalf("a line is not JSON: %v: %s", err, line)
		}
		values := map[any]bool{}
		collect(whole, values)
		for v := range values {
			if id, ok := v.(string); ok && len(id) == 36 && id[8:19] == "-0000-7000-" {
				byID[id] = values
			}
		}
	}
	if len(byID) != len(records) {
		t.Errorf("%d traces written, want %d", len(byID), len(records))
	}
	for _, r := range records {
		tr := r.Trace
		values := byID[tr.ID]
		for _, want := range []string{
			tr.Name, string(tr.Type), string(tr.Rating), tr.ServiceType, tr.ResourceType, tr.ResourceID, tr.SourceIP,
			tr.User.ID, tr.User.Name, tr.Message, tr.RequestID, tr.Request, tr.Response,
		} {
			if want != "" && !values[want] {
				t.Fatalf("trace %s is written without %q", tr.ID, want)
			}
		}
	}
}

func collect(v any, into map[any]bool) {
	switch v := v.(type) {
	case map[string]any:
		for _, m := range v {
			collect(m, into)
		}
	case []any:
		for _, m := range v {
			collect(m, into)
		}
	default:
		into[v] = true
	}
}

func BenchmarkRecord(b *testing.B) {
	records := contesttest.Records(5, 10_000)
	for name, open := range all {
		b.Run(name, func(b *testing.B) {
			r, err := open(io.Discard)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if err := r.Record(b.Context(), records[i%len(records)].Trace); err != nil {
					b.Fatal(err)
				}
				i++
			}
			if err := r.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
