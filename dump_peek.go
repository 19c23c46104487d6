package cts

import (
	"encoding/binary"
	"math/bits"
)

// route is what decides on the trace file of a trace. The texts are spellings in JSON
// without escapes, parts of the trace's JSON.
type route struct {
	tracker, service []byte
	recordTime       int64
}

// The kinds of values that canonical JSON has in its members.
const (
	peekText = iota
	peekNumber
	peekFlag
	peekObject
)

// canonical are the members of a trace in the order in which [Trace.AppendJSON] writes
// them.
var canonical = [...]struct {
	name string
	kind int
}{
	{"trace_id", peekText},
	{"time", peekNumber},
	{"record_time", peekNumber},
	{"trace_name", peekText},
	{"trace_type", peekText},
	{"trace_rating", peekText},
	{"event_type", peekText},
	{"service_type", peekText},
	{"resource_type", peekText},
	{"resource_name", peekText},
	{"resource_id", peekText},
	{"resource_url", peekText},
	{"resource_account_id", peekText},
	{"source_ip", peekText},
	{"user", peekObject},
	{"user_agent", peekText},
	{"code", peekText},
	{"request", peekText},
	{"response", peekText},
	{"message", peekText},
	{"api_version", peekText},
	{"request_id", peekText},
	{"operation_id", peekText},
	{"location_info", peekText},
	{"endpoint", peekText},
	{"read_only", peekFlag},
	{"project_id", peekText},
	{"domain_id", peekText},
	{"enterprise_project_id", peekText},
	{"tracker_name", peekText},
	{"content_length", peekNumber},
	{"total_time", peekNumber},
	{"is_consistent", peekFlag},
	{"ext", peekObject},
}

const (
	peekRecordTime = 2
	peekService    = 7
	peekTracker    = 29
)

// peekRoute reads the route of a trace off its canonical JSON without parsing it. It
// returns false for everything that it can't tell the route of with certainty: what is
// not canonical, or names tracker or service with escapes or beyond ASCII. What it
// accepts is one JSON object, and where [ParseTrace] accepts it too, both agree; that
// the members of user and ext are those of a trace, and no unknown one occurs twice, is
// not looked at.
func peekRoute(b []byte) (r route, ok bool) {
	if len(b) < 2 || len(b) > MaxTraceBytes || b[0] != '{' {
		return route{}, false
	}
	p := peeker{b: b, i: 1}
	for next := 0; ; {
		name, ok := p.name()
		if !ok {
			return route{}, false
		}
		at := next
		for at < len(canonical) && canonical[at].name != string(name) {
			at++
		}
		if at < len(canonical) {
			ok = p.member(at, &r)
			next = at + 1
		} else {
			next = at
			ok = !isMember(string(name)) && p.value(1)
		}
		if !ok || p.i >= len(b) {
			return route{}, false
		}
		p.i++
		switch b[p.i-1] {
		case ',':
		case '}':
			return r, p.i == len(b)
		default:
			return route{}, false
		}
	}
}

// isMember reports whether a trace has a field of that JSON name.
func isMember(name string) bool {
	for i := range canonical {
		if canonical[i].name == name {
			return true
		}
	}
	return false
}

// peeker walks over compact JSON. Its methods return false for what is none, and then
// the place is not defined.
type peeker struct {
	b []byte
	i int
}

// name reads the name of a member without escapes, and the colon.
func (p *peeker) name() ([]byte, bool) {
	from := p.i + 1
	plain, ok := p.text()
	if !ok || !plain || p.i >= len(p.b) || p.b[p.i] != ':' {
		return nil, false
	}
	p.i++
	return p.b[from : p.i-2], true
}

