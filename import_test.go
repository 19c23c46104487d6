package cts_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// foreign is a record that was made elsewhere.
func foreign(id string) *cts.Trace {
	tr := op("imported")
	tr.Time = 1_700_000_000_000
	tr.ResourceID = id
	tr.Ext.Source = cts.Source{Name: "aws-cloudtrail/1", ID: id}
	return tr
}

func foreigners(n int) []*cts.Trace {
	records := make([]*cts.Trace, n)
	for i := range records {
		records[i] = foreign(fmt.Sprint("r", i))
	}
	return records
}

func TestImportTwice(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, &cts.TrackerOptions{Delivery: cts.Queued, ServiceType: "not for these", ProjectID: "nor this"})
	records := foreigners(10)
	records[3].Request = `{"password":"x1y2z3"}`
	records[3].Response = strings.Repeat("ä", 70_000)
	records[3].TrackerName = "theirs"
	records[3].Type = cts.TypeConsole
	given := records[3].Clone()
	ctx := cts.WithActor(t.Context(), cts.Actor{Role: "of the importer"})
	for round := range 3 {
		result, err := tracker.Import(ctx, records)
		want := cts.ImportResult{Existing: 10}
		if round == 0 {
			want = cts.ImportResult{Stored: 10}
		}
		if diff := cmp.Diff(want, result); err != nil || diff != "" {
			t.Errorf("round %d: %v (-want +got):\n%s", round, err, diff)
		}
	}
	if diff := cmp.Diff(given, records[3]); diff != "" {
		t.Errorf("Import changed the caller's record:\n%s", diff)
	}
	got := named(stored(t, store), "imported")
	for i, tr := range got {
		if tr.ID != cts.ImportedID(records[i].Ext.Source) || tr.ResourceID != records[i].ResourceID || tr.Ext.Writer != tracker.Status().Writer || tr.RecordTime < 1_700_000_000_000 {
			t.Errorf("record %d: %+v", i, tr)
		}
		if tr.Ext.Role != "" || tr.ProjectID != "" || tr.ServiceType != "SHOP" {
			t.Errorf("record %d was filled in: %+v", i, tr)
		}
	}
	if tr := got[3]; strings.Contains(tr.Request, "x1y2z3") || len(tr.Response) > 64<<10 || len(tr.Ext.Cut) != 1 || tr.TrackerName != "theirs" || tr.Type != cts.TypeConsole {
		t.Errorf("redaction and limits: %+v", tr)
	}
	if got[0].TrackerName != "system" {
		t.Errorf("tracker name %q", got[0].TrackerName)
	}
	if st := tracker.Status(); st.Imported != 10 || st.Existing != 20 || st.Offered != 0 {
		t.Errorf("status %+v", st)
	}
}

// The hashes of what was cut depend on the key; whether a record is the same does not.
func TestImportUnderAnotherHashKey(t *testing.T) {
	store := memstore.New(nil)
	record := foreign("long")
	record.Response = strings.Repeat("r", 70_000)
	for i, key := range []string{"", "key one", "key two"} {
		tracker := open(t, store, &cts.TrackerOptions{HashKey: []byte(key), Name: fmt.Sprint("t", i), PolicyHash: key})
		record.TrackerName = "same"
		result, err := tracker.Import(t.Context(), []*cts.Trace{record})
		if err != nil || len(result.Failed) != 0 || result.Stored+result.Existing != 1 || (result.Stored == 1) != (i == 0) {
			t.Errorf("key %q: %+v, %v", key, result, err)
		}
	}
}

// Records that can't be stored are named by their index and fail no other.
func TestImportIsolatesFailures(t *testing.T) {
	store := newWildStore(1)
	store.setTame(true)
	tracker := open(t, store, nil)
	if _, err := tracker.Import(t.Context(), []*cts.Trace{foreign("r7")}); err != nil {
		t.Fatal(err)
	}
	records := foreigners(30)
	want := map[int]error{0: cts.ErrInvalidTrace, 4: cts.ErrInvalidTrace, 7: cts.ErrIDConflict, 9: cts.ErrInvalidTrace, 12: cts.ErrTooLarge, 13: cts.ErrInvalidTrace, 15: cts.ErrIDConflict, 21: cts.ErrIDConflict, 29: cts.ErrInvalidTrace}
	records[0] = nil
	records[4].Name = ""
	records[7].Code = "another trace"
	records[9].Ext.Source.ID = ""
	records[12].Name = "large" // for which the store has no use
	records[13].Name = "invalid"
	records[15].Ext.Source.ID = "r14" // taken in the same batch
	records[21].Name = "conflicting"
	records[29].Ext.Source.Name = ""
	result, err := tracker.Import(t.Context(), records)
	if err != nil || result.Stored != 21 || result.Existing != 0 || len(result.Failed) != len(want) {
		t.Fatalf("%+v, %v", result, err)
	}
	last := -1
	for _, f := range result.Failed {
		if f.Index <= last || !errors.Is(f.Err, want[f.Index]) {
			t.Errorf("record %d: %v, want %v, in order", f.Index, f.Err, want[f.Index])
		}
		last = f.Index
		var conflict *cts.ConflictError
		if errors.As(f.Err, &conflict) && conflict.Index != f.Index {
			t.Errorf("record %d: the conflict is at %d", f.Index, conflict.Index)
		}
	}
	ordered := named(stored(t, store), "imported")[1:]
	for i := 1; i < len(ordered); i++ {
		var a, b int
		fmt.Sscanf(ordered[i-1].ResourceID, "r%d", &a) //nolint:errcheck // made above
		fmt.Sscanf(ordered[i].ResourceID, "r%d", &b)   //nolint:errcheck // made above
		if a >= b {
			t.Errorf("r%d stands before r%d", a, b)
		}
	}
}

