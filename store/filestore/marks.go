package filestore

import (
	"hash/maphash"
	"slices"
	"sync/atomic"
	"unicode/utf8"

	"github.com/cloudtraceservice/cts"
)

// Traces that are not sealed have no columns. Instead there are marks of them in
// memory, a hash of each value that is likely to be asked for, which tell of most
// traces that a query can't accept them: only the others are read and parsed. The
// marks of a trace are made where it is appended as a [cts.Trace]; of one that was
// appended as JSON, or was found when the store was opened, the first query that has
// to parse it makes them.

// marked are the values of a trace that have a mark, and the place of each field's.
var marked = newMarkedValues()

type markedValues struct {
	seed   maphash.Seed // of the marks, which never leave the process
	values []func(t *cts.Trace) string
	fields map[cts.Field][]int
}

func newMarkedValues() *markedValues {
	m := &markedValues{seed: maphash.MakeSeed(), fields: map[cts.Field][]int{}}
	for f, columns := range layout.fields {
		for range columns {
			m.fields[f] = append(m.fields[f], 0)
		}
	}
	for i := range layout.columns {
		for f, columns := range layout.fields {
			if at := slices.Index(columns, i); at >= 0 && f != cts.FieldTraceID {
				m.fields[f][at] = len(m.values)
				m.values = append(m.values, layout.columns[i].get)
			}
		}
	}
	delete(m.fields, cts.FieldTraceID) // which has an index of its own
	return m
}

const (
	maxMarks = 32 // of a trace

	markUnknown = 0 // of all values: nobody has looked at the trace
	markEmpty   = 1
	markLowest  = 2 // of a value that is not ""
)

// marks are the marks of one trace.
type marks [maxMarks]uint32

// markChunk has the marks of the traces of a chunk.
type markChunk [chunkTraces]marks

// markOf returns the mark of a value. One that is not UTF-8 has none: it is stored with
// other characters in place of what is not.
func markOf(v string) uint32 {
	if v == "" {
		return markEmpty
	}
	if !utf8.ValidString(v) {
		return markUnknown
	}
	return max(uint32(maphash.String(marked.seed, v)), markLowest)
}

// marksOf sets the marks of a trace.
func (m *marks) of(t *cts.Trace) {
	for i, get := range marked.values {
		m[i] = markOf(get(t))
	}
}

// put sets the marks of a trace in the chunk. Readers may look at it meanwhile: a trace
// of which they see some marks only is none that they pass over wrongly.
func (c *markChunk) put(at int, m *marks) {
	for i := range marked.values {
		atomic.StoreUint32(&c[at][i], m[i])
	}
}

// noteMarks makes the marks of a trace that has none.
func (v *view) noteMarks(ordinal int, t *cts.Trace) {
	c, at := v.marksAt(ordinal)
	if atomic.LoadUint32(&c[at][0]) == markUnknown {
		var m marks
		m.of(t)
		c.put(at, &m)
	}
}

// markTest is a condition as marks can tell.
type markTest struct {
	op     nodeOp // nodeAll (no test), nodeAnd, nodeOr, nodeNot or nodeValue
	kids   []markTest
	values []int    // places of the field's marks
	wanted []uint32 // one of them must be there
	empty  answer   // if all values are empty
	filled answer   // if one is not, and wanted is nil
}

// newMarkTest returns the test of a condition.
func newMarkTest(c *cts.Condition) markTest {
	switch c.Op {
	case cts.OpAnd, cts.OpOr, cts.OpNot:
		t := markTest{op: nodeAnd, kids: make([]markTest, len(c.Conditions))}
		switch c.Op {
		case cts.OpOr:
			t.op = nodeOr
		case cts.OpNot:
			t.op = nodeNot
		}
		for i := range c.Conditions {
			t.kids[i] = newMarkTest(&c.Conditions[i])
		}
		return t
	}
	values, ok := marked.fields[c.Field]
	if !ok || c.Op == cts.OpAll {
		return markTest{op: nodeAll}
	}
	t := markTest{op: nodeValue, values: values, empty: sure(c.MatchValue("")), filled: maybe}
	switch {
	case c.Op == cts.OpPresent:
		t.filled = yes
	case c.Op == cts.OpIn && !c.Fold:
		t.wanted = []uint32{}
		for _, v := range c.Values {
			if v != "" {
				t.wanted = append(t.wanted, markOf(v))
			}
		}
	}
	return t
}

// judge judges a trace of a chunk by its marks.
func (t *markTest) judge(c *markChunk, at int) answer {
	switch t.op {
	case nodeAnd:
		all := yes
		for i := range t.kids {
			if all = min(all, t.kids[i].judge(c, at)); all == no {
				break
			}
		}
		return all
	case nodeOr:
		best := no
		for i := range t.kids {
			if best = max(best, t.kids[i].judge(c, at)); best == yes {
				break
			}
		}
		return best
	case nodeNot:
		return yes - t.kids[0].judge(c, at)
	case nodeValue:
		return t.value(c, at)
	}
	return maybe
}

func (t *markTest) value(c *markChunk, at int) answer {
	empty := true
	for _, i := range t.values {
		switch mark := atomic.LoadUint32(&c[at][i]); mark {
		case markUnknown:
			return maybe
		case markEmpty:
		default:
			empty = false
			if slices.Contains(t.wanted, mark) {
				return maybe
			}
		}
	}
	switch {
	case empty:
		return t.empty
	case t.wanted != nil:
		return no
	}
	return t.filled
}
