package filestore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

func TestOptionsTellEveryFault(t *testing.T) {
	_, err := filestore.Open("/store", &filestore.Options{
		FS: vfstest.NewMemFS(), Sync: 9, SyncInterval: -1, LogFileBytes: 1 << 40, MaxBytes: -1, QueueBytes: -1,
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"Sync:", "SyncInterval", "LogFileBytes", "MaxBytes", "QueueBytes"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not told: %v", field, err)
		}
	}
	for _, id := range []string{"", "x", "01907A3C-5B1E-7C40-8A51-2F0E6D9C4B17", "{01907a3c-5b1e-7c40-8a51-2f0e6d9c4b17}"} {
		mem := vfstest.NewMemFS()
		if _, err := filestore.Open("/store", &filestore.Options{FS: mem, NewID: func() string { return id }}); err == nil {
			t.Errorf("the id %q is taken", id)
		}
		if _, err := filestore.Open("/store", &filestore.Options{FS: mem}); err != nil {
			t.Errorf("after a refused id: %v", err)
		}
	}
	if _, err := filestore.Open("", nil); err == nil {
		t.Error("a directory without a name is taken")
	}
}

func TestMaxBytes(t *testing.T) {
	mem := vfstest.NewMemFS()
	opts := *unsealed(filestore.Options{MaxBytes: 3000, LogFileBytes: 1000})
	s := open(t, mem, "/store", opts)
	stored, full := 0, false
	for n := 1; n <= 20; n++ {
		_, err := s.Append(background, numbered(n, n))
		switch {
		case err == nil && !full:
			stored = n
		case err == nil: // a smaller one found room
		case !errors.Is(err, cts.ErrStoreFull) || errors.Is(err, cts.ErrOutcomeUnknown):
			t.Fatalf("trace %d: %v", n, err)
		default:
			full = true
		}
	}
	if st := s.Status(); stored < 3 || stored > 10 || st.LogBytes > 3000 || st.LogBytes != logBytes(t, mem) {
		t.Errorf("%d traces, %d bytes, on disk %d", stored, st.LogBytes, logBytes(t, mem))
	}
	// What is there already needs no room.
	if done := mustAppend(t, s, numbered(1, stored)...); done.Existing != stored {
		t.Errorf("appended %+v", done)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, mem, "/store", opts)
	if _, err := again.Append(background, numbered(50, 50)); !errors.Is(err, cts.ErrStoreFull) {
		t.Errorf("opened again: %v", err)
	}
}

func logBytes(t *testing.T, mem *vfstest.MemFS) int64 {
	t.Helper()
	total := int64(0)
	for _, name := range mem.Files() {
		if strings.HasSuffix(name, ".log") {
			b, err := mem.ReadFile("/" + name)
			if err != nil {
				t.Fatal(err)
			}
			total += int64(len(b))
		}
	}
	return total
}

func TestLockedNamesTheHolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, nil, dir, filestore.Options{Clock: func() time.Time { return time.Unix(1_720_000_000, 0) }})
	_, err := filestore.Open(dir, &filestore.Options{LockWait: -1})
	if !errors.Is(err, cts.ErrLocked) || !strings.Contains(err.Error(), "pid ") || !strings.Contains(err.Error(), "since 2024-07-03T09:46:40Z") {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, nil, dir, filestore.Options{LockWait: -1})
}
