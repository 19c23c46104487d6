package memstore

import (
	"context"
	"iter"

	"github.com/cloudtraceservice/cts"
)

// After yields every trace behind pos, see [cts.Log]. It works on what was stored
// when it began and holds no lock while it yields.
func (s *Store) After(ctx context.Context, pos cts.Position) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) {
		v, err := s.snapshot(ctx)
		if err != nil {
			yield(cts.Entry{}, err)
			return
		}
		v.after(ctx, pos, yield)
	}
}

// Follow yields every trace behind pos and then each one when its Append has stored
// it, see [cts.Follower].
func (s *Store) Follow(ctx context.Context, pos cts.Position) iter.Seq2[cts.Entry, error] {
	return func(yield func(cts.Entry, error) bool) {
		at := pos
		for {
			v, grown, err := s.beyond(ctx, at)
			if err != nil {
				yield(cts.Entry{}, err)
				return
			}
			if grown == nil {
				if !v.after(ctx, at, yield) {
					return
				}
				at = v.last()
				continue
			}
			select {
			case <-grown:
			case <-ctx.Done():
			}
		}
	}
}

// beyond returns all traces stored now if there is something to yield behind pos,
// and otherwise a channel that is closed when there may be.
func (s *Store) beyond(ctx context.Context, pos cts.Position) (view, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitted(ctx); err != nil {
		return view{}, nil, err
	}
	v := s.view()
	if pos < v.last() {
		return v, nil, nil
	}
	if s.grown == nil {
		s.grown = make(chan struct{})
	}
	return v, s.grown, nil
}

// wake ends the wait of all followers. s.mu is held.
func (s *Store) wake() {
	if s.grown != nil {
		close(s.grown)
		s.grown = nil
	}
}

// after yields the traces behind pos and reports whether it came to the end of them.
func (v view) after(ctx context.Context, pos cts.Position, yield func(cts.Entry, error) bool) bool {
	if pos < v.dropped {
		yield(cts.Entry{}, &cts.PositionGoneError{Position: pos, Oldest: v.dropped + 1})
		return false
	}
	var buf []byte
	for at := pos; at < v.last(); {
		at++
		if err := ctx.Err(); err != nil {
			yield(cts.Entry{}, err)
			return false
		}
		buf = append(buf[:0], v.at(at).json...)
		if !yield(cts.Entry{Position: at, JSON: buf}, nil) {
			return false
		}
	}
	return true
}
