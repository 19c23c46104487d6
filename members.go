package cts

import (
	"fmt"
	"iter"
)

// RawJSON is one JSON value in canonical form: compact, HTML characters escaped,
// valid UTF-8. Make one with [NewRawJSON].
type RawJSON string

// NewRawJSON brings a JSON value into canonical form. Numbers keep their spelling.
// An error is a [*ParseError].
func NewRawJSON(value []byte) (RawJSON, error) {
	s := scanner{s: string(value)}
	b, err := s.compact(nil)
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return "", err
	}
	return RawJSON(b), nil
}

// MarshalJSON implements json.Marshaler.
func (r RawJSON) MarshalJSON() ([]byte, error) {
	if r == "" {
		return []byte("null"), nil
	}
	return []byte(r), nil
}

// UnmarshalJSON implements json.Unmarshaler with [NewRawJSON].
func (r *RawJSON) UnmarshalJSON(b []byte) error {
	v, err := NewRawJSON(b)
	if err == nil {
		*r = v
	}
	return err
}

// Members are members of a JSON object that this version has no field for, in
// their original order and canonical form: `"a":1,"b":{"c":2}`. They survive
// storing, querying and dumping. The zero value has none. Members are immutable;
// make them with [Members.With]. Invalid UTF-8 in names and texts becomes U+FFFD.
type Members string

// With returns m and one member more. The value is any JSON text. An error is a
// [*ParseError] for a malformed value, or an [ErrInvalidTrace] for a name that m
// has already.
func (m Members) With(name string, value []byte) (Members, error) {
	name = valid(name, false)
	v, err := NewRawJSON(value)
	if err != nil {
		return m, fmt.Errorf("cts: member %q: %w", name, err)
	}
	if _, ok := m.Get(name); ok {
		return m, fmt.Errorf("%w: member %q occurs twice", ErrInvalidTrace, name)
	}
	return m.add(name, string(v)), nil
}

// add appends a member whose value is canonical and whose name is not taken.
func (m Members) add(name, value string) Members {
	b := make([]byte, 0, len(m)+len(name)+len(value)+8)
	b = append(b, m...)
	if m != "" {
		b = append(b, ',')
	}
	b = appendString(b, name)
	b = append(b, ':')
	return Members(append(b, value...))
}

// All yields the members in order.
func (m Members) All() iter.Seq2[string, RawJSON] {
	return func(yield func(string, RawJSON) bool) {
		s := scanner{s: string(m)}
		for s.i < len(s.s) {
			name, err := s.str()
			if err != nil || s.expect(':') != nil {
				return
			}
			from := s.i
			if s.skip() != nil || !yield(name, RawJSON(s.s[from:s.i])) {
				return
			}
			if s.i < len(s.s) && s.expect(',') != nil {
				return
			}
		}
	}
}

// Get returns the value of the member with the given name.
func (m Members) Get(name string) (RawJSON, bool) {
	for k, v := range m.All() {
		if k == name {
			return v, true
		}
	}
	return "", false
}
