package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/memstore"
)

// Differential makes random calls on a new store and the same ones on a
// store/memstore, and fails t at the first answer that differs: batches with new,
// repeated, late, conflicting and invalid traces, queries with random conditions,
// ranges, orders, limits, skips and cursors, counts in random groups, the log from random positions, named states,
// and reopening where the store can be.
//
// The same seed and number of calls give the same calls in one release. The seed is
// part of every failure.
func Differential(t testing.TB, newStore Factory, seed uint64, calls int) {
	t.Helper()
	d := &differential{
		subject: newSubject(t, newStore), oracle: memstore.New(nil), seed: seed,
		rng: rand.New(rand.NewPCG(seed, 1)), generator: newGenerator(seed), states: map[string]generations{},
	}
	steps := []struct {
		weight int
		run    func() error
	}{
		{6, d.append}, {1, d.appendRefused}, {8, d.query}, {3, d.aggregate}, {4, d.pages}, {3, d.log}, {1, d.sealed}, {2, d.state}, {1, d.reopen},
	}
	var deck []func() error
	for _, s := range steps {
		for range s.weight {
			deck = append(deck, s.run)
		}
	}
	for n := range calls {
		if err := deck[d.rng.IntN(len(deck))](); err != nil {
			t.Fatalf("seed %d, call %d of %d: %v", seed, n+1, calls, err)
		}
	}
	if err := d.log(); err != nil {
		t.Fatalf("seed %d, after %d calls: %v", seed, calls, err)
	}
}

// differential is the state of one comparison.
type differential struct {
	*subject
	oracle    *memstore.Store
	seed      uint64
	rng       *rand.Rand
	generator *generator
	known     []*cts.Trace
	states    map[string]generations
}

// generations are what the two stores gave a state.
type generations struct{ subject, oracle uint64 }

// batch returns traces of which most are new.
func (d *differential) batch() []*cts.Trace {
	var traces []*cts.Trace
	for range 1 + d.rng.IntN(12) {
		switch {
		case len(d.known) > 0 && d.rng.IntN(8) == 0:
			traces = append(traces, stamped(d.old()))
		case len(traces) > 0 && d.rng.IntN(15) == 0:
			traces = append(traces, traces[d.rng.IntN(len(traces))])
		default:
			traces = append(traces, d.generator.next())
		}
	}
	return traces
}

func (d *differential) old() *cts.Trace { return d.known[d.rng.IntN(len(d.known))] }

func (d *differential) append() error {
	traces := d.batch()
	if err := d.both(traces); err != nil {
		return err
	}
	d.known = append(d.known, traces...)
	return nil
}

func (d *differential) appendRefused() error {
	traces := d.batch()
	spoiled := d.generator.next()
	switch d.rng.IntN(3) {
	case 0:
		spoiled.Time = 1
	case 1:
		spoiled.ID = ""
	default:
		if len(d.known) == 0 {
			return nil
		}
		spoiled = changed(d.old())
	}
	at := d.rng.IntN(len(traces) + 1)
	return d.both(slices.Insert(traces, at, spoiled))
}

// both appends a batch to both stores, in any form of entries.
func (d *differential) both(traces []*cts.Trace) error {
	batch := entries(traces...)
	for i := range batch {
		switch d.rng.IntN(3) {
		case 0:
			batch[i].Trace = nil
		case 1:
			batch[i].JSON = nil
		}
	}
	got, err := d.store.Append(background, batch)
	want, wantErr := d.oracle.Append(background, batch)
	if d.harness.Sparse { // positions differ; that they are in order shows in the log
		got.First, got.Last = want.First, want.Last
	}
	if got != want || verdict(err) != verdict(wantErr) {
		return fmt.Errorf("append of %d traces: got %+v, %s, want %+v, %s", len(batch), got, verdict(err), want, verdict(wantErr))
	}
	d.sync()
	return nil
}

// verdict says what an error of the contract means.
func verdict(err error) string {
	var conflict *cts.ConflictError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &conflict):
		return fmt.Sprintf("conflict of trace %d, id %q", conflict.Index, conflict.ID)
	}
	for _, known := range []error{
		cts.ErrInvalidTrace, cts.ErrTooLarge, cts.ErrStoreFull, cts.ErrBadQuery, cts.ErrBadCursor,
		cts.ErrStateConflict, cts.ErrClosed, cts.ErrNotSupported, context.Canceled,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return err.Error()
}

