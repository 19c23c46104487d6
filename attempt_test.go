package cts_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// openIn returns the attempts without an outcome.
func openIn(t *testing.T, store cts.Reader) []*cts.Trace {
	t.Helper()
	traces, err := cts.Collect(cts.OpenAttempts(context.Background(), store, cts.Query{}))
	if err != nil {
		t.Fatal(err)
	}
	return traces
}

func begin(t *testing.T, tracker *cts.Tracker, tr *cts.Trace) *cts.Attempt {
	t.Helper()
	a, err := tracker.Begin(context.Background(), tr)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestBeginIsDurableInEveryMode(t *testing.T) {
	for _, delivery := range []cts.Delivery{cts.Durable, cts.Queued} {
		store := memstore.New(nil)
		tracker := open(t, store, &cts.TrackerOptions{Delivery: delivery})
		a := begin(t, tracker, op("delete"))
		at := named(stored(t, store), "delete")
		if len(at) != 1 || at[0].ID != a.ID() || at[0].Ext.Phase != cts.PhaseAttempt || at[0].Ext.Outcome != cts.OutcomePending {
			t.Fatalf("the attempt is not stored when Begin returns: %+v", at)
		}
		if open := openIn(t, store); len(open) != 1 || open[0].ID != a.ID() {
			t.Errorf("open attempts: %v", open)
		}
		found, err := cts.Collect(store.Query(t.Context(), cts.Query{}.Where(cts.Eq(cts.FieldTraceName, "delete"))))
		if err != nil || len(found) != 0 {
			t.Errorf("a query shows the attempt: %v, %v", found, err)
		}
		receipt, err := a.End(t.Context(), &cts.Trace{Code: "204"})
		if err != nil || receipt.Durable != (delivery == cts.Durable) {
			t.Errorf("End: %+v, %v", receipt, err)
		}
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		found, err = cts.Collect(store.Query(t.Context(), cts.Query{}.Where(cts.Eq(cts.FieldTraceName, "delete"))))
		if err != nil || len(found) != 1 || found[0].ID != receipt.ID || found[0].Ext.AttemptID != a.ID() || found[0].Ext.Phase != cts.PhaseOutcome {
			t.Errorf("outcome: %v, %v", found, err)
		}
		if open := openIn(t, store); len(open) != 0 {
			t.Errorf("an ended attempt is open: %v", open)
		}
		if st := tracker.Status(); st.Attempts != 1 || st.OpenAttempts != 0 || st.Offered != 1 || st.Stored != 1 {
			t.Errorf("status %+v", st)
		}
	}
}

// What End leaves empty is what Begin said, all of it.
func TestOutcomeInherits(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, nil)
	ctx := cts.WithActor(t.Context(), cts.Actor{User: cts.User{Name: "alice"}, Impersonator: cts.Principal{ID: "i"}, Role: "admin", SessionID: "s"})
	a, err := tracker.Begin(ctx, &cts.Trace{
		Name: "n", Type: cts.TypeConsole, EventType: cts.EventData, ServiceType: "S", ResourceType: "rt", ResourceName: "rn", ResourceID: "ri",
		ResourceURL: "/u", ResourceAccountID: "ra", SourceIP: "192.0.2.1", UserAgent: "ua", Request: `{"password":"x1y2"}`, APIVersion: "v1",
		RequestID: "r", OperationID: "o", LocationInfo: "l", Endpoint: "e", ReadOnly: cts.False, ProjectID: "p", DomainID: "d",
		EnterpriseProjectID: "ep", ContentLength: 7, Unknown: `"more":1`,
		Ext: cts.Ext{
			W3CTraceID: "t", W3CSpanID: "s", ClientID: "c", PeerIP: "pi", ForwardedFor: []string{"f"},
			Authorization: []cts.Authorization{{Permission: "p", Granted: true}}, Resources: []cts.Resource{{ID: "r"}},
			Changes: []cts.Change{{Field: "f"}}, Labels: map[string]string{"k": "v"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.End(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	both := named(stored(t, store), "n")
	want, got := both[0], both[1]
	if len(want.Ext.Redacted) != 1 || strings.Contains(want.Request, "x1y2") {
		t.Errorf("the attempt is not redacted: %+v", want)
	}
	want.ID, want.RecordTime = got.ID, got.RecordTime
	want.Ext.AttemptID, want.Ext.Phase, want.Ext.Outcome = a.ID(), cts.PhaseOutcome, cts.OutcomeSuccess
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
}

func TestOutcomeSaysMore(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, nil)
	a := begin(t, tracker, &cts.Trace{Name: "n", Time: 2_000_000_000_000, ResourceID: "before", Ext: cts.Ext{Labels: map[string]string{"a": "1"}}})
	given := &cts.Trace{
		Time: 1_900_000_000_000, ResourceID: "after", Response: "done", Message: "m", TotalTime: 5, User: cts.User{Name: "bob"},
		Ext: cts.Ext{Labels: map[string]string{"b": "2"}, Phase: cts.PhaseAttempt, AttemptID: "forged", Outcome: cts.OutcomePending},
	}
	before := given.Clone()
	if _, err := a.End(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, given); diff != "" {
		t.Errorf("End changed the caller's trace:\n%s", diff)
	}
	got := named(stored(t, store), "n")[1]
	if got.Time != 2_000_000_000_000 {
		t.Errorf("the outcome is earlier than its attempt: %d", got.Time)
	}
	if got.ResourceID != "after" || got.Response != "done" || got.Message != "m" || got.TotalTime != 5 || got.User.Name != "bob" ||
		got.Ext.Labels["b"] != "2" || len(got.Ext.Labels) != 1 || got.Ext.AttemptID != a.ID() || got.Ext.Outcome != cts.OutcomeSuccess {
		t.Errorf("outcome %+v", got)
	}
}

func TestOutcomeOfCode(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, nil)
	for code, want := range map[string]cts.Outcome{
		"": cts.OutcomeSuccess, "200": cts.OutcomeSuccess, "302": cts.OutcomeSuccess, "OK": cts.OutcomeSuccess,
		"400": cts.OutcomeFailure, "401": cts.OutcomeDenied, "403": cts.OutcomeDenied, "404": cts.OutcomeFailure, "500": cts.OutcomeFailure,
	} {
		if _, err := begin(t, tracker, op("code"+code)).End(t.Context(), &cts.Trace{Code: code}); err != nil {
			t.Fatal(err)
		}
		got := named(stored(t, store), "code"+code)[1]
		rating := cts.RatingNormal
		if want != cts.OutcomeSuccess {
			rating = cts.RatingWarning
		}
		if got.Ext.Outcome != want || got.Code != code || got.Rating != rating {
			t.Errorf("code %q: outcome %s, code %q, rating %s", code, got.Ext.Outcome, got.Code, got.Rating)
		}
	}
	if _, err := begin(t, tracker, op("own")).End(t.Context(), &cts.Trace{Code: "200", Ext: cts.Ext{Outcome: cts.OutcomeDenied}}); err != nil {
		t.Fatal(err)
	}
	if got := named(stored(t, store), "own")[1].Ext.Outcome; got != cts.OutcomeDenied {
		t.Errorf("the caller's own outcome became %s", got)
	}
}

func TestEndTwice(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, nil)
	a := begin(t, tracker, op("x"))
	var ended, refused atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			switch _, err := a.End(context.Background(), nil); {
			case err == nil:
				ended.Add(1)
			case errors.Is(err, cts.ErrEnded):
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if ended.Load() != 1 || refused.Load() != 15 {
		t.Errorf("%d ended, %d were refused", ended.Load(), refused.Load())
	}
	account(t, store, 1)
}

// An outcome that is not valid is an error, and how the operation ended is recorded all
// the same.
func TestInvalidOutcome(t *testing.T) {
	for name, tr := range map[string]*cts.Trace{
		"time":     {Code: "409", Time: cts.MaxTime + 1},
		"unknown":  {Code: "409", Unknown: `"a":`},
		"rejected": {Code: "409", Request: strings.Repeat("r", 2<<20)},
	} {
		store := memstore.New(nil)
		tracker := open(t, store, &cts.TrackerOptions{Limits: cts.Limits{Reject: true}})
		a := begin(t, tracker, op("x"))
		receipt, err := a.End(t.Context(), tr)
		if !errors.Is(err, cts.ErrInvalidTrace) || !receipt.Durable {
			t.Errorf("%s: %+v, %v", name, receipt, err)
		}
		both := named(stored(t, store), "x")
		if len(both) != 2 || both[1].Ext.Outcome != cts.OutcomeFailure || both[1].Code != "409" || both[1].Ext.AttemptID != a.ID() || both[1].Message == "" {
			t.Errorf("%s: outcome %+v", name, both)
		}
		if st := tracker.Status(); st.OpenAttempts != 0 || st.Offered != 1 || st.Stored != 1 || st.Rejected != 1 {
			t.Errorf("%s: %+v", name, st)
		}
	}
}

// An outcome that the store refuses keeps its slot until the store has it.
func TestOutcomeIsKept(t *testing.T) {
	for _, delivery := range []cts.Delivery{cts.Durable, cts.Queued} {
		for _, fault := range []error{errBroken, cts.ErrStoreFull, errUnseen} {
			synctest.Test(t, func(t *testing.T) {
				store := newFlakyStore()
				tracker := open(t, store, &cts.TrackerOptions{Delivery: delivery, MaxAttempts: 2})
				a, b := begin(t, tracker, op("a")), begin(t, tracker, op("b"))
				store.set(always(fault), nil)
				receipt, err := a.End(t.Context(), &cts.Trace{Code: "200"})
				if (err == nil) != (delivery == cts.Queued) || err != nil && !errors.Is(err, fault) || receipt.ID == "" || receipt.Durable {
					t.Errorf("End: %+v, %v", receipt, err)
				}
				synctest.Wait()
				if st := tracker.Status(); st.Queued != 1 || st.OpenAttempts != 2 || st.Lost != 0 {
					t.Errorf("status %+v", st)
				}
				if _, err := tracker.Begin(t.Context(), op("c")); !errors.Is(err, cts.ErrBackpressure) {
					t.Errorf("a third attempt: %v, want ErrBackpressure", err)
				}
				if _, err := a.End(t.Context(), nil); !errors.Is(err, cts.ErrEnded) {
					t.Errorf("second End: %v", err)
				}
				store.set(nil, nil)
				if err := tracker.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if st := tracker.Status(); st.Queued != 0 || st.OpenAttempts != 1 || st.Stored != 1 {
					t.Errorf("after the recovery: %+v", st)
				}
				if open := openIn(t, store); len(open) != 1 || open[0].ID != b.ID() {
					t.Errorf("open attempts: %v", open)
				}
				begin(t, tracker, op("c"))
			})
		}
	}
}

// The reserved slot is there also when the queue is full: of a large outcome all but
// its bodies is kept, of a small one all.
func TestOutcomeIsKeptBesideAFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 1 << 20
		store := newHeldStore()
		tracker := open(t, store, &cts.TrackerOptions{Delivery: cts.Queued, QueueBytes: limit, BlockTimeout: time.Second})
		large, small := begin(t, tracker, op("large")), begin(t, tracker, op("small"))
		store.hold()
		n := fillQueue(t, tracker, limit)
		start := time.Now()
		if _, err := large.End(t.Context(), &cts.Trace{Response: strings.Repeat("r", 128<<10), Code: "500"}); err != nil {
			t.Error(err)
		}
		if _, err := small.End(t.Context(), &cts.Trace{Response: "small"}); err != nil {
			t.Error(err)
		}
		if time.Since(start) != 0 {
			t.Errorf("End waited %v for the queue", time.Since(start))
		}
		if st := tracker.Status(); st.QueuedBytes > limit+16<<10 {
			t.Errorf("%d bytes are queued", st.QueuedBytes)
		}
		store.letGo()
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		all := stored(t, store)
		got := named(all, "large")[1]
		if got.Response != "" || got.Ext.Outcome != cts.OutcomeFailure || got.Ext.AttemptID != large.ID() || len(got.Ext.Cut) != 1 ||
			got.Ext.Cut[0].Field != "response" || got.Ext.Cut[0].Length != 128<<10 {
			t.Errorf("large outcome %+v", got)
		}
		if got := named(all, "small")[1]; got.Response != "small" {
			t.Errorf("small outcome %+v", got)
		}
		account(t, store, n+2)
	})
}

