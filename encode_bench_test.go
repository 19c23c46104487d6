package cts_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/cloudtraceservice/cts"
)

// methodFree is a trace as encoding/json sees it without the methods of this
// package: what an application would write that declares the struct itself.
type methodFree struct {
	*plainTrace
	ReadOnly     *bool       `json:"read_only,omitempty"`
	IsConsistent *bool       `json:"is_consistent,omitempty"`
	Ext          *versionExt `json:"ext,omitempty"`
}

func methodFreeOf(t *cts.Trace) *methodFree {
	flag := func(b cts.Bool) *bool {
		if b == cts.Unset {
			return nil
		}
		v := b == cts.True
		return &v
	}
	m := &methodFree{plainTrace: (*plainTrace)(t), ReadOnly: flag(t.ReadOnly), IsConsistent: flag(t.IsConsistent)}
	if !t.Ext.IsZero() {
		m.Ext = &versionExt{V: cts.ExtVersion, Ext: &t.Ext}
	}
	return m
}

// benchTraces are the subjects of the benchmarks: an ordinary trace of about 900
// bytes with 20 fields, two of them JSON texts, and the sample of the CTS manual.
func benchTraces(tb testing.TB) map[string]*cts.Trace {
	tb.Helper()
	text, err := os.ReadFile("testdata/createServer.json")
	if err != nil {
		tb.Fatal(err)
	}
	createServer, err := cts.ParseTrace(text)
	if err != nil {
		tb.Fatal(err)
	}
	return map[string]*cts.Trace{"ordinary": ordinaryTrace(), "createServer": createServer}
}

func ordinaryTrace() *cts.Trace {
	return &cts.Trace{
		ID: "0190f5c2-7d3a-7c1e-9a64-3f0b8e2d5a17", Time: 1718777931170, RecordTime: 1718777931174,
		Name: "updateServerMetadata", Type: cts.TypeAPI, Rating: cts.RatingNormal, EventType: cts.EventSystem,
		ServiceType: "ECS", ResourceType: "server", ResourceName: "web-eu-0042", ResourceID: "7285ea5d-f15c-4d9c-9e4e-37d37023f2f4",
		SourceIP: "10.146.230.124", User: cts.User{ID: "f36972ced2b94d619f1214aa", Name: "user-0815"},
		Code:        "200",
		Request:     `{"server":{"name":"web-eu-0042","metadata":{"owner":"team-7","stage":"production","cost":"4711"},"flavor":"m1.large","tags":["a","b"],"count":1,"description":"the second of three front ends"}}`,
		Response:    `{"job_id":"ff8080828fe9028a01902f2542df1b10","status":"SUCCESS","error_code":null,"begin":"2024-06-19T06:18:09.502Z"}`,
		RequestID:   "3bb87748-e387-42e5-ad7a-4331638f1321",
		ProjectID:   "07066c6fc90025a02f6dc01e105b286e",
		TrackerName: "system",
	}
}

func eachBenchTrace(b *testing.B, run func(b *testing.B, t *cts.Trace)) {
	traces := benchTraces(b)
	for _, name := range []string{"ordinary", "createServer"} {
		t := traces[name]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(t.AppendJSON(nil))))
			run(b, t)
		})
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	eachBenchTrace(b, func(b *testing.B, t *cts.Trace) {
		var buf []byte
		for b.Loop() {
			buf = t.AppendJSON(buf[:0])
		}
	})
}

func BenchmarkAppendContent(b *testing.B) {
	eachBenchTrace(b, func(b *testing.B, t *cts.Trace) {
		var buf []byte
		for b.Loop() {
			buf = t.AppendContent(buf[:0])
		}
	})
}

// BenchmarkMarshal is what AppendJSON is compared with.
func BenchmarkMarshal(b *testing.B) {
	eachBenchTrace(b, func(b *testing.B, t *cts.Trace) {
		m := methodFreeOf(t)
		for b.Loop() {
			if _, err := json.Marshal(m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMarshalMethod is json.Marshal of the trace itself: encoding/json checks
// and copies what MarshalJSON gave it.
func BenchmarkMarshalMethod(b *testing.B) {
	eachBenchTrace(b, func(b *testing.B, t *cts.Trace) {
		for b.Loop() {
			if _, err := json.Marshal(t); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkParseTrace(b *testing.B) {
	eachBenchTrace(b, func(b *testing.B, t *cts.Trace) {
		text := t.AppendJSON(nil)
		for b.Loop() {
			if _, err := cts.ParseTrace(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkUnmarshal is what ParseTrace is compared with.
func BenchmarkUnmarshal(b *testing.B) {
	eachBenchTrace(b, func(b *testing.B, t *cts.Trace) {
		text, err := json.Marshal(methodFreeOf(t))
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			m := methodFree{plainTrace: new(plainTrace)}
			if err := json.Unmarshal(text, &m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPeekJSON(b *testing.B) {
	eachBenchTrace(b, func(b *testing.B, t *cts.Trace) {
		text := t.AppendJSON(nil)
		for b.Loop() {
			if _, _, _, err := cts.PeekJSON(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
