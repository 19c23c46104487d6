package obs

import (
	"errors"
	"strconv"
)

// The reasons for which a call fails. A store's own errors are wrapped beside
// them. Errors that match none of these are failures of the store or the way
// to it, and may pass.
var (
	// ErrNotExist is returned by Get, GetRange and Head for an absent object.
	ErrNotExist = errors.New("object does not exist")

	// ErrExists is returned by Put with IfAbsent when the object is there,
	// complete and durable.
	ErrExists = errors.New("object exists already")

	// ErrDenied means that the credentials or file permissions do not allow the
	// call. Somebody has to grant it; repeating does not help.
	ErrDenied = errors.New("access denied")

	// ErrThrottled means that the store asks for fewer calls. Repeat later.
	ErrThrottled = errors.New("throttled by the store")

	// ErrNoBucket means that the bucket or its folder is gone or was never made.
	ErrNoBucket = errors.New("bucket does not exist")

	// ErrArrears means that the account of the bucket, or of the caller, is in
	// arrears or suspended, so that the store refuses its calls. Settle the
	// account; repeating helps only then. A store may hide it behind ErrDenied
	// where its answer has no text, as that to Head.
	ErrArrears = errors.New("account in arrears or suspended")

	// ErrFull means that the volume, quota or limit is used up. Free space or
	// raise it; repeating helps only then.
	ErrFull = errors.New("no space left in the store")

	// ErrInvalidKey means that the key breaks the rules of [ValidateKey] or those
	// of the store. Repeating does not help.
	ErrInvalidKey = errors.New("invalid object key")

	// ErrInvalid means that something else in the call breaks the rules of this
	// package: an option, a range, the body. Repeating does not help.
	ErrInvalid = errors.New("invalid argument")

	// ErrChecksum means that the content does not have the expected hash. Put
	// has stored nothing then.
	ErrChecksum = errors.New("checksum does not match the content")
)

// Error is the error of every method of a [Client].
type Error struct {
	Op  string // "put", "get", "head", "list" or "delete"
	Key string // the object, or the prefix of a list
	Err error  // why; never nil
}

// Error implements error. The key is quoted; no content or metadata is shown.
func (e *Error) Error() string {
	return "obs: " + e.Op + " " + strconv.Quote(e.Key) + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
