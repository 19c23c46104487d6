package cts

import (
	"bytes"
	"slices"
	"strconv"
)

// MaxTraceBytes is the largest JSON form of a trace that stores take and parsers
// read: 1 MiB.
const MaxTraceBytes = 1 << 20

// ParseTrace parses the canonical JSON of one trace, or any JSON object with the
// same types in the same members. Names match in exact case; a member that occurs
// twice is an error; unknown members are kept; an "ext" that is not ours is kept in
// [Ext.Foreign]. For JSON written by CTS itself, or by anybody else, use a [Decoder].
//
// An error is a [*ParseError]. The trace shares no memory with b.
func ParseTrace(b []byte) (*Trace, error) {
	t := new(Trace)
	if err := parse(b, t); err != nil {
		return nil, err
	}
	return t, nil
}

// UnmarshalJSON implements json.Unmarshaler as [ParseTrace] does. It replaces the
// whole of t, and leaves it as it was on an error.
func (t *Trace) UnmarshalJSON(b []byte) error {
	var got Trace
	if err := parse(b, &got); err != nil {
		return err
	}
	*t = got
	return nil
}

// parse parses b into t, which is zero.
func parse(b []byte, t *Trace) error {
	if len(b) > MaxTraceBytes {
		s := scanner{s: string(b[:MaxTraceBytes])}
		return s.fail(MaxTraceBytes, "a trace is at most 1 MiB")
	}
	text := string(b)
	if parseCanonical(text, t) {
		return nil
	}
	*t = Trace{}
	return parseAny(text, t)
}

// parseAny is parse of a text in any form, which t may share.
func parseAny(text string, t *Trace) error {
	p := traceParser{scanner: scanner{s: text}, t: t}
	if err := p.trace(); err != nil {
		return err
	}
	return p.end()
}

// PeekJSON reads the members with which canonical JSON begins, without parsing
// the rest: what a store needs to place a trace. It fails with [ErrInvalidTrace]
// for JSON that does not begin so, and for an id that is far over [MaxIDLength].
func PeekJSON(b []byte) (id string, time, recordTime int64, err error) {
	head, _, found := bytes.Cut(b[:min(len(b), peekBytes)], []byte(`,"trace_name":`))
	if !found {
		return "", 0, 0, &ParseError{Line: 1, Column: 1, Reason: "not canonical: trace_id, time, record_time and trace_name do not come first"}
	}
	s := scanner{s: string(head)}
	if err := s.peekName(`{"trace_id":`); err != nil {
		return "", 0, 0, err
	}
	if id, err = s.str(); err != nil {
		return "", 0, 0, err
	}
	if time, err = s.peekTime(`,"time":`); err != nil {
		return "", 0, 0, err
	}
	if recordTime, err = s.peekTime(`,"record_time":`); err != nil {
		return "", 0, 0, err
	}
	if err := s.end(); err != nil {
		return "", 0, 0, err
	}
	return id, time, recordTime, nil
}

// peekBytes holds the longest head: an id of MaxIDLength bytes, every one escaped
// to six, two times and the names.
const peekBytes = 6*MaxIDLength + 128

func (s *scanner) peekName(name string) error {
	if !s.word(name) {
		return s.fail(s.i, "not canonical: expected %s", name)
	}
	return nil
}

func (s *scanner) peekTime(name string) (int64, error) {
	if err := s.peekName(name); err != nil {
		return 0, err
	}
	return s.integer()
}

func (s *scanner) integer() (int64, error) {
	at := s.i
	text, err := s.number()
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, s.fail(at, "not a whole number of 64 bits")
	}
	return v, nil
}

// traceParser parses one trace. It reads the strict form, or everything that CTS
// is known to write when tolerant is set.
type traceParser struct {
	scanner
	t        *Trace
	tolerant bool
	trustExt bool // in the tolerant form: take an ext that looks like ours as ours
}

func (p *traceParser) trace() error {
	var seen names
	err := p.object(func(name string) error {
		return p.member(name, &seen)
	})
	p.t.Unknown = seen.members()
	return err
}

