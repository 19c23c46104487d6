package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/cloudtraceservice/cts"
)

var aggregateCases = []conformance{
	{
		name: "aggregate",
		rule: withSource("Aggregate returns what a loop over all traces that Query.Match accepts would find, by every field, alone and with others."),
		why:  "A figure in a report is believed; nobody counts again by hand.",
		run: func(s *subject) {
			corpus := append(Traces(81, 120), curious()...)
			s.append(corpus[:70]...)
			s.seal()
			s.append(corpus[70:]...)
			log := s.after(0)
			for i, f := range fields {
				if text(f.field) {
					continue
				}
				other := []cts.Field{cts.FieldServiceType, cts.FieldUser, cts.FieldCode}[i%3]
				for _, a := range []cts.Aggregation{
					{By: []cts.Field{f.field}},
					{By: []cts.Field{other, f.field}},
					{By: []cts.Field{f.field, other}, Every: time.Hour, Top: 4},
				} {
					s.aggregates(cts.Query{}, a, log)
				}
			}
			for _, every := range []time.Duration{0, time.Millisecond, 7 * time.Millisecond, time.Minute, 24 * time.Hour, 7 * 24 * time.Hour, 200 * 365 * 24 * time.Hour} {
				s.aggregates(cts.Query{}, cts.Aggregation{Every: every}, log)
				s.aggregates(cts.Query{ByRecordTime: true, Attempts: true}, cts.Aggregation{Every: every, By: []cts.Field{cts.FieldTraceRating}}, log)
			}
		},
	},
	{
		name: "random-aggregates",
		rule: withSource("Aggregate returns what a loop would find, whatever the query; its order, limit, skip and heads have no effect."),
		why:  "The short ways of a store meet conditions, ranges and buckets in more ways than anybody writes down.",
		run: func(s *subject) {
			corpus := Traces(83, 120)
			s.append(corpus[:50]...)
			s.seal()
			s.append(corpus[50:]...)
			log := s.after(0)
			seed := rand.Uint64()
			g := conditionGenerator{rng: rand.New(rand.NewPCG(seed, 0)), corpus: corpus}
			for range 120 {
				q, a := g.query(), g.aggregation()
				if d := s.aggregateDifference(q, a, log); d != "" {
					s.Errorf("seed %d: %s", seed, d)
					return
				}
			}
		},
	},
	{
		name: "aggregate-one-value",
		rule: withSource("A user counts once, by the first of name, user_name and id that is not empty; an impersonator by name or id; what is absent is \"\"."),
		why:  "Otherwise the sum of the groups is not the number of traces.",
		run: func(s *subject) {
			traces := plains(0, 6)
			for i, u := range []cts.User{{}, {ID: "i"}, {UserName: "un", ID: "i"}, {Name: "n", UserName: "un", ID: "i"}, {Name: "i"}, {Name: "n", UserName: "i"}} {
				traces[i].User = u
				traces[i].Ext.Impersonator = cts.Principal{ID: u.ID, Name: u.Name}
			}
			s.append(traces...)
			s.groups(cts.FieldUser, map[string]int64{"": 1, "i": 2, "un": 1, "n": 2})
			s.groups(cts.FieldImpersonator, map[string]int64{"": 1, "i": 3, "n": 2})
		},
	},
	{
		name: "aggregate-what-query-sees",
		rule: withSource("Aggregate sees every trace whose Append returned before, also while others are appended and after reopening."),
		why:  "A count beside a list must be the length of the list.",
		run: func(s *subject) {
			for n := range 12 {
				s.append(plains(10*n, 10*n+1+n%4)...)
				if n%4 == 2 {
					s.seal()
				}
				if n%4 == 3 && s.harness.Reopen != nil {
					s.reopen()
				}
				q := cts.Query{}.Where(cts.Eq(cts.FieldUser, "alice"))
				got, err := cts.Count(background, s.store, q)
				if want := int64(len(s.query(q))); err != nil || got != want {
					s.Errorf("Count: %d, %v, want %d", got, err, want)
				}
			}
		},
	},
	{
		name: "aggregate-bad",
		rule: withSource("A query or an aggregation that is not valid is ErrBadQuery, a cursor ErrBadCursor."),
		why:  "A zero in answer to a wrong question would be taken for 'never happened'.",
		run: func(s *subject) {
			s.append(crowd(5)...)
			cursor := s.query(cts.Query{})[1].cursor
			by := func(fields ...cts.Field) cts.Aggregation { return cts.Aggregation{By: fields} }
			for what, c := range map[string]struct {
				q    cts.Query
				a    cts.Aggregation
				want error
			}{
				"three fields":         {cts.Query{}, by(cts.FieldCode, cts.FieldUser, cts.FieldRole), cts.ErrBadQuery},
				"an unknown field":     {cts.Query{}, by("resource"), cts.ErrBadQuery},
				"a text":               {cts.Query{}, by(cts.FieldCode, cts.FieldMessage), cts.ErrBadQuery},
				"a negative width":     {cts.Query{}, cts.Aggregation{Every: -time.Hour}, cts.ErrBadQuery},
				"a part of a ms":       {cts.Query{}, cts.Aggregation{Every: 1500 * time.Microsecond}, cts.ErrBadQuery},
				"a negative top":       {cts.Query{}, cts.Aggregation{Top: -1}, cts.ErrBadQuery},
				"a bad query":          {cts.Query{Condition: cts.Eq("nope", "")}, cts.Aggregation{}, cts.ErrBadQuery},
				"a cursor":             {cts.Query{Cursor: cursor}, cts.Aggregation{}, cts.ErrBadCursor},
				"a word that is two":   {cts.Query{}.Where(cts.Word(cts.FieldMessage, "a b")), cts.Aggregation{}, cts.ErrBadQuery},
				"a word that is empty": {cts.Query{}.Where(cts.Word(cts.FieldMessage, "")), cts.Aggregation{}, cts.ErrBadQuery},
			} {
				for i, aggregate := range s.aggregators() {
					if groups, err := aggregate(background, c.q, c.a); !errors.Is(err, c.want) || groups != nil {
						s.Errorf("%s, way %d: %d groups and the error %v, want %v", what, i+1, len(groups), err, c.want)
					}
				}
			}
		},
	},
	{
		name: "aggregate-context",
		rule: withSource("Aggregate stops with the context's error when the context ends."),
		why:  "A report that nobody waits for any more must not go on through years of traces.",
		run: func(s *subject) {
			s.append(plains(0, 500)...)
			ended, cancel := context.WithCancel(background)
			cancel()
			for i, aggregate := range s.aggregators() {
				if groups, err := aggregate(ended, cts.Query{}, cts.Aggregation{By: []cts.Field{cts.FieldTraceID}}); !errors.Is(err, context.Canceled) || groups != nil {
					s.Errorf("with a context that has ended, way %d: %d groups and the error %v, want %v", i+1, len(groups), err, context.Canceled)
				}
			}
		},
	},
}

