package cts_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// flakyStore is a memstore whose appends can be told to fail before or after they
// have taken effect.
type flakyStore struct {
	*memstore.Store

	mu     sync.Mutex
	before func(batch []cts.Entry) error // fails the append without effect
	after  func(batch []cts.Entry) error // fails it although it took effect
	calls  int
}

func newFlakyStore() *flakyStore { return &flakyStore{Store: memstore.New(nil)} }

// set replaces the faults; nil is none.
func (s *flakyStore) set(before, after func([]cts.Entry) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.after = before, after
}

func (s *flakyStore) Append(ctx context.Context, batch []cts.Entry) (cts.Appended, error) {
	s.mu.Lock()
	before, after := s.before, s.after
	s.calls++
	s.mu.Unlock()
	if before != nil {
		if err := before(batch); err != nil {
			return cts.Appended{}, err
		}
	}
	done, err := s.Store.Append(ctx, batch)
	if err == nil && after != nil {
		if err := after(batch); err != nil {
			return cts.Appended{}, err
		}
	}
	return done, err
}

var errBroken = errors.New("the disk is on fire")

func always(err error) func([]cts.Entry) error { return func([]cts.Entry) error { return err } }

// unknown is the error of an append whose end was not seen.
var errUnseen = fmt.Errorf("%w: cable cut", cts.ErrOutcomeUnknown)

// open opens a tracker that is closed with the test.
func open(t *testing.T, store cts.Appender, opts *cts.TrackerOptions) *cts.Tracker {
	t.Helper()
	tracker, err := cts.Open(t.Context(), store, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		tracker.Close(ctx) //nolint:errcheck // tests that care close it themselves
	})
	return tracker
}

// op is an operation worth a trace.
func op(name string) *cts.Trace {
	return &cts.Trace{Name: name, ServiceType: "SHOP", ResourceType: "order", User: cts.User{Name: "alice"}, SourceIP: "192.0.2.7", Code: "200"}
}

// stored returns all traces of a store in order of position.
func stored(t *testing.T, log cts.Log) []*cts.Trace {
	t.Helper()
	traces, err := cts.Collect(log.After(context.Background(), 0))
	if err != nil {
		t.Fatal(err)
	}
	return traces
}

// named returns the traces with the given name.
func named(traces []*cts.Trace, name string) []*cts.Trace {
	var found []*cts.Trace
	for _, tr := range traces {
		if tr.Name == name {
			found = append(found, tr)
		}
	}
	return found
}

// account checks the promise of the tracker: what was offered is stored or declared
// lost, no trace twice. It returns the number of stored traces of the application.
func account(t *testing.T, log cts.Log, offered int) int {
	t.Helper()
	seen := map[string]bool{}
	found, lost := 0, int64(0)
	for _, tr := range stored(t, log) {
		if seen[tr.ID] {
			t.Fatalf("trace %s is stored twice", tr.ID)
		}
		seen[tr.ID] = true
		switch {
		case tr.Name == cts.TraceTracesLost:
			if !tr.Ext.Gap.Exact {
				t.Errorf("gap is not exact: %+v", tr.Ext.Gap)
			}
			lost += tr.Ext.Gap.Count
		case tr.ServiceType != "CTS" && tr.Ext.Phase != cts.PhaseAttempt:
			found++
		}
	}
	if found+int(lost) != offered {
		t.Errorf("offered %d, stored %d + declared lost %d", offered, found, lost)
	}
	return found
}
