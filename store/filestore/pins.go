package filestore

import (
	"errors"
	"io"
	"slices"
	"sync"
)

// pins keeps log files and segments open while somebody reads them. A file that the
// views no longer show is retired: it is closed, and given another use or removed,
// when the last call that may have seen it in a view is done.
type pins struct {
	mu      sync.Mutex
	live    []io.Closer
	retired []retired
	epoch   uint64    // grows with each retirement
	readers []readers // calls under way, by the epoch in which they began, ascending: few
	closed  bool
}

// readers are calls under way that began in an epoch.
type readers struct {
	epoch uint64
	calls int
}

// retired is something that calls begun in this epoch or an earlier one may read.
type retired struct {
	epoch uint64
	free  func() error
}

// pin is a call that reads.
type pin struct {
	pins  *pins
	epoch uint64
}

// pinAll takes what is to be closed with the store.
func pinAll[T io.Closer](p *pins, files ...T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range files {
		p.live = append(p.live, f)
	}
}

// acquire keeps everything open that a view shows which is loaded after it, until
// release.
func (p *pins) acquire() (pin, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return pin{}, false
	}
	if n := len(p.readers); n > 0 && p.readers[n-1].epoch == p.epoch {
		p.readers[n-1].calls++
	} else {
		p.readers = append(p.readers, readers{p.epoch, 1})
	}
	return pin{p, p.epoch}, true
}

func (n pin) release() {
	p := n.pins
	p.mu.Lock()
	i := slices.IndexFunc(p.readers, func(r readers) bool { return r.epoch == n.epoch })
	var free []func() error
	if p.readers[i].calls--; p.readers[i].calls == 0 {
		p.readers = slices.Delete(p.readers, i, i+1)
		free = p.idle()
	}
	if p.closed && len(p.readers) == 0 {
		free = append(free, p.closers()...)
	}
	p.mu.Unlock()
	for _, f := range free {
		_ = f() // nothing was written through them that is not synced
	}
}

// retire calls free, which closes the file, when nobody reads it any more. The view
// that does not show the file is published already.
func (p *pins) retire(f io.Closer, free func() error) {
	p.mu.Lock()
	p.live = slices.DeleteFunc(p.live, func(l io.Closer) bool { return l == f })
	p.retired = append(p.retired, retired{epoch: p.epoch, free: free})
	p.epoch++
	now := p.idle()
	p.mu.Unlock()
	for _, f := range now {
		_ = f()
	}
}

// idle takes out what nobody can be reading. p.mu is held.
func (p *pins) idle() []func() error {
	var free []func() error
	p.retired = slices.DeleteFunc(p.retired, func(r retired) bool {
		if len(p.readers) > 0 && p.readers[0].epoch <= r.epoch {
			return false
		}
		free = append(free, r.free)
		return true
	})
	return free
}

// closers takes out everything. p.mu is held.
func (p *pins) closers() []func() error {
	var all []func() error
	for _, r := range p.retired {
		all = append(all, r.free)
	}
	for _, f := range p.live {
		all = append(all, f.Close)
	}
	p.live, p.retired = nil, nil
	return all
}

// close closes the files, now or when the last reader has gone.
func (p *pins) close() error {
	p.mu.Lock()
	p.closed = true
	var all []func() error
	if len(p.readers) == 0 {
		all = p.closers()
	}
	p.mu.Unlock()
	var errs []error
	for _, f := range all {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}
