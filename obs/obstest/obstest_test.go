package obstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/memobs"
)

// recorder stands in for testing.T and keeps what it is told.
type recorder struct {
	ctx    context.Context
	mu     sync.Mutex
	failed []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, fmt.Sprintf(format, args...))
}

func (r *recorder) FailNow() { runtime.Goexit() }

func (r *recorder) Context() context.Context { return r.ctx }

// failures runs the named rules, or all, on fresh clients and returns those
// that fail.
func failures(t *testing.T, names []string, newClient func() obs.Client) map[string][]string {
	failed := map[string][]string{}
	for _, rule := range cases() {
		if names != nil && !slices.Contains(names, rule.name) {
			continue
		}
		rec := &recorder{ctx: t.Context()}
		done := make(chan struct{})
		go func() {
			defer close(done)
			rule.run(&check{tester: rec, Client: newClient(), rule: rule})
		}()
		<-done
		if len(rec.failed) > 0 {
			failed[rule.name] = rec.failed
		}
	}
	return failed
}

// brokenClient is a client with one fault.
type brokenClient struct {
	obs.Client
	put    func(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error)
	get    func(r io.ReadCloser, o obs.Object, err error) (io.ReadCloser, obs.Object, error)
	head   func(o obs.Object, err error) (obs.Object, error)
	list   func(prefix string, opts *obs.ListOptions) (string, *obs.ListOptions, func(obs.Object) bool)
	delete func(ctx context.Context, key string) error
}

func (c *brokenClient) Put(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
	if c.put != nil {
		return c.put(ctx, key, body, opts)
	}
	return c.Client.Put(ctx, key, body, opts)
}

func (c *brokenClient) Get(ctx context.Context, key string) (io.ReadCloser, obs.Object, error) {
	if c.get != nil {
		return c.get(c.Client.Get(ctx, key))
	}
	return c.Client.Get(ctx, key)
}

func (c *brokenClient) Head(ctx context.Context, key string) (obs.Object, error) {
	if c.head != nil {
		return c.head(c.Client.Head(ctx, key))
	}
	return c.Client.Head(ctx, key)
}

