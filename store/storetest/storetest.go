package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/cloudtraceservice/cts"
)

// Harness is a store under test and what the suite must know about it.
type Harness struct {
	// Store is the store, new and empty. The suite closes it. Required.
	Store cts.Store

	// Reopen closes the store that the harness gave last, unless it is closed,
	// and opens what it kept as a new value, which the suite closes. What fails
	// is reported on the test that it is given. Default: nil, the store keeps
	// nothing beyond its Close, and cases that need that are skipped.
	Reopen func(t testing.TB) cts.Store

	// Sync makes everything whose Append returned as durable as After asks.
	// Default: nil, Append does so itself.
	Sync func(t testing.TB)

	// Seal makes everything appended so far droppable: what a retention asks for
	// goes exactly, up to the end of a batch before a call of Seal. It is called
	// between batches wherever a store that keeps them in parts of different form
	// may answer differently. Default: nil, every trace can be dropped by itself.
	Seal func(t testing.TB)

	// Sparse says that positions may leave holes. Default: false, they are 1, 2,
	// 3 and so on.
	Sparse bool
}

// Factory makes a new store for a case. It may be called more than once in a test;
// the stores have nothing in common. Scratch folders and the like belong to t.
type Factory func(t testing.TB) Harness

// Run runs the whole suite: all cases, and [Differential] with one seed that is
// always the same and one that is new in each run. It takes about a second for a
// store in memory; testing.Short makes it less thorough and faster.
func Run(t *testing.T, newStore Factory) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) { c.check(t, newStore) })
	}
	ops := 150
	if testing.Short() {
		ops = 40
	}
	t.Run("differential-fixed-seed", func(t *testing.T) { Differential(t, newStore, 1, ops) })
	t.Run("differential-fresh-seed", func(t *testing.T) { Differential(t, newStore, rand.Uint64(), ops) })
}

// conformance is one case of the suite.
type conformance struct {
	name string // of the subtest
	rule string // the sentence of the contract, made by withSource
	why  string // what goes wrong for somebody when it is broken
	run  func(s *subject)
}

// cases returns the suite.
func cases() []conformance {
	var all []conformance
	for _, some := range [][]conformance{
		appendCases, invalidCases, identityCases, concurrentCases, queryCases, conditionCases,
		cursorCases, pageCases, aggregateCases, logCases, followCases, retentionCases, statisticsCases, stateCases, lifecycleCases,
	} {
		all = append(all, some...)
	}
	return all
}

// check runs the case on a new store.
func (c conformance) check(t testing.TB, newStore Factory) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the rule: %s\nthe reason: %s", c.rule, c.why)
		}
	})
	c.run(newSubject(t, newStore))
}

// withSource appends the place of its caller to a rule, so that whoever breaks it
// finds the case.
func withSource(rule string) string {
	_, file, line, ok := runtime.Caller(1)
	if !ok {
		return rule
	}
	return fmt.Sprintf("%s (%s:%d)", rule, file, line)
}

// verify checks a store that has the ability, unless it is closed.
func verify(t testing.TB, store cts.Store) {
	t.Helper()
	v, ok := store.(cts.Verifier)
	if !ok {
		return
	}
	report, err := v.Verify(context.Background())
	if err != nil {
		if !errors.Is(err, cts.ErrClosed) {
			t.Errorf("Verify at the end of the case: %v", err)
		}
		return
	}
	for _, d := range report.Damaged {
		t.Errorf("Verify at the end of the case found damage: %v", d)
	}
}
