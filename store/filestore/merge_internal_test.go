package filestore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/storetest"
)

// ofSegments returns a store that has so many segments and merges none by itself.
func ofSegments(t *testing.T, n int, opts Options) *Store {
	t.Helper()
	ctx := context.Background()
	opts.LockWait, opts.unmerged, opts.run = -1, true, func(task func()) { task() }
	s, err := Open("/store", &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	traces := storetest.Traces(3, 20*n)
	for i := range n {
		for _, trace := range traces[20*i : 20*i+20] {
			if _, err := s.Append(ctx, []cts.Entry{{Trace: trace}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.sealEverything(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if have := s.Status().Segments; have != n {
		t.Fatalf("%d segments, want %d", have, n)
	}
	return s
}

// Nothing is merged in the background while all is merged at once.
func TestSuperseded(t *testing.T) {
	s := ofSegments(t, mergeFanIn, Options{FS: vfstest.NewMemFS()})
	k := s.keeper
	job := mergeJob{policy: k.due, workers: 1, giveUp: k.superseded}
	expect := func(when string, want bool, wantErr error, segments int) {
		t.Helper()
		more, err := k.mergeOne(job)
		if n := s.Status().Segments; more != want || !errors.Is(err, wantErr) || n != segments {
			t.Errorf("%s: %v, %v, %d segments, want %v, %v, %d", when, more, err, n, want, wantErr, segments)
		}
	}
	k.compacting.Add(1)
	expect("while Compact seals", false, nil, mergeFanIn)
	k.merged.Add(1)
	expect("while it merges", false, errSuperseded, mergeFanIn)
	k.merged.Add(-1)
	k.compacting.Add(-1)
	expect("behind it", true, nil, 1)
}

// A merge ends soon after the context of Compact, and leaves nothing.
func TestCompactEnds(t *testing.T) {
	mem := vfstest.NewMemFS()
	fault := vfstest.NewFaultFS(mem)
	s := ofSegments(t, 5, Options{FS: fault})
	segments := func() (names []string) {
		for _, name := range mem.Files() {
			if strings.HasPrefix(name, "/store/segments/") {
				names = append(names, name)
			}
		}
		return names
	}
	before := segments()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	fault.Set(func(op vfstest.Op) error {
		if op.Kind == vfstest.KindCreate && strings.HasPrefix(op.Name, "/store/segments/") { // the file of the merge
			cancel()
		}
		return nil
	})
	if err := s.Compact(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Compact: %v", err)
	}
	if after := segments(); !slices.Equal(after, before) || s.Status().Segments != 5 {
		t.Errorf("%d segments in %q, want 5 in %q", s.Status().Segments, after, before)
	}
	if err := s.Compact(context.Background()); err != nil || s.Status().Segments != 1 {
		t.Errorf("the next: %d segments, %v", s.Status().Segments, err)
	}
}
