// Package questions draws the questions of the query rows from the traces that are
// asked about.
package questions

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/workload"
)

// Row is one row of questions.
type Row struct {
	Name      string // Q1 resource id, newest 10
	Growth    bool   // a question whose time should not grow with the number of traces
	Questions []contest.Question
}

// What is asked for, at the full size.
const (
	variants  = 20      // questions of a row
	depth     = 100_000 // traces that Q6 passes over
	page      = 200
	pages     = 100
	rareLimit = 50
	dayMillis = 24 * 3600 * 1000
)

// Sample is what questions are drawn from.
type Sample struct {
	r         *rand.Rand
	count     int // traces
	from, to  int64
	traces    []cts.Trace // some of all
	users     []cts.Trace // some of those with a user, each user once
	incidents []cts.Trace
	words     []string
	parts     []string
}

const (
	sampleTraces    = 4000
	sampleIncidents = 1000
)

// Draw reads the traces of a source once and keeps some of them, the same ones for the
// same seed. See is called with each chunk of traces on the way, if it is not nil.
func Draw(src *workload.Source, seed uint64, see func([]contest.Record) error) (*Sample, error) {
	s := &Sample{r: rand.New(rand.NewPCG(seed, 99)), words: src.Words, parts: src.Parts} //nolint:gosec // reproducible by design
	incidents := 0
	for chunk := range src.Chunks(10_000) {
		if see != nil {
			if err := see(chunk); err != nil {
				return nil, err
			}
		}
		for _, rec := range chunk {
			t := rec.Trace
			if s.count == 0 || t.Time < s.from {
				s.from = t.Time
			}
			s.to = max(s.to, t.Time)
			s.count++
			s.traces = reservoir(s.r, s.traces, sampleTraces, s.count, t)
			if t.Rating == cts.RatingIncident {
				incidents++
				s.incidents = reservoir(s.r, s.incidents, sampleIncidents, incidents, t)
			}
		}
	}
	if s.count == 0 {
		return nil, fmt.Errorf("workload %s has no traces", src.Name)
	}
	s.eachUserOnce()
	return s, nil
}

// reservoir keeps a sample of the traces seen so far, of which t is the n-th. It keeps
// no bodies.
func reservoir(r *rand.Rand, kept []cts.Trace, most, n int, t *cts.Trace) []cts.Trace {
	i := len(kept)
	if i < most {
		kept = append(kept, cts.Trace{})
	} else if i = r.IntN(n); i >= most {
		return kept
	}
	kept[i] = cts.Trace{
		Time: t.Time, Name: t.Name, ServiceType: t.ServiceType, Rating: t.Rating,
		ResourceID: t.ResourceID, SourceIP: t.SourceIP, User: cts.User{Name: t.User.Name},
	}
	return kept
}

func (s *Sample) eachUserOnce() {
	seen := map[string]bool{"": true}
	for _, t := range s.traces {
		if !seen[t.User.Name] {
			seen[t.User.Name] = true
			s.users = append(s.users, t)
		}
	}
}

// Traces returns how many traces there are.
func (s *Sample) Traces() int { return s.count }

// some draws a trace that has what is wanted; false if the sample has none.
func (s *Sample) some(from []cts.Trace, want func(*cts.Trace) bool) (cts.Trace, bool) {
	if len(from) == 0 {
		return cts.Trace{}, false
	}
	first := s.r.IntN(len(from))
	for i := range from {
		if t := &from[(first+i)%len(from)]; want(t) {
			return *t, true
		}
	}
	return cts.Trace{}, false
}

// within returns a time range of the given length that contains a time and does not
// leave the traces more than it must.
func (s *Sample) within(at, length int64) (from, to int64) {
	from = at - s.r.Int64N(max(1, length))
	from = max(s.from, min(from, s.to+1-length))
	return from, from + length
}

// Names returns the names of all rows.
func Names() []string {
	var empty Sample
	empty.r = rand.New(rand.NewPCG(1, 1)) //nolint:gosec // no secret
	names := make([]string, 0, len(empty.all()))
	for _, r := range empty.all() {
		names = append(names, r.Name)
	}
	return names
}

// Rows makes the questions of all rows. A row for which the traces have no example is
// left out.
func (s *Sample) Rows() []Row {
	rows := slices.DeleteFunc(s.all(), func(r Row) bool { return len(r.Questions) == 0 })
	for _, row := range rows {
		for i := range row.Questions {
			row.Questions[i].Row = row.Name
		}
	}
	return rows
}

