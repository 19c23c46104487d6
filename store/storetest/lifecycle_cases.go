package storetest

import (
	"errors"
	"sync"

	"github.com/google/uuid"

	"github.com/cloudtraceservice/cts"
)

var lifecycleCases = []conformance{
	{
		name: "id",
		rule: withSource("ID is a UUID made when the store was created; it never changes."),
		why:  "Checkpoints and cursors hold it, so that those of another store are refused.",
		run: func(s *subject) {
			id := s.store.ID()
			if u, err := uuid.Parse(id); err != nil || u.String() != id || u == uuid.Nil {
				s.Errorf("ID %q is not a UUID in canonical form", id)
			}
			s.append(plains(0, 3)...)
			if got := s.store.ID(); got != id {
				s.Errorf("ID was %q, is %q", id, got)
			}
			for range 3 {
				if other := s.another().store.ID(); other == id {
					s.Errorf("two stores have the ID %q", id)
				}
			}
		},
	},
	{
		name: "id-after-reopen",
		rule: withSource("ID never changes, also when the store is closed and opened again."),
		why:  "With a new one every checkpoint would be foreign after a restart.",
		run: func(s *subject) {
			id := s.store.ID()
			for n := range 3 {
				s.reopen()
				if got := s.store.ID(); got != id {
					s.Errorf("ID was %q, is %q after reopening", id, got)
				}
				s.append(plain(n))
			}
		},
	},
	{
		name: "closed",
		rule: withSource("Close makes all later calls fail with ErrClosed."),
		why:  "A call that does nothing, or panics, during a shutdown would lose a record without a word.",
		run:  closed,
	},
	{
		name: "close-twice",
		rule: withSource("Close is idempotent."),
		why:  "A deferred Close follows the one whose error was looked at.",
		run: func(s *subject) {
			s.append(plain(0))
			for range 3 {
				if err := s.store.Close(); err != nil {
					s.Errorf("Close: %v", err)
				}
			}
			parallel(4, func(int) {
				if err := s.store.Close(); err != nil {
					s.Errorf("Close, by several goroutines: %v", err)
				}
			})
		},
	},
	{
		name: "close-during-appends",
		rule: withSource("Close waits for appends under way; what they acknowledged is stored, the others fail with ErrClosed."),
		why:  "Every shutdown meets requests that are not finished.",
		run:  closeDuringAppends,
	},
	{
		name: "close-during-reads",
		rule: withSource("An iterator under way when the store is closed yields what is true, or ErrClosed as its last step."),
		why:  "A list that is shown during a shutdown may end early, but not as if it were complete.",
		run:  closeDuringReads,
	},
	{
		name: "verify",
		rule: withSource("Verify reads everything the store holds: it counts the readable traces and finds no damage in what was stored rightly."),
		why:  "It is the operator's only proof that the store is whole.",
		run: func(s *subject) {
			v, ok := s.store.(cts.Verifier)
			if !ok {
				s.Skip("the store can't verify itself")
			}
			n, corpus := 0, append(curious(), Traces(71, 60)...)
			for ; n < len(corpus); n += 13 {
				s.append(corpus[n:min(n+13, len(corpus))]...)
				report, err := v.Verify(background)
				if want := int64(min(n+13, len(corpus))); err != nil || !report.OK() || report.Traces != want || report.Bytes <= 0 {
					s.Errorf("Verify: %d traces, %d bytes, %d damaged, %v, want %d traces", report.Traces, report.Bytes, len(report.Damaged), err, want)
				}
			}
		},
	},
}

