package cts

import (
	"strings"

	"github.com/cloudtraceservice/cts/internal/jsontext"
)

// ParseCanonical parses b into t, of which nothing stays, if b is exactly what
// [Trace.AppendJSON] writes, and reports whether it is. When it is not, what t has is
// of no use, and [ParseTrace] tells more. Of a few canonical texts it says that they are
// not: those with members that this version does not know, an "ext" that is not ours, or
// a gap.
//
// What stores hold is canonical but for exceptions, and this takes half the time of
// ParseTrace's way for any JSON, and needs no comparison with what AppendJSON writes. The
// trace shares no memory with b.
func ParseCanonical(b []byte, t *Trace) bool {
	*t = Trace{}
	if len(b) > MaxTraceBytes {
		return false
	}
	return parseCanonical(string(b), t)
}

// parseCanonical is ParseCanonical of a text that t may share, into a t that is zero.
func parseCanonical(text string, t *Trace) bool {
	c := canonicalParser{s: text}
	c.trace(t)
	c.room.Free()
	return !c.wrong && c.i == len(c.s)
}

// canonicalParser reads members in the order, and in the only form, in which they are
// written: the methods have the names and arguments of those of object, and the calls
// are in the same order.
type canonicalParser struct {
	s     string
	i     int
	open  bool // an object was begun and has no member yet
	wrong bool // it is not canonical
	room  jsontext.Room
}

func (c *canonicalParser) trace(t *Trace) {
	c.begin()
	c.str(`,"trace_id":`, &t.ID)
	c.num(`,"time":`, &t.Time)
	c.num(`,"record_time":`, &t.RecordTime)
	c.str(`,"trace_name":`, &t.Name)
	c.str(`,"trace_type":`, (*string)(&t.Type))
	c.str(`,"trace_rating":`, (*string)(&t.Rating))
	c.opt(`,"event_type":`, (*string)(&t.EventType))
	c.str(`,"service_type":`, &t.ServiceType)
	c.str(`,"resource_type":`, &t.ResourceType)
	c.opt(`,"resource_name":`, &t.ResourceName)
	c.opt(`,"resource_id":`, &t.ResourceID)
	c.opt(`,"resource_url":`, &t.ResourceURL)
	c.opt(`,"resource_account_id":`, &t.ResourceAccountID)
	c.str(`,"source_ip":`, &t.SourceIP)
	if !c.name(`,"user":`) {
		c.wrong = true
		return
	}
	c.user(&t.User)
	c.opt(`,"user_agent":`, &t.UserAgent)
	c.opt(`,"code":`, &t.Code)
	c.opt(`,"request":`, &t.Request)
	c.opt(`,"response":`, &t.Response)
	c.opt(`,"message":`, &t.Message)
	c.opt(`,"api_version":`, &t.APIVersion)
	c.opt(`,"request_id":`, &t.RequestID)
	c.opt(`,"operation_id":`, &t.OperationID)
	c.opt(`,"location_info":`, &t.LocationInfo)
	c.opt(`,"endpoint":`, &t.Endpoint)
	c.optBool(`,"read_only":`, &t.ReadOnly)
	c.opt(`,"project_id":`, &t.ProjectID)
	c.opt(`,"domain_id":`, &t.DomainID)
	c.opt(`,"enterprise_project_id":`, &t.EnterpriseProjectID)
	c.opt(`,"tracker_name":`, &t.TrackerName)
	c.optNum(`,"content_length":`, &t.ContentLength)
	c.optNum(`,"total_time":`, &t.TotalTime)
	c.optBool(`,"is_consistent":`, &t.IsConsistent)
	if c.name(`,"ext":`) {
		c.ext(&t.Ext)
	}
	c.end(true)
}

