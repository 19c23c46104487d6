package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// bench is a log under test with what it told.
type bench struct {
	*wal.Log
	t      testing.TB
	mem    *vfstest.MemFS
	fault  *vfstest.FaultFS
	files  []*wal.File // that were made
	failed []error
	next   uint64
}

// newBench returns a log over a file system that can fail, whose background work is
// done at once.
func newBench(t testing.TB, maxFile int64, change func(*wal.Config)) *bench {
	t.Helper()
	mem := vfstest.NewMemFS()
	b := &bench{t: t, mem: mem, fault: vfstest.NewFaultFS(mem), next: 1}
	cfg := wal.Config{
		FS: b.fault, Dir: "/", Store: storeID, MaxFile: maxFile, MaxDirty: 1 << 20,
		Run:    func(task func()) { task() },
		NoRoom: func(err error) bool { return errors.Is(err, syscall.ENOSPC) },
		Opened: func(f *wal.File) { b.files = append(b.files, f) },
		Failed: func(op, file string, err error) { b.failed = append(b.failed, fmt.Errorf("%s %s: %w", op, file, err)) },
	}
	if change != nil {
		change(&cfg)
	}
	b.Log = wal.NewLog(cfg, 0, wal.Mark{Next: 1})
	return b
}

// record is the record at a position: all have one length, so that frames of any use
// of a file lie at the same offsets.
func record(pos uint64) string { return fmt.Sprintf("%08d", pos) + strings.Repeat("r", 92) }

const recordFrame = wal.FrameSize + 1 + 4 + 100 // bytes of a frame of one record

// append appends n frames of one record, each synced.
func (b *bench) append(n int) {
	b.t.Helper()
	for range n {
		if _, _, err := b.Append([]wal.Frame{frameOf(b.next, record(b.next))}, true); err != nil {
			b.t.Fatalf("position %d: %v", b.next, err)
		}
		b.next++
	}
}

// names returns the files of the disk with their sizes.
func names(t testing.TB, fsys vfs.FS) []string {
	t.Helper()
	entries, err := fsys.ReadDir("/")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		name := e.Name()
		if vfs.IsTemp(name) {
			name = "spare"
		}
		names = append(names, fmt.Sprintf("%s %d", name, info.Size()))
	}
	return names
}

// TestFilesGrowWithUse writes down which files there are as a log is used.
func TestFilesGrowWithUse(t *testing.T) {
	b := newBench(t, 16<<20, nil)
	big := frameOf(1, strings.Repeat("x", 8<<10))
	var seen []string
	for range 2600 {
		big.First = b.Next()
		if _, _, err := b.Append([]wal.Frame{big}, true); err != nil {
			t.Fatal(err)
		}
		for _, name := range names(t, b.mem) {
			if size := name[strings.Index(name, " ")+1:]; strings.HasPrefix(name, "spare") && !slices.Contains(seen, size) {
				seen = append(seen, size)
			}
		}
	}
	if want := []string{"1048576", "4194304", "16777216"}; !slices.Equal(seen, want) {
		t.Errorf("prepared were files of %v bytes, want %v", seen, want)
	}
	if len(b.files) != 4 || b.failed != nil {
		t.Errorf("%d files, failures %v", len(b.files), b.failed)
	}
	b.Close()
	total := int64(0)
	for _, f := range b.files {
		size, err := f.Size()
		if err != nil {
			t.Fatal(err)
		}
		total += size
	}
	if len(names(t, b.mem)) != len(b.files) || total != b.Bytes() {
		t.Errorf("Close left %v, %d bytes of content", names(t, b.mem), b.Bytes())
	}
}

func TestSmallLogPreparesNothing(t *testing.T) {
	b := newBench(t, 64<<20, nil)
	b.append(400)
	if got := names(t, b.mem); len(got) != 1 {
		t.Errorf("there are %v", got)
	}
}

// TestPreparedFileKeepsItsSize checks that the syncs of a prepared file change no size,
// which is what makes them fast.
func TestPreparedFileKeepsItsSize(t *testing.T) {
	b := newBench(t, 8<<10, nil)
	b.append(4)
	if want := []string{"00000001.log 644", "spare 8192"}; !slices.Equal(names(t, b.mem)[1:], want[:1]) || names(t, b.mem)[0] != want[1] {
		t.Fatalf("there are %v", names(t, b.mem))
	}
	b.append(1)
	for b.Synced().Offset+recordFrame <= 8<<10 {
		if size, err := b.files[1].Size(); err != nil || size != 8<<10 {
			t.Fatalf("at offset %d the file has %d bytes, %v", b.Synced().Offset, size, err)
		}
		b.append(1)
	}
	end := b.Synced().Offset
	b.append(1)
	if size, _ := b.files[1].Size(); len(b.files) != 3 || size != end {
		t.Errorf("%d files, the one that is full has %d bytes and content up to %d", len(b.files), size, end)
	}
}

