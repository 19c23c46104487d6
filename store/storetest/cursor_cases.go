package storetest

import (
	"encoding/base64"
	"strings"

	"github.com/cloudtraceservice/cts"
)

// pagings are queries whose answers are cut in every way.
var pagings = map[string]cts.Query{
	"newest first":              {},
	"oldest first":              {Order: cts.Oldest},
	"a condition, newest first": cts.Query{}.Where(cts.Eq(cts.FieldResourceID, "a")),
	"a condition, oldest first": cts.Query{Order: cts.Oldest}.Where(cts.In(cts.FieldResourceID, "b", "c")),
	"a time range":              {From: base, To: base + 9},
	"a range of record times":   {From: base + 1700, To: base + 1990, ByRecordTime: true, Order: cts.Oldest},
	"heads":                     {Heads: true},
}

var cursorCases = []conformance{
	{
		name: "resume-from-every-cursor",
		rule: withSource("From an Entry.Cursor, another run of the same query goes on right behind this trace."),
		why:  "A page is cut where the caller's screen ends, also in the middle of a millisecond.",
		run: func(s *subject) {
			s.append(crowd(60)...)
			for what, q := range pagings {
				all := s.query(q)
				if len(all) < 10 {
					s.Fatalf("%s: %d traces: the case has lost its point", what, len(all))
				}
				for i, e := range all {
					if e.cursor == "" {
						s.Fatalf("%s: number %d has no cursor", what, i+1)
					}
					s.same(what+", resumed", s.query(q.Resume(e.cursor)), all[i+1:])
				}
			}
		},
	},
	{
		name: "resume-ignores-limit-and-heads",
		rule: withSource("A cursor depends on condition, range, order and attempts, and on nothing else of the query."),
		why:  "The size of a page may change while one turns pages, and a list is resumed with bodies.",
		run: func(s *subject) {
			s.append(crowd(30)...)
			all, heads := s.query(cts.Query{}), s.query(cts.Query{}.HeadsOnly())
			for i := range all {
				s.same("limited", s.query(cts.Query{}.Limited(4).Resume(heads[i].cursor)), all[i+1:min(i+5, len(all))])
				s.same("heads", s.query(cts.Query{}.HeadsOnly().Resume(all[i].cursor)), heads[i+1:])
			}
		},
	},
	{
		name: "pages",
		rule: withSource("All runs together yield what one run would have when the first began."),
		why:  "Whoever turns all pages has seen everything once.",
		run: func(s *subject) {
			s.append(crowd(60)...)
			for what, q := range pagings {
				want := s.query(q)
				for _, size := range []int{1, 2, 3, 7} {
					s.same(what+" in pages", s.pages(q.Limited(size), nil), want)
				}
			}
		},
	},
	{
		name: "pages-while-traces-arrive",
		rule: withSource("All runs together yield what one run would have when the first began, less what retention dropped since."),
		why:  "A trail grows while it is read. Late arrivals would shift pages, and the newest would never let them end.",
		run: func(s *subject) {
			for what, q := range pagings {
				for _, size := range []int{1, 2, 3, 7} {
					s.another().pagesWhileTracesArrive(what, q.Limited(size))
				}
			}
		},
	},
	{
		name: "cursor-of-another-query",
		rule: withSource("The cursor of another query is ErrBadCursor."),
		why:  "Going on in another order or with other conditions would silently leave traces out.",
		run: func(s *subject) {
			s.append(crowd(30)...)
			q := cts.Query{From: base, To: base + 500}.Where(cts.Eq(cts.FieldResourceID, "a"))
			cursor := s.query(q)[2].cursor
			for what, other := range map[string]cts.Query{
				"another order":      q.OldestFirst(),
				"another condition":  q.Where(cts.Eq(cts.FieldCode, "200")),
				"another value":      cts.Query{From: base, To: base + 500}.Where(cts.Eq(cts.FieldResourceID, "b")),
				"another field":      cts.Query{From: base, To: base + 500}.Where(cts.Eq(cts.FieldResourceName, "a")),
				"ignoring case":      cts.Query{From: base, To: base + 500}.Where(cts.Eq(cts.FieldResourceID, "a").IgnoreCase()),
				"no condition":       {From: base, To: base + 500},
				"another begin":      {From: base + 1, To: base + 500, Condition: q.Condition},
				"another end":        {From: base, To: base + 501, Condition: q.Condition},
				"the other time":     {From: base, To: base + 500, ByRecordTime: true, Condition: q.Condition},
				"attempts, too":      q.WithAttempts(),
				"nothing in common":  {},
				"the same, negated":  {From: base, To: base + 500, Condition: cts.Not(q.Condition)},
				"the same, in a set": cts.Query{From: base, To: base + 500}.Where(cts.In(cts.FieldResourceID, "a", "b")),
			} {
				s.only(what, cts.ErrBadCursor, s.store.Query(background, other.Resume(cursor)))
			}
		},
	},
	{
		name: "cursor-of-another-store",
		rule: withSource("The cursor of another store is ErrBadCursor."),
		why:  "Positions mean nothing elsewhere. Behind a load balancer, every replica has its own.",
		run: func(s *subject) {
			other := s.another()
			s.append(crowd(10)...)
			other.append(crowd(10)...)
			for _, e := range s.query(cts.Query{}) {
				other.only("a cursor of another store", cts.ErrBadCursor, other.store.Query(background, cts.Query{}.Resume(e.cursor)))
			}
		},
	},
	{
		name: "damaged-cursor",
		rule: withSource("A cursor that was damaged is ErrBadCursor, as the first step."),
		why:  "Cursors come back from clients; a forged one must not choose what is shown.",
		run: func(s *subject) {
			s.append(crowd(10)...)
			cursor := s.query(cts.Query{})[4].cursor
			raw, err := base64.RawURLEncoding.DecodeString(cursor)
			if err != nil {
				s.Fatalf("the cursor %q is not base64url: %v", cursor, err)
			}
			broken := []string{"x", " ", cursor + "A", cursor + "=", cursor[1:], cursor[:len(cursor)-1], " " + cursor, cursor + "\n", strings.Repeat("A", len(cursor)), strings.Repeat("/", 5000)}
			for i := range raw {
				flipped := append([]byte(nil), raw...)
				flipped[i] ^= 1 << (i % 8)
				broken = append(broken, base64.RawURLEncoding.EncodeToString(flipped))
			}
			for _, b := range broken {
				s.only("the damaged cursor "+b[:min(len(b), 60)], cts.ErrBadCursor, s.store.Query(background, cts.Query{}.Resume(b)))
			}
		},
	},
	{
		name: "cursor-after-reopen",
		rule: withSource("A cursor goes on in the same store, also when it was closed and opened again."),
		why:  "A restart of the service is no reason to begin a list anew.",
		run: func(s *subject) {
			s.append(crowd(30)...)
			for what, q := range map[string]cts.Query{"newest first": {}, "oldest first": {Order: cts.Oldest}} {
				all := s.query(q)
				s.reopen()
				s.same(what+", resumed after reopening", s.query(q.Resume(all[11].cursor)), all[12:])
			}
		},
	},
	{
		name: "log-has-no-cursor",
		rule: withSource("Entry.Cursor is \"\" for an entry that no Query yielded."),
		why:  "A checkpoint in the log is a position.",
		run: func(s *subject) {
			s.append(crowd(3)...)
			for _, e := range s.after(0) {
				if e.cursor != "" {
					s.Errorf("After yields position %d with the cursor %q", e.pos, e.cursor)
				}
			}
		},
	},
}