func (c *canonicalParser) user(u *User) {
	c.begin()
	c.opt(`,"id":`, &u.ID)
	c.opt(`,"name":`, &u.Name)
	c.opt(`,"user_name":`, &u.UserName)
	if c.name(`,"domain":`) {
		c.begin()
		c.opt(`,"id":`, &u.Domain.ID)
		c.opt(`,"name":`, &u.Domain.Name)
		c.end(false)
	}
	c.opt(`,"account_id":`, &u.AccountID)
	c.opt(`,"access_key_id":`, &u.AccessKeyID)
	c.opt(`,"principal_urn":`, &u.PrincipalURN)
	c.opt(`,"principal_id":`, &u.PrincipalID)
	c.opt(`,"principal_is_root_user":`, &u.PrincipalIsRootUser)
	c.opt(`,"type":`, &u.Type)
	c.strs(`,"invoked_by":`, &u.InvokedBy)
	if c.name(`,"session_context":`) {
		c.begin()
		if c.name(`,"attributes":`) {
			c.begin()
			c.opt(`,"created_at":`, &u.SessionContext.Attributes.CreatedAt)
			c.opt(`,"mfa_authenticated":`, &u.SessionContext.Attributes.MFAAuthenticated)
			c.end(false)
		}
		c.end(false)
	}
	c.opt(`,"OriginUser":`, &u.OriginUser)
	c.end(true)
}

func (c *canonicalParser) ext(e *Ext) {
	c.begin()
	version := int64(0)
	c.num(`,"v":`, &version)
	c.wrong = c.wrong || version != ExtVersion
	c.pair(`,"writer":`, `,"id":`, &e.Writer.ID, `,"boot":`, &e.Writer.Boot)
	c.opt(`,"phase":`, (*string)(&e.Phase))
	c.opt(`,"attempt_id":`, &e.AttemptID)
	c.opt(`,"outcome":`, (*string)(&e.Outcome))
	c.pair(`,"impersonator":`, `,"id":`, &e.Impersonator.ID, `,"name":`, &e.Impersonator.Name)
	c.opt(`,"role":`, &e.Role)
	c.opt(`,"session_id":`, &e.SessionID)
	c.opt(`,"w3c_trace_id":`, &e.W3CTraceID)
	c.opt(`,"w3c_span_id":`, &e.W3CSpanID)
	c.opt(`,"client_id":`, &e.ClientID)
	c.opt(`,"peer_ip":`, &e.PeerIP)
	c.strs(`,"forwarded_for":`, &e.ForwardedFor)
	c.lists(e)
	c.labels(e)
	c.pair(`,"source":`, `,"name":`, &e.Source.Name, `,"id":`, &e.Source.ID)
	c.opt(`,"policy_hash":`, &e.PolicyHash)
	c.marks(`,"cut":`, &e.Cut)
	c.marks(`,"redacted":`, &e.Redacted)
	c.end(false)
	c.wrong = c.wrong || e.empty() // which is not written
}

// pair reads an object of two texts.
func (c *canonicalParser) pair(key, name1 string, v1 *string, name2 string, v2 *string) {
	if c.name(key) {
		c.begin()
		c.opt(name1, v1)
		c.opt(name2, v2)
		c.end(false)
	}
}

func (c *canonicalParser) lists(e *Ext) {
	c.items(`,"authorization":`, func() {
		var a Authorization
		c.opt(`,"permission":`, &a.Permission)
		c.opt(`,"resource":`, &a.Resource)
		granted := Unset
		c.optBool(`,"granted":`, &granted)
		c.wrong = c.wrong || granted == Unset
		a.Granted = granted == True
		e.Authorization = append(e.Authorization, a)
	})
	c.items(`,"resources":`, func() {
		var r Resource
		c.opt(`,"type":`, &r.Type)
		c.opt(`,"id":`, &r.ID)
		c.opt(`,"name":`, &r.Name)
		e.Resources = append(e.Resources, r)
	})
	c.items(`,"changes":`, func() {
		var v Change
		c.str(`,"field":`, &v.Field)
		c.opt(`,"old":`, &v.Old)
		c.opt(`,"new":`, &v.New)
		e.Changes = append(e.Changes, v)
	})
}

func (c *canonicalParser) marks(key string, marks *[]Mark) {
	c.items(key, func() {
		var m Mark
		n := int64(0)
		c.str(`,"field":`, &m.Field)
		c.optNum(`,"length":`, &n)
		c.opt(`,"hash":`, &m.Hash)
		m.Length = int(n)
		c.wrong = c.wrong || int64(m.Length) != n
		*marks = append(*marks, m)
	})
}

