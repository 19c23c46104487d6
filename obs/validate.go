package obs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxKey is the largest number of bytes of a key, as in S3.
const MaxKey = 1024

// MaxMetadata is the largest number of bytes of all metadata keys and values
// of an object together, as in S3.
const MaxMetadata = 2048

const (
	maxContentHeader = 255
	maxMetadataKey   = 128
)

// ValidateKey returns an error matching [ErrInvalidKey] unless key can name an
// object in every store: 1 to [MaxKey] bytes of valid UTF-8 without control
// characters, made of segments divided by single slashes, none of which is
// empty, "." or "..". So it has no slash at its beginning or end.
func ValidateKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: it is empty", ErrInvalidKey)
	case len(key) > MaxKey:
		return fmt.Errorf("%w: it has %d bytes, more than %d", ErrInvalidKey, len(key), MaxKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("%w: it is not valid UTF-8", ErrInvalidKey)
	case strings.ContainsFunc(key, unicode.IsControl):
		return fmt.Errorf("%w: it has a control character", ErrInvalidKey)
	}
	for segment := range strings.SplitSeq(key, "/") {
		switch segment {
		case "":
			return fmt.Errorf("%w: it has an empty segment, or a slash at its beginning or end", ErrInvalidKey)
		case ".", "..":
			return fmt.Errorf("%w: it has the segment %q", ErrInvalidKey, segment)
		}
	}
	return nil
}

// Validate returns an error matching [ErrInvalid] that names every rule of the
// fields' comments that is broken. Nil options are valid. Values are not shown
// in the error.
func (o *PutOptions) Validate() error {
	if o == nil {
		return nil
	}
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...))
	}
	if !validHeader(o.ContentType) {
		fault("the content type is longer than %d bytes, or not printable ASCII", maxContentHeader)
	}
	if !validHeader(o.ContentEncoding) {
		fault("the content encoding is longer than %d bytes, or not printable ASCII", maxContentHeader)
	}
	if o.SHA256 != nil && len(o.SHA256) != 32 {
		fault("a SHA-256 has 32 bytes, not %d", len(o.SHA256))
	}
	size := 0
	for _, key := range slices.Sorted(maps.Keys(o.Metadata)) {
		value := o.Metadata[key]
		size += len(key) + len(value)
		if !validMetadataKey(key) {
			fault("the metadata key %.140q is not 1 to %d lower-case letters, digits, '-' and '_'", key, maxMetadataKey)
		}
		if !printable(value) {
			fault("the metadata value of %.140q is empty, not printable ASCII, or has a space at an end", key)
		}
	}
	if size > MaxMetadata {
		fault("the metadata has %d bytes, more than %d", size, MaxMetadata)
	}
	return errors.Join(faults...)
}

func validHeader(s string) bool {
	return s == "" || len(s) <= maxContentHeader && printable(s)
}

// printable reports whether s can be the value of an HTTP header and comes
// back unchanged.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && s[0] != ' ' && s[len(s)-1] != ' '
}

func validMetadataKey(key string) bool {
	if key == "" || len(key) > maxMetadataKey || key[0] == '-' || key[0] == '_' {
		return false
	}
	for i := range len(key) {
		c := key[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
