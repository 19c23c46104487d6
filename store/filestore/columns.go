package filestore

import (
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"unsafe"

	"github.com/cloudtraceservice/cts"
	"github.com/cloudtraceservice/cts/store/internal/segment"
)

// column is one field of a trace as sealed segments hold it. The name is part of the
// format: a segment is read by the names of its columns, whatever their order.
type column struct {
	name string
	find bool // looked up by value
	id   bool // an identifier that is nearly unique
	get  func(t *cts.Trace) string
	set  func(t *cts.Trace, v string) // "" too, which may follow another value

	form   columnForm
	offset uintptr // of the field in a trace, if the form is formText
}

// columnForm is how the value of a column is written in JSON.
type columnForm uint8

const (
	formText    columnForm = iota // as a string, and the field is a string
	formLiteral                   // as it is
	formTexts                     // as a list of strings
	formLabels                    // as an object
)

// text makes a column of a field that is a string of whatever type.
func text[T ~string](name string, field func(t *cts.Trace) *T) column {
	probe := new(cts.Trace)
	return column{
		name:   name,
		get:    func(t *cts.Trace) string { return string(*field(t)) },
		set:    func(t *cts.Trace, v string) { *field(t) = T(v) },
		offset: uintptr(unsafe.Pointer(field(probe))) - uintptr(unsafe.Pointer(probe)),
	}
}

// found makes a column that is looked up by value.
func found[T ~string](name string, field func(t *cts.Trace) *T) column {
	c := text(name, field)
	c.find = true
	return c
}

func columnsOfTrace() []column {
	id := found("trace_id", func(t *cts.Trace) *string { return &t.ID })
	id.id = true
	return []column{
		id,
		found("trace_name", func(t *cts.Trace) *string { return &t.Name }),
		found("trace_type", func(t *cts.Trace) *cts.TraceType { return &t.Type }),
		found("trace_rating", func(t *cts.Trace) *cts.Rating { return &t.Rating }),
		found("event_type", func(t *cts.Trace) *cts.EventType { return &t.EventType }),
		found("service_type", func(t *cts.Trace) *string { return &t.ServiceType }),
		found("resource_type", func(t *cts.Trace) *string { return &t.ResourceType }),
		found("resource_name", func(t *cts.Trace) *string { return &t.ResourceName }),
		found("resource_id", func(t *cts.Trace) *string { return &t.ResourceID }),
		text("resource_url", func(t *cts.Trace) *string { return &t.ResourceURL }),
		text("resource_account_id", func(t *cts.Trace) *string { return &t.ResourceAccountID }),
		found("source_ip", func(t *cts.Trace) *string { return &t.SourceIP }),
		found("user_agent", func(t *cts.Trace) *string { return &t.UserAgent }),
		found("code", func(t *cts.Trace) *string { return &t.Code }),
		text("api_version", func(t *cts.Trace) *string { return &t.APIVersion }),
		found("request_id", func(t *cts.Trace) *string { return &t.RequestID }),
		found("operation_id", func(t *cts.Trace) *string { return &t.OperationID }),
		text("location_info", func(t *cts.Trace) *string { return &t.LocationInfo }),
		text("endpoint", func(t *cts.Trace) *string { return &t.Endpoint }),
		boolean("read_only", func(t *cts.Trace) *cts.Bool { return &t.ReadOnly }),
		found("project_id", func(t *cts.Trace) *string { return &t.ProjectID }),
		found("domain_id", func(t *cts.Trace) *string { return &t.DomainID }),
		found("enterprise_project_id", func(t *cts.Trace) *string { return &t.EnterpriseProjectID }),
		found("tracker_name", func(t *cts.Trace) *string { return &t.TrackerName }),
		number64("content_length", func(t *cts.Trace) *int64 { return &t.ContentLength }),
		number64("total_time", func(t *cts.Trace) *int64 { return &t.TotalTime }),
		boolean("is_consistent", func(t *cts.Trace) *cts.Bool { return &t.IsConsistent }),
	}
}

