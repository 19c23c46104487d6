package vfstest

import (
	"io/fs"
	"sync"

	"github.com/cloudtraceservice/cts/internal/vfs"
)

// Injector is asked before every operation, counted or not, and decides what
// becomes of it: nil lets it through, an error fails it before it does
// anything, a [*Torn] or [*Late] fails it after it did something. It may be
// called concurrently.
type Injector func(op Op) error

// Torn is an error for an [Injector] to return: of a write, the first N bytes are
// written before it fails with Err. Other operations just fail.
type Torn struct {
	N   int   // bytes written; at most the length of the write counts
	Err error // what the caller sees
}

// Error implements error.
func (t *Torn) Error() string { return t.Err.Error() }

// Unwrap returns what the caller sees.
func (t *Torn) Unwrap() error { return t.Err }

// Late is an error for an [Injector] to return: the operation is performed and
// then fails: the caller is told that it failed, and it did not.
type Late struct {
	Err error // what the caller sees
}

// Error implements error.
func (l *Late) Error() string { return l.Err.Error() }

// Unwrap returns what the caller sees.
func (l *Late) Unwrap() error { return l.Err }

// FailNth fails the counted operation number n, from 1 on, and no other.
func FailNth(n int, err error) Injector {
	return func(op Op) error {
		if op.N == n {
			return err
		}
		return nil
	}
}

// FailFrom fails the counted operation number n, from 1 on, and every counted
// one after it: a disk that is gone, or a process that was stopped.
func FailFrom(n int, err error) Injector {
	return func(op Op) error {
		if op.N >= n {
			return err
		}
		return nil
	}
}

// TearNth fails the counted operation number n as FailNth does, but if it is a
// write, half of it is written.
func TearNth(n int, err error) Injector {
	return func(op Op) error {
		if op.N == n {
			return &Torn{N: int(op.Len / 2), Err: err}
		}
		return nil
	}
}

// LateNth performs the counted operation number n and fails it then.
func LateNth(n int, err error) Injector {
	return func(op Op) error {
		if op.N == n {
			return &Late{Err: err}
		}
		return nil
	}
}

// FaultFS wraps a file system, numbers its operations and fails those that its
// [Injector] chooses. Counted are the operations whose kind changes the disk
// (see [Kind.Changes]); with CountAll the others too.
//
// Set the fields before the first use.
type FaultFS struct {
	hookFS

	// OnOp, when not nil, is called before each counted operation and before
	// the Injector: the moment to take a clone of the disk. No lock is held.
	OnOp func(op Op)

	// CountAll counts every operation.
	CountAll bool

	mu     sync.Mutex
	inject Injector
	count  int
	hits   int
}

// NewFaultFS returns a FaultFS over fsys that fails nothing yet.
func NewFaultFS(fsys vfs.FS) *FaultFS {
	f := &FaultFS{}
	f.hookFS = hookFS{fs: fsys, hook: f.intercept}
	return f
}

// Set sets the Injector, nil for none, and begins to count anew.
func (f *FaultFS) Set(inject Injector) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inject, f.count, f.hits = inject, 0, 0
}

// Count returns the number of counted operations since the last Set.
func (f *FaultFS) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// Hits returns the number of operations failed since the last Set.
func (f *FaultFS) Hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

func (f *FaultFS) intercept(op Op, run func(n int) error) error {
	f.mu.Lock()
	if f.CountAll || op.Kind.Changes() {
		f.count++
		op.N = f.count
	}
	inject := f.inject
	f.mu.Unlock()
	if f.OnOp != nil && op.N > 0 {
		f.OnOp(op)
	}
	var fault error
	if inject != nil {
		fault = inject(op)
	}
	if fault == nil {
		return run(int(op.Len))
	}
	f.mu.Lock()
	f.hits++
	f.mu.Unlock()
	return failed(op, fault, run)
}

// failed does what the fault leaves of op and returns what the caller sees.
func failed(op Op, fault error, run func(n int) error) error {
	switch fault := fault.(type) { //nolint:errorlint // an instruction, not a cause
	case *Torn:
		if op.Kind == KindWrite {
			if err := run(max(0, min(fault.N, int(op.Len)))); err != nil {
				return err
			}
		}
		return &fs.PathError{Op: string(op.Kind), Path: op.Name, Err: fault.Err}
	case *Late:
		if err := run(int(op.Len)); err != nil {
			return err
		}
		return &fs.PathError{Op: string(op.Kind), Path: op.Name, Err: fault.Err}
	}
	return &fs.PathError{Op: string(op.Kind), Path: op.Name, Err: fault}
}
