package s3obs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/cloudtraceservice/cts/obs"
)

// errList is for answers that would lose objects without a word.
var errList = errors.New("the store's list is broken")

// List implements [obs.Client], in pages of a thousand objects. A store that does
// not list in byte order, such as a directory bucket of AWS, is an error.
func (c *Client) List(ctx context.Context, prefix string, opts *obs.ListOptions) iter.Seq2[obs.Object, error] {
	after := ""
	if opts != nil {
		after = opts.After
	}
	return func(yield func(obs.Object, error) bool) {
		if err := c.list(ctx, prefix, after, yield); err != nil {
			yield(obs.Object{}, &obs.Error{Op: "list", Key: prefix, Err: err})
		}
	}
}

// list yields the objects and returns nil when it is done or told to stop.
func (c *Client) list(ctx context.Context, prefix, after string, yield func(obs.Object, error) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if after > prefix && !strings.HasPrefix(after, prefix) {
		return nil // all keys with the prefix come before
	}
	in := &s3.ListObjectsV2Input{Bucket: &c.bucket, Prefix: optional(askable(prefix)), EncodingType: types.EncodingTypeUrl}
	if after > prefix { // else it excludes nothing, or the one key that is left out below
		in.StartAfter = optional(askable(after))
	}
	last := ""
	for {
		out, err := c.s3.ListObjectsV2(ctx, in)
		if err != nil {
			return classify(ctx, err)
		}
		for i := range out.Contents {
			o, err := listed(&out.Contents[i], out.EncodingType)
			switch {
			case err != nil:
				return err
			case o.Key <= last:
				return fmt.Errorf("%w: it is not in byte order", errList)
			}
			last = o.Key
			if strings.HasPrefix(o.Key, prefix) && o.Key > after && !yield(o, nil) {
				return nil
			}
		}
		if !aws.ToBool(out.IsTruncated) {
			return nil
		}
		if aws.ToString(out.NextContinuationToken) == "" || aws.ToString(out.NextContinuationToken) == aws.ToString(in.ContinuationToken) {
			return fmt.Errorf("%w: there is more, and it does not tell how to go on", errList)
		}
		in.ContinuationToken, in.StartAfter = out.NextContinuationToken, nil
	}
}

func listed(object *types.Object, encoding types.EncodingType) (obs.Object, error) {
	key := aws.ToString(object.Key)
	if encoding == types.EncodingTypeUrl {
		var err error
		if key, err = url.QueryUnescape(key); err != nil {
			return obs.Object{}, fmt.Errorf("%w: a key is not encoded as it says", errList)
		}
	}
	return obs.Object{
		Key: key, Size: aws.ToInt64(object.Size), ModTime: aws.ToTime(object.LastModified).UTC().Truncate(time.Second), ETag: plainETag(object.ETag),
	}, nil
}

// askable returns the beginning of a prefix or key that every store can be asked
// for: up to the first byte that is not valid UTF-8, and up to the first segment
// that MinIO refuses: ".", "..", also where it is the beginning of a longer one, and
// an empty one before a slash. What it leaves out is compared here.
func askable(s string) string {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size <= 1 {
				s = s[:i]
				break
			}
		}
	}
	begin := 0
	for segment := range strings.SplitSeq(s, "/") {
		end := begin + len(segment)
		if segment == "." || segment == ".." || segment == "" && end < len(s) {
			return s[:begin]
		}
		begin = end + 1
	}
	return s
}
