package cts

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Limits bound what one trace may hold. They are in bytes and applied once, by the
// Tracker, after redaction. A longer value is cut at the boundary of a character
// and marked in [Ext.Cut] with the length it had; the trace is recorded all the
// same. Where the JSON of a trace is over [MaxTraceBytes] even so, it is cut with
// half the limits, as often as it takes.
type Limits struct {
	Body    int  // request and response. Default: 64 KiB.
	Text    int  // every other text: identifiers, names, addresses, labels; at least 64. Default: 1 KiB.
	Message int  // message, resource_url, endpoint, location_info. Default: 5 KiB.
	Items   int  // entries of each list, and labels. Default: 64.
	Unknown int  // members that are not known, together and in each place. Default: 64 KiB.
	Reject  bool // refuse a trace that is over a limit with ErrTooLarge, instead of cutting it. Default: false.
}

func (l Limits) withDefaults() Limits {
	for _, v := range []struct {
		field *int
		value int
	}{{&l.Body, 64 << 10}, {&l.Text, 1 << 10}, {&l.Message, 5 << 10}, {&l.Items, 64}, {&l.Unknown, 64 << 10}} {
		if *v.field == 0 {
			*v.field = v.value
		}
	}
	return l
}

func (l Limits) validate() error {
	if l.Body < 0 || l.Text < 0 || l.Message < 0 || l.Items < 0 || l.Unknown < 0 {
		return errors.New("cts: Limits must not be negative")
	}
	if l.Text > 0 && l.Text < minText {
		return fmt.Errorf("cts: Limits.Text: %d: want at least %d, for the ids of traces", l.Text, minText)
	}
	return nil
}

// minText is the least limit of texts: ids that the Tracker makes are never cut.
const minText = 64

func (l Limits) half() Limits {
	l.Body, l.Text, l.Message, l.Items, l.Unknown = l.Body/2, max(l.Text/2, minText), l.Message/2, l.Items/2, l.Unknown/2
	return l
}

// cutter applies limits to one trace.
type cutter struct {
	Limits
	key    []byte // of the hashes in marks; none without it
	repair bool   // replace invalid UTF-8 too
	marks  []Mark
	over   *FieldError // the first field that was over its limit
}

// maxMarks bounds the marks of one trace, whatever its limits: half of them for those
// that it came with.
const maxMarks = 256

// newCutter returns a cutter for a trace that came with the given marks.
func newCutter(l Limits, key []byte, given []Mark) cutter {
	c := cutter{Limits: l, key: key}
	n := min(len(given), l.Items, maxMarks/2)
	c.marks = slices.Clone(given[:n])
	if n < len(given) {
		c.mark("ext.cut", len(given), n, "")
	}
	return c
}

// field is a text field with the name it has in marks.
type field struct {
	name  string
	value *string
}

// hash returns the keyed hash of a value that is not stored, "" without a key or
// value.
func hash(key []byte, value string) string {
	if len(key) == 0 || value == "" {
		return ""
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte(value))
	return hex.EncodeToString(h.Sum(nil))
}

// text cuts v to the limit. The mark of a field that was cut before stays.
func (c *cutter) text(field string, v *string, limit int) {
	if s := *v; c.shorten(v, limit) {
		c.mark(field, len(s), limit, s)
	}
}

// shorten cuts v to the limit and reports whether it had to.
func (c *cutter) shorten(v *string, limit int) bool {
	if c.repair && !utf8.ValidString(*v) {
		*v = string([]rune(*v)) // every invalid byte becomes U+FFFD
	}
	s := *v
	if len(s) <= limit {
		return false
	}
	end := limit
	for end > 0 && end > limit-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	*v = s[:end]
	return true
}

func (c *cutter) mark(field string, length, limit int, value string) {
	if c.over == nil {
		c.over = &FieldError{Field: field, Length: length, Limit: limit, Reason: "over its limit"}
	}
	if len(c.marks) < maxMarks && !slices.ContainsFunc(c.marks, func(m Mark) bool { return m.Field == field }) {
		c.marks = append(c.marks, Mark{Field: field, Length: length, Hash: hash(c.key, value)})
	}
}

