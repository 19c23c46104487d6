package filestore

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cloudtraceservice/cts"
)

// TestIDTableAgreesWithMap compares a table of ids with a map, over random traces that
// come and are dropped.
func TestIDTableAgreesWithMap(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var table idTable
		want := map[string][]cts.Position{}
		last, dropped := cts.Position(0), cts.Position(0)
		for range 200 {
			if rng.IntN(10) == 0 {
				dropped += cts.Position(rng.IntN(int(last-dropped) + 2))
				table.drop(dropped)
				last = max(last, dropped)
			}
			if n := rng.IntN(20); rng.IntN(4) == 0 { // a group that was not written
				for i := range n {
					table.put(fmt.Sprint("id-", rng.IntN(2000)), last+cts.Position(i)+1)
				}
				table.cut(n)
			}
			for range rng.IntN(200) {
				last += 1 + cts.Position(rng.IntN(2))
				id := fmt.Sprint("id-", rng.IntN(2000))
				table.put(id, last)
				want[id] = append(want[id], last)
			}
			id := fmt.Sprint("id-", rng.IntN(2000))
			live := slices.DeleteFunc(slices.Clone(want[id]), func(pos cts.Position) bool { return pos <= dropped })
			// One that was cut and came again may be there twice.
			if got := slices.Compact(table.get(id, nil)); !slices.Equal(got, live) {
				t.Fatalf("seed %d: %s: got %d, want %d", seed, id, got, live)
			}
			if got := table.get("nobody's", nil); len(got) > 0 {
				t.Fatalf("seed %d: an id that was never put: %d", seed, got)
			}
		}
	}
}

// TestIDTableForgets has the table drop what it takes in, for long: it keeps no more
// memory than for what is there.
func TestIDTableForgets(t *testing.T) {
	var table idTable
	for pos := range cts.Position(200_000) {
		table.put(fmt.Sprint(pos), pos+1)
		if pos%1000 == 999 {
			table.drop(pos - 1000)
		}
	}
	if len(table.slots) > 16<<10 || cap(table.ids) > 16<<10 || table.gone > math.MaxInt32 {
		t.Errorf("%d slots and room for %d ids, of %d", len(table.slots), cap(table.ids), len(table.ids))
	}
}
