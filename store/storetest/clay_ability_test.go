package storetest

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"

	"github.com/cloudtraceservice/cts"
)

// This file has the optional abilities of a clay: to count, follow and drop.

func (c *clay) Aggregate(ctx context.Context, q cts.Query, a cts.Aggregation) ([]cts.Group, error) {
	if c.is("counts in a context that has ended") {
		ctx = background
	}
	if c.is("counts on time alone") {
		q.ByRecordTime = false
	}
	asked := a
	if c.is("keeps the top of each bucket") {
		a.Top = 0
	}
	g, err := cts.NewGroups(q, a)
	if err != nil {
		if c.is("answers bad aggregations with nothing") {
			err = nil
		}
		return nil, err
	}
	_, answer, err := c.answer(ctx, q)
	if err != nil {
		return nil, err
	}
	if c.is("counts up to the limit") && q.Limit > 0 {
		answer = answer[:min(q.Limit, len(answer))]
	}
	if c.is("counts without the newest trace") && len(answer) > 0 {
		answer = answer[1:]
	}
	for _, f := range answer {
		t := *f.trace
		if c.is("counts a user by the id") && t.User.ID != "" {
			t.User.Name = t.User.ID
		}
		if c.is("buckets begin at the first trace") && a.Every > 0 {
			first := answer[len(answer)-1].trace.Time % a.Every.Milliseconds()
			t.Time, t.RecordTime = t.Time-first, t.RecordTime-first
		}
		if err := g.AddTrace(&t); err != nil {
			return nil, err
		}
	}
	groups, err := g.Result()
	if c.is("groups in order of values") {
		slices.SortStableFunc(groups, func(a, b cts.Group) int {
			return cmp.Or(cmp.Compare(a.Start, b.Start), slices.Compare(a.Values, b.Values))
		})
	}
	if c.is("keeps the top of each bucket") && asked.Top > 0 {
		n, start := 0, int64(-1)
		groups = slices.DeleteFunc(groups, func(g cts.Group) bool {
			if n++; g.Start != start {
				n, start = 1, g.Start
			}
			return n > asked.Top
		})
	}
	return groups, err
}

func (c *clay) Follow(ctx context.Context, pos cts.Position) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) {
		at := pos
		for {
			grown := c.disk.wait()
			for e, err := range c.After(ctx, at) {
				if err != nil && c.is("following ends without an error") {
					return
				}
				if !yield(e, err) || err != nil {
					return
				}
				at = e.Position
			}
			if c.is("follows no further than the end") {
				return
			}
			if c.is("yields the last trace again when it goes on") && at > pos {
				at -= c.disk.step
			}
			select {
			case <-grown:
			case <-ctx.Done():
			}
		}
	}
}

// wait returns a channel that is closed at the next change.
func (d *disk) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.grown == nil {
		d.grown = make(chan struct{})
	}
	return d.grown
}

// wake tells of a change; d.mu is held.
func (d *disk) wake() {
	if d.grown != nil {
		close(d.grown)
		d.grown = nil
	}
}

// front returns the last position that was dropped.
func (d *disk) front() cts.Position {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dropped
}

func (c *clay) SetConsumer(ctx context.Context, name string, pos cts.Position) error {
	return c.changeConsumers(ctx, name, func(all map[string]cts.Position) {
		if !c.is("consumers never go back") || pos > all[name] {
			all[name] = pos
		}
	})
}

func (c *clay) RemoveConsumer(ctx context.Context, name string) error {
	return c.changeConsumers(ctx, name, func(all map[string]cts.Position) { delete(all, name) })
}

func (c *clay) changeConsumers(ctx context.Context, name string, change func(map[string]cts.Position)) error {
	defer c.mu.RUnlock()
	if err := c.enter(ctx); err != nil {
		return err
	}
	if _, err := c.stateName(name); err != nil {
		return err
	}
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	change(c.disk.consumers)
	return nil
}

func (c *clay) Consumers(ctx context.Context) (map[string]cts.Position, error) {
	defer c.mu.RUnlock()
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	if c.is("gives its own map of consumers away") {
		return c.disk.consumers, nil
	}
	return maps.Clone(c.disk.consumers), nil
}