// TestRecycle uses a file again and checks that nothing of its first use is read, also
// not behind the end.
func TestRecycle(t *testing.T) {
	b := newBench(t, 4<<10, nil)
	for len(b.files) < 3 {
		b.append(1)
	}
	first, old := b.files[1], content(t, b.mem, 2)
	if err := b.Recycle(first); err != nil {
		t.Fatal(err)
	}
	if _, err := first.ReadAt(make([]byte, 1), 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("the file is open: %v", err)
	}
	if slices.Contains(b.mem.Files(), wal.FileName(2)) {
		t.Error("the file has its name still")
	}
	for len(b.files) < 4 {
		b.append(1)
	}
	b.append(3)
	for _, f := range b.files[2:] {
		all := content(t, b.mem, f.Header.Number)
		next := f.Header.First
		for _, line := range describe(t, all, f.Header.Number) {
			if strings.HasPrefix(line, "kind 2") {
				continue
			}
			if want := fmt.Sprintf("kind 0 first %d count 1", next); !strings.HasPrefix(line, want) || !strings.Contains(line, record(next)+" true") {
				t.Errorf("%s: got %q, want %q", f.Name(), line, want)
			}
			next++
		}
	}
	if all := content(t, b.mem, 4); len(all) != 4<<10 || !bytes.Contains(all, old[len(old)-recordFrame:]) {
		t.Error("the newest file has nothing of the first use: the test has lost its point")
	}
}

// TestRecycleKeepsTwo recycles more files than are kept.
func TestRecycleKeepsTwo(t *testing.T) {
	b := newBench(t, 4<<10, nil)
	for len(b.files) < 8 {
		b.append(1)
	}
	for _, f := range b.files[:7] {
		if err := b.Recycle(f); err != nil {
			t.Fatal(err)
		}
	}
	got := names(t, b.mem)
	if want := []string{"spare 4096", "spare 4096", "00000008.log 4096"}; !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
	if err := b.Recycle(b.files[7]); !errors.Is(err, wal.ErrInUse) {
		t.Errorf("the newest file: %v", err)
	}
	b.append(30) // through both
	b.Close()
	if got := names(t, b.mem); !strings.HasPrefix(got[0], "00000008") {
		t.Errorf("Close leaves %v", got)
	}
	if err := b.Recycle(b.files[7]); err != nil || strings.Contains(strings.Join(names(t, b.mem), " "), "00000008") {
		t.Errorf("recycled behind Close: %v, there are %v", err, names(t, b.mem))
	}
}

// TestRecycleRefuses passes files that must not be used again.
func TestRecycleRefuses(t *testing.T) {
	b := newBench(t, 4<<10, nil)
	for len(b.files) < 4 {
		b.append(1)
	}
	before := len(names(t, b.mem))
	if err := b.mem.Remove("/00000002.log"); err != nil {
		t.Fatal(err)
	}
	if err := b.Recycle(b.files[1]); !errors.Is(err, wal.ErrGone) {
		t.Errorf("removed: %v", err)
	}
	if err := errors.Join(b.mem.Remove("/00000003.log"), b.mem.WriteFile("/00000003.log", []byte("foreign"))); err != nil {
		t.Fatal(err)
	}
	if err := b.Recycle(b.files[2]); !errors.Is(err, wal.ErrGone) {
		t.Errorf("replaced: %v", err)
	}
	if got := len(names(t, b.mem)); got != before-1 {
		t.Errorf("%d files, there were %d", got, before)
	}
}

// TestAbandonedFileIsNotRecycled recycles a file whose sync failed.
func TestAbandonedFileIsNotRecycled(t *testing.T) {
	b := newBench(t, 1<<20, nil)
	b.append(2)
	b.fault.Set(func(op vfstest.Op) error {
		if op.Kind == vfstest.KindSync && op.Name == "/00000001.log" {
			return errors.New("no")
		}
		return nil
	})
	b.append(2)
	b.fault.Set(nil)
	if err := b.Recycle(b.files[0]); err != nil {
		t.Fatal(err)
	}
	if got := names(t, b.mem); len(got) != 1 || !strings.HasPrefix(got[0], "00000002.log") {
		t.Errorf("there are %v", got)
	}
}

