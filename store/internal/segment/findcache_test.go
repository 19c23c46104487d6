package segment

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// A cache answers what the search answers, whoever asks what in which order, and asks it
// no more for what was asked for twice.
func TestFindCache(t *testing.T) {
	var values []string
	for i := range 1000 {
		values = append(values, fmt.Sprintf("%04d", 2*i))
	}
	find := func(v string) (int, bool) { return slices.BinarySearch(values, v) }
	var c findCache
	var work sync.WaitGroup
	for g := range 4 {
		work.Go(func() {
			for k := range 20000 {
				i := (k*k*7 + g) % (1 + k%2000)
				v := fmt.Sprintf("%04d", i)
				want, wantOK := find(v)
				if code, ok := c.get(v, find); ok != wantOK || ok && code != uint32(want) {
					t.Errorf("%s: %d %v, want %d %v", v, code, ok, want, wantOK)
					return
				}
			}
		})
	}
	work.Wait()
	searched := 0
	for range 5 {
		c.get("0014", func(v string) (int, bool) {
			searched++
			return find(v)
		})
	}
	if searched > 3 { // once more when a value that was in use has its place
		t.Errorf("one value was searched %d times", searched)
	}
}
