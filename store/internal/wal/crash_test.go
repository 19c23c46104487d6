package wal_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// readLog reads a log as the next process does and returns the position behind the last
// record; below the lowest file left everything was recycled.
func readLog(fsys vfs.FS) (next uint64, last *wal.File, end wal.End, err error) {
	numbers, err := wal.List(fsys, "/")
	if err != nil {
		return 0, nil, end, err
	}
	var files []*wal.File
	for _, n := range numbers {
		f, err := wal.Open(fsys, "/", storeID, n, true)
		if err != nil {
			return 0, nil, end, err
		}
		if f.Err != nil {
			return 0, nil, end, fmt.Errorf("%s: %w", f.Name(), f.Err)
		}
		files = append(files, f)
	}
	for i, f := range files {
		size, err := f.Size()
		if err != nil {
			return 0, nil, end, err
		}
		if i == len(files)-1 {
			if end, err = wal.Tail(f, f.Header, size, 0); err != nil {
				return 0, nil, end, err
			}
			size = end.Offset
		}
		if i == 0 {
			next = f.Header.First
		}
		for it, err := range wal.Scan(f, storeID, f.Header.Number, wal.HeaderSize, size) {
			if err != nil {
				return 0, nil, end, err
			}
			if it.Kind == wal.Invalid {
				continue
			}
			if i+1 < len(files) && it.First >= files[i+1].Header.First {
				break
			}
			if it.Kind != wal.Intact || it.First != next {
				return 0, nil, end, fmt.Errorf("%s, offset %d: kind %d, position %d, want %d", f.Name(), it.Offset, it.Kind, it.First, next)
			}
			for r := range wal.Records(it.Payload) {
				if !r.OK || string(r.Data) != record(next) {
					return 0, nil, end, fmt.Errorf("%s, offset %d: record %.8s, want %d", f.Name(), it.Offset, r.Data, next)
				}
				next++
			}
		}
		last = f
	}
	return next, last, end, nil
}

func checkLog(t testing.TB, fsys vfs.FS, next uint64) {
	t.Helper()
	if got, _, _, err := readLog(fsys); err != nil || got != next {
		t.Errorf("the log ends at %d, %v; want %d", got, err, next)
	}
}

// recover is the next process: it cuts what was under way, goes on in the same file
// and appends again.
func recoverLog(fsys vfs.FS, frames int) (uint64, error) {
	next, last, end, err := readLog(fsys)
	if err != nil {
		return 0, err
	}
	cfg := wal.Config{FS: fsys, Dir: "/", Store: storeID, MaxFile: 2 << 10, MaxDirty: 1 << 20, Run: func(task func()) { task() }}
	if err := vfs.RemoveTemp(fsys, "/"); err != nil {
		return 0, err
	}
	if last == nil {
		last = &wal.File{}
		next = 1
	}
	log := wal.NewLog(cfg, last.Header.Number, wal.Mark{File: last.Header.Number, Offset: end.Offset, Next: next})
	if last.Header.Number != 0 {
		size, err := last.Size()
		if err != nil {
			return 0, err
		}
		if err := last.Cut(end.Synced, size, end.Offset); err != nil {
			return 0, err
		}
		log.Continue(last)
	}
	for range frames {
		if _, _, err := log.Append([]wal.Frame{frameOf(next, record(next))}, true); err != nil {
			return 0, err
		}
		next++
	}
	return next, nil
}

// TestCrashWhileRecycling takes the power away before every operation of a log whose
// files are used again and again, and looks at what many outcomes leave: everything
// acknowledged, and nothing that a file held in an earlier use or that was not
// acknowledged and cut off before.
func TestCrashWhileRecycling(t *testing.T) {
	for _, background := range []bool{false, true} {
		t.Run(fmt.Sprint("background ", background), func(t *testing.T) {
			var wg sync.WaitGroup
			b := newBench(t, 2<<10, func(c *wal.Config) {
				if background {
					c.Run = func(task func()) { wg.Go(task) }
				}
			})
			var mu sync.Mutex
			acked, floor := uint64(1), uint64(1)
			b.fault.OnOp = func(op vfstest.Op) {
				mu.Lock()
				defer mu.Unlock()
				for seed := range uint64(6) {
					opts := vfstest.CrashOptions{}
					if seed > 0 {
						opts.Rand, opts.Survive = rand.New(rand.NewPCG(uint64(op.N), seed)), []float64{0.2, 0.5, 0.9}[seed%3]
					}
					disk := b.mem.CrashClone(opts)
					next, err := recoverLog(disk, 3)
					if err != nil || next-3 < acked || next-3 > acked+1 {
						t.Errorf("before operation %d (%s), seed %d: the log ends at %d, acknowledged was %d: %v", op.N, op, seed, next-3, acked, err)
						return
					}
					// What the second process wrote stands in another crash, and what it
					// cut off does not come back.
					if got, _, _, err := readLog(disk.CrashClone(vfstest.CrashOptions{})); err != nil || got != next {
						t.Errorf("before operation %d (%s), seed %d, again: the log ends at %d, want %d: %v", op.N, op, seed, got, next, err)
						return
					}
				}
			}
			for range 120 {
				if t.Failed() {
					return
				}
				b.append(1)
				mu.Lock()
				acked = b.Synced().Next
				mu.Unlock()
				if n := len(b.files); n > 3 && floor < b.files[n-3].Header.Number {
					floor = b.files[n-3].Header.Number
					if err := b.Recycle(b.files[n-4]); err != nil {
						t.Fatal(err)
					}
				}
			}
			b.fault.OnOp = nil
			b.Close()
			wg.Wait()
			if len(b.files) < 10 || b.failed != nil {
				t.Errorf("%d files, failures %v: the test has lost its point", len(b.files), b.failed)
			}
		})
	}
}

