package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/cloudtraceservice/cts/obs"
	"github.com/cloudtraceservice/cts/obs/dirobs"
	"github.com/cloudtraceservice/cts/obs/s3obs"
)

const bucketHelp = `BUCKET is a folder, the one that traces are dumped into or a copy of it, or
s3://NAME[/FOLDER] in an object store. Credentials come from where all tools for S3 take
them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the machine's role.
Stores other than AWS are named with --endpoint.`

// readHelp is for the commands that only read.
const readHelp = bucketHelp + " Nothing in the bucket is changed."

// bucketFlags say how to reach a bucket in an object store.
type bucketFlags struct {
	endpoint  string
	region    string
	pathStyle bool
}

func (f *bucketFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.endpoint, "endpoint", "", "`URL` of the object store, such as https://obs.eu-de.otc.t-systems.com (default: AWS_ENDPOINT_URL, else AWS)")
	flags.StringVar(&f.region, "s3-region", "", "`REGION` that requests are signed for (default: AWS_REGION)")
	flags.BoolVar(&f.pathStyle, "path-style", false, "the bucket's name goes into the path, not into the host name (MinIO, Ceph)")
}

// openBucket opens a bucket for reading. The caller closes it.
func openBucket(ctx context.Context, name string, f bucketFlags) (obs.Client, func() error, error) {
	folder, closeBucket, err := openFolder(ctx, name, f)
	return readOnly{folder}, closeBucket, err
}

// openWritable opens a bucket for reading and writing. The caller closes it.
func openWritable(ctx context.Context, name string, f bucketFlags) (obs.Client, func() error, error) {
	folder, closeBucket, err := openFolder(ctx, name, f)
	return folder, closeBucket, err
}

func openFolder(ctx context.Context, name string, f bucketFlags) (bucketFolder, func() error, error) {
	if where, ok := strings.CutPrefix(name, "s3://"); ok {
		bucket, folder, _ := strings.Cut(where, "/")
		client, err := s3obs.New(ctx, bucket, &s3obs.Options{Endpoint: f.endpoint, Region: f.region, PathStyle: f.pathStyle})
		if errors.Is(err, obs.ErrInvalid) {
			return bucketFolder{}, nil, usageError{err}
		}
		if err != nil {
			return bucketFolder{}, nil, err
		}
		if folder = strings.Trim(folder, "/"); folder != "" {
			folder += "/"
		}
		return bucketFolder{client, folder}, func() error { return nil }, nil
	}
	if strings.Contains(name, "://") || strings.HasPrefix(name, "s3:") {
		return bucketFolder{}, nil, usagef("BUCKET %q: want a folder, or s3://NAME[/FOLDER]", name)
	}
	if info, err := os.Stat(name); err != nil {
		return bucketFolder{}, nil, fmt.Errorf("opening the bucket: %w", err)
	} else if !info.IsDir() {
		return bucketFolder{}, nil, fmt.Errorf("opening the bucket: %s is no folder", name)
	}
	client, err := dirobs.Open(name, nil)
	if err != nil {
		return bucketFolder{}, nil, err
	}
	return bucketFolder{client, ""}, client.Close, nil
}

// readOnly is a bucket in which nothing can be changed.
type readOnly struct{ obs.Client }

// Put implements [obs.Client]: it is denied.
func (readOnly) Put(_ context.Context, key string, _ io.ReadSeeker, _ *obs.PutOptions) (obs.Object, error) {
	return obs.Object{}, &obs.Error{Op: "put", Key: key, Err: obs.ErrDenied}
}

// Delete implements [obs.Client]: it is denied.
func (readOnly) Delete(_ context.Context, key string) error {
	return &obs.Error{Op: "delete", Key: key, Err: obs.ErrDenied}
}

// bucketFolder is a folder of a bucket as a bucket of its own. The folder is "" or ends in a
// slash.
type bucketFolder struct {
	bucket obs.Client
	folder string
}

// object returns o as the bucket shows it.
func (b bucketFolder) object(o obs.Object) obs.Object {
	o.Key = strings.TrimPrefix(o.Key, b.folder)
	return o
}

// Put implements [obs.Client].
func (b bucketFolder) Put(ctx context.Context, key string, body io.ReadSeeker, opts *obs.PutOptions) (obs.Object, error) {
	o, err := b.bucket.Put(ctx, b.folder+key, body, opts)
	return b.object(o), err
}

// Get implements [obs.Client].
func (b bucketFolder) Get(ctx context.Context, key string) (io.ReadCloser, obs.Object, error) {
	body, o, err := b.bucket.Get(ctx, b.folder+key)
	return body, b.object(o), err
}

// GetRange implements [obs.Client].
func (b bucketFolder) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, obs.Object, error) {
	body, o, err := b.bucket.GetRange(ctx, b.folder+key, offset, length)
	return body, b.object(o), err
}

// Head implements [obs.Client].
func (b bucketFolder) Head(ctx context.Context, key string) (obs.Object, error) {
	o, err := b.bucket.Head(ctx, b.folder+key)
	return b.object(o), err
}

// List implements [obs.Client].
func (b bucketFolder) List(ctx context.Context, prefix string, opts *obs.ListOptions) iter.Seq2[obs.Object, error] {
	if opts != nil && opts.After != "" && b.folder != "" {
		opts = &obs.ListOptions{After: b.folder + opts.After}
	}
	return func(yield func(obs.Object, error) bool) {
		for o, err := range b.bucket.List(ctx, b.folder+prefix, opts) {
			if !yield(b.object(o), err) {
				return
			}
		}
	}
}

// Delete implements [obs.Client].
func (b bucketFolder) Delete(ctx context.Context, key string) error {
	return b.bucket.Delete(ctx, b.folder+key)
}