func (s *Sample) all() []Row {
	rows := []Row{
		{"Q1 resource id, newest 10", true, s.vary(variants, s.resource)},
		{"Q2 user, newest 50", true, s.vary(variants, s.user)},
		{"Q3 service + name + incident in a day, newest 50", true, s.vary(variants, s.incident)},
		{"Q4 user and address, newest 50", true, s.vary(variants, s.userAndAddress)},
		{"Q5 newest 200 of a time range", true, s.vary(variants, s.timeRange)},
		{"Q6 page of 200 at depth 100,000 or n/10", false, s.vary(variants, s.deepPage)},
		{"Q7 100 pages of 200 by cursor", false, s.vary(5, s.manyPages)},
		{"Q8 count by service, all", false, s.vary(1, func(q *contest.Question, _ int) bool { q.GroupBy = "service"; return true })},
		{"Q9 top 10 users in a week", false, s.vary(variants, s.topUsers)},
		{"Q10 rare word in request", false, s.vary(len(s.words), s.word)},
		{"Q10 rare substring in request", false, s.vary(len(s.parts), s.part)},
		{"Q11 count of a user's incidents", false, s.vary(variants, s.countIncidents)},
	}
	rows = slices.Insert(rows, 1, heads(rows[0]))
	rows = slices.Insert(rows, 3, heads(rows[2]))
	return rows
}

// vary makes up to n different questions.
func (s *Sample) vary(n int, write func(q *contest.Question, i int) bool) []contest.Question {
	var all []contest.Question
	for i := range n {
		var q contest.Question
		if write(&q, i) && !slices.Contains(all, q) {
			all = append(all, q)
		}
	}
	return all
}

// heads returns the row asking for heads only.
func heads(r Row) Row {
	r.Name += ", heads"
	r.Questions = slices.Clone(r.Questions)
	for i := range r.Questions {
		r.Questions[i].Heads = true
	}
	return r
}

func (s *Sample) resource(q *contest.Question, _ int) bool {
	t, ok := s.some(s.traces, func(t *cts.Trace) bool { return t.ResourceID != "" })
	q.ResourceID, q.Limit = t.ResourceID, 10
	return ok
}

// user takes in turn the user of any trace, who is mostly a busy one, and any user.
func (s *Sample) user(q *contest.Question, i int) bool {
	from := s.traces
	if i%2 == 1 {
		from = s.users
	}
	t, ok := s.some(from, func(t *cts.Trace) bool { return t.User.Name != "" })
	q.User, q.Limit = t.User.Name, 50
	return ok
}

func (s *Sample) incident(q *contest.Question, _ int) bool {
	t, ok := s.some(s.incidents, func(*cts.Trace) bool { return true })
	q.Service, q.Name, q.Rating, q.Limit = t.ServiceType, t.Name, string(t.Rating), 50
	q.From, q.To = s.within(t.Time, dayMillis)
	return ok
}

func (s *Sample) userAndAddress(q *contest.Question, i int) bool {
	from := s.traces
	if i%2 == 1 {
		from = s.users
	}
	t, ok := s.some(from, func(t *cts.Trace) bool { return t.User.Name != "" && t.SourceIP != "" })
	q.User, q.SourceIP, q.Limit = t.User.Name, t.SourceIP, 50
	return ok
}

// timeRange asks for ranges that hold from about 200 to a tenth of all traces.
func (s *Sample) timeRange(q *contest.Question, i int) bool {
	t, ok := s.some(s.traces, func(*cts.Trace) bool { return true })
	least := float64(s.to-s.from+1) / float64(s.count) * 2 * page
	length := int64(least * float64(1+i*i))
	q.From, q.To = s.within(t.Time, max(1, min(length, (s.to-s.from)/10+1)))
	q.Limit = page
	return ok
}

func (s *Sample) depth() int { return min(depth, s.count/10) }

func (s *Sample) deepPage(q *contest.Question, i int) bool {
	q.Skip, q.Limit = s.depth()+37*i, page
	return true
}

// manyPages begins at the newest trace, and at other times.
func (s *Sample) manyPages(q *contest.Question, i int) bool {
	q.Limit, q.Pages = page, pages
	if i > 0 {
		q.To = s.to - s.r.Int64N(max(1, (s.to-s.from)/2))
	}
	return true
}

func (s *Sample) topUsers(q *contest.Question, _ int) bool {
	t, ok := s.some(s.traces, func(*cts.Trace) bool { return true })
	q.GroupBy, q.Top = "user", 10
	q.From, q.To = s.within(t.Time, 7*dayMillis)
	return ok
}

func (s *Sample) word(q *contest.Question, i int) bool {
	q.Word, q.Limit = s.words[i], rareLimit
	return true
}

func (s *Sample) part(q *contest.Question, i int) bool {
	q.Substring, q.Limit = s.parts[i], rareLimit
	return true
}

func (s *Sample) countIncidents(q *contest.Question, _ int) bool {
	t, ok := s.some(s.incidents, func(t *cts.Trace) bool { return t.User.Name != "" })
	q.User, q.Rating, q.Count = t.User.Name, string(t.Rating), true
	return ok
}
