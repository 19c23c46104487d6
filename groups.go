package cts

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Groups counts traces in groups. It is what a store needs to be an [Aggregator]:
// it checks the question, counts single traces or parts that were counted
// elsewhere, keeps the bounds, and puts the answer in order.
//
//	g, err := cts.NewGroups(q, a)
//	…
//	for each trace that q.Match accepts:
//		err := g.AddTrace(t)
//	return g.Result()
//
// A trace of values that are known already costs no allocation. Groups is not safe
// for concurrent use; goroutines that count parts have one each, and Merge joins
// them.
type Groups struct {
	aggregation  Aggregation
	byRecordTime bool
	dimensions   [2]dimension
	index        map[groupKey]int // in keys and tallies; nil as long as there is one group at most
	keys         []groupKey
	tallies      []tally
	bytes        int // of the values of all dimensions
	damage       damages
}

// groupKey is a group by the numbers of its values: 16 bytes without a pointer.
type groupKey struct {
	codes [2]uint32
	start int64
}

// tally is what is known about a group.
type tally struct{ count, first, last int64 }

// dimension numbers the different values of a field.
type dimension struct {
	codes  map[string]uint32
	values []string
}

// NewGroups begins to count what q accepts. It fails with [ErrBadQuery] if either is
// not valid, and with [ErrBadCursor] if q has a cursor.
func NewGroups(q Query, a Aggregation) (*Groups, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	if err := a.Validate(); err != nil {
		return nil, err
	}
	if q.Cursor != "" {
		return nil, fmt.Errorf("%w: a count has no pages", ErrBadCursor)
	}
	a.By = slices.Clone(a.By)
	g := &Groups{aggregation: a, byRecordTime: q.ByRecordTime}
	for i := range a.By {
		g.dimensions[i].codes = map[string]uint32{}
	}
	return g, nil
}

// AddTrace counts a trace, which the query is known to accept. It keeps nothing of
// t. The error is [ErrTooLarge], and ends the count.
func (g *Groups) AddTrace(t *Trace) error {
	at := t.Time
	if g.byRecordTime {
		at = t.RecordTime
	}
	var values [2]string
	for i, f := range g.aggregation.By {
		values[i] = f.Value(t)
	}
	return g.add(values, g.aggregation.Bucket(at), tally{count: 1, first: at, last: at})
}

// Add counts the traces of a part: some or all of those with the same values, as many
// as Aggregation.By has, in the bucket that begins at Start, see
// [Aggregation.Bucket]. The values are copied. A part without traces adds nothing.
// The error is [ErrTooLarge], and ends the count.
func (g *Groups) Add(part Group) error {
	if part.Count <= 0 {
		return nil
	}
	var values [2]string
	copy(values[:len(g.aggregation.By)], part.Values)
	return g.add(values, part.Start, tally{count: part.Count, first: part.First, last: part.Last})
}

// Merge counts everything that other has counted, of the same question, damage
// included. The error is [ErrTooLarge], and ends the count.
func (g *Groups) Merge(other *Groups) error {
	for i, key := range other.keys {
		var values [2]string
		for d := range other.aggregation.By {
			values[d] = other.dimensions[d].values[key.codes[d]]
		}
		if err := g.add(values, key.start, other.tallies[i]); err != nil {
			return err
		}
	}
	g.damage.merge(&other.damage)
	return nil
}

// Damaged takes note of err if it is damage, past which the count goes on, and
// reports whether it is. Result returns it.
func (g *Groups) Damaged(err error) bool { return g.damage.add(err) }

func (g *Groups) add(values [2]string, start int64, part tally) error {
	key := groupKey{start: start}
	for i := range g.aggregation.By {
		code, err := g.code(&g.dimensions[i], values[i])
		if err != nil {
			return err
		}
		key.codes[i] = code
	}
	at, ok := 0, len(g.keys) > 0 && g.keys[0] == key
	if !ok {
		at, ok = g.index[key]
	}
	if !ok {
		if len(g.keys) == MaxGroups {
			return fmt.Errorf("%w: more than %d groups; %s", ErrTooLarge, MaxGroups, narrower)
		}
		if len(g.keys) == 1 {
			g.index = map[groupKey]int{g.keys[0]: 0}
		}
		if g.index != nil {
			g.index[key] = len(g.keys)
		}
		g.keys, g.tallies = append(g.keys, key), append(g.tallies, part)
		return nil
	}
	t := &g.tallies[at]
	t.count += part.count
	t.first, t.last = min(t.first, part.first), max(t.last, part.last)
	return nil
}

const narrower = "narrow the time range or the conditions, group by fewer fields, or widen Every"

// code returns the number of a value.
func (g *Groups) code(d *dimension, value string) (uint32, error) {
	code, ok := d.codes[value]
	if ok {
		return code, nil
	}
	if g.bytes += len(value); g.bytes > maxGroupBytes {
		return 0, fmt.Errorf("%w: the values of the groups have over %d bytes; %s", ErrTooLarge, maxGroupBytes, narrower)
	}
	code = uint32(len(d.values))
	value = strings.Clone(value) // of a trace, which would be kept with it
	d.codes[value] = code
	d.values = append(d.values, value)
	return code, nil
}

// Result returns the groups in the order that [Aggregate] promises, and the damage
// that was noted, joined. The groups are the caller's own.
func (g *Groups) Result() ([]Group, error) {
	kept := g.top()
	width := len(g.aggregation.By)
	room := make([]string, 0, width*len(kept))
	groups := make([]Group, 0, len(kept))
	for _, i := range kept {
		key, t := g.keys[i], g.tallies[i]
		from := len(room)
		for d := range width {
			room = append(room, g.dimensions[d].values[key.codes[d]])
		}
		groups = append(groups, Group{Start: key.start, Count: t.count, First: t.first, Last: t.last})
		if width > 0 {
			groups[len(groups)-1].Values = room[from:len(room):len(room)]
		}
	}
	slices.SortFunc(groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.Count, a.Count), slices.Compare(a.Values, b.Values))
	})
	return groups, g.damage.err()
}

// top returns the groups of the combinations of values that Top keeps.
func (g *Groups) top() []int {
	all := make([]int, len(g.keys))
	totals := map[[2]uint32]int64{}
	top := g.aggregation.Top
	for i, key := range g.keys {
		all[i] = i
		if top > 0 {
			totals[key.codes] += g.tallies[i].count
		}
	}
	if top == 0 || len(totals) <= top {
		return all
	}
	// Most are out by their count alone; only the rest is worth sorting by values.
	counts := make([]int64, 0, len(totals))
	for _, n := range totals {
		counts = append(counts, n)
	}
	slices.Sort(counts)
	least := counts[len(counts)-top]
	best := make([][2]uint32, 0, top)
	for codes, n := range totals {
		if n >= least {
			best = append(best, codes)
		}
	}
	slices.SortFunc(best, func(a, b [2]uint32) int {
		return cmp.Or(cmp.Compare(totals[b], totals[a]), g.compareValues(a, b))
	})
	kept := map[[2]uint32]bool{}
	for _, codes := range best[:top] {
		kept[codes] = true
	}
	return slices.DeleteFunc(all, func(i int) bool { return !kept[g.keys[i].codes] })
}

// compareValues compares two combinations by their values.
func (g *Groups) compareValues(a, b [2]uint32) int {
	for d := range g.aggregation.By {
		values := g.dimensions[d].values
		if c := cmp.Compare(values[a[d]], values[b[d]]); c != 0 {
			return c
		}
	}
	return 0
}
