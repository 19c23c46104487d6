package storetest

import (
	"context"
	"errors"
	"maps"
	"reflect"

	"github.com/cloudtraceservice/cts"
)

var retentionCases = []conformance{
	{
		name: "retain-by-time",
		rule: withSource("Retain drops what was recorded before a time, from the front; what is kept is without a hole."),
		why:  "The law says how long; what is older is a burden, what is younger is evidence.",
		run: func(s *subject) {
			r := s.retainer()
			s.units(6)
			whole := s.after(0)
			for k := range 7 {
				before := len(s.kept(whole))
				done := s.retain(r, cts.Retention{Before: base + int64(k*10)})
				s.retained(done, whole, k*10)
				if want := before - len(whole[k*10:]); done.Traces != int64(want) || done.Bytes < int64(want) || done.Lost != nil || done.HeldBy != "" {
					s.Errorf("Retain to %d: %+v, want %d traces", k*10, done, want)
				}
			}
		},
	},
	{
		name: "retain-in-order-of-position",
		rule: withSource("Retain ends at the first trace whose record_time is not below."),
		why:  "An old record that was imported late lies behind younger ones; without them the log would have a hole.",
		run: func(s *subject) {
			r := s.retainer()
			var traces []*cts.Trace
			for unit, recorded := range []int64{10, 20, 500, 30, 40} {
				batch := plains(unit*5, unit*5+5)
				for _, t := range batch {
					t.RecordTime = base + recorded
				}
				traces = append(traces, batch...)
				s.append(batch...)
				s.seal()
			}
			whole := s.after(0)
			s.retained(s.retain(r, cts.Retention{Before: base + 100}), whole, 10)
			s.retained(s.retain(r, cts.Retention{Before: base + 500}), whole, 10)
			s.retained(s.retain(r, cts.Retention{Before: base + 501}), whole, len(traces))
		},
	},
	{
		name: "retain-by-size",
		rule: withSource("Retain drops the oldest until at most MaxBytes are kept."),
		why:  "A disk has an end.",
		run: func(s *subject) {
			all := s.another()
			all.units(8)
			everything := all.retain(all.retainer(), cts.Retention{MaxBytes: 1})
			if everything.Traces != 80 {
				s.Errorf("Retain to one byte: %+v, want 80 traces", everything)
			}
			total := everything.Bytes

			r := s.retainer()
			s.units(8)
			whole := s.after(0)
			s.retained(s.retain(r, cts.Retention{MaxBytes: 1 << 60}), whole, 0)
			done := s.retain(r, cts.Retention{MaxBytes: total / 2})
			if done.Traces <= 0 || done.Traces >= int64(len(whole)) || total-done.Bytes > total*6/10 {
				s.Errorf("Retain to half of %d bytes: %+v of %d traces", total, done, len(whole))
			}
			s.retained(done, whole, int(done.Traces))
		},
	},
	{
		name: "retain-nothing",
		rule: withSource("The zero Retention keeps everything, and one with a negative bound is an error."),
		why:  "A retention that was not set must not be one of zero days.",
		run: func(s *subject) {
			r := s.retainer()
			if done := s.retain(r, cts.Retention{Before: base + 1, MaxBytes: 1}); done.Traces != 0 || done.Oldest == 0 {
				s.Errorf("Retain of an empty store: %+v", done)
			}
			s.units(2)
			whole := s.after(0)
			for _, what := range []cts.Retention{{}, {Force: true}, {Before: base}, {MaxBytes: 1 << 60, Force: true}} {
				s.retained(s.retain(r, what), whole, 0)
			}
			for _, bad := range []cts.Retention{{Before: -1}, {MaxBytes: -1}} {
				if done, err := r.Retain(background, bad); err == nil {
					s.Errorf("Retain of %+v: %+v and no error", bad, done)
				}
			}
			s.same("the log", s.after(0), whole)
		},
	},
	{
		name: "positions-after-retention",
		rule: withSource("Positions are not used again, the ids of dropped traces are free, and both stay so when the store is opened again."),
		why:  "A consumer that stands at the end of an emptied log would pass over everything new.",
		run: func(s *subject) {
			r := s.retainer()
			s.units(3)
			whole := s.after(0)
			last := whole[len(whole)-1].pos
			s.retained(s.retain(r, cts.Retention{Before: base + 1000}), whole, len(whole))
			if s.harness.Reopen != nil {
				s.reopen()
				r = s.retainer()
			}
			if got := s.after(last); len(got) != 0 {
				s.Errorf("After(%d) of an emptied store yields %d traces", last, len(got))
			}
			done := s.append(changed(plain(3)), plain(100))
			if done.Existing != 0 || done.First <= last {
				s.Errorf("Append behind a retention that dropped everything up to %d: %+v", last, done)
			}
			s.same("what came behind", s.after(last), listed(changed(plain(3)), plain(100)))
			if again := s.retain(r, cts.Retention{}); again.Oldest != done.First || again.Traces != 0 {
				s.Errorf("Retain of nothing: %+v, want the oldest %d", again, done.First)
			}
		},
	},
	{
		name: "retained-after-reopen",
		rule: withSource("What was dropped stays dropped when the store is opened again."),
		why:  "What had to be erased must not come back.",
		run: func(s *subject) {
			r := s.retainer()
			s.units(4)
			whole := s.after(0)
			s.retained(s.retain(r, cts.Retention{Before: base + 20}), whole, 20)
			s.reopen()
			s.retained(s.retain(s.retainer(), cts.Retention{}), whole, 20)
			s.append(plains(40, 50)...)
			s.same("the log", s.after(whole[19].pos), listed(plains(20, 50)...))
		},
	},
	{
		name: "retain-between-pages",
		rule: withSource("All runs together yield what one run would have when the first began, less what retention dropped since."),
		why:  "A list goes on; it neither ends with an error nor shows a trace twice.",
		run: func(s *subject) {
			s.retainer()
			for _, order := range []cts.Order{cts.Oldest, cts.Newest} {
				one := s.another()
				one.units(5)
				whole := one.after(0)
				q := cts.Query{Order: order, Limit: 12}
				all, page := one.query(q.Limited(0)), one.query(q)
				one.append(plain(100))
				one.retained(one.retain(one.retainer(), cts.Retention{Before: base + 20}), whole, 20)
				var rest []stored
				for _, e := range all[12:] {
					if e.pos > whole[19].pos {
						rest = append(rest, e)
					}
				}
				one.same("the pages behind a retention", one.pages(q.Resume(page[11].cursor), nil), rest)
			}
		},
	},
	{
		name: "retain-while-reading",
		rule: withSource("A log never has a hole that nobody is told of: After goes on over what it began with, or ends with a PositionGoneError."),
		why:  "Copies, proofs and notifications are made from it.",
		run:  retainWhileReading,
	},
	{
		name: "consumers",
		rule: withSource("SetConsumer registers and moves a consumer, also back; RemoveConsumer removes it; Consumers returns all, as the caller's own."),
		why:  "An operator must see who keeps the disk full, and be able to end it.",
		run: func(s *subject) {
			c := s.consumers()
			s.units(1)
			s.registered(c, map[string]cts.Position{})
			s.move(c, "dumper", 7)
			s.move(c, "notify.mail-2_x", 0)
			s.move(c, "dumper", 9)
			s.move(c, "dumper", 3)
			s.registered(c, map[string]cts.Position{"dumper": 3, "notify.mail-2_x": 0})
			if all, err := c.Consumers(background); err == nil {
				clear(all)
			}
			for _, name := range []string{"absent", "notify.mail-2_x", "notify.mail-2_x"} {
				if err := c.RemoveConsumer(background, name); err != nil {
					s.Errorf("RemoveConsumer of %q: %v", name, err)
				}
			}
			s.registered(c, map[string]cts.Position{"dumper": 3})
			for _, name := range []string{"", "../x", "A", ".a"} {
				if err := c.SetConsumer(background, name, 1); err == nil {
					s.Errorf("SetConsumer takes the name %q", name)
				}
			}
			s.registered(c, map[string]cts.Position{"dumper": 3})
		},
	},
	{
		name: "consumers-after-reopen",
		rule: withSource("SetConsumer returns when the position is as durable as a state is."),
		why:  "A restart between a dump and a retention must not cost what is not dumped.",
		run: func(s *subject) {
			c := s.consumers()
			s.units(1)
			s.move(c, "a", 4)
			s.move(c, "b", 5)
			s.reopen()
			s.registered(s.consumers(), map[string]cts.Position{"a": 4, "b": 5})
			if err := s.consumers().RemoveConsumer(background, "a"); err != nil {
				s.Errorf("RemoveConsumer: %v", err)
			}
			s.move(s.consumers(), "b", 6)
			s.reopen()
			s.registered(s.consumers(), map[string]cts.Position{"b": 6})
		},
	},
	{
		name: "consumers-hold",
		rule: withSource("Retain keeps what a consumer has not passed, whatever the bounds say, and names the hindmost."),
		why:  "What is dropped before it is in the bucket is lost for good.",
		run: func(s *subject) {
			r, c := s.retainer(), s.consumers()
			s.units(5)
			whole := s.after(0)
			everything := cts.Retention{Before: base + 1000, MaxBytes: 1}
			held := func(by string, n int) {
				s.Helper()
				done := s.retain(r, everything)
				s.retained(done, whole, n)
				if done.HeldBy != by || done.Lost != nil {
					s.Errorf("Retain: held by %q, lost %v, want %q", done.HeldBy, done.Lost, by)
				}
			}
			s.move(c, "slow", whole[9].pos)
			s.move(c, "slower", 0)
			s.move(c, "fast", whole[39].pos)
			held("slower", 0)
			s.move(c, "slower", whole[29].pos)
			held("slow", 10)
			if done := s.retain(r, cts.Retention{Before: base + 10}); done.HeldBy != "" {
				s.Errorf("Retain of what all have passed is held by %q", done.HeldBy)
			}
			s.move(c, "slow", whole[24].pos) // inside a unit
			done := s.retain(r, everything)
			s.retained(done, whole, int(10+done.Traces))
			if got := len(s.kept(whole)); got < 25 || got > 30 || done.HeldBy != "slow" {
				s.Errorf("Retain with a consumer behind 25 of 50: %+v, %d are kept", done, got)
			}
			if err := c.RemoveConsumer(background, "slow"); err != nil {
				s.Errorf("RemoveConsumer: %v", err)
			}
			held("slower", 30)
			s.move(c, "slower", whole[49].pos)
			s.move(c, "fast", whole[49].pos)
			held("", 50)
		},
	},
	{
		name: "retain-by-force",
		rule: withSource("Force drops also what consumers have not passed, and says which positions each has lost."),
		why:  "Somebody has to decide between a full disk and a gap, and the gap must be known.",
		run: func(s *subject) {
			r, c := s.retainer(), s.consumers()
			s.units(5)
			whole := s.after(0)
			s.move(c, "z", whole[9].pos)
			s.move(c, "a", whole[29].pos)
			s.move(c, "m", 0)
			s.move(c, "done", whole[49].pos)
			force := func(n int, want ...cts.Loss) {
				s.Helper()
				done := s.retain(r, cts.Retention{Before: base + int64(n), Force: true})
				s.retained(done, whole, n)
				if s.harness.Sparse { // where a hole begins is not known
					for i := range min(len(want), len(done.Lost)) {
						want[i].First = done.Lost[i].First
					}
				}
				if done.HeldBy != "" || !reflect.DeepEqual(done.Lost, want) {
					s.Errorf("Retain by force: held by %q, lost %+v, want %+v", done.HeldBy, done.Lost, want)
				}
			}
			force(20,
				cts.Loss{Consumer: "m", First: whole[0].pos, Last: whole[19].pos, Traces: 20},
				cts.Loss{Consumer: "z", First: whole[10].pos, Last: whole[19].pos, Traces: 10})
			force(30,
				cts.Loss{Consumer: "m", First: whole[20].pos, Last: whole[29].pos, Traces: 10},
				cts.Loss{Consumer: "z", First: whole[20].pos, Last: whole[29].pos, Traces: 10})
			s.registered(c, map[string]cts.Position{"z": whole[9].pos, "a": whole[29].pos, "m": 0, "done": whole[49].pos})
		},
	},
}

