package filestore

import (
	"encoding/binary"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/jsontext"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// The row of a trace is made of its canonical JSON, without a trace in between, where
// there is nothing else in it than what columns and texts hold. What the parser reads is
// what [cts.Trace.AppendJSON] writes: of other JSON it says no.

// rowStep reads a member of the JSON of a trace, or the begin or end of an object.
type rowStep struct {
	jsonMember
	key  string     // the name with the comma before it and the colon behind it
	to   int        // of memberColumn, the column
	form columnForm // of memberColumn
	bool bool       // of memberColumn, the column has true or false
	skip int        // of an object, the step behind its end
	may  bool       // of an end: the object may be empty
}

// steps are the steps of reading a trace that has no rest.
var steps = rowSteps(layout)

func rowSteps(l *traceLayout) []rowStep {
	var steps []rowStep
	var open []int
	for _, m := range l.members {
		s := rowStep{jsonMember: m, key: `,"` + m.name + `":`}
		switch m.from {
		case memberColumn:
			s.to = l.byName[m.column]
			c, probe := &l.columns[s.to], new(cts.Trace)
			s.form = c.form
			c.set(probe, "true")
			s.bool = c.form == formLiteral && c.get(probe) == "true"
		case memberTime, memberRecord:
			s.always = true
		case memberBegin, memberExt:
			open = append(open, len(steps))
		case memberEnd:
			begin := &steps[open[len(open)-1]]
			open = open[:len(open)-1]
			begin.skip = len(steps) + 1
			s.may = begin.always
		}
		steps = append(steps, s)
	}
	return steps
}

// rowParser makes rows of the canonical JSON of traces.
type rowParser struct {
	s     string
	i     int
	open  bool // an object was begun and has no member yet
	wrong bool
	room  []byte // for strings with escapes
	used  int
}

// parse fills a row, whose values and texts are "", from JSON, whose memory it may share.
// When it is false, what the row has is of no use.
func (p *rowParser) parse(row *segment.Row, json []byte) bool {
	if len(json) > cts.MaxTraceBytes {
		return false
	}
	if size := jsontext.RoomFor(len(json)); len(p.room) < size {
		p.room = make([]byte, size+size/4)
	}
	*p = rowParser{s: view0(json), room: p.room}
	p.begin()
	for k := 0; k < len(steps) && !p.wrong; k++ {
		s := &steps[k]
		if s.from == memberEnd {
			p.end(s.may)
			continue
		}
		if !p.name(s.key) {
			p.wrong = s.always
			if s.skip > 0 {
				k = s.skip - 1
			}
			continue
		}
		switch s.from {
		case memberColumn:
			v := p.value(s)
			p.wrong = p.wrong || v == "" && !s.always
			row.Values[s.to] = v
		case memberText:
			v := p.text()
			p.wrong = p.wrong || v == ""
			row.Texts[s.text] = v
		case memberTime:
			row.Time, _ = p.number()
		case memberRecord:
			row.Record, _ = p.number()
		default:
			p.begin()
			if s.from == memberExt && !p.wrong {
				p.version()
			}
		}
	}
	p.end(false)
	return !p.wrong && p.i == len(p.s)
}

// value reads the value of a column.
func (p *rowParser) value(s *rowStep) string {
	switch {
	case s.form == formText:
		return p.text()
	case s.form == formTexts:
		return p.list('[', ']')
	case s.form == formLabels:
		return p.list('{', '}')
	case s.bool:
		return p.boolean()
	}
	n, text := p.number()
	p.wrong = p.wrong || n == 0
	return text
}

// begin begins an object.
func (p *rowParser) begin() {
	p.wrong = p.wrong || p.i == len(p.s) || p.s[p.i] != '{'
	p.open = true
}

// end ends an object, which may be empty or not.
func (p *rowParser) end(empty bool) {
	if p.open {
		p.wrong = p.wrong || !empty
		p.i++
		p.open = false
	}
	if p.i >= len(p.s) || p.s[p.i] != '}' {
		p.wrong = true
		return
	}
	p.i++
}

// name passes over the name of a member, if that is the next one.
func (p *rowParser) name(key string) bool {
	rest := p.s[p.i:]
	if len(rest) < len(key) || rest[2] != key[2] || rest[1:len(key)] != key[1:] {
		return false
	}
	before := byte(',')
	if p.open {
		before = '{'
	}
	if rest[0] != before {
		return false
	}
	p.open = false
	p.i += len(key)
	return true
}

// version passes over the version of the object ext, which has more than that.
func (p *rowParser) version() {
	if p.wrong = !p.name(`,"v":`); !p.wrong {
		n, _ := p.number()
		p.wrong = p.wrong || n != cts.ExtVersion || p.i == len(p.s) || p.s[p.i] == '}'
	}
}

// text reads a string.
func (p *rowParser) text() string {
	v, used, next, ok := jsontext.ReadStringIn(p.room[p.used:], p.s, p.i)
	p.used += used
	p.i, p.wrong = next, p.wrong || !ok
	return v
}

func (p *rowParser) boolean() string {
	for _, v := range [...]string{"true", "false"} {
		if rest := p.s[p.i:]; len(rest) >= len(v) && rest[:len(v)] == v {
			p.i += len(v)
			return rest[:len(v)]
		}
	}
	p.wrong = true
	return ""
}

// number reads a whole number as strconv writes it.
func (p *rowParser) number() (n int64, text string) {
	at := p.i
	if at < len(p.s) && p.s[at] == '-' {
		at++
	}
	first, v := at, int64(0)
	for ; at < len(p.s) && at-first < 18 && p.s[at]-'0' < 10; at++ {
		v = v*10 + int64(p.s[at]-'0')
	}
	text = p.s[p.i:at]
	// What is longer than any time is left to those who have more time.
	if at == first || p.s[first] == '0' && len(text) > 1 || at < len(p.s) && p.s[at]-'0' < 10 {
		p.wrong = true
		return 0, ""
	}
	if first > p.i {
		v = -v
	}
	p.i = at
	return v, text
}

// list reads an array of texts or an object of them, and returns them as packTexts does.
func (p *rowParser) list(begin, end byte) string {
	var texts [][2]string // an element, or a key and its value
	for next := begin; !p.wrong; next = ',' {
		if p.i == len(p.s) || p.s[p.i] != next {
			break
		}
		p.i++
		var t [2]string
		if t[0] = p.text(); end == '}' {
			if p.i == len(p.s) || p.s[p.i] != ':' || len(texts) > 0 && t[0] <= texts[len(texts)-1][0] {
				p.wrong = true
				return ""
			}
			p.i++
			t[1] = p.text()
		}
		texts = append(texts, t)
	}
	if p.wrong || p.i == len(p.s) || p.s[p.i] != end {
		p.wrong = true
		return ""
	}
	p.i++
	var packed []byte
	each := 1
	if end == '}' {
		each = 2
	}
	for _, t := range texts {
		for _, text := range t[:each] {
			packed = binary.AppendUvarint(packed, uint64(len(text)))
			packed = append(packed, text...)
		}
	}
	return view0(packed)
}
