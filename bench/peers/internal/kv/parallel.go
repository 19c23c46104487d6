package kv

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
)

// slices is how many parts of time a search in all traces is made of.
const slices = 64

// search looks at all traces, on all processors: each takes the newest part of time
// that nobody has taken, until there are enough. It is for one page.
type search struct {
	asking
	start, end Key
	enough     int // traces that are wanted; -1 for all

	next  atomic.Int64
	done  atomic.Bool
	parts [slices]part

	mu sync.Mutex // of what follows
	ok [slices]bool
}

// part is what was found in one part of time.
type part struct {
	count  int64
	values [][]byte // the newest first
}

// searches reports whether a question is answered by a search.
func (a *asking) searches() bool {
	return a.plan.space == Traces && a.plan.left&text != 0 && a.q.GroupBy == "" && a.q.Pages < 2
}

// search answers the question.
func (a *asking) search(s Store) error {
	x := &search{asking: *a, enough: -1}
	if !a.q.Count && a.q.Limit > 0 {
		x.enough = a.q.Skip + a.q.Limit
	}
	if found, err := x.span(); err != nil || !found {
		return err
	}
	errs := make([]error, runtime.GOMAXPROCS(0))
	var workers sync.WaitGroup
	for i := range errs {
		workers.Go(func() { errs[i] = s.View(x.work) })
	}
	workers.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	skip := a.q.Skip
	for _, p := range x.parts {
		a.answer.Count += p.count
		for _, value := range p.values {
			if skip--; skip >= 0 {
				continue
			}
			if a.q.Limit > 0 && len(a.answer.IDs) == a.q.Limit {
				return nil
			}
			if err := a.add(value); err != nil {
				return err
			}
		}
	}
	return nil
}

// span finds the first and the last trace within the bounds of the question.
func (x *search) span() (found bool, err error) {
	start, end := x.plan.bounds(x.q, nil)
	err = x.Scan(Traces, start, end, false, func(key, _ []byte) (bool, error) {
		x.start, found = last(key), true
		return false, nil
	})
	if err != nil || !found {
		return false, err
	}
	return true, x.Scan(Traces, start, end, true, func(key, _ []byte) (bool, error) {
		k := last(key)
		x.end = KeyOf(k.time()+1, 0)
		return false, nil
	})
}

// bounds returns the keys between which part i lies; part 0 is the newest.
func (x *search) bounds(i int64) (from, to Key) {
	lo, hi := x.start.time(), x.end.time()
	at := func(n int64) Key { return KeyOf(lo+(hi-lo)*n/slices, 0) }
	return at(slices - i - 1), at(slices - i)
}

// work searches parts.
func (x *search) work(r Reader) error {
	mine := x.asking
	mine.Reader = r
	for !x.done.Load() {
		i := x.next.Add(1) - 1
		if i >= slices {
			return nil
		}
		from, to := x.bounds(i)
		p := &x.parts[i]
		err := r.Scan(Traces, from[:], to[:], true, func(key, value []byte) (bool, error) {
			more, err := mine.check(last(key), value, func(_ Key, value []byte) (bool, error) {
				if x.q.Count {
					p.count++
				} else {
					p.values = append(p.values, append([]byte(nil), value...))
				}
				return len(p.values) != x.enough, nil
			})
			return more && !x.done.Load(), err
		})
		if err != nil {
			x.done.Store(true)
			return err
		}
		x.finished(int(i))
	}
	return nil
}

// finished notes that part i was searched, and ends the search when it and all newer
// ones have enough.
func (x *search) finished(i int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ok[i] = true
	n := 0
	for j := 0; j < slices && x.ok[j]; j++ {
		n += len(x.parts[j].values)
		if x.enough >= 0 && n >= x.enough {
			x.done.Store(true)
		}
	}
}
