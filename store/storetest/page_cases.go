package storetest

import (
	"sync"

	"github.com/cloudtraceservice/cts"
)

var pageCases = []conformance{
	{
		name: "read-page",
		rule: withSource("ReadPage returns up to Limit traces, 100 if that is 0, and the cursor of the page that follows, \"\" on the last."),
		why:  "It is how lists are made; an empty last page or a missing one would show.",
		run: func(s *subject) {
			s.append(plains(0, 230)...)
			for _, c := range []struct{ limit, pages, last int }{{0, 3, 30}, {100, 3, 30}, {230, 1, 230}, {231, 1, 230}, {115, 2, 115}, {50, 5, 30}} {
				q := cts.Query{Limit: c.limit}
				var got []stored
				pages, last := 0, 0
				for next := true; next && pages < 10; pages++ {
					page, err := cts.ReadPage(background, s.store, q)
					if err != nil {
						s.Fatalf("ReadPage: %v", err)
					}
					got = append(got, listed(page.Traces...)...)
					last, next, q = len(page.Traces), page.Next != "", q.Resume(page.Next)
				}
				if pages != c.pages || last != c.last {
					s.Errorf("with limit %d: %d pages, the last of %d traces, want %d and %d", c.limit, pages, last, c.pages, c.last)
				}
				s.same("all pages", got, s.query(cts.Query{}))
			}
		},
	},
	{
		name: "read-page-behind-a-skip",
		rule: withSource("Skip holds for the first page alone: beside a cursor it is ignored."),
		why:  "A query whose cursor is moved on from page to page would pass over traces on each.",
		run: func(s *subject) {
			s.append(plains(0, 30)...)
			q := cts.Query{Limit: 4, Skip: 3}
			var got []stored
			for range 10 {
				page, err := cts.ReadPage(background, s.store, q)
				if err != nil {
					s.Fatalf("ReadPage: %v", err)
				}
				got = append(got, listed(page.Traces...)...)
				if q.Cursor = page.Next; page.Next == "" {
					break
				}
			}
			s.same("all pages", got, s.query(cts.Query{})[3:])
		},
	},
	{
		name: "read-page-of-nothing",
		rule: withSource("A page without traces has no next one."),
		why:  "A list of nothing is complete.",
		run: func(s *subject) {
			s.append(plains(0, 3)...)
			page, err := cts.ReadPage(background, s.store, cts.Query{From: base + 1000})
			if err != nil || len(page.Traces) != 0 || page.Next != "" {
				s.Errorf("ReadPage of nothing: %d traces, next %q, %v", len(page.Traces), page.Next, err)
			}
		},
	},
	{
		name: "collect",
		rule: withSource("Collect returns all traces of Query and of After."),
		why:  "Small answers are wanted whole.",
		run: func(s *subject) {
			corpus := Traces(51, 50)
			s.append(corpus...)
			for what, q := range map[string]cts.Query{"all": {Attempts: true}, "some": {Limit: 7}} {
				got, err := cts.Collect(s.store.Query(background, q))
				if err != nil {
					s.Fatalf("Collect: %v", err)
				}
				s.same(what, listed(got...), s.query(q))
			}
			got, err := cts.Collect(s.store.After(background, 0))
			if err != nil {
				s.Fatalf("Collect: %v", err)
			}
			s.same("Collect of After", listed(got...), listed(corpus...))
		},
	},
	{
		name: "pages-under-load",
		rule: withSource("All runs together yield what one run would have when the first began, while other goroutines append."),
		why:  "The ceiling of a cursor and an append meet at any moment.",
		run:  pagesUnderLoad,
	},
}

func pagesUnderLoad(s *subject) {
	s.append(crowd(60)...)
	turned := make(chan struct{}, 3) // every page lets a writer append once, so that there is an end
	var writing sync.WaitGroup
	for w := range 3 {
		writing.Go(func() {
			n := 10_000 * (w + 1)
			for range turned {
				batch := plains(n, n+2)
				batch[0].Time, batch[1].Time = base-int64(n%50), base+int64(n%50)
				if _, err := s.store.Append(background, entries(batch...)); err != nil {
					s.Errorf("Append: %v", err)
				}
				n += 2
			}
		})
	}
	for _, order := range []cts.Order{cts.Oldest, cts.Newest} {
		for _, size := range []int{3, 7} {
			s.checkPages(cts.Query{Order: order, Limit: size, From: base - 100, To: base + 20}, turned)
		}
	}
	close(turned)
	writing.Wait()
	s.sync()
}

// checkPages turns pages and compares them with what they should have been: the
// traces up to the highest position when the first page was made.
func (s *subject) checkPages(q cts.Query, turned chan<- struct{}) {
	s.Helper()
	known := s.query(q.Limited(0))
	got := s.pageSet(q, turned)
	ceiling := cts.Position(0)
	for pos := range got {
		ceiling = max(ceiling, pos)
	}
	for _, e := range known {
		if !got[e.pos] {
			s.Errorf("the trace at position %d was there before the first page and is in none", e.pos)
			return
		}
	}
	for _, e := range s.query(q.Limited(0)) {
		if e.pos < ceiling && !got[e.pos] {
			s.Errorf("the trace at position %d is in no page, though one at position %d is", e.pos, ceiling)
			return
		}
	}
}

// pageSet turns all pages and returns the positions. It fails the case for a trace
// that is in two.
func (s *subject) pageSet(q cts.Query, turned chan<- struct{}) map[cts.Position]bool {
	s.Helper()
	set := map[cts.Position]bool{}
	for range 1000 {
		page := s.query(q)
		for _, e := range page {
			if set[e.pos] {
				s.Errorf("the trace at position %d is in two pages", e.pos)
			}
			set[e.pos] = true
		}
		if len(page) < q.Limit {
			return set
		}
		q = q.Resume(page[len(page)-1].cursor)
		select {
		case turned <- struct{}{}:
		default:
		}
	}
	s.Errorf("after 1000 pages there is no end")
	return set
}
