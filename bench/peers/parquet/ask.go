package parquet

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/parquet-go/parquet-go"
	"golang.org/x/sync/errgroup"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/plain"
)

// Ask implements [contest.Database].
func (db *DB) Ask(ctx context.Context, q contest.Question) (contest.Answer, error) {
	switch {
	case q.GroupBy != "":
		return db.count(ctx, &q)
	case q.Count:
		return db.count(ctx, &q)
	}
	var a contest.Answer
	var before *hit
	for page := range max(1, q.Pages) {
		skip := 0
		if page == 0 {
			skip = q.Skip
		}
		hits, err := db.newest(ctx, &q, before, skip)
		if err != nil {
			return a, err
		}
		if err := db.add(ctx, &a, &q, hits); err != nil {
			return a, err
		}
		if q.Limit == 0 || len(hits) < q.Limit {
			break
		}
		before = &hits[len(hits)-1]
	}
	return a, nil
}

// hit is a row of an answer.
type hit struct {
	time  int64
	group *group
	row   int
}

// newer orders hits as answers are.
func newer(a, b hit) int {
	return cmp.Or(cmp.Compare(b.time, a.time), cmp.Compare(b.group.number, a.group.number), cmp.Compare(b.row, a.row))
}

// each runs do on the groups, as many at a time as there are cores.
func each(ctx context.Context, groups []*group, do func(g *group) error) error {
	if len(groups) == 1 {
		return do(groups[0])
	}
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(runtime.GOMAXPROCS(0))
	for _, g := range groups {
		work.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return do(g)
		})
	}
	return work.Wait()
}

// within returns the rows of g in the time range of q and behind a hit.
func (g *group) within(q *contest.Question, behind *hit) (set, error) {
	to := int64(1<<63 - 1)
	if q.To != 0 {
		to = q.To
	}
	if behind != nil {
		to = min(to, behind.time)
	}
	from, err := g.before(q.From)
	if err != nil {
		return set{}, err
	}
	end, err := g.before(to)
	if err != nil {
		return set{}, err
	}
	if behind != nil && to == behind.time {
		// Of the rows of the same millisecond those that were loaded earlier.
		switch {
		case g == behind.group:
			end = behind.row
		case g.number < behind.group.number:
			if end, err = g.before(to + 1); err != nil {
				return set{}, err
			}
		}
	}
	return set{span: span{from, max(from, end)}}, nil
}

// newest returns the rows of one page, newest first. Groups are read from the newest
// on until the older ones can't hold a row of the page.
func (db *DB) newest(ctx context.Context, q *contest.Question, behind *hit, skip int) ([]hit, error) {
	var hits []hit
	var mu sync.Mutex
	conds, need := conditions(q), skip+q.Limit
	if q.Limit == 0 {
		need = 1<<63 - 1
	}
	for part := range slices.Chunk(db.candidates(q, behind), runtime.GOMAXPROCS(0)) {
		if len(hits) >= need && hits[need-1].time > part[0].max {
			break
		}
		err := each(ctx, part, func(g *group) error {
			found, err := g.hits(q, behind, conds, need)
			mu.Lock()
			defer mu.Unlock()
			hits = append(hits, found...)
			return err
		})
		if err != nil {
			return nil, err
		}
		slices.SortFunc(hits, newer)
	}
	hits = hits[min(skip, len(hits)):]
	if q.Limit > 0 {
		hits = hits[:min(q.Limit, len(hits))]
	}
	return hits, nil
}

// candidates returns the groups that overlap with the range, the newest first.
func (db *DB) candidates(q *contest.Question, behind *hit) []*group {
	var groups []*group
	for _, g := range db.groups {
		if g.max >= q.From && (q.To == 0 || g.min < q.To) && (behind == nil || g.min <= behind.time) {
			groups = append(groups, g)
		}
	}
	return groups
}

// hits returns the newest rows of g that belong to q, up to n.
func (g *group) hits(q *contest.Question, behind *hit, conds []condition, n int) ([]hit, error) {
	s, err := g.within(q, behind)
	if err != nil {
		return nil, err
	}
	if s, err = g.choose(s, conds); err != nil || s.len() == 0 {
		return nil, err
	}
	s = s.last(n)
	hits := make([]hit, 0, s.len())
	err = g.pages(columns["time"], s.spans(), func(first int, p parquet.Page) {
		data, part := p.Data(), s.part(first, p)
		times := data.Int64()
		for _, row := range part.all() {
			hits = append(hits, hit{time: times[row-first], group: g, row: row})
		}
	})
	return hits, err
}

// count counts rows, in all or per value.
func (db *DB) count(ctx context.Context, q *contest.Question) (contest.Answer, error) {
	var a contest.Answer
	var mu sync.Mutex
	counts, conds := map[string]int64{}, conditions(q)
	column := columns["service_type"]
	if q.GroupBy == "user" {
		column = columns["user_name"]
	}
	err := each(ctx, db.candidates(q, nil), func(g *group) error {
		s, err := g.within(q, nil)
		if err != nil {
			return err
		}
		if s, err = g.choose(s, conds); err != nil {
			return err
		}
		own := map[string]int64{}
		if q.GroupBy != "" {
			if err := g.count(column, &s, own); err != nil {
				return err
			}
		}
		mu.Lock()
		defer mu.Unlock()
		a.Count += int64(s.len())
		for key, n := range own {
			counts[key] += n
		}
		return nil
	})
	if q.GroupBy != "" {
		a = contest.Answer{Groups: plain.Top(counts, q.Top)}
	}
	return a, err
}

// add reads the rows of hits, all their columns, and adds them to a in their order.
func (db *DB) add(ctx context.Context, a *contest.Answer, q *contest.Question, hits []hit) error {
	byGroup := map[*group]*set{}
	var groups []*group
	for _, h := range hits {
		s := byGroup[h.group]
		if s == nil {
			s = &set{chosen: true}
			byGroup[h.group] = s
			groups = append(groups, h.group)
		}
		s.rows = append(s.rows, h.row)
	}
	var mu sync.Mutex
	rows := map[*group][][]string{}
	err := each(ctx, groups, func(g *group) error {
		s := byGroup[g]
		slices.Sort(s.rows)
		values, err := g.whole(s, q.Heads)
		mu.Lock()
		defer mu.Unlock()
		rows[g] = values
		return err
	})
	if err != nil {
		return err
	}
	for _, h := range hits {
		i, _ := slices.BinarySearch(byGroup[h.group].rows, h.row)
		get := func(column string) string {
			if values := rows[h.group][columns[column]]; values != nil {
				return values[i]
			}
			return ""
		}
		a.Add(q, unpackID(get("trace_id")), get("service_type"), get("trace_name"), get("user_name"), get("source_ip"), get("request"), get("response"))
	}
	return nil
}

// whole reads all columns of the rows of s, without the texts if heads only.
func (g *group) whole(s *set, heads bool) ([][]string, error) {
	values := make([][]string, len(columns))
	for name, column := range columns {
		if heads && (name == "request" || name == "response" || name == "message") {
			continue
		}
		var err error
		if values[column], err = g.read(column, s); err != nil {
			return nil, err
		}
	}
	return values, nil
}
