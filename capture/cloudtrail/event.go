package cloudtrail

import (
	"bytes"

	"github.com/cloudtraceservice/cts"
)

// object is an object in the text of an event.
type object struct {
	text    []byte // the whole event
	at      int    // offset of the object in it
	members []member
	index   map[string]int
}

// member is a member of an object: parts of the event's text.
type member struct {
	name string
	key  []byte // the name as it stands, with its quotes
	raw  []byte // the value as it stands
	at   int    // offset of the value
}

// parseEvent parses the object that text is.
func parseEvent(text []byte) (object, error) {
	s := textScanner(text, 0)
	c, ok := s.peek()
	if !ok {
		return object{}, s.ended()
	}
	if c != '{' {
		return object{}, s.fail("an event is an object, and this is none")
	}
	o, err := s.object()
	if err != nil {
		return object{}, err
	}
	if _, ok := s.peek(); ok {
		return object{}, s.fail("expected nothing behind the event")
	}
	return o, nil
}

// object reads the object that is next, of a text.
func (s *scanner) object() (object, error) {
	o := object{text: s.buf, at: s.i, index: make(map[string]int, 32)}
	err := s.list('}', func() error {
		s.peek()
		from := s.i
		name, err := s.name()
		if err != nil {
			return err
		}
		key := s.buf[from : bytes.LastIndexByte(s.buf[:s.i], '"')+1]
		s.peek()
		at := s.i
		if err := s.value(); err != nil {
			return err
		}
		if _, ok := o.index[name]; ok {
			return o.fail(name, from, "occurs twice")
		}
		o.index[name] = len(o.members)
		o.members = append(o.members, member{name, key, s.buf[at:s.i], at})
		return nil
	})
	return o, err
}

// maxNameInError keeps names that are none of CloudTrail's out of errors.
const maxNameInError = 64

// fail returns an error about the member of the given name at an offset.
func (o object) fail(name string, at int, reason string) error {
	if len(name) > maxNameInError {
		name = ""
	}
	before := o.text[:at]
	return &cts.ParseError{
		Offset: int64(at), Line: bytes.Count(before, []byte{'\n'}) + 1, Column: at - bytes.LastIndexByte(before, '\n'),
		Field: name, Reason: reason,
	}
}

func (o object) member(name string) (member, bool) {
	i, ok := o.index[name]
	if !ok {
		return member{}, false
	}
	return o.members[i], true
}

// get returns the member's value if it is a string, and its spelling if it is a
// number or boolean. It is "" for everything else, and for one that is absent.
func (o object) get(name string) string {
	m, ok := o.member(name)
	if !ok {
		return ""
	}
	return scalar(m.raw)
}

func scalar(raw []byte) string {
	switch raw[0] {
	case '"':
		return decode(raw)
	case '{', '[', 'n':
		return ""
	}
	return string(raw)
}

// object returns the member's value if it is an object, and an empty one if not.
func (o object) object(name string) (object, error) {
	m, ok := o.member(name)
	if !ok || m.raw[0] != '{' {
		return object{text: o.text}, nil
	}
	return textScanner(o.text, m.at).object()
}

// objects returns those elements of the member's value that are objects.
func (o object) objects(name string) ([]object, error) {
	m, ok := o.member(name)
	if !ok || m.raw[0] != '[' {
		return nil, nil
	}
	var list []object
	s := textScanner(o.text, m.at)
	err := s.list(']', func() error {
		if c, _ := s.peek(); c != '{' {
			return s.value()
		}
		element, err := s.object()
		list = append(list, element)
		return err
	})
	return list, err
}

// structured reports whether a value is an object or array.
func structured(raw []byte) bool { return raw[0] == '{' || raw[0] == '[' }
