package filestore_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/internal/vfs/vfstest"
	"github.com/cloudtraceservice/cts/store/filestore"
	"github.com/cloudtraceservice/cts/store/memstore"
	"github.com/cloudtraceservice/cts/store/storetest"
)

// twins returns a store whose traces are in the log, in several segments and in merged
// ones, and a store in memory with the same traces.
func twins(t *testing.T, fsys vfs.FS, dir string) (*filestore.Store, *memstore.Store) {
	t.Helper()
	s := open(t, fsys, dir, filestore.Inline(filestore.Unmerged(filestore.Options{Sync: filestore.SyncOS, LogFileBytes: 32 << 10})))
	m := memstore.New(nil)
	traces := storetest.Traces(7, 900)
	for i, trace := range traces {
		for _, store := range []cts.Appender{s, m} {
			if _, err := store.Append(background, []cts.Entry{{Trace: trace}}); err != nil {
				t.Fatal(err)
			}
		}
		switch i {
		case 500:
			if err := s.Compact(background); err != nil {
				t.Fatal(err)
			}
		case 600, 700:
			if err := filestore.Seal(background, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s, m
}

// questions are queries that go through every way of finding rows.
func questions(sample *cts.Trace) map[string]cts.Query {
	var q cts.Query
	at := time.UnixMilli
	word := "nothing"
	for _, w := range strings.FieldsFunc(sample.Request, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		word = w
	}
	user := cts.Eq(cts.FieldUser, sample.User.Name)
	return map[string]cts.Query{
		"all":               q,
		"oldest":            q.OldestFirst(),
		"skip":              q.Skipped(333).Limited(20),
		"id":                q.Where(cts.Eq(cts.FieldTraceID, sample.ID)),
		"user":              q.Where(user),
		"no user":           q.Where(cts.Not(user)),
		"absent":            q.Where(cts.Absent(cts.FieldUser)),
		"two fields":        q.Where(user, cts.Eq(cts.FieldServiceType, sample.ServiceType)),
		"one of":            q.Where(cts.Or(user, cts.Eq(cts.FieldResourceID, sample.ResourceID))),
		"in":                q.Where(cts.In(cts.FieldTraceName, sample.Name, "no such", "")),
		"prefix":            q.Where(cts.Prefix(cts.FieldTraceName, sample.Name[:2])),
		"contains":          q.Where(cts.Contains(cts.FieldResourceName, "a")),
		"ignoring case":     q.Where(cts.Contains(cts.FieldTraceName, strings.ToUpper(sample.Name)).IgnoreCase()),
		"code":              q.Where(cts.GreaterEqual(cts.FieldCode, 300)),
		"request":           q.Where(cts.Contains(cts.FieldRequest, word)),
		"word":              q.Where(cts.Word(cts.FieldRequest, word)),
		"request and user":  q.Where(cts.Word(cts.FieldRequest, word), user),
		"request or user":   q.Where(cts.Or(cts.Contains(cts.FieldRequest, word), user)),
		"not the request":   q.Where(cts.Not(cts.Contains(cts.FieldRequest, word))),
		"time":              q.Between(at(sample.Time-50_000), at(sample.Time+50_000)),
		"record time":       q.RecordedBetween(at(sample.RecordTime-50_000), at(sample.RecordTime+50_000)),
		"heads":             q.HeadsOnly().Where(user),
		"heads and request": q.HeadsOnly().Where(cts.Contains(cts.FieldRequest, word)),
		"attempts":          q.WithAttempts(),
		"outcome":           q.Where(cts.Present(cts.FieldOutcome)),
		"label":             q.Where(cts.Present(cts.Label("team"))),
		"none":              q.Where(cts.Eq(cts.FieldUser, "nobody at all")),
	}
}

// TestSealedAnswersAsMemory asks a store in all of its forms and a store in memory the
// same questions, and counts.
func TestSealedAnswersAsMemory(t *testing.T) {
	s, m := twins(t, vfstest.NewMemFS(), "/store")
	if st := s.Status(); st.Segments < 3 || st.Sealed == st.Traces {
		t.Fatalf("the store is not in all of its forms: %+v", st)
	}
	samples := []int{3, 480, 650, 890}
	if raceEnabled {
		samples = samples[:1]
	}
	for _, n := range samples {
		for name, q := range questions(storetest.Traces(7, 900)[n]) {
			t.Run(fmt.Sprintf("%d/%s", n, name), func(t *testing.T) {
				want, err := cts.Collect(m.Query(background, q))
				if err != nil {
					t.Fatal(err)
				}
				got, err := cts.Collect(s.Query(background, q))
				if err != nil {
					t.Fatal(err)
				}
				sameTraces(t, got, want)
				q.Limit, q.Skip = 0, 0
				for _, a := range []cts.Aggregation{
					{},
					{By: []cts.Field{cts.FieldUser}},
					{By: []cts.Field{cts.FieldServiceType}, Top: 3},
					{By: []cts.Field{cts.FieldTraceRating, cts.FieldSourceIP}},
					{Every: time.Hour, By: []cts.Field{cts.FieldOutcome}},
					{By: []cts.Field{cts.Label("team")}},
					{By: []cts.Field{cts.FieldTraceID}, Top: 5},
				} {
					want, err := cts.Aggregate(background, m, q, a)
					if err != nil {
						t.Fatal(err)
					}
					got, err := s.Aggregate(background, q, a)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%+v: want -, got +\n%s", a, diff)
					}
				}
			})
		}
	}
}

func sameTraces(t *testing.T, got, want []*cts.Trace) {
	t.Helper()
	text := func(traces []*cts.Trace) (all []string) {
		for _, trace := range traces {
			all = append(all, string(trace.AppendJSON(nil)))
		}
		return all
	}
	if g, w := text(got), text(want); !slices.Equal(g, w) {
		t.Errorf("%d traces, want %d", len(g), len(w))
	}
}

// TestSealedGivesBackTheBytes checks that a trace comes out of a segment with the JSON
// that was appended, canonical or not, also when it is opened again or only read.
func TestSealedGivesBackTheBytes(t *testing.T) {
	mem := vfstest.NewMemFS()
	s := open(t, mem, "/store", filestore.Options{})
	traces := storetest.Traces(3, 300)
	traces[5].Message = "not valid UTF-8: \xff\xfe" // its JSON is not what its own parsing gives
	traces[6].Request = strings.Repeat("large ", 20_000)
	var want []string
	for _, trace := range traces {
		want = append(want, string(trace.AppendJSON(nil)))
		mustAppend(t, s, cts.Entry{Trace: trace})
	}
	if err := s.Compact(background); err != nil {
		t.Fatal(err)
	}
	reader, err := filestore.OpenReader("/store", &filestore.Options{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for name, store := range map[string]*filestore.Store{"writer": s, "reader": reader} {
		var got []string
		for e, err := range store.After(background, 0) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(e.JSON))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: the JSON of %d traces is not that of the %d appended", name, len(got), len(want))
		}
		verify(t, store)
	}
}

// TestDamagedSegment damages each segment file in turn, in places all over it: what is
// readable is, the rest is reported, and nothing is made up.
func TestDamagedSegment(t *testing.T) {
	if raceEnabled {
		t.Skip("it reads what is damaged, alone: run without the race detector")
	}
	s, _ := twins(t, vfstest.NewMemFS(), "/other")
	if err := s.Sync(background); err != nil {
		t.Fatal(err)
	}
	whole, _ := ids(t, s, 0)
	for step := range 12 {
		mem := vfstest.NewMemFS()
		s, _ := twins(t, mem, "/store")
		mustClose(t, s)
		name := segmentFiles(t, mem)[0]
		b, err := mem.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if step == 0 {
			b = b[:len(b)/2]
		} else {
			b[len(b)*step/12] ^= 0x40
		}
		if err := mem.WriteFile(name, b); err != nil {
			t.Fatal(err)
		}
		again := open(t, mem, "/store", filestore.Options{})
		got, damage := ids(t, again, 0)
		report, err := again.Verify(background)
		if err != nil {
			t.Fatal(err)
		}
		if report.OK() {
			t.Errorf("step %d: Verify finds nothing", step)
		}
		lost := 0
		for _, d := range damage {
			lost += int(d.Last-d.First) + 1
		}
		if len(got)+lost != len(whole) || !subsequence(got, whole) {
			t.Errorf("step %d: %d traces and %d lost of %d", step, len(got), lost, len(whole))
		}
	}
}

func segmentFiles(t *testing.T, mem *vfstest.MemFS) []string {
	t.Helper()
	var names []string
	for _, name := range mem.Files() {
		if strings.HasSuffix(name, ".seg") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		t.Fatal("there is no segment")
	}
	return names
}

func subsequence(part, whole []string) bool {
	for _, id := range whole {
		if len(part) > 0 && part[0] == id {
			part = part[1:]
		}
	}
	return len(part) == 0
}

// TestLostManifest refuses to open a store whose segments nobody names any more.
func TestLostManifest(t *testing.T) {
	for name, content := range map[string]string{"gone": "", "damaged": "cts manifest\nversion 1\ncrc32c 00000000\n"} {
		mem := vfstest.NewMemFS()
		s, _ := twins(t, mem, "/store")
		mustClose(t, s)
		before := segmentFiles(t, mem)
		err := mem.Remove("/store/MANIFEST")
		if content != "" {
			err = mem.WriteFile("/store/MANIFEST", []byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := filestore.Open("/store", &filestore.Options{FS: mem, LockWait: -1}); !errors.Is(err, cts.ErrCorrupt) {
			t.Errorf("%s: Open: %v", name, err)
		}
		if !slices.Equal(segmentFiles(t, mem), before) {
			t.Errorf("%s: segments were removed", name)
		}
	}
}

// TestOrphansAreRemoved leaves a segment that the manifest does not name.
func TestOrphansAreRemoved(t *testing.T) {
	mem := vfstest.NewMemFS()
	s, _ := twins(t, mem, "/store")
	mustClose(t, s)
	if err := mem.WriteFile("/store/segments/00009999.seg", []byte("half a segment")); err != nil {
		t.Fatal(err)
	}
	again := open(t, mem, "/store", filestore.Options{})
	if _, err := mem.Stat("/store/segments/00009999.seg"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the orphan is there: %v", err)
	}
	verify(t, again)
}
