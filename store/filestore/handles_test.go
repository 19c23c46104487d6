package filestore_test

import (
	"io"
	"io/fs"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

// handles is a file system that counts what is open.
type handles struct {
	vfs.FS
	open atomic.Int64
}

func (h *handles) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := h.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	h.open.Add(1)
	return &handle{File: f, h: h}, nil
}

func (h *handles) Lock(dir string) (io.Closer, error) {
	l, err := h.FS.Lock(dir)
	if err != nil {
		return nil, err
	}
	h.open.Add(1)
	return &heldLock{Closer: l, h: h}, nil
}

type handle struct {
	vfs.File
	h *handles
}

func (f *handle) Close() error {
	f.h.open.Add(-1)
	return f.File.Close()
}

type heldLock struct {
	io.Closer
	h *handles
}

func (l *heldLock) Close() error {
	l.h.open.Add(-1)
	return l.Closer.Close()
}

// TestCloseLeavesNothing checks that Close ends every goroutine, which the bubble
// insists on, and closes every file once the last iterator has ended.
func TestCloseLeavesNothing(t *testing.T) {
	for _, level := range levels {
		synctest.Test(t, func(t *testing.T) {
			h := &handles{FS: vfstest.NewMemFS()}
			s, err := filestore.Open("/store", &filestore.Options{FS: h, Sync: level, LogFileBytes: 1 << 10})
			if err != nil {
				t.Fatal(err)
			}
			r, err := filestore.OpenReader("/store", &filestore.Options{FS: h})
			if err != nil {
				t.Fatal(err)
			}
			for n := 1; n < 20; n++ {
				mustAppend(t, s, numbered(n, n)...)
			}
			if err := s.Sync(background); err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, err := range s.After(background, 0) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; n == 3 {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					if h.open.Load() == 0 {
						t.Error("the files were closed under the iterator")
					}
				}
			}
			if n != 19 {
				t.Errorf("the iterator yielded %d traces", n)
			}
			if got, _ := ids(t, r, 0); len(got) != 19 {
				t.Errorf("the reader yielded %d traces", len(got))
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if left := h.open.Load(); left != 0 {
				t.Errorf("%d files are open", left)
			}
		})
	}
}

// TestFailedOpenLeavesNothing fails each operation of opening a store that has
// something to recover.
func TestFailedOpenLeavesNothing(t *testing.T) {
	mem := newDisk(t)
	mem.flip(log2, mem.frame(log2, 1).Offset+2)
	mem.write(log3, append(mem.read(log3), "torn"...))
	for n := 1; ; n++ {
		fault := vfstest.NewFaultFS(mem.KillClone())
		fault.CountAll = true
		fault.Set(vfstest.FailNth(n, errDisk))
		h := &handles{FS: fault}
		s, err := filestore.Open("/store", &filestore.Options{FS: h})
		if err == nil {
			err = s.Close()
		}
		if left := h.open.Load(); left != 0 {
			t.Errorf("operation %d failed (%v) and %d files are open", n, err, left)
		}
		if fault.Hits() == 0 {
			break
		}
	}
}
