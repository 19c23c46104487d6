package storetest

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/cloudtraceservice/cts"
)

// poll is how often a store without the ability to follow is asked.
const poll = time.Millisecond

// patience is when a case gives up to wait for a store.
const patience = 20 * time.Second

var followCases = []conformance{
	{
		name: "follow",
		rule: withSource("Follow yields every trace behind pos once, in order of position, and then each one that is appended."),
		why:  "Whoever notifies or copies has to see everything, and at once.",
		run: func(s *subject) {
			corpus := crowd(60)
			s.append(corpus[:10]...)
			positions := s.after(0)
			for _, from := range []int{0, 4, 10} {
				pos := cts.Position(0)
				if from > 0 {
					pos = positions[from-1].pos
				}
				next, stop := s.follow(pos)
				var got []stored
				read := func(n int) {
					for len(got) < n-from {
						e, err, ok := next()
						if !ok || err != nil {
							s.Fatalf("Follow(%d) after %d traces: %v", pos, len(got), err)
						}
						got = append(got, keep(e))
					}
				}
				n := len(s.after(0))
				read(n)
				for _, more := range []int{1, 3, 0, 5} { // with the follower at the end of the log
					s.append(corpus[n : n+more]...)
					n += more
					read(n)
				}
				stop()
				s.same("Follow", got, s.after(pos))
			}
		},
	},
	{
		name: "follow-waits",
		rule: withSource("Follow goes on as soon as After would show a trace, for one who waits already."),
		why:  "A wake-up that is lost between a look and the wait would be a trace that comes an hour late.",
		run: func(s *subject) {
			next, stop := s.follow(0)
			defer stop()
			for n := range 200 {
				done := make(chan error, 1)
				go func() {
					_, err := s.store.Append(background, entries(plain(n)))
					s.sync()
					done <- err
				}()
				e, err, ok := next()
				if err := <-done; err != nil {
					s.Fatalf("Append: %v", err)
				}
				if !ok || err != nil || !bytes.Equal(e.JSON, plain(n).AppendJSON(nil)) {
					s.Fatalf("Follow, waiting for trace %d: position %d, %v", n, e.Position, err)
				}
			}
		},
	},
	{
		name: "follow-many",
		rule: withSource("Any number of followers see the same, while any number of goroutines append; one that is left costs nothing."),
		why:  "There are several consumers, and some are restarted.",
		run:  followMany,
	},
	{
		name: "follow-context",
		rule: withSource("Follow ends with the error of its context, when that ends, as the last step."),
		why:  "It is how a consumer is stopped.",
		run: func(s *subject) {
			s.append(plains(0, 3)...)
			for read := range 4 { // behind the first, second and third, and while it waits
				ctx, cancel := context.WithTimeout(background, patience)
				n, steps := 0, 0
				var last error
				for _, err := range cts.Follow(ctx, s.store, 0, poll) {
					steps++
					if last = err; err != nil {
						continue
					}
					if n++; n == 3 && read == 3 {
						go cancel()
					} else if n == read+1 {
						cancel()
					}
				}
				cancel()
				if !errors.Is(last, context.Canceled) || steps != n+1 {
					s.Errorf("Follow, cancelled on the way, makes %d steps for %d traces and ends with the error %v", steps, n, last)
				}
			}
		},
	},
	{
		name: "follow-closed",
		rule: withSource("Follow ends with ErrClosed when the store is closed."),
		why:  "A consumer that waits for ever keeps the process from ending.",
		run: func(s *subject) {
			s.append(plains(0, 3)...)
			next, stop := s.follow(0)
			defer stop()
			for range 3 {
				if _, err, ok := next(); err != nil || !ok {
					s.Fatalf("Follow: %v", err)
				}
			}
			closed := make(chan error, 1)
			go func() { closed <- s.store.Close() }()
			if e, err, ok := next(); !ok || !errors.Is(err, cts.ErrClosed) {
				s.Errorf("Follow of a store that is closed meanwhile: position %d, %v, want %v", e.Position, err, cts.ErrClosed)
			}
			if _, err, ok := next(); ok {
				s.Errorf("Follow goes on behind its error: %v", err)
			}
			if err := <-closed; err != nil {
				s.Errorf("Close: %v", err)
			}
			ctx, cancel := context.WithTimeout(background, patience)
			defer cancel()
			s.only("Follow of a closed store", cts.ErrClosed, cts.Follow(ctx, s.store, 0, poll))
		},
	},
}

// follow follows the log for as long as the case has patience.
func (s *subject) follow(pos cts.Position) (next func() (cts.Entry, error, bool), stop func()) {
	ctx, cancel := context.WithTimeout(background, patience)
	next, end := iter.Pull2(cts.Follow(ctx, s.store, pos, poll))
	return next, func() { end(); cancel() }
}

func followMany(s *subject) {
	const writers, batches, followers = 4, 25, 4
	ctx, cancel := context.WithTimeout(background, patience)
	defer cancel()
	var working sync.WaitGroup
	for w := range writers {
		working.Go(func() {
			n := 10_000 * w
			for b := range batches {
				batch := plains(n, n+1+b%3)
				n += len(batch)
				if _, err := s.store.Append(background, entries(batch...)); err != nil {
					s.Errorf("Append: %v", err)
				}
				if b%5 == 4 {
					s.syncOne()
				}
			}
		})
	}
	total := 0
	for b := range batches {
		total += writers * (1 + b%3)
	}
	got := make([][]stored, followers)
	for f := range followers {
		working.Go(func() {
			for e, err := range cts.Follow(ctx, s.store, 0, poll) {
				if err != nil {
					s.Errorf("follower %d after %d of %d traces: %v", f, len(got[f]), total, err)
					return
				}
				if got[f] = append(got[f], keep(e)); len(got[f]) == total || f == 0 && len(got[f]) == 7 {
					return
				}
			}
		})
	}
	working.Wait()
	log := s.after(0)
	for f := range followers {
		want := log
		if f == 0 {
			want = log[:min(7, len(log))]
		}
		s.same("a follower among writers", got[f], want)
	}
}

// syncOne makes what was appended visible to After, for one of several goroutines.
func (s *subject) syncOne() {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.sync()
}
