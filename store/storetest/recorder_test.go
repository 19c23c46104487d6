package storetest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorder is a test that is allowed to fail: it keeps what a case reports.
type recorder struct {
	testing.TB // the test that really runs

	mu       sync.Mutex
	failed   bool
	skipped  bool
	messages []string
	cleanups []func()
}

// rehearse runs f as if it were a test of its own and returns how it went.
func rehearse(t testing.TB, f func(testing.TB)) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() { // FailNow ends it
		defer close(done)
		defer r.cleanUp()
		defer func() {
			if v := recover(); v != nil {
				r.fail(fmt.Sprint("panic: ", v))
			}
		}()
		f(r)
	}()
	<-done
	return r
}

// cleanUp runs the cleanups, last first, each as far as it comes.
func (r *recorder) cleanUp() {
	for len(r.cleanups) > 0 {
		last := r.cleanups[len(r.cleanups)-1]
		r.cleanups = r.cleanups[:len(r.cleanups)-1]
		done := make(chan struct{})
		go func() {
			defer close(done)
			last()
		}()
		<-done
	}
}

func (r *recorder) fail(message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	r.messages = append(r.messages, message)
}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(slices.Clone(r.messages), "\n")
}

func (r *recorder) Helper()                   {}
func (r *recorder) Error(a ...any)            { r.fail(fmt.Sprintln(a...)) }
func (r *recorder) Fail()                     { r.fail("Fail") }
func (r *recorder) Skipped() bool             { return r.skipped }
func (r *recorder) Skip(...any)               { r.SkipNow() }
func (r *recorder) Skipf(string, ...any)      { r.SkipNow() }
func (r *recorder) Errorf(f string, a ...any) { r.fail(fmt.Sprintf(f, a...)) }

func (r *recorder) Fatal(a ...any) {
	r.Error(a...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(f string, a ...any) {
	r.Errorf(f, a...)
	runtime.Goexit()
}

func (r *recorder) FailNow() {
	r.Fail()
	runtime.Goexit()
}

func (r *recorder) SkipNow() {
	r.skipped = true
	runtime.Goexit()
}

func (r *recorder) Log(a ...any) { r.Logf("%s", fmt.Sprintln(a...)) }

func (r *recorder) Logf(f string, a ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, fmt.Sprintf(f, a...))
}
