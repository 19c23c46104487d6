package main

import (
	"strconv"
	"strings"
	"time"
)

const momentHelp = `A time is 2024-06-19, 2024-06-19T08:30, 2024-06-19T08:30:00Z (all UTC unless they say
otherwise), or how long ago it is: 90m, 36h, 30d.`

// moment is a flag that names a time.
type moment struct {
	time.Time
	now  func() time.Time
	text string
}

// String implements pflag.Value.
func (m *moment) String() string { return m.text }

// Type implements pflag.Value.
func (m *moment) Type() string { return "time" }

// Set implements pflag.Value.
func (m *moment) Set(s string) error {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			m.Time, m.text = t, s
			return nil
		}
	}
	var ago span
	if ago.Set(s) != nil {
		return usagef("want a time such as 2024-06-19, 2024-06-19T08:30:00Z or 36h (ago)")
	}
	m.Time, m.text = m.now().Add(-time.Duration(ago)), s
	return nil
}

// span is a flag that names a time span, also in days.
type span time.Duration

// String implements pflag.Value.
func (s *span) String() string {
	if *s == 0 {
		return ""
	}
	return time.Duration(*s).String()
}

// Type implements pflag.Value.
func (s *span) Type() string { return "span" }

// Set implements pflag.Value.
func (s *span) Set(text string) error {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok && err != nil {
		var n int64
		if n, err = strconv.ParseInt(days, 10, 32); err == nil && n < 100_000 {
			d = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil || d <= 0 {
		return usagef("want a time span such as 90m, 36h or 30d")
	}
	*s = span(d)
	return nil
}
