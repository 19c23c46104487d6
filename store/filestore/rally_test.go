package filestore_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// TestGoroutinesShareSyncs has goroutines append one trace after the other, each when
// the last one is acknowledged, to a disk that takes no time. They share syncs: those who
// were answered together are written together again. Else there is a sync for each.
func TestGoroutinesShareSyncs(t *testing.T) {
	const goroutines, each = 32, 100
	fault := vfstest.NewFaultFS(vfstest.NewMemFS())
	s := open(t, fault, "/store", filestore.Options{})
	var syncs atomic.Int64
	fault.Set(func(op vfstest.Op) error {
		if op.Kind == vfstest.KindSync && strings.HasSuffix(op.Name, ".log") {
			syncs.Add(1)
		}
		return nil
	})
	var appending sync.WaitGroup
	for g := range goroutines {
		appending.Go(func() {
			for i := range each {
				if _, err := s.Append(background, numbered(g*each+i+1, g*each+i+1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	appending.Wait()
	if n := goroutines * each / syncs.Load(); n < 4 { // 11 to 21 on two processors, 31 on one
		t.Errorf("%d appends for a sync, of %d goroutines", n, goroutines)
	}
	mustClose(t, s)
}
