package contesttest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/plain"
)

// Database loads 3,000 traces into what open makes in an empty directory, and
// compares all [Questions] with the plain loop, before and after the database was
// opened again, and once more after more traces were added to it then. A question
// that is not supported is logged.
func Database(t *testing.T, open func(dir string) (contest.Database, error)) {
	t.Helper()
	records := Records(1, 3000)
	ctx := context.Background()
	db, err := open(t.TempDir())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	info(t, db)
	load(t, db, records[:2500])
	Ask(t, "loaded", db, records[:2500])
	if err := db.Reopen(ctx); err != nil {
		t.Fatalf("Reopen: %v", err)
	}
	Ask(t, "opened again", db, records[:2500])
	load(t, db, records[2500:])
	Ask(t, "with more added", db, records)
}

// Ask compares all [Questions] with the plain loop over records, which is what db
// holds.
func Ask(t *testing.T, when string, db contest.Database, records []contest.Record) {
	t.Helper()
	all := plain.Newest(records)
	for _, q := range Questions(records) {
		got, err := db.Ask(context.Background(), q)
		if errors.Is(err, contest.ErrUnsupported) {
			t.Logf("%s: %s is not supported: %v", when, q.Row, err)
			continue
		}
		if err != nil {
			t.Errorf("%s: %s: %v", when, q.Row, err)
			continue
		}
		if diff := Diff(got, all.Ask(q)); diff != "" {
			t.Errorf("%s: %s %+v: %s", when, q.Row, q, diff)
		}
	}
}

// Durable appends 2,000 traces from 16 goroutines to what openLog makes in an empty
// directory, closes it, and compares what openDB then finds there with the plain
// loop. If openDB is nil, only appending is checked.
func Durable(t *testing.T, openLog func(dir string) (contest.Durable, error), openDB func(dir string) (contest.Database, error)) {
	t.Helper()
	dir, records := t.TempDir(), apart(Records(2, 2000))
	log, err := openLog(dir)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	info(t, log)
	var group sync.WaitGroup
	for g := range 16 {
		group.Go(func() {
			for i := g; i < len(records); i += 16 {
				if err := log.AppendOne(context.Background(), records[i]); err != nil {
					t.Errorf("AppendOne: %v", err)
					return
				}
			}
		})
	}
	group.Wait()
	if err := log.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if openDB == nil {
		return
	}
	db, err := openDB(dir)
	if err != nil {
		t.Fatalf("open as a database: %v", err)
	}
	Ask(t, "appended", db, records)
	if err := db.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// apart gives each trace a time of its own, so that the order of answers does not
// hang on the order in which goroutines append.
func apart(records []contest.Record) []contest.Record {
	for i, r := range records {
		c := *r.Trace
		c.Time = Base + int64(i)*day/100
		records[i] = contest.Record{Trace: &c, JSON: c.AppendJSON(nil)}
	}
	return records
}

func info(t *testing.T, c contest.Contestant) {
	t.Helper()
	if i := c.Info(); i.Name == "" || i.Version == "" || i.Setup == "" {
		t.Errorf("Info %+v: name, version and setup are wanted", i)
	}
}

// load adds records in batches of uneven size.
func load(t *testing.T, db contest.Database, records []contest.Record) {
	t.Helper()
	ctx := context.Background()
	for batch := range slices.Chunk(records, 613) {
		if err := db.Load(ctx, batch); err != nil {
			t.Fatalf("Load: %v", err)
		}
	}
	if err := db.Finish(ctx); err != nil {
		t.Fatalf("Finish: %v", err)
	}
}
