package segment

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// generator makes rows of a random schema.
type generator struct {
	r      *rand.Rand
	schema Schema
	kinds  []int
	spread int
	times  int
	pos    uint64
	clock  int64
}

const generatorKinds = 14

func newGenerator(seed uint64) *generator {
	g := &generator{r: rand.New(rand.NewPCG(seed, 7)), pos: seed % 3 * 1000, clock: 1.7e12}
	g.schema.Texts = g.r.IntN(5)
	g.spread, g.times = g.r.IntN(3), g.r.IntN(6)
	for i := range 3 + g.r.IntN(8) {
		g.schema.Columns = append(g.schema.Columns, Column{
			Name: fmt.Sprintf("c%d", i), Find: g.r.IntN(2) == 0, ID: g.r.IntN(4) == 0,
		})
		g.kinds = append(g.kinds, g.r.IntN(generatorKinds))
	}
	return g
}

func (g *generator) uuid() string {
	b := make([]byte, 16)
	for i := range b {
		b[i] = byte(g.r.Uint32())
	}
	return string(appendUUID(nil, b))
}

func (g *generator) value(kind int) string {
	switch kind {
	case 0:
		return ""
	case 1:
		return "constant"
	case 2:
		return fmt.Sprintf("v%d", g.r.IntN(3))
	case 3:
		return fmt.Sprintf("value-%04d", int(math.Pow(g.r.Float64(), 3)*2000))
	case 4:
		return g.uuid()
	case 5:
		if g.r.IntN(5) == 0 {
			return ""
		}
		return g.uuid()
	case 6:
		return fmt.Sprintf("req-%012x", g.r.Uint64()>>16)
	case 7:
		return string(rune(g.r.IntN(300))) + string([]byte{byte(g.r.Uint32()), byte(g.r.Uint32()) & 3})
	case 8:
		if g.r.IntN(50) == 0 {
			return strings.Repeat(string([]byte{byte(g.r.IntN(256))}), g.r.IntN(65<<10))
		}
		return ""
	case 9:
		return fmt.Sprintf("arn:aws:s3:::bucket/%d/%s", g.r.IntN(4), strings.Repeat("x", g.r.IntN(20)))
	case 10:
		return fmt.Sprintf("%016x", uint64(g.r.IntN(60)))
	case 11:
		r := rand.New(rand.NewPCG(uint64(g.r.IntN(40)), 1))
		return string(appendUUID(nil, binaryOf(r.Uint64(), r.Uint64())))
	case 12:
		return fmt.Sprint(g.pos)
	default:
		return fmt.Sprintf("%s%d", strings.Repeat("deep/", 30), g.r.IntN(900))
	}
}

func binaryOf(a, b uint64) []byte {
	return append([]byte(fmt.Sprintf("%08d", a%1e8)), fmt.Sprintf("%08d", b%1e8)...)
}

func (g *generator) text() string {
	switch g.r.IntN(6) {
	case 0:
		return ""
	case 1:
		b := make([]byte, g.r.IntN(300))
		for i := range b {
			b[i] = byte(g.r.Uint32())
		}
		return string(b)
	case 2:
		if g.r.IntN(40) == 0 {
			return strings.Repeat("long text ", 6000+g.r.IntN(5000))
		}
	}
	return fmt.Sprintf(`{"id":"%012x","name":"name-%d","état":%q}`, g.r.Uint64()>>16, g.r.IntN(50), strings.Repeat("ok ", g.r.IntN(30)))
}

