package segment

import "bytes"

// mergeDicts unites the dictionaries and gives each row its new code.
func (m *merger) mergeDicts(schema Column, readers []*ColumnReader) (*columnData, error) {
	all, starts := &arenaList{}, make([]int, 0, len(readers)+1)
	for _, r := range readers {
		starts = append(starts, all.Len())
		all.appendAll(r)
	}
	starts = append(starts, all.Len())
	list, remap := &arenaList{}, make([]uint32, all.Len())
	var last []byte
	for _, i := range sortedValues(all.Len(), all.Value) {
		v := all.Value(nil, int(i))
		if list.Len() == 0 || !bytes.Equal(last, v) {
			list.arena = append(list.arena, v...)
			list.ends = append(list.ends, uint64(len(list.arena)))
			last = v
		}
		remap[i] = uint32(list.Len() - 1)
	}
	codes, err := m.mergeCodes(readers, starts, remap)
	if err != nil {
		return nil, err
	}
	return &columnData{schema: schema, kind: Dict, values: list, codes: codes}, nil
}

// appendAll appends the values of all codes of a column.
func (list *arenaList) appendAll(r *ColumnReader) {
	last := len(list.arena) // where the value before begins
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
}

// mergeCodes returns the new codes of all rows. That of a code of segment i is in remap from
// starts[i] on.
func (m *merger) mergeCodes(readers []*ColumnReader, starts []int, remap []uint32) ([]uint32, error) {
	codes := make([]uint32, m.info.Rows)
	for i, r := range readers {
		part, remap := codes[m.bases[i]:m.bases[i+1]], remap[starts[i]:starts[i+1]]
		r.Codes(part, 0, uint32(len(part)))
		for k, c := range part {
			if int(c) >= len(remap) {
				return nil, m.segs[i].damage(headerSize, 1, "a code beyond the dictionary")
			}
			part[k] = remap[c]
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
