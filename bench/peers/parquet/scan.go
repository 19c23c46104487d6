package parquet

import (
	"bytes"
	"slices"
	"sort"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/plain"
)

// set is an ascending choice of a group's rows: a range of them, or single ones in it.
type set struct {
	span
	rows   []int
	chosen bool // the rows count, not the range
}

func (s *set) len() int {
	if s.chosen {
		return len(s.rows)
	}
	return s.to - s.from
}

// last returns the highest n rows of s.
func (s set) last(n int) set {
	if s.chosen {
		s.rows = s.rows[max(0, len(s.rows)-n):]
	} else {
		s.from = max(s.from, s.to-n)
	}
	return s
}

// all returns every row of s.
func (s *set) all() []int {
	if s.chosen {
		return s.rows
	}
	rows := make([]int, 0, s.to-s.from)
	for row := s.from; row < s.to; row++ {
		rows = append(rows, row)
	}
	return rows
}

func (s *set) spans() []span {
	if !s.chosen {
		return []span{s.span}
	}
	spans := make([]span, len(s.rows))
	for i, row := range s.rows {
		spans[i] = span{row, row + 1}
	}
	return spans
}

// part returns the rows of s that are in a page.
func (s *set) part(first int, p parquet.Page) set {
	end := first + int(p.NumRows())
	if !s.chosen {
		return set{span: span{max(s.from, first), min(s.to, end)}}
	}
	i, j := sort.SearchInts(s.rows, first), sort.SearchInts(s.rows, end)
	return set{rows: s.rows[i:j], chosen: true}
}

// condition is one that a row has to meet.
type condition struct {
	column int
	value  string // equal to it, if it is set
	part   string // contains it
	word   bool   // as a word
}

// conditions returns those of q but for the time, the ones that choose most first.
func conditions(q *contest.Question) []condition {
	var all []condition
	for _, c := range []struct{ column, value string }{
		{"resource_id", packID(q.ResourceID)},
		{"trace_rating", q.Rating},
		{"source_ip", q.SourceIP},
		{"user_name", q.User},
		{"trace_name", q.Name},
		{"service_type", q.Service},
	} {
		if c.value != "" {
			all = append(all, condition{column: columns[c.column], value: c.value})
		}
	}
	if q.Substring != "" {
		all = append(all, condition{column: columns["request"], part: q.Substring})
	}
	if q.Word != "" {
		all = append(all, condition{column: columns["request"], part: q.Word, word: true})
	}
	return all
}

// choose returns the rows of s that meet all conditions. Bloom filters and
// dictionaries are asked first.
func (g *group) choose(s set, conditions []condition) (set, error) {
	for _, c := range conditions {
		if s.len() == 0 || c.value == "" {
			break
		}
		if may, err := g.mayHave(c.column, c.value); err != nil || !may {
			return set{}, err
		}
		if absent, err := g.absent(c.column, c.value); err != nil || absent {
			return set{}, err
		}
	}
	for _, c := range conditions {
		if s.len() == 0 {
			break
		}
		rows, err := g.meet(&s, &c)
		if err != nil {
			return set{}, err
		}
		s = set{rows: rows, chosen: true}
	}
	return s, nil
}

// meet returns the rows of s that meet c.
func (g *group) meet(s *set, c *condition) ([]int, error) {
	var found []int
	err := g.pages(c.column, s.spans(), func(first int, p parquet.Page) {
		t, part := textsOf(p), s.part(first, p)
		switch {
		case c.value != "":
			found = t.equal(found, first, &part, c.value)
		case !part.chosen && part.from == first:
			found = t.search(found, first, part.to-first, []byte(c.part), c.accept)
		default:
			for _, row := range part.all() {
				if v := t.at(row - first); bytes.Contains(v, []byte(c.part)) && c.accept(v) {
					found = append(found, row)
				}
			}
		}
	})
	return found, err
}

// accept reports whether a value that contains the part meets the condition.
func (c *condition) accept(value []byte) bool {
	return !c.word || plain.HasWord(string(value), c.part)
}

// equal appends to found the rows of s with a value. A dictionary turns it into a
// comparison of numbers.
func (t *texts) equal(found []int, first int, s *set, value string) []int {
	if t.indexes == nil {
		if s.chosen {
			for _, row := range s.rows {
				if string(t.entry(row-first)) == value {
					found = append(found, row)
				}
			}
			return found
		}
		for i := s.from - first; i < s.to-first; i++ {
			if from, to := t.offsets[i], t.offsets[i+1]; int(to-from) == len(value) && string(t.data[from:to]) == value {
				found = append(found, first+i)
			}
		}
		return found
	}
	code := t.find(value)
	if code < 0 {
		return found
	}
	if s.chosen {
		for _, row := range s.rows {
			if t.indexes[row-first] == code {
				found = append(found, row)
			}
		}
		return found
	}
	for i, index := range t.indexes[s.from-first : s.to-first] {
		if index == code {
			found = append(found, s.from+i)
		}
	}
	return found
}

// count adds the number of rows of s for each value of a column to counts.
func (g *group) count(column int, s *set, counts map[string]int64) error {
	return g.pages(column, s.spans(), func(first int, p parquet.Page) {
		t, part := textsOf(p), s.part(first, p)
		if t.indexes == nil || part.chosen {
			for _, row := range part.all() {
				counts[string(t.at(row-first))]++
			}
			return
		}
		codes := make([]int64, t.entries())
		for _, index := range t.indexes[part.from-first : part.to-first] {
			codes[index]++
		}
		for code, n := range codes {
			if n > 0 {
				counts[string(t.entry(code))] += n
			}
		}
	})
}

// constant returns the value that all the rows of a page have, if the page index
// tells so.
func (g *group) constant(column, page int) (string, bool) {
	index := g.indexes[column]
	if index.NullCount(page) > 0 {
		return "", false
	}
	low, high := index.MinValue(page), index.MaxValue(page)
	if low.Kind() != parquet.ByteArray {
		return "", false
	}
	if a, b := low.ByteArray(), high.ByteArray(); bytes.Equal(a, b) && len(a) < parquet.DefaultColumnIndexSizeLimit {
		return string(a), true
	}
	return "", false
}

// read returns the values of a column for the rows of s, in their order, or nothing
// for a column of numbers, whose pages are read too. Pages of one value are not read.
func (g *group) read(column int, s *set) ([]string, error) {
	rows := s.all()
	values := make([]string, len(rows))
	number := g.chunks[column].Type().Kind() != parquet.ByteArray
	var wanted set
	wanted.chosen = true
	for i := 0; i < len(rows); {
		page := g.pageOf(column, rows[i])
		end := len(rows)
		if place := g.places[column]; page+1 < place.NumPages() {
			end = sort.SearchInts(rows, int(place.FirstRowIndex(page+1)))
		}
		if value, ok := g.constant(column, page); ok {
			for ; i < end; i++ {
				values[i] = value
			}
			continue
		}
		wanted.rows = append(wanted.rows, rows[i:end]...)
		i = end
	}
	err := g.pages(column, wanted.spans(), func(first int, p parquet.Page) {
		if number {
			return
		}
		t, part := textsOf(p), wanted.part(first, p)
		i, _ := slices.BinarySearch(rows, firstOf(part.rows))
		for _, row := range part.rows {
			for rows[i] != row {
				i++
			}
			values[i] = strings.Clone(string(t.at(row - first)))
		}
	})
	return values, err
}

func firstOf(rows []int) int {
	if len(rows) == 0 {
		return 0
	}
	return rows[0]
}
