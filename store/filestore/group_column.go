package filestore

import (
	"slices"
	"strings"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// groupColumn gives the value of a dimension by which traces are grouped.
type groupColumn struct {
	columns []*segment.ColumnReader // the first value that is not empty counts
	empties []int64                 // of each column, the code of the empty value; -1 for none
	label   string                  // the key, if the column is that of labels
	buf     []byte
}

// groupColumns are the columns of dimensions that mean any of several, in the order in
// which one is chosen, see [cts.Field.Value].
var groupColumns = map[cts.Field][]string{
	cts.FieldUser:         {"user.name", "user.user_name", "user.id"},
	cts.FieldImpersonator: {"ext.impersonator.name", "ext.impersonator.id"},
}

func (s *sealed) groupColumn(f cts.Field) (groupColumn, error) {
	var g groupColumn
	indices := layout.fields[f]
	if names, ok := groupColumns[f]; ok {
		indices = nil
		for _, name := range names {
			indices = append(indices, layout.byName[name])
		}
	}
	if key, ok := strings.CutPrefix(string(f), "labels."); ok {
		g.label, indices = key, []int{layout.byName["ext.labels"]}
	}
	for _, i := range indices {
		c, err := s.column(i, segment.Values|segment.Lookup)
		if err != nil {
			return g, err
		}
		if c == nil || c.Kind() == segment.Const && len(c.AppendValue(nil, 0)) == 0 {
			continue
		}
		g.columns, g.empties = append(g.columns, c), append(g.empties, -1)
		if c.Kind() == segment.Unique || g.label != "" {
			continue
		}
		code, empty := c.Find("")
		if !empty {
			break // every row has a value here
		}
		g.empties[len(g.empties)-1] = int64(code)
	}
	return g, nil
}

// simple reports whether the codes of dictionaries, one behind the other, are the
// groups. Two of them may have the same value.
func (g *groupColumn) simple() bool {
	return g.label == "" && !slices.ContainsFunc(g.columns, func(c *segment.ColumnReader) bool { return c.Kind() == segment.Unique })
}

// counted reports whether the segment has the counts of the groups.
func (g *groupColumn) counted() bool {
	return g.simple() && len(g.columns) == 1 && g.columns[0].Count(0) >= 0
}

// size returns how many codes there are, 0 if the groups are not codes.
func (g *groupColumn) size() int {
	switch {
	case !g.simple():
		return 0
	case len(g.columns) == 0:
		return 1
	}
	size := 0
	for _, c := range g.columns {
		size += c.Len()
	}
	return size
}

func (g *groupColumn) code(row uint32) uint32 {
	first := uint32(0) // code of the column
	for i, c := range g.columns {
		code := c.Code(row)
		if int64(code) != g.empties[i] || i == len(g.columns)-1 {
			return first + code
		}
		first += uint32(c.Len())
	}
	return 0
}

// stretch returns what code returns for the rows [from, to), at most stretch512. A column
// is read where those before it are empty somewhere.
func (g *groupColumn) stretch(room *judgeRoom, from, to uint32) []uint32 {
	all := room.codes[:g.columns[0].Codes(room.codes[:], from, to)]
	first := uint32(0) // code of the column
	for i, c := range g.columns[1:] {
		if g.empties[i] < 0 {
			break
		}
		empty := first + uint32(g.empties[i])
		if !slices.Contains(all, empty) {
			break
		}
		first += uint32(g.columns[i].Len())
		more := room.more[:c.Codes(room.more[:], from, to)]
		for k := range min(len(all), len(more)) {
			code, next := all[k], first+more[k]
			if code == empty { // nobody can foretell it: without a jump
				code = next
			}
			all[k] = code
		}
	}
	return all
}

// value returns the value of a code. It is valid until the next call.
func (g *groupColumn) value(code uint32) string {
	for _, c := range g.columns {
		if n := uint32(c.Len()); code >= n {
			code -= n
			continue
		}
		g.buf = c.AppendValue(g.buf[:0], code)
		return view0(g.buf)
	}
	return ""
}

// valueOf returns the value of a row. It is valid until the next call.
func (g *groupColumn) valueOf(row uint32) string {
	for _, c := range g.columns {
		g.buf = c.AppendValue(g.buf[:0], c.Code(row))
		if g.label != "" {
			return labelOf(view0(g.buf), g.label)
		}
		if len(g.buf) > 0 {
			return view0(g.buf)
		}
	}
	return ""
}
