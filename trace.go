package cts

import (
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Rating is the severity that CTS gives a trace (trace_rating, CTS "Trace
// Structure"). It is an open set: other values are stored as they come.
type Rating string

// The ratings of CTS.
const (
	RatingNormal   Rating = "normal"   // the operation succeeded
	RatingWarning  Rating = "warning"  // the operation failed
	RatingIncident Rating = "incident" // the failure has severe effects: a crash, lost traces, an interrupted service
)

// TraceType says how an operation was issued (trace_type). It is not the query
// parameter of the same name in the CTS API, which tells management traces from
// data traces; that is [EventType]. It is an open set.
type TraceType string

// The trace types of CTS.
const (
	TypeConsole TraceType = "ConsoleAction" // by a person through a console
	TypeAPI     TraceType = "ApiCall"       // by a call of the API
	TypeSystem  TraceType = "SystemAction"  // by the service itself: user and source address are empty
	TypeObsSDK  TraceType = "ObsSDK"        // data trace, through an SDK
	TypeObsAPI  TraceType = "ObsAPI"        // data trace, through the API
	TypeOthers  TraceType = "Others"        // anything else
)

// EventType is the class of a trace (event_type). It is an open set.
type EventType string

// The event types of CTS.
const (
	EventSystem EventType = "system" // a management operation
	EventGlobal EventType = "global" // a management operation of a global service
	EventData   EventType = "data"   // an operation on an object's content, a data event
)

// Bool is a boolean field that may be absent. The zero value is absent, which
// CTS tells apart from false.
type Bool uint8

// The values of [Bool].
const (
	Unset Bool = iota
	False
	True
)

// BoolOf returns True or False.
func BoolOf(v bool) Bool {
	if v {
		return True
	}
	return False
}

// String returns "true", "false" or "" for an absent value.
func (b Bool) String() string {
	switch b {
	case True:
		return "true"
	case False:
		return "false"
	}
	return ""
}

// MarshalJSON implements json.Marshaler: true, false, or null for an absent value.
func (b Bool) MarshalJSON() ([]byte, error) {
	if b == Unset {
		return []byte("null"), nil
	}
	return strconv.AppendBool(nil, b == True), nil
}

// UnmarshalJSON implements json.Unmarshaler for true, false and null. An error is an
// [ErrInvalidTrace].
func (b *Bool) UnmarshalJSON(text []byte) error {
	switch string(text) {
	case "true":
		*b = True
	case "false":
		*b = False
	case "null":
		*b = Unset
	default:
		return fmt.Errorf("%w: a Bool is true, false or null", ErrInvalidTrace)
	}
	return nil
}

// Trace is the record of one operation: who did what, when, from where, on
// which resource and with what result. Its fields and JSON names are those of
// CTS v3 ("Trace Structure", cts_03_0010) and one object more, [Ext].
//
// A Trace is a plain value. It may be copied; a copy shares the slices, maps and
// [Members] of the original, [Trace.Clone] shares nothing. It is not safe for
// one goroutine to change a Trace while another uses it. Nothing in this module
// changes a Trace it was given.
//
// Ten members are always present in its JSON, empty if need be: trace_id, time,
// record_time, trace_name, trace_type, trace_rating, service_type,
// resource_type, source_ip and user. The others are omitted when empty.
type Trace struct {
	ID         string `json:"trace_id"`    // assigned by the Tracker: a UUID, version 7
	Time       int64  `json:"time"`        // when the operation happened, milliseconds since 1970 UTC; the Tracker fills in now for 0
	RecordTime int64  `json:"record_time"` // when it was recorded, milliseconds since 1970 UTC; always stamped by the Tracker

	Name              string    `json:"trace_name"`                    // the operation: createServer, PUT.OBJECT
	Type              TraceType `json:"trace_type"`                    // how it was issued
	Rating            Rating    `json:"trace_rating"`                  // normal, warning or incident
	EventType         EventType `json:"event_type,omitempty"`          // management or data
	ServiceType       string    `json:"service_type"`                  // upper-case acronym of the source service: ECS, IAM
	ResourceType      string    `json:"resource_type"`                 // kind of resource: ecs, volume, object
	ResourceName      string    `json:"resource_name,omitempty"`       // name of the resource
	ResourceID        string    `json:"resource_id,omitempty"`         // id of the resource
	ResourceURL       string    `json:"resource_url,omitempty"`        // its detail page, without the endpoint
	ResourceAccountID string    `json:"resource_account_id,omitempty"` // owner of the resource when another account operated it
	SourceIP          string    `json:"source_ip"`                     // address of the caller; empty for system actions
	User              User      `json:"user"`                          // who did it
	UserAgent         string    `json:"user_agent,omitempty"`          // the client program
	Code              string    `json:"code,omitempty"`                // HTTP status or result code: "200"
	Request           string    `json:"request,omitempty"`             // parameters, as JSON text
	Response          string    `json:"response,omitempty"`            // result, as JSON text
	Message           string    `json:"message,omitempty"`             // remark of the source service
	APIVersion        string    `json:"api_version,omitempty"`         // version of the API called
	RequestID         string    `json:"request_id,omitempty"`          // id of the request in the service
	OperationID       string    `json:"operation_id,omitempty"`        // id of the API operation
	LocationInfo      string    `json:"location_info,omitempty"`       // hints for locating a fault
	Endpoint          string    `json:"endpoint,omitempty"`            // endpoint part of the detail page
	ReadOnly          Bool      `json:"read_only,omitzero"`            // whether the operation only reads

	ProjectID           string `json:"project_id,omitempty"`            // project of the trace
	DomainID            string `json:"domain_id,omitempty"`             // account that triggered it
	EnterpriseProjectID string `json:"enterprise_project_id,omitempty"` // enterprise project; "0" is the default one
	TrackerName         string `json:"tracker_name,omitempty"`          // the tracker that recorded it
	ContentLength       int64  `json:"content_length,omitempty"`        // bytes of the request's body
	TotalTime           int64  `json:"total_time,omitempty"`            // milliseconds the operation took
	IsConsistent        Bool   `json:"is_consistent,omitzero"`          // undocumented; seen in replies of CTS

	Ext     Ext     `json:"ext,omitzero"` // what CTS has no field for
	Unknown Members `json:"-"`            // members of the first level that this version does not know
}

// User is who did it (CTS UserInfo, cts_03_5113). All fields may be empty, as
// they are for system actions.
type User struct {
	ID                  string         `json:"id,omitempty"`                     // user id
	Name                string         `json:"name,omitempty"`                   // user name; "domain/agency" or "idp/session" for assumed and federated ones
	UserName            string         `json:"user_name,omitempty"`              // the same, in newer traces
	Domain              Domain         `json:"domain,omitzero"`                  // account of the user
	AccountID           string         `json:"account_id,omitempty"`             // id of that account
	AccessKeyID         string         `json:"access_key_id,omitempty"`          // access key that was used; never the secret
	PrincipalURN        string         `json:"principal_urn,omitempty"`          // iam::ACCOUNT:user:NAME and the like
	PrincipalID         string         `json:"principal_id,omitempty"`           // AGENCY-ID:SESSION and the like
	PrincipalIsRootUser string         `json:"principal_is_root_user,omitempty"` // "true" or "false"
	Type                string         `json:"type,omitempty"`                   // User, AssumedAgency, ExternalUser
	InvokedBy           []string       `json:"invoked_by,omitempty"`             // service that sent the request
	SessionContext      SessionContext `json:"session_context,omitzero"`         // how the session was made
	OriginUser          string         `json:"OriginUser,omitempty"`             // who started an assumed session
	Unknown             Members        `json:"-"`                                // other members of the object
}

// Domain is an account.
type Domain struct {
	ID      string  `json:"id,omitempty"`   // id of the account
	Name    string  `json:"name,omitempty"` // name of the account
	Unknown Members `json:"-"`              // other members of the object
}

// SessionContext describes the session in which a user acted.
type SessionContext struct {
	Attributes SessionAttributes `json:"attributes,omitzero"` // its attributes
}

// SessionAttributes are the attributes of a session.
type SessionAttributes struct {
	CreatedAt        string `json:"created_at,omitempty"`        // milliseconds since 1970 UTC, as text
	MFAAuthenticated string `json:"mfa_authenticated,omitempty"` // "true" or "false"
}

// IsZero reports whether nothing is known about the user.
func (u User) IsZero() bool {
	return u.ID == "" && u.Name == "" && u.UserName == "" && u.Domain.IsZero() && u.AccountID == "" &&
		u.AccessKeyID == "" && u.PrincipalURN == "" && u.PrincipalID == "" && u.PrincipalIsRootUser == "" &&
		u.Type == "" && len(u.InvokedBy) == 0 && u.SessionContext == SessionContext{} && u.OriginUser == "" && u.Unknown == ""
}

// IsZero reports whether the account is empty.
func (d Domain) IsZero() bool { return d.ID == "" && d.Name == "" && d.Unknown == "" }

// Clone returns a copy of t that shares no memory with it that could be changed.
func (t *Trace) Clone() *Trace {
	c := *t
	c.User.InvokedBy = slices.Clone(t.User.InvokedBy)
	c.Ext = t.Ext.clone()
	return &c
}

// Times that CTS accepts, in milliseconds since 1970 UTC: the years 2000 to 2099.
const (
	MinTime int64 = 946656000000
	MaxTime int64 = 4102416000000
)

// FieldError says which field of a trace is not acceptable and why. The value
// itself is never part of it.
type FieldError struct {
	Field  string // JSON name, nested ones with dots: user.name; "" for the unknown members
	Length int    // length of the value in bytes, 0 where length is not the matter
	Limit  int    // the limit that applies, 0 where there is none
	Reason string // what is wrong, in words
}

// Error implements error.
func (e *FieldError) Error() string {
	if e.Field == "" {
		return "cts: unknown members: " + e.Reason
	}
	if e.Limit > 0 {
		return fmt.Sprintf("cts: field %s: %s: %d bytes, limit %d", e.Field, e.Reason, e.Length, e.Limit)
	}
	return fmt.Sprintf("cts: field %s: %s", e.Field, e.Reason)
}

// Unwrap makes every FieldError an [ErrInvalidTrace].
func (e *FieldError) Unwrap() error { return ErrInvalidTrace }

// Validate reports the first reason why t can't be stored, as a [*FieldError]:
// no trace_name, a time outside [MinTime, MaxTime], an id that is empty, too
// long or not printable, a label's key that is not valid UTF-8, or a [Members] or
// [RawJSON] that was not made as its comment says or holds a member that the trace
// has a field for. Length limits of the other fields are not checked here; the
// Tracker applies them ([Limits]).
//
// The canonical JSON of a valid trace can be parsed, and gives itself again if its
// texts are valid UTF-8.
func (t *Trace) Validate() error {
	if err := validateID("trace_id", t.ID); err != nil {
		return err
	}
	if t.Name == "" {
		return &FieldError{Field: "trace_name", Reason: "empty: a trace says what was done"}
	}
	if err := validateTime("time", t.Time); err != nil {
		return err
	}
	if err := validateTime("record_time", t.RecordTime); err != nil {
		return err
	}
	for k := range t.Ext.Labels {
		if !utf8.ValidString(k) {
			return &FieldError{Field: "ext.labels", Reason: "a key is not valid UTF-8"}
		}
	}
	return t.validateRaw()
}

// validateRaw checks the parts that go into the JSON as they are. The surest test is
// the purpose: they must come out of the parser as they went in.
func (t *Trace) validateRaw() error {
	if t.Unknown == "" && t.User.Unknown == "" && t.User.Domain.Unknown == "" && t.Ext.Foreign == "" {
		return nil
	}
	const reason = "not canonical JSON, or a member occurs twice or has a field of its own"
	var got Trace
	p := traceParser{scanner: scanner{s: string(t.AppendJSON(nil))}, t: &got}
	err := p.trace()
	if err == nil {
		err = p.end()
	}
	switch {
	case got.User.Domain.Unknown != t.User.Domain.Unknown:
		return &FieldError{Field: "user.domain", Reason: reason}
	case got.User.Unknown != t.User.Unknown:
		return &FieldError{Field: "user", Reason: reason}
	case got.Ext.Foreign != t.Ext.Foreign:
		return &FieldError{Field: "ext.foreign", Reason: reason}
	case got.Unknown != t.Unknown || err != nil:
		return &FieldError{Field: "", Reason: reason}
	}
	return nil
}

// MaxIDLength is the most bytes that a trace id may have (CTS: 200).
const MaxIDLength = 200

func validateID(field, id string) error {
	switch {
	case id == "":
		return &FieldError{Field: field, Reason: "empty"}
	case len(id) > MaxIDLength:
		return &FieldError{Field: field, Reason: "too long", Length: len(id), Limit: MaxIDLength}
	case !utf8.ValidString(id):
		return &FieldError{Field: field, Reason: "not valid UTF-8"}
	}
	for i := range len(id) {
		if id[i] < 0x20 || id[i] == 0x7f {
			return &FieldError{Field: field, Reason: "contains a control character"}
		}
	}
	return nil
}

func validateTime(field string, ms int64) error {
	if ms < MinTime || ms > MaxTime {
		return &FieldError{Field: field, Reason: fmt.Sprintf("%d is outside the years 2000 to 2099 in milliseconds since 1970", ms)}
	}
	return nil
}
