package storetest

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cloudtraceservice/cts"
)

var concurrentCases = []conformance{
	{
		name: "concurrent-batches",
		rule: withSource("Append stores one batch: all of it, in its order. It may be called by any number of goroutines at a time."),
		why:  "An attempt must stand before its outcome, and a gap before the trace that follows it, however busy the service is.",
		run:  concurrentBatches,
	},
	{
		name: "concurrent-same-ids",
		rule: withSource("A trace whose id is stored already changes nothing, also when both appends run at once."),
		why:  "A retry meets the append that it repeats.",
		run:  concurrentSameIDs,
	},
	{
		name: "concurrent-conflict",
		rule: withSource("Of two traces with one id that are appended at once, one is stored and the other fails with a *ConflictError."),
		why:  "Who is first must not depend on two checks that both looked too early.",
		run:  concurrentConflict,
	},
	{
		name: "visible-when-appended",
		rule: withSource("Query sees every trace whose Append returned before Query was called."),
		why:  "Somebody who has just done something looks for its trace, and it must be there.",
		run:  visibleWhenAppended,
	},
	{
		name: "visible-in-order",
		rule: withSource("Positions that were visible have no lower one appearing later; After yields every trace behind pos once."),
		why:  "The Dumper reads on behind the last position it saw. A trace that appears below it is never dumped.",
		run:  visibleInOrder,
	},
	{
		name: "one-iterator-many-goroutines",
		rule: withSource("The iterator may be run more than once, and run by several goroutines at a time."),
		why:  "An iterator is a value; a handler may keep one.",
		run:  sharedIterator,
	},
}

// parallel runs f in n goroutines and waits for all.
func parallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func concurrentBatches(s *subject) {
	const writers, batches = 8, 20
	type done struct {
		cts.Appended
		ids []string
	}
	results := make([][]done, writers)
	parallel(writers, func(w int) {
		n := w * 10_000
		for b := range batches {
			batch := plains(n, n+1+(w+b)%5)
			n += len(batch)
			a, err := s.store.Append(background, entries(batch...))
			if err != nil {
				s.Errorf("Append: %v", err)
				return
			}
			d := done{Appended: a}
			for _, t := range batch {
				d.ids = append(d.ids, t.ID)
			}
			results[w] = append(results[w], d)
		}
	})
	s.sync()
	log := s.after(0)
	at := map[cts.Position]int{}
	for i, e := range log {
		at[e.pos] = i
	}
	total := 0
	for w, list := range results {
		last := cts.Position(0)
		for b, d := range list {
			total += len(d.ids)
			if d.First <= last {
				s.Errorf("batch %d of writer %d begins at position %d, the one before it ended at %d", b, w, d.First, last)
			}
			last = d.Last
			i, ok := at[d.First]
			if !ok || i+len(d.ids) > len(log) || log[i+len(d.ids)-1].pos != d.Last {
				s.Errorf("batch %d of writer %d: positions %d to %d are not the %d traces of one batch", b, w, d.First, d.Last, len(d.ids))
				continue
			}
			for k, id := range d.ids {
				if got := log[i+k].parse(s).ID; got != id {
					s.Errorf("batch %d of writer %d: position %d holds trace %s, want %s", b, w, log[i+k].pos, got, id)
				}
			}
		}
	}
	if len(log) != total {
		s.Errorf("the log has %d traces, %d were appended", len(log), total)
	}
}

func concurrentSameIDs(s *subject) {
	corpus := plains(0, 60)
	var existing atomic.Int64
	positions := make([][]cts.Position, 8)
	parallel(len(positions), func(w int) {
		for from := 0; from < len(corpus); from += 3 {
			a, err := s.store.Append(background, entries(corpus[from:from+3]...))
			if err != nil {
				s.Errorf("Append: %v", err)
				return
			}
			existing.Add(int64(a.Existing))
			positions[w] = append(positions[w], a.First, a.Last)
		}
	})
	s.sync()
	for w := range positions {
		if !slices.Equal(positions[w], positions[0]) {
			s.Errorf("writers got different positions for the same traces: %d and %d", positions[w], positions[0])
		}
	}
	if want := int64(7 * len(corpus)); existing.Load() != want {
		s.Errorf("%d traces count as existing, want %d", existing.Load(), want)
	}
	if log := s.after(0); len(log) != len(corpus) {
		s.Errorf("the log has %d traces, want %d", len(log), len(corpus))
	}
}

