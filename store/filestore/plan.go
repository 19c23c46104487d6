package filestore

import (
	"slices"
	"strings"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// A query is planned for each segment anew: the conditions on fields become sets of
// dictionary codes, so that a value is judged once and not each trace that has it.

// nodeOp is what a node of a plan tests.
type nodeOp uint8

const (
	nodeNone   nodeOp = iota // nothing passes
	nodeAll                  // everything passes
	nodeAnd                  // all kids
	nodeOr                   // one kid
	nodeNot                  // not the kid
	nodeCodes                // the code of a dictionary column is in the set
	nodeRows                 // the row is in the list
	nodeValue                // the value of a column without dictionary is accepted by the condition
	nodeRecord               // record_time is in [from, to)
	nodeText                 // a text is accepted by the condition; it has to be opened
)

// node is one test of a plan.
type node struct {
	op       nodeOp
	kids     []node
	column   *segment.ColumnReader
	codes    codeSet
	rows     []uint32 // sorted
	accept   func(value string) bool
	text     int // which text
	cond     *cts.Condition
	from, to int64
}

// codeSet is a set of dictionary codes.
type codeSet struct {
	list []uint32 // sorted; the set if bits is nil
	bits []uint64
	rows int // rows of the segment that have one of the codes
}

func (s *codeSet) has(code uint32) bool {
	if s.bits != nil {
		return s.bits[code>>6]&(1<<(code&63)) != 0
	}
	if len(s.list) == 1 {
		return s.list[0] == code
	}
	_, ok := slices.BinarySearch(s.list, code)
	return ok
}

// isCode reports whether the node tests for one code.
func (n *node) isCode() bool { return n.op == nodeCodes && len(n.codes.list) == 1 }

// keepAnyCode leaves the rows that have the code of one of the kids, each of which tests
// for one.
func (n *node) keepAnyCode(rows []uint32) []uint32 {
	var columnRoom [4]*segment.ColumnReader
	var codeRoom [4]uint32
	columns, codes := columnRoom[:0], codeRoom[:0]
	for i := range n.kids {
		columns, codes = append(columns, n.kids[i].column), append(codes, n.kids[i].codes.list[0])
	}
	return segment.KeepAny(rows, columns, codes)
}

// smallSet is the most codes that are kept as a list.
const smallSet = 8

// planner plans one query for one segment.
type planner struct {
	s    *sealed
	room *planRoom
	err  error // damage of a column that is needed
}

// plan returns the test that the rows of the segment must pass to be accepted by the
// query, but for its time range. It lies in the room.
func (s *sealed) plan(q *cts.Query, room *planRoom) (node, error) {
	p := planner{s: s, room: room}
	root := room.take(3)[:0]
	root = append(root, p.condition(&q.Condition))
	if !q.Attempts && !mentions(&q.Condition, cts.FieldPhase) {
		phase := cts.Not(cts.Eq(cts.FieldPhase, string(cts.PhaseAttempt)))
		root = append(root, p.condition(&phase))
	}
	if q.ByRecordTime && (q.From != 0 && q.From > s.info.minRecord || q.To != 0 && q.To <= s.info.maxRecord) {
		if q.From > s.info.maxRecord || q.To != 0 && q.To <= s.info.minRecord {
			return node{}, nil
		}
		root = append(root, node{op: nodeRecord, from: q.From, to: q.To})
	}
	return room.and(root), p.err
}

// mentions reports whether c tests the field anywhere.
func mentions(c *cts.Condition, f cts.Field) bool {
	if c.Field == f && c.Op > cts.OpNot {
		return true
	}
	for i := range c.Conditions {
		if mentions(&c.Conditions[i], f) {
			return true
		}
	}
	return false
}

func (p *planner) condition(c *cts.Condition) node {
	switch c.Op {
	case cts.OpAll:
		return node{op: nodeAll}
	case cts.OpAnd, cts.OpOr:
		kids := p.room.take(len(c.Conditions))
		for i := range c.Conditions {
			kids[i] = p.condition(&c.Conditions[i])
		}
		if c.Op == cts.OpAnd {
			return p.room.and(kids)
		}
		return p.room.or(kids)
	case cts.OpNot:
		return not(p.condition(&c.Conditions[0]))
	}
	switch c.Field {
	case cts.FieldRequest:
		return node{op: nodeText, text: textRequest, cond: c}
	case cts.FieldResponse:
		return node{op: nodeText, text: textResponse, cond: c}
	case cts.FieldMessage:
		return node{op: nodeText, text: textMessage, cond: c}
	}
	if key, ok := strings.CutPrefix(string(c.Field), "labels."); ok {
		return p.column(layout.byName["ext.labels"], nil, func(v string) bool { return c.MatchValue(labelOf(v, key)) })
	}
	columns := layout.fields[c.Field]
	if len(columns) == 1 {
		return p.column(columns[0], c, c.MatchValue)
	}
	return p.anyOf(columns, c)
}

// anyOf plans a condition on a field that means any of several columns: one that is
// not empty is accepted, or all are empty and "" is.
func (p *planner) anyOf(columns []int, c *cts.Condition) node {
	filled := p.room.take(len(columns) + 1)[:0]
	for _, i := range columns {
		filled = append(filled, p.column(i, c, func(v string) bool { return v != "" && c.MatchValue(v) }))
	}
	if c.MatchValue("") {
		empty := p.room.take(len(columns))[:0]
		for _, i := range columns {
			empty = append(empty, p.column(i, nil, func(v string) bool { return v == "" }))
		}
		filled = append(filled, p.room.and(empty))
	}
	return p.room.or(filled)
}

// column plans the test of one column. The condition, if given, serves to find the
// values without looking at all of them.
func (p *planner) column(i int, c *cts.Condition, accept func(v string) bool) node {
	col, err := p.s.column(i, segment.Values|segment.Lookup)
	if err != nil {
		p.err = err
		return node{}
	}
	switch {
	case col == nil:
		return constant(accept(""))
	case col.Kind() == segment.Const:
		return constant(accept(string(col.AppendValue(nil, 0))))
	case col.Kind() == segment.Unique:
		return p.unique(col, c, accept)
	}
	var set codeSet
	switch {
	case c != nil && c.Op == cts.OpIn && !c.Fold:
		set.list = p.room.takeCodes(len(c.Values))
		for _, v := range c.Values {
			if code, ok := col.Find(v); ok && accept(v) && !slices.Contains(set.list, code) {
				set.list = append(set.list, code)
			}
		}
		slices.Sort(set.list)
	case c != nil && c.Op == cts.OpPrefix && !c.Fold && len(c.Values) == 1:
		from, to := col.FindPrefix(c.Values[0])
		for code := from; code < to; code++ {
			set.list = append(set.list, code)
		}
		if len(set.list) > 0 && from == 0 && !accept(string(col.AppendValue(nil, 0))) {
			set.list = set.list[1:] // "" has every empty prefix
		}
	default:
		var value []byte
		for code := range uint32(col.Len()) {
			value = col.AppendValue(value[:0], code)
			if accept(view0(value)) {
				set.list = append(set.list, code)
			}
		}
	}
	return codes(col, set, p.s.info.rows)
}

// codes makes the node for a set of codes.
func codes(col *segment.ColumnReader, set codeSet, rows int) node {
	for _, code := range set.list {
		set.rows += col.Count(code)
	}
	if set.rows == 0 || set.rows == rows {
		return constant(set.rows != 0)
	}
	if len(set.list) > smallSet {
		set.bits = make([]uint64, (col.Len()+63)/64)
		for _, code := range set.list {
			set.bits[code>>6] |= 1 << (code & 63)
		}
	}
	return node{op: nodeCodes, column: col, codes: set}
}

// unique plans the test of a column whose values nearly all differ.
func (p *planner) unique(col *segment.ColumnReader, c *cts.Condition, accept func(v string) bool) node {
	if c == nil || c.Op != cts.OpIn || c.Fold || slices.Contains(c.Values, "") {
		return node{op: nodeValue, column: col, accept: accept}
	}
	var rows []uint32
	for _, v := range c.Values {
		found, indexed := col.Rows(v)
		if !indexed {
			return node{op: nodeValue, column: col, accept: accept}
		}
		for i := range found.Len() {
			rows = append(rows, found.At(i))
		}
	}
	if len(rows) == 0 {
		return node{}
	}
	slices.Sort(rows)
	return node{op: nodeRows, rows: slices.Compact(rows)}
}

func constant(all bool) node {
	if all {
		return node{op: nodeAll}
	}
	return node{}
}

// and joins nodes that must all pass, the cheap ones first. It keeps and uses kids.
func (r *planRoom) and(kids []node) node {
	live := kids[:0]
	for _, k := range kids {
		if k.op == nodeNone {
			return k
		}
		if k.op != nodeAll {
			live = append(live, k)
		}
	}
	if len(live) == 0 {
		return node{op: nodeAll}
	}
	joined := r.join(nodeAnd, live)
	slices.SortStableFunc(joined.kids, func(a, b node) int { return int(a.op) - int(b.op) })
	return joined
}

// or joins nodes one of which must pass. It keeps and uses kids.
func (r *planRoom) or(kids []node) node {
	live := kids[:0]
	for _, k := range kids {
		if k.op == nodeAll {
			return k
		}
		if k.op != nodeNone {
			live = append(live, k)
		}
	}
	if len(live) == 0 {
		return node{}
	}
	return r.join(nodeOr, live)
}

// join returns the node of these kids, and those of the same kind among them taken
// apart. One kid stands for itself.
func (r *planRoom) join(op nodeOp, kids []node) node {
	if len(kids) == 1 {
		return kids[0]
	}
	n, nested := 0, false
	for i := range kids {
		n += max(1, len(kids[i].kids))
		nested = nested || kids[i].op == op
	}
	if !nested {
		return node{op: op, kids: kids}
	}
	all := r.take(n)[:0]
	for i := range kids {
		if kids[i].op == op {
			all = append(all, kids[i].kids...)
		} else {
			all = append(all, kids[i])
		}
	}
	return node{op: op, kids: all}
}

func not(k node) node {
	switch k.op {
	case nodeNone:
		return node{op: nodeAll}
	case nodeAll:
		return node{}
	case nodeNot:
		return k.kids[0]
	}
	return node{op: nodeNot, kids: []node{k}}
}

// without returns what of a plan is left to test for rows that pass one of its nodes.
func (n *node) without(k *node, room *planRoom) node {
	if n == k {
		return node{op: nodeAll}
	}
	if n.op == nodeAnd {
		for i := range n.kids {
			if &n.kids[i] == k {
				return room.and(append(append(room.take(len(n.kids))[:0], n.kids[:i]...), n.kids[i+1:]...))
			}
		}
	}
	return *n
}

// hasText reports whether a text may have to be opened to test the node.
func (n *node) hasText() bool {
	return n.op == nodeText || slices.ContainsFunc(n.kids, func(k node) bool { return k.hasText() })
}
