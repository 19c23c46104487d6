package cloudtrail

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloudtraceservice/cts"
)

// Member is the name of the unknown member of a trace that holds the event: all of
// its members but requestParameters and responseElements where these went to the
// trace's request and response.
const Member = "cloudtrail"

// SourceName is the name of the source of every event, followed by "/" and the
// recipientAccountId.
const SourceName = "aws-cloudtrail"

// The labels of a trace that comes from an event, for use with [cts.Label]. Each is
// there only if the event has the field.
const (
	LabelRegion        = "aws_region"      // awsRegion
	LabelErrorCode     = "error_code"      // errorCode
	LabelSharedEventID = "shared_event_id" // sharedEventID: the same in all accounts that got the event
	LabelVPCEndpointID = "vpc_endpoint_id" // vpcEndpointId
)

// Map makes a trace of one event, as the package comment says. It has no id and
// record time yet; [cts.Tracker.Import] gives it these. It shares no memory with
// event.
//
// An event is one JSON object with an eventID, an eventTime and an eventName or
// eventType. It nests at most 128 levels deep, and no name occurs twice in it, in
// userIdentity and what is mapped of the objects in that, or in a resource;
// elsewhere that is kept as it is. Members of an unexpected type are kept and not interpreted. An error is a
// [*cts.ParseError] with the place in event.
func Map(event []byte) (*cts.Trace, error) {
	e, err := parseEvent(event)
	if err != nil {
		return nil, err
	}
	m := mapper{event: e, t: &cts.Trace{}}
	for _, step := range []func() error{m.identity, m.operation, m.user, m.resource, m.outcome, m.bodies} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return m.t, nil
}

// mapper makes one trace.
type mapper struct {
	event   object
	t       *cts.Trace
	account string // the user's
}

// missing returns an error about a member of the event that must be there.
func (m *mapper) missing(name string) error {
	at := m.event.at
	if got, ok := m.event.member(name); ok {
		return m.event.fail(name, got.at, "must be a text that is not empty")
	}
	return m.event.fail(name, at, "missing")
}

// identity maps what tells the event from all others.
func (m *mapper) identity() error {
	e, t := m.event, m.t
	t.Ext.Source = cts.Source{Name: SourceName, ID: e.get("eventID")}
	t.DomainID = e.get("recipientAccountId")
	if t.DomainID != "" {
		t.Ext.Source.Name += "/" + t.DomainID
	}
	switch id := t.Ext.Source.ID; {
	case id == "":
		return m.missing("eventID")
	case len(id) > cts.MaxIDLength || len(t.DomainID) > cts.MaxIDLength:
		return e.fail("eventID", e.at, "eventID or recipientAccountId is too long for an id")
	}
	at, ok := e.member("eventTime")
	if !ok || e.get("eventTime") == "" {
		return m.missing("eventTime")
	}
	when, err := time.Parse(time.RFC3339, e.get("eventTime"))
	if err != nil {
		return e.fail("eventTime", at.at, "not a time as in RFC 3339")
	}
	if t.Time = when.UnixMilli(); t.Time < cts.MinTime || t.Time > cts.MaxTime {
		return e.fail("eventTime", at.at, "outside the years 2000 to 2099")
	}
	return nil
}

// operation maps what was done.
func (m *mapper) operation() error {
	e, t := m.event, m.t
	t.Name = first(e.get("eventName"), e.get("eventType"))
	if t.Name == "" {
		return m.missing("eventName")
	}
	t.ServiceType = service(first(e.get("eventSource"), m.below("insightDetails", "eventSource")))
	t.Type = traceType(e.get("eventType"), e.get("sessionCredentialFromConsole"))
	t.EventType = eventType(e.get("eventCategory"), e.get("managementEvent"))
	switch e.get("readOnly") {
	case "true":
		t.ReadOnly = cts.True
	case "false":
		t.ReadOnly = cts.False
	}
	t.SourceIP = e.get("sourceIPAddress")
	t.UserAgent = e.get("userAgent")
	t.RequestID = e.get("requestID")
	t.APIVersion = e.get("apiVersion")
	m.label(LabelRegion, e.get("awsRegion"))
	m.label(LabelSharedEventID, e.get("sharedEventID"))
	m.label(LabelVPCEndpointID, e.get("vpcEndpointId"))
	return nil
}

// below returns the text of a member of a member of the event.
func (m *mapper) below(name, inner string) string {
	outer, ok := m.event.member(name)
	if !ok {
		return ""
	}
	return first(lookUp(outer.raw, []string{inner})...)
}

func (m *mapper) label(key, value string) {
	if value == "" {
		return
	}
	if m.t.Ext.Labels == nil {
		m.t.Ext.Labels = map[string]string{}
	}
	m.t.Ext.Labels[key] = value
}

// bodies keeps the request, the response and all the rest.
func (m *mapper) bodies() (err error) {
	rest := make([]byte, 0, len(m.event.text))
	for _, member := range m.event.members {
		if structured(member.raw) {
			switch member.name {
			case "requestParameters":
				m.t.Request = compact(member.raw)
				continue
			case "responseElements":
				m.t.Response = compact(member.raw)
				continue
			}
		}
		rest = append(append(rest, ','), member.key...)
		rest = append(append(rest, ':'), member.raw...)
	}
	rest[0] = '{'
	m.t.Unknown, err = m.t.Unknown.With(Member, append(rest, '}'))
	return err
}

// compact returns a valid JSON text without white space, and otherwise as it is.
func compact(raw []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	if text := b.String(); utf8.ValidString(text) {
		return text
	}
	return string([]rune(b.String())) // every invalid byte becomes U+FFFD
}

func service(source string) string {
	source = strings.TrimSuffix(source, ".cn")
	return strings.ToUpper(strings.TrimSuffix(source, ".amazonaws.com"))
}

func traceType(eventType, fromConsole string) cts.TraceType {
	if fromConsole == "true" {
		return cts.TypeConsole
	}
	switch eventType {
	case "AwsApiCall", "AwsVpceEvent":
		return cts.TypeAPI
	case "AwsConsoleAction", "AwsConsoleSignIn":
		return cts.TypeConsole
	case "AwsServiceEvent", "AwsCloudTrailInsight":
		return cts.TypeSystem
	}
	return cts.TypeOthers
}

func eventType(category, management string) cts.EventType {
	switch {
	case category == "Data", category == "NetworkActivity", category == "" && management == "false":
		return cts.EventData
	}
	return cts.EventSystem
}

// first returns the first text that is not empty.
func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
