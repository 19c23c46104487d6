package segment

import (
	"encoding/binary"
	"slices"
	"strings"
)

// valueEntry is a value that is sorted.
type valueEntry struct {
	first uint64 // bytes of it behind what all have in common
	index uint32
}

// radixFrom is how many values are sorted by their bytes instead of by compares.
const radixFrom = 1 << 10

// sortedValues returns the numbers from 0 to n-1 in ascending order of the values that
// they stand for, and among equals in their own. The function returns the value of one,
// which may be in room.
func sortedValues(n int, value func(room []byte, i int) []byte) []uint32 {
	var x, y, common []byte
	for i := range n {
		x = value(x[:0], i)
		if i == 0 {
			common = slices.Clone(x)
		}
		common = common[:commonPrefix(common, bytesView(x))]
	}
	entries := make([]valueEntry, n)
	for i := range entries {
		x = value(x[:0], i)
		var first [8]byte
		copy(first[:], x[len(common):])
		entries[i] = valueEntry{binary.BigEndian.Uint64(first[:]), uint32(i)}
	}
	if n >= radixFrom {
		entries = radixSort(entries)
	} else {
		slices.SortFunc(entries, func(a, b valueEntry) int {
			switch {
			case a.first < b.first:
				return -1
			case a.first > b.first:
				return 1
			}
			return int(a.index) - int(b.index)
		})
	}
	byValue := func(a, b valueEntry) int {
		x, y = value(x[:0], int(a.index)), value(y[:0], int(b.index))
		if c := strings.Compare(bytesView(x), bytesView(y)); c != 0 {
			return c
		}
		return int(a.index) - int(b.index)
	}
	order := make([]uint32, n)
	for from := 0; from < n; {
		to := from + 1
		for to < n && entries[to].first == entries[from].first {
			to++
		}
		if to-from > 1 {
			slices.SortFunc(entries[from:to], byValue)
		}
		for ; from < to; from++ {
			order[from] = entries[from].index
		}
	}
	return order
}

// radixSort returns entries in order of their first bytes, and those with equal ones in
// the order in which they were.
func radixSort(entries []valueEntry) []valueEntry {
	var counts [8][256]uint32
	for _, e := range entries {
		for b := range counts {
			counts[b][byte(e.first>>(8*b))]++
		}
	}
	other := make([]valueEntry, len(entries))
	for b := range counts {
		if counts[b][byte(entries[0].first>>(8*b))] == uint32(len(entries)) {
			continue // all have the same
		}
		at := uint32(0)
		for i, n := range counts[b] {
			counts[b][i] = at
			at += n
		}
		for _, e := range entries {
			place := &counts[b][byte(e.first>>(8*b))]
			other[*place] = e
			*place++
		}
		entries, other = other, entries
	}
	return entries
}
