package filestore

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/cloudtraceservice/cts"
)

// idTable knows the ids of the traces in the log by their hashes: that a hash is not
// there is certain, and nearly all ids that are looked for are new. Whoever finds one
// reads the trace to be certain that it has the id. One goroutine adds and another drops
// while others read.
type idTable struct {
	mu     sync.RWMutex
	seed   maphash.Seed
	ids    []idOfTrace // in order of position
	gone   uint32      // ids that were dropped before them, which wraps around
	slots  []uint64    // open addressing: upper half of a hash, and number of the id; 0 is free
	filled int         // slots, those of ids that were dropped too
}

type idOfTrace struct {
	hash uint64
	pos  cts.Position
}

const leastSlots = 1 << 10

// put notes a trace, which is behind all others.
func (t *idTable) put(id string, pos cts.Position) {
	if t.seed == (maphash.Seed{}) {
		t.seed = maphash.MakeSeed()
	}
	hash := maphash.String(t.seed, id)
	t.ids = append(t.ids, idOfTrace{hash, pos})
	if 2*t.filled >= len(t.slots) {
		t.rebuild()
		return
	}
	t.place(len(t.ids)-1, hash)
}

// place puts an id in a slot.
func (t *idTable) place(at int, hash uint64) {
	last := uint64(len(t.slots) - 1)
	i := hash
	for t.slots[i&last] != 0 {
		i++
	}
	number := t.gone + uint32(at)
	t.slots[i&last] = hash>>32<<32 | uint64(number)
	t.filled++
}

// get appends to found the positions of the traces that probably have an id, the oldest
// first.
func (t *idTable) get(id string, found []cts.Position) []cts.Position {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.find(id, found)
}

func (t *idTable) find(id string, found []cts.Position) []cts.Position {
	if len(t.ids) == 0 {
		return found
	}
	hash := maphash.String(t.seed, id)
	last := uint64(len(t.slots) - 1)
	for i := hash; t.slots[i&last] != 0; i++ {
		slot := t.slots[i&last]
		at := uint32(slot) - t.gone
		if slot>>32 == hash>>32 && int64(at) < int64(len(t.ids)) && t.ids[at].hash == hash {
			found = append(found, t.ids[at].pos)
		}
	}
	return found
}

// drop forgets the traces at or below a position.
func (t *idTable) drop(upTo cts.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, _ := slices.BinarySearchFunc(t.ids, upTo+1, func(id idOfTrace, pos cts.Position) int {
		if id.pos < pos {
			return -1
		}
		return 1
	})
	t.ids, t.gone = t.ids[n:], t.gone+uint32(n)
	if len(t.ids) == 0 {
		t.ids, t.slots, t.filled = nil, nil, 0
	}
}

// cut forgets the n traces that were put last.
func (t *idTable) cut(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ids = t.ids[:len(t.ids)-n]
}

// rebuild makes the slots anew, without those of ids that were dropped.
func (t *idTable) rebuild() {
	size := leastSlots
	for size < 4*len(t.ids) {
		size *= 2
	}
	t.ids = slices.Clone(t.ids) // not the memory of those that were dropped
	t.gone, t.filled = 1, 0     // no slot of an id is 0
	t.slots = make([]uint64, size)
	for at, id := range t.ids {
		t.place(at, id.hash)
	}
}
