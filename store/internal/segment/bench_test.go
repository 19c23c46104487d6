package segment

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// benchRows is how many rows the benchmarks write. SEGMENT_ROWS in the environment
// changes it: the budget of FORMAT.md is that of 1,000,000.
func benchRows() int {
	if n, err := strconv.Atoi(os.Getenv("SEGMENT_ROWS")); err == nil && n > 0 {
		return n
	}
	return 100_000
}

// uniform makes rows of audit records: 70 columns of which 13 differ from row to row,
// and two JSON texts of 100 to 600 bytes, 886 bytes of JSON in all.
type uniform struct {
	r         *rand.Rand
	resources int
	now       int64
	position  uint64
	body      []byte
	lists     [6][]string
	ids       []string
}

var (
	uniformKeys       = []string{"name", "flavor", "image", "zone", "subnet", "size", "status", "owner", "stage", "mode", "count", "policy"}
	uniformAdjectives = syllables(64, 5)
	uniformThings     = syllables(128, 7)
)

// syllables makes words.
func syllables(n int, seed uint64) []string {
	r := rand.New(rand.NewPCG(seed, 1))
	words := make([]string, n)
	for i := range words {
		for range 2 + r.IntN(2) {
			words[i] += string("bdfgklmnprstvz"[r.IntN(14)]) + string("aeiou"[r.IntN(5)])
		}
	}
	return words
}

func uniformSchema() Schema {
	s := Schema{Texts: 4, Columns: []Column{
		{Name: "id", ID: true, Find: true},
		{Name: "request_id", Find: true},
		{Name: "name", Find: true},
		{Name: "service", Find: true},
		{Name: "type", Find: true},
		{Name: "resource_id", Find: true},
		{Name: "address", Find: true},
		{Name: "user", Find: true},
		{Name: "user_id", Find: true},
		{Name: "rating", Find: true},
		{Name: "code", Find: true},
	}}
	for i := len(s.Columns); i < 70; i++ {
		s.Columns = append(s.Columns, Column{Name: fmt.Sprintf("constant_%d", i), Find: i%2 == 0})
	}
	return s
}

func newUniform(rows int) *uniform {
	u := &uniform{r: rand.New(rand.NewPCG(1, 2)), resources: max(1, rows/8), now: 1717372800000}
	for i, n := range [...]int{300, 30, 80, 5000, 2000, 2000} {
		for k := range n {
			u.lists[i] = append(u.lists[i], [...]string{
				fmt.Sprintf("createThing%d", k), fmt.Sprintf("service-%d", k), fmt.Sprintf("kind%d", k),
				fmt.Sprintf("10.%d.%d.%d", u.r.IntN(256), u.r.IntN(256), u.r.IntN(128)), fmt.Sprintf("user-%04d", k),
				fmt.Sprintf("%024x", u.r.Uint64()),
			}[i])
		}
	}
	for range u.resources {
		u.ids = append(u.ids, u.uuid())
	}
	return u
}

func (u *uniform) uuid() string {
	var b [16]byte
	for i := range b {
		b[i] = byte(u.r.Uint32())
	}
	return string(appendUUID(nil, b[:]))
}

func (u *uniform) next(row *Row) {
	u.position++
	u.now += u.r.Int64N(2 * 1209)
	row.Position, row.Time, row.Record = u.position, u.now, u.now+u.r.Int64N(20)
	pick := func(i int) string { return u.lists[i][u.r.IntN(len(u.lists[i]))] }
	rating, code := "normal", "200"
	switch p := u.r.IntN(100); {
	case p == 0:
		rating, code = "incident", "500"
	case p < 6:
		rating, code = "warning", "403"
	}
	user := u.r.IntN(2000)
	row.Values = append(row.Values[:0], u.uuid(), u.uuid(), pick(0), pick(1), pick(2), u.ids[u.r.IntN(u.resources)], pick(3),
		u.lists[4][user], u.lists[5][user], rating, code)
	for i := len(row.Values); i < 70; i++ {
		row.Values = append(row.Values, [...]string{"", "", "", "", "", "ApiCall"}[i%6])
	}
	row.Texts = append(row.Texts[:0], u.text(), u.text(), "", "")
}

