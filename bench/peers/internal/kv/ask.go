package kv

import (
	"bytes"
	"unsafe"

	"github.com/cloudtraceservice/cts/bench/contest"
	"github.com/cloudtraceservice/cts/bench/contest/plain"
	"github.com/cloudtraceservice/cts/bench/peers/internal/row"
)

// Reader is a view of an ordered key-value store that doesn't change.
type Reader interface {
	// Get calls with with the value of a trace, which is there, and returns its
	// error. The value is valid only during the call.
	Get(k Key, with func(value []byte) error) error

	// Scan calls visit with the entries of a space from start up to but without
	// end, backwards if asked, until it returns false or an error. Key (without the
	// space) and value are valid only during the call.
	Scan(s Space, start, end []byte, backwards bool, visit func(key, value []byte) (bool, error)) error
}

// Store opens views.
type Store interface {
	// View calls with with a view that is valid during the call, and returns its
	// error. Several goroutines may have a view each.
	View(with func(Reader) error) error
}

// Ask answers q. A word or substring is searched for on all processors, as there is no
// index for it.
func Ask(s Store, q *contest.Question) (contest.Answer, error) {
	a := asking{q: q, plan: planOf(q)}
	err := s.View(func(r Reader) error {
		a.Reader = r
		return a.ask(s)
	})
	if err != nil {
		return contest.Answer{}, err
	}
	return a.answer, nil
}

// asking is a question that is being answered.
type asking struct {
	Reader
	q      *contest.Question
	plan   plan
	answer contest.Answer
}

func (a *asking) ask(s Store) (err error) {
	switch {
	case a.searches():
		err = a.search(s)
	case a.q.GroupBy != "":
		a.answer.Groups, err = a.groups()
	case a.q.Count:
		err = a.find(nil, false, func(Key, []byte) (bool, error) {
			a.answer.Count++
			return true, nil
		})
	default:
		err = a.pages()
	}
	return err
}

// find calls found for the traces that meet all conditions, with the value of the
// trace if it was read to find that out, and nil otherwise. It goes on behind before,
// if that is set.
func (a *asking) find(before *Key, backwards bool, found func(k Key, value []byte) (bool, error)) error {
	p := &a.plan
	start, end := p.bounds(a.q, before)
	return a.Scan(p.space, start, end, backwards, func(key, value []byte) (more bool, err error) {
		if p.by != "" && string(value) != p.by {
			return true, nil
		}
		k := last(key)
		switch {
		case p.left != 0 && p.space == Traces:
			return a.check(k, value, found)
		case p.left != 0:
			err = a.Get(k, func(value []byte) error {
				more, err = a.check(k, value, found)
				return err
			})
			return more, err
		case p.space == Traces:
			return found(k, value)
		}
		return found(k, nil)
	})
}

// check calls found if a trace meets the conditions that are left.
func (a *asking) check(k Key, value []byte, found func(Key, []byte) (bool, error)) (bool, error) {
	r, err := view(value)
	if err != nil || !a.plan.matches(a.q, &r) {
		return true, err
	}
	return found(k, value)
}

// view decodes a value without a copy. The row is valid as long as the value.
func view(value []byte) (r row.Row, err error) {
	err = r.Decode(unsafe.String(unsafe.SliceData(value), len(value)))
	return r, err
}

// add adds a trace to the answer. Its row is a copy: callers keep traces.
func (a *asking) add(value []byte) error {
	var r row.Row
	if err := r.Decode(string(value)); err != nil {
		return err
	}
	r.Add(&a.answer, a.q)
	return nil
}

// pages reads the pages one after the other, each behind the last trace of the one
// before.
func (a *asking) pages() error {
	var last *Key
	skip := a.q.Skip
	for range max(1, a.q.Pages) {
		room, before := a.q.Limit, last
		if room == 0 {
			room = -1
		}
		err := a.find(before, true, func(k Key, value []byte) (bool, error) {
			if skip > 0 {
				skip--
				return true, nil
			}
			last = &k
			room--
			if value != nil {
				return room != 0, a.add(value)
			}
			return room != 0, a.Get(k, a.add)
		})
		if err != nil || last == before {
			return err
		}
	}
	return nil
}

// groups counts in an index if there are no conditions but on time, and otherwise the
// traces themselves.
func (a *asking) groups() ([]contest.Group, error) {
	counts := counter{}
	var err error
	switch {
	case conditionsOf(a.q) != 0:
		err = a.find(nil, false, func(k Key, value []byte) (bool, error) {
			count := func(value []byte) error {
				r, err := view(value)
				if a.q.GroupBy == "user" {
					counts.add(r.User)
				} else {
					counts.add(r.Service)
				}
				return err
			}
			if value != nil {
				return true, count(value)
			}
			return true, a.Get(k, count)
		})
	case a.q.GroupBy == "user":
		start, end := a.plan.bounds(a.q, nil)
		err = a.Scan(Times, start, end, false, func(_, value []byte) (bool, error) {
			counts.add(unsafe.String(unsafe.SliceData(value), len(value)))
			return true, nil
		})
	default:
		err = a.services(counts)
	}
	return plain.Top(counts.map64(), a.q.Top), err
}

// services counts the index of services.
func (a *asking) services(counts counter) error {
	start, end := a.plan.bounds(a.q, nil)
	lo, hi := Key(start), Key(end)
	var known []byte // what the keys of the last service begin with
	var n *int64
	return a.Scan(Services, nil, []byte("\xff\xff\xff\xff"), false, func(key, _ []byte) (bool, error) {
		value := key[:len(key)-KeyLen]
		if k := key[len(key)-KeyLen:]; string(k) < string(lo[:]) || string(k) >= string(hi[:]) {
			return true, nil
		}
		if n == nil || !bytes.Equal(value, known) {
			known = append(known[:0], value...)
			n = counts.of(string(value[lenWidth(len(value)):]))
		}
		*n++
		return true, nil
	})
}

// lenWidth returns the bytes of a length before a value, of both of which there are n.
func lenWidth(n int) int {
	width := 1
	for n-width >= 1<<(7*width) {
		width++
	}
	return width
}

// counter counts values.
type counter map[string]*int64

// add counts a value, which may be memory that changes later.
func (c counter) add(value string) {
	if n := c[value]; n != nil {
		*n++
		return
	}
	*c.of(string([]byte(value)))++
}

// of returns the count of a value.
func (c counter) of(value string) *int64 {
	n := c[value]
	if n == nil {
		n = new(int64)
		c[value] = n
	}
	return n
}

func (c counter) map64() map[string]int64 {
	m := make(map[string]int64, len(c))
	for k, n := range c {
		m[k] = *n
	}
	return m
}
