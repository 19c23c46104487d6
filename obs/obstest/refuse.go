package obstest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/cloudtraceservice/cts/obs"
)

func refusalRules() []rule {
	return []rule{
		newRule("InvalidKeys", "every method refuses keys that break obs.ValidateKey with ErrInvalidKey",
			"a key from outside must not lead out of the bucket", invalidKeys),
		newRule("InvalidOptions", "Put refuses what breaks obs.PutOptions.Validate, and a nil body, with ErrInvalid and stores nothing",
			"what one store drops silently another must not take", invalidOptions),
		newRule("BodyFails", "Put returns the error of its body and leaves what was there",
			"half a file must not be delivered", bodyFails),
		newRule("Cancelled", "a method whose context has ended returns its error and changes nothing",
			"a service that shuts down must not hang, nor think it has delivered", cancelled),
		newRule("CancelledInPut", "a Put whose context ends while the body is read stores all or nothing",
			"half a file must not be delivered", cancelledInPut),
	}
}

func invalidKeys(c *check) {
	for _, key := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\x00b", "a\n", "\xff", strings.Repeat("k", 1025)} {
		_, err := c.Put(c.ctx(), key, strings.NewReader("x"), nil)
		c.wantError(fmt.Sprintf("Put(%.40q)", key), "put", err, obs.ErrInvalidKey)
		_, _, err = c.tryGet(key)
		c.wantError(fmt.Sprintf("Get(%.40q)", key), "get", err, obs.ErrInvalidKey)
		_, _, err = readAll(c.GetRange(c.ctx(), key, 0, 1))
		c.wantError(fmt.Sprintf("GetRange(%.40q)", key), "get", err, obs.ErrInvalidKey)
		_, err = c.Head(c.ctx(), key)
		c.wantError(fmt.Sprintf("Head(%.40q)", key), "head", err, obs.ErrInvalidKey)
		c.wantError(fmt.Sprintf("Delete(%.40q)", key), "delete", c.Client.Delete(c.ctx(), key), obs.ErrInvalidKey)
	}
	if got := c.keys("", nil); len(got) != 0 {
		c.broken("stored %q", got)
	}
}

func invalidOptions(c *check) {
	for what, opts := range map[string]*obs.PutOptions{
		"upper-case metadata key":  {Metadata: map[string]string{"Key": "v"}},
		"line break in a value":    {Metadata: map[string]string{"k": "a\r\nx-other: b"}},
		"too much metadata":        {Metadata: map[string]string{"k": strings.Repeat("v", obs.MaxMetadata)}},
		"line break in the type":   {ContentType: "a\nb"},
		"a hash of another length": {SHA256: make([]byte, 16)},
	} {
		_, err := c.Put(c.ctx(), "k", strings.NewReader("x"), opts)
		c.wantError("Put with "+what, "put", err, obs.ErrInvalid)
	}
	_, err := c.Put(c.ctx(), "k", nil, nil)
	c.wantError("Put without a body", "put", err, obs.ErrInvalid)
	c.wantAbsent("k")
}

var errBody = errors.New("the body fails")

// failingBody yields n bytes and fails then; it calls then, if set, at the end.
type failingBody struct {
	n    int
	then func() error
}

func (b *failingBody) Read(p []byte) (int, error) {
	if b.n == 0 {
		return 0, b.then()
	}
	n := min(b.n, len(p))
	clear(p[:n])
	b.n -= n
	return n, nil
}

func (b *failingBody) Seek(int64, int) (int64, error) { return 0, nil }

func bodyFails(c *check) {
	fail := func() error { return errBody }
	_, err := c.Put(c.ctx(), "new", &failingBody{n: 100_000, then: fail}, nil)
	c.wantError("Put", "put", err, errBody)
	c.wantAbsent("new")
	c.put("old", "old", nil)
	_, err = c.Put(c.ctx(), "old", &failingBody{then: fail}, nil)
	c.wantError("Put", "put", err, errBody)
	if got, _ := c.get("old"); got != "old" {
		c.broken("the old content is now %d bytes", len(got))
	}
}

func cancelled(c *check) {
	c.put("k", "old", nil)
	ctx, cancel := context.WithCancel(c.ctx())
	cancel()
	_, err := c.Put(ctx, "k", strings.NewReader("new"), nil)
	c.wantError("Put", "put", err, context.Canceled)
	_, err = c.Put(ctx, "other", strings.NewReader("new"), nil)
	c.wantError("Put", "put", err, context.Canceled)
	_, _, err = readAll(c.Get(ctx, "k"))
	c.wantError("Get", "get", err, context.Canceled)
	_, _, err = readAll(c.GetRange(ctx, "k", 0, 1))
	c.wantError("GetRange", "get", err, context.Canceled)
	_, err = c.Head(ctx, "k")
	c.wantError("Head", "head", err, context.Canceled)
	c.wantError("Delete", "delete", c.Client.Delete(ctx, "k"), context.Canceled)
	n := 0
	for o, err := range c.List(ctx, "", nil) {
		c.wantError("List", "list", err, context.Canceled)
		if o.Key != "" {
			c.broken("List yields %q beside its error", o.Key)
		}
		n++
	}
	if n != 1 {
		c.broken("List yields %d times, want its error once", n)
	}
	if got, _ := c.get("k"); got != "old" || len(c.keys("", nil)) != 1 {
		c.broken("something changed: %q, %q", got, c.keys("", nil))
	}
}

