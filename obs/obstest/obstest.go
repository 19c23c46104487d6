// Package obstest tests whether an [obs.Client] keeps its contract. Every
// implementation of this module runs it, and so should any other:
//
//	func TestClient(t *testing.T) {
//		obstest.Run(t, func(t *testing.T) obs.Client {
//			return mystore.New(emptyBucket(t))
//		})
//	}
//
// Run it with the race detector. A failure names the rule that was broken, why
// the rule is there, and the line of this package that tests it.
package obstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/cloudtraceservice/cts/obs"
)

// Run runs the whole suite as subtests of t, one for each rule. For each it
// calls newClient once, which returns a client of an empty bucket and uses
// t.Cleanup to take it down. The subtests run one after the other.
func Run(t *testing.T, newClient func(t *testing.T) obs.Client) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			c.run(&check{tester: t, Client: newClient(t), rule: c})
		})
	}
}

// rule is one test with what it is for.
type rule struct {
	name string // of the subtest
	rule string // what a client must do
	why  string // who relies on it
	line string // where this rule is written down
	run  func(c *check)
}

// newRule notes the line it is called from.
func newRule(name, text, why string, run func(c *check)) rule {
	r := rule{name: name, rule: text, why: why, line: "(unknown line)", run: run}
	if _, file, line, ok := runtime.Caller(1); ok {
		r.line = fmt.Sprintf("%s:%d", filepath.Base(file), line)
	}
	return r
}

func cases() []rule {
	var all []rule
	for _, group := range [][]rule{putRules(), readRules(), listRules(), refusalRules(), concurrencyRules()} {
		all = append(all, group...)
	}
	return all
}

// tester is the part of testing.T that the rules use.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	FailNow()
	Context() context.Context
}

// check is a test of one rule on one client.
type check struct {
	tester
	obs.Client
	rule rule
}

// broken reports that the rule does not hold.
func (c *check) broken(format string, args ...any) {
	c.Helper()
	c.Errorf("%s\n\trule: %s\n\twhy:  %s\n\tcase: %s", fmt.Sprintf(format, args...), c.rule.rule, c.rule.why, c.rule.line)
}

// stop reports that the rule does not hold and ends the test. It is called on
// the test's own goroutine.
func (c *check) stop(format string, args ...any) {
	c.Helper()
	c.broken(format, args...)
	c.FailNow()
}

func (c *check) ctx() context.Context { return c.Context() }

// put stores content and ends the test when that fails.
func (c *check) put(key, content string, opts *obs.PutOptions) obs.Object {
	c.Helper()
	o, err := c.Put(c.ctx(), key, bytes.NewReader([]byte(content)), opts)
	if err != nil {
		c.stop("Put(%.60q) of %d bytes: %v", key, len(content), err)
	}
	return o
}

// get returns content and description and ends the test when that fails.
func (c *check) get(key string) (string, obs.Object) {
	c.Helper()
	content, o, err := c.tryGet(key)
	if err != nil {
		c.stop("Get(%.60q): %v", key, err)
	}
	return content, o
}

func (c *check) tryGet(key string) (string, obs.Object, error) {
	return readAll(c.Get(c.ctx(), key))
}

// readAll takes the results of a Get and reads and closes the reader.
func readAll(r io.ReadCloser, o obs.Object, err error) (string, obs.Object, error) {
	if err != nil {
		return "", o, err
	}
	content, err := io.ReadAll(r)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return string(content), o, err
}

// keys lists and ends the test when that fails.
func (c *check) keys(prefix string, opts *obs.ListOptions) []string {
	c.Helper()
	var keys []string
	for o, err := range c.List(c.ctx(), prefix, opts) {
		if err != nil {
			c.stop("List(%q): %v", prefix, err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

// wantError demands an *obs.Error for op that is want.
func (c *check) wantError(what, op string, err, want error) {
	c.Helper()
	typed, ok := errors.AsType[*obs.Error](err)
	switch {
	case !errors.Is(err, want):
		c.broken("%s: got error %v, want one that is %q", what, err, want)
	case !ok || typed.Op != op:
		c.broken("%s: got %T (%v), want an *obs.Error with Op %q", what, err, err, op)
	}
}

// wantAbsent demands that nothing of the object is there.
func (c *check) wantAbsent(key string) {
	c.Helper()
	_, err := c.Head(c.ctx(), key)
	c.wantError(fmt.Sprintf("Head(%.60q)", key), "head", err, obs.ErrNotExist)
	_, _, err = c.tryGet(key)
	c.wantError(fmt.Sprintf("Get(%.60q)", key), "get", err, obs.ErrNotExist)
	if keys := c.keys(key, nil); len(keys) != 0 {
		c.broken("List(%.60q) = %q, want nothing", key, keys)
	}
}
