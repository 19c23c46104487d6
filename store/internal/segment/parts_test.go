package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestPhraseCodeRoundTrip(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 2))
	texts := []string{
		"", "a", "-", "0", "00", "007", "999999999999999999", "1234567890123456789", "deadbeef", "DEADBEEF", "abc", "0abc", "\x00\xff\xfe",
		"6ba7b810-9dad-11d1-80b4-00c04fd430c8", "x6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810-9dad-11d1-80b4-00c04fd430c8a",
		"6ba7b810-9dad-11d1-80b4-00c04fd430cz", "6ba7b810-9dad-11d1-80b4", strings.Repeat("ab", 40), strings.Repeat("-", 100),
		strings.Repeat("0123456789abcdef", 9), `{"name":"value","name":"value"}`, "grüße grüße",
	}
	base := len(texts)
	for range 300 {
		var b []byte
		for range r.IntN(20) {
			b = append(b, texts[r.IntN(base)]...)
			b = append(b, byte(r.Uint32()))
		}
		texts = append(texts, string(b))
	}
	g := newGenerator(4)
	for range 500 {
		texts = append(texts, g.text())
	}
	u := newUniform(8)
	for range 2000 {
		texts = append(texts, u.text())
	}
	var rows []Row
	for i, text := range texts {
		rows = append(rows, Row{Position: uint64(i), Texts: []string{text, texts[len(texts)-1-i]}})
	}
	w := &textWriter{opts: Options{BlockRows: 16, BlockBytes: 1 << 20, Level: 1}, texts: 2, words: wordWriter{prints: -1}}
	for i := range rows {
		if err := w.add(rows[i].Texts); err != nil {
			t.Fatal(err)
		}
	}
	list, err := w.finish()
	if err != nil {
		t.Fatal(err)
	}
	if w.coder == nil || list.dicts == nil {
		t.Fatal("no phrases were used")
	}
	data, _ := write(t, Schema{Texts: 2}, nil, rows)
	newModel(Schema{Texts: 2}, rows).check(t, open(t, data))
}

func TestCodeLengthsAreACode(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 2))
	for range 200 {
		counts := make([]uint32, 1+r.IntN(600))
		for i := range counts {
			counts[i] = r.Uint32() >> r.UintN(33)
		}
		counts[r.IntN(len(counts))] = 1
		sum := 0
		for i, l := range codeLengths(counts) {
			if l > maxCode || (l == 0) != (counts[i] == 0) {
				t.Fatalf("symbol %d of count %d has a code of %d bits", i, counts[i], l)
			}
			if l > 0 {
				sum += 1 << (maxCode - l)
			}
		}
		if sum > 1<<maxCode {
			t.Fatalf("%v is no code", counts)
		}
	}
}

func TestDictionaryOfAnotherSegment(t *testing.T) {
	t.Parallel()
	g := newGenerator(3)
	g.schema.Texts = 2
	rows := g.rows(3000)
	first, _ := write(t, g.schema, nil, rows[:2000])
	texts, err := open(t, first).Texts()
	if err != nil {
		t.Fatal(err)
	}
	dict := texts.Dictionary()
	if dict == nil {
		t.Fatal("no dictionary")
	}
	second, _ := write(t, g.schema, &Options{Dictionary: dict}, rows[2000:])
	newModel(g.schema, rows[2000:]).check(t, open(t, second))
	var out bytes.Buffer
	if _, err := Merge(&out, nil, []*Segment{open(t, first), open(t, second)}); err != nil {
		t.Fatal(err)
	}
	merged := open(t, out.Bytes())
	newModel(g.schema, rows).check(t, merged)
	if merged.lookup(sectionDictionary, 2) >= 0 {
		t.Error("the dictionary is there twice")
	}
}

func TestSortHashedWithEqualHashes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	values := make([]string, 500)
	entries := make([]hashed, len(values))
	for i := range entries {
		values[i] = fmt.Sprint(r.IntN(40))
		entries[i] = hashed{uint64(values[i][0]) << 60, uint32(i)}
	}
	out := sortHashed(entries, func(a, b uint32) int { return strings.Compare(values[a], values[b]) })
	if !slices.IsSortedFunc(out, func(a, b hashed) int {
		return slices.Compare([]string{fmt.Sprint(a.hash>>60 + 100), values[a.row], fmt.Sprintf("%04d", a.row)}, []string{fmt.Sprint(b.hash>>60 + 100), values[b.row], fmt.Sprintf("%04d", b.row)})
	}) {
		t.Error("not in order of hash, value and row")
	}
}