// A Begin that fails is no loss, gives its slot back, and leaves nothing open.
func TestFailedBegin(t *testing.T) {
	store := newFlakyStore()
	tracker := open(t, store, &cts.TrackerOptions{MaxAttempts: 1, WriterID: "w"})
	for _, fault := range []error{errBroken, cts.ErrStoreFull, errUnseen} {
		store.set(always(fault), nil)
		if _, err := tracker.Begin(t.Context(), op("x")); !errors.Is(err, fault) {
			t.Errorf("Begin: %v, want %v", err, fault)
		}
	}
	if _, err := tracker.Begin(t.Context(), &cts.Trace{}); !errors.Is(err, cts.ErrInvalidTrace) {
		t.Errorf("Begin of an invalid trace: %v", err)
	}
	if _, err := tracker.Begin(t.Context(), nil); !errors.Is(err, cts.ErrInvalidTrace) {
		t.Errorf("Begin of no trace: %v", err)
	}
	if _, err := tracker.Record(t.Context(), nil); !errors.Is(err, cts.ErrInvalidTrace) {
		t.Errorf("Record of no trace: %v", err)
	}
	store.set(nil, nil)
	if st := tracker.Status(); st.OpenAttempts != 0 || st.Attempts != 0 || st.Lost != 0 || st.Offered != 0 {
		t.Errorf("status %+v", st)
	}
	begin(t, tracker, op("y"))
}

func TestMaxAttempts(t *testing.T) {
	store := memstore.New(nil)
	tracker := open(t, store, &cts.TrackerOptions{MaxAttempts: 8, Delivery: cts.Queued})
	for round := range 3 {
		var attempts []*cts.Attempt
		for i := range 8 {
			attempts = append(attempts, begin(t, tracker, op(fmt.Sprint("op", i))))
		}
		if _, err := tracker.Begin(t.Context(), op("one too many")); !errors.Is(err, cts.ErrBackpressure) {
			t.Errorf("round %d: %v", round, err)
		}
		if st := tracker.Status(); st.OpenAttempts != 8 {
			t.Errorf("%d open attempts", st.OpenAttempts)
		}
		for _, a := range attempts {
			if _, err := a.End(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	account(t, store, 24)
}
