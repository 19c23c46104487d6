package filestore

import (
	"cmp"
	"slices"
	"sort"

	"github.com/cloudtraceservice/cts"
)

// positions are the positions from one to another, both included; none if last is below
// first.
type positions struct{ first, last cts.Position }

func (p positions) overlaps(o positions) bool { return p.first <= o.last && o.first <= p.last }

// extend adds a position that is behind all others.
func extend(all []positions, pos cts.Position) []positions {
	if n := len(all); n > 0 && all[n-1].last+1 == pos {
		all[n-1].last = pos
		return all
	}
	return append(all, positions{pos, pos})
}

// cover is positions in order, of which none overlap.
type cover []positions

// newCover returns the cover of all of some positions, which may overlap and have any
// order.
func newCover(all []positions) cover {
	all = slices.DeleteFunc(slices.Clone(all), func(p positions) bool { return p.last < p.first })
	slices.SortFunc(all, func(a, b positions) int { return cmp.Compare(a.first, b.first) })
	var c cover
	for _, p := range all {
		if n := len(c); n > 0 && p.first <= c[n-1].last {
			c[n-1].last = max(c[n-1].last, p.last)
		} else {
			c = append(c, p)
		}
	}
	return c
}

// behind returns the index of the first element that does not end before a position.
func (c cover) behind(pos cts.Position) int {
	return sort.Search(len(c), func(i int) bool { return c[i].last >= pos })
}

// has reports whether a position is in c.
func (c cover) has(pos cts.Position) bool {
	i := c.behind(pos)
	return i < len(c) && c[i].first <= pos
}

// without returns what is left of some positions when those of c are taken out.
func (c cover) without(whole positions) (left []positions) {
	for _, o := range c[c.behind(whole.first):] {
		if whole.last < whole.first || o.first > whole.last {
			break
		}
		if whole.first < o.first {
			left = append(left, positions{whole.first, o.first - 1})
		}
		if o.last >= whole.last {
			return left
		}
		whole.first = o.last + 1
	}
	if whole.last < whole.first {
		return left
	}
	return append(left, whole)
}
