package filestore

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/cloudtraceservice/cts"
)

// Aggregate counts the traces that q accepts, see [cts.Aggregator]. Sealed traces are
// counted from the columns of their segments, on as many processors as there are: by
// the counts that a segment has for each value, if all of it is asked for, and from the
// columns of the rows that q accepts otherwise. Those in the log are read.
func (s *Store) Aggregate(ctx context.Context, q cts.Query, a cts.Aggregation) ([]cts.Group, error) {
	total, err := cts.NewGroups(q, a)
	if err != nil {
		return nil, err
	}
	done, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	q.Order, q.Limit, q.Skip, q.Heads = cts.Oldest, 0, 0, true
	v, runs := s.order.view(s.view.Load)
	scan, err := q.Scan(s.ID(), v.last)
	if err != nil {
		return nil, err
	}
	for _, hole := range v.holes {
		total.Damaged(hole)
	}
	log := s.logSource(ctx, v, runs, &q, scan)
	if err := countSegments(ctx, v, &q, a, scan, total, log == nil); err != nil {
		return nil, err
	}
	if log != nil {
		if err := countLog(log, total); err != nil {
			return nil, err
		}
	}
	return total.Result()
}

// countLog counts what a source has, one by one.
func countLog(log source, total *cts.Groups) error {
	for {
		_, _, ok, err := log.head()
		var e cts.Entry
		if ok {
			e, err = log.entry()
		}
		switch {
		case err != nil && total.Damaged(err):
		case err != nil:
			return err
		case !ok:
			return nil
		default:
			if err := total.AddTrace(e.Trace); err != nil {
				return err
			}
		}
	}
}

// countedRows is how many rows one worker counts at a time.
const countedRows = 128 << 10

// countSegments counts the rows of the segments that the query accepts, in parallel.
// Alone says that there is nothing to count but them.
func countSegments(
	ctx context.Context, v *view, q *cts.Query, a cts.Aggregation, scan *cts.Scan, total *cts.Groups, alone bool,
) error {
	var counters []*counter
	defer func() {
		for _, c := range counters {
			c.close()
		}
	}()
	many := false
	for _, s := range newSources(ctx, v, q, scan, nil).pending {
		c, err := newCounter(s, q, a, scan)
		if err != nil && !total.Damaged(err) {
			return err
		}
		if c != nil {
			counters = append(counters, c)
			many = many || !c.small()
		}
	}
	if len(counters) == 1 {
		counters[0].alone = alone
	}
	if many {
		return countParallel(ctx, counters, q, a, total)
	}
	for _, c := range counters {
		if err := c.countInto(ctx, total); err != nil {
			return err
		}
	}
	return nil
}

// smallCount is the most rows that one goroutine counts alone.
const smallCount = 4096

// small reports whether there is little to count.
func (c *counter) small() bool {
	return c.answered() || c.list != nil && c.list.left() <= smallCount || c.hi-c.lo <= smallCount
}

// countParallel counts on all processors.
func countParallel(ctx context.Context, counters []*counter, q *cts.Query, a cts.Aggregation, total *cts.Groups) error {
	workers := make([]*cts.Groups, runtime.GOMAXPROCS(0))
	for i := range workers {
		var err error
		if workers[i], err = cts.NewGroups(*q, a); err != nil {
			return err
		}
	}
	parts := make(chan *counter)
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		defer close(parts)
		for _, c := range counters {
			for _, part := range c.split(countedRows) {
				select {
				case parts <- part:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return nil
	})
	for _, g := range workers {
		work.Go(func() error {
			for part := range parts {
				err := part.countInto(ctx, g)
				part.close()
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return err
	}
	for _, g := range workers {
		if err := total.Merge(g); err != nil {
			return err
		}
	}
	return nil
}