// names collects the members of one object: all names, to find one that occurs
// twice, and the unknown members in canonical form.
type names struct {
	filter  uint64 // one bit per name seen: most names are new, and that shows here
	few     [40]string
	n       int
	many    map[string]bool // beyond few
	unknown object
}

func (n *names) members() Members {
	if len(n.unknown.b) == 0 {
		return ""
	}
	return Members(n.unknown.b[len(","):])
}

// twice reports whether name was there before, and remembers it.
func (n *names) twice(name string) bool {
	bit := uint64(1) << (uint(len(name)) & 63)
	if name != "" {
		bit = 1 << ((uint(len(name)) + uint(name[0])*3 + uint(name[len(name)-1])*5 + uint(name[len(name)/2])*7) & 63)
	}
	if n.filter&bit != 0 && (slices.Contains(n.few[:n.n], name) || n.many[name]) {
		return true
	}
	n.filter |= bit
	if n.n < len(n.few) {
		n.few[n.n] = name
		n.n++
		return false
	}
	if n.many == nil {
		n.many = map[string]bool{}
	}
	n.many[name] = true
	return false
}

// keep reads the value of a member that is not known and keeps it.
func (p *traceParser) keep(n *names, name string) (err error) {
	n.unknown.anyKey(name)
	n.unknown.b, err = p.compact(n.unknown.b)
	return err
}

func (p *traceParser) member(name string, seen *names) error {
	at := p.i
	if seen.twice(name) {
		return p.inField(name, p.fail(at, "occurs twice"))
	}
	if p.tolerant {
		if handled, err := p.tolerantMember(name, seen); handled {
			return p.inField(name, err)
		}
	}
	return p.inField(name, p.knownMember(name, seen))
}

func (p *traceParser) knownMember(name string, seen *names) error {
	t := p.t
	if v := t.textField(name); v != nil {
		return p.text(v)
	}
	switch name {
	case "time":
		return p.num(&t.Time)
	case "record_time":
		return p.num(&t.RecordTime)
	case "content_length":
		return p.num(&t.ContentLength)
	case "total_time":
		return p.num(&t.TotalTime)
	case "read_only":
		return p.flag(&t.ReadOnly)
	case "is_consistent":
		return p.flag(&t.IsConsistent)
	case "user":
		return p.user(&t.User)
	case "ext":
		return p.ext(&t.Ext)
	}
	return p.keep(seen, name)
}

// textField returns the string field with the given JSON name, nil if there is none.
func (t *Trace) textField(name string) *string {
	switch name {
	case "trace_id":
		return &t.ID
	case "trace_name":
		return &t.Name
	case "trace_type":
		return (*string)(&t.Type)
	case "trace_rating":
		return (*string)(&t.Rating)
	case "event_type":
		return (*string)(&t.EventType)
	case "service_type":
		return &t.ServiceType
	case "resource_type":
		return &t.ResourceType
	case "resource_name":
		return &t.ResourceName
	case "resource_id":
		return &t.ResourceID
	case "resource_url":
		return &t.ResourceURL
	case "resource_account_id":
		return &t.ResourceAccountID
	case "source_ip":
		return &t.SourceIP
	case "user_agent":
		return &t.UserAgent
	case "code":
		return &t.Code
	case "request":
		return &t.Request
	case "response":
		return &t.Response
	case "message":
		return &t.Message
	case "api_version":
		return &t.APIVersion
	case "request_id":
		return &t.RequestID
	case "operation_id":
		return &t.OperationID
	case "location_info":
		return &t.LocationInfo
	case "endpoint":
		return &t.Endpoint
	case "project_id":
		return &t.ProjectID
	case "domain_id":
		return &t.DomainID
	case "enterprise_project_id":
		return &t.EnterpriseProjectID
	case "tracker_name":
		return &t.TrackerName
	}
	return nil
}

// inField puts the field's name into a ParseError that has none.
func (p *traceParser) inField(name string, err error) error {
	if pe, ok := err.(*ParseError); ok && pe.Field == "" { //nolint:errorlint // only an error made right below is completed
		pe.Field = name
	}
	return err
}

