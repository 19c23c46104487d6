package segment

import (
	"bytes"
	"math/bits"
	"slices"
)

// columnData is a column of a segment that is being written.
type columnData struct {
	schema   Column
	kind     Kind
	constant string
	values   valueList // ascending (Dict), or by row (Unique)
	codes    []uint32  // by row (Dict)
}

// write writes the sections of column i and returns its entry in the footer.
func (c *columnData) write(o *output, i, share int) columnInfo {
	if c.kind == Const {
		return columnInfo{kind: Const, length: 1, constant: c.constant}
	}
	table := encodeValues(c.values, c.kind == Dict)
	n := c.values.Len()
	o.section(sectionValues, i, table)
	find := c.schema.Find || c.schema.ID
	if c.kind == Dict {
		o.section(sectionCodes, i, packBits(c.codes, uint(bits.Len(uint(n-1)))))
		if find {
			o.section(sectionPostings, i, encodeLists(c.codes, n, share))
		}
	}
	if c.kind == Unique && find || c.schema.ID {
		c.writeHashes(o, i, n, table)
	}
	return columnInfo{kind: c.kind, length: n}
}

// hashed is a value by its hash.
type hashed struct {
	hash uint64
	row  uint32
}

// writeHashes writes the hash index of a Unique column, and the filter of an ID.
func (c *columnData) writeHashes(o *output, i, n int, table []byte) {
	t, ok := parseValues(table, n, parseFrames)
	if !ok {
		o.fail(errTable)
		return
	}
	var buf []byte
	key := func(i uint32) []byte {
		if t.encoding == encodeFront {
			buf = t.key(buf[:0], int(i))
			return buf
		}
		return t.keyBytes(int(i))
	}
	entries := make([]hashed, n)
	for i := range entries {
		entries[i] = hashed{hash(key(uint32(i))), uint32(i)}
	}
	entries = sortHashed(entries, func(a, b uint32) int {
		k := slices.Clone(key(a))
		return bytes.Compare(k, key(b))
	})
	if c.kind == Unique {
		w := bitWriter{buf: make([]byte, 0, packedSize(n, rowBits(n)))}
		for _, e := range entries {
			w.write(uint64(e.row), rowBits(n))
		}
		o.section(sectionHashes, i, w.finish())
	}
	if !c.schema.ID {
		return
	}
	hashes := make([]uint64, 0, n)
	for i, e := range entries {
		if i == 0 || e.hash != entries[i-1].hash {
			hashes = append(hashes, e.hash)
		}
	}
	if filter := encodeFuse(hashes); filter != nil {
		o.section(sectionFilter, i, append(appendKeyForm(nil, table), filter...))
	}
}

// sortHashed orders entries by hash, by value where hashes are equal, and by row where
// values are.
func sortHashed(entries []hashed, compare func(a, b uint32) int) []hashed {
	// Hashes are spread evenly: a bucket has about eight.
	top := uint(max(0, bits.Len(uint(len(entries)))-3))
	shift := 64 - top
	starts := make([]uint32, 1<<top+1)
	for _, e := range entries {
		starts[e.hash>>shift+1]++
	}
	for b := range 1 << top {
		starts[b+1] += starts[b]
	}
	out := make([]hashed, len(entries))
	next := slices.Clone(starts)
	for _, e := range entries {
		b := e.hash >> shift
		out[next[b]] = e
		next[b]++
	}
	for b := range 1 << top {
		bucket := out[starts[b]:starts[b+1]]
		slices.SortFunc(bucket, func(a, b hashed) int {
			switch {
			case a.hash < b.hash:
				return -1
			case a.hash > b.hash:
				return 1
			}
			if c := compare(a.row, b.row); c != 0 {
				return c
			}
			return int(a.row) - int(b.row)
		})
	}
	return out
}
