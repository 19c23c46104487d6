package filestore_test

import (
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
	"github.com/cloudtraceservice/cts/store/storetest"
)

// TestStore runs the suite that every store passes, at each sync level, with files
// so small that nearly every case changes to a new one.
func TestStore(t *testing.T) {
	for _, level := range levels {
		t.Run(level.String(), func(t *testing.T) {
			t.Parallel()
			if raceEnabled && level == filestore.SyncOS {
				t.Skip("SyncInterval has the same goroutines: run without the race detector")
			}
			opts := filestore.Options{Sync: level, LogFileBytes: 16 << 10}
			storetest.Run(t, func(t testing.TB) storetest.Harness {
				return harness(t, vfstest.NewMemFS(), "/store", opts)
			})
		})
	}
}

// TestStoreOnDisk runs the suite with the defaults on a real file system.
func TestStoreOnDisk(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("it syncs a real disk several thousand times; no code that the other runs do not have")
	}
	storetest.Run(t, func(t testing.TB) storetest.Harness {
		return harness(t, vfs.OS, t.TempDir(), filestore.Options{})
	})
}

func harness(t testing.TB, fsys vfs.FS, dir string, opts filestore.Options) storetest.Harness {
	return harnessOf(t, fsys, dir, filestore.Unmerged(opts)) // each Seal makes a segment, which can be dropped by itself
}

func harnessOf(t testing.TB, fsys vfs.FS, dir string, opts filestore.Options) storetest.Harness {
	opts.FS = fsys
	opts.LockWait = -1
	s, err := filestore.Open(dir, &opts)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return storetest.Harness{
		Store: s,
		Reopen: func(t testing.TB) cts.Store {
			if err := s.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			if s, err = filestore.Open(dir, &opts); err != nil {
				t.Fatalf("Open: %v", err)
			}
			return s
		},
		Sync: func(t testing.TB) {
			if err := s.Sync(background); err != nil {
				t.Fatalf("Sync: %v", err)
			}
		},
		Seal: func(t testing.TB) {
			if err := filestore.Seal(background, s); err != nil {
				t.Fatalf("Seal: %v", err)
			}
		},
	}
}
