package filestore_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
)

var levels = []filestore.SyncLevel{filestore.SyncCommit, filestore.SyncInterval, filestore.SyncOS}

func TestReopenKeepsEverything(t *testing.T) {
	for _, level := range levels {
		t.Run(level.String(), func(t *testing.T) {
			fsys := vfs.OS
			dir := t.TempDir()
			opts := *unsealed(filestore.Options{Sync: level, LogFileBytes: 4 << 10})
			s := open(t, fsys, dir, opts)
			id := s.ID()
			for n := 1; n <= 60; n += 3 {
				mustAppend(t, s, numbered(n, n+2)...)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, fsys, dir, opts)
			if s.ID() != id {
				t.Errorf("the id changed from %s to %s", id, s.ID())
			}
			got, damage := ids(t, s, 0)
			if !slices.Equal(got, idsOf(1, 60)) || damage != nil {
				t.Errorf("got %d traces and damage %v", len(got), damage)
			}
			if st := s.Status(); st.LogFiles < 5 || st.Failures != 0 {
				t.Errorf("status %+v", st)
			}
			if done := mustAppend(t, s, numbered(59, 62)...); done != (cts.Appended{First: 59, Last: 62, Existing: 2}) {
				t.Errorf("appended %+v", done)
			}
			verify(t, s)
		})
	}
}

func TestConcurrentAppendsShareSyncs(t *testing.T) {
	fault := vfstest.NewFaultFS(vfstest.NewMemFS())
	s := open(t, fault, "/store", filestore.Options{})
	fault.Set(nil)
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for g := range 64 {
		wg.Go(func() {
			<-gate
			for i := range 10 {
				if _, err := s.Append(background, numbered(1+g*10+i, 1+g*10+i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	close(gate)
	wg.Wait()
	got, _ := ids(t, s, 0)
	slices.Sort(got)
	if !slices.Equal(got, idsOf(1, 640)) {
		t.Errorf("got %d traces", len(got))
	}
	t.Log(fault.Count())
}

func TestConflict(t *testing.T) {
	s := open(t, vfstest.NewMemFS(), "/store", filestore.Options{})
	mustAppend(t, s, numbered(1, 3)...)
	other := traceOf(2)
	other.Name = "deleteServer"
	_, err := s.Append(background, []cts.Entry{{Trace: traceOf(4)}, {Trace: other}})
	var conflict *cts.ConflictError
	if !errors.As(err, &conflict) || conflict.Index != 1 || conflict.ID != other.ID {
		t.Fatalf("got %v", err)
	}
	if got, _ := ids(t, s, 0); !slices.Equal(got, idsOf(1, 3)) {
		t.Errorf("got %v", got)
	}
	mustAppend(t, s, numbered(1, 4)...)
	verify(t, s)
}