func closed(s *subject) {
	s.append(plains(0, 3)...)
	cursor := s.query(cts.Query{})[0].cursor
	if err := s.store.Close(); err != nil {
		s.Fatalf("Close: %v", err)
	}
	s.refuse("a batch to a closed store", cts.ErrClosed, entries(plain(9)))
	s.refuse("a stored trace to a closed store", cts.ErrClosed, entries(plain(0)))
	s.only("Query of a closed store", cts.ErrClosed, s.store.Query(background, cts.Query{}))
	s.only("Query of a closed store, resumed", cts.ErrClosed, s.store.Query(background, cts.Query{}.Resume(cursor)))
	s.only("After of a closed store", cts.ErrClosed, s.store.After(background, 0))
	s.only("After of a closed store, from its end", cts.ErrClosed, s.store.After(background, 3))
	if st, ok := s.store.(cts.StateStore); ok {
		if _, _, err := st.LoadState(background, "s"); !errors.Is(err, cts.ErrClosed) {
			s.Errorf("LoadState of a closed store: %v, want %v", err, cts.ErrClosed)
		}
		if _, err := st.SaveState(background, "s", nil, 0); !errors.Is(err, cts.ErrClosed) {
			s.Errorf("SaveState of a closed store: %v, want %v", err, cts.ErrClosed)
		}
	}
	if v, ok := s.store.(cts.Verifier); ok {
		if _, err := v.Verify(background); !errors.Is(err, cts.ErrClosed) {
			s.Errorf("Verify of a closed store: %v, want %v", err, cts.ErrClosed)
		}
	}
	if st, ok := s.store.(cts.Statistician); ok {
		if _, err := st.Statistics(background); !errors.Is(err, cts.ErrClosed) {
			s.Errorf("Statistics of a closed store: %v, want %v", err, cts.ErrClosed)
		}
	}
	for i, aggregate := range s.aggregators() {
		if _, err := aggregate(background, cts.Query{}, cts.Aggregation{}); !errors.Is(err, cts.ErrClosed) {
			s.Errorf("Aggregate of a closed store, way %d: %v, want %v", i+1, err, cts.ErrClosed)
		}
	}
	if r, ok := s.store.(cts.Retainer); ok {
		if _, err := r.Retain(background, cts.Retention{}); !errors.Is(err, cts.ErrClosed) {
			s.Errorf("Retain of a closed store: %v, want %v", err, cts.ErrClosed)
		}
	}
	if c, ok := s.store.(cts.Consumers); ok {
		_, err := c.Consumers(background)
		for what, err := range map[string]error{
			"Consumers": err, "SetConsumer": c.SetConsumer(background, "c", 1), "RemoveConsumer": c.RemoveConsumer(background, "c"),
		} {
			if !errors.Is(err, cts.ErrClosed) {
				s.Errorf("%s of a closed store: %v, want %v", what, err, cts.ErrClosed)
			}
		}
	}
	if s.store.ID() == "" {
		s.Error("a closed store has forgotten its ID")
	}
}

func closeDuringAppends(s *subject) {
	const writers = 6
	acknowledged := make([][]cts.Entry, writers)
	var begun, writing sync.WaitGroup
	begun.Add(writers)
	for w := range writers {
		writing.Go(func() {
			for n := 0; ; n++ {
				batch := entries(plains(w*100_000+2*n, w*100_000+2*n+2)...)
				done, err := s.store.Append(background, batch)
				if n == 0 {
					begun.Done()
				}
				if err != nil {
					if !errors.Is(err, cts.ErrClosed) {
						s.Errorf("Append while the store is closed: %v, want %v", err, cts.ErrClosed)
					}
					return
				}
				batch[0].Position, batch[1].Position = done.First, done.Last
				acknowledged[w] = append(acknowledged[w], batch...)
			}
		})
	}
	begun.Wait()
	if err := s.store.Close(); err != nil {
		s.Errorf("Close: %v", err)
	}
	s.refuse("a batch right behind Close", cts.ErrClosed, entries(plain(99)))
	writing.Wait()
	if s.harness.Reopen == nil {
		return
	}
	s.reopen()
	found := map[cts.Position]string{}
	for _, e := range s.after(0) {
		found[e.pos] = e.json
	}
	for _, batch := range acknowledged {
		for _, e := range batch {
			if found[e.Position] != string(e.JSON) {
				s.Errorf("the trace at position %d was acknowledged before Close and is not there", e.Position)
			}
			delete(found, e.Position)
		}
	}
	if len(found) != 0 {
		s.Errorf("%d traces are stored whose append failed with ErrClosed", len(found))
	}
}

func closeDuringReads(s *subject) {
	traces := plains(0, 300)
	s.append(traces...)
	log := s.after(0)
	want := map[string][]stored{"Query": s.expect(cts.Query{}, log), "After": log}
	got := map[string][]stored{}
	last := map[string]error{}
	for e, err := range s.store.Query(background, cts.Query{}) {
		if last["Query"] = err; err == nil {
			got["Query"] = append(got["Query"], keep(e))
		}
		if len(got["Query"]) != 10 || err != nil {
			continue
		}
		for e, err := range s.store.After(background, 0) {
			if last["After"] = err; err == nil {
				got["After"] = append(got["After"], keep(e))
			}
			if len(got["After"]) == 10 {
				if err := s.store.Close(); err != nil {
					s.Errorf("Close: %v", err)
				}
			}
		}
	}
	for what, all := range want {
		err := last[what]
		if err != nil && !errors.Is(err, cts.ErrClosed) {
			s.Errorf("%s ends with the error %v, want %v or none", what, err, cts.ErrClosed)
		}
		n := len(got[what])
		if n > len(all) || err == nil && n != len(all) {
			s.Errorf("%s, closed on the way, yields %d of %d traces and the error %v", what, n, len(all), err)
			continue
		}
		s.same(what+", closed on the way", got[what], all[:n])
	}
}
