package dirobs

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/cloudtraceservice/cts/obs"
)

// List implements [obs.Client]. It reads only folders that can hold keys with
// the prefix after ListOptions.After.
func (c *Client) List(ctx context.Context, prefix string, opts *obs.ListOptions) iter.Seq2[obs.Object, error] {
	after := ""
	if opts != nil {
		after = opts.After
	}
	return func(yield func(obs.Object, error) bool) {
		w := &walker{c: c, ctx: ctx, prefix: prefix, after: after, yield: yield}
		if err := w.start(); err != nil && !errors.Is(err, errStopped) {
			yield(obs.Object{}, fail("list", prefix, err))
		}
	}
}

// errStopped ends a walk that the caller left.
var errStopped = errors.New("stopped")

// walker is one use of a List.
type walker struct {
	c             *Client
	ctx           context.Context
	prefix, after string
	yield         func(obs.Object, error) bool
}

// start walks the deepest folder that holds all keys with the prefix.
func (w *walker) start() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	i := strings.LastIndexByte(w.prefix, '/')
	if i < 0 {
		return w.walk(".", "")
	}
	path, err := objectPath(w.prefix[:i])
	if err != nil {
		return nil //nolint:nilerr // no key begins like that
	}
	info, err := w.c.check(path)
	if err != nil || !info.IsDir() {
		if err == nil || errors.Is(classify(err), obs.ErrNotExist) || errors.Is(err, obs.ErrDenied) && !errors.Is(err, fs.ErrPermission) {
			return nil // nothing, no folder, or a symbolic link
		}
		return err
	}
	return w.walk(path, w.prefix[:i+1])
}

// walk yields the objects of the folder at path, whose keys begin with parent.
// Byte order of keys is the order of entries when a folder's name has its
// slash: "a-b" comes before "a/b" and "a0" after it.
func (w *walker) walk(path, parent string) error {
	entries, err := w.c.fs.ReadDir(path)
	if errors.Is(classify(err), obs.ErrNotExist) && path != "." {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return !e.IsDir() && !e.Type().IsRegular() || path == "." && reserved(e.Name())
	})
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	for _, e := range entries {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := w.entry(parent+sortName(e), e); err != nil {
			return err
		}
	}
	return nil
}

func sortName(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}

// entry yields an object, or walks a folder if there can be anything in it.
func (w *walker) entry(key string, e fs.DirEntry) error {
	path, err := objectPath(strings.TrimSuffix(key, "/"))
	if err != nil {
		return nil //nolint:nilerr // no Put made it
	}
	if e.IsDir() {
		past := w.after > key && !strings.HasPrefix(w.after, key)
		if past || !strings.HasPrefix(key, w.prefix) && !strings.HasPrefix(w.prefix, key) {
			return nil
		}
		return w.walk(path, key)
	}
	if !strings.HasPrefix(key, w.prefix) || key <= w.after {
		return nil
	}
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !w.yield(object(key, info, record{}, nil), nil) {
		return errStopped
	}
	return nil
}