func (c *brokenClient) List(ctx context.Context, prefix string, opts *obs.ListOptions) iter.Seq2[obs.Object, error] {
	if c.list == nil {
		return c.Client.List(ctx, prefix, opts)
	}
	prefix, opts, keep := c.list(prefix, opts)
	return func(yield func(obs.Object, error) bool) {
		for o, err := range c.Client.List(ctx, prefix, opts) {
			if err == nil && !keep(o) {
				continue
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

func (c *brokenClient) Delete(ctx context.Context, key string) error {
	if c.delete != nil {
		return c.delete(ctx, key)
	}
	return c.Client.Delete(ctx, key)
}

// pairing makes the first caller for a key wait for the second.
type pairing struct {
	mu      sync.Mutex
	waiting map[string]chan struct{}
}

func (p *pairing) wait(key string) {
	p.mu.Lock()
	second, ok := p.waiting[key]
	switch {
	case !ok:
		second = make(chan struct{})
		p.waiting[key] = second
	case second != nil:
		close(second)
		p.waiting[key], second = nil, nil
	}
	p.mu.Unlock()
	if second != nil {
		<-second
	}
}

// TestSuiteFindsFaults gives the suite clients with one fault each and demands
// that the rule for it fails.
func TestSuiteFindsFaults(t *testing.T) {
	all := func(obs.Object) bool { return true }
	tests := []struct {
		name  string
		fault func(c *brokenClient)
		rules []string
	}{
		{"none", func(*brokenClient) {}, nil},
		{"overwrites in spite of IfAbsent", func(c *brokenClient) {
			c.put = func(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
				if opts != nil {
					o := *opts
					o.IfAbsent = false
					opts = &o
				}
				return c.Client.Put(ctx, key, body, opts)
			}
		}, []string{"IfAbsent", "IfAbsentRace"}},
		{"checks and puts in two steps", func(c *brokenClient) {
			pair := &pairing{waiting: map[string]chan struct{}{}}
			c.put = func(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
				if opts == nil || !opts.IfAbsent {
					return c.Client.Put(ctx, key, body, opts)
				}
				if _, err := c.Client.Head(ctx, key); err == nil {
					return obs.Object{}, &obs.Error{Op: "put", Key: key, Err: obs.ErrExists}
				}
				if strings.HasPrefix(key, "race/") {
					pair.wait(key)
				}
				o := *opts
				o.IfAbsent = false
				return c.Client.Put(ctx, key, body, &o)
			}
		}, []string{"IfAbsentRace"}},
		{"ignores the hash", func(c *brokenClient) {
			c.put = func(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
				if opts != nil && len(opts.SHA256) == 32 {
					o := *opts
					o.SHA256 = nil
					opts = &o
				}
				return c.Client.Put(ctx, key, body, opts)
			}
		}, []string{"Checksum"}},
		{"reads the body from its beginning", func(c *brokenClient) {
			c.put = func(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
				if body != nil {
					if _, err := body.Seek(0, io.SeekStart); err != nil {
						return obs.Object{}, err
					}
				}
				return c.Client.Put(ctx, key, body, opts)
			}
		}, []string{"BodyPosition"}},
		{"stores what it got of a failing body", func(c *brokenClient) {
			c.put = func(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
				if body == nil {
					return c.Client.Put(ctx, key, nil, opts)
				}
				data, err := io.ReadAll(body)
				o, perr := c.Client.Put(ctx, key, bytes.NewReader(data), opts)
				if err != nil {
					return o, &obs.Error{Op: "put", Key: key, Err: err}
				}
				return o, perr
			}
		}, []string{"BodyFails"}},
		{"errors without type", func(c *brokenClient) {
			c.head = func(o obs.Object, err error) (obs.Object, error) { return o, errors.Unwrap(err) }
		}, []string{"Absent", "InvalidKeys", "Cancelled"}},
		{"loses metadata in Head", func(c *brokenClient) {
			c.head = func(o obs.Object, err error) (obs.Object, error) {
				o.Metadata = nil
				return o, err
			}
		}, []string{"Metadata"}},
		{"claims another hash", func(c *brokenClient) {
			c.head = func(o obs.Object, err error) (obs.Object, error) {
				if err == nil {
					o.SHA256 = make([]byte, 32)
				}
				return o, err
			}
		}, []string{"ReportedHash"}},
		{"cuts large objects", func(c *brokenClient) {
			c.get = func(r io.ReadCloser, o obs.Object, err error) (io.ReadCloser, obs.Object, error) {
				if err == nil {
					r = io.NopCloser(io.LimitReader(r, 4<<20))
				}
				return r, o, err
			}
		}, []string{"LargeObject"}},
		{"takes a prefix for a folder", func(c *brokenClient) {
			c.list = func(prefix string, opts *obs.ListOptions) (string, *obs.ListOptions, func(obs.Object) bool) {
				return prefix, opts, func(o obs.Object) bool {
					return prefix == "" || strings.HasSuffix(prefix, "/") || o.Key == prefix || strings.HasPrefix(o.Key, prefix+"/")
				}
			}
		}, []string{"ListPrefix"}},
		{"lists from After on", func(c *brokenClient) {
			c.list = func(prefix string, opts *obs.ListOptions) (string, *obs.ListOptions, func(obs.Object) bool) {
				return prefix, nil, func(o obs.Object) bool { return opts == nil || o.Key >= opts.After }
			}
		}, []string{"ListAfter"}},
		{"ends after one page", func(c *brokenClient) {
			c.list = func(prefix string, opts *obs.ListOptions) (string, *obs.ListOptions, func(obs.Object) bool) {
				n := 0
				return prefix, opts, func(obs.Object) bool { n++; return n <= 1000 }
			}
		}, []string{"ListMany"}},
		{"does not delete", func(c *brokenClient) {
			c.delete = func(ctx context.Context, key string) error {
				_, err := c.Client.Head(ctx, key)
				if err = errors.Unwrap(err); err != nil && !errors.Is(err, obs.ErrNotExist) {
					return &obs.Error{Op: "delete", Key: key, Err: err}
				}
				return nil
			}
			c.list = func(prefix string, opts *obs.ListOptions) (string, *obs.ListOptions, func(obs.Object) bool) {
				return prefix, opts, all
			}
		}, []string{"Delete", "ListWhileChanging"}},
		{"complains when there is nothing to delete", func(c *brokenClient) {
			c.delete = func(ctx context.Context, key string) error {
				if _, err := c.Client.Head(ctx, key); err != nil {
					return &obs.Error{Op: "delete", Key: key, Err: errors.Unwrap(err)}
				}
				return c.Client.Delete(ctx, key)
			}
		}, []string{"DeleteAbsent"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			failed := failures(t, test.rules, func() obs.Client {
				c := &brokenClient{Client: memobs.New(nil)}
				test.fault(c)
				return c
			})
			if test.rules == nil && len(failed) > 0 {
				t.Errorf("a good client fails: %v", failed)
			}
			for _, rule := range test.rules {
				texts := failed[rule]
				if len(texts) == 0 {
					t.Errorf("the rule %s held", rule)
					continue
				}
				for _, want := range []string{"rule: ", "why:  ", "case: "} {
					if !strings.Contains(texts[0], want) {
						t.Errorf("the failure does not tell %q:\n%s", want, texts[0])
					}
				}
			}
		})
	}
}

func TestRulesSayWhatTheyAre(t *testing.T) {
	var names []string
	for _, r := range cases() {
		if r.rule == "" || r.why == "" || r.run == nil || !strings.Contains(r.line, ".go:") || strings.HasPrefix(r.line, "obstest.go") {
			t.Errorf("%s is not complete: %q", r.name, r.line)
		}
		if slices.Contains(names, r.name) {
			t.Errorf("two rules are named %s", r.name)
		}
		names = append(names, r.name)
	}
}
