package segment

import (
	"bytes"
	"encoding/binary"
	"slices"
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
	s := valueSorter{value: value}
	entries := make([]valueEntry, n)
	for i := range entries {
		entries[i].index = uint32(i)
	}
	order := make([]uint32, n)
	for i, e := range s.sort(entries, mostSteps) {
		order[i] = e.index
	}
	return order
}

// valueSorter sorts values by eight bytes at a time.
type valueSorter struct {
	value        func(room []byte, i int) []byte
	x, y, common []byte
}

// mostSteps is how often values whose eight bytes are the same are sorted by the next eight,
// before they are compared as a whole: some can be chosen so that each step sorts out one.
const mostSteps = 12

// sort sorts entries that are in order of their indices, and returns them in that or in
// other memory.
func (s *valueSorter) sort(entries []valueEntry, steps int) []valueEntry {
	if len(entries) < 3 || steps == 0 {
		slices.SortFunc(entries, s.compare)
		return entries
	}
	common, longest := s.alike(entries)
	if longest == common {
		return entries // all are equal
	}
	for i := range entries {
		e := &entries[i]
		s.x = s.value(s.x[:0], int(e.index))
		var first [8]byte
		copy(first[:], s.x[common:])
		e.first = binary.BigEndian.Uint64(first[:])
	}
	if len(entries) >= radixFrom {
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
	for from := 0; from < len(entries); {
		to := from + 1
		for to < len(entries) && entries[to].first == entries[from].first {
			to++
		}
		if to-from > 1 {
			copy(entries[from:to], s.sort(entries[from:to], steps-1))
		}
		from = to
	}
	return entries
}

// alike returns how many bytes the values of entries have in common, and the length of
// the longest.
func (s *valueSorter) alike(entries []valueEntry) (common, longest int) {
	for i, e := range entries {
		s.x = s.value(s.x[:0], int(e.index))
		if longest = max(longest, len(s.x)); i == 0 {
			s.common = append(s.common[:0], s.x...)
		}
		s.common = s.common[:commonPrefix(s.common, bytesView(s.x))]
	}
	return len(s.common), longest
}

func (s *valueSorter) compare(a, b valueEntry) int {
	s.x, s.y = s.value(s.x[:0], int(a.index)), s.value(s.y[:0], int(b.index))
	if c := bytes.Compare(s.x, s.y); c != 0 {
		return c
	}
	return int(a.index) - int(b.index)
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