// TestReaderNoticesReuse has a file open, as another process may, while it is used
// again.
func TestReaderNoticesReuse(t *testing.T) {
	b := newBench(t, 4<<10, nil)
	for len(b.files) < 3 {
		b.append(1)
	}
	reader, err := wal.Open(b.mem, "/", storeID, 2, false)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := b.Recycle(b.files[1]); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, 104)
	read := func() (string, error) {
		if _, err := reader.ReadAt(body, wal.HeaderSize+wal.FrameSize+1); err != nil {
			t.Fatal(err)
		}
		data, ok := wal.CheckRecord(body)
		if !ok {
			t.Fatal("the record is damaged: the test has lost its point")
		}
		return string(data[:8]), reader.CheckHeader()
	}
	was, err := read()
	if err != nil {
		t.Fatalf("renamed, not yet used: %v", err)
	}
	for len(b.files) < 5 {
		b.append(1)
		if got, err := read(); err == nil && got != was {
			t.Fatalf("the reader takes record %s for %s", got, was)
		}
	}
	got, err := read()
	if got == was || !errors.Is(err, wal.ErrReused) {
		t.Errorf("read %s, was %s, %v", got, was, err)
	}
}

// TestFullDiskStopsPreparing checks that an append that can still be stored is, whatever
// becomes of the file that is prepared, and that preparing is tried again.
func TestFullDiskStopsPreparing(t *testing.T) {
	b := newBench(t, 4<<10, nil)
	full := true
	b.fault.Set(func(op vfstest.Op) error {
		if full && op.Kind == vfstest.KindWrite && vfs.IsTemp(op.Name) && op.Len > 1000 {
			return &vfstest.Torn{N: 512, Err: syscall.ENOSPC}
		}
		return nil
	})
	b.append(60)
	if len(b.failed) < 2 || len(b.failed) > 10 || !errors.Is(b.failed[0], syscall.ENOSPC) {
		t.Errorf("failures %v", b.failed)
	}
	if got := strings.Join(names(t, b.mem), " "); strings.Contains(got, "spare") {
		t.Errorf("the room is not given back: %s", got)
	}
	full = false
	b.append(60)
	if got := strings.Join(names(t, b.mem), " "); !strings.Contains(got, " 4096") {
		t.Errorf("nothing is prepared when there is room again: %s", got)
	}
}

// TestFullDiskUsesWhatIsPrepared fills the disk while a file is being prepared in the
// background: the append waits for it and is stored there.
func TestFullDiskUsesWhatIsPrepared(t *testing.T) {
	for _, ends := range []bool{true, false} {
		t.Run(fmt.Sprint(ends), func(t *testing.T) {
			var wg sync.WaitGroup
			reached, open := make(chan struct{}), make(chan struct{})
			b := newBench(t, 1<<20, func(c *wal.Config) { c.Run = func(task func()) { wg.Go(task) } })
			var mu sync.Mutex
			full := false
			b.fault.Set(func(op vfstest.Op) error {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case op.Kind != vfstest.KindWrite:
				case vfs.IsTemp(op.Name) && op.Len > 1000:
					mu.Unlock()
					close(reached)
					<-open
					mu.Lock()
					if !ends {
						full = false // the room is given back
						return syscall.ENOSPC
					}
				case full && op.Name == "/00000001.log":
					close(open)
					return syscall.ENOSPC
				}
				return nil
			})
			for b.Bytes() < 64<<10 {
				b.append(1)
			}
			<-reached
			mu.Lock()
			full = true
			mu.Unlock()
			b.append(1)
			wg.Wait()
			want := "00000001.log"
			if ends {
				want = "00000002.log"
			}
			if got := b.files[len(b.files)-1].Name(); got != want {
				t.Errorf("the frame is in %s, want %s", got, want)
			}
			b.fault.Set(nil)
			b.Close()
		})
	}
}

// TestCloseWaits closes a log while a file is being prepared.
func TestCloseWaits(t *testing.T) {
	var wg sync.WaitGroup
	b := newBench(t, 256<<20, func(c *wal.Config) { c.Run = func(task func()) { wg.Go(task) } })
	for b.Bytes() < 64<<10 {
		b.append(1)
	}
	b.Close()
	if got := names(t, b.mem); len(got) != 1 || b.failed != nil {
		t.Errorf("there are %v, failures %v", got, b.failed)
	}
	wg.Wait()
}

// TestSpareThatFails fails each operation of taking a prepared file into use: the append
// succeeds in another file, and the failure is told.
func TestSpareThatFails(t *testing.T) {
	for n := 1; ; n++ {
		b := newBench(t, 4<<10, nil)
		b.append(3)
		seen := 0
		b.fault.Set(func(op vfstest.Op) error {
			if vfs.IsTemp(op.Name) || op.Kind == vfstest.KindSyncDir {
				seen++
			}
			if seen == n {
				seen++ // this one only
				return errors.New("injected")
			}
			return nil
		})
		b.append(1)
		if b.fault.Hits() == 0 {
			break
		}
		if len(b.failed) == 0 {
			t.Errorf("operation %d failed and nobody was told", n)
		}
		b.append(40)
		if b.next != 45 || n > 20 {
			t.Fatalf("operation %d: next is %d", n, b.next)
		}
		checkLog(t, b.mem.CrashClone(vfstest.CrashOptions{}), b.Synced().Next)
	}
}
