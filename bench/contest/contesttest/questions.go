package contesttest

import (
	"cmp"
	"slices"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/bench/contest"
)

// Questions are those of the eleven query rows and their kin, with values that occur
// in records. Row tells them apart.
func Questions(records []contest.Record) []contest.Question {
	v := newValues(records)
	rows := v.points()
	rows = append(rows, v.ranges()...)
	rows = append(rows, v.counts()...)
	rows = append(rows, v.texts()...)
	for _, q := range rows {
		if !q.Count && q.GroupBy == "" {
			q.Row, q.Heads = q.Row+" heads only", true
			rows = append(rows, q)
		}
	}
	return rows
}

// values are what the questions ask for.
type values struct {
	resources, users, services, names, addresses []string // the most frequent first
	lo, hi                                       int64    // lowest and highest time
	n                                            int
	bad                                          *cts.Trace // an incident that has a user
}

func newValues(records []contest.Record) values {
	counts := [5]map[string]int{{}, {}, {}, {}, {}}
	v := values{n: len(records), lo: 1 << 60, bad: records[0].Trace}
	for _, r := range records {
		t := r.Trace
		for i, s := range []string{t.ResourceID, t.User.Name, t.ServiceType, t.Name, t.SourceIP} {
			if s != "" {
				counts[i][s]++
			}
		}
		v.lo, v.hi = min(v.lo, t.Time), max(v.hi, t.Time)
		if t.Rating == cts.RatingIncident && t.User.Name != "" {
			v.bad = t
		}
	}
	for i, to := range []*[]string{&v.resources, &v.users, &v.services, &v.names, &v.addresses} {
		for s := range counts[i] {
			*to = append(*to, s)
		}
		slices.SortFunc(*to, func(a, b string) int {
			return cmp.Or(cmp.Compare(counts[i][b], counts[i][a]), cmp.Compare(a, b))
		})
	}
	return v
}

func last(s []string) string { return s[len(s)-1] }

func (v *values) points() []contest.Question {
	b := v.bad
	return []contest.Question{
		{Row: "Q1", ResourceID: v.resources[0], Limit: 10},
		{Row: "Q1 rare", ResourceID: last(v.resources), Limit: 10},
		{Row: "Q1 absent", ResourceID: "no such resource", Limit: 10},
		{Row: "Q2", User: v.users[0], Limit: 50},
		{Row: "Q2 rare", User: last(v.users), Limit: 50},
		{Row: "Q2 all", User: v.users[1]},
		{Row: "Q3", Service: b.ServiceType, Name: b.Name, Rating: "incident", From: b.Time - day/2, To: b.Time + day/2, Limit: 50},
		{Row: "Q3 open end", Service: v.services[0], Name: v.names[0], Rating: "incident", From: v.lo, Limit: 50},
		{Row: "Q3 normal", Service: v.services[0], Name: v.names[0], Rating: "normal", From: b.Time, To: b.Time + day, Limit: 50},
		{Row: "Q3 service and name", Service: v.services[1], Name: v.names[1], Limit: 50},
		{Row: "Q4", User: v.users[0], SourceIP: v.addresses[0], Limit: 50},
		{Row: "Q4 rare", User: v.users[1], SourceIP: last(v.addresses), Limit: 50},
		{Row: "Q4 range", User: v.users[1], SourceIP: v.addresses[1], From: b.Time - 3*day, To: b.Time, Limit: 50},
		{Row: "address", SourceIP: v.addresses[1], Limit: 50},
		{Row: "service", Service: last(v.services), Limit: 50, Skip: 7},
		{Row: "name", Name: last(v.names), Limit: 50, Pages: 2},
		{Row: "incidents", Rating: "incident", Limit: 50},
		{Row: "warnings of a user and an address", Rating: "warning", User: v.users[0], SourceIP: v.addresses[0], Limit: 5},
		{Row: "incidents of a resource", ResourceID: v.resources[0], Rating: "incident", Limit: 5},
	}
}