// cancelling cancels a context after so many appends.
type cancelling struct {
	*memstore.Store
	left   int
	cancel context.CancelFunc
}

func (s *cancelling) Append(ctx context.Context, batch []cts.Entry) (cts.Appended, error) {
	done, err := s.Store.Append(ctx, batch)
	if s.left--; s.left == 0 {
		s.cancel()
	}
	return done, err
}

func TestImportOfManyBatches(t *testing.T) {
	records := foreigners(9000)
	for i := range 100 {
		records[i*90].Request = strings.Repeat("x", 60_000)
	}
	store := &cancelling{Store: memstore.New(nil)}
	tracker := open(t, store, &cts.TrackerOptions{WithoutRedaction: true})
	ctx, cancel := context.WithCancel(t.Context())
	store.cancel, store.left = cancel, 2
	first, err := tracker.Import(ctx, records)
	if !errors.Is(err, context.Canceled) || first.Stored == 0 || first.Stored >= 9000 {
		t.Fatalf("%+v, %v: want a part, and the context's error", first, err)
	}
	if n := len(named(stored(t, store), "imported")); n != first.Stored {
		t.Errorf("%d are stored, %d reported", n, first.Stored)
	}
	second, err := tracker.Import(t.Context(), records)
	if err != nil || second.Existing != first.Stored || second.Stored != 9000-first.Stored {
		t.Errorf("second import: %+v, %v", second, err)
	}
	for i, tr := range named(stored(t, store), "imported") {
		if tr.ResourceID != fmt.Sprint("r", i) {
			t.Fatalf("place %d has %s", i, tr.ResourceID)
		}
	}
}

func TestImportOfUnknownOutcome(t *testing.T) {
	for _, effect := range []bool{true, false} {
		store := newFlakyStore()
		tracker := open(t, store, nil)
		if effect {
			store.set(nil, always(errUnseen))
		} else {
			store.set(always(errUnseen), nil)
		}
		result, err := tracker.Import(t.Context(), foreigners(5))
		if !errors.Is(err, cts.ErrOutcomeUnknown) || result.Stored != 0 {
			t.Errorf("%+v, %v", result, err)
		}
		store.set(nil, nil)
		result, err = tracker.Import(t.Context(), foreigners(5))
		if err != nil || (result.Existing == 5) != effect || (result.Stored == 5) == effect {
			t.Errorf("effect %v: %+v, %v", effect, result, err)
		}
		if n := len(named(stored(t, store), "imported")); n != 5 {
			t.Errorf("%d are stored", n)
		}
	}
}

// A store that hangs holds Import for AppendTimeout.
func TestImportIntoAHangingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newHeldStore()
		tracker := open(t, store, &cts.TrackerOptions{AppendTimeout: time.Minute})
		store.hold()
		start := time.Now()
		if _, err := tracker.Import(t.Context(), foreigners(1)); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		store.letGo()
	})
}

// Sources that differ behind the limit of texts are different records.
func TestImportOfLongSourceIDs(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, nil)
	a, b := foreign(strings.Repeat("i", 3000)+"a"), foreign(strings.Repeat("i", 3000)+"b")
	result, err := tracker.Import(t.Context(), []*cts.Trace{a, b})
	if err != nil || result.Stored != 2 {
		t.Fatalf("%+v, %v", result, err)
	}
	for i, tr := range named(stored(t, store), "imported") {
		if want := cts.ImportedID([]*cts.Trace{a, b}[i].Ext.Source); tr.ID != want || len(tr.Ext.Source.ID) != 1024 {
			t.Errorf("id %s, want %s", tr.ID, want)
		}
	}
}

func TestImportedIDKeepsItsPartsApart(t *testing.T) {
	seen := map[string]cts.Source{}
	for _, s := range []cts.Source{{Name: "a", ID: "bc"}, {Name: "ab", ID: "c"}, {Name: "abc"}, {ID: "abc"}, {Name: "a", ID: "b"}} {
		id := cts.ImportedID(s)
		if other, taken := seen[id]; taken || len(id) != 36 || id[14] != '8' || id != cts.ImportedID(s) {
			t.Errorf("%v has the id %s, as %v", s, id, other)
		}
		seen[id] = s
	}
}

// An imported outcome belongs to the imported attempt, whose id is derived too.
func TestImportedAttemptsKeepTheirOutcomes(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, nil)
	source := cts.Source{Name: "elsewhere", ID: "native-attempt"}
	begun := &cts.Trace{Name: "x", Time: cts.MinTime, Ext: cts.Ext{Source: source, Phase: cts.PhaseAttempt}}
	ended := &cts.Trace{Name: "x", Time: cts.MinTime, Ext: cts.Ext{
		Source: cts.Source{Name: "elsewhere", ID: "native-outcome"}, Phase: cts.PhaseOutcome, AttemptID: "native-attempt",
	}}
	for _, want := range []cts.ImportResult{{Stored: 2}, {Existing: 2}} {
		got, err := tracker.Import(t.Context(), []*cts.Trace{begun, ended})
		if err != nil || got.Stored != want.Stored || got.Existing != want.Existing || len(got.Failed) != 0 {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	both := named(stored(t, store), "x")
	if len(both) != 2 || both[0].ID != cts.ImportedID(source) || both[1].Ext.AttemptID != both[0].ID {
		t.Errorf("%+v", both)
	}
	open, err := cts.Collect(cts.OpenAttempts(t.Context(), store, cts.Query{}))
	if err != nil || len(open) != 0 {
		t.Errorf("open attempts %v, %v", open, err)
	}
}