func TestUniqueColumnWithRepeatedValues(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8, 8))
	schema := Schema{Columns: []Column{{Name: "id", ID: true}, {Name: "text", Find: true}}}
	var rows []Row
	for i := range 3000 {
		id, text := fmt.Sprintf("%032x", r.Uint64()), fmt.Sprintf("t/%x", r.Uint64())
		if i%10 == 9 {
			id, text = rows[i-1].Values[0], "same for many"
		}
		if i%100 == 50 {
			id = ""
		}
		rows = append(rows, Row{Position: uint64(i), Time: int64(i % 77), Values: []string{id, text}})
	}
	data, _ := write(t, schema, nil, rows)
	newModel(schema, rows).check(t, open(t, data))
	c, err := open(t, data).Column(0, Values)
	if err != nil || c.Kind() != Unique {
		t.Fatalf("kind %v, %v; want Unique", c.Kind(), err)
	}
}

func TestFilterLetsFewPass(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 3, 10, 1000, 50_000} {
		r := rand.New(rand.NewPCG(uint64(n), 1))
		hashes := make([]uint64, n)
		for i := range hashes {
			hashes[i] = r.Uint64()
		}
		f, ok := parseFuse(encodeFuse(hashes))
		if !ok {
			t.Fatalf("%d: no filter", n)
		}
		for _, h := range hashes {
			if !f.has(h) {
				t.Fatalf("%d: a hash is missing", n)
			}
		}
		passed := 0
		for range 20_000 {
			if f.has(r.Uint64()) {
				passed++
			}
		}
		if passed > 200 {
			t.Errorf("%d: %d of 20000 pass", n, passed)
		}
	}
}

func TestRowsThatCannotBeStored(t *testing.T) {
	t.Parallel()
	schema := Schema{Columns: []Column{{Name: "a"}}, Texts: 1}
	good := Row{Position: 5, Values: []string{"x"}, Texts: []string{"y"}}
	w := NewWriter(schema, nil)
	if err := w.Add(&good); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]Row{
		"position":    {Position: 5, Values: []string{"x"}, Texts: []string{"y"}},
		"values":      {Position: 6, Texts: []string{"y"}},
		"texts":       {Position: 6, Values: []string{"x"}},
		"large value": {Position: 6, Values: []string{strings.Repeat("x", MaxValue+1)}, Texts: []string{"y"}},
		"large text":  {Position: 6, Values: []string{"x"}, Texts: []string{strings.Repeat("x", MaxText+1)}},
	} {
		if err := w.Add(&row); !errors.Is(err, ErrRow) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var out bytes.Buffer
	if _, err := w.Finish(&out); err != nil {
		t.Fatal(err)
	}
	newModel(schema, []Row{good}).check(t, open(t, out.Bytes()))
	if _, err := w.Finish(&out); !errors.Is(err, ErrRow) {
		t.Errorf("second Finish: %v", err)
	}
	if err := w.Add(&good); !errors.Is(err, ErrRow) {
		t.Errorf("Add after Finish: %v", err)
	}
	if _, err := NewWriter(schema, nil).Finish(&out); !errors.Is(err, ErrRow) {
		t.Errorf("no rows: %v", err)
	}
	for _, s := range []Schema{{Texts: 256}, {Columns: []Column{{}}}, {Columns: []Column{{Name: "a"}, {Name: "a"}}}} {
		if _, err := NewWriter(s, nil).Finish(&out); !errors.Is(err, ErrRow) {
			t.Errorf("schema %+v: %v", s, err)
		}
	}
	if _, err := NewWriter(schema, &Options{BlockRows: -1, Level: 9}).Finish(&out); err == nil || strings.Count(err.Error(), "option") != 2 {
		t.Errorf("options: %v", err)
	}
}

// shortWriter fails after some bytes.
type shortWriter struct{ left int }

var errShort = errors.New("no room")

func (w *shortWriter) Write(b []byte) (int, error) {
	if len(b) > w.left {
		return w.left, errShort
	}
	w.left -= len(b)
	return len(b), nil
}

