package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// calmly is a try that catches nothing.
func calmly(read func() error) error { return read() }

// salvaged returns how many of the rows are salvaged, and fails the test if one of them
// is not as it was.
func salvaged(t *testing.T, what string, data []byte, rows []Row) int {
	t.Helper()
	s, err := Open("damaged", data)
	if err != nil {
		return -1
	}
	return salvagedOf(t, what, s, rows, calmly)
}

func salvagedOf(t *testing.T, what string, s *Segment, rows []Row, try func(func() error) error) int {
	t.Helper()
	n, at := 0, 0
	for r := range s.Salvage(try) {
		for at < len(rows) && rows[at].Position < r.Position {
			at++
		}
		n++
		if at == len(rows) || rows[at].Position != r.Position {
			t.Fatalf("%s: a row at position %d was never written, or comes twice", what, r.Position)
		}
		w := &rows[at]
		if w.Time != r.Time || w.Record != r.Record || !slices.Equal(w.Values, r.Values) || !slices.Equal(w.Texts, r.Texts) {
			t.Fatalf("%s: the row at position %d is %+v, was %+v", what, r.Position, *r, *w)
		}
		at++
	}
	return n
}

func TestSalvageOfSoundSegments(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		g := newGenerator(seed)
		rows := g.rows([]int{1, 2, 127, 128, 129, 900, 3000}[seed%7])
		data, _ := write(t, g.schema, nil, rows)
		if n := salvaged(t, fmt.Sprint("seed ", seed), data, rows); n != len(rows) {
			t.Errorf("seed %d: %d of %d rows", seed, n, len(rows))
		}
	}
}

// TestSalvageGuessesNothing damages bytes of all kinds. What is salvaged is as it was
// written, and what nothing but a list or a filter needs costs no row.
func TestSalvageGuessesNothing(t *testing.T) {
	t.Parallel()
	_, rows, data := damageSample(t)
	derived := map[int]bool{sectionPostings: true, sectionHashes: true, sectionFilter: true, sectionWords: true, sectionWordBits: true}
	whole := open(t, data)
	kindOf := func(at int) int {
		for _, e := range whole.foot.sections {
			if int64(at) >= e.offset && int64(at) < e.offset+e.length {
				return e.kind
			}
		}
		return 0
	}
	step, kept, lost := 1, 0, 0
	if raceEnabled {
		step = 31
	}
	for i := 0; i < len(data); i += step {
		broken := bytes.Clone(data)
		broken[i] ^= byte(1 + i%255)
		n := salvaged(t, fmt.Sprintf("byte %d", i), broken, rows)
		kind := kindOf(i)
		switch {
		case n == len(rows):
			kept++
		case derived[kind] || kind == sectionRows || kind == sectionOrdinals:
			t.Fatalf("byte %d, in %s: %d of %d rows", i, (&section{kind: kind}).name(), n, len(rows))
		default:
			lost++
		}
	}
	if kept == 0 || lost == 0 {
		t.Errorf("%d times all is there, %d times not: the test has lost its point", kept, lost)
	}
}

// TestSalvageLosesLittle damages a byte of each section of a segment that is much larger
// than a chunk: most of the rows survive each.
func TestSalvageLosesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine: run without the race detector")
	}
	t.Parallel()
	g := newGenerator(5)
	g.schema = Schema{Texts: 2}
	g.kinds, g.spread, g.times = nil, 1, 5
	for i, kind := range []int{2, 3, 4, 5, 6, 9, 12} {
		g.schema.Columns = append(g.schema.Columns, Column{Name: fmt.Sprintf("c%d", i), Find: i%2 == 0, ID: i == 3})
		g.kinds = append(g.kinds, kind)
	}
	rows := g.rows(100_000)
	data, _ := write(t, g.schema, nil, rows)
	s := open(t, data)
	tried := map[int]int{}
	for _, e := range s.foot.sections {
		if tried[e.kind] == 2 || e.length < 3*chunkSize && e.kind != sectionPostings && e.kind != sectionFilter {
			continue
		}
		tried[e.kind]++
		broken := bytes.Clone(data)
		at := e.offset + e.length/2
		broken[at] ^= 0x10
		what := fmt.Sprintf("%s of column %d, %d bytes", e.name(), e.column, e.length)
		n := salvaged(t, what, broken, rows)
		t.Logf("%s: %d of %d rows", what, n, len(rows))
		if n < len(rows)/4 || e.kind == sectionTextBlocks && n < len(rows)-64 {
			t.Errorf("%s: only %d of %d rows", what, n, len(rows))
		}
	}
}

// TestSalvageOfMuchDamage damages many bytes at once, at random.
func TestSalvageOfMuchDamage(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	runs := 50
	if raceEnabled {
		runs = 8
	}
	some := 0
	for run := range runs {
		g := newGenerator(seed + uint64(run%5))
		rows := g.rows(1 + r.IntN(300))
		data, _ := write(t, g.schema, nil, rows)
		foot := open(t, data).footerOffset()
		for range 1 + r.IntN(4) {
			switch at := headerSize + r.IntN(int(foot)-headerSize+1); r.IntN(3) {
			case 0:
				data[at] ^= byte(1 + r.IntN(255))
			case 1:
				clear(data[at:min(int(foot), at+r.IntN(4096))])
			default:
				for i := at; i < min(int(foot), at+600); i++ {
					data[i] = byte(r.Uint32())
				}
			}
		}
		if salvaged(t, fmt.Sprintf("seed %d, run %d", seed, run), data, rows) > 0 {
			some++
		}
	}
	if some == 0 {
		t.Errorf("seed %d: no run salvages anything: the test has lost its point", seed)
	}
}

// TestSalvageBesideFaults has every n-th read fault.
func TestSalvageBesideFaults(t *testing.T) {
	t.Parallel()
	_, rows, data := damageSample(t)
	errFault := errors.New("fault")
	most := 0
	for n := 1; n < 200; n++ {
		i := 0
		got := salvagedOf(t, fmt.Sprint("fault ", n), open(t, data), rows, func(read func() error) error {
			if i++; i == n {
				return errFault
			}
			return read()
		})
		most = max(most, got)
		if i < n && got != len(rows) {
			t.Fatalf("without a fault %d of %d rows", got, len(rows))
		}
	}
	if most < len(rows)-1 {
		t.Errorf("at most %d of %d rows", most, len(rows))
	}
}
