package cts_test

import (
	"context"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// benchTrace is a trace of about 900 bytes of JSON: twenty fields, two JSON texts.
func benchTrace() *cts.Trace {
	return &cts.Trace{
		Time: 1718777931170, Name: "createServer", Type: cts.TypeConsole, Rating: cts.RatingNormal, EventType: cts.EventSystem,
		ServiceType: "ECS", ResourceType: "ecs", ResourceName: "ecs-test", ResourceID: "7285ea5d-f15c-4d9c-9e4e-37d37023f2f4",
		SourceIP: "124.71.93.243", Code: "200", APIVersion: "1.0", RequestID: "9f1c6f0e-6a53-4a35-a2a6-64ab8c4f8a02",
		ReadOnly: cts.False, ProjectID: "07066c6fc90025a02f6dc01e105b286e", DomainID: "7e0d78c85d0b9b7cba",
		User: cts.User{
			ID: "f36972cedd619f1214", Name: "IAMUserA", AccessKeyID: "HSTAZVL6WYS0J5MYE2GA", Type: "User",
			Domain: cts.Domain{ID: "7e0d78c85d0b9b7cba", Name: "IAMDomainB"},
		},
		Request:  `{"server":{"name":"ecs-test","flavor":"sn3.small.1","size":40,"nics":[` + strings.Repeat(`{"id":"1a02d148"},`, 5) + `null]}}`,
		Response: `{"job_id":"ff8080828fe9028a01902f2542df1b10","status":"SUCCESS","entities":{"server_id":"7285ea5d-f15c-4d9c-9e4e-37d37023f2f4"}}`,
	}
}

// BenchmarkRecord measures the whole call, the store's share in the background
// included: the store is a memstore with room for everything.
func BenchmarkRecord(b *testing.B) {
	for _, bench := range []struct {
		name string
		opts cts.TrackerOptions
	}{
		{"queued/redaction=off", cts.TrackerOptions{Delivery: cts.Queued, WithoutRedaction: true, QueueBytes: 64 << 20, BlockTimeout: 1e12}},
		{"queued/redaction=on", cts.TrackerOptions{Delivery: cts.Queued, QueueBytes: 64 << 20, BlockTimeout: 1e12}},
		{"durable/redaction=off", cts.TrackerOptions{WithoutRedaction: true}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			store := memstore.New(&memstore.Options{MaxBytes: 64 << 30})
			tracker, err := cts.Open(b.Context(), store, &bench.opts)
			if err != nil {
				b.Fatal(err)
			}
			tr := benchTrace()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tracker.Record(context.Background(), tr); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			if err := tracker.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
