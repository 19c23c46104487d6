package filestore

import "sync"

// Beginning a search takes many small pieces of memory, none of which is needed when the
// search is over. They are kept for the next one: it finds them in the caches of the
// processor.

// planRoom is the memory of a plan.
type planRoom struct {
	nodes []node
	lists []rowList
	codes []uint32
}

// What a planRoom has. A plan that needs more allocates it.
const (
	roomNodes = 48
	roomLists = 8
	roomCodes = 64
)

// judgeRoom is the memory for judging rows.
type judgeRoom struct {
	rows  [mostAhead]uint32
	codes [stretch512]uint32
	more  [stretch512]uint32 // codes of another column
}

var (
	planRooms = sync.Pool{New: func() any {
		return &planRoom{nodes: make([]node, 0, roomNodes), lists: make([]rowList, 0, roomLists), codes: make([]uint32, 0, roomCodes)}
	}}
	judgeRooms = sync.Pool{New: func() any { return new(judgeRoom) }}
)

func borrowPlanRoom() *planRoom {
	r, _ := planRooms.Get().(*planRoom)
	return r
}

func borrowJudgeRoom() *judgeRoom {
	r, _ := judgeRooms.Get().(*judgeRoom)
	return r
}

// free gives the memory back. Nothing that was planned in it is used any more.
func (r *planRoom) free() {
	clear(r.nodes)
	clear(r.lists)
	r.nodes, r.lists, r.codes = r.nodes[:0], r.lists[:0], r.codes[:0]
	planRooms.Put(r)
}

func (r *judgeRoom) free() { judgeRooms.Put(r) }

// take returns n empty nodes. It is like make, also for no room.
func (r *planRoom) take(n int) []node {
	if r == nil || cap(r.nodes)-len(r.nodes) < n {
		return make([]node, n)
	}
	from := len(r.nodes)
	r.nodes = r.nodes[:from+n]
	return r.nodes[from : from+n : from+n]
}

// list returns a list with this in it.
func (r *planRoom) list(l rowList) *rowList {
	if len(r.lists) == cap(r.lists) {
		own := new(rowList) // l itself would be allocated in any case
		*own = l
		return own
	}
	r.lists = append(r.lists, l)
	return &r.lists[len(r.lists)-1]
}

// takeCodes returns an empty list of codes with a capacity of n.
func (r *planRoom) takeCodes(n int) []uint32 {
	from := len(r.codes)
	if cap(r.codes)-from < n {
		return make([]uint32, 0, n)
	}
	r.codes = r.codes[:from+n]
	return r.codes[from : from : from+n]
}
