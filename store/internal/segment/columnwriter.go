package segment

import (
	"hash/maphash"
)

// From lookFrom rows on, at each number that is twice the one before, a column is looked
// at to see whether its values are nearly all different. Few rows say little: of 2,000
// users 800 occur in 1,000 rows. So until there are uniqueFrom rows, seven eighths must be.
const (
	lookFrom   = 1 << 10
	uniqueFrom = 1 << 15
)

// columnWriter collects the values of one column: as codes, and once they are seen to
// be nearly all different, as they are. It is told where the value changes, and fills
// what is between when it must.
type columnWriter struct {
	values valueSet // the different values; once they are listed, that of each ordinal
	spare  valueSet // has only memory
	codes  []uint32 // of the ordinals that are filled in
	code   uint32   // of the last value
	look   int      // number of rows at which to look next
	id     bool
	listed bool
}

// reset makes the column empty.
func (c *columnWriter) reset() {
	c.values.reset()
	c.codes, c.code, c.look, c.listed = c.codes[:0], 0, lookFrom, false
}

// change adds the value of ordinal n, which is another than that of the one before, and
// returns a copy of it.
func (c *columnWriter) change(v string, n int) string {
	c.fill(n)
	if c.listed {
		return c.values.append(v)
	}
	c.code = c.values.code(v)
	c.codes = append(c.codes, c.code)
	copied := c.values.at(int(c.code))
	if n+1 >= c.look {
		for c.look <= n+1 {
			c.look *= 2
		}
		most := (n + 1) / 8 * 7
		if c.id || n+1 >= uniqueFrom {
			most = (n + 1) / 2
		}
		if c.values.len() > most {
			c.list()
		}
	}
	return copied
}

// fill gives the ordinals before n the last value, if they have none.
func (c *columnWriter) fill(n int) {
	if !c.listed {
		for have := len(c.codes); have < n; have++ {
			c.codes = append(c.codes, c.code)
		}
		return
	}
	for c.values.len() < n {
		c.values.append(c.values.at(c.values.len() - 1))
	}
}

// list turns codes into a list of values.
func (c *columnWriter) list() {
	set := c.swap()
	for _, code := range c.codes {
		c.values.append(set.at(int(code)))
	}
	c.codes, c.listed = c.codes[:0], true
}

// unlist turns a list of values back into codes.
func (c *columnWriter) unlist() {
	list := c.swap()
	for i := range list.len() {
		c.codes = append(c.codes, c.values.code(list.at(i)))
	}
	c.listed = false
}

// swap makes values an empty set and returns what they were, until the next swap.
func (c *columnWriter) swap() *valueSet {
	c.values, c.spare = c.spare, c.values
	c.values.reset()
	return &c.spare
}

// data returns the column of n rows, in the memory of the writer. It can be called once.
func (c *columnWriter) data(schema Column, n int, ordinalOf []uint32) columnData {
	if !c.listed && c.values.len() == 1 {
		return columnData{schema: schema, kind: Const, constant: c.values.at(0)}
	}
	c.fill(n)
	if !c.listed && n < uniqueFrom && c.values.len() > n/2+1 {
		c.list()
	}
	if c.listed {
		list := c.values.list(ordinalOf)
		if mostlyDistinct(list) {
			return columnData{schema: schema, kind: Unique, values: list}
		}
		c.unlist()
	}
	order := c.values.sorted()
	rank := inverse(order)
	codes := c.codes
	if ordinalOf != nil {
		codes = make([]uint32, n)
		for row, ordinal := range ordinalOf {
			codes[row] = c.codes[ordinal]
		}
	}
	for row, code := range codes {
		codes[row] = rank[code]
	}
	return columnData{schema: schema, kind: Dict, values: c.values.list(order), codes: codes}
}

// mostlyDistinct estimates whether a list has more different values than half of its
// length, by those of one of 16 hashes.
func mostlyDistinct(list valueList) bool {
	n := list.Len()
	shift := uint(4)
	if n < 1<<12 {
		shift = 0
	}
	seen := make(map[uint64]struct{}, n>>shift)
	var buf []byte
	for i := range n {
		buf = list.Value(buf[:0], i)
		if h := hash(buf); h>>8&mask(shift) == 0 {
			seen[h] = struct{}{}
		}
	}
	return len(seen)<<shift > n/2
}

// valueSet holds values one behind the other, and finds the code of each if it is asked
// for codes. The seed keeps who chooses the values from choosing their hashes.
type valueSet struct {
	seed  maphash.Seed
	arena []byte
	ends  []uint64
	slots []valueSlot
}

// valueSlot is a value in the hash table: the upper half of its hash, and its code
// and 1; 0 is free.
type valueSlot struct{ hash, next uint32 }

func (s *valueSet) len() int { return len(s.ends) }

// reset makes the set empty.
func (s *valueSet) reset() { s.arena, s.ends, s.slots = s.arena[:0], s.ends[:0], s.slots[:0] }

// at returns a value, in memory that stays as it is.
func (s *valueSet) at(i int) string {
	from := uint64(0)
	if i > 0 {
		from = s.ends[i-1]
	}
	return bytesView(s.arena[from:s.ends[i]])
}

// append adds a value and returns the copy.
func (s *valueSet) append(v string) string {
	s.arena = append(s.arena, v...)
	s.ends = append(s.ends, uint64(len(s.arena)))
	return bytesView(s.arena[len(s.arena)-len(v):])
}

// code returns the code of a value, which gets one if it has none.
func (s *valueSet) code(v string) uint32 {
	if 2*len(s.ends) >= len(s.slots) {
		s.grow()
	}
	h := maphash.String(s.seed, v)
	last := uint64(len(s.slots) - 1)
	for i := h & last; ; i = (i + 1) & last {
		slot := &s.slots[i]
		if slot.next == 0 {
			s.append(v)
			*slot = valueSlot{uint32(h >> 32), uint32(len(s.ends))}
			return slot.next - 1
		}
		if upper := uint32(h >> 32); slot.hash == upper && s.at(int(slot.next-1)) == v {
			return slot.next - 1
		}
	}
}

// grow makes room in the hash table.
func (s *valueSet) grow() {
	if n := max(16, 2*len(s.slots)); n <= cap(s.slots) {
		s.slots = s.slots[:n]
		clear(s.slots)
	} else {
		s.slots = make([]valueSlot, n)
	}
	last := uint64(len(s.slots) - 1)
	for code := range s.ends {
		h := maphash.String(s.seed, s.at(code))
		i := h & last
		for s.slots[i].next != 0 {
			i = (i + 1) & last
		}
		s.slots[i] = valueSlot{uint32(h >> 32), uint32(code + 1)}
	}
}

// list returns the values in an order; nil is that of their codes.
func (s *valueSet) list(order []uint32) *arenaList { return &arenaList{s.arena, s.ends, order} }

// sorted returns the codes in ascending order of their values.
func (s *valueSet) sorted() []uint32 {
	return sortedValues(s.len(), func(_ []byte, i int) []byte { return stringView(s.at(i)) })
}

// arenaList is a valueList of values that lie one behind the other.
type arenaList struct {
	arena []byte
	ends  []uint64
	order []uint32 // nil: as they lie
}

// Len returns the number of values.
func (l *arenaList) Len() int { return len(l.ends) }

// Value returns value i where it lies.
func (l *arenaList) Value(_ []byte, i int) []byte {
	if l.order != nil {
		i = int(l.order[i])
	}
	from := uint64(0)
	if i > 0 {
		from = l.ends[i-1]
	}
	return l.arena[from:l.ends[i]:l.ends[i]]
}
