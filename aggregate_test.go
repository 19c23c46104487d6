package cts_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/cloudtraceservice/cts"
)

const hour = int64(time.Hour / time.Millisecond)

// shop is a trail of a few operations: service, user, hour, minute.
func shop() *list {
	l := &list{id: "store"}
	for i, c := range []struct {
		service, user string
		at            int64
	}{
		{"ECS", "bob", 5},
		{"ECS", "anna", 10},
		{"OBS", "bob", 15},
		{"ECS", "bob", 65},
		{"OBS", "", 70},
		{"ECS", "carl", 200},
		{"ECS", "anna", 201},
	} {
		ms := 100*hour + c.at*60_000
		l.traces = append(l.traces, &cts.Trace{
			ID: fmt.Sprint("t", i), Time: ms, RecordTime: ms + hour, ServiceType: c.service, User: cts.User{Name: c.user}, Request: "{}",
		})
	}
	attempt := l.traces[0].Clone()
	attempt.ID, attempt.Ext.Phase = "attempt", cts.PhaseAttempt
	l.traces = append(l.traces, attempt)
	return l
}

// minute returns a time of the shop.
func minute(n int64) int64 { return 100*hour + n*60_000 }

func TestAggregate(t *testing.T) {
	type groups = []cts.Group
	user, service := cts.FieldUser, cts.FieldServiceType
	for name, c := range map[string]struct {
		q    cts.Query
		a    cts.Aggregation
		want groups
	}{
		"all": {cts.Query{}, cts.Aggregation{}, groups{{Count: 7, First: minute(5), Last: minute(201)}}},
		"what has no effect": {
			cts.Query{Limit: 1, Skip: 3, Order: cts.Oldest, Heads: true},
			cts.Aggregation{},
			groups{{Count: 7, First: minute(5), Last: minute(201)}},
		},
		"attempts":  {cts.Query{Attempts: true}, cts.Aggregation{}, groups{{Count: 8, First: minute(5), Last: minute(201)}}},
		"none":      {cts.Query{From: minute(300)}, cts.Aggregation{By: []cts.Field{user}, Every: time.Hour, Top: 1}, groups{}},
		"on bodies": {cts.Query{}.Where(cts.Absent(cts.FieldRequest)), cts.Aggregation{}, groups{}},
		"by user": {cts.Query{}, cts.Aggregation{By: []cts.Field{user}}, groups{
			{Values: []string{"bob"}, Count: 3, First: minute(5), Last: minute(65)},
			{Values: []string{"anna"}, Count: 2, First: minute(10), Last: minute(201)},
			{Values: []string{""}, Count: 1, First: minute(70), Last: minute(70)},
			{Values: []string{"carl"}, Count: 1, First: minute(200), Last: minute(200)},
		}},
		"the top, among equals the lower": {cts.Query{}, cts.Aggregation{By: []cts.Field{user}, Top: 3}, groups{
			{Values: []string{"bob"}, Count: 3, First: minute(5), Last: minute(65)},
			{Values: []string{"anna"}, Count: 2, First: minute(10), Last: minute(201)},
			{Values: []string{""}, Count: 1, First: minute(70), Last: minute(70)},
		}},
		"by two, in a range": {cts.Query{To: minute(66)}, cts.Aggregation{By: []cts.Field{service, user}}, groups{
			{Values: []string{"ECS", "bob"}, Count: 2, First: minute(5), Last: minute(65)},
			{Values: []string{"ECS", "anna"}, Count: 1, First: minute(10), Last: minute(10)},
			{Values: []string{"OBS", "bob"}, Count: 1, First: minute(15), Last: minute(15)},
		}},
		"over time": {cts.Query{}, cts.Aggregation{Every: time.Hour}, groups{
			{Start: minute(0), Count: 3, First: minute(5), Last: minute(15)},
			{Start: minute(60), Count: 2, First: minute(65), Last: minute(70)},
			{Start: minute(180), Count: 2, First: minute(200), Last: minute(201)},
		}},
		"over record time": {cts.Query{ByRecordTime: true, From: minute(0) + hour, To: minute(20) + hour}, cts.Aggregation{Every: time.Hour}, groups{
			{Start: minute(60), Count: 3, First: minute(65), Last: minute(75)},
		}},
		"the top over time": {cts.Query{}, cts.Aggregation{By: []cts.Field{user}, Every: time.Hour, Top: 2}, groups{
			{Values: []string{"bob"}, Start: minute(0), Count: 2, First: minute(5), Last: minute(15)},
			{Values: []string{"anna"}, Start: minute(0), Count: 1, First: minute(10), Last: minute(10)},
			{Values: []string{"bob"}, Start: minute(60), Count: 1, First: minute(65), Last: minute(65)},
			{Values: []string{"anna"}, Start: minute(180), Count: 1, First: minute(201), Last: minute(201)},
		}},
	} {
		got, err := cts.Aggregate(t.Context(), shop(), c.q, c.a)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := gocmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestBucket(t *testing.T) {
	for _, c := range []struct {
		every       time.Duration
		time, start int64
	}{
		{0, 77, 0},
		{time.Hour, 0, 0},
		{time.Hour, hour, hour},
		{time.Hour, hour - 1, 0},
		{time.Hour, -1, -hour},
		{time.Hour, -hour, -hour},
		{time.Hour, -hour - 1, -2 * hour},
		{time.Millisecond, 77, 77},
		{7 * time.Millisecond, 20, 14},
	} {
		if got := (cts.Aggregation{Every: c.every}).Bucket(c.time); got != c.start {
			t.Errorf("the bucket of %v that holds %d begins at %d, want %d", c.every, c.time, got, c.start)
		}
	}
}

func TestValue(t *testing.T) {
	for f, tr := range fieldValues() {
		if got := f.Value(&tr); got != "Value-1" {
			t.Errorf("%s: %q", f, got)
		}
		if got := f.Value(&cts.Trace{}); got != "" {
			t.Errorf("%s of nothing: %q", f, got)
		}
	}
	tr := &cts.Trace{
		User: cts.User{ID: "u", Name: "anna", UserName: "idp/anna"}, ReadOnly: cts.True,
		Ext: cts.Ext{Impersonator: cts.Principal{ID: "i", Name: "root"}},
	}
	if cts.FieldUser.Value(tr) != "anna" || cts.FieldImpersonator.Value(tr) != "root" || cts.FieldReadOnly.Value(tr) != "true" {
		t.Error("the name does not come first")
	}
	tr.User.Name, tr.Ext.Impersonator.Name = "", ""
	if cts.FieldUser.Value(tr) != "idp/anna" || cts.FieldImpersonator.Value(tr) != "i" {
		t.Error("the user_name or the id does not come next")
	}
}

func TestBadAggregations(t *testing.T) {
	user := cts.FieldUser
	for name, c := range map[string]struct {
		q    cts.Query
		a    cts.Aggregation
		want error
		text string
	}{
		"three fields":    {cts.Query{}, cts.Aggregation{By: []cts.Field{user, user, user}}, cts.ErrBadQuery, "at most 2"},
		"no such field":   {cts.Query{}, cts.Aggregation{By: []cts.Field{"x"}}, cts.ErrBadQuery, `no field "x"`},
		"a text":          {cts.Query{}, cts.Aggregation{By: []cts.Field{user, cts.FieldRequest}}, cts.ErrBadQuery, "request is a text"},
		"another text":    {cts.Query{}, cts.Aggregation{By: []cts.Field{cts.FieldResponse}}, cts.ErrBadQuery, "response is a text"},
		"negative width":  {cts.Query{}, cts.Aggregation{Every: -1}, cts.ErrBadQuery, "whole milliseconds"},
		"too fine":        {cts.Query{}, cts.Aggregation{Every: time.Millisecond + 1}, cts.ErrBadQuery, "whole milliseconds"},
		"negative top":    {cts.Query{}, cts.Aggregation{Top: -1}, cts.ErrBadQuery, "top -1"},
		"a bad query":     {cts.Query{From: 2, To: 1}, cts.Aggregation{}, cts.ErrBadQuery, "time range"},
		"a negative skip": {cts.Query{Skip: -1}, cts.Aggregation{}, cts.ErrBadQuery, "skip -1"},
		"a cursor":        {cts.Query{Cursor: "x"}, cts.Aggregation{}, cts.ErrBadCursor, "no pages"},
	} {
		l := shop()
		groups, err := cts.Aggregate(t.Context(), l, c.q, c.a)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || groups != nil || l.runs > 0 {
			t.Errorf("%s: %v, %v, %d runs", name, groups, err, l.runs)
		}
		if n, err := cts.Count(t.Context(), l, c.q); name == "a cursor" && (n != 0 || !errors.Is(err, cts.ErrBadCursor)) {
			t.Errorf("Count with a cursor: %d, %v", n, err)
		}
	}
}

// Damage is returned beside the groups of the rest; another failure instead of them.
func TestAggregateOfDamage(t *testing.T) {
	l := shop()
	rot := &cts.CorruptionError{File: "f", First: 2, Last: 2, Err: errBroken}
	l.damage = map[cts.Position]error{2: rot}
	n, err := cts.Count(t.Context(), l, cts.Query{})
	var damage *cts.CorruptionError
	if n != 6 || !errors.As(err, &damage) || damage != rot {
		t.Errorf("Count of a damaged store: %d, %v", n, err)
	}
	l.damage[5] = errBroken
	if groups, err := cts.Aggregate(t.Context(), l, cts.Query{}, cts.Aggregation{}); groups != nil || !errors.Is(err, errBroken) {
		t.Errorf("Aggregate of a failing store: %v, %v", groups, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := cts.Count(ended, shop(), cts.Query{}); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("Count in a context that has ended: %d, %v", n, err)
	}
}

// counter is a Reader that can count by itself.
type counter struct {
	*list
	groups []cts.Group
	err    error
	asked  int
}

func (c *counter) Aggregate(context.Context, cts.Query, cts.Aggregation) ([]cts.Group, error) {
	c.asked++
	return c.groups, c.err
}

// wrapped hides the abilities of a Reader but for Unwrap.
type wrapped struct{ inner cts.Reader }

func (w wrapped) Query(ctx context.Context, q cts.Query) iter.Seq2[cts.Entry, error] {
	return w.inner.Query(ctx, q)
}
func (w wrapped) Unwrap() any { return w.inner }

func TestAggregateUsesTheAbility(t *testing.T) {
	c := &counter{list: shop(), groups: []cts.Group{{Count: 40}, {Count: 2}}}
	for _, r := range []cts.Reader{c, wrapped{c}, wrapped{wrapped{c}}} {
		if n, err := cts.Count(t.Context(), r, cts.Query{}); n != 42 || err != nil {
			t.Errorf("Count: %d, %v", n, err)
		}
	}
	if c.asked != 3 || c.runs != 0 {
		t.Errorf("the ability was used %d times, Query %d times", c.asked, c.runs)
	}
	c.err = fmt.Errorf("grouping by labels: %w", cts.ErrNotSupported)
	if n, err := cts.Count(t.Context(), c, cts.Query{}); n != 7 || err != nil {
		t.Errorf("Count of what the ability has no way for: %d, %v", n, err)
	}
	c.err = errBroken
	if _, err := cts.Count(t.Context(), c, cts.Query{}); !errors.Is(err, errBroken) {
		t.Errorf("Count by an ability that fails: %v", err)
	}
}

func TestGroupsInParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		a := cts.Aggregation{By: []cts.Field{cts.FieldUser, cts.FieldCode}[:rng.IntN(3)], Every: time.Duration(rng.IntN(3)) * time.Second, Top: rng.IntN(6)}
		newGroups := func() *cts.Groups {
			g, err := cts.NewGroups(cts.Query{}, a)
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		whole, parts, merged := newGroups(), newGroups(), []*cts.Groups{newGroups(), newGroups(), newGroups()}
		scratch := make([]string, len(a.By))
		for range 300 {
			tr := &cts.Trace{Time: rng.Int64N(9000), User: cts.User{Name: fmt.Sprint(rng.IntN(5))}, Code: fmt.Sprint(rng.IntN(4))}
			for i, f := range a.By {
				scratch[i] = f.Value(tr)
			}
			one := cts.Group{Values: scratch, Start: a.Bucket(tr.Time), Count: 1, First: tr.Time, Last: tr.Time}
			none := cts.Group{Values: scratch, Start: -hour}
			for _, err := range []error{whole.AddTrace(tr), parts.Add(one), parts.Add(none), merged[rng.IntN(3)].AddTrace(tr)} {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		merged[2].Damaged(&cts.CorruptionError{Err: errBroken})
		if merged[0].Damaged(errBroken) {
			t.Error("any error is damage")
		}
		for _, other := range merged[1:] {
			if err := merged[0].Merge(other); err != nil {
				t.Fatal(err)
			}
		}
		want, _ := whole.Result()
		got, _ := parts.Result()
		if d := gocmp.Diff(want, got); d != "" {
			t.Fatalf("%+v: added as parts: %s", a, d)
		}
		got, err := merged[0].Result()
		if d := gocmp.Diff(want, got); d != "" || !errors.Is(err, cts.ErrCorrupt) {
			t.Fatalf("%+v: merged, with the error %v: %s", a, err, d)
		}
	}
}

func TestGroupsAreBounded(t *testing.T) {
	g, err := cts.NewGroups(cts.Query{}, cts.Aggregation{By: []cts.Field{cts.FieldUser, cts.FieldCode}})
	if err != nil {
		t.Fatal(err)
	}
	values := []string{"", ""}
	add := func(n int) error {
		values[0], values[1] = fmt.Sprint(n%1024), fmt.Sprint(n/1024)
		return g.Add(cts.Group{Values: values, Count: 1})
	}
	for n := range cts.MaxGroups {
		if err := add(n); err != nil {
			t.Fatalf("group %d: %v", n, err)
		}
	}
	if err := add(77); err != nil {
		t.Errorf("another trace of a group that is there: %v", err)
	}
	if err := add(cts.MaxGroups); !errors.Is(err, cts.ErrTooLarge) || !strings.Contains(err.Error(), "widen Every") {
		t.Errorf("one group too many: %v", err)
	}
	if all, err := g.Result(); len(all) != cts.MaxGroups || err != nil || all[0].Count != 2 {
		t.Errorf("%d groups, %v", len(all), err)
	}
	large, err := cts.NewGroups(cts.Query{}, cts.Aggregation{By: []cts.Field{cts.FieldResourceName}})
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; err == nil && n < 1000; n++ {
		err = large.AddTrace(&cts.Trace{ResourceName: fmt.Sprint(n, strings.Repeat("x", 1<<20))})
	}
	if !errors.Is(err, cts.ErrTooLarge) {
		t.Errorf("a gigabyte of values: %v", err)
	}
}

// What is known already costs no memory, and a trace is not kept.
func TestGroupsAllocateNothing(t *testing.T) {
	g, err := cts.NewGroups(cts.Query{}, cts.Aggregation{By: []cts.Field{cts.FieldUser, cts.FieldCode}, Every: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	tr := &cts.Trace{Time: hour, User: cts.User{Name: "anna"}, Code: "200"}
	part := cts.Group{Values: []string{"anna", "200"}, Start: hour, Count: 3, First: hour, Last: hour}
	if n := testing.AllocsPerRun(100, func() {
		if g.AddTrace(tr) != nil || g.Add(part) != nil {
			t.Error("an error")
		}
	}); n != 0 {
		t.Errorf("%v allocations for a trace of a group that is there", n)
	}
}

func ExampleAggregate() {
	groups, err := cts.Aggregate(context.Background(), shop(), cts.Query{}, cts.Aggregation{By: []cts.Field{cts.FieldUser}, Top: 2})
	if err != nil {
		fmt.Println(err)
	}
	for _, g := range groups {
		fmt.Println(g.Values[0], g.Count)
	}
	// Output:
	// bob 3
	// anna 2
}

func BenchmarkGroups(b *testing.B) {
	g, err := cts.NewGroups(cts.Query{}, cts.Aggregation{By: []cts.Field{cts.FieldUser, cts.FieldCode}, Every: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	traces := make([]*cts.Trace, 1024)
	for i := range traces {
		traces[i] = &cts.Trace{Time: int64(i) * hour / 7, User: cts.User{Name: fmt.Sprint("user", i%37)}, Code: fmt.Sprint(i % 5)}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := g.AddTrace(traces[i%len(traces)]); err != nil {
			b.Fatal(err)
		}
	}
}
