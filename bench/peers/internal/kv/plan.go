package kv

import (
	"strings"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/plain"
	"github.com/cloudtraceservice/cts/bench/peers/internal/row"
)

// conditions is a set of the fields that a question has conditions on. Time is none:
// it is in every key.
type conditions uint8

const (
	resource conditions = 1 << iota
	user
	address
	service
	name
	rating
	text
)

func conditionsOf(q *contest.Question) (c conditions) {
	for _, x := range []struct {
		value string
		is    conditions
	}{
		{q.ResourceID, resource},
		{q.User, user},
		{q.SourceIP, address},
		{q.Service, service},
		{q.Name, name},
		{q.Rating, rating},
		{q.Word + q.Substring, text},
	} {
		if x.value != "" {
			c |= x.is
		}
	}
	return c
}

// plan is how traces are found: by the keys of a space that begin with prefix.
type plan struct {
	space  Space
	prefix []byte
	by     string     // address that the value of an entry must be; "" for any
	left   conditions // what remains to be checked on the trace
}

// planOf takes the index that is likely to leave the fewest traces.
func planOf(q *contest.Question) plan {
	all := conditionsOf(q)
	has := func(c conditions) bool { return all&c == c }
	on := func(s Space, covered conditions, values ...string) plan {
		return plan{space: s, prefix: prefix(nil, values...), left: all &^ covered}
	}
	bad := q.Rating != "normal"
	switch {
	case has(rating|user) && bad:
		return on(BadUsers, rating|user, q.Rating, q.User)
	case has(rating|service|name) && bad:
		return on(BadNames, rating|service|name, q.Rating, q.Service, q.Name)
	case has(resource):
		return on(Resources, resource, q.ResourceID)
	case has(user):
		p := on(Users, user|address, q.User)
		p.by = q.SourceIP
		return p
	case has(address):
		return on(Addresses, address, q.SourceIP)
	case has(name):
		return on(Names, name, q.Name)
	case has(service):
		return on(Services, service, q.Service)
	}
	if all == 0 && (q.Count || q.GroupBy != "" || q.Skip > 0) {
		return on(Times, 0)
	}
	return on(Traces, 0)
}

// matches reports whether r meets the conditions that are left.
func (p *plan) matches(q *contest.Question, r *row.Row) bool {
	is := func(c conditions, want, got string) bool { return p.left&c == 0 || want == got }
	return is(resource, q.ResourceID, r.ResourceID) && is(user, q.User, r.User) && is(address, q.SourceIP, r.SourceIP) &&
		is(service, q.Service, r.Service) && is(name, q.Name, r.Name) && is(rating, q.Rating, r.Rating) &&
		(p.left&text == 0 || hasTexts(q, r.Request))
}

func hasTexts(q *contest.Question, request string) bool {
	return (q.Word == "" || plain.HasWord(request, q.Word)) && strings.Contains(request, q.Substring)
}

// bounds returns the keys between which the entries lie: from start up to but without
// end. before, if set, is the trace behind which to go on.
func (p *plan) bounds(q *contest.Question, before *Key) (start, end []byte) {
	lo, hi := KeyOf(q.From, 0), Key{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	if q.To > 0 {
		hi = KeyOf(q.To, 0)
	}
	if before != nil {
		hi = *before
	}
	start = append(append(start, p.prefix...), lo[:]...)
	end = append(append(end, p.prefix...), hi[:]...)
	return start, end
}
