package segment

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// wordSegment is a segment of n rows with two texts; some rows have a rare word.
func wordSegment(tb testing.TB, n int, opts *Options) ([]Row, *Segment) {
	tb.Helper()
	r := rand.New(rand.NewPCG(9, 9))
	rows := make([]Row, n)
	for i := range rows {
		text := fmt.Sprintf(`{"id":"%012x","count":%d,"state":%q}`, r.Uint64()>>16, r.IntN(1000), []string{"running", "stopped"}[r.IntN(2)])
		switch r.IntN(500) {
		case 0:
			text += ` quincewort!`
		case 1:
			text += fmt.Sprintf(`"%xvexillum%x"`, r.Uint32(), r.Uint32())
		}
		rows[i] = Row{Position: uint64(i), Time: int64(i), Texts: []string{text, "grüße"}}
	}
	data, _ := write(tb, Schema{Texts: 2}, opts, rows)
	return rows, open(tb, data)
}

// candidates returns the blocks that may have what a needle looks for.
func candidates(tb testing.TB, s *Segment, n *Needle) map[int]bool {
	tb.Helper()
	w, err := s.Words()
	if err != nil {
		tb.Fatal(err)
	}
	blocks := map[int]bool{}
	next := 0
	for g := range w.Groups() {
		from, to := w.Range(g)
		if from != next {
			tb.Fatalf("group %d begins at block %d, want %d", g, from, next)
		}
		next = to
		from, to = w.Find(g, n)
		for _, b := range w.Blocks(nil, g, n) {
			if int(b) < from || int(b) >= to {
				tb.Fatalf("block %d of Blocks is not in %d to %d of Find", b, from, to)
			}
			blocks[int(b)] = true
		}
	}
	return blocks
}

func TestWordsPruneAndMissNothing(t *testing.T) {
	t.Parallel()
	rows, s := wordSegment(t, 9000, nil)
	texts, err := s.Texts()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		needle *Needle
		has    func(text string) bool
		most   int // blocks beside those that have it
	}{
		{WordNeedle("quincewort"), func(s string) bool { return strings.Contains(s, "quincewort") }, 100},
		{SubstringNeedle("vexillum"), func(s string) bool { return strings.Contains(s, "vexillum") }, 100},
		{SubstringNeedle("cewort!"), func(s string) bool { return strings.Contains(s, "cewort!") }, 100},
		{SubstringNeedle(`:"running"`), func(s string) bool { return strings.Contains(s, `:"running"`) }, 1 << 20},
		{SubstringNeedle("grüße"), func(s string) bool { return strings.Contains(s, "grüße") }, 1 << 20},
		{SubstringNeedle(`x`), func(s string) bool { return strings.Contains(s, "x") }, 1 << 20},
		{WordNeedle("nowhere"), func(string) bool { return false }, 1},
		{SubstringNeedle("zzzzzz"), func(string) bool { return false }, 1},
	}
	for _, tt := range tests {
		got := candidates(t, s, tt.needle)
		want := map[int]bool{}
		for i, row := range rows {
			if tt.has(row.Texts[0]) || tt.has(row.Texts[1]) {
				want[texts.Block(uint32(i))] = true
			}
		}
		for b := range want {
			if !got[b] {
				t.Errorf("%v: block %d is missing", tt.needle, b)
			}
		}
		if len(got)-len(want) > tt.most {
			t.Errorf("%v: %d blocks, %d have it", tt.needle, len(got), len(want))
		}
	}
	// Every unique id is found in about one block.
	found := 0
	for i := range 300 {
		id := rows[i*29].Texts[0][7:19]
		got := candidates(t, s, WordNeedle(id))
		if !got[texts.Block(uint32(i*29))] {
			t.Fatalf("the id of row %d is missing", i*29)
		}
		found += len(got)
	}
	if found > 600 {
		t.Errorf("%d blocks for 300 ids", found)
	}
}

func TestSegmentsWithoutWordFilterHaveEverythingEverywhere(t *testing.T) {
	t.Parallel()
	_, s := wordSegment(t, 1000, &Options{WordBits: -1})
	texts, err := s.Texts()
	if err != nil {
		t.Fatal(err)
	}
	if got := candidates(t, s, WordNeedle("nowhere")); len(got) != texts.Blocks() {
		t.Errorf("%d of %d blocks", len(got), texts.Blocks())
	}
}

func TestWordsOfMergedSegments(t *testing.T) {
	t.Parallel()
	rows, _ := wordSegment(t, 4000, nil)
	var segs []*Segment
	for i, opts := range []*Options{nil, {WordBits: -1}, {WordBits: 8}, {NoPhrases: true}} {
		data, _ := write(t, Schema{Texts: 2}, opts, rows[i*1000:i*1000+1000])
		segs = append(segs, open(t, data))
	}
	// A segment without texts between them.
	data, _ := write(t, Schema{}, nil, []Row{{Position: 5000, Time: 1}})
	segs = append(segs, open(t, data))
	var out bytes.Buffer
	if _, err := Merge(&out, nil, segs); err != nil {
		t.Fatal(err)
	}
	s := open(t, out.Bytes())
	if found := damages(s); len(found) > 0 {
		t.Fatal(found)
	}
	texts, err := s.Texts()
	if err != nil {
		t.Fatal(err)
	}
	var r TextReader
	for i, row := range rows {
		got, err := texts.Read(uint32(i), &r)
		if err != nil || string(got[0]) != row.Texts[0] {
			t.Fatalf("row %d: %q, %v", i, got, err)
		}
		if i%37 == 0 && !candidates(t, s, WordNeedle(row.Texts[0][7:19]))[texts.Block(uint32(i))] {
			t.Fatalf("the id of row %d is missing", i)
		}
	}
	if got := candidates(t, s, WordNeedle("nowhere")); len(got) < 60 || len(got) > 70 {
		t.Errorf("%d blocks of a segment that knows no words, want 64", len(got))
	}
}

func TestTextsOfRandomBytesKeepTheFilterSmall(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 9))
	var rows []Row
	for i := range 600 {
		b := make([]byte, 4000)
		for k := range b {
			b[k] = "ghijklmnopqrstuvwxyz     "[r.IntN(25)]
		}
		rows = append(rows, Row{Position: uint64(i), Time: int64(i), Texts: []string{string(b)}})
	}
	data, _ := write(t, Schema{Texts: 1}, nil, rows)
	s := open(t, data)
	if found := damages(s); len(found) > 0 {
		t.Fatal(found)
	}
	i := s.lookup(sectionWordBits, 0)
	if size := s.foot.sections[i].length; size > 600*300 {
		t.Errorf("the filter has %d bytes for 600 rows", size)
	}
}
