package memstore_test

import (
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
	"github.com/cloudtraceservice/cts/store/storetest"
)

var (
	_ cts.Store      = (*memstore.Store)(nil)
	_ cts.StateStore = (*memstore.Store)(nil)
	_ cts.Verifier   = (*memstore.Store)(nil)
	_ cts.Follower   = (*memstore.Store)(nil)
	_ cts.Consumers  = (*memstore.Store)(nil)
	_ cts.Retainer   = (*memstore.Store)(nil)
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(testing.TB) storetest.Harness {
		return storetest.Harness{Store: memstore.New(nil)}
	})
}

func BenchmarkStore(b *testing.B) {
	storetest.RunBenchmarks(b, func(testing.TB) storetest.Harness {
		return storetest.Harness{Store: memstore.New(&memstore.Options{MaxBytes: 1 << 40})}
	})
}