func concurrentConflict(s *subject) {
	const rounds, writers = 30, 4
	for round := range rounds {
		var won atomic.Int64
		parallel(writers, func(w int) {
			t := plain(round)
			t.Code = plainID(w)
			_, err := s.store.Append(background, entries(t))
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, cts.ErrIDConflict):
				s.Errorf("Append: %v, want %v", err, cts.ErrIDConflict)
			}
		})
		if won.Load() != 1 {
			s.Errorf("%d of %d traces with one id were stored, want 1", won.Load(), writers)
		}
	}
	s.sync()
	if log := s.after(0); len(log) != rounds {
		s.Errorf("the log has %d traces, want %d", len(log), rounds)
	}
}

func visibleWhenAppended(s *subject) {
	parallel(4, func(w int) {
		for n := range 15 {
			t := plain(w*1000 + n)
			t.ResourceID = t.ID
			a, err := s.store.Append(background, entries(t))
			if err != nil {
				s.Errorf("Append: %v", err)
				return
			}
			q := cts.Query{}.Where(cts.Eq(cts.FieldResourceID, t.ID))
			if got, err := drain(s.store.Query(background, q)); err != nil || len(got) != 1 || got[0].pos != a.First {
				s.Errorf("the trace at position %d was appended and Query finds %d, %v", a.First, len(got), err)
			}
			if s.harness.Sync != nil {
				continue
			}
			if got, err := drain(s.store.After(background, a.First-1)); err != nil || len(got) == 0 || got[0].pos != a.First {
				s.Errorf("the trace at position %d was appended and After does not begin with it: %d traces, %v", a.First, len(got), err)
			}
		}
	})
}

func visibleInOrder(s *subject) {
	const writers, batches = 4, 40
	var seen []stored
	writing := make(chan struct{})
	go func() {
		defer close(writing)
		parallel(writers, func(w int) {
			for b := range batches {
				n := w*10_000 + b*10
				if _, err := s.store.Append(background, entries(plains(n, n+1+b%4)...)); err != nil {
					s.Errorf("Append: %v", err)
					return
				}
			}
		})
	}()
	for over := false; !over; {
		select {
		case <-writing:
			s.sync()
			over = true
		default:
		}
		last := cts.Position(0)
		if len(seen) > 0 {
			last = seen[len(seen)-1].pos
		}
		got, err := drain(s.store.After(background, last))
		if err != nil {
			s.Errorf("After(%d): %v", last, err)
			<-writing
			return
		}
		seen = append(seen, got...)
	}
	all := s.after(0)
	s.same("everything that After showed in many steps", seen, all)
	for i := range min(len(seen), len(all)) {
		if seen[i].pos != all[i].pos || i > 0 && seen[i].pos <= seen[i-1].pos {
			s.Errorf("number %d was shown at position %d, is at %d now, behind %d", i+1, seen[i].pos, all[i].pos, seen[max(i, 1)-1].pos)
		}
	}
	if want := writers * batches / 4 * (1 + 2 + 3 + 4); len(all) != want {
		s.Errorf("the log has %d traces, %d were appended", len(all), want)
	}
}

func sharedIterator(s *subject) {
	s.append(Traces(21, 60)...)
	query := s.store.Query(background, cts.Query{Limit: 40})
	after := s.store.After(background, 5)
	wantQuery, wantAfter := s.query(cts.Query{Limit: 40}), s.after(5)
	parallel(6, func(int) {
		for range 3 {
			got, err := drain(query)
			if d := difference(got, wantQuery); d != "" || err != nil {
				s.Errorf("Query, run by one of several goroutines: %s %v", d, err)
			}
			got, err = drain(after)
			if d := difference(got, wantAfter); d != "" || err != nil {
				s.Errorf("After, run by one of several goroutines: %s %v", d, err)
			}
		}
	})
}
