package filestore

import (
	"math/bits"
	"slices"
	"unsafe"

	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// view0 returns b as a string without a copy. It is for values that are looked at and
// not kept.
func view0(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// answer is what is known of a row: whether it passes may depend on its texts.
type answer uint8

const (
	no answer = iota
	maybe
	yes
)

func sure(b bool) answer {
	if b {
		return yes
	}
	return no
}

// evaluator judges rows of one segment. It is used by one goroutine.
type evaluator struct {
	s     *sealed
	value []byte
	texts *segment.TextReader // borrowed when the first text is read
}

func (e *evaluator) reader() *segment.TextReader {
	if e.texts == nil {
		e.texts = borrowTexts()
	}
	return e.texts
}

// close gives up the evaluator.
func (e *evaluator) close() {
	returnTexts(e.texts)
	e.texts = nil
}

// head judges a row without opening its texts.
func (e *evaluator) head(n *node, row uint32) answer {
	switch n.op {
	case nodeAll:
		return yes
	case nodeAnd:
		all := yes
		for i := range n.kids {
			if all = min(all, e.head(&n.kids[i], row)); all == no {
				break
			}
		}
		return all
	case nodeOr:
		best := no
		for i := range n.kids {
			if best = max(best, e.head(&n.kids[i], row)); best == yes {
				break
			}
		}
		return best
	case nodeNot:
		return yes - e.head(&n.kids[0], row)
	case nodeText:
		return maybe
	}
	return sure(e.leaf(n, row))
}

func (e *evaluator) leaf(n *node, row uint32) bool {
	switch n.op {
	case nodeCodes:
		return n.codes.has(n.column.Code(row))
	case nodeRows:
		_, ok := slices.BinarySearch(n.rows, row)
		return ok
	case nodeValue:
		e.value = n.column.AppendValue(e.value[:0], row)
		return n.accept(view0(e.value))
	case nodeRecord:
		at := e.s.record(row)
		return (n.from == 0 || at >= n.from) && (n.to == 0 || at < n.to)
	}
	return false
}

// full judges a row whose texts are given.
func (e *evaluator) full(n *node, row uint32, texts [][]byte) bool {
	switch n.op {
	case nodeAll:
		return true
	case nodeAnd:
		for i := range n.kids {
			if !e.full(&n.kids[i], row, texts) {
				return false
			}
		}
		return true
	case nodeOr:
		for i := range n.kids {
			if e.full(&n.kids[i], row, texts) {
				return true
			}
		}
		return false
	case nodeNot:
		return !e.full(&n.kids[0], row, texts)
	case nodeText:
		return n.cond.MatchValue(view0(texts[n.text]))
	}
	return e.leaf(n, row)
}

// match judges a row for good, and opens its texts if it must.
func (e *evaluator) match(n *node, row uint32) (bool, error) {
	switch e.head(n, row) {
	case no:
		return false, nil
	case yes:
		return true, nil
	}
	texts, err := e.s.bodies(row, e.reader())
	if err != nil {
		return false, err
	}
	return e.full(n, row, texts), nil
}

// Rows are judged in stretches, column by column, when no list says which ones to look
// at.
const stretch512 = 512

// mask has one bit for each row of a stretch.
type mask [stretch512 / 64]uint64

// stretchEvaluator judges stretches of rows.
type stretchEvaluator struct {
	evaluator
	room *judgeRoom // borrowed when the first rows are judged
}

// judging returns the memory for judging rows.
func (e *stretchEvaluator) judging() *judgeRoom {
	if e.room == nil {
		e.room = borrowJudgeRoom()
	}
	return e.room
}

// close gives up the evaluator and its memory.
func (e *stretchEvaluator) close() {
	e.evaluator.close()
	if e.room != nil {
		e.room.free()
		e.room = nil
	}
}

// stretchCodes returns the codes of the rows [from, to), at most stretch512. They are
// valid until the next call.
func (e *stretchEvaluator) stretchCodes(column *segment.ColumnReader, from, to uint32) []uint32 {
	codes := &e.judging().codes
	return codes[:column.Codes(codes[:], from, to)]
}

// masks evaluates a node for the rows [from, to), at most stretch512: which ones pass
// for sure, and which ones may pass.
func (e *stretchEvaluator) masks(n *node, from, to uint32) (certain, possible mask) {
	switch n.op {
	case nodeAll:
		certain = ones(to - from)
		return certain, certain
	case nodeText:
		return mask{}, ones(to - from)
	case nodeAnd:
		certain = ones(to - from)
		possible = certain
		for i := range n.kids {
			c, p := e.masks(&n.kids[i], from, to)
			left := uint64(0)
			for w := range certain {
				certain[w] &= c[w]
				possible[w] &= p[w]
				left |= possible[w]
			}
			if left == 0 {
				break
			}
		}
		return certain, possible
	case nodeOr:
		for i := range n.kids {
			c, p := e.masks(&n.kids[i], from, to)
			for w := range certain {
				certain[w] |= c[w]
				possible[w] |= p[w]
			}
		}
		return certain, possible
	case nodeNot:
		c, p := e.masks(&n.kids[0], from, to)
		all := ones(to - from)
		for w := range all {
			certain[w], possible[w] = all[w]&^p[w], all[w]&^c[w]
		}
		return certain, possible
	case nodeCodes:
		certain = e.codeMask(n, from, to)
		return certain, certain
	}
	for row := from; row < to; row++ {
		if e.leaf(n, row) {
			certain[(row-from)>>6] |= 1 << ((row - from) & 63)
		}
	}
	return certain, certain
}

func (e *stretchEvaluator) codeMask(n *node, from, to uint32) (m mask) {
	codes := e.stretchCodes(n.column, from, to)
	switch {
	case n.codes.bits != nil:
		for i, c := range codes {
			m[i>>6] |= (n.codes.bits[c>>6] >> (c & 63) & 1) << (i & 63)
		}
	case len(n.codes.list) == 1:
		want := n.codes.list[0]
		for i, c := range codes {
			if c == want {
				m[i>>6] |= 1 << (i & 63)
			}
		}
	default:
		for i, c := range codes {
			if n.codes.has(c) {
				m[i>>6] |= 1 << (i & 63)
			}
		}
	}
	return m
}

// ones returns a mask of n rows.
func ones(n uint32) (m mask) {
	for w := range m {
		switch {
		case n >= 64:
			m[w] = ^uint64(0)
			n -= 64
		default:
			m[w] = 1<<n - 1
			n = 0
		}
	}
	return m
}

// appendRows appends the rows of a mask that begins at a row, ascending.
func (m *mask) appendRows(rows []uint32, from uint32) []uint32 {
	for w, word := range m {
		for ; word != 0; word &= word - 1 {
			rows = append(rows, from+uint32(w*64+bits.TrailingZeros64(word)))
		}
	}
	return rows
}
