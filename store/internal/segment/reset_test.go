package segment

import (
	"bytes"
	"fmt"
	"testing"
)

// A writer that was reset writes what a new one does, whatever it did before.
func TestReset(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := newGenerator(seed)
			w := NewWriter(g.schema, nil)
			var dict []byte
			for part := range 8 {
				opts := Options{WordBits: []int{-1, 4, 2}[g.r.IntN(3)], Level: 1 + g.r.IntN(2), NoPhrases: g.r.IntN(6) == 0}
				if g.r.IntN(3) > 0 {
					opts.Dictionary = dict
				}
				w.Reset(&opts)
				rows := g.rows(1 + g.r.IntN([]int{20, 900, 3000}[part%3]))
				if g.r.IntN(3) == 0 { // given up
					for i := range rows {
						if err := w.Add(&rows[i]); err != nil {
							t.Fatal(err)
						}
					}
					continue
				}
				want, _ := write(t, g.schema, &opts, rows)
				got, _ := writeWith(t, w, rows)
				if !bytes.Equal(got, want) {
					t.Fatalf("part %d: a new writer writes %d bytes, this one others, %d", part, len(want), len(got))
				}
				if g.schema.Texts == 0 {
					continue
				}
				texts, err := open(t, want).Texts()
				if err != nil {
					t.Fatal(err)
				}
				dict = bytes.Clone(texts.Dictionary())
			}
		})
	}
}

// What a segment noted of words that was given up half way is forgotten, though the next one
// has the same phrases.
func TestResetBehindGivenUp(t *testing.T) {
	schema := Schema{Texts: 1}
	rows := make([]Row, 20_000)
	for i := range rows {
		rows[i] = Row{Position: uint64(i), Texts: []string{fmt.Sprintf(`{"server":{"name":"web-%d","flavor":"medium","zone":"eu-west-%d"},"tags":[]}`, i, i%3)}}
	}
	w := NewWriter(schema, nil)
	data, _ := writeWith(t, w, rows)
	texts, err := open(t, data).Texts()
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Dictionary: texts.Dictionary()}
	if opts.Dictionary == nil {
		t.Fatal("the texts have no phrases")
	}
	for _, n := range []int{len(rows), len(rows) - 5} { // at the end of a block, and within one
		w.Reset(&opts)
		for i := range rows[:n] {
			if err := w.Add(&rows[i]); err != nil {
				t.Fatal(err)
			}
		}
		w.Reset(&opts)
		got, _ := writeWith(t, w, rows[:500])
		if want, _ := write(t, schema, &opts, rows[:500]); !bytes.Equal(got, want) {
			t.Errorf("behind %d rows a writer writes %d bytes, a new one others, %d", n, len(got), len(want))
		}
	}
}

func TestResetOptions(t *testing.T) {
	w := NewWriter(Schema{}, &Options{Level: 9})
	if err := w.Add(&Row{}); err == nil {
		t.Error("the option of a writer was taken")
	}
	w.Reset(nil)
	writeWith(t, w, []Row{{Position: 1}})
	if err := w.Add(&Row{}); err == nil {
		t.Error("a finished writer took a row")
	}
	w.Reset(nil)
	writeWith(t, w, []Row{{}})
}
