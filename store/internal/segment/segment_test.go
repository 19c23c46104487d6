package segment

import (
	"bytes"
	"fmt"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 15, 16, 17, 127, 128, 129, 130, 1023, 1024, 1025, 2049} {
		// Under the race detector few will do: no goroutines share anything here.
		for seed := range uint64(seeds(6)) {
			t.Run(fmt.Sprintf("%d rows seed %d", n, seed), func(t *testing.T) {
				t.Parallel()
				g := newGenerator(seed*31 + uint64(n))
				rows := g.rows(n)
				data, _ := write(t, g.schema, nil, rows)
				newModel(g.schema, rows).check(t, open(t, data))
			})
		}
	}
}

func TestMergeIsOneWriter(t *testing.T) {
	t.Parallel()
	for seed := range uint64(seeds(40)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			g := newGenerator(seed + 1000)
			rows := g.rows(1 + g.r.IntN(3000))
			var segs []*Segment
			for from := 0; from < len(rows); {
				to := min(len(rows), from+1+g.r.IntN(1200))
				data, _ := write(t, g.schema, nil, rows[from:to])
				segs = append(segs, open(t, data))
				from = to
			}
			var out bytes.Buffer
			if _, err := Merge(&out, nil, segs); err != nil {
				t.Fatal(err)
			}
			newModel(g.schema, rows).check(t, open(t, out.Bytes()))
			var same bytes.Buffer
			if _, err := Merge(&same, &Options{Workers: 1 + g.r.IntN(5)}, segs); err != nil || !bytes.Equal(same.Bytes(), out.Bytes()) {
				t.Errorf("more workers make another segment: %v", err)
			}
		})
	}
}

// seeds returns how many of n random cases are tried.
func seeds(n int) int {
	if raceEnabled {
		return 1
	}
	return n
}