// aggregators returns the ways to count: the package's, and the store's if it has
// the ability.
func (s *subject) aggregators() []func(context.Context, cts.Query, cts.Aggregation) ([]cts.Group, error) {
	ways := []func(context.Context, cts.Query, cts.Aggregation) ([]cts.Group, error){
		func(ctx context.Context, q cts.Query, a cts.Aggregation) ([]cts.Group, error) {
			return cts.Aggregate(ctx, s.store, q, a)
		},
	}
	if able, ok := s.store.(cts.Aggregator); ok {
		ways = append(ways, able.Aggregate)
	}
	return ways
}

// text reports whether a field can't be grouped by.
func text(f cts.Field) bool {
	return f == cts.FieldRequest || f == cts.FieldResponse || f == cts.FieldMessage
}

// aggregates fails the case unless the store counts as a loop over the log does.
func (s *subject) aggregates(q cts.Query, a cts.Aggregation, log []stored) {
	s.Helper()
	if d := s.aggregateDifference(q, a, log); d != "" {
		s.Error(d)
	}
}

// aggregateDifference says where the store counts otherwise than a loop, "" if
// nowhere. A question for which the store has no short way is asked of Query.
func (s *subject) aggregateDifference(q cts.Query, a cts.Aggregation, log []stored) string {
	s.Helper()
	want := s.count(q, a, log)
	for i, aggregate := range s.aggregators() {
		got, err := aggregate(background, q, a)
		if i > 0 && errors.Is(err, cts.ErrNotSupported) {
			continue
		}
		if err != nil {
			return fmt.Sprintf("Aggregate of %+v by %+v: %v", q, a, err)
		}
		for k := range max(len(got), len(want)) {
			if k >= len(got) || k >= len(want) || !reflect.DeepEqual(got[k], want[k]) {
				return fmt.Sprintf("Aggregate of %+v by %+v: %d groups, want %d; number %d differs: %+v, want %+v",
					q, a, len(got), len(want), k+1, got[k:min(k+1, len(got))], want[k:min(k+1, len(want))])
			}
		}
	}
	return ""
}