func columnsOfUser() []column {
	return []column{
		found("user.id", func(t *cts.Trace) *string { return &t.User.ID }),
		found("user.name", func(t *cts.Trace) *string { return &t.User.Name }),
		found("user.user_name", func(t *cts.Trace) *string { return &t.User.UserName }),
		text("user.domain.id", func(t *cts.Trace) *string { return &t.User.Domain.ID }),
		text("user.domain.name", func(t *cts.Trace) *string { return &t.User.Domain.Name }),
		text("user.account_id", func(t *cts.Trace) *string { return &t.User.AccountID }),
		found("user.access_key_id", func(t *cts.Trace) *string { return &t.User.AccessKeyID }),
		text("user.principal_urn", func(t *cts.Trace) *string { return &t.User.PrincipalURN }),
		text("user.principal_id", func(t *cts.Trace) *string { return &t.User.PrincipalID }),
		text("user.principal_is_root_user", func(t *cts.Trace) *string { return &t.User.PrincipalIsRootUser }),
		text("user.type", func(t *cts.Trace) *string { return &t.User.Type }),
		list("user.invoked_by", func(t *cts.Trace) *[]string { return &t.User.InvokedBy }),
		text("user.created_at", func(t *cts.Trace) *string { return &t.User.SessionContext.Attributes.CreatedAt }),
		text("user.mfa_authenticated", func(t *cts.Trace) *string { return &t.User.SessionContext.Attributes.MFAAuthenticated }),
		text("user.origin_user", func(t *cts.Trace) *string { return &t.User.OriginUser }),
	}
}

func columnsOfExt() []column {
	return []column{
		found("ext.writer.id", func(t *cts.Trace) *string { return &t.Ext.Writer.ID }),
		text("ext.writer.boot", func(t *cts.Trace) *string { return &t.Ext.Writer.Boot }),
		found("ext.phase", func(t *cts.Trace) *cts.Phase { return &t.Ext.Phase }),
		found("ext.attempt_id", func(t *cts.Trace) *string { return &t.Ext.AttemptID }),
		found("ext.outcome", func(t *cts.Trace) *cts.Outcome { return &t.Ext.Outcome }),
		found("ext.impersonator.id", func(t *cts.Trace) *string { return &t.Ext.Impersonator.ID }),
		found("ext.impersonator.name", func(t *cts.Trace) *string { return &t.Ext.Impersonator.Name }),
		found("ext.role", func(t *cts.Trace) *string { return &t.Ext.Role }),
		found("ext.session_id", func(t *cts.Trace) *string { return &t.Ext.SessionID }),
		found("ext.w3c_trace_id", func(t *cts.Trace) *string { return &t.Ext.W3CTraceID }),
		text("ext.w3c_span_id", func(t *cts.Trace) *string { return &t.Ext.W3CSpanID }),
		text("ext.client_id", func(t *cts.Trace) *string { return &t.Ext.ClientID }),
		text("ext.peer_ip", func(t *cts.Trace) *string { return &t.Ext.PeerIP }),
		list("ext.forwarded_for", func(t *cts.Trace) *[]string { return &t.Ext.ForwardedFor }),
		labels("ext.labels"),
		text("ext.source.name", func(t *cts.Trace) *string { return &t.Ext.Source.Name }),
		text("ext.source.id", func(t *cts.Trace) *string { return &t.Ext.Source.ID }),
		text("ext.policy_hash", func(t *cts.Trace) *string { return &t.Ext.PolicyHash }),
	}
}

// number64 makes a column of a number, as decimal text; 0 is absent.
func number64(name string, field func(t *cts.Trace) *int64) column {
	return column{
		name: name, form: formLiteral,
		get: func(t *cts.Trace) string {
			if n := *field(t); n != 0 {
				return strconv.FormatInt(n, 10)
			}
			return ""
		},
		set: func(t *cts.Trace, v string) { *field(t), _ = strconv.ParseInt(v, 10, 64) }, // its checksum was right
	}
}

// boolean makes a column of a [cts.Bool], as its text.
func boolean(name string, field func(t *cts.Trace) *cts.Bool) column {
	return column{
		name: name, find: true, form: formLiteral,
		get: func(t *cts.Trace) string { return field(t).String() },
		set: func(t *cts.Trace, v string) {
			*field(t) = cts.Unset
			if v != "" {
				*field(t) = cts.BoolOf(v == "true")
			}
		},
	}
}

// list makes a column of a list of texts, one value of which is each text behind its
// length as uvarint.
func list(name string, field func(t *cts.Trace) *[]string) column {
	return column{
		name: name, form: formTexts,
		get: func(t *cts.Trace) string { return packTexts(*field(t)) },
		set: func(t *cts.Trace, v string) { *field(t) = unpackTexts(v) },
	}
}