// compare runs an iterator of each store.
func (d *differential) compare(what string, got, want iter.Seq2[cts.Entry, error]) (gotAll, wantAll []stored, err error) {
	gotAll, gotErr := drain(got)
	wantAll, wantErr := drain(want)
	if text := difference(gotAll, wantAll); text != "" {
		return nil, nil, fmt.Errorf("%s: %s", what, text)
	}
	if verdict(gotErr) != verdict(wantErr) {
		return nil, nil, fmt.Errorf("%s: it ends with %s, want %s", what, verdict(gotErr), verdict(wantErr))
	}
	for i := range gotAll {
		if !d.harness.Sparse && gotAll[i].pos != wantAll[i].pos {
			return nil, nil, fmt.Errorf("%s: number %d is at position %d, want %d", what, i+1, gotAll[i].pos, wantAll[i].pos)
		}
	}
	return gotAll, wantAll, nil
}

func (d *differential) random() cts.Query {
	if len(d.known) == 0 {
		return cts.Query{}
	}
	return conditionGenerator{rng: d.rng, corpus: d.known}.query()
}

func (d *differential) query() error {
	q := d.random()
	if d.rng.IntN(20) == 0 {
		q.Limit = -1
	}
	got, want, err := d.compare(fmt.Sprintf("Query %+v", q), d.store.Query(background, q), d.oracle.Query(background, q))
	if err != nil || len(got) == 0 {
		return err
	}
	i := d.rng.IntN(len(got))
	_, _, err = d.compare(fmt.Sprintf("Query %+v, resumed behind number %d", q, i+1),
		d.store.Query(background, q.Resume(got[i].cursor)), d.oracle.Query(background, q.Resume(want[i].cursor)))
	return err
}

// pages turns some pages and appends in between.
func (d *differential) pages() error {
	got := d.random().Limited(1 + d.rng.IntN(9))
	want := got
	for page := range 5 {
		g, w, err := d.compare(fmt.Sprintf("page %d of %+v", page+1, got), d.store.Query(background, got), d.oracle.Query(background, want))
		if err != nil || len(g) < got.Limit {
			return err
		}
		got, want = got.Resume(g[len(g)-1].cursor), want.Resume(w[len(w)-1].cursor)
		if d.rng.IntN(2) == 0 {
			if err := d.append(); err != nil {
				return err
			}
		}
	}
	return nil
}

// aggregate counts by the store and by a loop over the traces of the oracle.
func (d *differential) aggregate() error {
	q := d.random()
	log, err := drain(d.oracle.After(background, 0))
	if err != nil {
		return err
	}
	a := conditionGenerator{rng: d.rng, corpus: d.known}.aggregation()
	if text := d.aggregateDifference(q, a, log); text != "" {
		return errors.New(text)
	}
	return nil
}

func (d *differential) sealed() error {
	d.seal()
	return nil
}

func (d *differential) log() error {
	got, want, err := d.compare("After(0)", d.store.After(background, 0), d.oracle.After(background, 0))
	if err != nil || len(got) == 0 {
		return err
	}
	for i := range got[1:] {
		if got[i+1].pos <= got[i].pos {
			return fmt.Errorf("After(0): position %d comes behind position %d", got[i+1].pos, got[i].pos)
		}
	}
	i := d.rng.IntN(len(got))
	_, _, err = d.compare(fmt.Sprintf("After(%d)", got[i].pos), d.store.After(background, got[i].pos), d.oracle.After(background, want[i].pos))
	return err
}

func (d *differential) state() error {
	st, ok := d.store.(cts.StateStore)
	if !ok {
		return nil
	}
	name := pick(d.generator, "plan", "chain", "..", "a.b", "")
	g := d.states[name]
	if d.rng.IntN(4) == 0 { // a generation that is not there
		g = generations{subject: g.subject + 1, oracle: g.oracle + 1}
	}
	data := []byte(strings.Repeat("x", d.rng.IntN(500)))
	next, err := st.SaveState(background, name, data, g.subject)
	wantNext, wantErr := d.oracle.SaveState(background, name, data, g.oracle)
	if (err == nil) != (wantErr == nil) || errors.Is(err, cts.ErrStateConflict) != errors.Is(wantErr, cts.ErrStateConflict) {
		return fmt.Errorf("SaveState of %q: got %s, want %s", name, verdict(err), verdict(wantErr))
	}
	if err == nil {
		d.states[name] = generations{subject: next, oracle: wantNext}
	}
	got, generation, err := st.LoadState(background, name)
	want, _, wantErr := d.oracle.LoadState(background, name)
	if (err == nil) != (wantErr == nil) || !bytes.Equal(got, want) || generation != d.states[name].subject {
		return fmt.Errorf("LoadState of %q: got %d bytes, generation %d, %s, want %d bytes, generation %d, %s",
			name, len(got), generation, verdict(err), len(want), d.states[name].subject, verdict(wantErr))
	}
	return nil
}

func (d *differential) reopen() error {
	if d.harness.Reopen != nil {
		d.subject.reopen()
	}
	return nil
}
