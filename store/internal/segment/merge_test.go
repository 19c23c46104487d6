package segment

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// mergedColumn returns a merge of segments of one column, whose values the function makes,
// in an order of times that goes back and forth, and the readers of the column.
func mergedColumn(t *testing.T, sizes []int, value func(n int) string) (*merger, []*ColumnReader) {
	t.Helper()
	schema := Schema{Columns: []Column{{Name: "a", ID: true}}}
	m := &merger{}
	n := 0
	for _, size := range sizes {
		var rows []Row
		for range size {
			rows = append(rows, Row{Position: uint64(n + 1), Time: int64(n * 7919 % 1000), Values: []string{value(n)}})
			n++
		}
		data, _ := write(t, schema, nil, rows)
		m.segs = append(m.segs, open(t, data))
	}
	if err := m.begin(); err != nil {
		t.Fatal(err)
	}
	var readers []*ColumnReader
	for _, s := range m.segs {
		r, err := s.Column(0, Values)
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, r)
	}
	return m, readers
}

// TestMergedKeys compares what is made of keys with what is made of the values themselves.
func TestMergedKeys(t *testing.T) {
	t.Parallel()
	g := newGenerator(1)
	sizes := []int{200, 40, 300, 129, 128}
	for name, value := range map[string]func(n int) string{
		"uuids":          func(int) string { return g.uuid() },
		"empty too":      func(int) string { return g.value(5) },
		"hexadecimal":    func(int) string { return fmt.Sprintf("req-%012x", g.r.Uint64()>>16) },
		"begin alike":    func(n int) string { return fmt.Sprintf("req-ab%04x%06x", n/200, g.r.Uint32()>>8) },
		"other prefixes": func(n int) string { return fmt.Sprintf("req%d-%012x", n/500, g.r.Uint64()>>16) },
		"texts":          func(n int) string { return fmt.Sprintf("%x", n*n*7919) },
	} {
		m, readers := mergedColumn(t, sizes, value)
		keys := newMergedKeys(m, readers)
		if keys == nil {
			if name == "uuids" {
				t.Errorf("%s: no keys", name)
			}
			continue
		}
		if want := encodeValues(&mergedList{m, readers}, false); !bytes.Equal(keys.table(), want) {
			t.Errorf("%s: another table than that of the values", name)
		}
	}
}

// TestMergedDictionaries merges dictionaries of all encodings, and columns that have none.
func TestMergedDictionaries(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 9))
	g := newGenerator(2)
	var uuids []string
	for range 300 {
		uuids = append(uuids, g.uuid())
	}
	for name, value := range map[string]func(n int) string{
		"front": func(int) string {
			return fmt.Sprintf("a/long/prefix/of/all/%05d/%s", r.IntN(900), strings.Repeat("x", 30))
		},
		"texts":         func(int) string { return fmt.Sprint(r.IntN(50)) },
		"uuids":         func(int) string { return uuids[r.IntN(len(uuids))] },
		"unique once":   func(n int) string { return fmt.Sprintf("v%d", n%1200*7919) },
		"with an empty": func(int) string { return []string{"", "b", "a"}[r.IntN(3)] },
		"constant":      func(n int) string { return fmt.Sprint("c", n/1200) },
		"short":         func(int) string { return string(binaryOf(r.Uint64(), r.Uint64())[:r.IntN(3)]) },
	} {
		var added []string
		m, readers := mergedColumn(t, []int{1200, 1200, 1, 1200}, func(n int) string {
			added = append(added, value(n))
			return added[n]
		})
		d, err := m.mergeDicts(Column{Name: "a"}, readers)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := slices.Compact(slices.Sorted(slices.Values(added)))
		if d.values.Len() != len(want) {
			t.Fatalf("%s: %d values, want %d", name, d.values.Len(), len(want))
		}
		for i, v := range want {
			if got := d.values.Value(nil, i); string(got) != v {
				t.Fatalf("%s: value %d is %q, want %q", name, i, got, v)
			}
		}
		for row, code := range d.codes {
			g := m.global(row)
			s := m.segment(g)
			if want := added[m.bases[s]+int(m.orders[s].ordinal(uint32(g-m.bases[s])))]; string(d.values.Value(nil, int(code))) != want {
				t.Fatalf("%s: row %d has code %d of %q, want %q", name, row, code, d.values.Value(nil, int(code)), want)
			}
		}
	}
}

