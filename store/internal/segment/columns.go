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

// builtColumn is a column as it is written.
type builtColumn struct {
	info     columnInfo // in the footer
	sections []builtSection
}

// builtSection is a section of a column.
type builtSection struct {
	kind int
	data []byte
}

// write writes the sections of column i and returns its entry in the footer.
func (b *builtColumn) write(o *output, i int) columnInfo {
	for _, s := range b.sections {
		o.section(s.kind, i, s.data)
	}
	return b.info
}

func (b *builtColumn) add(kind int, data []byte) {
	b.sections = append(b.sections, builtSection{kind, data})
}

// build makes the sections of a column.
func (c *columnData) build(share int) (*builtColumn, error) {
	if c.kind == Const {
		return &builtColumn{info: columnInfo{kind: Const, length: 1, constant: c.constant}}, nil
	}
	n := c.values.Len()
	b := &builtColumn{info: columnInfo{kind: c.kind, length: n}}
	table := encodeValues(c.values, c.kind == Dict)
	b.add(sectionValues, table)
	find := c.schema.Find || c.schema.ID
	if c.kind == Dict {
		b.add(sectionCodes, packBits(c.codes, uint(bits.Len(uint(n-1)))))
		if find {
			b.add(sectionPostings, encodeLists(c.codes, n, share))
		}
	}
	if c.kind == Unique && find || c.schema.ID {
		return b, c.buildHashes(b, n, table)
	}
	return b, nil
}

// hashed is a value by its hash.
type hashed struct {
	hash uint64
	row  uint32
}

// buildHashes adds the hash index of a Unique column, and the filter of an ID.
func (c *columnData) buildHashes(built *builtColumn, n int, table []byte) error {
	t, ok := parseValues(table, n, parseFrames)
	if !ok {
		return errTable
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
		built.add(sectionHashes, w.finish())
	}
	if !c.schema.ID {
		return nil
	}
	hashes := make([]uint64, 0, n)
	for i, e := range entries {
		if i == 0 || e.hash != entries[i-1].hash {
			hashes = append(hashes, e.hash)
		}
	}
	if filter := encodeFuse(hashes); filter != nil {
		built.add(sectionFilter, append(appendKeyForm(nil, table), filter...))
	}
	return nil
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
