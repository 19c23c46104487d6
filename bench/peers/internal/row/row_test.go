package row_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/contesttest"
	"github.com/cloudtraceservice/cts/bench/peers/internal/row"
)

// whole puts the trace of a row together again.
func whole(t *testing.T, r row.Row) *cts.Trace {
	t.Helper()
	// What was taken out is put in front, empty: a trace needs a name and a time.
	text := `{"trace_id":"x","time":1760000000000,"trace_name":"x",` + r.Rest[1:]
	trace := decode(t, strings.Replace(text, ",}", "}", 1))
	trace.ID, trace.Time, trace.ServiceType, trace.Name = r.ID, r.Time, r.Service, r.Name
	trace.Rating, trace.ResourceID, trace.SourceIP = cts.Rating(r.Rating), r.ResourceID, r.SourceIP
	trace.Request, trace.Response, trace.Message = r.Request, r.Response, r.Message
	if trace.User.Name != r.User {
		t.Errorf("user %q in the rest, %q beside it", trace.User.Name, r.User)
	}
	return trace
}

func decode(t *testing.T, json string) *cts.Trace {
	t.Helper()
	trace, err := cts.NewDecoder(strings.NewReader(json), nil).Next()
	if err != nil {
		t.Fatalf("%s is no trace: %v", json, err)
	}
	return trace
}

func TestNothingIsLeftOut(t *testing.T) {
	records := contesttest.Records(3, 2000)
	odd := &cts.Trace{ID: "i", Time: contesttest.Base, Name: "n", Unknown: `"x":[{"a":"]\\\""},1],"y":"\\\\"`, Message: `\"`}
	odd.User.InvokedBy = []string{"a,b", "}"}
	records = append(records, contest.Record{Trace: odd, JSON: odd.AppendJSON(nil)})
	for _, r := range records {
		got := row.Of(r)
		// Both come from a decoder, which does not take an ext for its own.
		want := decode(t, string(r.JSON)).AppendJSON(nil)
		if json := whole(t, got).AppendJSON(nil); !bytes.Equal(json, want) {
			t.Fatalf("put together again\n%s\nwant\n%s", json, want)
		}
		if strings.Contains(got.Rest, r.Trace.ID+`"`) && len(r.Trace.ID) > 1 {
			t.Errorf("the rest still has the id: %s", got.Rest)
		}
	}
}

func TestOfSmallest(t *testing.T) {
	for json, want := range map[string]string{
		`{}`:                              `{}`,
		`{"trace_id":"a","time":1}`:       `{}`,
		`{"trace_id":"a","user":{}}`:      `{"user":{}}`,
		`{"b":[1,2],"time":1,"c":"\""}`:   `{"b":[1,2],"c":"\""}`,
		`{"request":"{\"time\":1}"}`:      `{}`,
		`{"requests":1,"message":"\\\\"}`: `{"requests":1}`,
	} {
		if got := row.Of(contest.Record{Trace: &cts.Trace{}, JSON: []byte(json)}).Rest; got != want {
			t.Errorf("rest of %s is %s, want %s", json, got, want)
		}
	}
}

func TestDecodeUndoesAppend(t *testing.T) {
	for _, r := range contesttest.Records(4, 500) {
		want := row.Of(r)
		value := want.Append(nil)
		got := row.Row{Time: want.Time}
		if err := got.Decode(string(value)); err != nil || got != want {
			t.Fatalf("decoded %+v (%v), want %+v", got, err, want)
		}
		for _, n := range []int{0, 1, len(value) / 2, len(value) - 1} {
			if err := new(row.Row).Decode(string(value[:n])); err == nil {
				t.Fatalf("%d of %d bytes were decoded", n, len(value))
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	r := row.Of(contesttest.Records(5, 1)[0])
	f.Add(string(r.Append(nil)))
	f.Add("\xff\xff\xff\xff\xff\x01")
	f.Add(strings.Repeat("\x00", 11))
	f.Fuzz(func(t *testing.T, value string) {
		var r row.Row
		if r.Decode(value) == nil && len(r.Append(nil)) > len(value) {
			t.Errorf("%q is shorter than what it was decoded to", value)
		}
	})
}

func BenchmarkOf(b *testing.B) {
	records := contesttest.Records(6, 1000)
	for i := range b.N {
		_ = row.Of(records[i%len(records)])
	}
}