func (u *uniform) text() string {
	size := min(590, 100+int(u.r.ExpFloat64()*54))
	b := fmt.Appendf(u.body[:0], `{"id":"%012x"`, u.r.Uint64()>>16)
	for i := u.r.IntN(len(uniformKeys)); len(b) < size; i++ {
		b = append(b, ',', '"')
		b = append(b, uniformKeys[i%len(uniformKeys)]...)
		b = append(b, '"', ':')
		if i%4 == 3 {
			b = strconv.AppendInt(b, u.r.Int64N(1000), 10)
			continue
		}
		b = append(b, '"')
		b = append(b, uniformAdjectives[u.r.IntN(len(uniformAdjectives))]...)
		b = append(b, '-')
		b = append(b, uniformThings[u.r.IntN(len(uniformThings))]...)
		b = append(b, '"')
	}
	b = append(b, '}')
	u.body = b
	return string(b)
}

var uniformCache struct {
	sync.Mutex
	rows []Row
	data []byte
}

// uniformSegment returns rows and the segment of them.
func uniformSegment(b *testing.B) ([]Row, *Segment) {
	b.Helper()
	uniformCache.Lock()
	defer uniformCache.Unlock()
	if n := benchRows(); len(uniformCache.rows) != n {
		u := newUniform(n)
		uniformCache.rows = make([]Row, n)
		for i := range uniformCache.rows {
			u.next(&uniformCache.rows[i])
		}
		uniformCache.data, _ = write(b, uniformSchema(), nil, uniformCache.rows)
	}
	return uniformCache.rows, open(b, uniformCache.data)
}

