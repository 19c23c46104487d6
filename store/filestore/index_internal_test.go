package filestore

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/wal"
)

// TestIndexAgreesWithList compares an index with a plain list of positions, over
// random traces, holes and moves.
func TestIndexAgreesWithList(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var x index
		first := &wal.File{Header: wal.Header{Number: 1}}
		second := &wal.File{Header: wal.Header{Number: 2}}
		x.slot(first)
		var positions []cts.Position
		var old *view
		for range 40 {
			switch rng.IntN(6) {
			case 0:
				gap := cts.Position(rng.IntN(5)) + 1
				if rng.IntN(4) == 0 {
					gap = 1 << 60 >> rng.IntN(20) // costs nothing
				}
				x.lose(&cts.CorruptionError{File: "f", First: x.last + 1, Last: x.last + gap, Err: errChecksum})
				if len(x.holes) > 8 {
					return
				}
			default:
				for range rng.IntN(200) {
					pos := x.last + 1
					x.add(pos, ref{time: int64(pos), offset: uint32(len(positions))})
					positions = append(positions, pos)
				}
			}
			if old == nil && len(positions) > 500 {
				old = x.snapshot()
			}
			agrees(t, rng, &x.view, positions)
		}
		if old == nil {
			continue
		}
		from := positions[rng.IntN(len(positions))]
		x.move(from, second, 1000)
		for i, pos := range positions {
			want := ref{time: int64(pos), offset: uint32(i)}
			if i < old.count && *old.at(i) != want {
				t.Fatalf("a view changed at %d", i)
			}
			if pos >= from {
				want.file, want.offset = 1, want.offset+1000
			}
			if *x.at(i) != want {
				t.Fatalf("at %d there is %+v, want %+v", i, *x.at(i), want)
			}
		}
	}
}

func agrees(t *testing.T, rng *rand.Rand, v *view, positions []cts.Position) {
	t.Helper()
	if v.count != len(positions) {
		t.Fatalf("%d traces, want %d", v.count, len(positions))
	}
	for range 20 {
		pos := cts.Position(rng.Uint64N(uint64(v.last) + 3))
		if len(positions) > 0 && rng.IntN(2) == 0 {
			pos = positions[rng.IntN(len(positions))]
		}
		want, there := slices.BinarySearch(positions, pos)
		ordinal, ok := v.find(pos)
		if ok != there || ok && ordinal != want {
			t.Fatalf("find(%d) is %d, %v, want %d, %v", pos, ordinal, ok, want, there)
		}
		if there {
			if v.position(want) != pos {
				t.Fatalf("position(%d) is %d, want %d", want, v.position(want), pos)
			}
			want++
		}
		if got := v.behind(pos); got != want {
			t.Fatalf("behind(%d) is %d, want %d", pos, got, want)
		}
	}
}

// TestOrderAgreesWithSort compares the runs, merged, with sorting everything, while
// traces are added between queries.
func TestOrderAgreesWithSort(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 2))
		var x index
		var o order
		for range 30 {
			base := int64(x.last)
			for range rng.IntN(100) {
				late := int64(0)
				if rng.IntN(3) == 0 {
					late = rng.Int64N(50)
				}
				x.add(x.last+1, ref{time: base + rng.Int64N(20) - late})
			}
			v, runs := o.view(x.snapshot)
			want := make([]uint32, v.count)
			for i := range want {
				want[i] = uint32(i)
			}
			slices.SortFunc(want, func(a, b uint32) int {
				return cmp.Or(cmp.Compare(v.at(int(a)).time, v.at(int(b)).time), cmp.Compare(a, b))
			})
			if len(runs) > 12 {
				t.Errorf("%d runs of %d traces", len(runs), v.count)
			}
			for _, newest := range []bool{false, true} {
				m := merging{view: v, runs: slices.Clone(runs), newest: newest}
				var got []uint32
				for {
					ordinal, ok := m.next()
					if !ok {
						break
					}
					got = append(got, uint32(ordinal))
				}
				if newest {
					slices.Reverse(got)
				}
				if !slices.Equal(got, want) {
					t.Fatalf("newest %v: the order is wrong", newest)
				}
			}
		}
	}
}