func (s *subject) pagesWhileTracesArrive(what string, q cts.Query) {
	s.Helper()
	s.append(crowd(30)...)
	want := s.query(q.Limited(0))
	n := 1000
	got := s.pages(q, func() {
		fresh := plains(n, n+4) // older, among, in the same millisecond, newer
		n += 4
		fresh[0].Time, fresh[1].Time, fresh[2].Time, fresh[3].Time = base-1-int64(n), base+1, base+5, base+5000+int64(n)
		for i := range fresh {
			fresh[i].ResourceID, fresh[i].RecordTime = []string{"a", "b", "c", "a"}[i], base+1900
		}
		s.append(fresh...)
	})
	s.same(what+" in pages", got, want)
}

// pages runs q again and again, each time behind the last trace of the run before,
// and calls between after each.
func (s *subject) pages(q cts.Query, between func()) []stored {
	s.Helper()
	var all []stored
	for range 200 {
		page := s.query(q)
		all = append(all, page...)
		if len(page) > q.Limit {
			s.Fatalf("a page has %d traces, the limit is %d", len(page), q.Limit)
		}
		if len(page) < q.Limit {
			return all
		}
		q = q.Resume(page[len(page)-1].cursor)
		if between != nil {
			between()
		}
	}
	s.Fatalf("after 200 pages and %d traces there is no end", len(all))
	return nil
}
