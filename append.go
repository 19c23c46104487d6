package cts

import (
	"strconv"

	"github.com/cloudtraceservice/cts/internal/jsontext"
)

// object appends one JSON object to b, member by member. Every key is given as it
// stands in the text, with the comma before it and the colon behind it; the first
// comma becomes the opening brace when the object ends.
type object struct {
	b     []byte
	start int // where the brace goes
}

func begin(dst []byte) object { return object{b: dst, start: len(dst)} }

// end finishes the object and returns what was appended to.
func (o *object) end() []byte {
	if len(o.b) == o.start {
		return append(o.b, '{', '}')
	}
	o.b[o.start] = '{'
	return append(o.b, '}')
}

// anyKey begins a member of any name.
func (o *object) anyKey(name string) {
	o.b = append(o.b, ',')
	o.b = append(appendString(o.b, name), ':')
}

// str writes a member that is always present.
func (o *object) str(key, v string) { o.b = appendString(append(o.b, key...), v) }

// opt writes a member that is omitted when empty.
func (o *object) opt(key, v string) {
	if v != "" {
		o.b = appendString(append(o.b, key...), v)
	}
}

func (o *object) num(key string, v int64) {
	o.b = strconv.AppendInt(append(o.b, key...), v, 10)
}

func (o *object) optNum(key string, v int64) {
	if v != 0 {
		o.num(key, v)
	}
}

func (o *object) bool(key string, v bool) {
	o.b = strconv.AppendBool(append(o.b, key...), v)
}

func (o *object) optBool(key string, v Bool) {
	if v != Unset {
		o.bool(key, v == True)
	}
}

func (o *object) strs(key string, v []string) {
	if len(v) == 0 {
		return
	}
	o.b = append(append(o.b, key...), '[')
	for i, s := range v {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendString(o.b, s)
	}
	o.b = append(o.b, ']')
}

func (o *object) raw(key string, v RawJSON) {
	if v != "" {
		o.b = append(append(o.b, key...), v...)
	}
}

func (o *object) members(m Members) {
	if m != "" {
		o.b = append(append(o.b, ','), m...)
	}
}

// open begins the value of a member as an object of its own; close finishes it.
func (o *object) open(key string) object { return begin(append(o.b, key...)) }

func (o *object) close(inner object) { o.b = inner.end() }

// item begins element i of the array of objects that is the value of a member;
// close finishes the element and endItems the array.
func (o *object) item(key string, i int) object {
	if i == 0 {
		o.b = append(append(o.b, key...), '[')
	} else {
		o.b = append(o.b, ',')
	}
	return begin(o.b)
}

// endItems finishes an array of n elements; one without any was not begun.
func (o *object) endItems(n int) {
	if n > 0 {
		o.b = append(o.b, ']')
	}
}

// appendString appends s as a JSON string, as encoding/json writes it.
func appendString(dst []byte, s string) []byte { return jsontext.AppendString(dst, s) }
