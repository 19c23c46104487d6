package parquet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/parquet-go/parquet-go"
)

// columns are the indexes of the columns by name, in the order of the schema.
var columns = func() map[string]int {
	m := map[string]int{}
	for i, path := range parquet.SchemaOf(row{}).Columns() {
		m[path[0]] = i
	}
	return m
}()

// group is one row group of a file.
type group struct {
	number   int // ascending with the order of loading among equal times
	rows     int
	min, max int64 // times, milliseconds since 1970
	chunks   []*parquet.FileColumnChunk
	indexes  []parquet.ColumnIndex
	places   []parquet.OffsetIndex
}

func newGroup(number int, rg parquet.RowGroup) (*group, error) {
	g := &group{number: number, rows: int(rg.NumRows())}
	for _, c := range rg.ColumnChunks() {
		chunk, ok := c.(*parquet.FileColumnChunk)
		if !ok {
			return nil, fmt.Errorf("a column chunk is a %T", c)
		}
		index, err1 := chunk.ColumnIndex()
		place, err2 := chunk.OffsetIndex()
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		g.chunks, g.indexes, g.places = append(g.chunks, chunk), append(g.indexes, index), append(g.places, place)
	}
	if len(g.chunks) != len(columns) {
		return nil, fmt.Errorf("%d columns, want %d", len(g.chunks), len(columns))
	}
	times := g.indexes[columns["time"]]
	g.min, g.max = times.MinValue(0).Int64(), times.MaxValue(times.NumPages()-1).Int64()
	return g, nil
}

// mayHave asks the bloom filter of a column, if there is one.
func (g *group) mayHave(column int, value string) (bool, error) {
	filter := g.chunks[column].BloomFilter()
	if filter == nil {
		return true, nil
	}
	return filter.Check(parquet.ByteArrayValue([]byte(value)))
}

// before returns the number of rows whose time is less than t: the page index finds
// the page, the page the row.
func (g *group) before(t int64) (int, error) {
	switch {
	case t <= g.min:
		return 0, nil
	case t > g.max:
		return g.rows, nil
	}
	column := columns["time"]
	index := g.indexes[column]
	page := sort.Search(index.NumPages(), func(i int) bool { return index.MaxValue(i).Int64() >= t })
	first := int(g.places[column].FirstRowIndex(page))
	n := 0
	err := g.pages(column, []span{{first, first + 1}}, func(_ int, p parquet.Page) {
		data := p.Data()
		times := data.Int64()
		n = sort.Search(len(times), func(i int) bool { return times[i] >= t })
	})
	return first + n, err
}

// span is a range of rows of a group.
type span struct{ from, to int }

// pages calls visit with each page, from the first row wanted in it on, that has a row
// of the spans, which are ascending.
func (g *group) pages(column int, spans []span, visit func(first int, p parquet.Page)) error {
	pages := g.chunks[column].Pages()
	defer func() { _ = pages.Close() }() // it only gives buffers back
	at := 0
	for _, s := range spans {
		for row := max(s.from, at); row < s.to; row = at {
			if row != at || at == 0 {
				if err := pages.SeekToRow(int64(row)); err != nil {
					return err
				}
			}
			p, err := pages.ReadPage()
			if err != nil {
				return noEOF(err)
			}
			visit(row, p)
			at = row + int(p.NumRows())
			parquet.Release(p)
		}
	}
	return nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// pageOf returns the number of the page that holds a row.
func (g *group) pageOf(column, row int) int {
	place := g.places[column]
	return sort.Search(place.NumPages(), func(i int) bool { return place.FirstRowIndex(i) > int64(row) }) - 1
}

// texts are the values of a page: either offsets into data, or indexes into a
// dictionary that has offsets into data.
type texts struct {
	data    []byte
	offsets []uint32
	indexes []int32 // nil without a dictionary
}

func textsOf(p parquet.Page) texts {
	values := p.Data()
	if d := p.Dictionary(); d != nil {
		entries := d.Page().Data()
		t := texts{indexes: values.Int32()}
		t.data, t.offsets = entries.ByteArray()
		return t
	}
	data, offsets := values.ByteArray()
	return texts{data: data, offsets: offsets}
}

// entry returns a value of the dictionary, or of the page where there is none.
func (t *texts) entry(i int) []byte { return t.data[t.offsets[i]:t.offsets[i+1]] }

// at returns a value of the page.
func (t *texts) at(i int) []byte {
	if t.indexes != nil {
		i = int(t.indexes[i])
	}
	return t.entry(i)
}

func (t *texts) entries() int { return len(t.offsets) - 1 }

// find returns the index of value in the dictionary, -1 if it is not there.
func (t *texts) find(value string) int32 {
	for i := range t.entries() {
		if from := t.offsets[i]; int(t.offsets[i+1]-from) == len(value) && string(t.data[from:t.offsets[i+1]]) == value {
			return int32(i)
		}
	}
	return -1
}

// absent reports whether the dictionary, if all of the column is in it, lacks value.
func (g *group) absent(column int, value string) (bool, error) {
	pages := g.chunks[column].Pages()
	defer func() { _ = pages.Close() }() // it only gives buffers back
	file, ok := pages.(*parquet.FilePages)
	if !ok {
		return false, nil
	}
	d, err := file.ReadDictionary()
	if err != nil || d == nil || d.Size() >= dictionaryBytes/2 {
		return false, err
	}
	var t texts
	entries := d.Page().Data()
	t.data, t.offsets = entries.ByteArray()
	return t.find(value) < 0, nil
}

// search appends to found the numbers of the rows from first on whose value contains
// part. It looks at the whole page at once.
func (t *texts) search(found []int, first, rows int, part []byte, accept func(value []byte) bool) []int {
	if t.indexes != nil {
		for i := range rows {
			if v := t.at(i); bytes.Contains(v, part) && accept(v) {
				found = append(found, first+i)
			}
		}
		return found
	}
	begin, end := int(t.offsets[0]), int(t.offsets[rows])
	for at := begin; at < end; {
		i := bytes.Index(t.data[at:end], part)
		if i < 0 {
			break
		}
		at += i
		row := sort.Search(rows, func(r int) bool { return int(t.offsets[r+1]) > at })
		if at+len(part) > int(t.offsets[row+1]) {
			at++ // from one value into the next
			continue
		}
		if accept(t.entry(row)) {
			found = append(found, first+row)
		}
		at = int(t.offsets[row+1])
	}
	return found
}