func cancelledInPut(c *check) {
	const size = 300_000
	ctx, cancel := context.WithCancel(c.ctx())
	defer cancel()
	body := &failingBody{n: size, then: func() error {
		cancel()
		return io.EOF
	}}
	_, err := c.Put(ctx, "k", body, nil)
	content, _, gerr := c.tryGet("k")
	switch {
	case gerr == nil && len(content) == size:
	case gerr == nil:
		c.broken("an object of %d bytes was stored", len(content))
	case err == nil:
		c.broken("Put succeeded and there is no object: %v", gerr)
	}
	if err != nil {
		c.wantError("Put", "put", err, context.Canceled)
	}
}

func concurrencyRules() []rule {
	return []rule{
		newRule("IfAbsentRace", "of 16 concurrent puts with IfAbsent exactly one succeeds, and the object is the winner's in content and metadata",
			"several writers share a bucket without coordination", ifAbsentRace),
		newRule("OverwriteRace", "of concurrent puts one wins whole: content and metadata always belong together",
			"an object is its content and its signature", overwriteRace),
		newRule("MixedUse", "all methods may be used at once",
			"delivery, verification and retention run side by side", mixedUse),
	}
}

// version is the n-th version of an object: content and matching metadata. All
// have one size.
func version(n int) (string, *obs.PutOptions) {
	mark := fmt.Sprintf("%08d", n)
	return strings.Repeat(mark, 2000), &obs.PutOptions{ContentType: "text/v" + mark, Metadata: map[string]string{"version": mark}}
}

// wantVersion demands that content and description are of one version, which
// it returns.
func (c *check) wantVersion(content string, o obs.Object) string {
	mark := content[:min(8, len(content))]
	if content != strings.Repeat(mark, 2000) {
		c.broken("content of %d bytes is of no version", len(content))
	}
	if o.Metadata["version"] != mark || o.ContentType != "text/v"+mark {
		c.broken("content of version %s has the type %q and the metadata %v", mark, o.ContentType, o.Metadata)
	}
	return mark
}

func ifAbsentRace(c *check) {
	for round := range 5 {
		key := fmt.Sprintf("race/%d", round)
		var wg sync.WaitGroup
		start := make(chan struct{})
		winners := make(chan string, 16)
		for n := range 16 {
			wg.Go(func() {
				content, opts := version(n)
				opts.IfAbsent = true
				<-start
				_, err := c.Put(c.ctx(), key, strings.NewReader(content), opts)
				if err == nil {
					winners <- opts.Metadata["version"]
					return
				}
				c.wantError("Put", "put", err, obs.ErrExists)
				// Whoever is told that it exists finds it.
				if content, o, err := c.tryGet(key); err != nil {
					c.broken("Get after ErrExists: %v", err)
				} else {
					c.wantVersion(content, o)
				}
			})
		}
		close(start)
		wg.Wait()
		if len(winners) != 1 {
			c.stop("%d of 16 puts succeeded, want 1", len(winners))
		}
		if got, want := c.wantVersion(c.get(key)), <-winners; got != want {
			c.broken("the object is version %s, the winner's is %s", got, want)
		}
	}
}

func overwriteRace(c *check) {
	content, opts := version(0)
	c.put("k", content, opts)
	var wg sync.WaitGroup
	for n := 1; n <= 4; n++ {
		wg.Go(func() {
			for i := range 10 {
				content, opts := version(n*100 + i)
				if _, err := c.Put(c.ctx(), "k", strings.NewReader(content), opts); err != nil {
					c.broken("Put: %v", err)
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				content, o, err := c.tryGet("k")
				if err != nil {
					c.broken("Get: %v", err)
					continue
				}
				c.wantVersion(content, o)
			}
		})
	}
	wg.Wait()
	c.wantVersion(c.get("k"))
}

func mixedUse(c *check) {
	keys := []string{"a", "b/a", "b/b", "c/d/e"}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 1))
			for n := range 40 {
				c.mixedStep(rng.IntN(6), keys[rng.IntN(len(keys))], worker*100+n)
			}
		})
	}
	wg.Wait()
	for _, key := range keys {
		content, opts := version(1)
		c.put(key, content, opts)
		c.wantVersion(c.get(key))
	}
}

// mixedStep does one operation on one of a few keys that others use too.
func (c *check) mixedStep(op int, key string, n int) {
	var err error
	switch op {
	case 0, 1:
		content, opts := version(n)
		opts.IfAbsent = op == 1
		_, err = c.Put(c.ctx(), key, strings.NewReader(content), opts)
	case 2:
		err = c.Client.Delete(c.ctx(), key)
	case 3:
		_, err = c.Head(c.ctx(), key)
	case 4:
		for o, err := range c.List(c.ctx(), "", nil) {
			if err != nil || o.Size != 16000 {
				c.broken("List: %+v, %v", o, err)
			}
		}
	default:
		var content string
		var o obs.Object
		if content, o, err = c.tryGet(key); err == nil {
			c.wantVersion(content, o)
		}
	}
	if err != nil && !errors.Is(err, obs.ErrNotExist) && !errors.Is(err, obs.ErrExists) {
		c.broken("operation %d on %q: %v", op, key, err)
	}
}