// TestCutFramesDoNotComeBack has an intact frame behind one that did not reach the disk.
// The next process writes another one of the same length before it.
func TestCutFramesDoNotComeBack(t *testing.T) {
	for _, room := range []int{0, 1000} {
		b := newBench(t, 1<<20, nil)
		b.append(3)
		for range 2 {
			if _, _, err := b.Append([]wal.Frame{frameOf(b.next, record(b.next))}, false); err != nil {
				t.Fatal(err)
			}
			b.next++
		}
		disk := content(t, b.mem, 1)
		const gap = wal.HeaderSize + 3*recordFrame
		clear(disk[gap : gap+recordFrame])
		if err := b.mem.WriteFile(wal.FileName(1), append(disk, make([]byte, room)...)); err != nil {
			t.Fatal(err)
		}
		if _, _, end, err := readLog(b.mem); err != nil || end != (wal.End{Offset: gap, Synced: gap, Torn: gap + 2*recordFrame}) {
			t.Fatalf("room %d: %+v, %v", room, end, err)
		}
		next, err := recoverLog(b.mem, 1)
		if err != nil || next != 5 {
			t.Fatalf("room %d: the next process ends at %d, %v", room, next, err)
		}
		checkLog(t, b.mem, 5)
		checkLog(t, b.mem.CrashClone(vfstest.CrashOptions{}), 5)
	}
}

// TestTornFrameOverOldOne tears the write of a frame at every byte, over what an earlier
// use left at that place: a frame with the same offset, length and fields.
func TestTornFrameOverOldOne(t *testing.T) {
	mem, _ := newLogAt(t, 3, frameOf(1, record(1)), frameOf(2, record(2)), frameOf(3, record(3)))
	old := content(t, mem, 4)
	mem, _ = newLogAt(t, 8, frameOf(1, record(1)), frameOf(2, record(2)), frameOf(3, record(3)))
	whole := content(t, mem, 9)
	h := wal.Header{Store: storeID, Number: 9, First: 1}
	const from = wal.HeaderSize + recordFrame
	for cut := from; cut < from+recordFrame; cut++ {
		for _, first := range []bool{true, false} { // which part of the write reached the disk
			b := bytes.Clone(old)
			copy(b, whole[:from])
			if first {
				copy(b[from:], whole[from:cut])
			} else {
				copy(b[cut:], whole[cut:from+recordFrame])
			}
			end, err := wal.Tail(bytes.NewReader(b), h, int64(len(b)), 0)
			if err != nil {
				t.Fatal(err)
			}
			// The two differ in nothing but the checksum of the header. So the frame is
			// whole once that is, and no frame at all otherwise.
			want := wal.End{Offset: from, Synced: wal.HeaderSize, Torn: from}
			if sum := from + 8; first && cut >= sum || !first && cut <= from+4 {
				want = wal.End{Offset: from + recordFrame, Synced: from, Torn: from + recordFrame}
			}
			if end != want {
				t.Errorf("cut at byte %d, first part %v: got %+v, want %+v", cut-from, first, end, want)
			}
		}
	}
	// With another content the payload tells too.
	mem, _ = newLogAt(t, 8, frameOf(1, record(1)), frameOf(2, strings.Repeat("n", 100)), frameOf(3, record(3)))
	whole = content(t, mem, 9)
	for cut := from; cut < from+recordFrame; cut++ {
		b := append(bytes.Clone(whole[:cut]), old[cut:]...)
		end, err := wal.Tail(bytes.NewReader(b), h, int64(len(b)), 0)
		if err != nil || end.Offset != from {
			t.Errorf("cut at byte %d: %+v, %v", cut-from, end, err)
		}
		const sums = 36 // behind them both headers have zeros
		if torn := cut >= from+sums; (end.Torn == from+recordFrame) != torn {
			t.Errorf("cut at byte %d: told is %+v", cut-from, end)
		}
	}
}
