package filestore

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A list of several stretches has each row of any of them once, from either end and in
// pieces of any size.
func TestListOfStretches(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		var want []uint32
		l := &rowList{}
		for range r.IntN(mostStretches + 4) {
			rows := make([]uint32, r.IntN(3*mergedAhead))
			for i := range rows {
				rows[i] = r.Uint32N(1 + r.Uint32N(1000))
			}
			slices.Sort(rows)
			rows = slices.Compact(rows)
			l.add(rowStretch{rows: rows, to: len(rows)})
			want = append(want, rows...)
		}
		slices.Sort(want)
		want = slices.Compact(want)
		lo, hi := r.Uint32N(100), 500+r.Uint32N(600)
		want = slices.DeleteFunc(want, func(row uint32) bool { return row < lo || row >= hi })
		newest := r.IntN(2) == 0
		if newest {
			slices.Reverse(want)
		}
		l = l.joined()
		l.narrow(lo, hi)
		var got []uint32
		for {
			if left := l.left(); left < len(want)-len(got) {
				t.Fatalf("seed %d: %d rows are left, it says %d", seed, len(want)-len(got), left)
			}
			some := l.take(make([]uint32, min(1+r.IntN(200), l.left())), newest)
			if len(some) == 0 {
				break
			}
			got = append(got, some...)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: took %d rows, want %d:\n%v\n%v", seed, len(got), len(want), got, want)
		}
	}
}
