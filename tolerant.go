package cts

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// The functions of this file read what CTS has been seen to write over the years
// where it differs from the v3 form: see Decoder.

// tolerantMember reads a member that older or other faces of CTS spell differently,
// and reports whether it was one.
func (p *traceParser) tolerantMember(name string, seen *names) (bool, error) {
	switch name {
	case "time":
		return true, p.when(&p.t.Time)
	case "record_time":
		return true, p.when(&p.t.RecordTime)
	case "trace_status", "trace_status ": // v2 and FunctionGraph; the blank is theirs
		if p.t.Rating != "" {
			return true, p.keep(seen, name)
		}
		return true, p.text((*string)(&p.t.Rating))
	case "user":
		if p.peek() == '"' {
			return true, p.userText(&p.t.User)
		}
	case "content_length":
		return true, p.looseNum(&p.t.ContentLength)
	case "total_time":
		return true, p.looseNum(&p.t.TotalTime)
	case "read_only":
		return true, p.looseFlag(&p.t.ReadOnly)
	case "is_consistent":
		return true, p.looseFlag(&p.t.IsConsistent)
	}
	return false, nil
}

// loose reads a value of any kind as text: strings as they are, null as nothing,
// the rest as compact JSON.
func (p *traceParser) loose() (string, error) {
	if p.peek() == '"' {
		return p.str()
	}
	from := p.i
	if err := p.skip(); err != nil {
		return "", err
	}
	raw := p.s[from:p.i]
	if raw == "null" {
		return "", nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(raw)); err != nil {
		return "", p.fail(from, "%v", err)
	}
	return string([]rune(b.String())), nil
}

func (p *traceParser) looseNum(v *int64) error {
	at := p.i
	text, err := p.loose()
	if err != nil || text == "" {
		return err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return p.fail(at, "not a whole number")
	}
	*v = n
	return nil
}

func (p *traceParser) looseFlag(v *Bool) error {
	at := p.i
	text, err := p.loose()
	if err != nil || text == "" {
		return err
	}
	switch text {
	case "true":
		*v = True
	case "false":
		*v = False
	default:
		return p.fail(at, "not true or false")
	}
	return nil
}

// when reads a moment in one of the spellings of [parseWhen].
func (p *traceParser) when(v *int64) error {
	at := p.i
	text, err := p.loose()
	if err != nil || text == "" {
		return err
	}
	ms, ok := parseWhen(text)
	if !ok {
		return p.fail(at, "not a time in any spelling of CTS")
	}
	*v = ms
	return nil
}

// whenLayouts are the spellings with a calendar date. In the second, 12/01/2016 is
// the first of December.
var whenLayouts = [...]string{
	"2006/01/02 15:04:05 GMT-07:00",
	"01/02/2006 15:04:05 GMT-07:00",
	"2006-01-02 15:04:05 GMT-07:00",
	time.RFC3339Nano,
}

// parseWhen returns the milliseconds since 1970 of a moment written as a number of
// seconds, milliseconds, microseconds or nanoseconds since then (told apart by their
// digits), or with a calendar date.
func parseWhen(text string) (int64, bool) {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		switch digits := len(strings.TrimPrefix(text, "-")); {
		case digits <= 11:
			return n * 1000, true
		case digits <= 14:
			return n, true
		case digits <= 17:
			return n / 1000, true
		}
		return n / 1_000_000, true
	}
	for _, layout := range whenLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UnixMilli(), true
		}
	}
	return 0, false
}

// userText reads a user that was written as a string: the JSON of the object, the
// beginning of such JSON, or just a name. What is neither is kept as the member
// "raw".
func (p *traceParser) userText(u *User) error {
	text, err := p.str()
	if err != nil || text == "" {
		return err
	}
	if first := text[0]; first != '{' && first != '[' {
		u.Name = text
		return nil
	}
	inner := traceParser{scanner: scanner{s: text}, tolerant: true}
	var got User
	if inner.user(&got) == nil && inner.end() == nil {
		*u = got
		return nil
	}
	u.Unknown = Members("").add("raw", string(appendString(nil, text)))
	return nil
}
