package segment

import (
	"strings"
	"sync/atomic"
)

// findCache keeps where values were found in a dictionary, or that they are not in it.
// People ask for the same user, name or address again and again, and a search goes
// through a dozen places far from each other. It is bounded: a value takes the place of
// another one that is not in use, and is kept when it is asked for again.
type findCache struct {
	slots atomic.Pointer[[findSlots]findSlot] // nil until something is asked for
}

type findSlot struct {
	asked  atomic.Uint64 // hash of the value that was searched last
	used   atomic.Bool   // result was, since another value would have taken its place
	result atomic.Pointer[findResult]
}

type findResult struct {
	value string
	code  uint32
	ok    bool
}

const (
	fewValues = 16 // that are found as quickly by a search
	findSlots = 64
	mostFind  = 128 // bytes of a value that is kept
)

// get returns what find returns for a value.
func (c *findCache) get(value string, find func(value string) (int, bool)) (code uint32, ok bool) {
	if len(value) > mostFind {
		i, ok := find(value)
		return uint32(i), ok
	}
	slots := c.slots.Load()
	if slots == nil {
		c.slots.CompareAndSwap(nil, new([findSlots]findSlot))
		slots = c.slots.Load()
	}
	h := hash(stringView(value))
	slot := &slots[h%findSlots]
	if r := slot.result.Load(); r != nil && r.value == value {
		if !slot.used.Load() {
			slot.used.Store(true)
		}
		return r.code, r.ok
	}
	i, ok := find(value)
	if slot.asked.Swap(h) == h && !slot.used.Swap(false) {
		slot.result.Store(&findResult{strings.Clone(value), uint32(i), ok})
	}
	return uint32(i), ok
}