// members drops members from the end until the rest is within the limit.
func (c *cutter) members(field string, m *Members) {
	if len(*m) <= c.Unknown {
		return
	}
	var kept Members
	for k, v := range m.All() {
		longer := kept.add(k, string(v))
		if len(longer) > c.Unknown {
			break
		}
		kept = longer
	}
	c.mark(field, len(*m), c.Unknown, string(*m))
	*m = kept
}

// rejected returns the error of a trace that is over a limit and not to be cut, size
// being that of its JSON.
func (c *cutter) rejected(size int) error {
	switch {
	case !c.Reject:
		return nil
	case c.over != nil:
		return fmt.Errorf("%w: %w", ErrTooLarge, c.over)
	case size > MaxTraceBytes:
		return fmt.Errorf("%w: %w", ErrTooLarge, &FieldError{Field: "trace", Length: size, Limit: MaxTraceBytes, Reason: "its JSON is over the limit"})
	}
	return nil
}

// fit cuts a trace whose JSON is over [MaxTraceBytes] with half the limits, as often
// as it takes, and returns the JSON that it has then.
func (c *cutter) fit(t *Trace, json []byte) ([]byte, error) {
	for len(json) > MaxTraceBytes {
		half := c.half()
		if half == c.Limits {
			return json, fmt.Errorf("%w: a trace of %d bytes of JSON, at most %d", ErrTooLarge, len(json), MaxTraceBytes)
		}
		c.Limits = half
		c.apply(t)
		json = t.AppendJSON(json[:0])
	}
	return json, nil
}

// apply applies the limits to t. It replaces lists and maps that it shortens, and
// does not write into those that t shares with the caller's trace.
func (c *cutter) apply(t *Trace) {
	c.text("request", &t.Request, c.Body)
	c.text("response", &t.Response, c.Body)
	c.text("message", &t.Message, c.Message)
	c.text("resource_url", &t.ResourceURL, c.Message)
	c.text("endpoint", &t.Endpoint, c.Message)
	c.text("location_info", &t.LocationInfo, c.Message)
	for _, f := range [...]field{
		{"trace_name", &t.Name},
		{"trace_type", (*string)(&t.Type)},
		{"trace_rating", (*string)(&t.Rating)},
		{"event_type", (*string)(&t.EventType)},
		{"service_type", &t.ServiceType},
		{"resource_type", &t.ResourceType},
		{"resource_name", &t.ResourceName},
		{"resource_id", &t.ResourceID},
		{"resource_account_id", &t.ResourceAccountID},
		{"source_ip", &t.SourceIP},
		{"user_agent", &t.UserAgent},
		{"code", &t.Code},
		{"api_version", &t.APIVersion},
		{"request_id", &t.RequestID},
		{"operation_id", &t.OperationID},
		{"project_id", &t.ProjectID},
		{"domain_id", &t.DomainID},
		{"enterprise_project_id", &t.EnterpriseProjectID},
		{"tracker_name", &t.TrackerName},
	} {
		c.text(f.name, f.value, c.Text)
	}
	c.user(&t.User)
	c.members("unknown", &t.Unknown)
	if !t.Ext.IsZero() {
		c.ext(&t.Ext)
	}
	for i := range c.marks {
		c.shorten(&c.marks[i].Field, c.Text)
		c.shorten(&c.marks[i].Hash, 2*sha256.Size)
	}
	t.Ext.Cut = c.marks
}

func (c *cutter) user(u *User) {
	for _, f := range [...]field{
		{"user.id", &u.ID},
		{"user.name", &u.Name},
		{"user.user_name", &u.UserName},
		{"user.domain.id", &u.Domain.ID},
		{"user.domain.name", &u.Domain.Name},
		{"user.account_id", &u.AccountID},
		{"user.access_key_id", &u.AccessKeyID},
		{"user.principal_urn", &u.PrincipalURN},
		{"user.principal_id", &u.PrincipalID},
		{"user.principal_is_root_user", &u.PrincipalIsRootUser},
		{"user.type", &u.Type},
		{"user.session_context.attributes.created_at", &u.SessionContext.Attributes.CreatedAt},
		{"user.session_context.attributes.mfa_authenticated", &u.SessionContext.Attributes.MFAAuthenticated},
		{"user.OriginUser", &u.OriginUser},
	} {
		c.text(f.name, f.value, c.Text)
	}
	c.texts("user.invoked_by", &u.InvokedBy)
	c.members("user", &u.Unknown)
	c.members("user.domain", &u.Domain.Unknown)
}