func BenchmarkWrite(b *testing.B) {
	rows, _ := uniformSegment(b)
	b.ReportAllocs()
	for b.Loop() {
		w := NewWriter(uniformSchema(), nil)
		for i := range rows {
			if err := w.Add(&rows[i]); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Finish(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
}

func BenchmarkMerge(b *testing.B) {
	rows, _ := uniformSegment(b)
	const parts = 4
	var segs []*Segment
	for i := range parts {
		data, _ := write(b, uniformSchema(), nil, rows[i*len(rows)/parts:(i+1)*len(rows)/parts])
		segs = append(segs, open(b, data))
	}
	for b.Loop() {
		if _, err := Merge(io.Discard, nil, segs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
}

func BenchmarkSize(b *testing.B) {
	rows, s := uniformSegment(b)
	for b.Loop() {
		if s.Rows() != len(rows) {
			b.Fatal("rows")
		}
	}
	kinds := map[string]int64{}
	for _, e := range s.foot.sections {
		name := e.name()
		if e.kind >= sectionCodes && e.kind < sectionTextBlocks {
			name = s.foot.info.Schema.Columns[e.column].Name + " " + name
		}
		kinds[name] += e.length
	}
	var table strings.Builder
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(&table, "\n%-32s %7.3f", name, float64(kinds[name])/float64(len(rows)))
	}
	if testing.Verbose() {
		fmt.Println(table.String())
	}
	b.ReportMetric(float64(s.Info().FileBytes)/float64(len(rows)), "B/row")
	b.ReportMetric(float64(s.Info().RawBytes)/float64(len(rows)), "rawB/row")
}

func BenchmarkReadRow(b *testing.B) {
	rows, s := uniformSegment(b)
	columns := make([]*ColumnReader, len(s.Info().Schema.Columns))
	for i := range columns {
		columns[i], _ = s.Column(i, Values)
	}
	r := rand.New(rand.NewPCG(3, 4))
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		row := uint32(r.IntN(len(rows)))
		buf = buf[:0]
		for _, c := range columns {
			buf = c.AppendValue(buf, c.Code(row))
		}
	}
}

func BenchmarkOrder(b *testing.B) {
	rows, s := uniformSegment(b)
	o, err := s.Order()
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	b.Run("Time", func(b *testing.B) {
		for b.Loop() {
			o.Time(uint32(r.IntN(len(rows))))
		}
	})
	b.Run("SearchTime", func(b *testing.B) {
		for b.Loop() {
			o.SearchTime(rows[r.IntN(len(rows))].Time)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	rows, s := uniformSegment(b)
	for _, name := range []string{"resource_id", "user", "name", "id", "request_id"} {
		i := s.foot.info.Schema.Index(name)
		c, err := s.Column(i, Values|Lookup|Filter)
		if err != nil {
			b.Fatal(err)
		}
		r := rand.New(rand.NewPCG(3, 4))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p, ok := c.Rows(rows[r.IntN(len(rows))].Values[i])
				if !ok || p.Len() == 0 {
					b.Fatal("not found")
				}
				p.At(p.Len() - 1)
			}
		})
	}
}

func BenchmarkMayContain(b *testing.B) {
	rows, s := uniformSegment(b)
	c, err := s.Column(0, Filter)
	if err != nil {
		b.Fatal(err)
	}
	hits, n := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		// Request ids are not among the ids of traces.
		if c.MayContain(rows[n%len(rows)].Values[1]) {
			hits++
		}
		n++
	}
	b.ReportMetric(float64(hits)/float64(n)*100, "%false")
}

func BenchmarkPostings(b *testing.B) {
	_, s := uniformSegment(b)
	c, err := s.Column(s.foot.info.Schema.Index("service"), Values|Lookup)
	if err != nil {
		b.Fatal(err)
	}
	p, ok := c.Postings(3)
	if !ok {
		b.Fatal("no list")
	}
	r := rand.New(rand.NewPCG(3, 4))
	b.Run("At", func(b *testing.B) {
		for b.Loop() {
			p.At(r.IntN(p.Len()))
		}
	})
	b.Run("Search", func(b *testing.B) {
		for b.Loop() {
			p.Search(uint32(r.IntN(s.Rows())))
		}
	})
	b.Run("Read", func(b *testing.B) {
		dst := make([]uint32, p.Len())
		for b.Loop() {
			p.Read(dst, 0)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*p.Len()), "ns/row")
	})
}

func BenchmarkCodes(b *testing.B) {
	rows, s := uniformSegment(b)
	dst := make([]uint32, 1024)
	for _, name := range []string{"rating", "service", "name", "user", "resource_id"} {
		c, err := s.Column(s.foot.info.Schema.Index(name), Values)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%s %d bits", name, c.width), func(b *testing.B) {
			for b.Loop() {
				for from := 0; from < len(rows); from += len(dst) {
					c.Codes(dst, uint32(from), uint32(len(rows)))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	_, s := uniformSegment(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Open("bench", s.data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTexts(b *testing.B) {
	rows, s := uniformSegment(b)
	t, err := s.Texts()
	if err != nil {
		b.Fatal(err)
	}
	var tr TextReader
	r := rand.New(rand.NewPCG(3, 4))
	b.Run("random", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := t.Read(uint32(r.IntN(len(rows))), &tr); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			for i := range rows {
				if _, err := t.Read(uint32(i), &tr); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
	})
	b.Run("substring", func(b *testing.B) {
		for b.Loop() {
			for block := range t.Blocks() {
				if err := t.Open(block, &tr); err != nil {
					b.Fatal(err)
				}
				bytes.Contains(tr.Bytes(), []byte("nothing has this"))
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
	})
}

func BenchmarkWordNowhere(b *testing.B) {
	_, s := uniformSegment(b)
	w, err := s.Words()
	if err != nil {
		b.Fatal(err)
	}
	n := WordNeedle("quincewort")
	var blocks []uint32
	for b.Loop() {
		blocks = blocks[:0]
		for g := range w.Groups() {
			blocks = w.Blocks(blocks, g, n)
		}
	}
	b.ReportMetric(float64(len(blocks)), "blocks")
}