// TestOrderCursor reads the rows of an order one behind the other, back and forth.
func TestOrderCursor(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		g := newGenerator(seed)
		data, _ := write(t, g.schema, nil, g.rows(700))
		o, err := open(t, data).Order()
		if err != nil {
			t.Fatal(err)
		}
		c := newOrderCursor(o)
		for _, step := range []uint32{1, 3, 300, 699} {
			for row := uint32(0); row < 700*step; row += step {
				row := row % 700
				if c.time(row) != o.Time(row) || c.record(row) != o.Record(row) || c.ordinal(row) != o.Ordinal(row) {
					t.Fatalf("seed %d, row %d: %d, %d, %d, want %d, %d, %d", seed, row,
						c.time(row), c.record(row), c.ordinal(row), o.Time(row), o.Record(row), o.Ordinal(row))
				}
			}
		}
	}
}

// TestColumnWriterChangesItsMind lists values and takes them back, at lengths where it looks.
func TestColumnWriterChangesItsMind(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]func(n int) string{
		"different":      func(n int) string { return fmt.Sprint(n) },
		"then the same":  func(n int) string { return fmt.Sprint(min(n, 1100)) },
		"then few":       func(n int) string { return fmt.Sprint(max(n, n/1100%3*1e6) % 1200) },
		"same, then not": func(n int) string { return fmt.Sprint(max(n, 900)) },
		"runs":           func(n int) string { return fmt.Sprint(n / 100 % 7) },
		"one":            func(int) string { return "" },
	} {
		for _, n := range []int{1, 2, 1023, 1024, 1025, 3000} {
			var rows []Row
			for i := range n {
				rows = append(rows, Row{Position: uint64(i + 1), Time: int64(i % 10), Values: []string{value(i), value(i)}})
			}
			schema := Schema{Columns: []Column{{Name: "id", ID: true}, {Name: "other", Find: true}}}
			data, _ := write(t, schema, nil, rows)
			again, _ := write(t, schema, nil, rows)
			if !bytes.Equal(data, again) {
				t.Errorf("%s, %d rows: the bytes are not the same twice", name, n)
			}
			newModel(schema, rows).check(t, open(t, data))
		}
	}
}

func TestSortedValues(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	for _, n := range []int{0, 1, 2, 100, radixFrom, 5000} {
		for name, value := range map[string]func() string{
			"numbers":  func() string { return fmt.Sprintf("prefix%d", r.IntN(10*n)) },
			"equal":    func() string { return "same" },
			"zeros":    func() string { return "a" + strings.Repeat("\x00", r.IntN(12)) },
			"bytes":    func() string { return string(binaryOf(r.Uint64(), r.Uint64())[:r.IntN(16)]) },
			"far away": func() string { return fmt.Sprintf("a%s%04d", strings.Repeat("b", 20), r.IntN(3000)) + "ab"[:r.IntN(3)] },
		} {
			values, want := make([]string, n), make([]uint32, n)
			for i := range values {
				values[i], want[i] = value(), uint32(i)
			}
			slices.SortStableFunc(want, func(a, b uint32) int { return strings.Compare(values[a], values[b]) })
			got := sortedValues(n, func(room []byte, i int) []byte { return append(room, values[i]...) })
			if !slices.Equal(got, want) {
				t.Errorf("%d %s are in another order", n, name)
			}
		}
	}
}

// A fault in a goroutine that makes a column becomes one of the goroutine that merges.
func TestFaultOfAWorker(t *testing.T) {
	m := merger{segs: []*Segment{nil}} // reading it faults
	m.opts.Workers = 2
	m.info.Schema.Columns = []Column{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	defer func() {
		if _, ok := recover().(runtime.Error); !ok {
			t.Error("the fault is gone")
		}
	}()
	_, err := m.writeColumns(newOutput(io.Discard))
	t.Errorf("no fault, %v", err)
}
