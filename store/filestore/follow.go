package filestore

import (
	"context"
	"iter"
	"time"

	"github.com/cloudtraceservice/cts"
)

// followPoll is how often a reader without the lock looks for what was added.
const followPoll = 100 * time.Millisecond

// Follow yields every trace behind pos and then each one when it is synced, see
// [cts.Follower]. A store that is open for reading looks every 100 ms.
func (s *Store) Follow(ctx context.Context, pos cts.Position) iter.Seq2[cts.Entry, error] {
	if s.follower != nil {
		return cts.Follow(ctx, onlyLog{s}, pos, followPoll)
	}
	return func(yield func(cts.Entry, error) bool) {
		at := pos
		for {
			grown := s.growth.wait() // before the look, so that nothing is missed between
			if v := s.view.Load(); at < v.synced || v.oldest > 0 && at < v.oldest-1 || s.closed.Load() {
				last, ok := s.followOnce(ctx, at, v.synced, yield)
				if !ok {
					return
				}
				at = last
				continue
			}
			select {
			case <-grown:
			case <-ctx.Done():
				yield(cts.Entry{}, ctx.Err())
				return
			}
		}
	}
}

// onlyLog is a log without any other ability.
type onlyLog struct{ cts.Log }

// followOnce yields what After yields, and returns the last position that it stands for.
func (s *Store) followOnce(ctx context.Context, at, synced cts.Position, yield func(cts.Entry, error) bool) (cts.Position, bool) {
	for e, err := range s.After(ctx, at) {
		damage, lost := asDamage(err)
		switch {
		case err == nil:
			at = e.Position
		case lost:
			at = max(at, damage.Last)
		default:
			yield(cts.Entry{}, err)
			return at, false
		}
		if !yield(e, err) {
			return at, false
		}
	}
	return max(at, synced), true
}