// retainer returns the ability to drop traces, and skips the case without it.
func (s *subject) retainer() cts.Retainer {
	s.Helper()
	r, ok := s.store.(cts.Retainer)
	if !ok {
		s.Skip("the store drops nothing")
	}
	return r
}

// consumers returns the ability to know consumers, and skips the case without it.
func (s *subject) consumers() cts.Consumers {
	s.Helper()
	c, ok := s.store.(cts.Consumers)
	if !ok {
		s.Skip("the store knows no consumers")
	}
	return c
}

// units stores n batches of ten plain traces, each a unit of retention.
func (s *subject) units(n int) {
	s.Helper()
	for unit := range n {
		s.append(plains(unit*10, unit*10+10)...)
		s.seal()
	}
}

func (s *subject) retain(r cts.Retainer, what cts.Retention) cts.Retained {
	s.Helper()
	done, err := r.Retain(background, what)
	if err != nil {
		s.Fatalf("Retain %+v: %v", what, err)
	}
	return done
}

// kept returns what is left of a log.
func (s *subject) kept(whole []stored) []stored {
	s.Helper()
	for i := range whole {
		if got, err := drain(s.store.After(background, whole[i].pos-1)); err == nil {
			return got
		}
	}
	return nil
}

// retained fails the case unless n traces are gone from the front of what was the
// whole log, by all ways of reading it.
func (s *subject) retained(done cts.Retained, whole []stored, n int) {
	s.Helper()
	gone := cts.Position(0)
	if n > 0 {
		gone = whole[n-1].pos
	}
	if n < len(whole) && done.Oldest != whole[n].pos || done.Oldest <= gone {
		s.Errorf("Retain: the oldest is %d, want the one behind %d", done.Oldest, gone)
	}
	log := s.after(gone)
	s.same("After behind what was dropped", log[:min(len(log), len(whole)-n)], whole[n:])
	for i := range min(n, 60) {
		s.gone(whole[i].pos-1, done.Oldest)
	}
	s.same("a query", s.query(cts.Query{Order: cts.Oldest}), s.expect(cts.Query{Order: cts.Oldest}, log))
	s.same("a query for an id", s.query(cts.Query{}.Where(cts.Eq(cts.FieldTraceID, plainID(0)))), s.expect(cts.Query{}.Where(cts.Eq(cts.FieldTraceID, plainID(0))), log))
	s.aggregates(cts.Query{}, cts.Aggregation{By: []cts.Field{cts.FieldUser}}, log)
}