func (c *cutter) ext(e *Ext) {
	for _, f := range [...]field{
		{"ext.phase", (*string)(&e.Phase)},
		{"ext.attempt_id", &e.AttemptID},
		{"ext.outcome", (*string)(&e.Outcome)},
		{"ext.role", &e.Role},
		{"ext.session_id", &e.SessionID},
		{"ext.w3c_trace_id", &e.W3CTraceID},
		{"ext.w3c_span_id", &e.W3CSpanID},
		{"ext.client_id", &e.ClientID},
		{"ext.peer_ip", &e.PeerIP},
		{"ext.policy_hash", &e.PolicyHash},
		{"ext.impersonator.id", &e.Impersonator.ID},
		{"ext.impersonator.name", &e.Impersonator.Name},
		{"ext.source.name", &e.Source.Name},
		{"ext.source.id", &e.Source.ID},
		{"ext.gap.reason", &e.Gap.Reason},
	} {
		c.text(f.name, f.value, c.Text)
	}
	c.texts("ext.forwarded_for", &e.ForwardedFor)
	items(c, "ext.authorization", &e.Authorization, func(a *Authorization) {
		c.text("ext.authorization.permission", &a.Permission, c.Text)
		c.text("ext.authorization.resource", &a.Resource, c.Text)
	})
	items(c, "ext.resources", &e.Resources, func(r *Resource) {
		c.text("ext.resources.type", &r.Type, c.Text)
		c.text("ext.resources.id", &r.ID, c.Text)
		c.text("ext.resources.name", &r.Name, c.Text)
	})
	items(c, "ext.changes", &e.Changes, func(ch *Change) {
		c.text("ext.changes.field", &ch.Field, c.Text)
		c.text("ext.changes.old", &ch.Old, c.Text)
		c.text("ext.changes.new", &ch.New, c.Text)
	})
	items(c, "ext.redacted", &e.Redacted, func(m *Mark) {
		c.text("ext.redacted.field", &m.Field, c.Text)
		c.shorten(&m.Hash, 2*sha256.Size)
	})
	c.labels(e)
	if len(e.Foreign) > c.Unknown {
		c.mark("ext.foreign", len(e.Foreign), c.Unknown, string(e.Foreign))
		e.Foreign = ""
	}
}

func (c *cutter) texts(field string, list *[]string) {
	items(c, field, list, func(s *string) { c.text(field, s, c.Text) })
}

// items shortens a list to the limit and applies each to a copy of its entries.
func items[T any](c *cutter, field string, list *[]T, each func(*T)) {
	if len(*list) == 0 {
		return
	}
	if len(*list) > c.Items {
		c.mark(field, len(*list), c.Items, "")
		*list = (*list)[:c.Items]
	}
	*list = slices.Clone(*list)
	for i := range *list {
		each(&(*list)[i])
	}
}

// labels keeps the first labels by key, each cut to the limit.
func (c *cutter) labels(e *Ext) {
	if len(e.Labels) == 0 {
		return
	}
	keys := make([]string, 0, len(e.Labels))
	for k := range e.Labels {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	if len(keys) > c.Items {
		c.mark("ext.labels", len(keys), c.Items, "")
		keys = keys[:c.Items]
	}
	kept := make(map[string]string, len(keys))
	for _, k := range keys {
		v := e.Labels[k]
		name := k
		c.text("ext.labels", &name, c.Text)
		if _, taken := kept[name]; taken { // now that it is cut
			c.mark("ext.labels", len(keys), c.Items, "")
			continue
		}
		c.text("ext.labels."+name, &v, c.Text)
		kept[name] = v
	}
	e.Labels = kept
}
