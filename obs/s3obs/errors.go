package s3obs

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/smithy-go"

	"github.com/cloudtraceservice/cts/obs"
)

var (
	// ErrUnprotected is returned by Put when the store does not confirm the encryption
	// that Options ask for. An object that went in one piece is there all the same.
	// Use another store, or change Options.Encryption.
	ErrUnprotected = errors.New("the store does not confirm the encryption that was asked for")

	// ErrNoConditionalPut is returned by Put with IfAbsent when the store answers
	// that it does not know `If-None-Match: *`, and ConditionalRequire or WriteOnly is
	// set. Nothing was stored. Use ConditionalAuto with the right to read, and see what
	// it promises.
	ErrNoConditionalPut = errors.New("the store has no put-if-absent")

	// ErrNotAsWanted is returned by CheckBucket for each thing that is not as
	// wanted.
	ErrNotAsWanted = errors.New("the bucket is not as wanted")
)

// errSize is for answers, such as those of proxies that compress, that do not say
// how large the object is.
var errSize = errors.New("the store does not tell the size of the object: no Content-Length")

// classify wraps an error of the SDK beside the reason of package obs that it
// matches, if there is one.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if body, ok := errors.AsType[*bodyError](err); ok {
		err = body.err
	}
	if ended := ctx.Err(); ended != nil {
		if errors.Is(err, ended) {
			return err
		}
		return fmt.Errorf("%w: %w", ended, err)
	}
	if reason := reasonOf(err); reason != nil {
		return fmt.Errorf("%w: %w", reason, err)
	}
	return err
}

// reasonOf returns the sentinel that an answer of the store matches, or nil. The
// store's code is asked first; answers to HEAD have none.
func reasonOf(err error) error {
	status := statusOf(err)
	switch code := codeOf(err); code {
	case "":
	case "NoSuchKey", "NotFound", "NoSuchVersion":
		return obs.ErrNotExist
	case "NoSuchBucket":
		return obs.ErrNoBucket
	case "PreconditionFailed":
		return obs.ErrExists
	case "SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "BandwidthLimitExceeded", "RequestThrottled":
		return obs.ErrThrottled
	case "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage", "InsufficientStorageSpace", "InsufficientCapacity":
		return obs.ErrFull
	case "KeyTooLongError", "KeyTooLong", "InvalidURI", "XMinioInvalidObjectName", "XMinioParentIsObject", "XMinioObjectExistsAsDirectory",
		"ObjectParentIsFile", "ExistingObjectIsDirectory":
		return obs.ErrInvalidKey
	case "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
		return obs.ErrChecksum
	case "EntityTooLarge", "MetadataTooLarge", "InvalidStorageClass":
		return obs.ErrInvalid
	case "InArrearOrInsufficientBalance", "AccountProblem", "UserProjectAccountProblem", "UserDisable":
		return obs.ErrArrears // of OBS, S3 and OBS, Google, Alibaba
	case "AccessDenied", "AllAccessDisabled", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
		"InvalidObjectLocked", "ObjectLocked":
		return obs.ErrDenied
	case "InvalidObjectState", "NoSuchUpload", "RequestTimeTooSkewed":
		return nil // nothing that a right, a wait or another key would mend
	}
	switch status {
	case http.StatusPaymentRequired:
		return obs.ErrArrears
	case http.StatusUnauthorized, http.StatusForbidden:
		return obs.ErrDenied
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return obs.ErrThrottled
	case http.StatusInsufficientStorage:
		return obs.ErrFull
	}
	return nil
}

// isNotImplemented reports whether the store answers that it lacks what a header
// of the request asks for.
func isNotImplemented(err error) bool {
	return statusOf(err) == http.StatusNotImplemented || codeOf(err) == "NotImplemented"
}

// isBeyondEnd reports whether a range lies beyond the end of the object.
func isBeyondEnd(err error) bool {
	return statusOf(err) == http.StatusRequestedRangeNotSatisfiable || codeOf(err) == "InvalidRange"
}

func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

func statusOf(err error) int {
	if answer, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok {
		return answer.HTTPStatusCode()
	}
	return 0
}
