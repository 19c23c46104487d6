package filestore

import (
	"context"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
)

// TestSealedBehindTheSieve has a trace appended and sealed after another append with the
// same id was sifted and before it was placed. It is found, and the segments that were
// sifted are not looked into again.
func TestSealedBehindTheSieve(t *testing.T) {
	ctx := context.Background()
	s, err := Open("/store", &Options{FS: vfstest.NewMemFS(), run: func(task func()) { task() }, unmerged: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	entry := func(id string) []cts.Entry {
		return []cts.Entry{{Trace: &cts.Trace{ID: id, Name: "createServer", Time: 1_780_000_000_000, RecordTime: 1_780_000_000_000}}}
	}
	store := func(id string) {
		t.Helper()
		if _, err := s.Append(ctx, entry(id)); err != nil {
			t.Fatal(err)
		}
		if err := s.sealEverything(ctx); err != nil {
			t.Fatal(err)
		}
	}
	store("first")
	for _, c := range []struct {
		id     string
		sifted cts.Position
	}{{"second", 2}, {"first", 0}} {
		b, err := s.batches.newBatch(entry(c.id))
		if err != nil {
			t.Fatal(err)
		}
		s.sift(b)
		if got := b.items[0].sifted; got != c.sifted {
			t.Errorf("%s was sifted up to %d, want %d", c.id, got, c.sifted)
		}
		if c.id == "second" {
			store("second")
		}
		got, err := s.await(ctx, b)
		if err != nil || got.Existing != 1 {
			t.Errorf("%s: %+v, %v, want it to be known", c.id, got, err)
		}
	}
}
