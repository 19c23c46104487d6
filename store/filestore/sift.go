package filestore

// sift looks for the ids of a batch in the segments there are, in the goroutine that
// appends: nearly all ids are new, and the committer, who is one for all, need not
// look there again. What is found, and what can't be read, is left to it.
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
		for i := range b.items {
			if v.lacks(b.items[i].id) {
				b.items[i].sifted = v.sealedTo
			}
		}
		return nil
	})
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
