package cts_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

func TestRecordStampsAndStores(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_123)
	store := memstore.New(nil)
	tracker := open(t, store, &cts.TrackerOptions{
		Clock: func() time.Time { return now }, ProjectID: "p1", DomainID: "d1", PolicyHash: "ph",
	})
	given := op("deleteOrder")
	given.ID = "mine"
	before := given.Clone()
	receipt, err := tracker.Record(t.Context(), given)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, given); diff != "" {
		t.Errorf("Record changed the caller's trace:\n%s", diff)
	}
	if !receipt.Durable || receipt.Position != 2 || len(receipt.ID) != 36 || receipt.ID[14] != '7' {
		t.Errorf("receipt %+v: want durable, position 2 behind the start trace, a UUIDv7", receipt)
	}
	want := given.Clone()
	want.ID, want.Time, want.RecordTime = receipt.ID, now.UnixMilli(), now.UnixMilli()
	want.Type, want.Rating, want.EventType = cts.TypeAPI, cts.RatingNormal, cts.EventSystem
	want.TrackerName, want.ProjectID, want.DomainID = "system", "p1", "d1"
	want.Ext.Writer, want.Ext.PolicyHash = tracker.Status().Writer, "ph"
	if diff := cmp.Diff(want, named(stored(t, store), "deleteOrder")[0]); diff != "" {
		t.Errorf("stored trace (-want +got):\n%s", diff)
	}
}

func TestContextFillsWhatTheTraceLeavesOpen(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, nil)
	ctx := cts.WithActor(t.Context(), cts.Actor{
		User: cts.User{ID: "u1", Name: "bob"}, Impersonator: cts.Principal{Name: "root"}, Role: "admin", SessionID: "s1",
	})
	ctx = cts.WithOrigin(ctx, cts.Origin{SourceIP: "198.51.100.1", PeerIP: "10.0.0.1", ForwardedFor: []string{"198.51.100.1"}, UserAgent: "curl"})
	ctx = cts.WithCorrelation(ctx, cts.Correlation{RequestID: "r1", ClientID: "c1", W3CTraceID: "t1", W3CSpanID: "sp1"})

	for _, tr := range []*cts.Trace{
		{Name: "empty"},
		{Name: "full", User: cts.User{Name: "eve"}, SourceIP: "203.0.113.9", RequestID: "r2"},
		{Name: "system", Type: cts.TypeSystem},
	} {
		if _, err := tracker.Record(ctx, tr); err != nil {
			t.Fatal(err)
		}
	}
	all := stored(t, store)
	empty, full, system := named(all, "empty")[0], named(all, "full")[0], named(all, "system")[0]
	if empty.User.Name != "bob" || empty.SourceIP != "198.51.100.1" || empty.UserAgent != "curl" || empty.RequestID != "r1" ||
		empty.Ext.Impersonator.Name != "root" || empty.Ext.Role != "admin" || empty.Ext.SessionID != "s1" || empty.Ext.PeerIP != "10.0.0.1" ||
		!reflect.DeepEqual(empty.Ext.ForwardedFor, []string{"198.51.100.1"}) || empty.Ext.ClientID != "c1" ||
		empty.Ext.W3CTraceID != "t1" || empty.Ext.W3CSpanID != "sp1" {
		t.Errorf("not all was filled in: %+v", empty)
	}
	if full.User.Name != "eve" || full.SourceIP != "203.0.113.9" || full.RequestID != "r2" {
		t.Errorf("what the trace says was overwritten: %+v", full)
	}
	if !system.User.IsZero() || system.SourceIP != "" {
		t.Errorf("a system action got a user: %+v", system.User)
	}
}

// A caller that gives up does not cancel the record of what it did.
func TestCancelledContextStillRecords(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tracker.Record(ctx, op("late")); err != nil {
		t.Fatal(err)
	}
	account(t, store, 1)
}

func TestStartAndStopAreTraces(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, &cts.TrackerOptions{Name: "orders"})
	if err := tracker.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tracker.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
	all := stored(t, store)
	if len(all) != 2 || all[0].Name != cts.TraceTrackerStarted || all[1].Name != cts.TraceTrackerStopped {
		t.Fatalf("want a start and a stop, got %d traces", len(all))
	}
	for _, tr := range all {
		if tr.ServiceType != "CTS" || tr.ResourceType != "tracker" || tr.ResourceName != "orders" || tr.Type != cts.TypeSystem || !tr.User.IsZero() {
			t.Errorf("own trace: %+v", tr)
		}
	}
	for name, call := range map[string]func() error{
		"Record": func() error { _, err := tracker.Record(t.Context(), op("x")); return err },
		"Begin":  func() error { _, err := tracker.Begin(t.Context(), op("x")); return err },
		"Import": func() error { _, err := tracker.Import(t.Context(), nil); return err },
		"Flush":  func() error { return tracker.Flush(t.Context()) },
	} {
		if err := call(); !errors.Is(err, cts.ErrClosed) {
			t.Errorf("%s after Close: %v, want ErrClosed", name, err)
		}
	}
}

func TestOptionsReportAllFaultsTogether(t *testing.T) {
	_, err := cts.Open(t.Context(), memstore.New(nil), &cts.TrackerOptions{
		Name: "not a name", Delivery: 9, WhenFull: 9, QueueBytes: 1, MaxAttempts: -1, Limits: cts.Limits{Body: -1},
		WriterID: strings.Repeat("w", 300),
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"Name", "Delivery", "WhenFull", "QueueBytes", "MaxAttempts", "Limits", "WriterID"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s is not mentioned in: %v", part, err)
		}
	}
	if _, err := cts.Open(t.Context(), nil, nil); err == nil {
		t.Error("Open without a store succeeded")
	}
}

