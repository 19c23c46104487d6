package cts

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Follower is the optional ability of a [Log] to wait for traces. Applications call
// [Follow], which uses it where it is there.
//
// Follow yields what [Log].After yields, and then goes on: every trace behind pos
// once, in order of position, as soon as After would show it. It ends with the error
// of ctx when that ends, with [ErrClosed] when the store is closed, with a
// [*PositionGoneError] when retention took what it would have yielded next, or with
// another error of After; the error is the last step. Damage is yielded once for
// each place, and the caller may go on past it. What is yielded is valid until the
// next step. Nothing is held while the caller works: a slow one holds up nobody.
type Follower interface {
	// Follow yields every trace behind pos, and waits for more.
	Follow(ctx context.Context, pos Position) iter.Seq2[Entry, error]
}

// Follow yields every trace behind pos and then waits for more until ctx ends, see
// [Follower]. It uses that ability of l, or else asks After again whenever it has
// read everything and poll has passed; poll is 1 s if it is not above 0. There is no
// goroutine behind it: what is waited for is waited for inside a step.
func Follow(ctx context.Context, l Log, pos Position, poll time.Duration) iter.Seq2[Entry, error] {
	if able, ok := ability[Follower](l); ok {
		return able.Follow(ctx, pos)
	}
	if poll <= 0 {
		poll = time.Second
	}
	return func(yield func(Entry, error) bool) {
		at := pos
		met := places{}
		timer := time.NewTimer(poll)
		defer timer.Stop()
		for {
			for e, err := range l.After(ctx, at) {
				var damage *CorruptionError
				switch {
				case err == nil:
					at = e.Position
				case !errors.As(err, &damage):
					yield(Entry{}, err)
					return
				case !met.add(damage):
					continue
				default:
					at = max(at, damage.Last)
				}
				if !yield(e, err) {
					return
				}
			}
			timer.Reset(poll)
			select {
			case <-timer.C:
			case <-ctx.Done():
				yield(Entry{}, ctx.Err())
				return
			}
		}
	}
}

// places are the damaged places that were met, of which some are met again whenever
// a log is read from the same position.
type places map[damagedPlace]bool

// damagedPlace is what tells one damaged place from another.
type damagedPlace struct {
	file        string
	offset      int64
	first, last Position
}

// maxPlaces bounds the damaged places that are remembered.
const maxPlaces = 4096

// add remembers a place and reports whether it is new.
func (p places) add(damage *CorruptionError) bool {
	at := damagedPlace{damage.File, damage.Offset, damage.First, damage.Last}
	if p[at] {
		return false
	}
	if len(p) == maxPlaces {
		clear(p)
	}
	p[at] = true
	return true
}