func (p *traceParser) text(v *string) (err error) {
	if p.peek() != '"' {
		if p.word("null") {
			return nil
		}
		if !p.tolerant {
			return p.fail(p.i, "expected a string, found %s", p.found())
		}
		*v, err = p.loose()
		return err
	}
	*v, err = p.str()
	return err
}

func (p *traceParser) num(v *int64) (err error) {
	if p.space(); p.word("null") {
		return nil
	}
	*v, err = p.integer()
	return err
}

func (p *traceParser) flag(v *Bool) error {
	p.space()
	switch {
	case p.word("true"):
		*v = True
	case p.word("false"):
		*v = False
	case p.word("null"):
	default:
		return p.fail(p.i, "expected true or false, found %s", p.found())
	}
	return nil
}

func (p *traceParser) user(u *User) error {
	if p.word("null") {
		return nil
	}
	var seen names
	err := p.object(func(name string) error {
		var err error
		if seen.twice(name) {
			err = p.fail(p.i, "occurs twice")
		} else {
			err = p.userMember(u, name, &seen)
		}
		if err != nil {
			err = p.inField("user."+name, err)
		}
		return err
	})
	u.Unknown = seen.members()
	return err
}

func (p *traceParser) userMember(u *User, name string, seen *names) error {
	if v := u.textField(name); v != nil {
		return p.text(v)
	}
	at := p.i
	var err error
	switch name {
	case "domain":
		err = p.domain(&u.Domain)
	case "invoked_by":
		u.InvokedBy, err = p.texts()
	case "session_context":
		err = p.session(&u.SessionContext)
	default:
		return p.keep(seen, name)
	}
	if err != nil { // another shape than CTS documents: kept as it is
		p.i = at
		return p.keep(seen, name)
	}
	return nil
}

// textField returns the string field with the given JSON name, nil if there is none.
func (u *User) textField(name string) *string {
	switch name {
	case "id":
		return &u.ID
	case "name":
		return &u.Name
	case "user_name":
		return &u.UserName
	case "account_id":
		return &u.AccountID
	case "access_key_id":
		return &u.AccessKeyID
	case "principal_urn":
		return &u.PrincipalURN
	case "principal_id":
		return &u.PrincipalID
	case "principal_is_root_user":
		return &u.PrincipalIsRootUser
	case "type":
		return &u.Type
	case "OriginUser":
		return &u.OriginUser
	}
	return nil
}

func (p *traceParser) domain(d *Domain) error {
	var got Domain
	var seen names
	err := p.object(func(name string) error {
		if seen.twice(name) {
			return p.fail(p.i, "occurs twice")
		}
		switch name {
		case "id":
			return p.text(&got.ID)
		case "name":
			return p.text(&got.Name)
		}
		return p.keep(&seen, name)
	})
	if err == nil {
		got.Unknown = seen.members()
		*d = got
	}
	return err
}

func (p *traceParser) session(sc *SessionContext) error {
	var got SessionContext
	err := p.fields(func(name string) error {
		if name != "attributes" {
			return p.fail(p.i, "unknown member")
		}
		return p.fields(func(name string) error {
			switch name {
			case "created_at":
				return p.text(&got.Attributes.CreatedAt)
			case "mfa_authenticated":
				return p.text(&got.Attributes.MFAAuthenticated)
			}
			return p.fail(p.i, "unknown member")
		})
	})
	if err == nil {
		*sc = got
	}
	return err
}

// fields reads an object in which no member may occur twice.
func (p *traceParser) fields(member func(name string) error) error {
	var seen names
	return p.object(func(name string) error {
		if seen.twice(name) {
			return p.fail(p.i, "member %q occurs twice", name)
		}
		return member(name)
	})
}

func (p *traceParser) texts() ([]string, error) {
	var got []string
	err := p.array(func() error {
		v, err := p.str()
		got = append(got, v)
		return err
	})
	if err != nil {
		return nil, err
	}
	return got, nil
}
