package obs

import (
	"context"
	"io"
	"iter"
	"time"
)

// Client is one bucket of an object store: a flat map from keys to objects.
//
// # Rules for every method
//
// Concurrency: all methods are safe for concurrent use, by several clients of
// one bucket in several processes too.
//
// Context: a method whose context has ended before the call returns the
// context's error and changes nothing. One that ends during a call may or may
// not stop it; after an error of Put or Delete it is unknown whether the change
// took place, and repeating the call is safe. A context that ends after Get or
// GetRange returned may make reading fail.
//
// Memory: a client keeps and changes nothing of what it is given after the
// call, and what it returns belongs to the caller.
//
// Atomicity: nobody ever sees half an object, or the content of one Put with the
// metadata of another. Whoever began to read an object goes on reading that
// version while it is replaced or deleted, or gets an error; never a mixture.
//
// Errors: all are of type [*Error] and match the sentinels of this package, or
// the context's error, under [errors.Is].
//
// Keys follow [ValidateKey] and are compared byte by byte.
type Client interface {
	// Put stores what body yields from its present position to its end as the
	// object key, replacing what is there, and returns when the object is
	// durable. The result is as Head would describe the object, except that
	// SHA256 may be set where Head leaves it out. A body may be sought and read
	// several times; its position afterwards is not defined. Nil opts are the
	// defaults.
	//
	// With opts.IfAbsent, an object that is there is left alone and the error is
	// [ErrExists]: that object is complete and durable. Of several such calls at
	// one time, from any number of processes, exactly one succeeds. What a Put
	// that was killed or failed left behind does not stand in the way, unless it
	// is the complete object.
	Put(ctx context.Context, key string, body io.ReadSeeker, opts *PutOptions) (Object, error)

	// Get returns the content and description of an object. The caller closes
	// the reader. An absent object is [ErrNotExist].
	Get(ctx context.Context, key string) (io.ReadCloser, Object, error)

	// GetRange is Get for the part of the content that lies in
	// [offset, offset+length), or from offset to the end if length is negative.
	// The part of the range that lies beyond the end is left out, so that a range
	// wholly beyond it, or of length 0, is empty and no error. A negative offset
	// is [ErrInvalid]. The Object describes the whole object.
	GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Object, error)

	// Head describes an object. An absent one is [ErrNotExist].
	Head(ctx context.Context, key string) (Object, error)

	// List yields the objects whose key begins with prefix, in ascending byte
	// order of keys, each once. The prefix is any string of bytes, not only a
	// folder; the empty one is all objects. Nil opts are the defaults.
	//
	// The yielded objects have Key, Size, ModTime and ETag, and may lack the
	// rest. An object that is there during the whole iteration is yielded; one
	// that is put or deleted meanwhile may be or not. An error is yielded once,
	// with a zero Object, and ends the iteration. The loop may be left at any
	// object. An iterator may be used several times; each use begins anew.
	List(ctx context.Context, prefix string, opts *ListOptions) iter.Seq2[Object, error]

	// Delete removes an object and returns when that is durable. As in S3, it is
	// no error when the object is absent, so that a repeated Delete succeeds.
	Delete(ctx context.Context, key string) error
}

// Object describes an object of a bucket.
type Object struct {
	// Key is the object's name.
	Key string

	// Size is the number of bytes of the content.
	Size int64

	// ModTime is when the object was put, by the store's clock, in the precision
	// that the store has.
	ModTime time.Time

	// ETag is an opaque text that differs between versions of one key. Stores
	// differ in how they make it; only equality means something.
	ETag string

	// SHA256 is the hash of the content, 32 bytes, if the store vouches for it or
	// this call computed it from the stored bytes, and nil otherwise. A client
	// never reports a hash that it only found written down beside the content.
	SHA256 []byte

	// ContentType and ContentEncoding are as put. A store may report a default
	// of its own for an object that was put without.
	ContentType, ContentEncoding string

	// Metadata is as put. It is nil or empty when there is none.
	Metadata map[string]string
}

// PutOptions are the choices of one Put.
type PutOptions struct {
	// IfAbsent refuses with [ErrExists] to replace an object.
	// Default: false, the object is replaced.
	IfAbsent bool

	// ContentType is the media type, such as "application/json": at most 255
	// bytes of printable ASCII.
	// Default: "", the store chooses.
	ContentType string

	// ContentEncoding says how the content is encoded, such as "gzip", under the
	// same limit. The content is stored and returned as it is.
	// Default: "", none.
	ContentEncoding string

	// Metadata is kept with the object. Keys have 1 to 128 bytes of lower-case
	// letters, digits, '-' and '_', and begin with a letter or digit; values are
	// printable ASCII, not empty, and neither begin nor end with a space; all
	// keys and values together have at most [MaxMetadata] bytes. That is what
	// travels through every store unchanged.
	// Default: nil, none.
	Metadata map[string]string

	// SHA256 is the expected hash of what is put, 32 bytes. Where the store can
	// check it, another content is refused with [ErrChecksum] and nothing is
	// stored.
	// Default: nil, not checked.
	SHA256 []byte
}

// ListOptions are the choices of one List.
type ListOptions struct {
	// After leaves out every key up to and including this string, which need
	// not be a key.
	// Default: "", from the beginning.
	After string
}
