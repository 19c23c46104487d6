package filestore

import (
	"bytes"
	"slices"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// holding returns the rows whose block of texts holds what a condition on a text asks
// for, nil if the filters of the segment can't tell or there are too many. Only blocks
// that the filters let pass are opened.
func (c *segmentScan) holding(n *node) *rowList {
	if n.cond.Fold || len(n.cond.Values) != 1 || n.cond.Values[0] == "" {
		return nil
	}
	text := n.cond.Values[0]
	var needle *segment.Needle
	switch n.cond.Op {
	case cts.OpWord:
		needle = segment.WordNeedle(text)
	case cts.OpContains:
		needle = segment.SubstringNeedle(text)
	default:
		return nil
	}
	words, err := c.s.segment.Words()
	if err != nil || !needle.Selective() {
		return nil // damage of the filter, or nothing to look for in it: every text is opened
	}
	texts := c.s.texts.Load()
	var blocks []int
	for g := range words.Groups() {
		from, to := words.Find(g, needle)
		for b := from; b < to; b++ {
			blocks = append(blocks, b)
		}
		if len(blocks) > texts.Blocks()/2 {
			return nil
		}
	}
	return c.rowsHolding(blocks, []byte(text))
}

// rowsHolding returns the rows of the blocks that hold a text.
func (c *segmentScan) rowsHolding(blocks []int, text []byte) *rowList {
	texts, order := c.s.texts.Load(), c.s.order.Load()
	rows := []uint32{}
	for _, b := range blocks {
		err := texts.Open(b, c.reader())
		if err == nil && !bytes.Contains(c.texts.Bytes(), text) {
			continue
		}
		from, to := texts.Range(b) // of a damaged block too: reading its rows tells
		for ordinal := from; ordinal < to; ordinal++ {
			rows = append(rows, order.Row(ordinal))
		}
	}
	slices.Sort(rows)
	return &rowList{stretch: rowStretch{rows: rows, to: len(rows)}, count: len(rows)}
}
