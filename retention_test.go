package cts_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

func TestPositionGoneError(t *testing.T) {
	err := fmt.Errorf("reading on: %w", &cts.PositionGoneError{Position: 3, Oldest: 9})
	var gone *cts.PositionGoneError
	if !errors.Is(err, cts.ErrPositionGone) || !errors.As(err, &gone) || gone.Oldest != 9 {
		t.Errorf("%v is no ErrPositionGone that says where to go on", err)
	}
	if !strings.Contains(err.Error(), "behind position 3") || !strings.Contains(err.Error(), "from 9") {
		t.Errorf("the error is %q", err)
	}
}

func TestRetentionValidate(t *testing.T) {
	for _, good := range []cts.Retention{{}, {Before: 1}, {MaxBytes: 1, Force: true}} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for _, bad := range []cts.Retention{{Before: -1}, {MaxBytes: -1}} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v is valid", bad)
		}
	}
}

// lossy is a store on which three traces were recorded and a consumer has seen one.
func lossy(t *testing.T, opts *cts.TrackerOptions) (*flakyStore, *cts.Tracker) {
	t.Helper()
	store := newFlakyStore()
	tracker := open(t, store, opts)
	for range 3 {
		if _, err := tracker.Record(t.Context(), op("createOrder")); err != nil {
			t.Fatal(err)
		}
	}
	for name, pos := range map[string]cts.Position{"behind": 1, "ahead": 3} {
		if err := store.SetConsumer(t.Context(), name, pos); err != nil {
			t.Fatal(err)
		}
	}
	return store, tracker
}

// gaps returns the gaps that are declared behind pos.
func gaps(t *testing.T, log cts.Log, pos cts.Position) []cts.Gap {
	t.Helper()
	traces, err := cts.Collect(log.After(context.Background(), pos))
	if err != nil {
		t.Fatal(err)
	}
	var all []cts.Gap
	for _, tr := range named(traces, cts.TraceTracesLost) {
		all = append(all, tr.Ext.Gap)
	}
	return all
}

func TestRetainKeepsWhatConsumersNeed(t *testing.T) {
	store, tracker := lossy(t, nil)
	done, err := tracker.Retain(t.Context(), cts.Retention{MaxBytes: 1})
	if err != nil || done.Traces != 1 || done.HeldBy != "behind" || done.Oldest != 2 || done.Lost != nil {
		t.Errorf("Retain: %+v, %v", done, err)
	}
	if all := gaps(t, store, 1); len(all) != 0 {
		t.Errorf("a gap is declared although nothing is lost: %+v", all)
	}
}

func TestRetainByForceDeclaresTheGap(t *testing.T) {
	store, tracker := lossy(t, nil)
	done, err := tracker.Retain(t.Context(), cts.Retention{MaxBytes: 1, Force: true})
	if err != nil || done.Traces != 4 || done.Oldest != 5 {
		t.Fatalf("Retain: %+v, %v", done, err)
	}
	want := []cts.Loss{{Consumer: "ahead", First: 4, Last: 4, Traces: 1}, {Consumer: "behind", First: 2, Last: 4, Traces: 3}}
	if d := gocmp.Diff(want, done.Lost); d != "" {
		t.Errorf("lost: %s", d)
	}
	all := gaps(t, store, 4)
	if len(all) != 1 || all[0].Count != 3 || !all[0].Exact || all[0].Reason != "retention" || all[0].From == 0 || all[0].From != all[0].To {
		t.Errorf("declared: %+v, want one gap of three traces", all)
	}
	if st := tracker.Status(); st.Lost != 0 || st.Declared != 0 || st.Offered != st.Stored {
		t.Errorf("what was stored counts as lost: %+v", st)
	}
	if done, err := tracker.Retain(t.Context(), cts.Retention{}); err != nil || done.Traces != 0 || len(gaps(t, store, 4)) != 1 {
		t.Errorf("Retain of nothing: %+v, %v", done, err)
	}
}

// A gap that can't be declared at once is declared by the next Retain, or by Close,
// once.
func TestRetainDeclaresTheGapLater(t *testing.T) {
	for name, c := range map[string]struct {
		before, after error // of the append
		later         func(*cts.Tracker) error
	}{
		"the next Retain":          {errBroken, nil, func(tr *cts.Tracker) error { _, err := tr.Retain(t.Context(), cts.Retention{}); return err }},
		"Close":                    {errBroken, nil, func(tr *cts.Tracker) error { return tr.Close(t.Context()) }},
		"an end that was not seen": {nil, errUnseen, func(tr *cts.Tracker) error { return tr.Close(t.Context()) }},
	} {
		store, tracker := lossy(t, nil)
		var before, after func([]cts.Entry) error
		if c.before != nil {
			before = always(c.before)
		} else {
			after = always(c.after)
		}
		store.set(before, after)
		done, err := tracker.Retain(t.Context(), cts.Retention{MaxBytes: 1, Force: true})
		if done.Traces != 4 || err == nil || !errors.Is(err, errors.Join(c.before, c.after)) && !errors.Is(err, c.before) && !errors.Is(err, c.after) {
			t.Errorf("%s: Retain: %+v, %v", name, done, err)
		}
		if tracker.Status().LastError == nil {
			t.Errorf("%s: the status knows nothing of it", name)
		}
		store.set(nil, nil)
		if err := c.later(tracker); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if all := gaps(t, store, 4); len(all) != 1 || all[0].Count != 3 {
			t.Errorf("%s: declared: %+v, want one gap of three traces", name, all)
		}
	}
}

func TestRetainNeedsTheAbility(t *testing.T) {
	tracker := open(t, struct{ cts.Appender }{memstore.New(nil)}, nil)
	if _, err := tracker.Retain(t.Context(), cts.Retention{}); !errors.Is(err, cts.ErrNotSupported) {
		t.Errorf("Retain in a store that drops nothing: %v", err)
	}
	_, tracker = lossy(t, nil)
	if _, err := tracker.Retain(t.Context(), cts.Retention{Before: -1}); err == nil {
		t.Error("Retain before 1970")
	}
	if err := tracker.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := tracker.Retain(t.Context(), cts.Retention{}); !errors.Is(err, cts.ErrClosed) {
		t.Errorf("Retain of a closed tracker: %v", err)
	}
}

// An Open whose former boot began before what is retained looks at the rest.
func TestOpenBehindRetention(t *testing.T) {
	store := memstore.New(nil)
	opts := &cts.TrackerOptions{WriterID: "w"}
	killed := open(t, store, opts) // never closed before the next one
	if _, err := killed.Record(t.Context(), op("createOrder")); err != nil {
		t.Fatal(err)
	}
	if _, err := killed.Begin(t.Context(), op("deleteOrder")); err != nil {
		t.Fatal(err)
	}
	all := stored(t, store)
	size := 0
	for _, tr := range all[2:] {
		size += len(tr.AppendJSON(nil))
	}
	if done, err := store.Retain(t.Context(), cts.Retention{MaxBytes: int64(size)}); err != nil || done.Oldest != 3 {
		t.Fatalf("Retain: %+v, %v", done, err)
	}
	next := open(t, store, opts)
	if r := next.Status().Recovery; r.UnknownOutcomes != 1 || r.Damaged != 1 {
		t.Errorf("the attempt that is retained was not found: %+v", r)
	}
}

func ExampleTracker_Retain() {
	ctx := context.Background()
	store := memstore.New(nil)
	tracker, err := cts.Open(ctx, store, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	done, err := tracker.Retain(ctx, cts.Retention{MaxBytes: 1 << 30})
	fmt.Println(done.Traces, err)
	// Output: 0 <nil>
}
