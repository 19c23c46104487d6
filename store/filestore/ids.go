package filestore

import (
	"sync"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/idmap"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// idTable knows the ids of the traces in the log, one map for each log file, so that
// what was sealed is dropped at once. One goroutine adds and another drops while others
// read.
type idTable struct {
	mu   sync.RWMutex
	maps []idsOfFile
}

type idsOfFile struct {
	file *wal.File
	last cts.Position
	ids  idmap.Map
}

// put notes a trace; the first one with an id counts.
func (t *idTable) put(f *wal.File, id string, pos cts.Position) {
	if n := len(t.maps); n == 0 || t.maps[n-1].file != f {
		t.maps = append(t.maps, idsOfFile{file: f})
	}
	m := &t.maps[len(t.maps)-1]
	m.last = pos
	m.ids.Put(id, uint64(pos))
}

func (t *idTable) get(id string) (cts.Position, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.find(id)
}

func (t *idTable) find(id string) (cts.Position, bool) {
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
	for len(t.maps) > 0 && t.maps[0].last <= upTo {
		t.maps[0] = idsOfFile{}
		t.maps = t.maps[1:]
	}
}