// labels makes the column of the labels: keys and values by turns, sorted by key, in
// the form of a list.
func labels(name string) column {
	return column{
		name: name, find: true, form: formLabels,
		get: func(t *cts.Trace) string {
			if len(t.Ext.Labels) == 0 {
				return ""
			}
			texts := make([]string, 0, 2*len(t.Ext.Labels))
			for _, k := range slices.Sorted(maps.Keys(t.Ext.Labels)) {
				texts = append(texts, k, t.Ext.Labels[k])
			}
			return packTexts(texts)
		},
		set: func(t *cts.Trace, v string) { t.Ext.Labels = unpackLabels(v) },
	}
}

func packTexts(texts []string) string {
	var b []byte
	for _, s := range texts {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return string(b)
}

// unpackTexts takes a list apart. Of one that is damaged it returns the sound beginning.
func unpackTexts(v string) []string {
	var texts []string
	for len(v) > 0 {
		s, rest, ok := cutText(v)
		if !ok {
			break
		}
		texts, v = append(texts, s), rest
	}
	return texts
}

// cutText returns the first text of a list and what follows.
func cutText(v string) (s, rest string, ok bool) {
	n, size := uint64(0), 0
	for shift := 0; size < len(v) && shift < 35; shift += 7 {
		c := v[size]
		size++
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if n > uint64(len(v)-size) {
				return "", "", false
			}
			return v[size:][:n], v[size+int(n):], true
		}
	}
	return "", "", false
}

func unpackLabels(v string) map[string]string {
	texts := unpackTexts(v)
	if len(texts) == 0 {
		return nil
	}
	m := make(map[string]string, len(texts)/2)
	for i := 0; i+1 < len(texts); i += 2 {
		m[texts[i]] = texts[i+1]
	}
	return m
}

// labelOf returns the value that a list of labels has for a key, "" for none.
func labelOf(v, key string) string {
	for len(v) > 0 {
		k, rest, ok := cutText(v)
		if !ok {
			return ""
		}
		value, rest, ok := cutText(rest)
		if !ok {
			return ""
		}
		if k == key {
			return value
		}
		v = rest
	}
	return ""
}

// The column that tells where the rest of a trace is, which comes last, and its values.
const (
	restName = "rest"
	restNone = ""  // all of the trace is in the columns and texts
	restJSON = "j" // the last text is the JSON of a trace that has what no column holds
	restRaw  = "r" // the last text is the whole JSON of the trace, which is not quite canonical
)

// The texts of a row.
const (
	textRequest = iota
	textResponse
	textMessage
	textRest
	textCount
)

// layout is how traces become rows of segments.
var layout = newTraceLayout()

type traceLayout struct {
	columns []column
	byName  map[string]int
	fields  map[cts.Field][]int // the columns of each dimension
	schema  segment.Schema
	members []jsonMember // of the JSON of a trace
}

func newTraceLayout() *traceLayout {
	l := &traceLayout{byName: map[string]int{}, fields: map[cts.Field][]int{}}
	l.columns = slices.Concat(columnsOfTrace(), columnsOfUser(), columnsOfExt())
	named := map[string]cts.Field{
		"user.id": cts.FieldUser, "user.name": cts.FieldUser, "user.user_name": cts.FieldUser,
		"user.access_key_id": cts.FieldAccessKeyID, "ext.writer.id": cts.FieldWriter, "ext.phase": cts.FieldPhase,
		"ext.attempt_id": cts.FieldAttemptID, "ext.outcome": cts.FieldOutcome, "ext.role": cts.FieldRole,
		"ext.impersonator.id": cts.FieldImpersonator, "ext.impersonator.name": cts.FieldImpersonator,
		"ext.session_id": cts.FieldSession, "ext.w3c_trace_id": cts.FieldW3CTraceID,
	}
	for i, c := range l.columns {
		l.byName[c.name] = i
		l.schema.Columns = append(l.schema.Columns, segment.Column{Name: c.name, Find: c.find, ID: c.id})
		f, ok := named[c.name]
		if !ok && c.find && c.name != "ext.labels" && c.name != "is_consistent" {
			f, ok = cts.Field(c.name), true
		}
		if ok {
			l.fields[f] = append(l.fields[f], i)
		}
	}
	l.byName[restName] = len(l.columns)
	l.schema.Columns = append(l.schema.Columns, segment.Column{Name: restName})
	l.schema.Texts = textCount
	l.members = jsonMembers()
	return l
}