func (c *clay) Retain(ctx context.Context, r cts.Retention) (cts.Retained, error) {
	defer c.mu.RUnlock()
	if err := c.enter(ctx); err != nil {
		return cts.Retained{}, err
	}
	if err := r.Validate(); err != nil && !c.is("takes negative bounds") {
		return cts.Retained{}, err
	}
	d := c.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	n := c.due(r)
	var done cts.Retained
	names := slices.Sorted(maps.Keys(d.consumers))
	if c.is("ignores consumers") {
		names = nil
	}
	force := r.Force && !c.is("is not to be forced")
	for _, name := range names {
		passed := 0
		for passed < len(d.log) && d.log[passed].pos <= d.consumers[name] {
			passed++
		}
		switch {
		case passed >= n:
		case !force:
			if n = passed; done.HeldBy == "" || !c.is("names the first that holds") {
				done.HeldBy = name
			}
		case !c.is("does not say what is lost"):
			done.Lost = append(done.Lost, cts.Loss{
				Consumer: name, First: d.log[passed].pos, Last: d.log[n-1].pos, Traces: int64(n - passed),
			})
		}
	}
	c.drop(n, &done)
	if c.is("drops from anywhere") {
		d.log = slices.DeleteFunc(d.log, func(rec record) bool {
			return must(cts.ParseTrace(rec.json)).RecordTime < r.Before
		})
	}
	return done, nil
}

// due returns how many traces need not be kept.
func (c *clay) due(r cts.Retention) int {
	d := c.disk
	size := int64(0)
	for _, rec := range d.log {
		size += int64(len(rec.json))
	}
	n := 0
	for _, rec := range d.log {
		t := must(cts.ParseTrace(rec.json))
		recorded := t.RecordTime
		if c.is("drops by the time of the operation") {
			recorded = t.Time
		}
		large := r.MaxBytes != 0 && size > r.MaxBytes && !c.is("knows no size") || c.is("no bound is the bound zero") && r.MaxBytes == 0
		if recorded >= r.Before && !large {
			break
		}
		size -= int64(len(rec.json))
		n++
	}
	if c.is("drops one too many") && n > 0 && n < len(d.log) {
		n++
	}
	return n
}

func (c *clay) drop(n int, done *cts.Retained) {
	d := c.disk
	done.Traces = int64(n)
	for _, rec := range d.log[:n] {
		done.Bytes += int64(len(rec.json))
		d.dropped = rec.pos
	}
	d.attic = append(d.attic, d.log[:n]...)
	d.log = slices.Clone(d.log[n:])
	if done.Oldest = d.last + d.step; len(d.log) > 0 {
		done.Oldest = d.log[0].pos
	} else if c.is("begins positions anew when it is empty") {
		d.last = 0
	}
	if c.is("keeps the ids of dropped traces") {
		n = 0
	}
	for id, at := range d.ids {
		if d.ids[id] = at - n; at < n {
			delete(d.ids, id)
		}
	}
}

func (c *clay) Statistics(ctx context.Context) (cts.StoreStatistics, error) {
	defer c.mu.RUnlock()
	if err := c.enter(ctx); err != nil {
		return cts.StoreStatistics{}, err
	}
	log, _ := c.log()
	if c.is("tells of what was dropped") {
		c.disk.mu.Lock()
		log = append(slices.Clone(c.disk.attic), log...)
		c.disk.mu.Unlock()
	}
	if c.is("tells of nothing") {
		log = nil
	}
	p := cts.StorePart{Name: "clay"}
	for _, r := range log {
		t := must(cts.ParseTrace(r.json))
		if c.is("tells of the time of the operation alone") {
			t.RecordTime = t.Time
		}
		if p.Traces == 0 {
			p.First = r.pos
		}
		p.Times.Extend(p.Traces, cts.TimeRange{Oldest: t.Time, Newest: t.Time, OldestRecord: t.RecordTime, NewestRecord: t.RecordTime})
		p.Last, p.Traces, p.Bytes = r.pos, p.Traces+1, p.Bytes+int64(len(r.json))
	}
	parts := []cts.StorePart{p}
	if c.is("parts overlap") {
		parts = append(parts, p)
	}
	return cts.NewStatistics(parts, 0), nil
}
