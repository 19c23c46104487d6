package filestore

import (
	"bufio"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// TestWithout compares what is left of positions with a count one by one.
func TestWithout(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	some := func() positions {
		first := cts.Position(1 + rng.IntN(30))
		return positions{first, first + cts.Position(rng.IntN(12)) - 1} // some are empty
	}
	for range 3000 {
		whole := some()
		var others []positions
		for range rng.IntN(6) {
			if o := some(); o.first <= o.last {
				others = append(others, o)
			}
		}
		var want []cts.Position
		for p := whole.first; p <= whole.last; p++ {
			if !slices.ContainsFunc(others, (positions{p, p}).overlaps) {
				want = append(want, p)
			}
		}
		for p := range cts.Position(45) {
			if c := newCover(others); c.has(p) != slices.ContainsFunc(others, (positions{p, p}).overlaps) {
				t.Fatalf("%v has %d: %v", others, p, c.has(p))
			}
		}
		var got []cts.Position
		for _, left := range newCover(others).without(whole) {
			if left.last < left.first {
				t.Fatalf("%v without %v leaves %v", whole, others, left)
			}
			for p := left.first; p <= left.last; p++ {
				got = append(got, p)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v without %v leaves %v, want %v", whole, others, got, want)
		}
	}
	if left := newCover([]positions{{1, ^cts.Position(0)}}).without(positions{1, ^cts.Position(0)}); left != nil {
		t.Errorf("all without all leaves %v", left)
	}
}

// TestWriteSegmentLeavesNothing breaks the writing of a segment off in every way.
func TestWriteSegmentLeavesNothing(t *testing.T) {
	errFill := errors.New("fill")
	for name, fill := range map[string]func(*bufio.Writer) (segment.Info, error){
		"error": func(*bufio.Writer) (segment.Info, error) { return segment.Info{}, errFill },
		"fault": func(*bufio.Writer) (segment.Info, error) { panic(errFill) },
	} {
		mem := vfstest.NewMemFS()
		d := directory{fs: mem, root: "/store"}
		if err := d.makeFolders(); err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if r := recover(); (r != nil) != (name == "fault") {
					t.Errorf("%s: %v", name, r)
				}
			}()
			if _, err := d.writeSegment(1, fill); !errors.Is(err, errFill) {
				t.Errorf("%s: %v", name, err)
			}
		}()
		if files := mem.Files(); len(files) > 0 {
			t.Errorf("%s: %v is left", name, files)
		}
	}
}
