package segment

import (
	"bytes"
	"fmt"
	"testing"
)

// TestSieve compares a sieve of the columns of several segments, with keys of many forms,
// with what the columns say one after the other.
func TestSieve(t *testing.T) {
	uuid := func(i int) string { return fmt.Sprintf("0190b6e4-8f3a-7c21-9d5e-6f70%08x", i) }
	forms := []func(i int) string{
		uuid,
		func(i int) string { return fmt.Sprintf("%032x", i) },
		func(i int) string { return fmt.Sprintf("trace %d of many", i) },
		func(int) string { return "always the same" },
	}
	var columns, alike []*ColumnReader
	for k := range 8 {
		form := forms[k%len(forms)]
		w := NewWriter(Schema{Columns: []Column{{Name: "id", ID: true}}}, nil)
		for i := range 300 {
			if err := w.Add(&Row{Position: uint64(i + 1), Time: int64(i), Record: int64(i), Values: []string{form(k*1000 + i)}}); err != nil {
				t.Fatal(err)
			}
		}
		var data bytes.Buffer
		if _, err := w.Finish(&data); err != nil {
			t.Fatal(err)
		}
		c, err := open(t, data.Bytes()).Column(0, Filter)
		if err != nil {
			t.Fatal(err)
		}
		if columns = append(columns, c); k%len(forms) == 0 {
			alike = append(alike, c)
		}
	}
	for _, columns := range [][]*ColumnReader{nil, columns, alike, columns[1:]} {
		s := NewSieve(columns)
		found := 0
		for i := range 10_000 {
			value := forms[i%len(forms)](i)
			want := false
			for _, c := range columns {
				want = want || c.MayContain(value)
			}
			if got := s.MayContain(value); got != want {
				t.Fatalf("%d columns: MayContain(%q) = %v, want %v", len(columns), value, got, want)
			}
			if want {
				found++
			}
		}
		if len(columns) > 0 && (found < 300/len(forms) || found == 10_000) {
			t.Errorf("%d columns: %d values found", len(columns), found)
		}
	}
}
