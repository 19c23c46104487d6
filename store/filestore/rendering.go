package filestore

import (
	"strconv"
	"sync/atomic"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/internal/jsontext"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// The JSON of a row is made of its columns and texts, without a trace in between, where
// there is nothing else in it. It is what [cts.Trace.AppendJSON] writes for the trace.

// jsonMember is a member of the JSON of a trace, or the begin or end of an object.
type jsonMember struct {
	name   string
	from   memberSource
	column string // of memberColumn
	always bool   // written when it is empty, too
	text   int    // of memberText
}

// memberSource is where the value of a member comes from.
type memberSource uint8

const (
	memberColumn memberSource = iota
	memberTime
	memberRecord
	memberText
	memberBegin // of an object that has the next members
	memberExt   // like memberBegin, of the object that has a version
	memberEnd   // of the object
)

func columnMember(name, column string) jsonMember { return jsonMember{name: name, column: column} }

// sameMembers returns the members that are named like their columns, behind a prefix.
func sameMembers(prefix string, names ...string) []jsonMember {
	members := make([]jsonMember, 0, len(names))
	for _, n := range names {
		members = append(members, columnMember(n, prefix+n))
	}
	return members
}

// inObject returns the members of an object between its begin and its end.
func inObject(begin jsonMember, parts ...[]jsonMember) []jsonMember {
	members := []jsonMember{begin}
	for _, p := range parts {
		members = append(members, p...)
	}
	return append(members, jsonMember{from: memberEnd})
}

func objectOf(name string) jsonMember { return jsonMember{name: name, from: memberBegin} }

// jsonMembers are the members of a trace that has no rest, in their order.
func jsonMembers() (all []jsonMember) {
	always := func(name string) { all = append(all, jsonMember{name: name, column: name, always: true}) }
	add := func(members ...jsonMember) { all = append(all, members...) }
	always("trace_id")
	add(jsonMember{name: "time", from: memberTime}, jsonMember{name: "record_time", from: memberRecord})
	always("trace_name")
	always("trace_type")
	always("trace_rating")
	add(sameMembers("", "event_type")...)
	always("service_type")
	always("resource_type")
	add(sameMembers("", "resource_name", "resource_id", "resource_url", "resource_account_id")...)
	always("source_ip")
	add(userMembers()...)
	add(sameMembers("", "user_agent", "code")...)
	add(
		jsonMember{name: "request", from: memberText, text: textRequest},
		jsonMember{name: "response", from: memberText, text: textResponse},
		jsonMember{name: "message", from: memberText, text: textMessage},
	)
	add(sameMembers("", "api_version", "request_id", "operation_id", "location_info", "endpoint", "read_only", "project_id",
		"domain_id", "enterprise_project_id", "tracker_name", "content_length", "total_time", "is_consistent")...)
	return append(all, extMembers()...)
}

func userMembers() []jsonMember {
	return inObject(
		jsonMember{name: "user", from: memberBegin, always: true},
		sameMembers("user.", "id", "name", "user_name"),
		inObject(objectOf("domain"), sameMembers("user.domain.", "id", "name")),
		sameMembers("user.", "account_id", "access_key_id", "principal_urn", "principal_id", "principal_is_root_user", "type", "invoked_by"),
		inObject(objectOf("session_context"), inObject(objectOf("attributes"), sameMembers("user.", "created_at", "mfa_authenticated"))),
		[]jsonMember{columnMember("OriginUser", "user.origin_user")},
	)
}

func extMembers() []jsonMember {
	return inObject(
		jsonMember{name: "ext", from: memberExt},
		inObject(objectOf("writer"), sameMembers("ext.writer.", "id", "boot")),
		sameMembers("ext.", "phase", "attempt_id", "outcome"),
		inObject(objectOf("impersonator"), sameMembers("ext.impersonator.", "id", "name")),
		sameMembers("ext.", "role", "session_id", "w3c_trace_id", "w3c_span_id", "client_id", "peer_ip", "forwarded_for", "labels"),
		inObject(objectOf("source"), sameMembers("ext.source.", "name", "id")),
		sameMembers("ext.", "policy_hash"),
	)
}

// part is a step of making the JSON of a row of one segment.
type part struct {
	jsonMember
	key     string // the name with the comma before it and the colon behind it; of a constant, its value too
	fixed   bool   // key is all of it
	reading *reading
	written []atomic.Pointer[string] // the members that were made before, by code; nil if they are too many to keep
	lead    string                   // of an object, what it begins with if it is not empty
}

// extVersion is what the object ext begins with.
var extVersion = `,"v":` + strconv.Itoa(cts.ExtVersion)

// maxWritten is the most values that a column may have for its members to be kept once
// they are made.
const maxWritten = 1 << 10

// partsOf returns the steps for a segment of which these columns are not empty in all
// rows.
func partsOf(columns map[string]*reading) []part {
	var parts, open []part
	for _, m := range layout.members {
		p := part{jsonMember: m, key: `,"` + m.name + `":`}
		switch m.from {
		case memberColumn:
			p.reading = columns[m.column]
			if p.reading == nil && !m.always {
				continue
			}
			p.prepare()
		case memberExt:
			p.lead = extVersion
			open = append(open, p)
		case memberBegin:
			open = append(open, p)
		case memberEnd:
			begin := open[len(open)-1]
			open = open[:len(open)-1]
			if last := parts[len(parts)-1]; last.key == begin.key && !begin.always {
				parts = parts[:len(parts)-1] // nothing is in it
				continue
			}
			p.always, p.lead = begin.always, begin.lead
		}
		if n := len(parts); p.fixed && n > 0 && parts[n-1].fixed {
			parts[n-1].key += p.key
			continue
		}
		parts = append(parts, p)
	}
	return parts
}

// prepare makes the member of a column that is constant, and room to keep the others.
func (p *part) prepare() {
	switch {
	case p.reading == nil:
		p.key, p.fixed = p.key+`""`, true
	case p.reading.values.Kind() == segment.Const:
		p.key, p.fixed = string(p.member(nil, string(p.reading.values.AppendValue(nil, 0)))), true
	case p.reading.known != nil && p.reading.values.Len() <= maxWritten:
		p.written = make([]atomic.Pointer[string], p.reading.values.Len())
	}
}

// member appends the member of a column with its value.
func (p *part) member(dst []byte, v string) []byte {
	switch {
	case v == "" && !p.always:
		return dst
	case p.reading.form == formText:
		return jsontext.AppendString(append(dst, p.key...), v)
	case p.reading.form == formLiteral:
		return append(append(dst, p.key...), v...)
	case p.reading.form == formTexts:
		return p.list(dst, v)
	}
	return p.labels(dst, v)
}

// list appends the member that is a list of texts.
func (p *part) list(dst []byte, v string) []byte {
	n := 0
	for ; len(v) > 0; n++ {
		s, rest, ok := cutText(v)
		if !ok {
			break
		}
		if n == 0 {
			dst = append(append(dst, p.key...), '[')
		} else {
			dst = append(dst, ',')
		}
		dst, v = jsontext.AppendString(dst, s), rest
	}
	if n > 0 {
		dst = append(dst, ']')
	}
	return dst
}

// labels appends the member that is an object of texts.
func (p *part) labels(dst []byte, v string) []byte {
	n := 0
	for ; len(v) > 0; n++ {
		key, rest, ok := cutText(v)
		if !ok {
			break
		}
		value, rest, ok := cutText(rest)
		if !ok {
			break
		}
		if n == 0 {
			dst = append(append(dst, p.key...), '{')
		} else {
			dst = append(dst, ',')
		}
		dst = append(jsontext.AppendString(dst, key), ':')
		dst, v = jsontext.AppendString(dst, value), rest
	}
	if n > 0 {
		dst = append(dst, '}')
	}
	return dst
}

// end finishes an object that begins at a place, the member of which begins at another.
func (p *part) end(dst []byte, name, begin int) []byte {
	switch {
	case len(dst)-begin > len(p.lead):
		dst[begin] = '{'
		return append(dst, '}')
	case p.always:
		return append(dst, '{', '}')
	}
	return dst[:name]
}

// jsonOf returns the stored JSON of a row, which is valid until the next call. A reader
// is used for read or for this: what this returned before is overwritten.
func (r *traceReader) jsonOf(row uint32) ([]byte, error) {
	if rest := r.kindOfRest(row); rest != restNone {
		r.begun = false // what it has of the row before may stand where this writes
		t, raw, err := r.read(row, false)
		if err != nil || raw != nil {
			return raw, err
		}
		r.json = t.AppendJSON(r.json[:0])
		r.bytes = r.bytes[:0]
		return r.json, nil
	}
	var texts [textCount]uint32
	var err error
	if r.bytes, texts, err = r.appendTexts(r.bytes[:0], row); err != nil {
		return nil, err
	}
	r.json = r.render(r.json[:0], row, texts)
	return r.json, nil
}

// routeOf returns the route of a row, which is valid until the next call, and nil if
// that takes more than looking at what is kept.
func (r *traceReader) routeOf(row uint32) *cts.Route {
	r.route = cts.Route{TrackerName: r.blank.TrackerName, ServiceType: r.blank.ServiceType, RecordTime: r.s.record(row)}
	known := true
	if c := r.tracker; c != nil {
		r.route.TrackerName, known = c.knownValue(c.values.Code(row))
	}
	if c := r.service; c != nil && known {
		r.route.ServiceType, known = c.knownValue(c.values.Code(row))
	}
	if !known {
		return nil
	}
	return &r.route
}

// mostNested is how deep objects lie in each other.
const mostNested = 4

// render appends the JSON of a row whose texts lie at the begin of bytes.
func (r *traceReader) render(dst []byte, row uint32, texts [textCount]uint32) []byte {
	var begins, names [mostNested]int // of the objects that are open, and of the members that they are
	depth := 0
	begins[0] = len(dst)
	for i := range r.parts {
		p := &r.parts[i]
		switch {
		case p.fixed:
			dst = append(dst, p.key...)
		case p.from == memberColumn:
			dst = r.appendColumn(dst, p, row)
		case p.from == memberText:
			from := uint32(0)
			if p.text > 0 {
				from = texts[p.text-1]
			}
			if to := texts[p.text]; to > from {
				dst = jsontext.AppendString(append(dst, p.key...), view0(r.bytes[from:to]))
			}
		case p.from == memberTime:
			dst = strconv.AppendInt(append(dst, p.key...), r.s.time(row), 10)
		case p.from == memberRecord:
			dst = strconv.AppendInt(append(dst, p.key...), r.s.record(row), 10)
		case p.from == memberEnd:
			dst = p.end(dst, names[depth], begins[depth])
			depth--
		default:
			depth++
			names[depth] = len(dst)
			dst = append(dst, p.key...)
			begins[depth] = len(dst)
			dst = append(dst, p.lead...)
		}
	}
	dst[begins[0]] = '{'
	return append(dst, '}')
}

// appendColumn appends the member of a column of a row.
func (r *traceReader) appendColumn(dst []byte, p *part, row uint32) []byte {
	c := p.reading
	code := c.values.Code(row)
	if int(code) < len(p.written) {
		if m := p.written[code].Load(); m != nil {
			return append(dst, *m...)
		}
	}
	from, at := len(dst), len(r.bytes)
	r.bytes = c.values.AppendValue(r.bytes, code)
	dst = p.member(dst, view0(r.bytes[at:]))
	r.bytes = r.bytes[:at]
	if int(code) < len(p.written) && c.kept.Load() < maxKept {
		keep(&p.written[code], string(dst[from:]), &c.kept)
	}
	return dst
}
