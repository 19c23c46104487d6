package dirobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"

	"github.com/cloudtraceservice/cts/internal/vfs"
	"github.com/cloudtraceservice/cts/obs"
)

// Put implements [obs.Client]. Besides, it returns [ErrKeyConflict],
// [obs.ErrFull] when the volume is full, and [obs.ErrDenied] when permissions
// forbid it or the file system is read-only. ErrFull and ErrDenied leave no
// more than a hidden temporary file behind.
func (c *Client) Put(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
	o, err := c.put(ctx, key, body, opts)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: the folder, or what the put has written there, was removed: %w", obs.ErrNoBucket, err)
	}
	if err != nil {
		return obs.Object{}, fail("put", key, err)
	}
	return o, nil
}

// pending is a Put under way.
type pending struct {
	path     string // of the object
	content  string // temporary file, "" once it is renamed
	record   string // temporary file, "" once it is renamed
	kept     string // the record's final name, "" before that
	info     fs.FileInfo
	r        record
	sum      []byte
	ifAbsent bool
}

func (c *Client) put(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (o obs.Object, err error) {
	if err := ctx.Err(); err != nil {
		return o, err
	}
	p := &pending{}
	if p.path, err = objectPath(key); err != nil {
		return o, err
	}
	if opts == nil {
		opts = &obs.PutOptions{}
	}
	if err := opts.Validate(); err != nil {
		return o, err
	}
	if body == nil {
		return o, fmt.Errorf("%w: the body is nil", obs.ErrInvalid)
	}
	p.ifAbsent = opts.IfAbsent
	p.r = record{
		Version: recordVersion, Key: key, ContentType: opts.ContentType, ContentEncoding: opts.ContentEncoding,
		Metadata: maps.Clone(opts.Metadata),
	}
	if err := c.prepare(p); err != nil {
		return o, err
	}
	defer c.discard(p)
	if err := c.writeContent(ctx, p, body); err != nil {
		return o, err
	}
	if opts.SHA256 != nil && !bytes.Equal(opts.SHA256, p.sum) {
		return o, obs.ErrChecksum
	}
	if err := c.writeRecord(p); err != nil {
		return o, err
	}
	if err := ctx.Err(); err != nil {
		return o, err
	}
	if err := c.commit(p); err != nil {
		return o, err
	}
	return object(key, p.info, p.r, p.sum), nil
}

// prepare finds out early what forbids the put, and makes the folder for its
// temporary files.
func (c *Client) prepare(p *pending) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := c.check(p.path)
	switch {
	case err == nil && p.ifAbsent && info.Mode().IsRegular():
		return c.exists(p.path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return c.makeDurable(metaDir)
}

// exists makes an object durable that somebody made visible, who may have been
// killed before he did it, and returns obs.ErrExists then.
func (c *Client) exists(path string) error {
	dir := filepath.Dir(path)
	if err := c.makeDurable(dir); err != nil {
		return err
	}
	if err := c.fs.SyncDir(dir); err != nil {
		return err
	}
	return obs.ErrExists
}

// createTemp makes a temporary file, and its folder anew if somebody removed it.
func (c *Client) createTemp() (vfs.File, error) {
	f, err := vfs.CreateTemp(c.fs, metaDir, filePerm)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.durable)
	if err := c.makeDurable(metaDir); err != nil {
		return nil, err
	}
	return vfs.CreateTemp(c.fs, metaDir, filePerm)
}

// writeContent writes the body to a temporary file and syncs it.
func (c *Client) writeContent(ctx context.Context, p *pending, body io.Reader) error {
	f, err := c.createTemp()
	if err != nil {
		return err
	}
	p.content = f.Name()
	hash := sha256.New()
	_, err = copyContext(ctx)(io.MultiWriter(f, hash), body)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	// The time is final only after closing, on some systems.
	if p.info, err = c.fs.Stat(p.content); err != nil {
		return err
	}
	p.sum = hash.Sum(nil)
	p.r.Size, p.r.SHA256, p.r.ModTime = p.info.Size(), hex.EncodeToString(p.sum), p.info.ModTime().UTC()
	return nil
}

// writeRecord writes the record to a temporary file and syncs it.
func (c *Client) writeRecord(p *pending) error {
	data, err := json.Marshal(p.r)
	if err != nil {
		return err
	}
	f, err := c.createTemp()
	if err != nil {
		return err
	}
	p.record = f.Name()
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// maxAttempts bounds how often a step is repeated because another process
// removed a folder meanwhile.
const maxAttempts = 16

// commit makes first the record and then the object durable and visible.
func (c *Client) commit(p *pending) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := filepath.Join(recordDir(p.path), recordName(p.record))
	if err := c.place(name, func() error { return c.fs.Rename(p.record, name) }); err != nil {
		return err
	}
	p.record, p.kept = "", name
	old, err := c.checkObject(p.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := c.place(p.path, func() error { return c.makeVisible(p) }); err != nil {
		return err
	}
	p.kept = ""
	c.removeRecords(p.path, p.r.Key, name, old)
	return nil
}

// place makes the folder of name durable, puts a file there by put, and makes
// that durable. The caller holds mu.
func (c *Client) place(name string, put func() error) error {
	dir := filepath.Dir(name)
	var err error
	for range maxAttempts {
		if err = c.makeDurable(dir); err == nil {
			err = put()
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		clear(c.durable) // another process has removed a folder
	}
	if err != nil {
		return err
	}
	return c.fs.SyncDir(dir)
}

// makeVisible gives the content its name. The record stays when that may have
// happened, whatever the error says.
func (c *Client) makeVisible(p *pending) error {
	err := c.moveContent(p)
	info, cerr := c.check(p.path)
	if err != nil && cerr == nil && info.IsDir() {
		if err := c.removeEmptyFolder(p.path); err != nil {
			return err
		}
		err = c.moveContent(p)
		info, cerr = c.check(p.path)
	}
	switch {
	case err == nil:
		p.kept = ""
	case p.ifAbsent && errors.Is(err, fs.ErrExist):
		if cerr == nil && sameFile(info, p.info) {
			// Some network file systems repeat a request that succeeded.
			p.kept = ""
			return nil
		}
		return c.exists(p.path)
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission):
		p.kept = ""
	}
	return err
}

func (c *Client) moveContent(p *pending) error {
	if p.ifAbsent {
		return c.fs.Link(p.content, p.path)
	}
	if err := c.fs.Rename(p.content, p.path); err != nil {
		return err
	}
	p.content = ""
	return nil
}

// removeEmptyFolder removes the folder at path, which stands in the way of an
// object, if nothing but folders is in it.
func (c *Client) removeEmptyFolder(path string) error {
	ok, err := c.removeEmptyTree(path)
	if err == nil && !ok {
		err = fmt.Errorf("%w: it is a folder of objects", ErrKeyConflict)
	}
	return err
}

// removeRecords removes the records of the object at path that nobody needs:
// that of its replaced or removed file old, and old ones that killed puts left.
// It leaves keep, and those of puts under way in other processes. The caller
// holds mu. The change has taken place, so its errors are not returned: what
// stays is not believed, and removed another time.
func (c *Client) removeRecords(path, key, keep string, old fs.FileInfo) {
	records, err := c.records(path, key)
	if err != nil {
		return
	}
	for name, r := range records {
		if name == keep {
			continue
		}
		info, err := c.fs.Stat(name)
		if err == nil && (old != nil && r.has(old) || c.isOld(info)) {
			_ = c.fs.Remove(name)
		}
	}
}

// discard removes what a put no longer needs.
func (c *Client) discard(p *pending) {
	for _, name := range []string{p.content, p.record, p.kept} {
		if name != "" {
			_ = c.fs.Remove(name) // Open removes it later
		}
	}
	if p.kept != "" {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.prune(filepath.Dir(p.kept), metaDir)
	}
}

// Delete implements [obs.Client].
func (c *Client) Delete(ctx context.Context, key string) error {
	if err := c.delete(ctx, key); err != nil {
		return fail("delete", key, err)
	}
	return nil
}

func (c *Client) delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path, err := objectPath(key)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := c.checkObject(path)
	if err == nil {
		err = c.fs.Remove(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Also when it is absent: whoever removed it may have been killed before
	// that was durable.
	dir := filepath.Dir(path)
	if err := c.fs.SyncDir(dir); err != nil && !errors.Is(classify(err), obs.ErrNotExist) {
		return err
	}
	c.removeRecords(path, key, "", info)
	c.prune(recordDir(path), metaDir)
	c.prune(dir, ".")
	return nil
}
