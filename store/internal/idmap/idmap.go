// Package idmap maps trace ids to places. Nearly all ids are UUIDs, and there are
// as many of them as traces: held as their 16 bytes they take a third of the room
// of their text, and the garbage collector has no pointers to follow.
package idmap

// Map maps ids to positions. The zero Map is empty and ready to use.
//
// An id in the canonical text form of a UUID (RFC 9562: 36 characters, lower-case)
// is kept as its 16 bytes, in a map of its own; every other id is kept as it is,
// upper-case spellings of UUIDs included. So two different ids are never one key.
//
// A Map is not safe for concurrent use, except that any number of goroutines may
// call Get, GetBytes and Len while none changes it.
type Map struct {
	uuids map[[16]byte]uint64
	texts map[string]uint64
}

// Get returns the position of the id, and whether there is one. It allocates
// nothing.
func (m *Map) Get(id string) (pos uint64, ok bool) {
	if u, is := parse(id); is {
		pos, ok = m.uuids[u]
		return pos, ok
	}
	pos, ok = m.texts[id]
	return pos, ok
}

// GetBytes is [Map.Get] for an id that is not a string yet.
func (m *Map) GetBytes(id []byte) (pos uint64, ok bool) {
	if u, is := parse(id); is {
		pos, ok = m.uuids[u]
		return pos, ok
	}
	pos, ok = m.texts[string(id)]
	return pos, ok
}

// Put sets the position of the id. For a UUID it allocates nothing but the growth
// of the map; another id is kept as the string that was given.
func (m *Map) Put(id string, pos uint64) {
	if u, is := parse(id); is {
		m.putUUID(u, pos)
		return
	}
	m.putText(id, pos)
}

// PutBytes is [Map.Put] for an id that is not a string yet. It keeps nothing of
// the slice.
func (m *Map) PutBytes(id []byte, pos uint64) {
	if u, is := parse(id); is {
		m.putUUID(u, pos)
		return
	}
	m.putText(string(id), pos)
}

// Delete removes the id, if it is there.
func (m *Map) Delete(id string) {
	if u, is := parse(id); is {
		delete(m.uuids, u)
		return
	}
	delete(m.texts, id)
}

// Len returns how many ids there are.
func (m *Map) Len() int { return len(m.uuids) + len(m.texts) }

func (m *Map) putUUID(u [16]byte, pos uint64) {
	if m.uuids == nil {
		m.uuids = map[[16]byte]uint64{}
	}
	m.uuids[u] = pos
}

func (m *Map) putText(id string, pos uint64) {
	if m.texts == nil {
		m.texts = map[string]uint64{}
	}
	m.texts[id] = pos
}

// parse returns the 16 bytes of a UUID and whether id is one in canonical form:
// exactly the text that formatting the bytes would give back.
func parse[T string | []byte](id T) (u [16]byte, ok bool) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return u, false
	}
	bad := byte(0)
	for i, at := range places {
		high, low := digits[id[at]], digits[id[at+1]]
		u[i] = high<<4 | low&0x0f
		bad |= high | low
	}
	return u, bad < 0x10
}

// places are the indices in the text at which the 16 bytes stand.
var places = [16]uint8{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// digits holds the values of the lower-case hexadecimal digits, 0xff for all else.
var digits = func() (d [256]byte) {
	for c := range d {
		switch {
		case c >= '0' && c <= '9':
			d[c] = byte(c - '0')
		case c >= 'a' && c <= 'f':
			d[c] = byte(c-'a') + 10
		default:
			d[c] = 0xff
		}
	}
	return d
}()
