// Package row takes a trace apart as a peer keeps it: the fields that are asked for
// and the texts stand alone, all other members stay together as JSON. Nothing is
// kept twice but the user's name, and nothing is left out.
package row

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"

	"github.com/cloudtraceservice/cts/bench/contest"
)

// Row is one trace.
type Row struct {
	Time                                                  int64 // milliseconds since 1970
	ID, Service, Name, Rating, ResourceID, User, SourceIP string
	Request, Response, Message                            string
	Rest                                                  string // JSON object of all other members, the whole user among them
}

// Of takes r apart.
func Of(r contest.Record) Row {
	t := r.Trace
	return Row{
		Time: t.Time, ID: t.ID, Service: t.ServiceType, Name: t.Name, Rating: string(t.Rating),
		ResourceID: t.ResourceID, User: t.User.Name, SourceIP: t.SourceIP,
		Request: t.Request, Response: t.Response, Message: t.Message, Rest: rest(r.JSON),
	}
}

// rest returns the members of a trace's canonical JSON that have no field of their
// own in a Row.
func rest(canonical []byte) string {
	out := make([]byte, 0, 512)
	for key, member := range Members(canonical) {
		switch string(key) {
		case "trace_id", "time", "service_type", "trace_name", "trace_rating", "resource_id", "source_ip",
			"request", "response", "message":
		default:
			out = append(append(out, ','), member...)
		}
	}
	if len(out) == 0 {
		return "{}"
	}
	out[0] = '{'
	return string(append(out, '}'))
}

// Members yields the members of a trace's canonical JSON: the key as it is written,
// and the whole member, which is the key in quotes, a colon and the value.
func Members(canonical []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, member []byte) bool) {
		for b := canonical; len(b) > 2; {
			b = b[1:] // the brace or comma before the member
			n := memberLen(b)
			key := b[1 : stringLen(b)-1]
			if !yield(key, b[:n]) {
				return
			}
			b = b[n:]
		}
	}
}

// memberLen returns the length of the member that b, which is canonical JSON, begins
// with: up to the comma or brace that ends it.
func memberLen(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i += stringLen(b[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}

// stringLen returns the length of the JSON string that b begins with.
func stringLen(b []byte) int {
	for i := 1; i < len(b); i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			break
		}
		i += n
		escapes := 0
		for b[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
	return len(b)
}

// texts are the fields of a Row in the order in which they are encoded. The ones that
// conditions look at come first.
func (r *Row) texts() [11]*string {
	return [...]*string{
		&r.ID, &r.Service, &r.Name, &r.Rating, &r.ResourceID, &r.User, &r.SourceIP,
		&r.Request, &r.Response, &r.Message, &r.Rest,
	}
}

// Append appends r as a key-value store keeps it as a value: each text with its
// length as a varint before it. Time is in the key and not in the value.
func (r *Row) Append(dst []byte) []byte {
	for _, s := range r.texts() {
		dst = binary.AppendUvarint(dst, uint64(len(*s)))
		dst = append(dst, *s...)
	}
	return dst
}

// ErrDamaged means that a value is none that [Row.Append] wrote.
var ErrDamaged = errors.New("row: damaged value")

// Decode sets the texts of r to parts of value.
func (r *Row) Decode(value string) error {
	for _, s := range r.texts() {
		n, width := uvarint(value)
		if width <= 0 || n > uint64(len(value)-width) {
			return ErrDamaged
		}
		*s = value[width : width+int(n)]
		value = value[width+int(n):]
	}
	return nil
}

// uvarint is binary.Uvarint for a string.
func uvarint(s string) (n uint64, width int) {
	for i := 0; i < len(s) && i < 5; i++ {
		n |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return n, i + 1
		}
	}
	return 0, 0
}

// Add adds r to the answer to q.
func (r *Row) Add(a *contest.Answer, q *contest.Question) {
	a.Add(q, r.ID, r.Service, r.Name, r.User, r.SourceIP, r.Request, r.Response)
}