func TestErrorsOfTheOutputSurface(t *testing.T) {
	t.Parallel()
	schema, rows, data := damageSample(t)
	for n := 0; n < len(data); n += 97 {
		w := NewWriter(schema, nil)
		for i := range rows {
			if err := w.Add(&rows[i]); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Finish(&shortWriter{n}); !errors.Is(err, errShort) {
			t.Fatalf("Finish after %d bytes: %v", n, err)
		}
		if _, err := Merge(&shortWriter{n}, nil, []*Segment{open(t, data)}); !errors.Is(err, errShort) {
			t.Fatalf("Merge after %d bytes: %v", n, err)
		}
	}
}

func TestMergeOfOtherSchemas(t *testing.T) {
	t.Parallel()
	one, _ := write(t, Schema{Columns: []Column{{Name: "a"}, {Name: "b", Find: true}}, Texts: 1}, nil, []Row{
		{Position: 1, Time: 9, Values: []string{"a1", "b1"}, Texts: []string{"t1"}}, {Position: 2, Time: 3, Values: []string{"a2", "b2"}, Texts: []string{"t2"}},
	})
	two, _ := write(t, Schema{Columns: []Column{{Name: "b", ID: true}, {Name: "c"}}, Texts: 2}, nil, []Row{
		{Position: 4, Time: 5, Values: []string{"b1", "c4"}, Texts: []string{"t4", "u4"}},
	})
	var out bytes.Buffer
	if _, err := Merge(&out, nil, []*Segment{open(t, one), open(t, two)}); err != nil {
		t.Fatal(err)
	}
	schema := Schema{Columns: []Column{{Name: "a"}, {Name: "b", ID: true}, {Name: "c"}}, Texts: 2}
	newModel(schema, []Row{
		{Position: 1, Time: 9, Values: []string{"a1", "b1", ""}, Texts: []string{"t1", ""}},
		{Position: 2, Time: 3, Values: []string{"a2", "b2", ""}, Texts: []string{"t2", ""}},
		{Position: 4, Time: 5, Values: []string{"", "b1", "c4"}, Texts: []string{"t4", "u4"}},
	}).check(t, open(t, out.Bytes()))
	if _, err := Merge(&out, nil, []*Segment{open(t, two), open(t, one)}); !errors.Is(err, ErrRow) {
		t.Errorf("segments in the wrong order: %v", err)
	}
	if _, err := Merge(&out, nil, nil); !errors.Is(err, ErrRow) {
		t.Errorf("no segments: %v", err)
	}
}

func TestManyReadersAtATime(t *testing.T) {
	t.Parallel()
	g := newGenerator(77)
	g.schema.Texts = 2
	rows := g.rows(300)
	data, _ := write(t, g.schema, nil, rows)
	s := open(t, data)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			readAll(s)
			texts, err := s.Texts()
			if err != nil {
				t.Error(err)
				return
			}
			var r TextReader
			for i := range rows {
				got, err := texts.Read(uint32(i), &r)
				if err != nil || string(got[1]) != rows[i].Texts[1] {
					t.Errorf("row %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestReadingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	g := newGenerator(5)
	g.schema = Schema{Texts: 1, Columns: []Column{{Name: "d", Find: true}, {Name: "u", ID: true}, {Name: "h", Find: true}, {Name: "t", ID: true}}}
	g.kinds = []int{3, 4, 6, 12}
	rows := g.rows(2000)
	data, _ := write(t, g.schema, nil, rows)
	s := open(t, data)
	o, err := s.Order()
	if err != nil {
		t.Fatal(err)
	}
	texts, err := s.Texts()
	if err != nil {
		t.Fatal(err)
	}
	var tr TextReader
	buf := make([]byte, 0, 1000)
	k := 0
	n := testing.AllocsPerRun(2000, func() {
		row := uint32(k * 7 % len(rows))
		k++
		o.SearchTime(o.Time(row))
		o.SearchPosition(o.Position(row))
		for i := range g.schema.Columns {
			c, err := s.Column(i, Values|Lookup|Filter)
			if err != nil {
				t.Fatal(err)
			}
			buf = c.AppendValue(buf[:0], c.Code(row))
			p, _ := c.Rows(bytesView(buf))
			p.Search(p.At(0))
			c.MayContain(bytesView(buf))
			if row%64 == 0 { // what is asked for again and again is kept once, see findCache
				c.Find(bytesView(buf))
				c.Find(bytesView(buf))
				c.Find(bytesView(buf))
			}
		}
		if _, err := texts.Read(row, &tr); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0.1 {
		t.Errorf("%.2f allocations for each row", n)
	}
}

// TestKindFollowsTheValues: ids that look unique in a small segment are a dictionary
// when they repeat in the merged one.
func TestKindFollowsTheValues(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	schema := Schema{Columns: []Column{{Name: "resource", Find: true}}}
	var rows []Row
	var segs []*Segment
	for part := range 10 {
		for i := range 1000 {
			rows = append(rows, Row{Position: uint64(part*1000 + i), Values: []string{fmt.Sprintf("res-%04d", r.IntN(1500)*7)}})
		}
		data, _ := write(t, schema, &Options{}, rows[part*1000:])
		segs = append(segs, open(t, data))
	}
	kind := func(s *Segment) Kind {
		c, err := s.Column(0, Values)
		if err != nil {
			t.Fatal(err)
		}
		return c.Kind()
	}
	var out bytes.Buffer
	if _, err := Merge(&out, nil, segs); err != nil {
		t.Fatal(err)
	}
	s := open(t, out.Bytes())
	if kind(segs[0]) != Unique || kind(s) != Dict {
		t.Errorf("kinds %d and %d, want Unique in a part and Dict in the whole", kind(segs[0]), kind(s))
	}
	newModel(schema, rows).check(t, s)
}