func (v *values) ranges() []contest.Question {
	mid := v.lo + (v.hi-v.lo)/2
	return []contest.Question{
		{Row: "Q5", From: mid, To: mid + 4*day, Limit: 200},
		{Row: "Q5 bounds", From: v.bad.Time, To: v.bad.Time + 1, Limit: 200},
		{Row: "Q5 open", Limit: 200},
		{Row: "Q5 to", To: v.bad.Time, Limit: 200},
		{Row: "Q6", Skip: v.n / 2, Limit: 200},
		{Row: "Q6 beyond", Skip: v.n - 50, Limit: 200},
		{Row: "Q6 range", From: v.lo, To: mid, Skip: v.n / 5, Limit: 20},
		{Row: "Q6 user", User: v.users[0], Skip: 20, Limit: 20},
		{Row: "Q7", Limit: 20, Pages: 100},
		{Row: "Q7 small pages", Limit: 1, Pages: 30},
		{Row: "Q7 range", From: v.lo + day, To: mid, Limit: 13, Pages: 7},
		{Row: "Q7 user", User: v.users[0], Limit: 9, Pages: 9},
		{Row: "Q7 behind a skip", Skip: 31, Limit: 13, Pages: 7},
		{Row: "Q7 beyond", Limit: v.n/2 + 1, Pages: 4},
	}
}

func (v *values) counts() []contest.Question {
	mid := v.lo + (v.hi-v.lo)/2
	return []contest.Question{
		{Row: "Q8", GroupBy: "service"},
		{Row: "Q8 in a week", GroupBy: "service", From: mid, To: mid + 7*day},
		{Row: "Q8 of a user", GroupBy: "service", User: v.users[0]},
		{Row: "Q9", GroupBy: "user", From: mid, To: mid + 7*day, Top: 10},
		{Row: "Q9 top 3", GroupBy: "user", From: mid, To: mid + 7*day, Top: 3},
		{Row: "Q9 all", GroupBy: "user"},
		{Row: "Q9 of a service", GroupBy: "user", Service: v.services[0], Top: 10},
		{Row: "Q11", User: v.users[0], Rating: "incident", Count: true},
		{Row: "Q11 rare", User: last(v.users), Rating: "incident", Count: true},
		{Row: "Q11 absent", User: "nobody", Rating: "incident", Count: true},
		{Row: "Q11 normal", User: v.users[0], Rating: "normal", Count: true},
		{Row: "Q11 in a week", User: v.users[0], Rating: "warning", Count: true, From: mid, To: mid + 7*day},
		{Row: "count of a service", Service: v.services[0], Count: true},
		{Row: "count of all", Count: true},
		{Row: "count of a day", Count: true, From: mid, To: mid + day},
	}
}

func (v *values) texts() []contest.Question {
	mid := v.lo + (v.hi-v.lo)/2
	return []contest.Question{
		{Row: "Q10 word", Word: "needle1", Limit: 50},
		{Row: "Q10 word, counted", Word: "needle1", Count: true},
		{Row: "Q10 frequent word", Word: "alpha", Limit: 50},
		{Row: "Q10 frequent word, pages", Word: "alpha", Skip: 3, Limit: 5, Pages: 5},
		{Row: "Q10 frequent word, counted", Word: "alpha", Count: true},
		{Row: "Q10 absent word", Word: "needle9", Limit: 50},
		{Row: "Q10 substring", Substring: "eedle", Limit: 50},
		{Row: "Q10 substring, counted", Substring: "eedle", Count: true},
		{Row: "Q10 frequent substring", Substring: "lph", Limit: 50},
		{Row: "Q10 substring of signs", Substring: `50%`, Limit: 20},
		{Row: "Q10 substring of quotes", Substring: `q\"u`, Limit: 20},
		{Row: "Q10 substring, other script", Substring: "字节", Limit: 20},
		{Row: "Q10 substring of a user in a range", Substring: "lph", User: v.users[0], From: mid, To: mid + 4*day, Limit: 20},
		{Row: "Q10 word of a service", Word: "beta", Service: v.services[0], Limit: 20},
		{Row: "Q10 word and substring", Word: "alpha", Substring: "字节", Limit: 20},
	}
}
