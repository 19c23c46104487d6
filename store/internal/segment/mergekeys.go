package segment

import "bytes"

// mergedKeys is a valueList of the values of all rows where all segments hold them as
// keys of one form, UUIDs or hexadecimal, which need not be read to be written.
type mergedKeys struct {
	m     *merger
	parts []*values
	empty bool // there are empty values
}

// newMergedKeys returns nil if the values are not of that kind.
func newMergedKeys(m *merger, readers []*ColumnReader) *mergedKeys {
	k := &mergedKeys{m: m}
	first := &readers[0].values
	for _, r := range readers {
		t := &r.values
		if r.kind != Unique || t.flags&emptyFirst != 0 || t.encoding > encodeHex || t.encoding != first.encoding || t.width != first.width || !bytes.Equal(t.prefix, first.prefix) {
			return nil
		}
		k.parts, k.empty = append(k.parts, t), k.empty || t.flags&emptyBits != 0
	}
	return k
}

// Len returns the number of rows.
func (k *mergedKeys) Len() int { return k.m.info.Rows }

// Value returns the value of a row in room.
func (k *mergedKeys) Value(room []byte, row int) []byte {
	t, i := k.at(row)
	return t.append(room, i)
}

// keyList is a valueList of the keys that stand for values.
type keyList struct{ *mergedKeys }

// Value returns the key of a row where it lies.
func (k keyList) Value(_ []byte, row int) []byte {
	t, i := k.at(row)
	return t.data[i*t.width : (i+1)*t.width]
}

// at returns the table of a row and where its value is in it.
func (k *mergedKeys) at(row int) (*values, int) {
	g := k.m.global(row)
	s := k.m.segment(g)
	return k.parts[s], g - k.m.bases[s]
}

// table returns what encodeValues returns for the list.
func (k *mergedKeys) table() []byte {
	t, n := k.parts[0], k.Len()
	flags := byte(0)
	if k.empty {
		flags = emptyBits
	}
	out := appendTableHead(nil, t.encoding, flags, t.width, t.prefix, n, 0, n*t.width+(n+7)/8)
	if k.empty {
		out = appendEmptyBits(out, k)
	}
	for row := range n {
		out = append(out, keyList{k}.Value(nil, row)...)
	}
	return out
}