func (g *generator) next() Row {
	g.pos++
	if g.spread > 0 {
		g.pos += uint64(g.r.IntN(g.spread * 40))
	}
	row := Row{Position: g.pos}
	switch g.times {
	case 0:
		row.Time, row.Record = 5, 5
	case 1:
		g.clock -= int64(g.r.IntN(50))
		row.Time, row.Record = g.clock, g.clock
	case 2:
		row.Time, row.Record = int64(g.r.Uint64()), int64(g.r.Uint64())
	case 3:
		row.Time = [...]int64{math.MinInt64, 0, math.MaxInt64}[g.r.IntN(3)]
		row.Record = [...]int64{math.MinInt64, 0, math.MaxInt64}[g.r.IntN(3)]
	case 4:
		g.clock += int64(g.r.IntN(3000))
		row.Time, row.Record = g.clock, g.clock+int64(g.r.IntN(20))
	default:
		g.clock += int64(g.r.IntN(100))
		row.Time, row.Record = g.clock-int64(g.r.IntN(1000)), g.clock
	}
	for _, k := range g.kinds {
		row.Values = append(row.Values, g.value(k))
	}
	for range g.schema.Texts {
		row.Texts = append(row.Texts, g.text())
	}
	return row
}

func (g *generator) rows(n int) []Row {
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = g.next()
	}
	return rows
}

func write(tb testing.TB, schema Schema, opts *Options, rows []Row) ([]byte, Info) {
	tb.Helper()
	data, info := writeWith(tb, NewWriter(schema, opts), rows)
	if info.FileBytes != int64(len(data)) {
		tb.Fatalf("Info says %d bytes, %d were written", info.FileBytes, len(data))
	}
	return data, info
}

func writeWith(tb testing.TB, w *Writer, rows []Row) ([]byte, Info) {
	tb.Helper()
	for i := range rows {
		if err := w.Add(&rows[i]); err != nil {
			tb.Fatal(err)
		}
	}
	var out bytes.Buffer
	info, err := w.Finish(&out)
	if err != nil {
		tb.Fatal(err)
	}
	return out.Bytes(), info
}

