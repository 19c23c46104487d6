package filestore_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// BenchmarkSustained measures durable appends of one trace by 64 goroutines, which each wait
// for their own, for as long as it is told, sealing and merging included: one iteration is
// a second. Five minutes are
//
//	go test -run '^$' -bench Sustained -benchtime 300x -timeout 20m ./store/filestore
//
// What is not sealed at the end is sealed within the time. It tells after how long an append
// was acknowledged, too, of one append in sixteen.
func BenchmarkSustained(b *testing.B) {
	s := open(b, vfs.OS, b.TempDir(), filestore.Options{})
	var n atomic.Int64
	var stop atomic.Bool
	var appending sync.WaitGroup
	waits := make([][]time.Duration, 64)
	begin := time.Now()
	for g := range waits {
		appending.Go(func() {
			traces := serverTraces(uint64(g), 500)
			for i := 0; !stop.Load(); i++ {
				e := traces[i%len(traces)]
				e.Trace.ID = fmt.Sprintf("%08x-%04x-7000-8000-%012x", g, i>>16&0xffff, i)
				copy(e.JSON[len(`{"trace_id":"`):], e.Trace.ID)
				from := time.Now()
				if _, err := s.Append(background, []cts.Entry{e}); err != nil {
					b.Error(err)
					return
				}
				if n.Add(1); i%16 == 0 {
					waits[g] = append(waits[g], time.Since(from))
				}
			}
		})
	}
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for b.Loop() {
		<-second.C
	}
	stop.Store(true)
	appending.Wait()
	rate := float64(n.Load()) / time.Since(begin).Seconds()
	all := slices.Concat(waits...)
	slices.Sort(all)
	if err := filestore.Seal(background, s); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(rate, "appends/s")
	b.ReportMetric(float64(n.Load())/time.Since(begin).Seconds(), "sealed/s")
	b.ReportMetric(float64(s.Status().Segments), "segments")
	for name, part := range map[string]float64{"p50-µs": 0.5, "p99-µs": 0.99, "p99.9-µs": 0.999} {
		b.ReportMetric(float64(all[int(part*float64(len(all)))].Microseconds()), name)
	}
	b.ReportMetric(0, "ns/op")
}

// serverTraces returns traces as services write them, of about a kilobyte.
func serverTraces(seed uint64, n int) []cts.Entry {
	rng := rand.New(rand.NewPCG(seed, 1))
	entries := make([]cts.Entry, n)
	for i := range entries {
		t := traceOf(i)
		t.ID = fmt.Sprintf("%036d", i)
		t.User.Name, t.User.ID = fmt.Sprintf("user-%04d", rng.IntN(2000)), fmt.Sprintf("%032x", rng.IntN(2000))
		t.ServiceType, t.ResourceType = []string{"ECS", "EVS", "VPC", "OBS", "IAM"}[rng.IntN(5)], "server"
		t.ResourceID, t.SourceIP = fmt.Sprintf("%016x-%04x", rng.IntN(100_000), i), fmt.Sprintf("10.%d.%d.%d", rng.IntN(4), rng.IntN(256), rng.IntN(256))
		t.Request = fmt.Sprintf(`{"server":{"name":"web-%05d","imageRef":"%016x%016x","flavorRef":"s6.large.%d","availability_zone":"eu-west-%d","key_name":"KeyPair-%d","networks":[{"uuid":"%016x%016x"}]}}`,
			rng.IntN(100_000), rng.Uint64(), rng.Uint64(), rng.IntN(8), rng.IntN(3), rng.IntN(500), rng.Uint64(), rng.Uint64())
		t.Response = fmt.Sprintf(`{"server":{"id":"%016x%016x","links":[{"rel":"self","href":"https://ecs.example.com/v2/servers/%08x"}],"adminPass":"******"}}`,
			rng.Uint64(), rng.Uint64(), rng.Uint32())
		entries[i] = cts.Entry{Trace: t, JSON: t.AppendJSON(nil)}
	}
	return entries
}
