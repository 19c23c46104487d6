package filestore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/store/filestore"
)

var background = context.Background()

// traceOf returns the trace number n of a test: every number has its own id.
func traceOf(n int) *cts.Trace {
	return &cts.Trace{
		ID:   fmt.Sprintf("01907a3c-5b1e-7c40-8a51-%012x", n),
		Name: "createServer", Type: cts.TypeAPI, Rating: cts.RatingNormal,
		ServiceType: "ECS", ResourceType: "server", ResourceID: fmt.Sprintf("r-%d", n%10),
		Time: 1_720_000_000_000 + int64(n)*1000, RecordTime: 1_720_000_000_005 + int64(n)*1000,
		SourceIP: "192.0.2.7", User: cts.User{ID: "u-1", Name: "alice"},
		Request: strings.Repeat("x", n*37%400),
	}
}

// numbered returns the traces from first to last.
func numbered(first, last int) []cts.Entry {
	var batch []cts.Entry
	for n := first; n <= last; n++ {
		batch = append(batch, cts.Entry{Trace: traceOf(n)})
	}
	return batch
}

// open opens a store that is closed with the test.
func open(t testing.TB, fsys vfs.FS, dir string, opts filestore.Options) *filestore.Store {
	t.Helper()
	opts.FS = fsys
	s, err := filestore.Open(dir, &opts)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { mustClose(t, s) })
	return s
}

func mustClose(t testing.TB, s *filestore.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func mustAppend(t testing.TB, s *filestore.Store, batch ...cts.Entry) cts.Appended {
	t.Helper()
	done, err := s.Append(background, batch)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return done
}

// ids returns the ids that an iterator yields, and the damage.
func ids(t testing.TB, s cts.Log, pos cts.Position) (ids []string, damage []*cts.CorruptionError) {
	t.Helper()
	last := pos
	for e, err := range s.After(background, pos) {
		var d *cts.CorruptionError
		if errors.As(err, &d) {
			damage = append(damage, d)
			if d.First != last+1 {
				t.Errorf("damage %d to %d after position %d", d.First, d.Last, last)
			}
			last = d.Last
			continue
		}
		if err != nil {
			t.Fatalf("After: %v", err)
		}
		if e.Position != last+1 {
			t.Errorf("position %d after %d", e.Position, last)
		}
		last = e.Position
		id, _, _, err := cts.PeekJSON(e.JSON)
		if err != nil {
			t.Errorf("position %d: %v", e.Position, err)
		}
		ids = append(ids, id)
	}
	return ids, damage
}

// idsOf returns the ids of numbered traces.
func idsOf(first, last int) []string {
	var ids []string
	for n := first; n <= last; n++ {
		ids = append(ids, traceOf(n).ID)
	}
	return ids
}

// verify fails the test if the store is damaged.
func verify(t testing.TB, s cts.Verifier) cts.VerifyReport {
	t.Helper()
	report, err := s.Verify(background)
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	for _, d := range report.Damaged {
		t.Errorf("Verify: %v", d)
	}
	return report
}

// unsealed returns options whose store leaves everything in the log.
func unsealed(o filestore.Options) *filestore.Options {
	o = filestore.Unsealed(o)
	return &o
}
