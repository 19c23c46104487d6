package filestore

import (
	"context"
	"iter"
	"slices"
	"sort"

	"github.com/cloudtraceservice/cts"
)

// After yields every trace behind pos that is synced, see [cts.Log]. Lost positions
// are yielded as a [*cts.CorruptionError] in their place, and the caller may go on.
// Below the oldest trace that retention left it yields [cts.ErrPositionGone].
func (s *Store) After(ctx context.Context, pos cts.Position) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) {
		done, err := s.look(ctx)
		if err != nil {
			yield(cts.Entry{}, err)
			return
		}
		defer done()
		v := s.view.Load()
		if v.oldest > 0 && pos < v.oldest-1 {
			yield(cts.Entry{}, &cts.PositionGoneError{Position: pos, Oldest: v.oldest})
			return
		}
		a := afterRun{ctx: ctx, store: s, view: v, holes: v.holesBehind(pos), yield: yield}
		for _, seg := range v.segments {
			if seg.info.last > pos && !a.segment(seg, pos) {
				return
			}
		}
		if a.log(pos) {
			a.lost(v.synced + 1)
		}
	}
}

// afterRun is one run of After.
type afterRun struct {
	ctx   context.Context
	store *Store
	view  *view
	holes []*cts.CorruptionError // that were not yielded yet
	yield func(cts.Entry, error) bool
}

// lost yields the holes before a position. It reports whether to go on.
func (a *afterRun) lost(before cts.Position) bool {
	for len(a.holes) > 0 && a.holes[0].First < before {
		if !a.yield(cts.Entry{}, a.holes[0]) {
			return false
		}
		a.holes = a.holes[1:]
	}
	return true
}

// segment yields the traces of a segment behind pos. It reports whether to go on.
func (a *afterRun) segment(s *sealed, pos cts.Position) bool {
	var reader *traceReader
	ordinal := 0
	err := s.guarded(func() (err error) {
		reader, err = newTraceReader(s)
		if err == nil {
			ordinal = s.order.Load().SearchPosition(uint64(pos) + 1)
		}
		return err
	})
	if err != nil {
		return a.yield(cts.Entry{}, err)
	}
	defer reader.close()
	for read := 1; ordinal < s.info.rows; ordinal, read = ordinal+1, read+1 {
		if read%releaseRows == 0 {
			s.mapping.Release()
		}
		if err := a.ctx.Err(); err != nil {
			a.yield(cts.Entry{}, err)
			return false
		}
		var e cts.Entry
		err := s.guarded(func() (err error) {
			order := s.order.Load()
			e.Position = cts.Position(order.PositionAt(uint32(ordinal)))
			row := order.Row(uint32(ordinal))
			if e.JSON, err = reader.jsonOf(row); err == nil {
				e.Route = reader.routeOf(row)
			}
			return err
		})
		if !a.lost(e.Position) || !a.yield(e, err) {
			return false
		}
	}
	return true
}

// releaseRows is after how many rows of a segment a reader gives back the pages that it
// came by: who reads all of a store does not come by again, and its segments would count
// as memory of the process.
const releaseRows = 1 << 15

// log yields the traces of the log behind pos that are synced. It reports whether to
// go on.
func (a *afterRun) log(pos cts.Position) bool {
	v := a.view
	bodies := a.store.bodies()
	for ordinal := v.behind(pos); ordinal < v.count; ordinal++ {
		at := v.position(ordinal)
		if at > v.synced {
			break
		}
		if err := a.ctx.Err(); err != nil {
			a.yield(cts.Entry{}, err)
			return false
		}
		if !a.lost(at) {
			return false
		}
		json, err := bodies.read(v, ordinal)
		if !a.yield(cts.Entry{Position: at, JSON: json}, err) {
			return false
		}
	}
	return true
}

// holesBehind returns the lost positions behind pos, the first hole cut down to
// them.
func (v *view) holesBehind(pos cts.Position) []*cts.CorruptionError {
	i := sort.Search(len(v.holes), func(i int) bool { return v.holes[i].Last > pos })
	if i == len(v.holes) {
		return nil
	}
	holes := slices.Clone(v.holes[i:])
	if holes[0].First <= pos {
		cut := *holes[0]
		cut.First = pos + 1
		holes[0] = &cut
	}
	return holes
}
