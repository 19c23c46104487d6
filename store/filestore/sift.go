package filestore

import (
	"slices"

	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// sieve tells of ids that none of some segments has them.
type sieve struct {
	segments []*sealed // which are read only while a view that shows them is pinned
	ids      *segment.Sieve
}

// sift looks for the ids of a batch in the segments there are, in the goroutine that
// appends: nearly all ids are new, and the committer, who is one for all, need not
// look there again. What is found is left to it.
func (s *Store) sift(b *batch) {
	pinned, ok := s.pins.acquire()
	if !ok {
		return
	}
	defer pinned.release()
	v := s.view.Load()
	if len(v.segments) == 0 {
		return
	}
	_ = v.segments[0].guarded(func() error { // whichever of them faults, the committer sees it too
		sieve := s.sieveOf(v)
		for i := range b.items {
			if id := b.items[i].id; !sieve.MayContain(id) || v.lacks(id) {
				b.items[i].sifted = v.sealedTo
			}
		}
		return nil
	})
}

// sieveOf returns the sieve of the segments of a view, which it makes if they have changed.
func (s *Store) sieveOf(v *view) *segment.Sieve {
	if last := s.sieve.Load(); last != nil && slices.Equal(last.segments, v.segments) {
		return last.ids
	}
	at := layout.byName["trace_id"]
	var columns []*segment.ColumnReader
	for _, s := range v.segments {
		if c, err := s.column(at, segment.Filter); err == nil && c != nil { // else see lookUpSealed
			columns = append(columns, c)
		}
	}
	made := &sieve{segments: v.segments, ids: segment.NewSieve(columns)}
	s.sieve.Store(made)
	return made.ids
}

// lacks reports whether it is certain that no segment has an id.
func (v *view) lacks(id string) bool {
	for _, s := range v.segments {
		if _, ok, err := s.find(id); ok || err != nil {
			return false
		}
	}
	return true
}