// groups fails the case unless the traces have these numbers by a field.
func (s *subject) groups(f cts.Field, want map[string]int64) {
	s.Helper()
	groups, err := cts.Aggregate(background, s.store, cts.Query{}, cts.Aggregation{By: []cts.Field{f}})
	got := map[string]int64{}
	for _, g := range groups {
		got[g.Values[0]] = g.Count
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		s.Errorf("by %s: %v, %v, want %v", f, got, err, want)
	}
}

// count is a plain loop that counts what q accepts.
func (s *subject) count(q cts.Query, a cts.Aggregation, log []stored) []cts.Group {
	s.Helper()
	groups := map[string]*cts.Group{}
	totals := map[string]*cts.Group{}
	for i := range log {
		t := log[i].parse(s)
		if !q.Match(t) {
			continue
		}
		one := cts.Group{Count: 1, First: t.Time}
		if q.ByRecordTime {
			one.First = t.RecordTime
		}
		one.Last = one.First
		for _, f := range a.By {
			one.Values = append(one.Values, valueOf(f, t))
		}
		combination := strings.Join(one.Values, "\xff")
		enter(totals, combination, one)
		if a.Every > 0 {
			one.Start = one.First / a.Every.Milliseconds() * a.Every.Milliseconds()
		}
		enter(groups, fmt.Sprint(one.Start, "\xff", combination), one)
	}
	var kept []string
	for _, g := range sorted(totals) {
		if a.Top == 0 || len(kept) < a.Top {
			kept = append(kept, strings.Join(g.Values, "\xff"))
		}
	}
	return slices.DeleteFunc(sorted(groups), func(g cts.Group) bool { return !slices.Contains(kept, strings.Join(g.Values, "\xff")) })
}

func enter(groups map[string]*cts.Group, key string, one cts.Group) {
	g := groups[key]
	if g == nil {
		groups[key] = &one
		return
	}
	g.Count++
	g.First, g.Last = min(g.First, one.First), max(g.Last, one.Last)
}

func sorted(groups map[string]*cts.Group) []cts.Group {
	var all []cts.Group
	for _, g := range groups {
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b cts.Group) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), -cmp.Compare(a.Count, b.Count), slices.Compare(a.Values, b.Values))
	})
	return all
}

// valueOf returns the value by which a trace is grouped, for one of fields.
func valueOf(f cts.Field, t *cts.Trace) string {
	switch f {
	case cts.FieldUser:
		return orElse(t.User.Name, orElse(t.User.UserName, t.User.ID))
	case cts.FieldImpersonator:
		return orElse(t.Ext.Impersonator.Name, t.Ext.Impersonator.ID)
	}
	for _, known := range fields {
		if known.field == f {
			return known.value(t)
		}
	}
	return ""
}

// aggregation returns a random aggregation.
func (g conditionGenerator) aggregation() cts.Aggregation {
	var a cts.Aggregation
	for len(a.By) < g.rng.IntN(3) {
		if f := fields[g.rng.IntN(len(fields))].field; !text(f) {
			a.By = append(a.By, f)
		}
	}
	if g.rng.IntN(2) == 0 {
		a.Every = []time.Duration{time.Millisecond, time.Second, time.Minute, 7 * time.Minute, time.Hour, 1000 * time.Hour}[g.rng.IntN(6)]
	}
	if g.rng.IntN(3) == 0 {
		a.Top = 1 + g.rng.IntN(5)
	}
	return a
}