// member reads the value of a known member and keeps it if it is part of the route.
func (p *peeker) member(at int, r *route) bool {
	from := p.i
	switch canonical[at].kind {
	case peekText:
		plain, ok := p.text()
		if !ok || !plain && (at == peekService || at == peekTracker) {
			return false
		}
		switch at {
		case peekService:
			r.service = p.b[from+1 : p.i-1]
		case peekTracker:
			r.tracker = p.b[from+1 : p.i-1]
		}
		return true
	case peekNumber:
		n, ok := p.integer()
		if at == peekRecordTime {
			r.recordTime = n
		}
		return ok
	case peekFlag:
		return p.word("true") || p.word("false")
	}
	return p.i < len(p.b) && p.b[p.i] == '{' && p.value(1)
}

// text reads a string and reports whether it is plain: ASCII without escapes.
func (p *peeker) text() (plain, ok bool) {
	if p.i >= len(p.b) || p.b[p.i] != '"' {
		return false, false
	}
	b, i, plain, beyond := p.b, p.i+1, true, uint64(0)
	for i < len(b) {
		if i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			m := breaks(w)
			if m == 0 {
				beyond |= w
				i += 8
				continue
			}
			i += bits.TrailingZeros64(m) >> 3
			beyond |= w & (m&-m - 1) // of the bytes before, and all but the high bit of this one
		}
		switch c := b[i]; {
		case c == '"':
			p.i = i + 1
			return plain && beyond&highs == 0, true
		case c < 0x20:
			return false, false
		case c == '\\':
			n := escapeLength(b[i:])
			if n == 0 {
				return false, false
			}
			plain = false
			i += n
		default:
			beyond |= uint64(c)
			i++
		}
	}
	return false, false
}

// escapeLength returns how long the escape at the beginning of b is, 0 if it is none.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 {
			if _, ok := hex4(string(b[2:6]), 0); ok {
				return 6
			}
		}
	}
	return 0
}

// integer reads a whole number of at most 18 digits.
func (p *peeker) integer() (n int64, ok bool) {
	negative := p.i < len(p.b) && p.b[p.i] == '-'
	if negative {
		p.i++
	}
	from := p.i
	for p.i < len(p.b) && p.b[p.i] >= '0' && p.b[p.i] <= '9' {
		if p.i-from == 18 {
			return 0, false
		}
		n = n*10 + int64(p.b[p.i]-'0')
		p.i++
	}
	digits := p.i - from
	if digits == 0 || digits > 1 && p.b[from] == '0' {
		return 0, false
	}
	if negative {
		n = -n
	}
	return n, true
}

func (p *peeker) word(w string) bool {
	if len(p.b)-p.i < len(w) || string(p.b[p.i:p.i+len(w)]) != w {
		return false
	}
	p.i += len(w)
	return true
}

// value reads any value inside depth others.
func (p *peeker) value(depth int) bool {
	if p.i >= len(p.b) || depth >= maxDepth {
		return false
	}
	switch c := p.b[p.i]; {
	case c == '"':
		_, ok := p.text()
		return ok
	case c == '{':
		return p.list('}', func() bool {
			if _, ok := p.text(); !ok || p.i >= len(p.b) || p.b[p.i] != ':' {
				return false
			}
			p.i++
			return p.value(depth + 1)
		})
	case c == '[':
		return p.list(']', func() bool { return p.value(depth + 1) })
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	return p.word("true") || p.word("false") || p.word("null")
}

// list reads an object or array.
func (p *peeker) list(end byte, item func() bool) bool {
	p.i++
	if p.i < len(p.b) && p.b[p.i] == end {
		p.i++
		return true
	}
	for item() && p.i < len(p.b) {
		p.i++
		switch p.b[p.i-1] {
		case ',':
		case end:
			return true
		default:
			return false
		}
	}
	return false
}

// number reads any number, as the scanner does.
func (p *peeker) number() bool {
	from := p.i
	if _, ok := p.integer(); ok && (p.i >= len(p.b) || !numeric(p.b[p.i])) {
		return true
	}
	for p.i = from; p.i < len(p.b) && numeric(p.b[p.i]); {
		p.i++
	}
	s := scanner{s: string(p.b[from:p.i])}
	_, err := s.number()
	return err == nil && s.i == len(s.s)
}

// numeric reports whether c can be part of a number.
func numeric(c byte) bool {
	return c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}