// gone fails the case unless the log is gone right behind pos.
func (s *subject) gone(pos, oldest cts.Position) {
	s.Helper()
	log, err := drain(s.store.After(background, pos))
	var gone *cts.PositionGoneError
	if !errors.As(err, &gone) || gone.Oldest != oldest || gone.Position != pos || len(log) > 0 {
		s.Fatalf("After(%d): %d traces and %v, want a *PositionGoneError with the oldest %d alone", pos, len(log), err, oldest)
	}
	s.only("After what was dropped", cts.ErrPositionGone, s.store.After(background, pos))
	ctx, cancel := context.WithTimeout(background, patience)
	defer cancel()
	s.only("Follow what was dropped", cts.ErrPositionGone, cts.Follow(ctx, s.store, pos, poll))
}

func (s *subject) move(c cts.Consumers, name string, pos cts.Position) {
	s.Helper()
	if err := c.SetConsumer(background, name, pos); err != nil {
		s.Fatalf("SetConsumer of %q to %d: %v", name, pos, err)
	}
}

func (s *subject) registered(c cts.Consumers, want map[string]cts.Position) {
	s.Helper()
	if got, err := c.Consumers(background); err != nil || !maps.Equal(got, want) {
		s.Errorf("Consumers: %v, %v, want %v", got, err, want)
	}
}

func retainWhileReading(s *subject) {
	r := s.retainer()
	s.units(20)
	whole := s.after(0)
	q := cts.Query{Order: cts.Oldest}
	n, queried := 0, 0
	for e, err := range s.store.After(background, 0) {
		if err != nil {
			if !errors.Is(err, cts.ErrPositionGone) {
				s.Errorf("After while traces are dropped: %v", err)
			}
			break
		}
		if e.Position != whole[n].pos {
			s.Errorf("After while traces are dropped yields position %d, want %d: it passes over some in silence", e.Position, whole[n].pos)
			break
		}
		if n++; n%10 == 5 {
			last := cts.Position(0)
			for e, err := range s.store.Query(background, q) {
				if err != nil || e.Position <= last {
					s.Errorf("a query while traces are dropped: position %d behind %d, %v", e.Position, last, err)
					break
				}
				if last = e.Position; queried%7 == 3 {
					s.retain(r, cts.Retention{Before: base + int64(min(2*n, 100))})
				}
				queried++
			}
		}
	}
	s.retained(s.retain(r, cts.Retention{Before: base + 150}), whole, 150)
}
