package digest

import (
	"fmt"
	"time"
)

// Stamp is a moment in a digest, in whole seconds since 1970 UTC. As text, in JSON
// too, it is as CTS writes it: 2017-03-28T01-09-17Z.
type Stamp int64

const stampLayout = "2006-01-02T15-04-05Z"

// The years that a Stamp can be written in.
const (
	minStamp Stamp = -62_135_596_800 // year 1
	maxStamp Stamp = 253_402_300_799 // year 9999
)

// StampOf returns the second that t lies in.
func StampOf(t time.Time) Stamp { return Stamp(t.Unix()) }

// ParseStamp parses what String returns. Anything else is [ErrInvalid].
func ParseStamp(s string) (Stamp, error) {
	t, err := time.Parse(stampLayout, s)
	if err != nil || len(s) != len(stampLayout) || t.Year() < 1 {
		return 0, fmt.Errorf("%w: %.30q is no time such as 2017-03-28T01-09-17Z", ErrInvalid, s)
	}
	return StampOf(t), nil
}

// Time returns the beginning of the second, in UTC.
func (s Stamp) Time() time.Time { return time.Unix(int64(s), 0).UTC() }

// String returns s as in digests.
func (s Stamp) String() string { return s.Time().Format(stampLayout) }

// MarshalText implements encoding.TextMarshaler. A year before 1 or after 9999 is an
// error.
func (s Stamp) MarshalText() ([]byte, error) {
	if s < minStamp || s > maxStamp {
		return nil, fmt.Errorf("%w: a time outside the years 1 to 9999", ErrInvalid)
	}
	return []byte(s.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Stamp) UnmarshalText(text []byte) error {
	t, err := ParseStamp(string(text))
	if err != nil {
		return err
	}
	*s = t
	return nil
}
