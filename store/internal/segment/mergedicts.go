package segment

import (
	"bytes"
	"encoding/binary"
)

// dictSource is the dictionary of one segment in a merge.
type dictSource struct {
	segment int
	codes   *ColumnReader
	values  *arenaList // by code
	order   []uint32   // of Unique: its rows in order of their values
	next    int
	value   []byte // at next
	first   uint64 // bytes of it behind what all values have in common
	remap   []uint32
}

func newDictSource(segment int, r *ColumnReader) *dictSource {
	d := &dictSource{segment: segment, codes: r, values: allValues(r), remap: make([]uint32, r.Len())}
	if r.kind == Unique {
		d.order = sortedValues(r.Len(), d.values.Value)
	}
	return d
}

// allValues returns the values of all codes.
func allValues(r *ColumnReader) *arenaList {
	list := &arenaList{ends: make([]uint64, 0, r.Len())}
	last := 0 // where the value before begins
	var block []byte
	for code := range r.Len() {
		i, stored := r.values.index(code)
		if r.kind == Const || !stored || r.values.encoding != encodeFront {
			list.arena = r.AppendValue(list.arena, uint32(code))
			list.ends = append(list.ends, uint64(len(list.arena)))
			continue
		}
		if i%frontValues == 0 {
			block = r.values.span(i / frontValues)
		}
		shared, added, rest, ok := frontEntry(block, i%frontValues == 0)
		at := len(list.arena)
		if ok && shared <= at-last {
			list.arena = append(append(list.arena, list.arena[last:last+shared]...), added...)
		}
		block, last = rest, at
		list.ends = append(list.ends, uint64(len(list.arena)))
	}
	return list
}

func (d *dictSource) code() uint32 {
	if d.order != nil {
		return d.order[d.next]
	}
	return uint32(d.next)
}

func (d *dictSource) done() bool { return d.next == len(d.remap) }

// load makes the value at next the one to be compared, of which common bytes are not.
func (d *dictSource) load(common int) {
	if d.done() {
		return
	}
	d.value = d.values.Value(nil, int(d.code()))
	var first [8]byte
	copy(first[:], d.value[min(common, len(d.value)):]) // it is shorter only if a dictionary does not ascend
	d.first = binary.BigEndian.Uint64(first[:])
}

// before reports whether the value of d comes before that of e.
func (d *dictSource) before(e *dictSource) bool {
	if d.first != e.first {
		return d.first < e.first
	}
	if c := bytes.Compare(d.value, e.value); c != 0 {
		return c < 0
	}
	return d.segment < e.segment
}

// dictHeap has the sources that are not done, the one with the least value in front.
type dictHeap struct {
	sources []*dictSource
	common  int // bytes that all values have in common
}

func newDictHeap(sources []*dictSource) *dictHeap {
	h := &dictHeap{}
	var common []byte
	for i, d := range sources {
		for _, next := range [...]int{0, len(d.remap) - 1} {
			d.next = next
			d.load(0)
			if i == 0 && next == 0 {
				common = d.value
			}
			common = common[:commonPrefix(common, bytesView(d.value))]
		}
		d.next = 0
	}
	h.common = len(common)
	for _, d := range sources {
		d.load(h.common)
		h.sources = append(h.sources, d)
	}
	for i := len(sources)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	return h
}

// down puts the source at i where it belongs, if it comes too early there.
func (h *dictHeap) down(i int) {
	for {
		least := 2*i + 1
		if least >= len(h.sources) {
			return
		}
		if r := least + 1; r < len(h.sources) && h.sources[r].before(h.sources[least]) {
			least = r
		}
		if !h.sources[least].before(h.sources[i]) {
			return
		}
		h.sources[i], h.sources[least] = h.sources[least], h.sources[i]
		i = least
	}
}

// advance passes over the value in front.
func (h *dictHeap) advance() {
	d := h.sources[0]
	d.next++
	d.load(h.common)
	if d.done() {
		last := len(h.sources) - 1
		h.sources[0], h.sources = h.sources[last], h.sources[:last]
	}
	h.down(0)
}

// mergeDicts unites the dictionaries and gives each row its new code.
func (m *merger) mergeDicts(schema Column, readers []*ColumnReader) (*columnData, error) {
	sources := make([]*dictSource, len(readers))
	for i, r := range readers {
		sources[i] = newDictSource(i, r)
	}
	list := &arenaList{}
	var last []byte
	for h := newDictHeap(sources); len(h.sources) > 0; h.advance() {
		least := h.sources[0]
		n := len(list.ends)
		if c := bytes.Compare(last, least.value); n == 0 || c != 0 {
			if n > 0 && c > 0 {
				return nil, m.segs[least.segment].damage(headerSize, 1, "a dictionary does not ascend: column "+schema.Name)
			}
			list.arena = append(list.arena, least.value...)
			list.ends = append(list.ends, uint64(len(list.arena)))
			last = least.value
			n++
		}
		least.remap[least.code()] = uint32(n - 1)
	}
	codes, err := m.mergeCodes(sources)
	if err != nil {
		return nil, err
	}
	return &columnData{schema: schema, kind: Dict, values: list, codes: codes}, nil
}

// mergeCodes returns the new codes of all rows.
func (m *merger) mergeCodes(sources []*dictSource) ([]uint32, error) {
	codes := make([]uint32, m.info.Rows)
	for i, d := range sources {
		part := codes[m.bases[i]:m.bases[i+1]]
		d.codes.Codes(part, 0, uint32(len(part)))
		for k, c := range part {
			if int(c) >= len(d.remap) {
				return nil, m.segs[i].damage(headerSize, 1, "a code beyond the dictionary")
			}
			part[k] = d.remap[c]
		}
	}
	if m.source == nil {
		return codes, nil
	}
	out := make([]uint32, len(codes))
	for row, g := range m.source {
		out[row] = codes[g]
	}
	return out, nil
}