func TestRejectedTracesAreNotLost(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, nil)
	for name, tr := range map[string]*cts.Trace{
		"no name":        {},
		"far time":       {Name: "x", Time: 1},
		"broken members": {Name: "x", Unknown: `"a":`},
		"known member":   {Name: "x", Unknown: `"trace_id":"1"`},
		"not canonical":  {Name: "x", Unknown: `"a": 1`},
		"foreign":        {Name: "x", Ext: cts.Ext{Foreign: "{"}},
	} {
		if _, err := tracker.Record(t.Context(), tr); !errors.Is(err, cts.ErrInvalidTrace) {
			t.Errorf("%s: %v, want ErrInvalidTrace", name, err)
		}
	}
	if st := tracker.Status(); st.Rejected != 6 || st.Offered != 0 || st.Lost != 0 {
		t.Errorf("status %+v", st)
	}
}

// dropOdd is a policy that records every second trace.
type dropOdd struct {
	mu sync.Mutex
	n  int
}

func (p *dropOdd) Process(_ context.Context, t *cts.Trace) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	t.Message = "seen"
	return p.n%2 == 0
}

func TestPolicyDecidesAndAdds(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, &cts.TrackerOptions{Policy: &dropOdd{}})
	skipped := 0
	for i := range 10 {
		receipt, err := tracker.Record(t.Context(), op(fmt.Sprint("op", i)))
		if err != nil {
			t.Fatal(err)
		}
		if receipt.Skipped {
			skipped++
		}
	}
	if skipped != 5 || tracker.Status().Skipped != 5 {
		t.Errorf("skipped %d, status %d, want 5", skipped, tracker.Status().Skipped)
	}
	account(t, store, 5)
	if tr := named(stored(t, store), "op1")[0]; tr.Message != "seen" {
		t.Errorf("the policy's change was not kept: %q", tr.Message)
	}
}

// An attempt that the policy does not want has an End that records nothing.
func TestPolicySkipsAttempts(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, &cts.TrackerOptions{Policy: &dropOdd{}})
	attempt, err := tracker.Begin(t.Context(), op("x"))
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := attempt.End(t.Context(), nil)
	if err != nil || !receipt.Skipped || attempt.ID() != "" {
		t.Errorf("End of a skipped attempt: %+v, %v", receipt, err)
	}
	if n := account(t, store, 0); n != 0 {
		t.Errorf("%d traces stored", n)
	}
}

// The store gets whole batches in memory that is used again: it must not see one
// trace in place of another.
func TestConcurrentRecordsKeepApart(t *testing.T) {
	for _, delivery := range []cts.Delivery{cts.Durable, cts.Queued} {
		store := memstore.New(nil)
		tracker := open(t, store, &cts.TrackerOptions{Delivery: delivery})
		var wg sync.WaitGroup
		for g := range 16 {
			wg.Go(func() {
				for i := range 200 {
					tr := op("op")
					tr.ResourceID = fmt.Sprintf("%d/%d", g, i)
					tr.Request = strings.Repeat(tr.ResourceID+" ", 1+i%50)
					if _, err := tracker.Record(context.Background(), tr); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := account(t, store, 3200); n != 3200 {
			t.Errorf("%d traces stored", n)
		}
		seen := map[string]bool{}
		for _, tr := range named(stored(t, store), "op") {
			if seen[tr.ResourceID] || !strings.HasPrefix(tr.Request, tr.ResourceID+" ") || strings.Count(tr.Request, tr.ResourceID) < 1 {
				t.Fatalf("trace of %s is mixed up: %.60q", tr.ResourceID, tr.Request)
			}
			seen[tr.ResourceID] = true
		}
	}
}

// What only the Tracker itself may claim can't be given to Record: a forged attempt
// would be hidden from queries, a forged stop would hide a kill.
func TestOwnTracesCannotBeForged(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, nil)
	forged := op("deleteOrder")
	forged.Ext.Phase, forged.Ext.AttemptID, forged.Ext.Gap = cts.PhaseAttempt, "a", cts.Gap{Count: 7}
	if _, err := tracker.Record(t.Context(), forged); err != nil {
		t.Fatal(err)
	}
	if e := named(stored(t, store), "deleteOrder")[0].Ext; e.Phase != "" || e.AttemptID != "" || !e.Gap.IsZero() {
		t.Errorf("stored as %+v", e)
	}
	for _, name := range []string{cts.TraceTrackerStarted, cts.TraceTrackerStopped, cts.TraceTracesLost} {
		var field *cts.FieldError
		_, err := tracker.Record(t.Context(), &cts.Trace{Name: name, ServiceType: "CTS", ResourceType: "tracker"})
		if !errors.As(err, &field) || field.Field != "trace_name" {
			t.Errorf("%s: %v, want a FieldError", name, err)
		}
		if _, err := tracker.Begin(t.Context(), &cts.Trace{Name: name, ServiceType: "CTS"}); !errors.As(err, &field) {
			t.Errorf("attempt %s: %v, want a FieldError", name, err)
		}
	}
	if _, err := tracker.Record(t.Context(), &cts.Trace{Name: cts.TraceTrackerStarted, ServiceType: "SHOP"}); err != nil {
		t.Errorf("the name in a service of one's own: %v", err)
	}
}
