// Package memobs is an [obs.Client] in memory, for tests and for trying things
// out. What it holds ends with the process; in its terms that is durable.
package memobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloudtraceservice/cts/obs"
)

// Options are the choices of [New].
type Options struct {
	// MaxBytes bounds keys, contents and metadata together, in bytes. A Put
	// beyond it is refused with [obs.ErrFull].
	// Default: 256 MiB.
	MaxBytes int64

	// Now is the clock for Object.ModTime. It may be called concurrently.
	// Default: time.Now.
	Now func() time.Time
}

const defaultMaxBytes = 256 << 20

// Client is a bucket in memory. It implements [obs.Client] to the letter, with
// SHA256 in every Object. Make one with [New].
type Client struct {
	maxBytes int64
	now      func() time.Time

	mu       sync.RWMutex
	objects  map[string]stored
	keys     []string // of objects, sorted
	size     int64    // of all objects
	versions uint64   // puts so far
}

var _ obs.Client = (*Client)(nil)

// stored is one version of an object. It is never changed.
type stored struct {
	obs.Object
	content []byte
}

func (s stored) size() int64 {
	n := len(s.Key) + len(s.content) + len(s.ContentType) + len(s.ContentEncoding)
	for key, value := range s.Metadata {
		n += len(key) + len(value)
	}
	return int64(n)
}

// object returns a description that shares no memory.
func (s stored) object() obs.Object {
	o := s.Object
	o.SHA256 = slices.Clone(o.SHA256)
	o.Metadata = maps.Clone(o.Metadata)
	return o
}

// New returns an empty bucket. Nil opts are the defaults, and a MaxBytes that
// is not positive is the default.
func New(opts *Options) *Client {
	c := &Client{maxBytes: defaultMaxBytes, objects: map[string]stored{}}
	c.now = time.Now //nolint:forbidigo // the one default of the injected clock
	if opts != nil && opts.MaxBytes > 0 {
		c.maxBytes = opts.MaxBytes
	}
	if opts != nil && opts.Now != nil {
		c.now = opts.Now
	}
	return c
}

// Put implements [obs.Client]. The body is read before the bucket is locked.
func (c *Client) Put(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
	s, err := c.put(ctx, key, body, opts)
	if err != nil {
		return obs.Object{}, &obs.Error{Op: "put", Key: key, Err: err}
	}
	return s.object(), nil
}

func (c *Client) put(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (stored, error) {
	if err := check(ctx, key); err != nil {
		return stored{}, err
	}
	if opts == nil {
		opts = &obs.PutOptions{}
	}
	if err := opts.Validate(); err != nil {
		return stored{}, err
	}
	if body == nil {
		return stored{}, fmt.Errorf("%w: the body is nil", obs.ErrInvalid)
	}
	content, err := io.ReadAll(io.LimitReader(ctxReader{ctx, body}, max(c.maxBytes, c.maxBytes+1)))
	if err != nil {
		return stored{}, err
	}
	if int64(len(content)) > c.maxBytes {
		return stored{}, c.full()
	}
	sum := sha256.Sum256(content)
	if opts.SHA256 != nil && !bytes.Equal(opts.SHA256, sum[:]) {
		return stored{}, obs.ErrChecksum
	}
	return c.insert(stored{
		Object: obs.Object{
			Key: strings.Clone(key), Size: int64(len(content)), SHA256: sum[:],
			ContentType: opts.ContentType, ContentEncoding: opts.ContentEncoding, Metadata: maps.Clone(opts.Metadata),
		},
		content: content,
	}, opts.IfAbsent)
}

func (c *Client) insert(s stored, ifAbsent bool) (stored, error) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	old, exists := c.objects[s.Key]
	if exists && ifAbsent {
		return stored{}, obs.ErrExists
	}
	size := c.size + s.size()
	if exists {
		size -= old.size()
	}
	if size > c.maxBytes {
		return stored{}, c.full()
	}
	c.versions++
	s.ModTime = now
	s.ETag = strconv.FormatUint(c.versions, 10)
	c.objects[s.Key] = s
	c.size = size
	if !exists {
		i, _ := slices.BinarySearch(c.keys, s.Key)
		c.keys = slices.Insert(c.keys, i, s.Key)
	}
	return s, nil
}

func (c *Client) full() error {
	return fmt.Errorf("%w: the bucket is limited to %d bytes", obs.ErrFull, c.maxBytes)
}

// Get implements [obs.Client].
func (c *Client) Get(ctx context.Context, key string) (io.ReadCloser, obs.Object, error) {
	return c.GetRange(ctx, key, 0, -1)
}

// GetRange implements [obs.Client].
func (c *Client) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, obs.Object, error) {
	s, err := c.lookup(ctx, key)
	if err == nil && offset < 0 {
		err = fmt.Errorf("%w: offset %d is negative", obs.ErrInvalid, offset)
	}
	if err != nil {
		return nil, obs.Object{}, &obs.Error{Op: "get", Key: key, Err: err}
	}
	content := s.content[min(offset, s.Size):]
	if length >= 0 {
		content = content[:min(length, int64(len(content)))]
	}
	return io.NopCloser(ctxReader{ctx, bytes.NewReader(content)}), s.object(), nil
}

// Head implements [obs.Client].
func (c *Client) Head(ctx context.Context, key string) (obs.Object, error) {
	s, err := c.lookup(ctx, key)
	if err != nil {
		return obs.Object{}, &obs.Error{Op: "head", Key: key, Err: err}
	}
	return s.object(), nil
}

func (c *Client) lookup(ctx context.Context, key string) (stored, error) {
	if err := check(ctx, key); err != nil {
		return stored{}, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	s, ok := c.objects[key]
	if !ok {
		return stored{}, obs.ErrNotExist
	}
	return s, nil
}

// List implements [obs.Client]. No lock is held while the loop's body runs.
func (c *Client) List(ctx context.Context, prefix string, opts *obs.ListOptions) iter.Seq2[obs.Object, error] {
	after := ""
	if opts != nil {
		after = opts.After
	}
	return func(yield func(obs.Object, error) bool) {
		for last := after; ; {
			if err := ctx.Err(); err != nil {
				yield(obs.Object{}, &obs.Error{Op: "list", Key: prefix, Err: err})
				return
			}
			s, ok := c.next(prefix, last)
			if !ok || !yield(s.object(), nil) {
				return
			}
			last = s.Key
		}
	}
}

// next returns the first object with the prefix after the key last.
func (c *Client) next(prefix, last string) (stored, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i, found := slices.BinarySearch(c.keys, max(prefix, last))
	if found && c.keys[i] == last {
		i++
	}
	if i == len(c.keys) || !strings.HasPrefix(c.keys[i], prefix) {
		return stored{}, false
	}
	return c.objects[c.keys[i]], true
}

// Delete implements [obs.Client].
func (c *Client) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return &obs.Error{Op: "delete", Key: key, Err: err}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.objects[key]
	if !ok {
		return nil
	}
	c.size -= s.size()
	delete(c.objects, key)
	i, _ := slices.BinarySearch(c.keys, key)
	c.keys = slices.Delete(c.keys, i, i+1)
	return nil
}

// Size returns the bytes that count towards Options.MaxBytes.
func (c *Client) Size() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.size
}

func check(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return obs.ValidateKey(key)
}

// ctxReader fails once its context has ended.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
