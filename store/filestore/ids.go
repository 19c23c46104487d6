package filestore

import (
	"hash/maphash"
	"sync"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/idmap"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// idTable knows the ids of the traces in the log, one map for each log file, so that
// what was sealed is dropped at once. In front of the maps is one filter: nearly all ids
// that are looked for are new, and to look into a map for each file is what an append would
// spend most of its time with. One goroutine adds and another drops while others read.
type idTable struct {
	mu     sync.RWMutex
	seed   maphash.Seed
	filter idFilter
	maps   []idsOfFile
}

type idsOfFile struct {
	file   *wal.File
	last   cts.Position
	ids    idmap.Map
	hashes []uint64 // of the ids
}

// put notes a trace; the first one with an id counts.
func (t *idTable) put(f *wal.File, id string, pos cts.Position) {
	if n := len(t.maps); n == 0 || t.maps[n-1].file != f {
		t.maps = append(t.maps, idsOfFile{file: f})
	}
	if t.seed == (maphash.Seed{}) {
		t.seed = maphash.MakeSeed()
	}
	m := &t.maps[len(t.maps)-1]
	m.last = pos
	m.ids.Put(id, uint64(pos))
	m.hashes = append(m.hashes, maphash.String(t.seed, id))
	if !t.filter.add(m.hashes[len(m.hashes)-1]) {
		t.rebuild()
	}
}

func (t *idTable) get(id string) (cts.Position, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.find(id)
}

func (t *idTable) find(id string) (cts.Position, bool) {
	if len(t.maps) == 0 || !t.filter.has(maphash.String(t.seed, id)) {
		return 0, false
	}
	for i := len(t.maps) - 1; i >= 0; i-- {
		if pos, ok := t.maps[i].ids.Get(id); ok {
			return cts.Position(pos), true
		}
	}
	return 0, false
}

// drop forgets the files whose traces are all at or below a position.
func (t *idTable) drop(upTo cts.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.maps)
	for len(t.maps) > 0 && t.maps[0].last <= upTo {
		t.maps[0] = idsOfFile{}
		t.maps = t.maps[1:]
	}
	if len(t.maps) < n {
		t.rebuild()
	}
}

// rebuild makes the filter anew.
func (t *idTable) rebuild() {
	n := 0
	for i := range t.maps {
		n += len(t.maps[i].hashes)
	}
	t.filter = newIDFilter(n)
	for i := range t.maps {
		for _, h := range t.maps[i].hashes {
			t.filter.add(h)
		}
	}
}

// idFilter is a set of hashes, of which it keeps half: one of some billions that are not
// in it seems to be.
type idFilter struct {
	slots []uint32 // 0 is free
	used  int
}

// newIDFilter returns a filter with room for n hashes, and as many again.
func newIDFilter(n int) idFilter {
	size := 1 << 10
	for size < 4*n {
		size *= 2
	}
	return idFilter{slots: make([]uint32, size)}
}

// add adds a hash, and reports whether there was room for it.
func (f *idFilter) add(h uint64) bool {
	if 2*f.used >= len(f.slots) {
		return false
	}
	last := uint64(len(f.slots) - 1)
	i := h >> 32
	for f.slots[i&last] != 0 {
		i++
	}
	f.slots[i&last] = uint32(h) | 1
	f.used++
	return true
}

// has reports whether a hash was added, or seems so.
func (f *idFilter) has(h uint64) bool {
	last := uint64(len(f.slots) - 1)
	for i := h >> 32; ; i++ {
		switch f.slots[i&last] {
		case 0:
			return false
		case uint32(h) | 1:
			return true
		}
	}
}
