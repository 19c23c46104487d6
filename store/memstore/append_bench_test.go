package memstore_test

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// template is a trace of about 900 bytes of JSON, the size of real ones.
func template() *cts.Trace {
	return &cts.Trace{
		ID: "00000000-0000-7000-8000-000000000000", Time: 1_720_000_000_000, RecordTime: 1_720_000_000_000,
		Name: "createServer", Type: cts.TypeAPI, Rating: cts.RatingNormal, ServiceType: "ECS", ResourceType: "ecs",
		ResourceID: "5a1c7f0e-1b7a-4a7e-9a41-0a3f6f9f7a10", SourceIP: "192.0.2.17",
		User: cts.User{ID: "u-17", Name: "alice", Domain: cts.Domain{ID: "d-1", Name: "example"}},
		Code: "200", Request: strings.Repeat(`{"a":1}`, 35), Response: strings.Repeat(`{"b":2}`, 15),
	}
}

// numbered writes the number n into the id of the JSON of the template.
func numbered(json []byte, n uint64) {
	var raw [6]byte
	for i := range raw {
		raw[len(raw)-1-i] = byte(n >> (8 * i))
	}
	hex.Encode(json[len(`{"trace_id":"00000000-0000-7000-8000-`):], raw[:])
}

func BenchmarkAppend(b *testing.B) {
	t := template()
	json := t.AppendJSON(nil)
	kinds := []struct {
		name  string
		entry cts.Entry
	}{
		{"json", cts.Entry{JSON: json}},
		{"both", cts.Entry{JSON: json, Trace: t}},
		{"trace", cts.Entry{Trace: t}},
	}
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			ctx := context.Background()
			batch := []cts.Entry{k.entry}
			const perStore = 1 << 17
			b.SetBytes(int64(len(json)))
			b.ReportAllocs()
			var s *memstore.Store
			n := uint64(0)
			for b.Loop() {
				if n%perStore == 0 {
					s = memstore.New(nil)
				}
				n++
				numbered(json, n)
				if k.entry.Trace != nil {
					t.ID = string(json[len(`{"trace_id":"`):][:36])
				}
				if _, err := s.Append(ctx, batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