func (c *canonicalParser) labels(e *Ext) {
	if !c.name(`,"labels":`) {
		return
	}
	c.begin()
	e.Labels = map[string]string{}
	last := ""
	for !c.wrong && c.i < len(c.s) && c.s[c.i] != '}' {
		c.comma()
		key := c.text()
		if c.i == len(c.s) || c.s[c.i] != ':' || len(e.Labels) > 0 && key <= last {
			c.wrong = true
			return
		}
		c.i++
		e.Labels[key] = c.text()
		last = key
	}
	c.wrong = c.wrong || len(e.Labels) == 0
	c.end(true)
}

// begin begins an object.
func (c *canonicalParser) begin() {
	c.wrong = c.wrong || c.i == len(c.s) || c.s[c.i] != '{'
	c.open = true
}

// comma passes over what stands in front of a member.
func (c *canonicalParser) comma() {
	want := byte(',')
	if c.open {
		want, c.open = '{', false
	}
	if c.i == len(c.s) || c.s[c.i] != want {
		c.wrong = true
		return
	}
	c.i++
}

// end ends an object, which may be empty or not.
func (c *canonicalParser) end(empty bool) {
	if c.open {
		c.wrong = c.wrong || !empty
		c.comma()
	}
	if c.i == len(c.s) || c.s[c.i] != '}' {
		c.wrong = true
		return
	}
	c.i++
}

// name passes over the name of a member, if that is the next one.
func (c *canonicalParser) name(key string) bool {
	rest := c.s[c.i:]
	if len(rest) < len(key) || rest[2] != key[2] || rest[1:len(key)] != key[1:] {
		return false
	}
	before := byte(',')
	if c.open {
		before = '{'
	}
	if rest[0] != before {
		return false
	}
	c.open = false
	c.i += len(key)
	return true
}

func (c *canonicalParser) str(key string, v *string) {
	if !c.name(key) {
		c.wrong = true
		return
	}
	*v = c.text()
}

func (c *canonicalParser) opt(key string, v *string) {
	if c.name(key) {
		*v = c.text()
		c.wrong = c.wrong || *v == ""
	}
}

func (c *canonicalParser) num(key string, v *int64) {
	if !c.name(key) {
		c.wrong = true
		return
	}
	*v = c.number()
}

func (c *canonicalParser) optNum(key string, v *int64) {
	if c.name(key) {
		*v = c.number()
		c.wrong = c.wrong || *v == 0
	}
}

func (c *canonicalParser) optBool(key string, v *Bool) {
	if !c.name(key) {
		return
	}
	switch rest := c.s[c.i:]; {
	case strings.HasPrefix(rest, "true"):
		*v = True
		c.i += len("true")
	case strings.HasPrefix(rest, "false"):
		*v = False
		c.i += len("false")
	default:
		c.wrong = true
	}
}

func (c *canonicalParser) strs(key string, v *[]string) {
	if !c.name(key) {
		return
	}
	c.array(func() { *v = append(*v, c.text()) })
}

// items reads an array of objects.
func (c *canonicalParser) items(key string, members func()) {
	if !c.name(key) {
		return
	}
	c.array(func() {
		c.begin()
		members()
		c.end(true)
	})
}

// array reads an array that is not empty.
func (c *canonicalParser) array(element func()) {
	for next := byte('['); !c.wrong; next = ',' {
		if c.i == len(c.s) || c.s[c.i] != next {
			break
		}
		c.i++
		element()
	}
	if c.i == len(c.s) || c.s[c.i] != ']' {
		c.wrong = true
		return
	}
	c.i++
}

// number reads a whole number as strconv writes it.
func (c *canonicalParser) number() int64 {
	rest := c.s[c.i:]
	n := 0
	negative := len(rest) > 0 && rest[0] == '-'
	if negative {
		n = 1
	}
	first, v := n, uint64(0)
	for ; n < len(rest) && n-first < 19 && rest[n]-'0' < 10; n++ {
		v = v*10 + uint64(rest[n]-'0')
	}
	limit := uint64(1)<<63 - 1
	if negative {
		limit++
	}
	if n == first || rest[first] == '0' && (n > first+1 || negative) || v > limit {
		c.wrong = true
		return 0
	}
	c.i += n
	if negative {
		return int64(-v)
	}
	return int64(v)
}

// text reads a string.
func (c *canonicalParser) text() string {
	v, next, ok := jsontext.ReadString(c.s, c.i, &c.room)
	c.i, c.wrong = next, c.wrong || !ok
	return v
}