func open(tb testing.TB, data []byte) *Segment {
	tb.Helper()
	s, err := Open("test.seg", data)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// model answers by looking at every row.
type model struct {
	schema  Schema
	rows    []Row    // by row
	ordinal []uint32 // of each row
}

func newModel(schema Schema, added []Row) *model {
	m := &model{schema: schema}
	for i := range added {
		m.ordinal = append(m.ordinal, uint32(i))
	}
	slices.SortStableFunc(m.ordinal, func(a, b uint32) int { return cmp.Compare(added[a].Time, added[b].Time) })
	for _, o := range m.ordinal {
		m.rows = append(m.rows, added[o])
	}
	return m
}

// check compares everything that a segment says with the model.
func (m *model) check(t *testing.T, s *Segment) {
	t.Helper()
	if s.Rows() != len(m.rows) {
		t.Fatalf("%d rows, want %d", s.Rows(), len(m.rows))
	}
	m.checkOrder(t, s)
	for i := range m.schema.Columns {
		m.checkColumn(t, s, i)
	}
	m.checkTexts(t, s)
	s.Verify(func(offset int64, first, last uint64, err error) {
		t.Errorf("Verify at %d, positions %d to %d: %v", offset, first, last, err)
	})
}

func (m *model) checkOrder(t *testing.T, s *Segment) {
	t.Helper()
	o, err := s.Order()
	if err != nil {
		t.Fatal(err)
	}
	info := s.Info()
	minRecord, maxRecord := int64(math.MaxInt64), int64(math.MinInt64)
	first, last := uint64(math.MaxUint64), uint64(0)
	for row, r := range m.rows {
		id := uint32(row)
		if o.Time(id) != r.Time || o.Record(id) != r.Record || o.Late(id) != r.Record-r.Time || o.Position(id) != r.Position || o.Ordinal(id) != m.ordinal[row] || o.Row(m.ordinal[row]) != id {
			t.Fatalf("row %d: time %d record %d position %d ordinal %d, want %+v", row, o.Time(id), o.Record(id), o.Position(id), o.Ordinal(id), r)
		}
		minRecord, maxRecord = min(minRecord, r.Record), max(maxRecord, r.Record)
		first, last = min(first, r.Position), max(last, r.Position)
		for d := range int64(3) {
			at := r.Time + d - 1
			want, _ := slices.BinarySearchFunc(m.rows, at, func(r Row, at int64) int { return cmp.Compare(r.Time, at) })
			if got := o.SearchTime(at); got != want {
				t.Fatalf("SearchTime(%d) = %d, want %d", at, got, want)
			}
			pos := r.Position + uint64(d) - 1
			if row%97 != 0 {
				continue
			}
			wantOrdinal := 0
			for _, x := range m.rows {
				if x.Position < pos && pos != math.MaxUint64 {
					wantOrdinal++
				}
			}
			if pos != math.MaxUint64 {
				if got := o.SearchPosition(pos); got != wantOrdinal {
					t.Fatalf("SearchPosition(%d) = %d, want %d", pos, got, wantOrdinal)
				}
			}
		}
	}
	if info.MinTime != m.rows[0].Time || info.MaxTime != m.rows[len(m.rows)-1].Time ||
		info.MinRecord != minRecord || info.MaxRecord != maxRecord || info.FirstPosition != first || info.LastPosition != last {
		t.Fatalf("Info = %+v", info)
	}
}

// checkCodes compares the ways to read codes of rows that are picked with the codes.
func (m *model) checkCodes(t *testing.T, c *ColumnReader, codes []uint32) {
	t.Helper()
	var picked, want []uint32
	probe := codes[len(codes)/2]
	for row, code := range codes {
		if row%3 == 1 {
			continue
		}
		picked = append(picked, uint32(row))
		if code == probe {
			want = append(want, uint32(row))
		}
	}
	if got := c.Keep(picked, probe); !slices.Equal(got, want) {
		t.Fatalf("kind %d: Keep(%d) = %v, want %v", c.Kind(), probe, got, want)
	}
	m.checkKeepAny(t, c, codes)
	if c.Kind() == Const {
		return
	}
	of := NewRowCodes([]*ColumnReader{c, c})
	var got [2]uint32
	for row, code := range codes {
		if of.Read(got[:], uint32(row)); got != [2]uint32{code, code} {
			t.Fatalf("kind %d: codes of row %d = %v, want %d twice", c.Kind(), row, got, code)
		}
	}
	if of.Read(got[:], uint32(len(codes))); got != [2]uint32{} {
		t.Fatalf("kind %d: codes beyond the last row = %v", c.Kind(), got)
	}
}

func (m *model) checkKeepAny(t *testing.T, c *ColumnReader, codes []uint32) {
	t.Helper()
	for _, n := range []int{1, 2, maxKeepAny, maxKeepAny + 1} {
		var columns []*ColumnReader
		var wanted, rows, want []uint32
		for i := range n {
			columns, wanted = append(columns, c), append(wanted, codes[i*7%len(codes)])
		}
		for row, code := range codes {
			rows = append(rows, uint32(row))
			if slices.Contains(wanted, code) {
				want = append(want, uint32(row))
			}
		}
		if got := KeepAny(rows, columns, wanted); !slices.Equal(got, want) {
			t.Fatalf("kind %d: KeepAny(%v) = %v, want %v", c.Kind(), wanted, got, want)
		}
	}
}

func (m *model) checkColumn(t *testing.T, s *Segment, i int) {
	t.Helper()
	name := m.schema.Columns[i].Name
	k := s.foot.info.Schema.Index(name)
	if k < 0 {
		t.Fatalf("no column %s", name)
	}
	c, err := s.Column(k, Values|Lookup|Filter)
	if err != nil {
		t.Fatal(err)
	}
	codes := make([]uint32, len(m.rows))
	from := uint32(len(m.rows) / 3)
	if n := c.Codes(codes[from:], from, math.MaxUint32); n != len(codes)-int(from) {
		t.Fatalf("Codes = %d", n)
	}
	c.Codes(codes[:from], 0, from)
	rows := map[string][]uint32{}
	var buf []byte
	for row, r := range m.rows {
		code := c.Code(uint32(row))
		buf = c.AppendValue(buf[:0], code)
		if string(buf) != r.Values[i] || codes[row] != code {
			t.Fatalf("column %d (kind %d) row %d: %q, want %q; code %d, in bulk %d", i, c.Kind(), row, buf, r.Values[i], code, codes[row])
		}
		rows[r.Values[i]] = append(rows[r.Values[i]], uint32(row))
	}
	m.checkCodes(t, c, codes)
	probes := []string{"", "a", "v1", "value-0001", "\xff", "00000000-0000-0000-0000-000000000000", "req-", "constant"}
	for v := range rows {
		probes = append(probes, v, v+"x", v[:len(v)/2])
		if len(probes) > 200 {
			break
		}
	}
	for _, v := range probes {
		m.checkFind(t, c, m.schema.Columns[i], v, rows[v])
	}
	if c.Kind() == Dict {
		for _, v := range probes[:min(len(probes), 40)] {
			from, to := c.FindPrefix(v)
			for code := range uint32(c.Len()) {
				has := bytes.HasPrefix(c.AppendValue(buf[:0], code), []byte(v))
				if has != (code >= from && code < to) {
					t.Fatalf("column %d: FindPrefix(%.40q) = %d to %d, code %d is %v", i, v, from, to, code, has)
				}
			}
			if c.Len() > 100 && len(v) > 3 {
				break
			}
		}
	}
}

func (m *model) checkFind(t *testing.T, c *ColumnReader, schema Column, v string, want []uint32) {
	t.Helper()
	if len(want) > 0 && !c.MayContain(v) {
		t.Fatalf("MayContain(%q) = false", v)
	}
	if c.Kind() != Unique {
		code, ok := c.Find(v)
		if ok != (len(want) > 0) || ok && code != c.Code(want[0]) {
			t.Fatalf("kind %d: Find(%.40q) = %d, %v; want %d rows", c.Kind(), v, code, ok, len(want))
		}
		if n := c.Count(code); ok && n != len(want) && (n != -1 || schema.Find || schema.ID) {
			t.Fatalf("Count(%.40q) = %d, want %d", v, n, len(want))
		}
	}
	p, ok := c.Rows(v)
	if !ok {
		if (schema.Find || schema.ID) && len(want) <= len(m.rows)/16 {
			t.Fatalf("kind %d: no list for %d rows of %d", c.Kind(), len(want), len(m.rows))
		}
		return
	}
	got := make([]uint32, p.Len())
	for i := range got {
		got[i] = p.At(i)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("kind %d: Rows(%.40q) = %v, want %v", c.Kind(), v, got, want)
	}
	for from := 0; from < len(want); from += 1 + len(want)/5 {
		part := make([]uint32, 1+len(want)/3)
		n := p.Read(part, from)
		if !slices.Equal(part[:n], want[from:min(len(want), from+len(part))]) {
			t.Fatalf("Read from %d of %d = %v", from, len(want), part[:n])
		}
		if at := p.Search(want[from]); at != from {
			t.Fatalf("Search(%d) = %d, want %d", want[from], at, from)
		}
		if at := p.Search(want[from] + 1); at != from+1 {
			t.Fatalf("Search(%d) = %d, want %d", want[from]+1, at, from+1)
		}
	}
}

func (m *model) checkTexts(t *testing.T, s *Segment) {
	t.Helper()
	texts, err := s.Texts()
	if err != nil {
		t.Fatal(err)
	}
	var r TextReader
	for step := range 2 {
		for row := 0; row < len(m.rows); row += 1 + step*37 {
			got, err := texts.Read(m.ordinal[row], &r)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range m.rows[row].Texts {
				if string(got[i]) != want {
					t.Fatalf("row %d text %d: %d bytes, want %d", row, i, len(got[i]), len(want))
				}
			}
			if step == 0 && row%50 != 0 {
				continue
			}
			if err := texts.Open(texts.Block(m.ordinal[row]), &r); err != nil {
				t.Fatal(err)
			}
			for i, want := range m.rows[row].Texts {
				if !bytes.Contains(r.Bytes(), []byte(want)) {
					t.Fatalf("row %d: Bytes does not have text %d", row, i)
				}
			}
			again, err := texts.Read(m.ordinal[row], &r)
			for i, want := range m.rows[row].Texts {
				if err != nil || string(again[i]) != want {
					t.Fatalf("row %d text %d from an open block: %v", row, i, err)
				}
			}
		}
	}
}
