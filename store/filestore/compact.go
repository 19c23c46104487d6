package filestore

import "context"

// Compact seals everything that is stored and merges the segments as far as they may
// grow, which otherwise happens by itself as the log grows. It is for before a backup,
// after a bulk load, or when the store will only be read from now on. It merges on all
// processors, at most four, and ends soon after its context; what is merged until then stays.
func (s *Store) Compact(ctx context.Context) error {
	if err := s.changeable(ctx); err != nil {
		return err
	}
	s.keeper.compacting.Add(1)
	defer func() {
		s.keeper.compacting.Add(-1)
		s.keeper.kickMerge()
	}()
	if err := s.sealEverything(ctx); err != nil {
		return err
	}
	return s.keeper.mergeFully(ctx)
}

// sealEverything moves all of the log into segments.
func (s *Store) sealEverything(ctx context.Context) error {
	if err := s.changeable(ctx); err != nil {
		return err
	}
	if err := s.rotate(ctx); err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		more, err := s.keeper.sealSome()
		s.keeper.outcome(err)
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
}
